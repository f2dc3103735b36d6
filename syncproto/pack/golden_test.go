package pack_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
)

var update = flag.Bool("update", false, "write the golden projections anew")

// Every sample is written by its own device when it was captured; updates are
// made without knowledge of the record's other writers, except TS-12, which
// had seen TS-11. Then all meet. The file holds what each record shows, with
// every conflict: who reads a change of it reads what officers will see.
func TestGoldenProjectionsOfTheSamples(t *testing.T) {
	p := pack.Timpora()
	all := newWriter(t, 999, 0)
	devices := map[string]*writer{}
	var order []syncproto.RecordID
	kinds := map[syncproto.RecordID]string{}
	for i, s := range samples(t) {
		at, err := time.Parse(time.RFC3339, s.CapturedAt)
		if err != nil {
			t.Fatal(err)
		}
		w := newWriter(t, uint64(i+1), at.UnixMilli())
		devices[s.ID] = w
		if s.ID == "TS-12" {
			w.learn(devices["TS-11"])
		}
		for _, r := range s.Records {
			id, err := syncproto.ParseRecordID(r.ID)
			if err != nil {
				t.Fatal(err)
			}
			if kinds[id] == "" {
				order, kinds[id] = append(order, id), r.Kind
			}
			w.split(p, r.Kind, id, r.Fields)
		}
	}
	for _, w := range devices { // in any order
		all.learn(w)
	}
	var got bytes.Buffer
	e := json.NewEncoder(&got)
	e.SetEscapeHTML(false)
	for _, id := range order {
		if err := e.Encode(all.project(p, id)); err != nil {
			t.Fatal(err)
		}
	}
	const name = "testdata/timpora-projections.jsonl"
	if *update {
		if err := os.WriteFile(name, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	a, b := bytes.Split(got.Bytes(), []byte("\n")), bytes.Split(want, []byte("\n"))
	if len(a) != len(b) {
		t.Fatalf("%d projections, want %d", len(a), len(b))
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			t.Errorf("projection %d:\n%s\nwant\n%s", i, a[i], b[i])
		}
	}
}
