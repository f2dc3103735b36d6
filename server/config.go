package server

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"github.com/sambang-id/sambang/server/internal/auth"
	"github.com/sambang-id/sambang/server/internal/httpapi"
	"github.com/sambang-id/sambang/syncproto/pack"
)

// Config is what a server needs. Only Data is required.
type Config struct {
	// Data is the folder of the identity, and of the store unless Store names
	// another place. It is created, for its owner alone, if it does not exist.
	Data string
	// Store is the address of the store, postgres://... for a PostgreSQL
	// database, which several servers with the same identity may share. It may
	// hold a password, so it is in no error and in no log. Default: the file
	// [StoreFile] in Data.
	Store string
	// Listen is the address to serve on. Default: "127.0.0.1:8080" without TLS,
	// ":443" with it.
	Listen string
	// URL is how devices reach the server: what enrolment codes name. Scheme,
	// host and port alone. Default: the address that is listened on, if that is
	// a loopback address.
	URL string
	// CertFile and KeyFile are the PEM files of the TLS certificate. They are
	// read again when they change. Keep the key when the certificate is
	// renewed: devices know it by its pin. Default: no TLS.
	CertFile, KeyFile string
	// Autocert are the host names to get certificates for from Let's Encrypt,
	// over the served port (which must be 443 from outside). Default: none.
	Autocert []string
	// AutocertEmail is where the authority may write to. Default: none.
	AutocertEmail string
	// Pin is the SHA-256 of the SubjectPublicKeyInfo that devices see, if
	// somebody else ends TLS before this server. Default: of CertFile.
	Pin []byte
	// MetricsListen is an address of its own for /metrics. Default: none, they
	// are served with the rest.
	MetricsListen string
	// TrustedProxies may say in X-Forwarded-For whom they speak for. Default:
	// none.
	TrustedProxies []netip.Prefix
	// Pack says what records mean. Default: the embedded Timpora pack.
	Pack *pack.Pack
	// Limits bound what callers may use. Default: see [Limits].
	Limits Limits
	// MaxConnections bounds the open connections; more of them wait to be
	// accepted. Default: 16,384.
	MaxConnections int
	// ShutdownTime is how long running requests may take when the server stops.
	// Default: 15 seconds.
	ShutdownTime time.Duration
	// Logger gets JSON or text lines, as its handler makes them; no contents and
	// no personal data. Default: silent.
	Logger *slog.Logger
	// Now is the clock. Default: time.Now, and with a Store that servers share the
	// clock of its database, so that theirs may differ.
	Now func() time.Time
	// Rand is the source of keys, codes and ids. Default: crypto/rand.Reader.
	Rand io.Reader

	// local is this machine's clock, for tests in which it is wrong. nil:
	// time.Now.
	local func() time.Time
	// poll is how often a stream looks for itself, for tests of what wakes it. 0:
	// as headquarters has it.
	poll time.Duration
}

// Limits bound what callers may use.
type Limits = httpapi.Limits

// ErrConfig is wrapped by errors about a Config.
var ErrConfig = errors.New("server configuration")

func (c Config) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...)
	}
	switch {
	case c.Data == "":
		return bad("Data, the folder of the store, is required")
	case (c.CertFile == "") != (c.KeyFile == ""):
		return bad("CertFile and KeyFile go together")
	case c.CertFile != "" && len(c.Autocert) > 0:
		return bad("either CertFile or Autocert, not both")
	case len(c.Pin) != 0 && len(c.Pin) != 32:
		return bad("Pin must have 32 bytes")
	}
	if _, err := c.engine(); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if c.URL != "" {
		if err := auth.CheckURL(c.URL); err != nil {
			return bad("URL: %w", err)
		}
	}
	return nil
}

func (c Config) tls() bool { return c.CertFile != "" || len(c.Autocert) > 0 }

func (c Config) listen() string {
	switch {
	case c.Listen != "":
		return c.Listen
	case c.tls():
		return ":443"
	}
	return "127.0.0.1:8080"
}
