package httpapi

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/sambang-id/sambang/server/internal/auth"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// call is what is known of one request. It belongs to the request's goroutine.
type call struct {
	id      string
	route   string // the pattern, never the path
	device  store.Device
	person  auth.Person
	code    syncproto.Code // of the refusal; "" for none
	cause   error          // what is behind an internal error, for the log
	aborted bool
	summary Summary
}

type callKey struct{}

func callOf(c echo.Context) *call { return callIn(c.Request().Context()) }

func callIn(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return &call{}
}

// serve runs a request with its deadlines, and tells log and metrics how it
// ended.
func (a *API) serve(w http.ResponseWriter, r *http.Request) {
	start := a.now()
	c := &call{id: requestID(r), route: "none"}
	r = r.WithContext(context.WithValue(r.Context(), callKey{}, c))
	out := newWriter(w, a.limits.WriteStall)
	in := newBody(w, r.Body, a.limits)
	if r.Body != http.NoBody {
		r.Body = in
	}
	h := w.Header()
	h.Set("X-Request-Id", c.id)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	defer func() {
		failure := recover()
		if failure != nil && failure != http.ErrAbortHandler { //nolint:errorlint // the sentinel of net/http, thrown as it is
			c.code = syncproto.CodeInternal
			a.logger.ErrorContext(r.Context(), "panic", "request_id", c.id, "route", c.route, "panic", failure, "stack", string(debug.Stack()))
			if out.status == 0 {
				a.writeProblem(out, r, c, syncproto.CodeInternal, "")
				failure = nil
			} else {
				failure = http.ErrAbortHandler
			}
		}
		c.aborted = failure != nil
		a.done(r, c, out, in, a.now().Sub(start))
		if failure != nil {
			panic(http.ErrAbortHandler)
		}
	}()
	a.echo.ServeHTTP(out, r)
}

// named notes the pattern of the route, for log and metrics.
func (a *API) named(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if p := c.Path(); p != "" {
			callOf(c).route = p
		}
		return next(c)
	}
}

// fail answers a refused request.
func (a *API) fail(err error, c echo.Context) {
	w, r, call := c.Response(), c.Request(), callOf(c)
	code, detail := refusal(err)
	if code == syncproto.CodeInternal {
		call.cause = err
	}
	if w.Committed {
		call.code = code
		panic(http.ErrAbortHandler)
	}
	a.writeProblem(w, r, call, code, detail)
}

func (a *API) done(r *http.Request, c *call, w *writer, in *body, took time.Duration) {
	status := strconv.Itoa(w.status)
	if c.aborted {
		status = "aborted"
	}
	method := methodLabel(r.Method)
	a.metrics.requests.WithLabelValues(c.route, method, status).Inc()
	a.metrics.seconds.WithLabelValues(c.route).Observe(took.Seconds())
	a.metrics.bytes.WithLabelValues("in").Add(float64(in.n))
	a.metrics.bytes.WithLabelValues("out").Add(float64(w.n))
	if c.code != "" {
		a.metrics.refusals.WithLabelValues(string(c.code)).Inc()
	}
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("request_id", c.id), slog.String("method", method), slog.String("route", c.route), slog.String("status", status),
		slog.Float64("ms", float64(took.Microseconds())/1000), slog.Int64("bytes_in", in.n), slog.Int64("bytes_out", w.n),
	}
	if c.code != "" {
		attrs = append(attrs, slog.String("code", string(c.code)))
	}
	if c.device.ID != "" {
		attrs = append(attrs, slog.String("device", c.device.ID))
	}
	if s := c.summary; s.Pushed+s.Delivered+s.Quarantined > 0 {
		attrs = append(attrs, slog.Int("pushed", s.Pushed), slog.Int("quarantined", s.Quarantined), slog.Int("delivered", s.Delivered))
	}
	if c.cause != nil {
		level = slog.LevelError
		attrs = append(attrs, slog.String("error", c.cause.Error()))
		if errors.Is(c.cause, context.Canceled) {
			level = slog.LevelInfo
		}
	}
	a.logger.LogAttrs(r.Context(), level, "request", attrs...)
}

// requestID takes over an id that a proxy gave, if it has the usual form.
func requestID(r *http.Request) string {
	if id := r.Header.Get("X-Request-Id"); len(id) >= 8 && len(id) <= 64 && isToken(id) {
		return id
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	return hex.EncodeToString(b[:])
}

func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// methodLabel keeps invented methods out of log and metrics.
func methodLabel(m string) string {
	switch m {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodHead, http.MethodOptions, http.MethodPatch:
		return m
	}
	return "other"
}
