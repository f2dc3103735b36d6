package e2e_test

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"testing"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/syncproto"
)

func TestARecordTravelsFromPhoneToPhone(t *testing.T) {
	w := newWorld(t)
	a, b := w.phone("budi"), w.phone("sari")
	id := w.create(a, sambang.Fields{"name": "Hotel Rekaan", "site_type": "hotel", "owner_name": "Tuan X"})
	w.wantCustody(a, id, sambang.CustodyOnPhone)
	rep := w.sync(a)
	if rep.Requests != 1 || rep.Pushed != 2 || rep.Waiting != 0 {
		t.Errorf("report %+v", rep)
	}
	w.wantCustody(a, id, sambang.CustodyHeld)
	w.sync(b)
	got := w.get(b, id)
	if got.Fields["name"] != "Hotel Rekaan" || got.Fields["owner_name"] != "Tuan X" {
		t.Errorf("b has %v", got.Fields)
	}
	if got.UpdatedBy.Officer != "budi" || got.UpdatedBy.Agency != "imigrasi" {
		t.Errorf("written by %+v", got.UpdatedBy)
	}
	if c := a.Counts(); c != (sambang.Counts{Records: 1}) {
		t.Errorf("counts of a %+v", c)
	}
	if c := b.Counts(); c != (sambang.Counts{Records: 1}) {
		t.Errorf("counts of b %+v", c)
	}
	w.sync(a)
}

func TestAnIdleSyncIsOneSmallRequestAndWritesNothing(t *testing.T) {
	w := newWorld(t)
	a := w.phone("budi")
	for range 40 {
		w.create(a, sambang.Fields{"name": "x"})
	}
	w.sync(a)
	w.sync(a)
	w.link.bytes, w.link.requests = 0, 0
	w.sync(a)
	if w.link.requests != 1 || w.link.bytes > 1000 {
		t.Errorf("%d requests, %d bytes", w.link.requests, w.link.bytes)
	}
	t.Logf("idle sync: %d bytes", w.link.bytes)
}

func TestAPushAloneBringsNothingAndNothingComesBackLater(t *testing.T) {
	w := newWorld(t)
	a, b := w.phone("budi"), w.phone("sari")
	theirs := w.create(b, sambang.Fields{"name": "from b"})
	w.sync(a)
	mine := w.create(a, sambang.Fields{"name": "from a"})
	rep, err := a.Sync(t.Context(), sambang.PushOnly())
	if err != nil || rep.Pulled != 0 || rep.Waiting != 0 {
		t.Fatalf("push alone: %+v, %v", rep, err)
	}
	w.wantCustody(a, mine, sambang.CustodyHeld)
	w.sync(b)
	if rep := w.sync(a); rep.Pulled != 1 {
		t.Errorf("the next sync brings %d entries, want b's record alone", rep.Pulled)
	}
	w.wantField(a, theirs, "name", "from b")
}

func TestConcurrentEditsOfOneFieldAreAConflictWithBothValues(t *testing.T) {
	w := newWorld(t)
	a, b := w.phone("budi"), w.phone("sari")
	id := w.create(a, sambang.Fields{"name": "before", "rooms": 3})
	w.sync(a)
	w.sync(b)
	w.set(a, id, "name", "by a")
	w.set(b, id, "name", "by b")
	w.set(b, id, "rooms", 4)
	w.sync(a)
	w.sync(b)
	w.sync(a)
	for name, r := range map[string]*sambang.Replica{"a": a, "b": b} {
		cs, err := r.Conflicts(id)
		if err != nil {
			t.Fatal(err)
		}
		if len(cs) != 1 || cs[0].Path != "name" || len(cs[0].Values) != 2 || cs[0].Base != "before" {
			t.Fatalf("%s sees %+v", name, cs)
		}
		who := map[string]any{}
		for _, v := range cs[0].Values {
			who[v.By.Officer] = v.Value
		}
		if who["budi"] != "by a" || who["sari"] != "by b" {
			t.Errorf("%s sees %v", name, who)
		}
		if r.Counts().Conflicts != 1 {
			t.Errorf("%s counts %+v", name, r.Counts())
		}
	}
	if err := a.Resolve(id, "name", "by b"); err != nil {
		t.Fatal(err)
	}
	w.sync(a)
	w.sync(b)
	for _, r := range []*sambang.Replica{a, b} {
		w.wantField(r, id, "name", "by b")
		if r.Counts().Conflicts != 0 {
			t.Errorf("counts %+v", r.Counts())
		}
	}
}

func TestALostReplyIsSentAgainAndChangesNothing(t *testing.T) {
	w := newWorld(t)
	a, b := w.phone("budi"), w.phone("sari")
	id := w.create(a, sambang.Fields{"name": "one"})
	w.link.after = func(*http.Request) error { return errLost }
	if _, err := a.Sync(context.Background()); !errors.Is(err, syncproto.CodeOffline) {
		t.Fatalf("sync: %v", err)
	}
	if !a.Status().Offline {
		t.Error("not offline")
	}
	w.link.after = nil
	w.wantCustody(a, id, sambang.CustodyOnPhone)
	w.set(a, id, "name", "two") // overwrites what the server has and the phone does not know
	w.sync(a)
	w.wantCustody(a, id, sambang.CustodyHeld)
	w.sync(b)
	w.wantField(b, id, "name", "two")
}

func TestAnEditDuringASyncIsNotAcknowledged(t *testing.T) {
	w := newWorld(t)
	a := w.phone("budi")
	id := w.create(a, sambang.Fields{"name": "one"})
	w.link.after = func(*http.Request) error {
		w.link.after = nil
		w.set(a, id, "name", "two")
		return nil
	}
	w.sync(a)
	w.wantCustody(a, id, sambang.CustodyOnPhone)
	if a.Counts().Waiting != 1 {
		t.Errorf("counts %+v", a.Counts())
	}
	w.sync(a)
	w.wantCustody(a, id, sambang.CustodyHeld)
}

func TestAPullThatBreaksGoesOnWhereItStopped(t *testing.T) {
	w := newWorld(t)
	a, b := w.phone("budi"), w.phone("sari")
	const n = 600
	for i := range n {
		noise := make([]byte, 1000) // so that the feed has several frames
		if _, err := w.rand.Read(noise); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Create("site", "35.24.14", sambang.Fields{"name": hex.EncodeToString(noise), "rooms": i}); err != nil {
			t.Fatal(err)
		}
	}
	w.sync(a)
	w.link.cut = 200_000
	breaks := 0
	for {
		_, err := b.Sync(context.Background())
		if err == nil {
			break
		}
		if !errors.Is(err, syncproto.CodeOffline) {
			t.Fatal(err)
		}
		if breaks++; breaks > 50 {
			t.Fatalf("no progress: %+v", b.Counts())
		}
	}
	if b.Counts().Records != n || breaks == 0 {
		t.Errorf("%d records after %d breaks", b.Counts().Records, breaks)
	}
}

func TestDeleteAndConcurrentEdit(t *testing.T) {
	w := newWorld(t)
	a, b := w.phone("budi"), w.phone("sari")
	gone, edited := w.create(a, sambang.Fields{"name": "gone"}), w.create(a, sambang.Fields{"name": "edited"})
	w.sync(a)
	w.sync(b)
	for _, id := range []sambang.ID{gone, edited} {
		if err := a.Delete(id); err != nil {
			t.Fatal(err)
		}
	}
	w.set(b, edited, "rooms", 9)
	w.sync(b)
	w.sync(a)
	w.sync(b)
	if rec := w.get(b, gone); !rec.Deleted {
		t.Error("not deleted")
	}
	for _, r := range []*sambang.Replica{a, b} {
		rec := w.get(r, edited)
		if rec.Deleted || len(rec.Survivors) == 0 {
			t.Errorf("edited: %+v", rec)
		}
		if r.Counts().Records != 1 {
			t.Errorf("counts %+v", r.Counts())
		}
	}
	if err := a.Resolve(edited, syncproto.PathDel, true); err != nil {
		t.Fatal(err)
	}
	w.sync(a)
	w.sync(b)
	if !w.get(b, edited).Deleted {
		t.Error("resolved deletion did not arrive")
	}
}

func TestARecordThatMovesOutOfScopeIsEvicted(t *testing.T) {
	w := newWorld(t)
	wide, narrow := w.phone("budi", grant("35.24", "D", "T", "H")), w.phone("sari")
	id := w.create(wide, sambang.Fields{"name": "wanderer", "owner_name": "Tuan X"})
	w.sync(wide)
	w.sync(narrow)
	w.wantField(narrow, id, "owner_name", "Tuan X")
	if err := wide.Move(id, "35.24.15"); err != nil {
		t.Fatal(err)
	}
	w.sync(wide)
	w.sync(narrow)
	if _, err := narrow.Get(id); !errors.Is(err, syncproto.CodeNotFound) {
		t.Errorf("still there: %v", err)
	}
	if narrow.Counts() != (sambang.Counts{}) {
		t.Errorf("counts %+v", narrow.Counts())
	}
}

func TestAnUnsentEditSurvivesThatTheRecordMovedAway(t *testing.T) {
	w := newWorld(t)
	wide, narrow := w.phone("budi", grant("35.24", "D", "T", "H")), w.phone("sari")
	id := w.create(wide, sambang.Fields{"name": "wanderer"})
	w.sync(wide)
	w.sync(narrow)
	w.set(narrow, id, "rooms", 7)
	if err := wide.Move(id, "35.24.15"); err != nil {
		t.Fatal(err)
	}
	w.sync(wide)
	w.sync(narrow)
	w.sync(narrow)
	if _, err := narrow.Get(id); !errors.Is(err, syncproto.CodeNotFound) {
		t.Errorf("still there: %v", err)
	}
	w.sync(wide)
	if got := w.get(wide, id).Fields["rooms"]; got == nil {
		t.Error("the edit was lost")
	}
}

func TestAWrongClockIsCorrectedWithOneRetry(t *testing.T) {
	w := newWorld(t)
	o := w.options()
	o.Clock = func() time.Time { return w.clock.Now().AddDate(-26, 0, 0) }
	a := w.open(t.TempDir(), o)
	id := w.create(a, sambang.Fields{"name": "before enrolment"})
	w.enrol(a, "budi")
	w.sync(a)
	w.wantCustody(a, id, sambang.CustodyHeld)
	w.set(a, id, "name", "now")
	w.sync(a)
	if at := w.get(a, id).UpdatedAt; w.clock.Now().Sub(at).Abs() > time.Minute {
		t.Errorf("updated at %v, now is %v", at, w.clock.Now())
	}
}
