package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"

	"golang.org/x/text/language"

	"github.com/sambang-id/sambang/server/internal/auth"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// problem is an RFC 9457 problem document.
type problem struct {
	Type   string         `json:"type"`
	Title  string         `json:"title"` // for people, in their language
	Status int            `json:"status"`
	Code   syncproto.Code `json:"code"`
	// Detail is for whoever mends a client: English, without contents.
	Detail     string            `json:"detail,omitempty"`
	ServerTime int64             `json:"server_time"` // Unix milliseconds
	RequestID  string            `json:"request_id"`
	Wipe       *auth.SignedOrder `json:"wipe,omitempty"`
}

// refusal returns the code of an error, and its detail if it may be told.
func refusal(err error) (syncproto.Code, string) {
	if errors.Is(err, store.ErrMoved) || errors.Is(err, store.ErrUnfinished) {
		// Their own codes are for the operator. A device waits, and finds the
		// server again that he starts where the store is now.
		return syncproto.CodeUnavailable, "the store is moving to another database"
	}
	var own *syncproto.Error
	if errors.As(err, &own) {
		return own.Code, own.Detail
	}
	var code syncproto.Code
	if errors.As(err, &code) {
		return code, ""
	}
	if status, ok := statusOf(err); ok {
		switch status {
		case http.StatusNotFound:
			return syncproto.CodeNotFound, "no such route"
		case http.StatusMethodNotAllowed:
			return syncproto.CodeMethodNotAllowed, "the route has other methods"
		}
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return syncproto.CodeNotFound, ""
	case errors.Is(err, store.ErrBusy), errors.Is(err, store.ErrClosed):
		return syncproto.CodeUnavailable, "the store is busy"
	case errors.Is(err, store.ErrFull):
		return syncproto.CodeUnavailable, "the store has no space left"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return syncproto.CodeTimeout, "the request was given up"
	}
	return syncproto.CodeInternal, ""
}

// writeProblem answers with a problem document.
func (a *API) writeProblem(w http.ResponseWriter, r *http.Request, c *call, code syncproto.Code, detail string) {
	c.code = code
	p := problem{
		Type: "urn:sambang:problem:" + string(code), Status: StatusOf(code), Code: code, Detail: detail,
		ServerTime: a.now().UnixMilli(), RequestID: c.id,
	}
	h := w.Header()
	p.Title, h["Content-Language"] = text(code, r.Header.Get("Accept-Language"))
	if code == syncproto.CodeDeviceRevoked {
		order, err := a.config.Identity.WipeOrder(c.device)
		if err != nil {
			c.cause = err
		}
		p.Wipe = order
	}
	h.Set("Content-Type", "application/problem+json")
	h.Add("Vary", "Accept-Language")
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="sambang"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.Itoa(2+rand.IntN(9))) //nolint:gosec // spreads callers over 2 to 10 s; no secret
	case http.StatusRequestTimeout:
		h.Set("Connection", "close")
	}
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers
	}
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(append(body, '\n')) // whoever went away needs no answer
	}
}

// text returns the code's text in the language that is wanted most;
// Indonesian if none is, because officers read it.
func text(code syncproto.Code, accept string) (string, []string) {
	t := code.Text()
	if len(accept) <= 256 {
		if tags, _, err := language.ParseAcceptLanguage(accept); err == nil {
			for _, tag := range tags {
				switch base, _ := tag.Base(); base.String() {
				case "id", "ms", "jv", "su", "mad":
					return t.Indonesian, []string{"id"}
				case "en":
					return t.English, []string{"en"}
				}
			}
		}
	}
	return t.Indonesian, []string{"id"}
}
