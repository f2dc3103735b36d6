package httpapi

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sambang-id/sambang/server/internal/auth"
	"github.com/sambang-id/sambang/server/internal/hq"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// Config is what the API stands on. All fields without a default are
// required.
type Config struct {
	// Identity verifies people's tokens and signs wipe orders.
	Identity *auth.Identity
	// Devices recognises devices.
	Devices DeviceVerifier
	// Enroller redeems codes.
	Enroller Enroller
	// Exchange runs one exchange of an authenticated device.
	Exchange Exchange
	// Health tells what is known of the store.
	Health Health
	// HQ answers headquarters. Default: none, its routes are not served.
	HQ *hq.Service
	// Now is the server's clock. Default: time.Now.
	Now func() time.Time
	// Logger gets one line a request. Default: silent.
	Logger *slog.Logger
	// Limits bound what callers may use. The zero value has the defaults.
	Limits Limits
	// TrustedProxies may say in X-Forwarded-For whom they speak for. Default:
	// none, the peer is the caller.
	TrustedProxies []netip.Prefix
	// MetricsApart leaves /metrics out of the API, for a listener of its own.
	MetricsApart bool
}

// DeviceVerifier recognises the device that made a token, once per token.
type DeviceVerifier interface {
	Verify(ctx context.Context, token string, now time.Time) (auth.Caller, error)
}

// Enroller turns a code into a device. now is in Unix milliseconds.
type Enroller interface {
	Redeem(ctx context.Context, r auth.EnrolRequest, now int64) (auth.EnrolReply, error)
}

// Exchange runs one exchange: next yields the request's batches and then
// io.EOF, send writes the frames of the reply. After a successful send an error
// can only mean that the connection is cut. now is in Unix milliseconds.
type Exchange func(ctx context.Context, dev store.Device, now int64, open *wire.Open, next func() (*wire.Batch, error), send func(*wire.ResponseFrame) error) (Summary, error)

// Summary counts what an exchange did, for metrics and the log.
type Summary struct {
	Pushed, Applied, Quarantined, Delivered int
	More                                    bool
}

// Health tells what is known of the store.
type Health interface {
	// Ready returns nil if the store takes writes now.
	Ready(ctx context.Context) error
	// Stats returns counts for metrics.
	Stats(ctx context.Context) (store.Stats, error)
}

// API serves the routes. It is safe for concurrent use, and starts nothing.
type API struct {
	config  Config
	limits  Limits
	logger  *slog.Logger
	now     func() time.Time
	echo    *echo.Echo
	metrics *metrics
	gates   gates
	ready   readiness
}

// New returns an API.
func New(c Config) *API {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	limits := c.Limits.withDefaults()
	a := &API{config: c, limits: limits, logger: c.Logger, now: c.Now, metrics: newMetrics(c.Health), gates: newGates(limits)}
	e := echo.New()
	e.Logger.SetOutput(io.Discard)
	e.IPExtractor = extractor(c.TrustedProxies)
	e.HTTPErrorHandler = a.fail
	e.Use(a.named)
	for _, r := range a.routes() {
		e.Add(r.method, r.path, a.guard(r))
	}
	a.echo = e
	return a
}

// ServeHTTP serves one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.serve(w, r) }

// Metrics serves /metrics alone.
func (a *API) Metrics() http.Handler {
	return promhttp.HandlerFor(a.metrics.registry, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(a.logger.Handler(), slog.LevelError)})
}

// Server returns an HTTP server for the API with the limits that only a server
// can keep.
func (a *API) Server() *http.Server {
	s := &http.Server{
		Handler:           a,
		ReadHeaderTimeout: a.limits.HeaderTimeout,
		IdleTimeout:       a.limits.IdleTimeout,
		MaxHeaderBytes:    a.limits.HeaderBytes,
		// No ReadTimeout or WriteTimeout: they would cut slow honest phones.
		// Each request renews its deadlines as it makes progress.
		ErrorLog: slog.NewLogLogger(a.logger.Handler(), slog.LevelDebug),
	}
	if a.config.HQ != nil {
		s.RegisterOnShutdown(a.config.HQ.Stop) // or who follows the log would hold it up
	}
	return s
}

// extractor returns the caller's address: of the peer, or what a trusted proxy
// says.
func extractor(trusted []netip.Prefix) echo.IPExtractor {
	if len(trusted) == 0 {
		return echo.ExtractIPDirect()
	}
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, p := range trusted {
		bits := p.Addr().BitLen()
		options = append(options, echo.TrustIPRange(&net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), bits)}))
	}
	return echo.ExtractIPFromXFFHeader(options...)
}

// statusOf returns the status of echo's own refusals.
func statusOf(err error) (int, bool) {
	var e *echo.HTTPError
	if errors.As(err, &e) {
		return e.Code, true
	}
	return 0, false
}
