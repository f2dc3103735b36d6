package httpapi

import (
	"context"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/sambang-id/sambang/server/internal/hq"
	"github.com/sambang-id/sambang/syncproto"
)

// inbox is GET /v1/inbox.
func (a *API) inbox(c echo.Context) error {
	r, err := reader(c)
	if err != nil {
		return err
	}
	query, err := words(c.Request())
	if err != nil {
		return err
	}
	cursor := take(query, "cursor")
	limit, err := takeLimit(query)
	if err != nil {
		return err
	}
	f, err := hq.ParseInboxFilter(query)
	if err != nil {
		return err
	}
	page, err := a.config.HQ.Inbox(c.Request().Context(), r, f, cursor, limit)
	if err != nil {
		return err
	}
	return sendJSON(c, http.StatusOK, page)
}

// message is GET /v1/inbox/:key.
func (a *API) message(c echo.Context) error {
	r, err := reader(c)
	if err != nil {
		return err
	}
	if err := noQuery(c.Request()); err != nil {
		return err
	}
	key, err := hq.ParseMessageKey(c.Param("key"))
	if err != nil {
		return err
	}
	m, err := a.config.HQ.Message(c.Request().Context(), r, key)
	if err != nil {
		return err
	}
	return sendJSON(c, http.StatusOK, m)
}

// release is POST /v1/inbox/:key/release.
func (a *API) release(c echo.Context) error { return a.decide(c, a.config.HQ.Release) }

// close is POST /v1/inbox/:key/close.
func (a *API) close(c echo.Context) error { return a.decide(c, a.config.HQ.Close) }

func (a *API) decide(c echo.Context, do func(context.Context, hq.Reader, syncproto.Digest, string) (hq.Decision, error)) error {
	r, err := reader(c)
	if err != nil {
		return err
	}
	key, err := hq.ParseMessageKey(c.Param("key"))
	if err != nil {
		return err
	}
	if err := noQuery(c.Request()); err != nil {
		return err
	}
	why, err := reason(c.Request())
	if err != nil {
		return err
	}
	decision, err := do(c.Request().Context(), r, key, why)
	if err != nil {
		return err
	}
	return sendJSON(c, http.StatusOK, decision)
}
