package hq_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sambang-id/sambang/server/internal/hq"
	"github.com/sambang-id/sambang/server/internal/hq/hqtest"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

func stream(t *testing.T, w *hqtest.World, r hq.Reader, f hq.Filter, cursor string) []hq.Line {
	t.Helper()
	var out hqtest.Lines
	if err := w.HQ.Stream(t.Context(), r, f, cursor, false, &out); err != nil {
		t.Fatal(err)
	}
	return out.All()
}

// entries returns what is no cursor.
func entries(lines []hq.Line) (out []hq.Line) {
	for _, l := range lines {
		if l.Entry != nil || l.Left != nil {
			out = append(out, l)
		}
	}
	return out
}

func last(lines []hq.Line) hq.Line { return lines[len(lines)-1] }

func TestTheStreamGoesOnWhereItsCursorWas(t *testing.T) {
	w := newWorld(t, nil)
	a := w.Device("a", "imigrasi", hqtest.Grant("35"))
	r := hqtest.Reader(hqtest.Grant("35"))
	empty := stream(t, w, r, hq.Filter{}, "")
	if len(empty) != 1 || empty[0].Cursor == "" || empty[0].End != hq.EndComplete {
		t.Fatalf("stream of an empty log = %+v, want one cursor and the end", empty)
	}
	id := a.Create(1, "site", "35.24.14", map[string]any{"name": "x", "owner_name": "y"})
	a.MustSync()
	first := stream(t, w, r, hq.Filter{}, empty[0].Cursor)
	if got := entries(first); len(got) != 2 {
		t.Fatalf("stream = %+v, want an entry for each part", first)
	}
	for _, l := range entries(first) {
		if l.Entry.ID != id.String() || string(l.Entry.Doc) != `{"name":"x","owner_name":"y"}` {
			t.Errorf("entry = %+v, want the whole record", l.Entry)
		}
	}
	if again := stream(t, w, r, hq.Filter{}, last(first).Cursor); len(entries(again)) != 0 {
		t.Errorf("nothing happened, but the stream has %+v", entries(again))
	}
	a.Set(id, "name", "z")
	a.Set(id, "rooms", 3)
	a.MustSync()
	a.Set(id, "rooms", 4)
	a.MustSync()
	next := entries(stream(t, w, r, hq.Filter{}, last(first).Cursor))
	if len(next) != 1 || next[0].Entry.Class != classD || next[0].Entry.Seq != 3 || string(next[0].Entry.Doc) != `{"name":"z","owner_name":"y","rooms":4}` {
		t.Errorf("after two changes: %+v, want the latest alone", next)
	}
}

func TestTheStreamSaysWhatLeft(t *testing.T) {
	w := newWorld(t, nil)
	a := w.Device("a", "imigrasi", hqtest.Grant("35"))
	here, all := hqtest.Reader(hqtest.Grant("35.24")), hqtest.Reader(hqtest.Grant("35"))
	id := a.Create(1, "site", "35.24.14", map[string]any{"name": "x"})
	doomed := a.Create(2, "site", "35.24.14", map[string]any{"name": "y"})
	a.MustSync()
	mine, theirs := last(stream(t, w, here, hq.Filter{}, "")).Cursor, last(stream(t, w, all, hq.Filter{}, "")).Cursor
	regency := last(stream(t, w, all, hq.Filter{Region: "35.24"}, "")).Cursor
	a.Move(id, "35.25.01")
	a.Delete(doomed)
	a.MustSync()

	left := map[string]string{}
	for _, l := range entries(stream(t, w, here, hq.Filter{}, mine)) {
		if l.Left == nil {
			t.Errorf("entry %+v, want only what left", l.Entry)
			continue
		}
		left[l.Left.ID] = l.Left.Reason
	}
	if left[id.String()] != hq.LeftMoved || left[doomed.String()] != hq.LeftDeleted {
		t.Errorf("left = %v", left)
	}
	var moved, gone int
	for _, l := range entries(stream(t, w, all, hq.Filter{}, theirs)) {
		switch {
		case l.Entry != nil && l.Entry.ID == id.String() && l.Entry.Scope == "35.25.01":
			moved++
		case l.Left != nil && l.Left.ID == doomed.String():
			gone++
		default:
			t.Errorf("line %+v %+v", l.Entry, l.Left)
		}
	}
	if moved != 1 || gone != 1 {
		t.Errorf("a reader of both regions: %d moved, %d gone, want 1 and 1", moved, gone)
	}
	moved = 0
	for _, l := range entries(stream(t, w, all, hq.Filter{Region: "35.24"}, regency)) {
		if l.Left != nil && l.Left.ID == id.String() && l.Left.Reason == hq.LeftMoved {
			moved++
		}
	}
	if moved != 1 {
		t.Errorf("a filter by region: %d moved, want 1", moved)
	}
}

// TestAConsumerThatCrashesMissesAndRepeatsNothing reads while devices write,
// is cut at random lines, goes on at the last cursor that it kept, and compares
// at the end what it has with what there is.
func TestAConsumerThatCrashesMissesAndRepeatsNothing(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	w := newWorld(t, func(c *hq.Config) { c.CursorEvery = 5 })
	const devices, records, rounds = 3, 60, 25
	var wg sync.WaitGroup
	for d := range devices {
		dev := w.Device(fmt.Sprint("d", d), "imigrasi", hqtest.Grant("35"))
		own := rand.New(rand.NewPCG(seed, uint64(d+10)))
		for i := range records { // enough that a scope does not fit into one chunk
			dev.Create(d*records+i, "site", fmt.Sprintf("35.24.%02d", 10+i%2), map[string]any{"name": fmt.Sprint(i), "owner_name": fmt.Sprint(i)})
		}
		dev.MustSync()
		wg.Go(func() {
			for range rounds {
				for range 4 {
					id, scope := hqtest.ID(d*records+own.IntN(records)), fmt.Sprintf("35.24.%02d", 10+own.IntN(4))
					switch {
					case own.IntN(8) == 0:
						dev.Move(id, scope)
					case own.IntN(3) == 0:
						dev.Set(syncproto.CompanionID(id, classT), "owner_name", fmt.Sprint(own.IntN(1000)))
					default:
						dev.Set(id, "name", fmt.Sprint(own.IntN(1000)))
					}
				}
				if err := dev.Sync(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()

	r := hqtest.Reader(hqtest.Grant("35"))
	f := hq.Filter{Deleted: true}
	kept := consumer{docs: map[string]string{}, seqs: map[syncproto.Scope]uint64{}, keys: map[string]bool{}}
	crashes := 0
	for finished, tries := false, 0; ; tries++ {
		select {
		case <-done:
			finished = true
		default:
		}
		out := &hqtest.Lines{}
		if tries < 12 || !finished && rng.IntN(3) > 0 {
			out.Fail = 1 + rng.IntN(90)
		}
		err := w.HQ.Stream(t.Context(), r, f, kept.cursor, false, out)
		if err != nil && out.Fail == 0 {
			t.Fatal(err)
		}
		if err != nil {
			crashes++
		}
		kept.take(t, out.All())
		if finished && err == nil && out.Fail == 0 {
			break
		}
	}
	t.Logf("%d crashes, %d lines kept", crashes, len(kept.keys))

	want := map[string]string{}
	for cursor := ""; ; {
		p := page(t, w, r, f, cursor, 100)
		for _, e := range p.Entries {
			want[e.ID] = string(e.Doc)
		}
		if cursor = p.Cursor; cursor == "" {
			break
		}
	}
	if len(want) == 0 {
		t.Fatal("nothing was written")
	}
	for id, doc := range want {
		if kept.docs[id] != doc {
			t.Errorf("record %s: consumer has %s, the log %s", id, kept.docs[id], doc)
		}
	}
	if len(kept.docs) != len(want) {
		t.Errorf("consumer has %d records, the log %d", len(kept.docs), len(want))
	}
	for _, class := range []syncproto.Class{classD, classT} {
		var heads []store.Head
		if err := w.Store.View(t.Context(), func(rd store.Reader) (err error) {
			heads, err = rd.Heads("35", class)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if len(heads) == 0 {
			t.Errorf("no scope of class %s", class)
		}
	}
}

// consumer keeps only what a cursor covers, as one whose transaction holds both.
type consumer struct {
	cursor string
	docs   map[string]string
	seqs   map[syncproto.Scope]uint64
	keys   map[string]bool
}

func (c *consumer) take(t *testing.T, lines []hq.Line) {
	t.Helper()
	from := 0
	for i, l := range lines {
		if l.Cursor == "" {
			continue
		}
		for _, l := range lines[from:i] {
			var scope syncproto.Scope
			var seq uint64
			switch {
			case l.Entry != nil:
				scope, seq = l.Entry.Scope, l.Entry.Seq
				c.docs[l.Entry.ID] = string(l.Entry.Doc)
			case l.Left != nil:
				scope, seq = l.Left.Scope, l.Left.Seq
				if l.Left.ID == l.Left.Part {
					delete(c.docs, l.Left.ID)
				}
			default:
				continue
			}
			key := fmt.Sprint(scope, " ", seq)
			if c.keys[key] {
				t.Errorf("%s came twice", key)
			}
			if seq <= c.seqs[scope] {
				t.Errorf("%s after %d", key, c.seqs[scope])
			}
			c.keys[key], c.seqs[scope] = true, seq
		}
		c.cursor, from = l.Cursor, i+1
	}
}

func TestAFollowerSeesWhatComes(t *testing.T) {
	w := newWorld(t, func(c *hq.Config) { c.Poll, c.Heartbeat = time.Hour, 20*time.Millisecond })
	a := w.Device("a", "imigrasi", hqtest.Grant("35"))
	a.Create(1, "site", "35.24.14", map[string]any{"name": "x"})
	a.MustSync()
	beat, second := make(chan struct{}), make(chan struct{})
	var once, twice sync.Once
	out := &hqtest.Lines{Got: func(l hq.Line) {
		if l.Heartbeat != "" {
			once.Do(func() { close(beat) })
		}
		if l.Entry != nil && l.Entry.ID == hqtest.ID(2).String() {
			twice.Do(func() { close(second) })
		}
	}}
	result := make(chan error, 1)
	go func() {
		result <- w.HQ.Stream(context.Background(), hqtest.Reader(hqtest.Grant("35")), hq.Filter{}, "", true, out)
	}()
	await(t, beat, "a heartbeat")
	a.Create(2, "site", "35.24.14", map[string]any{"name": "y"})
	a.MustSync() // wakes
	await(t, second, "the second record")
	w.HQ.Stop()
	select {
	case err := <-result:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the stream did not end")
	}
	if end := last(out.All()); end.End != hq.EndStopping || end.Cursor == "" {
		t.Errorf("end = %+v, want a cursor and the reason", end)
	}
	if got := entries(out.All()); len(got) != 2 {
		t.Errorf("%d entries, want 2", len(got))
	}
}

func await(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(10 * time.Second):
		t.Fatalf("no %s", what)
	}
}

func TestAFollowerEndsWithTimeAndToken(t *testing.T) {
	w := newWorld(t, func(c *hq.Config) { c.FollowFor = 30 * time.Millisecond })
	r := hqtest.Reader(hqtest.Grant("35"))
	var out hqtest.Lines
	if err := w.HQ.Stream(t.Context(), r, hq.Filter{}, "", true, &out); err != nil || last(out.All()).End != hq.EndTime {
		t.Errorf("end = %+v, %v, want time", last(out.All()), err)
	}
	w = newWorld(t, nil)
	r.Until = w.Now().Unix()
	out = hqtest.Lines{}
	if err := w.HQ.Stream(t.Context(), r, hq.Filter{}, "", true, &out); err != nil || last(out.All()).End != hq.EndTokenExpired {
		t.Errorf("end = %+v, %v, want token_expired", last(out.All()), err)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	w := newWorld(t, func(c *hq.Config) { c.Streams = 1 })
	r := hqtest.Reader(hqtest.Grant("35"))
	open := make(chan struct{})
	var once sync.Once
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		result <- w.HQ.Stream(ctx, r, hq.Filter{}, "", true, &hqtest.Lines{Got: func(hq.Line) { once.Do(func() { close(open) }) }})
	}()
	await(t, open, "first stream")
	if err := w.HQ.Stream(t.Context(), r, hq.Filter{}, "", false, &hqtest.Lines{}); !errors.Is(err, syncproto.CodeRateLimited) {
		t.Errorf("a second stream: %v, want rate_limited", err)
	}
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("a reader who went away: %v", err)
	}
	if err := w.HQ.Stream(t.Context(), r, hq.Filter{}, "", false, &hqtest.Lines{}); err != nil {
		t.Errorf("after it ended: %v", err)
	}
}

func TestACursorDiesWithARollback(t *testing.T) {
	w := newWorld(t, nil)
	a := w.Device("a", "imigrasi", hqtest.Grant("35"))
	r := hqtest.Reader(hqtest.Grant("35"))
	a.Create(1, "site", "35.24.14", map[string]any{"name": "x"})
	a.MustSync()
	copied := w.Path + ".backup"
	if err := w.Store.Backup(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	old := last(stream(t, w, r, hq.Filter{}, "")).Cursor
	a.Create(2, "site", "35.24.14", map[string]any{"name": "y"})
	a.MustSync()
	cursor := last(stream(t, w, r, hq.Filter{}, "")).Cursor

	if err := w.Store.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(copied)
	if err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Remove(w.Path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(w.Path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	w.Open()
	ask := func(c string) error { return w.HQ.Stream(t.Context(), r, hq.Filter{}, c, false, &hqtest.Lines{}) }
	if err := ask(cursor); !errors.Is(err, syncproto.CodeCursorInvalid) {
		t.Errorf("a cursor ahead of the store: %v, want cursor_invalid", err)
	}
	if err := ask(old); err != nil {
		t.Errorf("a cursor from before the backup, in the same epoch: %v", err)
	}
	if err := w.Engine.BeginEpoch(t.Context(), w.Tick(time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := ask(old); !errors.Is(err, syncproto.CodeCursorInvalid) {
		t.Errorf("a cursor of an older epoch: %v, want cursor_invalid", err)
	}
	if got := entries(stream(t, w, r, hq.Filter{}, "")); len(got) != 1 {
		t.Errorf("from the beginning: %d entries, want 1", len(got))
	}
}

func TestWiderGrantsBringTheNewScopesFromTheirBeginning(t *testing.T) {
	w := newWorld(t, nil)
	a := w.Device("a", "imigrasi", hqtest.Grant("35"))
	a.Create(1, "site", "35.24.14", map[string]any{"name": "x", "owner_name": "secret"})
	a.Create(2, "site", "35.25.01", map[string]any{"name": "y"})
	a.MustSync()
	narrow := stream(t, w, hqtest.Reader(hqtest.Grant("35.24", classD)), hq.Filter{}, "")
	wide := stream(t, w, hqtest.Reader(hqtest.Grant("35")), hq.Filter{}, last(narrow).Cursor)
	var scopes []syncproto.Scope
	for _, l := range entries(wide) {
		scopes = append(scopes, l.Entry.Scope)
	}
	if want := []syncproto.Scope{"35.24.14/T", "35.25.01"}; !slices.Equal(scopes, want) {
		t.Errorf("scopes = %v, want %v", scopes, want)
	}
	back := stream(t, w, hqtest.Reader(hqtest.Grant("35.24", classD)), hq.Filter{}, last(wide).Cursor)
	if len(entries(back)) != 0 {
		t.Errorf("narrowed again: %v", entries(back))
	}
	if got := entries(stream(t, w, hqtest.Reader(hqtest.Grant("35")), hq.Filter{}, last(back).Cursor)); len(got) != 0 {
		t.Errorf("widened again: %v, want nothing twice", got)
	}
}
