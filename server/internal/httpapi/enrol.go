package httpapi

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/sambang-id/sambang/server/internal/auth"
	"github.com/sambang-id/sambang/syncproto"
)

// enrol is POST /v1/enrol. Its form is in the comment of package auth.
func (a *API) enrol(c echo.Context) error {
	if !a.gates.enrol.allow(ipKey(c.RealIP()), a.now()) {
		return syncproto.Errorf(syncproto.CodeRateLimited, "too many enrolments from this address")
	}
	r := c.Request()
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return syncproto.Errorf(syncproto.CodeUnsupportedMedia, "content type is not application/json")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, auth.MaxEnrolBody+1))
	if err != nil {
		return err
	}
	request, err := auth.ParseEnrolRequest(body)
	if err != nil {
		return err
	}
	reply, err := a.config.Enroller.Redeem(r.Context(), request, a.now().UnixMilli())
	if err != nil {
		return err
	}
	callOf(c).device.ID = reply.Device
	return sendJSON(c, http.StatusCreated, reply)
}

// sendJSON answers with a JSON object.
func sendJSON(c echo.Context, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode a reply: %w", err)
	}
	w := c.Response()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, err = w.Write(append(body, '\n'))
	return err
}
