package engine_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/server/internal/engine"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

func get(t *testing.T, d *device, id syncproto.RecordID, path string) string {
	t.Helper()
	v, ok := d.records[id].Get(path)
	if !ok {
		return ""
	}
	s, _ := v.Text()
	return s
}

func held(r reply, d *device) uint64 {
	for _, h := range r.receipt.GetHeld() {
		if h.GetReplica() == uint64(d.minter.Replica()) {
			return h.GetN()
		}
	}
	return 0
}

func TestAPushIsHeldAndReachesTheOthers(t *testing.T) {
	s := newSite(t)
	a, b := s.device("a", grant("35.24.14")), s.device("b", grant("35.24"))
	id := a.create(1, "35.24.14", "name", "Kos Bu Tini")
	r := a.sync()
	if r.receipt == nil || r.receipt.GetCount() != 1 || len(r.receipt.GetExceptions()) != 0 {
		t.Fatalf("receipt = %v, want one item and no exception", r.receipt)
	}
	if got := held(r, a); got != 3 {
		t.Errorf("receipt holds %d writes, want 3", got)
	}
	if len(r.delivery) != 0 {
		t.Errorf("the device got its own change back: %v", r.delivery)
	}
	b.sync()
	if got := get(t, b, id, "name"); got != "Kos Bu Tini" {
		t.Errorf("b sees name %q", got)
	}
	if !b.records[id].Equal(a.records[id]) {
		t.Error("a and b differ")
	}
	b.cursors = map[syncproto.Scope]uint64{}
	r = b.sync()
	if got := r.feed[0].GetAuthors(); len(got) != 1 || got[0].GetOfficer() != "off-a" || got[0].GetAgency() != "imigrasi" {
		t.Errorf("authors = %v, want a's officer", got)
	}
	s.check()
}

func TestAnIdleExchangeWritesNothingAndHasNoWitness(t *testing.T) {
	s := newSite(t)
	a := s.device("a", grant("35.24.14"))
	a.create(1, "35.24.14", "name", "x")
	a.sync()
	r := a.sync()
	if r.begin.GetWitness() != nil || r.begin.GetReceipt() != nil || len(r.feed) != 0 {
		t.Errorf("idle reply = %v, feed %v", r.begin, r.feed)
	}
}

func TestAConfirmedClaimHasAWitness(t *testing.T) {
	s := newSite(t)
	a := s.device("a", grant("35.24.14"))
	a.create(1, "35.24.14", "name", "x")
	a.queue = []syncproto.RecordID{} // it claims three writes, and sends none yet
	r := a.sync()
	if r.begin.GetWitness() == nil || r.begin.GetReceipt() != nil {
		t.Errorf("witness %v, receipt %v: want a witness of the confirmed claim alone", r.begin.GetWitness(), r.begin.GetReceipt())
	}
}

func TestConcurrentEditsOfOneFieldBothStay(t *testing.T) {
	s := newSite(t)
	a, b := s.device("a", grant("35.24.14")), s.device("b", grant("35.24.14"))
	id := a.create(1, "35.24.14", "name", "x", "rooms", "4")
	a.sync()
	b.sync()
	a.set(id, "rooms", "6")
	b.set(id, "rooms", "8")
	b.set(id, "name", "y")
	a.sync()
	b.sync()
	a.sync()
	for _, d := range []*device{a, b} {
		f, _ := d.records[id].Field("rooms")
		if len(f.Siblings) != 2 {
			t.Errorf("%s sees %d siblings of rooms, want 2", d.id, len(f.Siblings))
		}
		if got := get(t, d, id, "name"); got != "y" {
			t.Errorf("%s sees name %q, want y", d.id, got)
		}
	}
	a.set(id, "rooms", "7")
	a.sync()
	b.sync()
	if f, _ := b.records[id].Field("rooms"); len(f.Siblings) != 1 || f.Siblings[0].Value.JSON() != `"7"` {
		t.Errorf("after the resolution b sees %v", f.Siblings)
	}
	s.check()
}

func TestALostReplyIsResentWithoutASecondChange(t *testing.T) {
	s := newSite(t)
	a, b := s.device("a", grant("35.24.14")), s.device("b", grant("35.24.14"))
	a.create(1, "35.24.14", "name", "x")
	open, batches, _, _ := a.request()
	if r := a.send(open, batches); r.refusal != nil || r.sum.Applied != 1 {
		t.Fatalf("first push: %v, %v", r.sum, r.refusal)
	}
	r := a.exchange() // the reply was lost: the device knows nothing
	if r.refusal != nil || r.begin.GetStatus() != wire.Status_STATUS_CHAIN {
		t.Fatalf("resend: status %v, %v; want CHAIN", r.begin.GetStatus(), r.refusal)
	}
	r = a.sync()
	if held(r, a) != 3 {
		t.Errorf("held = %d, want 3", held(r, a))
	}
	b.sync()
	if seq := b.cursors["35.24.14"]; seq != 1 {
		t.Errorf("the scope is at %d after a resend, want 1", seq)
	}
	s.check()
}

func TestOverwrittenWritesReachTheJournalAndTheChain(t *testing.T) {
	s := newSite(t)
	a := s.device("a", grant("35.24.14"))
	id := a.create(1, "35.24.14", "name", "first")
	a.set(id, "name", "second")
	a.set(id, "name", "third")
	r := a.sync()
	if held(r, a) != 5 {
		t.Errorf("held = %d, want all 5 writes", held(r, a))
	}
	s.check()
}

func TestAChainWithAGapIsHeldOnlyUpToIt(t *testing.T) {
	s := newSite(t)
	a := s.device("a", grant("35.24.14"))
	id := a.create(1, "35.24.14", "name", "first")
	a.set(id, "name", "second")
	past := a.history
	a.history = nil // withheld
	if r := a.sync(); held(r, a) != 2 {
		t.Errorf("held = %d with write 3 withheld, want 2", held(r, a))
	}
	a.history = past
	if r := a.sync(); held(r, a) != 4 {
		t.Errorf("held = %d after the gap was filled, want 4", held(r, a))
	}
	s.check()
}

func TestAChainThatContradictsTheClaimIsNotVouchedFor(t *testing.T) {
	s := newSite(t)
	a := s.device("a", grant("35.24.14"))
	id := a.create(1, "35.24.14", "name", "first")
	a.set(id, "name", "second")
	a.history[0].Value = syncproto.MustValue("something else")
	a.history[0].Step = syncproto.Step(id, "name", a.history[0].Dot, a.history[0].HLC, a.history[0].Value)
	r := a.sync()
	if len(r.receipt.GetHeld()) != 0 {
		t.Errorf("receipt vouches for %v", r.receipt.GetHeld())
	}
}

func TestAMovedRecordLeavesAndEnters(t *testing.T) {
	s := newSite(t)
	a := s.device("a", grant("35.24"))
	near, far := s.device("near", grant("35.24.14")), s.device("far", grant("35.24.15"))
	id := a.create(1, "35.24.14", "name", "x")
	companion := syncproto.CompanionID(id, syncproto.ClassTask)
	a.write(companion, syncproto.Write{Path: syncproto.PathKind, Value: syncproto.MustValue("site")},
		syncproto.Write{Path: syncproto.PathScope, Value: syncproto.MustValue("35.24.14/T")},
		syncproto.Write{Path: syncproto.PathOf, Value: syncproto.MustValue(id.String())},
		syncproto.Write{Path: "owner_name", Value: syncproto.MustValue("Bu Tini")})
	push(t, a, companion)
	a.sync()
	near.sync()
	far.sync()
	if near.records[id].IsZero() || near.records[companion].IsZero() || !far.records[id].IsZero() {
		t.Fatal("before the move: near must hold both, far none")
	}
	near.set(id, "name", "edited before I knew")
	a.set(id, syncproto.PathScope, "35.24.15")
	a.sync()
	a.sync()
	far.sync()
	if far.records[id].IsZero() || far.records[companion].IsZero() {
		t.Error("after the move far must hold the record and its companion")
	}
	near.sync()
	near.sync()
	if !near.records[id].IsZero() || !near.records[companion].IsZero() {
		t.Error("after the move near must hold neither")
	}
	far.sync()
	a.sync()
	if got := get(t, far, id, "name"); got != "edited before I knew" {
		t.Errorf("the edit of an officer who lost sight of the record is lost: %q", got)
	}
	if !far.records[id].Equal(a.records[id]) || !far.records[companion].Equal(a.records[companion]) {
		t.Error("a and far differ")
	}
	s.check()
}

// push makes the device send a record that dirty does not list.
func push(t *testing.T, d *device, id syncproto.RecordID) {
	t.Helper()
	d.rejectBatch = func(b *wire.Batch) {
		enc := wire.NewEncoder(syncproto.HLCFromMillis(d.s.now))
		var items []*wire.Item
		for _, x := range append(d.dirty(), id) {
			items = append(items, &wire.Item{Scope: enc.Scope(d.records[x].Home()), Delta: enc.Delta(d.records[x].Full())})
		}
		b.Items, b.Tables = items, enc.Tables()
		d.rejectBatch = nil
		d.acked[id] = d.records[id].Context()
	}
}

func TestARecordOutsideTheScopeGoesToTheInboxAndCanBeReleased(t *testing.T) {
	s := newSite(t)
	palang := s.device("palang", grant("35.23.18"))
	lamongan := s.device("lamongan", grant("35.24"))
	id := palang.create(1, "35.24.07", "name", "Tambak Rekaan Jaya")
	r := palang.sync()
	if len(r.begin.GetOutcomes()) != 1 || r.begin.GetOutcomes()[0].GetResult() != wire.Result_RESULT_QUARANTINED || r.begin.GetOutcomes()[0].GetCode() != string(syncproto.CodeScopeDenied) {
		t.Fatalf("outcomes = %v", r.begin.GetOutcomes())
	}
	if held(r, palang) != 3 {
		t.Errorf("held = %d: quarantined writes are held too", held(r, palang))
	}
	lamongan.sync()
	if !lamongan.records[id].IsZero() {
		t.Fatal("a quarantined record is in the feed")
	}
	inbox := s.inbox("35.24")
	if len(inbox) != 1 || len(inbox[0].Raw) == 0 {
		t.Fatalf("inbox of 35.24 = %v", inbox)
	}
	if err := s.engine.Release(t.Context(), actor, inbox[0].Key, "milik Lamongan", s.now); err != nil {
		t.Fatal(err)
	}
	if err := s.engine.Release(t.Context(), actor, inbox[0].Key, "lagi", s.now); err == nil {
		t.Error("a message can be released twice")
	}
	lamongan.sync()
	if got := get(t, lamongan, id, "name"); got != "Tambak Rekaan Jaya" {
		t.Errorf("after the release lamongan sees %q", got)
	}
	palang.refetch = append(palang.refetch, id)
	palang.sync()
	if !palang.records[id].IsZero() {
		t.Error("palang still holds a record that is not its own")
	}
	s.check()
}

// Whoever may write in a district may also write a companion that he can't
// read; he must not get to read it by moving it.
func TestNobodyMovesACompanionIntoAWiderClass(t *testing.T) {
	s := newSite(t)
	officer, curious := s.device("officer", grant("35.24.14")), s.device("curious", grant("35.24.14", syncproto.ClassDevice))
	main := officer.create(1, "35.24.14", "name", "Kos Bu Tini")
	companion := syncproto.CompanionID(main, syncproto.ClassTask)
	officer.write(companion,
		syncproto.Write{Path: syncproto.PathScope, Value: syncproto.MustValue("35.24.14/T")},
		syncproto.Write{Path: syncproto.PathOf, Value: syncproto.MustValue(main.String())},
		syncproto.Write{Path: "passport", Value: syncproto.MustValue("X0000001")})
	officer.queue = []syncproto.RecordID{main, companion}
	officer.sync()
	s.now += 60_000
	curious.write(companion, syncproto.Write{Path: syncproto.PathScope, Value: syncproto.MustValue("35.24.14")})
	curious.queue = []syncproto.RecordID{companion}
	r := curious.sync()
	if o := r.begin.GetOutcomes(); len(o) != 1 || o[0].GetResult() != wire.Result_RESULT_QUARANTINED || o[0].GetCode() != string(syncproto.CodeBadScope) {
		t.Errorf("outcomes = %v, want quarantined with bad_scope", o)
	}
	curious.queue, curious.cursors = []syncproto.RecordID{}, map[syncproto.Scope]uint64{}
	if r = curious.sync(); r.delivery[companion] {
		t.Error("the device was sent the companion")
	}
	s.check()
}

// A phone makes a record where it may not, that somebody else made elsewhere.
// The checker found its copy held for ever after the release: what was released
// stood under dots of the server, which no phone could compare with its own.
func TestAReleasedMessageAndItsPhoneBecomeOne(t *testing.T) {
	s := newSite(t)
	palang, lamongan := s.device("palang", grant("35.23.18")), s.device("lamongan", grant("35.24"))
	id := lamongan.create(1, "35.24.07", "name", "Tambak Rekaan Jaya")
	lamongan.sync()
	s.now += 60_000
	palang.create(1, "35.24.15", "name", "Tambak Rekaan")
	palang.sync()
	inbox := s.inbox("35.24")
	if len(inbox) != 1 {
		t.Fatalf("inbox = %v, want the message", inbox)
	}
	if err := s.engine.Release(t.Context(), actor, inbox[0].Key, "sama", s.now); err != nil {
		t.Fatal(err)
	}
	lamongan.sync()
	rec := lamongan.records[id]
	if f, _ := rec.Field("name"); len(f.Siblings) != 2 {
		t.Errorf("lamongan sees %v, want both names", f.Siblings)
	}
	if home := rec.Home(); home != "35.24.07" {
		t.Errorf("the release moved the record to %s", home)
	}
	if !palang.records[id].Context().LessEq(rec.Context()) {
		t.Errorf("what was released does not cover the phone's copy: %s, %s", rec.Context(), palang.records[id].Context())
	}
	palang.refetch = append(palang.refetch, id)
	palang.sync()
	if !palang.records[id].IsZero() {
		t.Error("palang still holds it")
	}
	s.check()
}

func TestAPoisonRecordDoesNotStopTheOthers(t *testing.T) {
	s := newSite(t)
	a, b := s.device("a", grant("35.24.14")), s.device("b", grant("35.24.14"))
	for n := range 500 {
		a.create(n, "35.24.14", "name", fmt.Sprintf("site %d", n))
	}
	a.rejectBatch = func(batch *wire.Batch) {
		batch.Items[250].Delta.Values = strings.Replace(batch.Items[250].Delta.GetValues(), "site 250", "\xff", 1)
	}
	r := a.sync()
	if r.sum.Applied != 499 || r.sum.Quarantined != 1 {
		t.Fatalf("applied %d, quarantined %d; want 499 and 1", r.sum.Applied, r.sum.Quarantined)
	}
	if o := r.begin.GetOutcomes(); len(o) != 1 || o[0].GetItem() != 250 || o[0].GetCode() != string(syncproto.CodeInvalidUTF8) {
		t.Errorf("outcomes = %v", o)
	}
	if got := s.inbox(""); len(got) != 1 || len(got[0].Raw) == 0 {
		t.Errorf("inbox = %v", got)
	}
	b.sync()
	if len(b.records) != 499 {
		t.Errorf("b holds %d records, want 499", len(b.records))
	}
	s.check()
}

func TestWritesInAnothersNameAreKeptAside(t *testing.T) {
	for name, forge := range map[string]func(a, b *device, id syncproto.RecordID, batch *wire.Batch){
		"a value of another replica": func(a, b *device, _ syncproto.RecordID, batch *wire.Batch) {
			batch.Tables.Replicas[0] = uint64(b.minter.Replica())
		},
		"a context that claims to have seen more of another": func(_, b *device, _ syncproto.RecordID, batch *wire.Batch) {
			batch.Tables.Replicas = append(batch.Tables.Replicas, uint64(b.minter.Replica()))
			ctx := batch.Items[0].Delta.Ctx
			i := uint32(len(batch.Tables.Replicas) - 1)
			if b.minter.Replica() < syncproto.ReplicaID(batch.Tables.Replicas[0]) {
				ctx.Replica, ctx.N = append([]uint32{i}, ctx.Replica...), append([]uint64{1000}, ctx.N...)
			} else {
				ctx.Replica, ctx.N = append(ctx.Replica, i), append(ctx.N, 1000)
			}
		},
		"a floor": func(_, _ *device, _ syncproto.RecordID, batch *wire.Batch) {
			batch.Items[0].Delta.Floor = batch.Items[0].Delta.Ctx
		},
		"a counter beyond the claim": func(_, _ *device, _ syncproto.RecordID, batch *wire.Batch) {
			batch.Items[0].Delta.Ctx.N[0] += 5
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			a, b := s.device("a", grant("35.24.14")), s.device("b", grant("35.24.14"))
			id := a.create(1, "35.24.14", "name", "x")
			a.rejectBatch = func(batch *wire.Batch) { forge(a, b, id, batch) }
			r := a.sync()
			if o := r.begin.GetOutcomes(); len(o) != 1 || o[0].GetCode() != string(syncproto.CodeForgedDot) {
				t.Fatalf("outcomes = %v, want forged_dot", o)
			}
			if len(s.inbox("")) != 1 {
				t.Error("the bytes were not kept")
			}
			b.sync()
			if !b.records[id].IsZero() {
				t.Error("the forgery is in the feed")
			}
		})
	}
}

func TestNobodyWritesIntoARecordThatHeNeverCouldSee(t *testing.T) {
	s := newSite(t)
	a, b := s.device("a", grant("35.24.14")), s.device("b", grant("35.23.18"))
	id := a.create(1, "35.24.14", "name", "x")
	a.sync()
	for _, writes := range [][]syncproto.Write{
		{{Path: "name", Value: syncproto.MustValue("blind")}},
		{{Path: syncproto.PathScope, Value: syncproto.MustValue("35.23.18")}},
	} {
		delete(b.records, id)
		b.homes[id] = "35.23.18" // it says that it had the record at home
		b.write(id, writes...)
		r := b.sync()
		if o := r.begin.GetOutcomes(); len(o) != 1 || o[0].GetCode() != string(syncproto.CodeScopeDenied) {
			t.Fatalf("outcomes = %v, want scope_denied", o)
		}
		if len(r.delivery) > 0 {
			t.Error("the record was delivered")
		}
	}
	a.sync()
	if got := get(t, a, id, "name"); got != "x" || a.records[id].Home() != "35.24.14" {
		t.Errorf("a sees %q at %s", got, a.records[id].Home())
	}
	s.check()
}

func TestNobodyMakesACompanionFirstInAWiderCircle(t *testing.T) {
	s := newSite(t)
	hostile := s.device("hostile", grant("35.24.14", syncproto.ClassDevice))
	honest := s.device("honest", grant("35.24.14"))
	id := honest.create(1, "35.24.14", "name", "x")
	honest.sync()
	hostile.sync()
	companion := syncproto.CompanionID(id, syncproto.ClassTask)
	hostile.write(companion, syncproto.Write{Path: syncproto.PathKind, Value: syncproto.MustValue("site")},
		syncproto.Write{Path: syncproto.PathScope, Value: syncproto.MustValue("35.24.14")})
	hostile.queue = []syncproto.RecordID{companion}
	if o := hostile.sync().begin.GetOutcomes(); len(o) != 1 || o[0].GetCode() != string(syncproto.CodeBadScope) {
		t.Fatalf("outcomes = %v, want bad_scope", o)
	}
	honest.write(companion, syncproto.Write{Path: syncproto.PathKind, Value: syncproto.MustValue("site")},
		syncproto.Write{Path: syncproto.PathScope, Value: syncproto.MustValue("35.24.14/T")},
		syncproto.Write{Path: syncproto.PathOf, Value: syncproto.MustValue(id.String())},
		syncproto.Write{Path: "owner_name", Value: syncproto.MustValue("Bu Tini")})
	honest.queue = []syncproto.RecordID{companion}
	honest.sync()
	hostile.queue = []syncproto.RecordID{}
	if r := hostile.sync(); len(r.delivery) > 0 || get(t, hostile, companion, "owner_name") != "" {
		t.Error("the hostile device got what is for devices with a task")
	}
	s.check()
}

func TestARecordThatMergingMakesTooLargeIsKeptAside(t *testing.T) {
	s := newSite(t)
	a, b := s.device("a", grant("35.24.14")), s.device("b", grant("35.24.14"))
	id := a.create(1, "35.24.14", "name", "x")
	a.sync()
	b.sync()
	for n := range 5 {
		a.set(id, fmt.Sprint("a", n), strings.Repeat("a", 60_000))
		b.set(id, fmt.Sprint("b", n), strings.Repeat("b", 60_000))
	}
	a.sync()
	if o := b.exchange().begin.GetOutcomes(); len(o) != 1 || o[0].GetCode() != string(syncproto.CodeTooLarge) {
		t.Errorf("outcomes = %v, want too_large", o)
	}
	if len(s.inbox("")) != 1 {
		t.Error("the bytes were not kept")
	}
	s.check()
}

func TestPurgedContentIsGoneAndNothingRevivesIt(t *testing.T) {
	s := newSite(t)
	a, b := s.device("a", grant("35.24.07")), s.device("b", grant("35.24.07"))
	id := a.create(1, "35.24.07", "surname", "OKORO")
	a.sync()
	b.sync()
	if err := s.engine.Purge(t.Context(), actor, id, "retensi", s.now); err != nil {
		t.Fatal(err)
	}
	b.sync()
	if f, ok := b.records[id].Field("surname"); ok {
		t.Errorf("b still shows %v", f)
	}
	a.set(id, "surname", "OKORO CHIDI")
	r := a.exchange()
	if o := r.begin.GetOutcomes(); len(o) != 1 || o[0].GetResult() != wire.Result_RESULT_PURGED {
		t.Fatalf("outcomes = %v, want purged", o)
	}
	if held(r, a) != 4 {
		t.Errorf("held = %d: the trace of the refused write is missing", held(r, a))
	}
	if s.contains("OKORO") {
		t.Error("the store still has the erased name")
	}
	s.check()
}

func TestARolledBackStoreIsNoticedAndHealed(t *testing.T) {
	s := newSite(t)
	a, b := s.device("a", grant("35.24.14")), s.device("b", grant("35.24.14"))
	a.create(1, "35.24.14", "name", "old")
	a.sync()
	b.sync()
	s.backup()
	id := a.create(2, "35.24.14", "name", "new")
	a.sync()
	b.sync()
	delete(a.records, id) // the author's phone is gone
	s.restore()
	r := b.exchange()
	if r.refusal != nil || r.begin.GetStatus() != wire.Status_STATUS_EPOCH {
		t.Fatalf("after the rollback: %v, %v; want EPOCH", r.begin.GetStatus(), r.refusal)
	}
	b.sync()
	c := s.device("c", grant("35.24.14"))
	c.sync()
	if got := get(t, c, id, "name"); got != "new" {
		t.Errorf("c sees %q: what b held did not come back", got)
	}
	s.check()
}

// A copy of a phone, older than the backup, speaks first after a rollback: the
// numbers of the device's witnesses grow again past what the phone itself
// holds, and only the stamps tell (A07).
func TestARollbackIsNoticedThoughTheNumbersGrewAgain(t *testing.T) {
	s := newSite(t)
	a := s.device("a", grant("35.24.14"))
	a.create(1, "35.24.14", "name", "x")
	a.sync()
	s.backup()
	old := *a
	old.records, old.acked = maps.Clone(a.records), maps.Clone(a.acked)
	old.homes, old.cursors = maps.Clone(a.homes), maps.Clone(a.cursors)
	old.rotate(2)
	a.create(2, "35.24.14", "name", "after the backup")
	a.sync()
	s.restore()
	for old.witness.GetN() <= a.witness.GetN() {
		old.set(recordID(1), "name", fmt.Sprint(old.nonce))
		old.sync()
	}
	if r := a.exchange(); r.refusal != nil || r.begin.GetStatus() != wire.Status_STATUS_EPOCH {
		t.Fatalf("after the rollback: %v, %v; want EPOCH", r.begin.GetStatus(), r.refusal)
	}
	a.sync()
	c := s.device("c", grant("35.24.14"))
	c.sync()
	if got := get(t, c, recordID(2), "name"); got != "after the backup" {
		t.Errorf("c sees %q: what a held did not come back", got)
	}
	s.check()
}

// An officer overwrites a colleague's value after a rollback that his phone
// knows of, before it has pushed again. The checker found the phone refused for
// ever.
func TestAnotherAuthorsOverwrittenWriteDoesNotLockAPhoneOut(t *testing.T) {
	s := newSite(t)
	a, b := s.device("a", grant("35.24.14")), s.device("b", grant("35.24.14"))
	s.backup()
	id := a.create(1, "35.24.14", "name", "Kos Bu Tini")
	a.sync()
	b.sync()
	s.restore()
	if r := b.exchange(); r.begin.GetStatus() != wire.Status_STATUS_EPOCH {
		t.Fatalf("status %v, want EPOCH", r.begin.GetStatus())
	}
	f, _ := b.records[id].Field("name")
	over := f.Siblings[0]
	b.set(id, "name", "Kos Bu Tini Lestari")
	past := wire.PastWrite{
		Dot: over.Dot, Step: syncproto.Step(id, "name", over.Dot, over.HLC, over.Value),
		Scope: "35.24.14", Record: id, Path: "name", HLC: over.HLC, Value: over.Value,
	}
	b.history = []wire.PastWrite{past}
	b.sync()
	if n := len(s.inbox("35.24.14")); n != 0 {
		t.Errorf("%d messages in the inbox while recovering, want 0: it is journaled", n)
	}
	s.now += 40 * 24 * 60 * 60 * 1000
	b.history = []wire.PastWrite{past}
	b.sync()
	if inbox := s.inbox("35.24.14"); len(inbox) != 1 || inbox[0].Code != syncproto.CodeForgedDot {
		t.Errorf("inbox %v after the recovery, want the write with forged_dot", inbox)
	}
	s.check()
}

func TestAnInventedWitnessDoesNotChangeTheEpoch(t *testing.T) {
	s := newSite(t)
	a := s.device("a", grant("35.24.14"))
	a.create(1, "35.24.14", "name", "x")
	a.sync()
	a.witness = &wire.Witness{N: a.witness.GetN() + 7, Stamp: make([]byte, 16)}
	if r := a.exchange(); !errors.Is(r.refusal, syncproto.CodeClaimInvalid) {
		t.Errorf("refusal = %v, want claim_invalid", r.refusal)
	}
}

func TestAHoardedWitnessDoesNotChangeTheEpoch(t *testing.T) {
	s := newSite(t)
	a := s.device("a", grant("35.24.14"))
	id := a.create(1, "35.24.14", "name", "x")
	a.sync()
	hoarded := a.witness
	for n := range store.KeepWitnesses + 1 {
		a.set(id, "name", fmt.Sprint(n))
		a.sync()
	}
	a.witness = hoarded
	if r := a.exchange(); r.refusal != nil || r.begin.GetStatus() != wire.Status_STATUS_OK {
		t.Errorf("an old stamp: %v, %v; want OK", r.begin.GetStatus(), r.refusal)
	}
}

func TestWorkDoneBeforeAReassignmentIsAccepted(t *testing.T) {
	s := newSite(t)
	a := s.device("a", grant("35.24.14"))
	a.sync()
	id := a.create(1, "35.24.14", "name", "x")
	a.regrant(grant("35.23.18"))
	r := a.exchange()
	if o := r.begin.GetOutcomes(); len(o) != 1 || o[0].GetResult() != wire.Result_RESULT_APPLIED || !o[0].GetHidden() {
		t.Fatalf("outcomes = %v, want applied and hidden", o)
	}
	if !a.records[id].IsZero() {
		t.Error("the device keeps a record that it may no longer see")
	}
	a.create(2, "35.24.14", "name", "too late") // it knows the new grants now
	if r := a.exchange(); r.sum.Quarantined != 1 {
		t.Errorf("a write after the reassignment: %+v, want one quarantined", r.sum)
	}
	s.check()
}

func TestAWriteFromTheFutureIsFlaggedAndItsAuthorIsTold(t *testing.T) {
	s := newSite(t)
	a, b := s.device("a", grant("35.22.15")), s.device("b", grant("35.22.15"))
	s.now += 24 * 3600 * 1000
	id := a.create(1, "35.22.15", "desa", "35.22.15.1005")
	s.now -= 24 * 3600 * 1000
	a.sync()
	b.sync()
	for _, d := range []*device{a, b} {
		if f, _ := d.records[id].Field("desa"); len(f.Siblings) == 0 || !f.Siblings[0].Suspect {
			t.Errorf("%s does not see the flag", d.id)
		}
	}
	b.set(id, "desa", "35.22.28.2004")
	b.sync()
	a.sync()
	if got := get(t, a, id, "desa"); got != "35.22.28.2004" {
		t.Errorf("a sees %q: the causally later edit must win whatever the clocks say", got)
	}
	s.check()
}

// Not every database can keep a NUL, and nobody wants to read a megabyte.
func TestTheNameOfAnAppIsKeptAsTextThatCanBeShown(t *testing.T) {
	s := newSite(t)
	a := s.device("a", grant("35.22.15"))
	a.create(1, "35.22.15", "name", "x")
	a.rejectOpen = func(o *wire.Open) { o.App = "tim\x00pora\n 1.0 é" + strings.Repeat("é", 1000) }
	a.sync()
	err := s.store.View(t.Context(), func(r store.Reader) error {
		d, err := r.DeviceStatus(a.id)
		if want := "timpora 1.0 é" + strings.Repeat("é", 87); d.Seen.App != want {
			t.Errorf("app %q, want %q", d.Seen.App, want)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s.check()
}

// The same id is created in two districts. Who pushes second is told where the
// record is, unless he may not read it there.
func TestAPushIsToldAHomeThatItDidNotName(t *testing.T) {
	s := newSite(t)
	a, b, c := s.device("a", grant("35.22.15")), s.device("b", grant("35.22")), s.device("c", grant("35.22.28"))
	b.create(1, "35.22.28", "name", "b")
	c.create(1, "35.22.28", "desa", "c")
	s.now += 1000
	a.create(1, "35.22.15", "name", "a")
	if r := a.exchange(); len(r.begin.GetOutcomes()) != 0 {
		t.Errorf("a plain push has outcomes: %v", r.begin.GetOutcomes())
	}
	if r := b.exchange(); len(r.begin.GetOutcomes()) != 1 || r.begin.GetOutcomes()[0].GetHome() != "35.22.15" || r.begin.GetOutcomes()[0].GetHidden() {
		t.Errorf("outcomes = %v, want the home 35.22.15", r.begin.GetOutcomes())
	}
	if r := c.exchange(); len(r.begin.GetOutcomes()) != 1 || r.begin.GetOutcomes()[0].GetHome() != "" {
		t.Errorf("outcomes = %v, want one without a home", r.begin.GetOutcomes())
	}
	s.check()
}

// A record moves on in the feed while its author, who was never sent it, reads
// on: when it comes, only what somebody changed since is behind the cursor.
func TestAFlagIsToldWithWhateverComesLater(t *testing.T) {
	s := newSite(t)
	a, b := s.device("a", grant("35.22.15")), s.device("b", grant("35.22.15"))
	b.create(2, "35.22.15", "name", "first")
	b.sync()
	s.now += 24 * 3600 * 1000
	id := a.create(1, "35.22.15", "desa", "35.22.15.1005", "name", "x")
	s.now -= 24 * 3600 * 1000
	a.maxEntries = 0 // a push alone: nothing comes back
	a.sync()
	a.maxEntries = 1000
	b.create(3, "35.22.15", "name", "third")
	b.sync()
	b.set(id, "name", "y")
	b.sync()
	a.maxEntries = 2
	a.sync() // the other two
	a.maxEntries = 1000
	a.sync()
	if got := get(t, a, id, "name"); got != "y" {
		t.Fatalf("name = %q, want what b wrote", got)
	}
	if f, _ := a.records[id].Field("desa"); len(f.Siblings) != 1 || !f.Siblings[0].Suspect {
		t.Errorf("its author does not see the flag: %+v", f.Siblings)
	}
	s.check()
}

func TestStatesThatContradictEachOtherAreRepairedWithoutLoss(t *testing.T) {
	s := newSite(t)
	a, b := s.device("a", grant("35.24.14")), s.device("b", grant("35.24.14"))
	id := a.create(1, "35.24.14", "name", "x")
	a.sync()
	b.sync()
	// A phone whose fence failed: it uses its next counter twice.
	fork := a.minter
	a.set(id, "name", "told to the server")
	a.sync()
	a.minter, a.confirmed, a.confirmedHead = fork, fork.N(), fork.Head()
	rec := b.records[id]
	a.records[id], a.acked[id] = rec, rec.Context()
	a.set(id, "name", "told to nobody yet")
	r := a.exchange()
	if r.begin.GetStatus() != wire.Status_STATUS_CHAIN {
		t.Fatalf("status = %v, want CHAIN: the chain is the first net", r.begin.GetStatus())
	}
	// The phone ignores the proof of its fork and goes on; the tripwire is the last net.
	a.minter = syncproto.ResumeMinter(fork.Replica(), a.minter.N(), a.confirmedHead, a.minter.Clock())
	r = a.exchange()
	if o := r.begin.GetOutcomes(); len(o) != 1 || o[0].GetResult() != wire.Result_RESULT_REPAIR {
		t.Fatalf("outcomes = %v, want repair", o)
	}
	a.sync()
	b.sync()
	f, _ := b.records[id].Field("name")
	values := map[string]bool{}
	for _, x := range f.Siblings {
		values[x.Value.JSON()] = true
	}
	if !values[`"told to the server"`] || !values[`"told to nobody yet"`] {
		t.Errorf("b sees %v, want both", values)
	}
	// The next repair, and headquarters, read the journal with what was taken in.
	err := s.store.View(t.Context(), func(r store.Reader) error {
		for c, err := range r.Changes(id) {
			if err != nil {
				return err
			}
			if _, _, err := wire.DecodeChange(c.Ops); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Errorf("the journal of a repaired record: %v", err)
	}
	s.check()
}

func TestAskingForWhatIsMissingGivesTheFullState(t *testing.T) {
	s := newSite(t)
	a, b := s.device("a", grant("35.24.14")), s.device("b", grant("35.24.14"))
	id := a.create(1, "35.24.14", "name", "x")
	a.sync()
	b.sync()
	delete(b.records, id)
	delete(b.acked, id)
	a.set(id, "name", "y")
	a.sync()
	b.sync() // gets a delta it can't apply
	b.sync() // asks by id
	if got := get(t, b, id, "name"); got != "y" {
		t.Errorf("b sees %q", got)
	}
}

func TestRequestsThatNoHonestDeviceSendsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		open  func(*device, *wire.Open)
		batch func(*wire.Batch)
		code  syncproto.Code
	}{
		"another version":             {open: func(_ *device, o *wire.Open) { o.Version = 9 }, code: syncproto.CodeUnsupportedVersion},
		"a short nonce":               {open: func(_ *device, o *wire.Open) { o.Nonce = o.Nonce[:8] }, code: syncproto.CodeMalformed},
		"someone else's replica":      {open: func(_ *device, o *wire.Open) { o.Claims[0].Replica++ }, code: syncproto.CodeReplicaNotYours},
		"a changed claim":             {open: func(_ *device, o *wire.Open) { o.Claims[0].N++ }, code: syncproto.CodeClaimInvalid},
		"a claim of another exchange": {open: func(_ *device, o *wire.Open) { o.Nonce[0]++ }, code: syncproto.CodeClaimInvalid},
		"a cursor of no scope":        {open: func(_ *device, o *wire.Open) { o.Cursors = []*wire.Cursor{{Scope: "x"}} }, code: syncproto.CodeBadScope},
		"a counter that jumps": {open: func(d *device, o *wire.Open) {
			o.Claims[0].N += syncproto.MaxCounterJump + 1
			d.sign(o)
		}, code: syncproto.CodeCounterJump},
		"a batch that names a record twice": {batch: func(b *wire.Batch) { b.Items = append(b.Items, b.Items[0]) }, code: syncproto.CodeMalformed},
		"past writes beyond the claim": {batch: func(b *wire.Batch) {
			b.History = []*wire.History{{Replica: 0, N: 1 << 40, Step: make([]byte, 32)}}
		}, code: syncproto.CodeForgedDot},
		"too many items": {batch: func(b *wire.Batch) { b.Items = make([]*wire.Item, syncproto.MaxBatchItems+1) }, code: syncproto.CodeTooMany},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			a := s.device("a", grant("35.24.14"))
			id := a.create(1, "35.24.14", "name", "x")
			a.rejectBatch = c.batch
			if c.open != nil {
				a.rejectOpen = func(o *wire.Open) { c.open(a, o) }
			}
			if r := a.exchange(); !errors.Is(r.refusal, c.code) {
				t.Fatalf("refusal = %v, want %s", r.refusal, c.code)
			}
			a.rejectBatch, a.rejectOpen = nil, nil
			a.sync()
			b := s.device("b", grant("35.24.14"))
			b.sync()
			if get(t, b, id, "name") != "x" {
				t.Error("the honest resend was not taken")
			}
		})
	}
}

// reversed is a store whose rows come in another order.
type reversed struct{ store.Store }

func (s reversed) View(ctx context.Context, fn func(store.Reader) error) error {
	return s.Store.View(ctx, func(r store.Reader) error { return fn(reversedReader{r}) })
}

type reversedReader struct{ store.Reader }

func (r reversedReader) Live(ids []syncproto.RecordID) ([]store.Row, error) {
	rows, err := r.Reader.Live(ids)
	slices.Reverse(rows)
	return rows, err
}

// The purge of a record and its companion is the same on every engine, in
// whatever order their rows come.
func TestARecordIsPurgedBeforeItsCompanion(t *testing.T) {
	var contexts []string
	for _, turned := range []bool{false, true} {
		s := newSite(t)
		if turned {
			s.config.Store = reversed{s.store}
			s.engine = engine.New(s.config)
		}
		a := s.device("a", grant("35.24.07"))
		id := a.create(1, "35.24.07", "surname", "OKORO")
		companion := syncproto.CompanionID(id, syncproto.ClassTask)
		a.write(companion,
			syncproto.Write{Path: syncproto.PathKind, Value: syncproto.MustValue("site")},
			syncproto.Write{Path: syncproto.PathOf, Value: syncproto.MustValue(id.String())},
			syncproto.Write{Path: syncproto.PathScope, Value: syncproto.MustValue("35.24.07/T")})
		push(t, a, companion)
		a.sync()
		if err := s.engine.Purge(t.Context(), actor, id, "retensi", s.now); err != nil {
			t.Fatal(err)
		}
		a.sync()
		contexts = append(contexts, a.records[id].Context().String()+" "+a.records[companion].Context().String())
	}
	if contexts[0] != contexts[1] {
		t.Errorf("%s when the rows come in one order, %s in the other", contexts[0], contexts[1])
	}
}
