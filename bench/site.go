package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sambang-id/sambang/bench/internal/link"
	"github.com/sambang-id/sambang/bench/internal/table"
	"github.com/sambang-id/sambang/bench/internal/usage"
)

// site is a server in a process of its own, behind a link that counts. The link keeps its address when the
// server's process is replaced, because devices remember it.
type site struct {
	link   *link.Proxy
	target atomic.Value // string: the server's address
	cancel context.CancelFunc

	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Scanner
	began usage.Usage
	tls   bool
	certs string // folder of cert.pem and key.pem

	profile string // see env
	keep    keeper
	cpu     time.Duration // of the store's own processes, when the measurement began
}

// newSite opens the link. With secure the server speaks TLS with a certificate made here.
func newSite(ctx context.Context, e env, dir string, secure bool) (*site, error) {
	s := &site{tls: secure, certs: dir, profile: e.profile, keep: e.keep}
	s.target.Store("")
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.link = link.New(l, func(ctx context.Context) (net.Conn, error) {
		target, _ := s.target.Load().(string)
		return (&net.Dialer{}).DialContext(ctx, "tcp", target)
	})
	ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go func() { _ = s.link.Run(ctx) }()
	if secure {
		return s, writeCertificate(dir)
	}
	return s, nil
}

// start begins a server process on a data folder.
func (s *site) start(ctx context.Context, data string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	at, err := s.keep.address(ctx, data)
	if err != nil {
		return err
	}
	args := []string{"-serve", data, "-at", at}
	if s.tls {
		args = append(args, "-certs", s.certs)
	}
	if s.profile != "" {
		args = append(args, "-profile", s.profile)
	}
	s.cmd = exec.CommandContext(ctx, self, args...) //nolint:gosec // this very program
	s.cmd.Stderr = os.Stderr
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.out = bufio.NewScanner(out)
	if !s.out.Scan() {
		return fmt.Errorf("the server's process said nothing: %w", s.cmd.Wait())
	}
	s.target.Store(s.out.Text())
	return nil
}

// stop ends the server process gracefully, so that its store is whole in its files.
func (s *site) stop() error {
	if s.cmd == nil {
		return nil
	}
	cmd := s.cmd
	s.cmd = nil
	if err := s.in.Close(); err != nil {
		return err
	}
	return cmd.Wait()
}

func (s *site) close() error {
	err := s.stop()
	s.cancel()
	return err
}

// order has the server's process do something, and returns what it answers.
func (s *site) order(words ...string) (answer string, err error) {
	if _, err := fmt.Fprintln(s.in, strings.Join(words, " ")); err != nil {
		return "", err
	}
	if !s.out.Scan() {
		return "", fmt.Errorf("no answer to %s: %w", words[0], s.cmd.Wait())
	}
	return answer, json.Unmarshal(s.out.Bytes(), &answer)
}

// address is that of the server itself, without the link.
func (s *site) address() string {
	target, _ := s.target.Load().(string)
	return "http://" + target
}

// enrol returns a code for a device that goes through the link.
func (s *site) enrol(name string) (string, error) {
	code, err := s.order("enrol", name, "bench", "35.24")
	if err != nil {
		return "", err
	}
	head, query, _ := strings.Cut(code, "?")
	v, err := url.ParseQuery(query)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(v.Get("u"))
	if err != nil {
		return "", err
	}
	u.Host = s.link.Addr()
	// Only the address changes; the other parameters stay where they are.
	parts := strings.Split(query, "&")
	for i, p := range parts {
		if strings.HasPrefix(p, "u=") {
			parts[i] = "u=" + url.QueryEscape(u.String())
		}
	}
	return head + "?" + strings.Join(parts, "&"), nil
}

// mark begins a measurement of the server's process.
func (s *site) mark() (err error) {
	if err = usage.ResetPeak(s.cmd.Process.Pid); err == nil {
		s.began, err = usage.Of(s.cmd.Process.Pid)
	}
	s.cpu, _ = s.keep.cpu()
	s.link.Reset()
	return err
}

// spent returns what the server's process has used since mark, and what the processes of its store have.
func (s *site) spent() ([]table.Figure, error) {
	now, err := usage.Of(s.cmd.Process.Pid)
	out := table.Spent("server", now.Since(s.began))
	if cpu, ok := s.keep.cpu(); ok {
		out = append(out, table.Took("database CPU", time.Second, cpu-s.cpu, 0, table.Target{}))
	}
	return out, err
}

// writeCertificate makes a certificate for 127.0.0.1; devices know it by the pin in their codes.
func writeCertificate(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}
