package hq_test

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/sambang-id/sambang/server/internal/hq"
	"github.com/sambang-id/sambang/server/internal/hq/hqtest"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// spoil flips one bit in each copy of a text in the store's file.
func spoil(t *testing.T, w *hqtest.World, text string) {
	t.Helper()
	if err := w.Store.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(w.Path)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.ReplaceAll(content, []byte(text), append([]byte{text[0] ^ 1}, text[1:]...))
	if bytes.Equal(content, changed) {
		t.Fatalf("%q is not in the file", text)
	}
	if err := os.WriteFile(w.Path, changed, 0o600); err != nil {
		t.Fatal(err)
	}
	w.Open()
}

// TestADamagedRecordIsAnEntryWithoutContents flips a bit in what is stored of
// one record. Headquarters sees that it is there and damaged, nothing of it,
// and all of the others.
func TestADamagedRecordIsAnEntryWithoutContents(t *testing.T) {
	w := newWorld(t, nil)
	a := w.Device("a", "imigrasi", hqtest.Grant("35"))
	var ids []syncproto.RecordID
	for n, name := range []string{"Penginapan Satu", "Penginapan Dua", "Penginapan Tiga"} {
		ids = append(ids, a.Create(n, "site", "35.24.14", map[string]any{"name": name}))
	}
	a.MustSync()
	spoil(t, w, "Penginapan Dua")
	reader := hqtest.Reader(hqtest.Grant("35"))

	checkEntries := func(what string, entries []hq.Entry) {
		t.Helper()
		if len(entries) != len(ids) {
			t.Fatalf("%s: %d entries, want %d", what, len(entries), len(ids))
		}
		for _, e := range entries {
			damaged := e.ID == ids[1].String()
			if e.Damaged != damaged || damaged && (string(e.Doc) != `{}` || e.Kind != "" || e.Agency != "" || e.Scope != "35.24.14") || !damaged && !bytes.Contains(e.Doc, []byte("Penginapan")) {
				t.Errorf("%s: %+v", what, e)
			}
		}
	}
	page, err := w.HQ.Log(t.Context(), reader, hq.Filter{}, "", 10)
	if err != nil {
		t.Fatal(err)
	}
	checkEntries("log", page.Entries)
	var paged []hq.Entry
	for cursor := ""; ; {
		page, err := w.HQ.Log(t.Context(), reader, hq.Filter{}, cursor, 1)
		if err != nil {
			t.Fatal(err)
		}
		paged = append(paged, page.Entries...)
		if cursor = page.Cursor; cursor == "" {
			break
		}
	}
	checkEntries("log in pages", paged)
	var lines hqtest.Lines
	if err := w.HQ.Stream(t.Context(), reader, hq.Filter{}, "", false, &lines); err != nil {
		t.Fatal(err)
	}
	var streamed []hq.Entry
	for _, l := range lines.All() {
		if l.Entry != nil {
			streamed = append(streamed, *l.Entry)
		}
	}
	checkEntries("stream", streamed)

	if _, err := w.HQ.Record(t.Context(), reader, ids[1]); !errors.Is(err, syncproto.CodeDamaged) || !errors.Is(err, store.ErrDamaged) {
		t.Errorf("the damaged record: %v", err)
	}
	if _, err := w.HQ.Record(t.Context(), hqtest.Reader(hqtest.Grant("36")), ids[1]); !errors.Is(err, syncproto.CodeNotFound) {
		t.Errorf("the damaged record out of reach: %v", err)
	}
	if _, err := w.HQ.Record(t.Context(), reader, ids[0]); err != nil {
		t.Errorf("a sound record: %v", err)
	}
	var problems []string
	if err := w.Engine.Check(t.Context(), func(p string) { problems = append(problems, p) }); err != nil {
		t.Error(err)
	}
	for _, table := range []string{"records", "changes"} {
		if want := (&store.Damage{Table: table, Scope: "35.24.14", Seq: 2, Key: ids[1].String()}).Error(); !slices.Contains(problems, want) {
			t.Errorf("check does not say %q: %q", want, problems)
		}
	}
}
