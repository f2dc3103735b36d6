package pack_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
)

// writer is a device, or the server, in tests: it holds records and writes
// parts to them.
type writer struct {
	t      testing.TB
	minter syncproto.Minter
	now    int64
	held   map[syncproto.RecordID]syncproto.Record
}

func newWriter(t testing.TB, replica uint64, now int64) *writer {
	return &writer{
		t: t, now: now, held: map[syncproto.RecordID]syncproto.Record{},
		minter: syncproto.NewMinter(syncproto.ReplicaID(replica), 0),
	}
}

func (w *writer) get(id syncproto.RecordID) syncproto.Record {
	if r, ok := w.held[id]; ok {
		return r
	}
	return syncproto.NewRecord(id)
}

// write applies the parts to the records that they belong to.
func (w *writer) write(kind string, id syncproto.RecordID, parts []pack.Part) {
	w.t.Helper()
	for _, part := range parts {
		r := w.get(part.ID(id))
		writes := part.WritesFor(r)
		if r.IsZero() {
			writes = append([]syncproto.Write{{Path: syncproto.PathKind, Value: syncproto.MustValue(kind)}}, writes...)
		}
		w.mint(r, writes...)
	}
}

func (w *writer) mint(r syncproto.Record, writes ...syncproto.Write) {
	w.t.Helper()
	r, m, _, _, err := w.minter.Write(r, 0, w.now, writes...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.minter, w.held[r.ID()] = m, r
	w.now += 1000
}

// set writes one register of the main record.
func (w *writer) set(id syncproto.RecordID, path string, v any) {
	w.t.Helper()
	w.mint(w.get(id), syncproto.Write{Path: path, Value: syncproto.MustValue(v)})
}

// learn takes over what another writer knows.
func (w *writer) learn(from *writer) {
	w.t.Helper()
	for id, r := range from.held {
		c, err := syncproto.Apply(w.get(id), r.Full())
		if err != nil {
			w.t.Fatal(err)
		}
		w.held[id] = c.Record
	}
}

// project shows the record with every companion that is held.
func (w *writer) project(p *pack.Pack, id syncproto.RecordID, classes ...syncproto.Class) pack.Projection {
	if classes == nil {
		classes = []syncproto.Class{syncproto.ClassHQ, syncproto.ClassTask, syncproto.ClassDevice}
	}
	var companions []syncproto.Record
	for _, c := range classes {
		companions = append(companions, w.get(syncproto.CompanionID(id, c)))
	}
	return p.Project(w.get(id), companions...)
}

func (w *writer) split(p *pack.Pack, kind string, id syncproto.RecordID, doc any, opts ...pack.Option) {
	w.t.Helper()
	parts, err := p.Split(kind, doc, append(opts, pack.ForRecord(id))...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(kind, id, parts)
}

// edit projects, lets f change the document, and writes the difference.
func (w *writer) edit(p *pack.Pack, id syncproto.RecordID, f func(doc map[string]any), opts ...pack.Option) []pack.Part {
	w.t.Helper()
	before := w.project(p, id)
	doc := before.Doc()
	f(doc)
	parts, err := p.Diff(before, doc, opts...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(before.Kind, id, parts)
	return parts
}

func recordID(n byte) syncproto.RecordID {
	return syncproto.RecordID{0x01, 0x94, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, n}
}

func canonical(t testing.TB, x any) string {
	t.Helper()
	v, err := syncproto.NewValue(x)
	if err != nil {
		t.Fatal(err)
	}
	return v.JSON()
}

func mustParse(t testing.TB, text string) *pack.Pack {
	t.Helper()
	p, err := pack.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// sample is a line of the Timpora samples.
type sample struct {
	ID         string `json:"id"`
	Device     string `json:"device"`
	CapturedAt string `json:"captured_at"`
	Records    []struct {
		Kind   string         `json:"kind"`
		ID     string         `json:"id"`
		Op     string         `json:"op"`
		Fields map[string]any `json:"fields"`
	} `json:"records"`
}

func samples(t testing.TB) []sample {
	t.Helper()
	text, err := os.ReadFile("testdata/timpora-samples.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var out []sample
	for line := range bytes.Lines(text) {
		var s sample
		d := json.NewDecoder(bytes.NewReader(line))
		d.UseNumber()
		if err := d.Decode(&s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}
