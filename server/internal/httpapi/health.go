package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/sambang-id/sambang/syncproto"
)

// time is GET /v1/time: what a device corrects its clock by before its first
// token.
func (a *API) time(c echo.Context) error {
	return sendJSON(c, http.StatusOK, struct {
		ServerID   string `json:"server_id"`
		ServerTime int64  `json:"server_time"`
	}{a.config.Identity.ServerID, a.now().UnixMilli()})
}

// healthz is GET /healthz: the process answers.
func (a *API) healthz(c echo.Context) error {
	return sendJSON(c, http.StatusOK, map[string]string{"status": "ok"})
}

// readyz is GET /readyz: the store takes writes.
func (a *API) readyz(c echo.Context) error {
	if err := a.ready.check(c.Request().Context(), a.config.Health, a.now()); err != nil {
		callOf(c).cause = err
		return syncproto.Errorf(syncproto.CodeUnavailable, "the store takes no writes")
	}
	return sendJSON(c, http.StatusOK, map[string]string{"status": "ready"})
}

const (
	// readyFor is how long an answer holds, so that asking costs the store
	// nothing.
	readyFor = 2 * time.Second
	// readyWithin is how long the store may take.
	readyWithin = 5 * time.Second
)

// readiness remembers the last answer.
type readiness struct {
	mu  sync.Mutex
	at  time.Time
	err error
}

func (r *readiness) check(ctx context.Context, h Health, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.at.IsZero() && now.Sub(r.at) < readyFor && !now.Before(r.at) {
		return r.err
	}
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	if err := h.Ready(ctx); err != nil {
		r.err = fmt.Errorf("store is not ready: %w", err)
	} else {
		r.err = nil
	}
	r.at = now
	return r.err
}
