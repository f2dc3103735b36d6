package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"github.com/sambang-id/sambang/server/internal/auth"
	"github.com/sambang-id/sambang/server/internal/engine"
	"github.com/sambang-id/sambang/server/internal/hq"
	"github.com/sambang-id/sambang/server/internal/httpapi"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto/pack"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// Server is an opened server. It is safe for concurrent use.
type Server struct {
	config   Config
	identity *auth.Identity
	store    store.Store
	engine   *engine.Engine
	hq       *hq.Service
	api      *httpapi.API
	certs    *certificates
	clock    *sharedClock // nil: Config.Now is
	wakes    *wakes       // nil: no other server shares the store

	mu       sync.Mutex
	listener net.Listener
}

// New opens the data folder, and makes store and identity if there are none.
// It starts nothing: call Run to serve, or use Handler, or the methods that
// officers, devices and codes are managed with. Close it at the end.
func New(c Config) (_ *Server, err error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Pack == nil {
		c.Pack = pack.Timpora()
	}
	s := &Server{}
	if s.certs, err = newCertificates(c, localClock(c)); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, fmt.Errorf("create the data folder: %w", err)
	}
	if s.identity, err = auth.OpenIdentity(c.Data, c.Rand); err != nil {
		return nil, err
	}
	if s.store, err = openStore(context.Background(), c); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.store.Close())
		}
	}()
	if err := syncFolders(c.Data); err != nil {
		return nil, err
	}
	if err := pin(context.Background(), s.store, s.identity); err != nil {
		return nil, err
	}
	if c.Now, err = s.clockOf(context.Background(), c); err != nil {
		return nil, err
	}
	s.config = c
	s.engine = engine.New(engine.Config{
		Store: s.store, ServerID: s.identity.ServerID, ReceiptKey: s.identity.ReceiptKey, ReceiptKeyID: s.identity.ReceiptKeyID,
		ProjectKey: s.identity.ProjectKey, Pack: c.Pack, Rand: c.Rand, Logger: c.Logger,
	})
	headquarters := hq.Config{
		Store: s.store, Decisions: s.engine, Secret: s.identity.ProjectKey, Pack: c.Pack, Audit: c.Logger, Now: c.Now, Poll: c.poll,
	}
	if shared, ok := s.store.(store.Wakes); ok {
		s.wakes = newWakes(shared, func() { s.hq.Heard() }, c.Logger)
		headquarters.Tell = s.wakes.tell
	}
	s.hq, err = hq.New(headquarters)
	if err != nil {
		return nil, err
	}
	s.api = httpapi.New(httpapi.Config{
		Identity: s.identity,
		Devices:  auth.NewDeviceVerifier(s.store, s.identity.ServerID, c.Now()),
		Enroller: &auth.Enroller{Store: s.store, Identity: s.identity},
		Exchange: s.exchange, Health: health{s.store}, HQ: s.hq,
		Now: c.Now, Logger: c.Logger, Limits: c.Limits, TrustedProxies: c.TrustedProxies, MetricsApart: c.MetricsListen != "",
	})
	return s, nil
}

// ID returns the server's id, which tokens and receipts name.
func (s *Server) ID() string { return s.identity.ServerID }

// Handler returns the API without a listener, for tests and for servers that
// have their own. The deadlines of [Limits] hold if the server's connections
// have deadlines.
func (s *Server) Handler() http.Handler { return s.api }

// Close closes the store. Call it after Run has returned.
func (s *Server) Close() error { return s.store.Close() }

// exchange joins API and engine.
func (s *Server) exchange(ctx context.Context, dev store.Device, now int64, open *wire.Open, next func() (*wire.Batch, error), send func(*wire.ResponseFrame) error) (httpapi.Summary, error) {
	sum, err := s.engine.Sync(ctx, dev, now, open, next, send)
	return httpapi.Summary{Pushed: sum.Pushed, Applied: sum.Applied, Quarantined: sum.Quarantined, Delivered: sum.Delivered, More: sum.More}, err
}

// health asks the store.
type health struct{ store store.Store }

// Ready runs an empty step under the registry's lock.
func (h health) Ready(ctx context.Context) error {
	return h.store.Update(ctx, store.Step{Scopes: []string{store.RegistryScope}, Do: func(store.Tx) ([]store.Step, error) { return nil, nil }})
}

// Pools says how busy the connections to the database are, if there are any.
func (h health) Pools() []store.Pool {
	if p, ok := h.store.(store.Pooled); ok {
		return p.Pools()
	}
	return nil
}

// Stats counts.
func (h health) Stats(ctx context.Context) (s store.Stats, err error) {
	err = h.store.View(ctx, func(r store.Reader) error {
		s, err = r.Stats()
		return err
	})
	return s, err
}

// Listen opens the address to serve on, and returns it. Run does it if nobody
// did; call it first to know the address before Run blocks.
func (s *Server) Listen() (net.Addr, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		return s.listener.Addr(), nil
	}
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", s.config.listen())
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	s.listener = l
	return l.Addr(), nil
}

// Run serves until ctx is done, then lets running requests end, for at most
// ShutdownTime, and returns nil. It can run once.
func (s *Server) Run(ctx context.Context) error {
	addr, err := s.Listen()
	if err != nil {
		return err
	}
	main := s.api.Server()
	listener := netutil.LimitListener(s.listener, orDefault(s.config.MaxConnections, 16_384))
	if config := s.certs.config(); config != nil {
		main.TLSConfig = config
	}
	servers := []serving{{main, listener}}
	if s.config.MetricsListen != "" {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.config.MetricsListen)
		if err != nil {
			return errors.Join(fmt.Errorf("listen for metrics: %w", err), s.listener.Close())
		}
		servers = append(servers, serving{metricsServer(s.api.Metrics()), l})
	}
	defer s.beside(ctx)()
	s.config.Logger.InfoContext(ctx, "serving", "address", addr.String(), "server_id", s.ID(), "tls", s.config.tls())
	return serve(ctx, servers, orDefault(s.config.ShutdownTime, 15*time.Second), s.config.Logger)
}

// beside starts what runs beside the requests, and returns what ends it.
func (s *Server) beside(ctx context.Context) (end func()) {
	ctx, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	if s.clock != nil {
		all.Go(func() { s.clock.run(ctx) })
	}
	if s.wakes != nil {
		all.Go(func() { s.wakes.run(ctx) })
	}
	return func() {
		stop()
		all.Wait()
	}
}

// serving is a server and where it listens.
type serving struct {
	server   *http.Server
	listener net.Listener
}

func (x serving) serve() error {
	if x.server.TLSConfig != nil {
		return x.server.ServeTLS(x.listener, "", "")
	}
	return x.server.Serve(x.listener)
}

// serve runs all servers until ctx is done or one of them fails.
func serve(ctx context.Context, servers []serving, patience time.Duration, logger *slog.Logger) error {
	failed := make(chan error, len(servers))
	for _, x := range servers {
		go func() { failed <- x.serve() }()
	}
	var err error
	left := len(servers)
	select {
	case <-ctx.Done():
	case err = <-failed:
		left--
	}
	logger.InfoContext(ctx, "stopping")
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	for _, x := range servers {
		if x.server.Shutdown(grace) != nil {
			// What is still running is cut: the devices send it again.
			_ = x.server.Close()
		}
	}
	for range left {
		if e := <-failed; err == nil && !errors.Is(e, http.ErrServerClosed) {
			err = e
		}
	}
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

func metricsServer(h http.Handler) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", h)
	return &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}
}

func orDefault[T comparable](v, or T) T {
	var zero T
	if v == zero {
		return or
	}
	return v
}
