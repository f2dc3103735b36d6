package server

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// certificates gives the TLS certificate: from files, which are read again
// when they change, or from an authority.
type certificates struct {
	certFile, keyFile string
	now               func() time.Time
	manager           *autocert.Manager

	mu      sync.Mutex
	current *tls.Certificate
	stamp   time.Time // of the files that current was read from
	looked  time.Time
}

// lookAgain is how often the files are looked at.
const lookAgain = time.Minute

func newCertificates(c Config, now func() time.Time) (*certificates, error) {
	x := &certificates{certFile: c.CertFile, keyFile: c.KeyFile, now: now}
	switch {
	case len(c.Autocert) > 0:
		x.manager = &autocert.Manager{
			Prompt: autocert.AcceptTOS, Email: c.AutocertEmail,
			HostPolicy: autocert.HostWhitelist(c.Autocert...),
			Cache:      autocert.DirCache(filepath.Join(c.Data, "autocert")),
		}
	case c.CertFile != "":
		if err := x.read(); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// config returns nil if there is no TLS.
func (x *certificates) config() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	switch {
	case x.manager != nil:
		c.GetCertificate = x.manager.GetCertificate
		c.NextProtos = []string{"h2", "http/1.1", acme.ALPNProto}
		return c
	case x.certFile != "":
		c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return x.get(), nil }
		c.NextProtos = []string{"h2", "http/1.1"} // HTTP/2 saves a device a connection
		return c
	}
	return nil
}

// get returns the certificate. Files that cannot be read leave the one before
// in place: a renewal may be half-way.
func (x *certificates) get() *tls.Certificate {
	x.mu.Lock()
	defer x.mu.Unlock()
	if now := x.now(); now.Sub(x.looked) > lookAgain || now.Before(x.looked) {
		x.looked = now
		if stamp, err := newest(x.certFile, x.keyFile); err == nil && !stamp.Equal(x.stamp) {
			_ = x.read()
		}
	}
	return x.current
}

func (x *certificates) read() error {
	stamp, err := newest(x.certFile, x.keyFile)
	if err != nil {
		return fmt.Errorf("read the TLS certificate: %w", err)
	}
	c, err := tls.LoadX509KeyPair(x.certFile, x.keyFile)
	if err != nil {
		return fmt.Errorf("read the TLS certificate: %w", err)
	}
	x.current, x.stamp, x.looked = &c, stamp, x.now()
	return nil
}

func newest(files ...string) (time.Time, error) {
	var at time.Time
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			return at, err
		}
		if info.ModTime().After(at) {
			at = info.ModTime()
		}
	}
	return at, nil
}

// pin returns the SHA-256 of the certificate's SubjectPublicKeyInfo, or nil if
// the certificate is not from a file: an authority's changes its key when it
// is renewed.
func (x *certificates) pin() ([]byte, error) {
	if x.certFile == "" {
		return nil, nil
	}
	leaf, err := x509.ParseCertificate(x.get().Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("read the TLS certificate: %w", err)
	}
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	return sum[:], nil
}
