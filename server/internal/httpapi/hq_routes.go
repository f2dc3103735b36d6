package httpapi

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/sambang-id/sambang/server/internal/auth"
	"github.com/sambang-id/sambang/server/internal/hq"
	"github.com/sambang-id/sambang/syncproto"
)

// hqRoutes are headquarters' routes. What a role covers is in package auth;
// what a person may see in which region is decided by package hq.
func (a *API) hqRoutes() []route {
	if a.config.HQ == nil {
		return nil
	}
	return []route{
		{http.MethodGet, "/v1/log", auth.ReadLog, a.log},
		{http.MethodGet, "/v1/records/:id", auth.ReadLog, a.record},
		{http.MethodPost, "/v1/records/:id/purge", auth.PurgeRecords, a.purge},
		{http.MethodGet, "/v1/devices", auth.ReadDevices, a.devices},
		{http.MethodGet, "/v1/inbox", auth.ReadLog, a.inbox},
		{http.MethodGet, "/v1/inbox/:key", auth.ReadLog, a.message},
		{http.MethodPost, "/v1/inbox/:key/release", auth.DecideInbox, a.release},
		{http.MethodPost, "/v1/inbox/:key/close", auth.DecideInbox, a.close},
	}
}

// purposeHeader is where a reader says what he reads for: the number of a
// warrant, a case, a report. It goes into the audit log, so it is a short word
// and no sentence that could name somebody.
const purposeHeader = "Sambang-Purpose"

// reader returns who asks, from his verified token.
func reader(c echo.Context) (hq.Reader, error) {
	call := callOf(c)
	p := call.person
	purpose := c.Request().Header.Get(purposeHeader)
	if len(purpose) > 64 || strings.Trim(purpose, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:/-") != "" {
		return hq.Reader{}, syncproto.Errorf(syncproto.CodeMalformed, "%s is not a word of at most 64 of A-Z a-z 0-9 . _ : / -", purposeHeader)
	}
	return hq.Reader{
		ID: p.Subject, Role: string(p.Role), Agency: p.Agency, Grants: p.Grants(), Until: p.Expires, Purpose: purpose, Request: call.id,
	}, nil
}

// words reads a query: each name at most once, and not empty. Names are not
// judged here, but the reader of the words refuses those that it does not know.
func words(r *http.Request) (map[string]string, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, syncproto.Errorf(syncproto.CodeFilterInvalid, "the query can't be read")
	}
	out := make(map[string]string, len(values))
	for name, all := range values {
		if len(all) != 1 || all[0] == "" || !utf8.ValidString(all[0]) {
			return nil, syncproto.Errorf(syncproto.CodeFilterInvalid, "a parameter comes twice, is empty, or is not UTF-8")
		}
		out[name] = all[0]
	}
	return out, nil
}

// take removes a word and returns it; "" if there is none.
func take(words map[string]string, name string) string {
	v := words[name]
	delete(words, name)
	return v
}

// only refuses words that are not among names.
func only(words map[string]string, names ...string) error {
	for _, w := range slices.Sorted(maps.Keys(words)) {
		if !slices.Contains(names, w) {
			return syncproto.Errorf(syncproto.CodeFilterInvalid, "there is a parameter that this route does not know; it knows: %s", strings.Join(names, ", "))
		}
	}
	return nil
}

// noQuery refuses a query on a route that has no parameters.
func noQuery(r *http.Request) error {
	query, err := words(r)
	if err == nil && len(query) > 0 {
		err = syncproto.Errorf(syncproto.CodeFilterInvalid, "this route knows no parameter")
	}
	return err
}

// takeLimit removes and reads the word limit.
func takeLimit(words map[string]string) (int, error) {
	text := take(words, "limit")
	if text == "" {
		return hq.DefaultLimit, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > hq.MaxLimit {
		return 0, syncproto.Errorf(syncproto.CodeFilterInvalid, "limit is not from 1 to %d", hq.MaxLimit)
	}
	return n, nil
}

// maxReasonBody bounds the body of a decision, in bytes.
const maxReasonBody = 4 << 10

// reason reads the body {"reason": "…"}.
func reason(r *http.Request) (string, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return "", syncproto.Errorf(syncproto.CodeUnsupportedMedia, "content type is not application/json")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxReasonBody+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("read a decision: %w", err)
	case len(body) > maxReasonBody:
		return "", syncproto.Errorf(syncproto.CodeTooLarge, "a decision of more than %d bytes", maxReasonBody)
	case !utf8.Valid(body):
		return "", syncproto.Errorf(syncproto.CodeInvalidUTF8, "the decision is not UTF-8")
	}
	if _, err := syncproto.Canonicalize(body); err != nil {
		return "", syncproto.Errorf(syncproto.CodeMalformed, "the decision is not one JSON value with unique keys")
	}
	var in map[string]string // and no struct: its names would match in any case
	err = json.Unmarshal(body, &in)
	why, ok := in["reason"]
	if err != nil || !ok && len(in) > 0 || len(in) > 1 {
		return "", syncproto.Errorf(syncproto.CodeMalformed, `the decision is not {"reason": "…"}`)
	}
	return why, nil
}
