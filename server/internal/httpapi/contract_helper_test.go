package httpapi_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/sambang-id/sambang/server/internal/httpapi"
	"github.com/sambang-id/sambang/server/internal/httpapi/openapitest"
)

// hold tells what the document has against an exchange: the answer must be one
// that it names, and what it does not let a caller send must be refused.
func hold(d *openapitest.Document, table []httpapi.Line, x exchanged) error {
	if err := holdAnswer(d, table, x); err != nil || x.status >= http.StatusBadRequest {
		return err
	}
	if err := d.Request(x.request, x.sent); err != nil {
		return fmt.Errorf("the server took what the document does not: %w", err)
	}
	return nil
}

// holdAnswer is hold for an answer alone.
func holdAnswer(d *openapitest.Document, table []httpapi.Line, x exchanged) error {
	if form := x.header.Get("Content-Type"); x.status >= http.StatusBadRequest && form != "application/problem+json" {
		return fmt.Errorf("a refusal of type %s", form)
	}
	if slices.ContainsFunc(table, func(l httpapi.Line) bool { return isRoute(l, x.request) }) {
		return d.Answer(x.request, x.status, x.header, x.body)
	}
	// The document has no path for what is no route; its preface says what becomes of it.
	if x.status != http.StatusNotFound && x.status != http.StatusMethodNotAllowed {
		return fmt.Errorf("what is no route is answered with %d", x.status)
	}
	return d.Value("Problem", x.body)
}

// isRoute tells whether a request goes to a line of the table of routes.
func isRoute(l httpapi.Line, r *http.Request) bool {
	want, got := strings.Split(l.Path, "/"), strings.Split(r.URL.EscapedPath(), "/")
	return l.Method == r.Method && slices.EqualFunc(want, got, func(w, g string) bool { return w == g || strings.HasPrefix(w, ":") && g != "" })
}
