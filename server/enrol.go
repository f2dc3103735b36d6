package server

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/sambang-id/sambang/server/internal/auth"
	"github.com/sambang-id/sambang/syncproto"
)

// EnrolRequest says for whom an enrolment code is, and what it will grant.
type EnrolRequest struct {
	// Officer is the id of an officer who was added.
	Officer string
	// Role of the device. Default: the officer's.
	Role string
	// Grants of the device; at least one.
	Grants syncproto.Grants
	// Life is how long the code is valid. Default: 10 minutes; at most 7 days.
	Life time.Duration
}

// Enrol makes a single-use code for one device. The code is a secret until it
// was used: show it, do not store it. The error has the code not_found if the
// officer is not known, forbidden if he is disabled.
func (s *Server) Enrol(ctx context.Context, r EnrolRequest) (code string, err error) {
	url, err := s.URL()
	if err != nil {
		return "", err
	}
	pin := s.config.Pin
	if pin == nil {
		if pin, err = s.certs.pin(); err != nil {
			return "", err
		}
	}
	p, err := auth.CreateCode(ctx, s.store, s.config.Rand, auth.NewCode{
		URL: url, Pin: pin, Officer: r.Officer, Role: r.Role, Grants: r.Grants, Life: r.Life,
	}, s.nowMillis())
	if err != nil {
		return "", err
	}
	return p.String(), nil
}

// DrawQR draws a code for a terminal.
func DrawQR(w io.Writer, code string) error { return auth.WriteQR(w, code) }

// ErrNoURL says that the server does not know how devices reach it.
var ErrNoURL = errors.New("the server's URL is not known: set Config.URL")

// URL returns how devices reach the server: Config.URL, or the loopback
// address that is listened on.
func (s *Server) URL() (string, error) {
	if s.config.URL != "" {
		return s.config.URL, nil
	}
	s.mu.Lock()
	l := s.listener
	s.mu.Unlock()
	address := s.config.listen()
	if l != nil {
		address = l.Addr().String()
	}
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || port == "0" || ip == nil && host != "localhost" || ip != nil && !ip.IsLoopback() {
		return "", ErrNoURL
	}
	scheme := "http://"
	if s.config.tls() {
		scheme = "https://"
	}
	return scheme + address, nil
}

func (s *Server) nowMillis() int64 { return s.config.Now().UnixMilli() }
