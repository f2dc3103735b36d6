package hq

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sambang-id/sambang/server/internal/engine"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
)

// Config is what a service stands on. Fields without a default are required.
type Config struct {
	Store Store
	// Decisions carries out what supervisors and administrators decide.
	Decisions Decisions
	// Secret authenticates cursors: at least 16 bytes that stay the same over
	// restarts.
	Secret []byte
	// Pack says what records mean. Default: none; every field is shown as it is.
	Pack *pack.Pack
	// Tell is told of what was committed here, for other servers whose streams
	// follow the same log; it returns at once. Default: there are none.
	Tell func()
	// Audit gets one line for each read of records. Default: silent.
	Audit *slog.Logger
	// Now is the server's clock. Default: time.Now.
	Now func() time.Time

	// CursorEvery is how many lines of a stream one cursor covers. Default: 200.
	CursorEvery int
	// FollowFor bounds how long one stream follows. Default: 15 minutes.
	FollowFor time.Duration
	// Poll is how often a following stream looks for itself, beside being woken.
	// Default: 2 s.
	Poll time.Duration
	// Heartbeat is how long a following stream is silent at most. Default: 15 s.
	Heartbeat time.Duration
	// Streams bounds those that run at once. Default: 32.
	Streams int
}

// Store is what of the store a service reads. One that is a
// [store.GrantedViewer] holds each reader to his grants by itself too.
type Store interface {
	View(ctx context.Context, fn func(store.Reader) error) error
}

// Decisions are the engine's methods that change something. now is in Unix
// milliseconds.
type Decisions interface {
	Release(ctx context.Context, by engine.Actor, key syncproto.Digest, reason string, now int64) error
	Close(ctx context.Context, by engine.Actor, key syncproto.Digest, reason string, now int64) error
	Purge(ctx context.Context, by engine.Actor, id syncproto.RecordID, reason string, now int64) error
}

// Reader is who asks, and what he may see. Whether his role covers the
// question is decided before.
type Reader struct {
	ID     string
	Role   string
	Agency string
	Grants syncproto.Grants
	// Until is when his token expires, in Unix seconds; 0 means never.
	Until int64
	// Purpose is what he says he reads for, and Request the request's id; both
	// go into the audit log. May be "".
	Purpose, Request string
}

func (r Reader) actor() engine.Actor { return engine.Actor{ID: r.ID, Agency: r.Agency} }

// Service answers the questions. It is safe for concurrent use, and starts
// nothing.
type Service struct {
	config  Config
	key     []byte
	audit   *slog.Logger
	now     func() time.Time
	streams chan struct{}

	mu      sync.Mutex
	wake    chan struct{} // closed and replaced at each change
	stopped chan struct{}
	stop    sync.Once
}

// New returns a service.
func New(c Config) (*Service, error) {
	if len(c.Secret) < 16 {
		return nil, errors.New("headquarters: the secret for cursors has less than 16 bytes")
	}
	key, err := hkdf.Key(sha256.New, c.Secret, nil, "sambang-hq-cursor", 32)
	if err != nil {
		return nil, fmt.Errorf("derive the key for cursors: %w", err)
	}
	if c.Audit == nil {
		c.Audit = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Tell == nil {
		c.Tell = func() {}
	}
	orDefault(&c.CursorEvery, 200)
	orDefault(&c.FollowFor, 15*time.Minute)
	orDefault(&c.Poll, 2*time.Second)
	orDefault(&c.Heartbeat, 15*time.Second)
	orDefault(&c.Streams, 32)
	return &Service{
		config: c, key: key, audit: c.Audit, now: c.Now, streams: make(chan struct{}, c.Streams),
		wake: make(chan struct{}), stopped: make(chan struct{}),
	}, nil
}

func orDefault[T comparable](v *T, or T) {
	var zero T
	if *v == zero {
		*v = or
	}
}

// Wake tells following streams, here and at other servers, that something was
// committed here. It is a hint: they also look for themselves.
func (s *Service) Wake() {
	s.Heard()
	s.config.Tell()
}

// Heard tells the streams that follow here that something was committed at
// another server.
func (s *Service) Heard() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.wake)
	s.wake = make(chan struct{})
}

func (s *Service) woken() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wake
}

// Stop ends following streams, each with a cursor. It does not wait for them.
func (s *Service) Stop() { s.stop.Do(func() { close(s.stopped) }) }

// view reads for somebody. Whatever is read here goes through it, so that a
// store with a second lock has it on all of it.
func (s *Service) view(ctx context.Context, r Reader, fn func(store.Reader) error) error {
	if v, ok := s.config.Store.(store.GrantedViewer); ok {
		return v.ViewAs(ctx, r.Grants, s.millis(), fn)
	}
	return s.config.Store.View(ctx, fn)
}

// millis returns the time in Unix milliseconds.
func (s *Service) millis() int64 { return s.now().UnixMilli() }

// stamp writes a time of the store for people and programs: RFC 3339 in UTC;
// "" for none.
func stamp(millis int64) string {
	if millis == 0 {
		return ""
	}
	return time.UnixMilli(millis).UTC().Format("2006-01-02T15:04:05.000Z")
}
