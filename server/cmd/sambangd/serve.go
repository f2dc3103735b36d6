package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/sambang-id/sambang/server"
)

func (a *app) serve(args []string) error {
	f := a.flags("serve")
	listen := f.String("listen", "", a.say("alamat: 127.0.0.1:8080, dengan TLS :443", "address; default 127.0.0.1:8080, with TLS :443"))
	url := f.String("url", "", a.say("alamat server bagi perangkat, misalnya https://sync.contoh.go.id", "how devices reach the server, such as https://sync.example.go.id"))
	cert := f.String("tls-cert", "", a.say("berkas sertifikat TLS (PEM)", "TLS certificate file (PEM)"))
	key := f.String("tls-key", "", a.say("berkas kunci TLS (PEM)", "TLS key file (PEM)"))
	hosts := f.String("autocert", "", a.say("nama host untuk sertifikat otomatis, dipisah koma", "host names for automatic certificates, with commas between"))
	email := f.String("autocert-email", "", a.say("alamat surel bagi penerbit sertifikat", "email address for the certificate authority"))
	metrics := f.String("metrics", "", a.say("alamat tersendiri untuk /metrics", "an address of its own for /metrics"))
	proxies := f.String("trust-proxy", "", a.say("CIDR proksi tepercaya, dipisah koma", "CIDRs of trusted proxies, with commas between"))
	level := f.String("log-level", "info", a.say("tingkat log: debug, info, warn, error", "log level: debug, info, warn, error"))
	if _, err := a.parse(f, args, 0); err != nil {
		return err
	}
	var l slog.Level
	if err := l.UnmarshalText([]byte(*level)); err != nil {
		return fmt.Errorf("%w: -log-level: %w", errUsage, err)
	}
	trusted, err := prefixes(*proxies)
	if err != nil {
		return err
	}
	server.BoundMemory()
	s, err := server.New(server.Config{
		Data: a.data, Store: a.store, Listen: *listen, URL: *url, CertFile: *cert, KeyFile: *key,
		Autocert: list(*hosts), AutocertEmail: *email, MetricsListen: *metrics, TrustedProxies: trusted,
		Logger: slog.New(slog.NewJSONHandler(a.stderr, &slog.HandlerOptions{Level: l})),
	})
	if err != nil {
		return err
	}
	return errors.Join(s.Run(a.ctx), s.Close())
}

func prefixes(s string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, one := range list(s) {
		p, err := netip.ParsePrefix(one)
		if err != nil {
			return nil, fmt.Errorf("%w: -trust-proxy: %w", errUsage, err)
		}
		all = append(all, p)
	}
	return all, nil
}

// list splits at commas, and leaves out what is empty.
func list(s string) []string {
	var all []string
	for one := range strings.SplitSeq(s, ",") {
		if one = strings.TrimSpace(one); one != "" {
			all = append(all, one)
		}
	}
	return all
}

func (a *app) enrol(args []string) error {
	f := a.flags("enrol")
	officer := f.String("officer", "", a.say("pengenal petugas", "the officer's id"))
	role := f.String("role", "", a.say("peran perangkat; bawaan: peran petugas", "role of the device; default: the officer's"))
	life := f.Duration("life", 0, a.say("masa berlaku kode; bawaan 10m, paling lama 168h", "how long the code is valid; default 10m, at most 168h"))
	url := f.String("url", "", a.say("alamat server bagi perangkat", "how devices reach the server"))
	cert := f.String("tls-cert", "", a.say("berkas sertifikat TLS yang disajikan (untuk pin)", "the TLS certificate file that is served (for the pin)"))
	key := f.String("tls-key", "", a.say("berkas kunci TLS", "its key file"))
	pin := f.String("pin", "", a.say("SHA-256 SPKI proksi TLS, 64 angka heksadesimal", "SHA-256 of a TLS proxy's SPKI, 64 hexadecimal digits"))
	listen := f.String("listen", "", a.say("alamat server, bila loopback dan tanpa -url", "the server's address, if loopback and without -url"))
	qr := f.Bool("qr", true, a.say("tampilkan kode QR", "draw the QR code"))
	grants := a.grantFlags(f)
	if _, err := a.parse(f, args, 0); err != nil {
		return err
	}
	wanted, err := grants()
	if err != nil {
		return err
	}
	spki, err := hex.DecodeString(*pin)
	if err != nil {
		return fmt.Errorf("%w: -pin: %w", errUsage, err)
	}
	s, err := a.open(server.Config{URL: *url, CertFile: *cert, KeyFile: *key, Pin: spki, Listen: *listen})
	if err != nil {
		return err
	}
	defer s.Close()
	code, err := s.Enrol(a.ctx, server.EnrolRequest{Officer: *officer, Role: *role, Grants: wanted, Life: *life})
	if err != nil {
		return err
	}
	if a.json {
		return a.show(map[string]string{"code": code}, nil, nil)
	}
	if *qr {
		if err := server.DrawQR(a.stdout, code); err != nil {
			return err
		}
	}
	fmt.Fprintln(a.stdout, code)
	until := *life
	if until == 0 {
		until = 10 * time.Minute
	}
	fmt.Fprintln(a.stderr, a.say("Berlaku "+until.String()+", sekali pakai. Jangan difoto atau disimpan.", "Valid for "+until.String()+", once. Do not photograph or store it."))
	return nil
}
