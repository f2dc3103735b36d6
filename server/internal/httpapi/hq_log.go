package httpapi

import (
	"bufio"
	"encoding/json"
	"mime"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/sambang-id/sambang/server/internal/hq"
	"github.com/sambang-id/sambang/syncproto"
)

// ndjson is the media type of the stream.
const ndjson = "application/x-ndjson"

// log is GET /v1/log: a page, or with Accept: application/x-ndjson the stream.
func (a *API) log(c echo.Context) error {
	r, err := reader(c)
	if err != nil {
		return err
	}
	query, err := words(c.Request())
	if err != nil {
		return err
	}
	c.Response().Header().Add("Vary", "Accept")
	cursor := take(query, "cursor")
	if accepts(c.Request(), ndjson) {
		return a.stream(c, r, query, cursor)
	}
	limit, err := takeLimit(query)
	if err != nil {
		return err
	}
	if _, ok := query["follow"]; ok {
		return syncproto.Errorf(syncproto.CodeFilterInvalid, "follow is for the stream: ask with Accept: %s", ndjson)
	}
	f, err := hq.ParseFilter(query)
	if err != nil {
		return err
	}
	page, err := a.config.HQ.Log(c.Request().Context(), r, f, cursor, limit)
	if err != nil {
		return err
	}
	return sendJSON(c, http.StatusOK, page)
}

func (a *API) stream(c echo.Context, r hq.Reader, query map[string]string, cursor string) error {
	follow := take(query, "follow")
	switch follow {
	case "", "true", "false":
	default:
		return syncproto.Errorf(syncproto.CodeFilterInvalid, "follow is neither true nor false")
	}
	if _, ok := query["limit"]; ok {
		return syncproto.Errorf(syncproto.CodeFilterInvalid, "limit is for pages; a stream may be cut anywhere and goes on at its last cursor")
	}
	f, err := hq.ParseFilter(query)
	if err != nil {
		return err
	}
	out := &lines{c: c}
	if err := a.config.HQ.Stream(c.Request().Context(), r, f, cursor, follow == "true", out); err != nil {
		return err
	}
	return out.Flush()
}

// lines writes a stream. The status is sent with the first line: what is wrong
// with the request is a problem document.
type lines struct {
	c   echo.Context
	out *bufio.Writer
	enc *json.Encoder
}

// Send implements [hq.Sink].
func (l *lines) Send(line hq.Line) error {
	if l.out == nil {
		w := l.c.Response()
		w.Header().Set("Content-Type", ndjson)
		w.Header().Set("X-Accel-Buffering", "no") // or a proxy holds back what is followed
		w.WriteHeader(http.StatusOK)
		l.out = bufio.NewWriterSize(w, chunk)
		l.enc = json.NewEncoder(l.out)
		l.enc.SetEscapeHTML(false)
	}
	return cut(l.enc.Encode(line))
}

// Flush implements [hq.Sink].
func (l *lines) Flush() error {
	if l.out == nil {
		return nil
	}
	if err := l.out.Flush(); err != nil {
		return cut(err)
	}
	l.c.Response().Flush()
	return nil
}

// cut names what a failed write means: the reader went away, or is too slow.
func cut(err error) error {
	if err == nil {
		return nil
	}
	return syncproto.Errorf(syncproto.CodeTimeout, "the connection was cut while the reply was sent")
}

// accepts reports whether the caller names a media type, not refusing it.
func accepts(r *http.Request, want string) bool {
	for _, accept := range r.Header.Values("Accept") {
		for one := range strings.SplitSeq(accept, ",") {
			kind, params, err := mime.ParseMediaType(one)
			if q, weighed := params["q"]; err == nil && kind == want && (!weighed || strings.Trim(q, "0.") != "") {
				return true
			}
		}
	}
	return false
}
