package e2e_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// What somebody in between, or a broken server, may do to a reply: nothing of
// it counts, nothing is lost, and the next honest sync settles everything.
func TestAReplyThatWasTamperedWithCountsForNothing(t *testing.T) {
	begin := func(change func(*wire.Begin)) func(*wire.ResponseFrame) bool {
		return func(f *wire.ResponseFrame) bool {
			if b := f.GetBegin(); b != nil {
				change(b)
			}
			return true
		}
	}
	body := func(change func(*wire.ReceiptBody)) func(*wire.ResponseFrame) bool {
		return begin(func(b *wire.Begin) {
			var r wire.ReceiptBody
			if proto.Unmarshal(b.GetReceipt().GetBody(), &r) != nil {
				return
			}
			change(&r)
			b.Receipt.Body, _ = proto.Marshal(&r)
		})
	}
	for _, c := range []struct {
		name  string
		alter func(*wire.ResponseFrame) bool
		want  syncproto.Code
	}{
		{"a receipt with more in it than was signed", body(func(r *wire.ReceiptBody) { r.Held = append(r.Held, &wire.Head{Replica: 1, N: 9}) }), syncproto.CodeBadReceipt},
		{"a receipt for other items", body(func(r *wire.ReceiptBody) { r.Items[0] ^= 1 }), syncproto.CodeBadReceipt},
		{"a receipt of an unknown key", begin(func(b *wire.Begin) { b.Receipt.Key = "rk-aaaaaaaa" }), syncproto.CodeBadReceipt},
		{"no receipt", begin(func(b *wire.Begin) { b.Receipt = nil }), syncproto.CodeBadReceipt},
		{"an outcome that was not signed", begin(func(b *wire.Begin) {
			b.Outcomes = append(b.Outcomes, &wire.Outcome{Result: wire.Result_RESULT_PURGED})
		}), syncproto.CodeBadReceipt},
		{"an outcome of something that was not sent", begin(func(b *wire.Begin) {
			b.Outcomes = append(b.Outcomes, &wire.Outcome{Batch: 7, Item: 7})
		}), syncproto.CodeBadReceipt},
		{"a reply to another request", begin(func(b *wire.Begin) { b.Nonce[3] ^= 1 }), syncproto.CodeBadResponse},
		{"a reply without an epoch", begin(func(b *wire.Begin) { b.Epoch = nil }), syncproto.CodeBadResponse},
		{"a reply of another version", begin(func(b *wire.Begin) { b.Version = 2 }), syncproto.CodeUnsupportedVersion},
		{"a reply without its begin", func(f *wire.ResponseFrame) bool { return f.GetBegin() == nil }, syncproto.CodeBadResponse},
		{"a reply that begins twice", func(f *wire.ResponseFrame) bool {
			if f.GetEnd() != nil {
				f.Frame = &wire.ResponseFrame_Begin{Begin: &wire.Begin{}}
			}
			return true
		}, syncproto.CodeBadResponse},
		{"a reply without its end", func(f *wire.ResponseFrame) bool { return f.GetEnd() == nil }, syncproto.CodeOffline},
		{"a chain that nobody claimed", begin(func(b *wire.Begin) {
			b.Status, b.Chain = wire.Status_STATUS_CHAIN, []*wire.Head{{Replica: 99, N: 1, Head: make([]byte, 32)}}
		}), syncproto.CodeBadResponse},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			a := w.phone("budi")
			id := w.create(a, sambang.Fields{"name": "x"})
			w.link.alter = c.alter
			if _, err := a.Sync(context.Background()); !errors.Is(err, c.want) {
				t.Errorf("sync: %v, want %s", err, c.want)
			}
			w.link.alter = nil
			if c.want == syncproto.CodeBadReceipt {
				w.wantCustody(a, id, sambang.CustodyOnPhone)
			}
			w.sync(a)
			w.wantCustody(a, id, sambang.CustodyHeld)
			w.mustHold()
		})
	}
}

// A server that says for ever that there is more must not keep a phone busy for
// ever.
func TestAReplyThatAlwaysSaysMoreEndsTheSync(t *testing.T) {
	w := newWorld(t)
	a := w.phone("budi")
	id := w.create(a, sambang.Fields{"name": "x"})
	w.link.alter = func(f *wire.ResponseFrame) bool {
		if end := f.GetEnd(); end != nil {
			end.More = true
		}
		return true
	}
	rep, err := a.Sync(context.Background())
	if !errors.Is(err, syncproto.CodeBadResponse) || rep.Requests > 20 {
		t.Errorf("after %d requests: %v", rep.Requests, err)
	}
	w.wantCustody(a, id, sambang.CustodyHeld) // what was signed counts
	w.link.alter = nil
	w.sync(a)
	w.mustHold()
}

func TestAPoisonedEntryDoesNotStopTheFeed(t *testing.T) {
	w := newWorld(t)
	a, b := w.phone("budi"), w.phone("sari")
	good, bad := w.create(a, sambang.Fields{"name": "good"}), w.create(a, sambang.Fields{"name": "bad", "rooms": 3})
	w.sync(a)
	w.link.alter = func(f *wire.ResponseFrame) bool {
		for i, p := range f.GetFeed().GetTables().GetPaths() {
			if p == "rooms" {
				f.GetFeed().Tables.Paths[i] = "ro\x00ms"
			}
		}
		return true
	}
	rep := w.sync(b)
	w.link.alter = nil
	if rep.Poisoned != 1 {
		t.Errorf("report %+v", rep)
	}
	w.wantField(b, good, "name", "good")
	if _, err := b.Get(bad); !errors.Is(err, syncproto.CodeNotFound) {
		t.Errorf("the poisoned record is there: %v", err)
	}
	if rep := w.sync(b); rep.Pulled != 0 {
		t.Errorf("asked again at once: %+v", rep)
	}
	w.clock.Add(10 * time.Minute)
	w.sync(b)
	w.wantField(b, bad, "rooms", jsonNumber("3"))
}

func TestContentsUnderOlderGrantsAreNotUsed(t *testing.T) {
	w := newWorld(t)
	a, b := w.phone("budi"), w.phone("sari")
	if err := w.server.SetGrants(context.Background(), b.Status().Device, syncproto.Grants{grant("35.24.14", "D", "T")}); err != nil {
		t.Fatal(err)
	}
	w.sync(b) // version 2
	id := w.create(a, sambang.Fields{"name": "x"})
	w.sync(a)
	w.link.alter = func(f *wire.ResponseFrame) bool {
		if begin := f.GetBegin(); begin != nil {
			begin.GrantsVersion = 1
		}
		return true
	}
	requests := 0
	w.link.before = func(*http.Request) error {
		if requests++; requests > 1 {
			return errLost // it asks again at once
		}
		return nil
	}
	if _, err := b.Sync(context.Background()); !errors.Is(err, syncproto.CodeOffline) {
		t.Errorf("sync: %v", err)
	}
	if _, err := b.Get(id); !errors.Is(err, syncproto.CodeNotFound) {
		t.Errorf("used: %v", err)
	}
	if got := b.Status().Grants; len(got) != 1 || got[0].Region != "35.24.14" {
		t.Errorf("grants %v: those of an answer that does not count", got)
	}
	w.link.alter, w.link.before = nil, nil
	w.sync(b)
	w.wantField(b, id, "name", "x")
}

func TestAContradictionIsRepairedWithoutLoss(t *testing.T) {
	w := newWorld(t)
	a, b := w.phone("budi"), w.phone("sari")
	id := w.create(a, sambang.Fields{"name": "first", "rooms": 1})
	w.sync(a)
	w.sync(b)
	w.set(a, id, "name", "second")
	w.sync(a)
	// The feed tells b of the write, and forgets the value at its path: no honest
	// history explains that.
	w.link.alter = func(f *wire.ResponseFrame) bool {
		for _, e := range f.GetFeed().GetEntries() {
			if d := e.GetDelta(); d != nil {
				dec, err := wire.NewDecoder(f.GetFeed().GetTables())
				if err != nil {
					t.Error(err)
				}
				delta, err := dec.Delta(d)
				if err != nil {
					t.Error(err)
				}
				empty, err := syncproto.NewDelta(delta.ID(), syncproto.VV{}, delta.Context(), syncproto.VV{}, nil)
				if err != nil {
					t.Error(err)
				}
				enc := wire.NewEncoder(0)
				e.Entry = &wire.Entry_Delta{Delta: enc.Delta(empty)}
				e.Scope = enc.Scope("35.24.14")
				f.GetFeed().Tables = enc.Tables()
			}
		}
		return true
	}
	if rep, err := b.Sync(context.Background()); rep.Repairs == 0 {
		t.Errorf("not noticed: %+v, %v", rep, err)
	}
	w.link.alter = nil
	w.set(b, id, "rooms", 2)
	w.sync(b)
	w.sync(a)
	w.sync(b)
	for name, r := range map[string]*sambang.Replica{"a": a, "b": b} {
		if v := w.values(r, id, "name"); !v["second"] {
			t.Errorf("%s shows %v", name, v)
		}
		if v := w.values(r, id, "rooms"); !v[jsonNumber("2")] {
			t.Errorf("%s shows rooms %v", name, v)
		}
		if c := r.Counts(); c.Waiting != 0 {
			t.Errorf("%s counts %+v", name, c)
		}
	}
}
