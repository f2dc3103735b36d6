package e2e_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto"
)

// certificate writes a self-signed one.
func certificate(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sambang"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	kder, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: kder}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// Over a real connection with a self-signed certificate: the pin of the code is
// what a phone trusts, also when its clock stands in another century.
func TestAPinnedServerAtAnyClock(t *testing.T) {
	cert, key := certificate(t, t.TempDir())
	s, err := server.New(server.Config{Data: t.TempDir(), Listen: "127.0.0.1:0", CertFile: cert, KeyFile: key})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	if err := s.PutOfficer(ctx, server.Officer{ID: "budi", Name: "Budi Rekaan", Agency: "imigrasi"}); err != nil {
		t.Fatal(err)
	}
	code := func() string {
		c, err := s.Enrol(ctx, server.EnrolRequest{Officer: "budi", Grants: syncproto.Grants{grant("35.24.14", "D", "T")}})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for name, off := range map[string]time.Duration{"right": 0, "in 1970": -56 * 365 * 24 * time.Hour, "in 2199": 173 * 365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			r, err := sambang.Open(t.TempDir(), sambang.Options{Plain: true, Clock: func() time.Time { return time.Now().Add(off) }})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if err := r.Enrol(ctx, code(), "phone"); err != nil {
				t.Fatal(err)
			}
			id, err := r.Create("site", "35.24.14", sambang.Fields{"name": "x"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Sync(ctx); err != nil {
				t.Fatal(err)
			}
			if c, err := r.Custody(id); err != nil || c != sambang.CustodyHeld {
				t.Errorf("custody %v, %v", c, err)
			}
		})
	}
	t.Run("another key than the pin", func(t *testing.T) {
		r, err := sambang.Open(t.TempDir(), sambang.Options{Plain: true})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		c := code()
		i := strings.Index(c, "&p=") + 3
		wrong := c[:i] + strings.Repeat("A", 43) + c[i+43:]
		if err := r.Enrol(ctx, wrong, "phone"); !errors.Is(err, syncproto.CodeWrongServer) {
			t.Errorf("enrol: %v", err)
		}
		if r.Status().Offline {
			t.Error("the wrong server is not no network")
		}
		without := c[:i] + c[i+43:]
		if err := r.Enrol(ctx, without, "phone"); !errors.Is(err, syncproto.CodeOffline) {
			t.Errorf("a self-signed certificate without its pin: %v", err)
		}
	})
}

func TestOnlyAGenuineWipeOrderCounts(t *testing.T) {
	w := newWorld(t)
	a := w.phone("budi")
	if err := w.server.Revoke(context.Background(), a.Status().Device, true); err != nil {
		t.Fatal(err)
	}
	// Somebody in between changes the order: it counts for nothing.
	w.link.forge = func(resp *http.Response, body []byte) []byte {
		return bytes.Replace(body, []byte(`"signature":"`), []byte(`"signature":"AAAA`), 1)
	}
	if _, err := a.Sync(context.Background()); !errors.Is(err, syncproto.CodeDeviceRevoked) {
		t.Errorf("sync: %v", err)
	}
	if s := a.Status(); !s.Revoked || s.WipeOrdered {
		t.Errorf("revoked %v, wipe %v", s.Revoked, s.WipeOrdered)
	}
	w.link.forge = nil
	if _, err := a.Sync(context.Background()); !errors.Is(err, syncproto.CodeDeviceRevoked) {
		t.Errorf("sync: %v", err)
	}
	if !a.Status().WipeOrdered {
		t.Error("the order was not noticed")
	}
}
