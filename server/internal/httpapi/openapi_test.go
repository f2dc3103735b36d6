package httpapi_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/server/internal/auth"
	"github.com/sambang-id/sambang/server/internal/httpapi"
	"github.com/sambang-id/sambang/syncproto"
)

// document is the part of the document that the tests look at.
type document struct {
	OpenAPI string `json:"openapi"`
	Paths   map[string]map[string]struct {
		Security  []map[string][]string `json:"security"`
		Responses map[string]struct {
			Codes []syncproto.Code `json:"x-codes"`
		} `json:"responses"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]struct {
			Codes []syncproto.Code `json:"x-codes"`
		} `json:"schemas"`
	} `json:"components"`
}

func readDocument(t *testing.T) (d document) {
	t.Helper()
	if err := json.Unmarshal(httpapi.OpenAPI(), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestTheDocumentListsTheRoutesOfTheTable(t *testing.T) {
	d := newDesk(t, nil)
	doc := readDocument(t)
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("version %s, want 3.1.0", doc.OpenAPI)
	}
	written := map[string]bool{}
	for path, methods := range doc.Paths {
		for m := range methods {
			written[strings.ToUpper(m)+" "+path] = true
		}
	}
	scheme := map[auth.Action]string{auth.Public: "", auth.Sync: "device"}
	for _, r := range d.api.Table() {
		path := strings.NewReplacer(":id", "{id}", ":key", "{key}").Replace(r.Path)
		name := r.Method + " " + path
		if !written[name] {
			t.Errorf("%s is not in the document", name)
		}
		delete(written, name)
		want, special := scheme[r.Action]
		if !special {
			want = "person"
		}
		var got string
		for _, s := range doc.Paths[path][strings.ToLower(r.Method)].Security {
			got = strings.Join(slices.Collect(maps.Keys(s)), " ")
		}
		if got != want {
			t.Errorf("%s: the document asks for %q, the table for %q", name, got, want)
		}
	}
	for name := range written {
		t.Errorf("%s is in the document, but is no route", name)
	}
}

func TestTheDocumentsCodesAreThoseOfTheServer(t *testing.T) {
	doc := readDocument(t)
	known := doc.Components.Schemas["Code"].Codes
	for _, c := range known {
		if !httpapi.HasStatus(c) || c.Text().English == syncproto.Code("?").Text().English {
			t.Errorf("code %s has no status or no text", c)
		}
	}
	for path, methods := range doc.Paths {
		for m, op := range methods {
			for status, r := range op.Responses {
				for _, c := range r.Codes {
					if http.StatusText(httpapi.StatusOf(c)) == "" || !slices.Contains(known, c) {
						t.Errorf("%s %s: code %s is not in the list", m, path, c)
					}
					if got := httpapi.StatusOf(c); status != itoa(got) {
						t.Errorf("%s %s: code %s stands under %s, its status is %d", m, path, c, status, got)
					}
				}
			}
		}
	}
}

func itoa(n int) string {
	b, err := json.Marshal(n)
	if err != nil {
		panic(err)
	}
	return string(b)
}
