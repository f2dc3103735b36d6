package httpapi_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sambang-id/sambang/server/internal/httpapi"
	"github.com/sambang-id/sambang/server/internal/httpapi/openapitest"
)

// TestADocumentThatSaysSomethingElseIsNoticed is the positive control of the
// tests that hold answers against the document: each thing that it says of what
// the server really did is changed, one at a time, and the same answers must
// then not be as it says. unseen has what no answer shows.
func TestADocumentThatSaysSomethingElseIsNoticed(t *testing.T) {
	d := newDesk(t, nil)
	d.askEverything()
	var noticed atomic.Int64
	try := func(m mutation) {
		doc, err := openapitest.Read(m.document)
		if err != nil {
			t.Errorf("%s: the changed document is not even valid: %v", m.name, err)
			return
		}
		seen := slices.ContainsFunc(d.held, func(x exchanged) bool { return hold(doc, d.api.Table(), x) != nil })
		if seen {
			noticed.Add(1)
		}
		if seen == slices.Contains(unseen, m.name) {
			t.Errorf("%s: noticed %v", m.name, seen)
		}
	}
	all := d.mutations()
	var wait sync.WaitGroup
	for part := range slices.Chunk(all, len(all)/runtime.GOMAXPROCS(0)+1) {
		wait.Go(func() {
			for _, m := range part {
				try(m)
			}
		})
	}
	wait.Wait()
	t.Logf("%d changes of the document were noticed, %d were not: no answer shows what they change", noticed.Load(), len(unseen))
}

// unseen is what no answer of askEverything shows.
//
//nolint:gochecknoglobals // constant
var unseen = []string{
	"no Candidate.suspect",     // of a computed field alone
	"no Decision.content",      // no decision shows it
	"no Entry.damaged",         // needs a store that is damaged
	"no LogLine.heartbeat",     // follows; TestAFollowerIsEndedByAShutdown
	"no Record.damaged_writes", // so does it
	"no Record.history_cut",    // needs 10,000 writes
	"no Write.author_damaged",  // needs a store that is damaged
}

// mutation is a document with one change.
type mutation struct {
	name     string
	document []byte
}

// mutations takes away each operation and status that was answered, and the
// content types of success, asks each object for a member that is not there, and
// gives each member and each element another type.
func (d *desk) mutations() (out []mutation) {
	d.t.Helper()
	var whole map[string]any
	if err := json.Unmarshal(httpapi.OpenAPI(), &whole); err != nil {
		d.t.Fatal(err)
	}
	// change puts another value for a member, or nil for none, into the document
	// for as long as it is written down.
	change := func(object map[string]any, key string, value any, name string) {
		was, had := object[key]
		if object[key] = value; value == nil {
			delete(object, key)
		}
		b, err := json.Marshal(whole)
		if err != nil {
			d.t.Fatal(err)
		}
		if object[key] = was; !had {
			delete(object, key)
		}
		if name := "no " + name; !slices.ContainsFunc(out, func(m mutation) bool { return m.name == name }) {
			out = append(out, mutation{name, b})
		}
	}
	another := map[string]any{"type": "null"}
	for _, x := range d.held {
		for path, methods := range at(whole, "paths") {
			l := httpapi.Line{Method: x.request.Method, Path: strings.NewReplacer("{", ":", "}", "").Replace(path)}
			if !isRoute(l, x.request) {
				continue
			}
			methods, method := methods.(map[string]any), strings.ToLower(l.Method)
			responses, status := at(methods, method, "responses"), fmt.Sprint(x.status)
			answered := fmt.Sprintf("%s %s %s", l.Method, path, status)
			change(methods, method, nil, l.Method+" "+path)
			change(responses, status, nil, answered)
			if x.status < http.StatusMultipleChoices {
				change(at(responses, status), "content", map[string]any{"image/png": map[string]any{}}, "type of "+answered)
			}
		}
	}
	for name, s := range at(whole, "components", "schemas") {
		eachObject(s, name, func(s map[string]any, name string) {
			if s["type"] == "object" {
				required, _ := s["required"].([]any)
				change(s, "required", append(slices.Clone(required), "absent"), name+" without more")
			}
			if _, ok := s["items"]; ok {
				change(s, "items", another, name+"[]")
			}
			if properties, ok := s["properties"].(map[string]any); ok {
				for _, p := range slices.Sorted(maps.Keys(properties)) {
					change(properties, p, another, name+"."+p)
				}
			}
		})
	}
	return out
}

// eachObject calls do for a schema and those inside it.
func eachObject(schema any, name string, do func(schema map[string]any, name string)) {
	s, ok := schema.(map[string]any)
	if !ok {
		return
	}
	do(s, name)
	eachObject(s["items"], name+"[]", do)
	if properties, ok := s["properties"].(map[string]any); ok {
		for p, s := range properties {
			eachObject(s, name+"."+p, do)
		}
	}
}

func at(tree map[string]any, path ...string) map[string]any {
	for _, p := range path {
		tree = tree[p].(map[string]any)
	}
	return tree
}
