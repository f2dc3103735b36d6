package e2e_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// lab is a phone whose folders can be copied while it is closed. The mark is
// outside of the database's folder, as on Android.
type lab struct {
	w        *world
	db, mark string
	*sambang.Replica
}

func (w *world) lab(officer string) *lab {
	l := &lab{w: w, db: filepath.Join(w.t.TempDir(), "db"), mark: filepath.Join(w.t.TempDir(), "mark")}
	l.open()
	w.enrol(l.Replica, officer)
	return l
}

func (l *lab) open() {
	l.w.t.Helper()
	o := l.w.options()
	o.MarkDir = l.mark
	l.Replica = l.w.open(l.db, o)
}

func (l *lab) close() {
	l.w.t.Helper()
	if err := l.Close(); err != nil {
		l.w.t.Fatal(err)
	}
}

// saved copies folders of a closed phone.
func (l *lab) saved(dirs ...string) func() {
	l.w.t.Helper()
	copies := make([]string, len(dirs))
	for i, dir := range dirs {
		copies[i] = l.w.t.TempDir()
		replace(l.w.t, copies[i], dir)
	}
	return func() {
		for i, dir := range dirs {
			replace(l.w.t, dir, copies[i])
		}
	}
}

func replace(t testing.TB, to, from string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Chmod(path, 0o600) // CopyFS makes files that all may read
	})
	if err != nil {
		t.Fatal(err)
	}
}

// mustHold checks the server, and that it holds every write that was claimed.
func (w *world) mustHold() {
	w.t.Helper()
	devices, err := w.server.Devices(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, d := range devices {
		if d.Missing > 0 || d.Broken {
			w.t.Errorf("device %s of %s: %d writes missing, broken %v", d.ID, d.Officer, d.Missing, d.Broken)
		}
	}
	if err := w.server.Check(context.Background(), func(p string) { w.t.Errorf("server check: %s", p) }); err != nil {
		w.t.Error(err)
	}
}

func TestARestoredFileGoesOnAsANewReplica(t *testing.T) {
	w := newWorld(t)
	a, b := w.lab("budi"), w.phone("sari")
	id := w.create(a.Replica, sambang.Fields{"name": "first"})
	w.sync(a.Replica)
	a.close()
	restore := a.saved(a.db)
	a.open()
	before := a.Status().Replica
	w.set(a.Replica, id, "rooms", 5)
	w.set(a.Replica, id, "name", "second")
	w.sync(a.Replica)
	a.close()
	restore()
	a.open()
	if a.Status().Replica == before {
		t.Error("the restored file kept its replica id")
	}
	w.set(a.Replica, id, "name", "third, on the old copy")
	w.sync(a.Replica)
	w.sync(b)
	w.sync(a.Replica)
	for _, r := range []*sambang.Replica{a.Replica, b} {
		w.wantField(r, id, "rooms", jsonNumber("5"))
		if values := w.values(r, id, "name"); !values["second"] || !values["third, on the old copy"] {
			t.Errorf("name shows %v", values)
		}
	}
	w.mustHold()
}

func TestAWholeImageThatWasRestoredForksAndLosesNothing(t *testing.T) {
	w := newWorld(t)
	a, b := w.lab("budi"), w.phone("sari")
	id := w.create(a.Replica, sambang.Fields{"name": "first"})
	w.sync(a.Replica)
	a.close()
	restore := a.saved(a.db, a.mark)
	a.open()
	before := a.Status().Replica
	w.set(a.Replica, id, "name", "lost branch")
	other := w.create(a.Replica, sambang.Fields{"name": "only on the lost branch"})
	w.sync(a.Replica)
	a.close()
	restore()
	a.open()
	if a.Status().Replica != before {
		t.Error("the test is void: the restored image was noticed at once")
	}
	// The same dots again, for other writes.
	w.set(a.Replica, id, "rooms", 8)
	w.set(a.Replica, id, "rooms", 9)
	mine := w.create(a.Replica, sambang.Fields{"name": "only on the restored branch"})
	w.sync(a.Replica)
	if a.Status().Replica == before {
		t.Error("the fork was not noticed")
	}
	w.sync(b)
	w.sync(a.Replica)
	for name, r := range map[string]*sambang.Replica{"a": a.Replica, "b": b} {
		w.wantField(r, id, "name", "lost branch")
		w.wantField(r, id, "rooms", jsonNumber("9"))
		w.wantField(r, other, "name", "only on the lost branch")
		w.wantField(r, mine, "name", "only on the restored branch")
		if c := r.Counts(); c.Waiting != 0 || c.Records != 3 {
			t.Errorf("%s counts %+v", name, c)
		}
	}
	w.wantCustody(a.Replica, mine, sambang.CustodyHeld)
	w.mustHold()
}

// The server judges the heads that a phone claims before it answers. A phone
// looks at those of the answer all the same: a head that it never had proves
// that somebody else writes under its id.
func TestAForeignHeadInAnAnswerIsAFork(t *testing.T) {
	w := newWorld(t)
	a, b := w.phone("budi"), w.phone("sari")
	id := w.create(a, sambang.Fields{"name": "first"})
	w.sync(a)
	before := a.Status().Replica
	w.set(a, id, "rooms", 5)
	told := false
	w.link.alter = func(f *wire.ResponseFrame) bool {
		if heads := f.GetBegin().GetHeads(); len(heads) > 0 && !told {
			told = true
			heads[0].N, heads[0].Head = heads[0].GetN()-1, make([]byte, 32)
		}
		return true
	}
	rep := w.sync(a)
	w.link.alter = nil
	if !told || rep.Repairs == 0 || a.Status().Replica == before {
		t.Errorf("told: %v, report %+v, replica %s after %s", told, rep, a.Status().Replica, before)
	}
	w.sync(b)
	w.wantField(b, id, "rooms", jsonNumber("5"))
	w.wantCustody(a, id, sambang.CustodyHeld)
	w.mustHold()
}

func TestTwoLiveCopiesOfOnePhoneLoseNothing(t *testing.T) {
	w := newWorld(t)
	a, b := w.lab("budi"), w.phone("sari")
	id := w.create(a.Replica, sambang.Fields{"name": "first"})
	w.sync(a.Replica)
	a.close()
	twin := &lab{w: w, db: filepath.Join(t.TempDir(), "db"), mark: filepath.Join(t.TempDir(), "mark")}
	replace(t, twin.db, a.db)
	replace(t, twin.mark, a.mark)
	a.open()
	twin.open()
	w.set(a.Replica, id, "rooms", 1)
	w.set(a.Replica, id, "address", "by a")
	w.set(twin.Replica, id, "aliases", []any{"by twin"})
	w.set(twin.Replica, id, "rooms", 2)
	w.sync(a.Replica)
	w.sync(twin.Replica)
	w.sync(a.Replica)
	w.sync(twin.Replica)
	w.sync(b)
	for name, r := range map[string]*sambang.Replica{"a": a.Replica, "twin": twin.Replica, "b": b} {
		w.wantField(r, id, "address", "by a")
		if got, _ := w.get(r, id).Fields["aliases"].([]any); len(got) != 1 || got[0] != "by twin" {
			t.Errorf("%s: aliases %v", name, got)
		}
		if values := w.values(r, id, "rooms"); !values[jsonNumber("1")] || !values[jsonNumber("2")] {
			t.Errorf("%s: rooms %v", name, values)
		}
	}
	if a.Status().Replica == twin.Status().Replica {
		t.Error("both write under one id")
	}
	w.mustHold()
}

func TestRotateOnOpenTakesANewIdEachTime(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	o := w.options()
	o.RotateOnOpen = true
	r := w.open(dir, o)
	w.enrol(r, "budi")
	seen := map[syncproto.ReplicaID]bool{}
	var id sambang.ID
	for i := range 4 {
		if seen[r.Status().Replica] {
			t.Fatal("id used twice")
		}
		seen[r.Status().Replica] = true
		if i == 0 {
			id = w.create(r, sambang.Fields{"name": "x"})
		} else {
			w.set(r, id, "rooms", i)
		}
		if i == 2 {
			w.sync(r)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		r = w.open(dir, o)
	}
	w.sync(r)
	w.wantCustody(r, id, sambang.CustodyHeld)
	w.mustHold()
}

func TestAServerFromABackupGetsEverythingAgain(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.phone("budi"), w.phone("sari"), w.phone("sari")
	old := w.create(a, sambang.Fields{"name": "before the backup"})
	w.sync(a)
	w.sync(b)
	w.sync(c)
	w.backup(func() {
		w.set(a, old, "rooms", 3)
		lost := w.create(a, sambang.Fields{"name": "after the backup"})
		w.set(a, lost, "rooms", 1)
		w.sync(a)
		w.wantCustody(a, lost, sambang.CustodyHeld)
		w.set(a, lost, "rooms", 2) // overwrites what the server will have forgotten
		w.sync(a)
		w.sync(b)
		w.marked = lost
	})
	lost := w.marked
	// The author's phone is gone; b brings back what he wrote.
	rep := w.sync(b)
	if rep.Repairs == 0 {
		t.Errorf("the rollback was not noticed: %+v", rep)
	}
	w.sync(c)
	w.wantField(c, lost, "name", "after the backup")
	w.wantField(c, lost, "rooms", jsonNumber("2"))
	w.wantField(c, old, "rooms", jsonNumber("3"))
	// The author comes after all: custody counts anew until the server says so.
	w.sync(a)
	w.wantCustody(a, lost, sambang.CustodyHeld)
	w.wantField(a, lost, "rooms", jsonNumber("2"))
	w.mustHold()
	for _, r := range []*sambang.Replica{a, b, c} {
		if n := r.Counts().Waiting; n != 0 {
			t.Errorf("%d wait", n)
		}
	}
}

func TestOverwrittenWritesReachTheJournal(t *testing.T) {
	w := newWorld(t)
	a := w.phone("budi")
	id := w.create(a, sambang.Fields{"name": "0"})
	for _, v := range []string{"1", "2", "3"} {
		w.set(a, id, "name", v)
	}
	w.sync(a)
	w.mustHold()
	w.wantCustody(a, id, sambang.CustodyHeld)
}

func TestARecordOutsideTheGrantsIsPutAsideAndReleased(t *testing.T) {
	w := newWorld(t)
	a := w.phone("budi")
	id, err := a.Create("site", "33.01.01", sambang.Fields{"name": "elsewhere"})
	if err != nil {
		t.Fatal(err)
	}
	rep := w.sync(a)
	if rep.Quarantined == 0 {
		t.Errorf("report %+v", rep)
	}
	w.wantCustody(a, id, sambang.CustodyReceived)
	for rec, err := range a.List(sambang.Filter{}) {
		t.Errorf("listed: %v %v", rec, err)
	}
	n := 0
	for x, err := range a.Outbox() {
		if err != nil || x.ID != id || x.Code != syncproto.CodeScopeDenied || x.Custody != sambang.CustodyReceived {
			t.Errorf("outbox %+v, %v", x, err)
		}
		n++
	}
	if n == 0 || a.Counts().Quarantined == 0 || a.Counts().Waiting != 0 {
		t.Errorf("%d in the outbox, counts %+v", n, a.Counts())
	}
	if rep := w.sync(a); rep.Pushed != 0 {
		t.Errorf("pushed again: %+v", rep)
	}
	messages, err := w.server.Inbox(context.Background(), "", "", 100)
	if err != nil || len(messages) == 0 {
		t.Fatalf("inbox %v, %v", messages, err)
	}
	for _, m := range messages {
		if err := w.server.ReleaseMessage(context.Background(), m.Key, "hq", "belongs there"); err != nil {
			t.Fatal(err)
		}
	}
	w.clock.Add(time.Hour)
	w.sync(a)
	if _, err := a.Get(id); err == nil {
		w.sync(a)
	}
	t.Logf("after the release: counts %+v", a.Counts())
	if a.Counts().Quarantined != 0 {
		t.Errorf("still put aside: %+v", a.Counts())
	}
	w.mustHold()
}

func TestWhatAPhoneMayNotHoldGoesOnceItIsReceipted(t *testing.T) {
	w := newWorld(t)
	a, hq := w.phone("budi"), w.phone("sari", grant("35", "D", "T", "H"))
	id, err := a.Create("foreigner", "35.24.14", sambang.Fields{"surname": "LIN", "children_dual_count": 2})
	if err != nil {
		t.Fatal(err)
	}
	w.wantField(a, id, "children_dual_count", jsonNumber("2"))
	w.sync(a)
	if v, ok := w.get(a, id).Fields["children_dual_count"]; ok {
		t.Errorf("the phone still shows %v", v)
	}
	w.wantField(a, id, "surname", "LIN")
	w.sync(hq)
	w.wantField(hq, id, "children_dual_count", jsonNumber("2"))
	// Written again without being read: the copy has a hole, so the id changes.
	before := a.Status().Replica
	w.set(a, id, "children_dual_count", 3)
	if a.Status().Replica == before {
		t.Error("minted on a hole")
	}
	w.sync(a)
	w.sync(hq)
	if values := w.values(hq, id, "children_dual_count"); !values[jsonNumber("3")] {
		t.Errorf("children_dual_count shows %v", values)
	}
	w.mustHold()
}

func TestALostGrantTakesTheRecordsAndAReturningOneBringsThem(t *testing.T) {
	w := newWorld(t)
	a, b := w.phone("budi"), w.phone("sari")
	id := w.create(a, sambang.Fields{"name": "x", "owner_name": "Tuan X"})
	w.sync(a)
	w.sync(b)
	w.set(b, id, "rooms", 4) // not sent yet
	grants := func(g ...syncproto.Grant) {
		if err := w.server.SetGrants(context.Background(), b.Status().Device, g); err != nil {
			t.Fatal(err)
		}
	}
	grants(grant("35.24.15", "D", "T"))
	w.sync(b)
	w.clock.Add(2 * time.Minute)
	w.sync(b)
	if _, err := b.Get(id); !errors.Is(err, syncproto.CodeNotFound) {
		t.Errorf("still there: %v, counts %+v", err, b.Counts())
	}
	w.sync(a)
	w.wantField(a, id, "rooms", jsonNumber("4"))
	grants(grant("35.24.14", "D", "T"))
	w.sync(b)
	w.wantField(b, id, "owner_name", "Tuan X")
	w.wantField(b, id, "rooms", jsonNumber("4"))
}

// A grant that ends by time takes the records as one that is taken away does:
// nobody changes anything then, so the phone has to notice by itself.
func TestAGrantThatEndsByTimeTakesTheRecords(t *testing.T) {
	w := newWorld(t)
	a, b := w.phone("budi"), w.phone("sari")
	id := w.create(a, sambang.Fields{"name": "x", "owner_name": "Tuan X"})
	w.sync(a)
	mandate := grant("35.24.14", "D", "T")
	mandate.Until = w.clock.Now().Add(time.Hour).UnixMilli()
	grants := func(g syncproto.Grant) {
		if err := w.server.SetGrants(context.Background(), b.Status().Device, syncproto.Grants{grant("35.24.15", "D"), g}); err != nil {
			t.Fatal(err)
		}
	}
	grants(mandate)
	w.sync(b)
	w.wantField(b, id, "owner_name", "Tuan X")
	w.clock.Add(59 * time.Minute)
	w.sync(b)
	w.wantField(b, id, "owner_name", "Tuan X")
	w.clock.Add(2 * time.Minute)
	w.sync(b)
	if rec, err := b.Get(id); !errors.Is(err, syncproto.CodeNotFound) {
		t.Errorf("still there: %+v, %v", rec, err)
	}
	mandate.Until = 0
	grants(mandate)
	w.sync(b)
	w.wantField(b, id, "owner_name", "Tuan X")
}

// A store that was rolled back counts on from an earlier version of the grants.
// A phone that heard of grants that are lost, and of nothing that would prove
// the rollback, must not take others for those.
func TestGrantsAfterARollbackAreNotTakenForThoseBefore(t *testing.T) {
	w := newWorld(t)
	b := w.phone("sari")
	w.sync(b)
	to := func(region string) {
		if err := w.server.SetGrants(context.Background(), b.Status().Device, syncproto.Grants{grant(region, "D")}); err != nil {
			t.Fatal(err)
		}
		w.sync(b)
		if got := b.Status().Grants; len(got) != 1 || string(got[0].Region) != region {
			t.Fatalf("grants %v, want %s", got, region)
		}
	}
	w.backup(func() { to("35.24.15") })
	to("35.24.16")
}

// The same, and the server stays with its older grants: they count, although
// the phone was given newer ones.
func TestGrantsThatARollbackTookBackAreGoneOnThePhoneToo(t *testing.T) {
	w := newWorld(t)
	a, b := w.phone("budi"), w.phone("sari")
	w.sync(b)
	w.backup(func() {
		if err := w.server.SetGrants(context.Background(), b.Status().Device, syncproto.Grants{grant("35.24.15", "D")}); err != nil {
			t.Fatal(err)
		}
		w.sync(b)
	})
	id := w.create(a, sambang.Fields{"name": "x"})
	w.sync(a)
	w.sync(b)
	w.wantField(b, id, "name", "x")
	if got := b.Status().Grants; len(got) != 1 || got[0].Region != "35.24.14" {
		t.Errorf("grants %v", got)
	}
}

// A phone whose clock runs ahead takes the grant for ended, asks, and is sent
// its records again. When the grant ends after all, they go all the same.
func TestAGrantThatEndedTooEarlyByAWrongClockEndsAgain(t *testing.T) {
	w := newWorld(t)
	a := w.phone("budi")
	id := w.create(a, sambang.Fields{"name": "x", "owner_name": "Tuan X"})
	w.sync(a)
	ahead := time.Duration(0)
	o := w.options()
	o.Clock = func() time.Time { return w.clock.Now().Add(ahead) }
	b := w.open(t.TempDir(), o)
	mandate := grant("35.24.14", "D", "T")
	mandate.Until = w.clock.Now().Add(time.Hour).UnixMilli()
	w.enrol(b, "sari", mandate)
	w.sync(b)
	w.wantField(b, id, "owner_name", "Tuan X")
	ahead = 7 * 24 * time.Hour
	w.sync(b)
	w.wantField(b, id, "owner_name", "Tuan X")
	w.clock.Add(2 * time.Hour)
	w.sync(b)
	if rec, err := b.Get(id); !errors.Is(err, syncproto.CodeNotFound) {
		t.Errorf("still there: %+v, %v", rec, err)
	}
}

func TestAPurgeTakesTheCopyWhateverWaits(t *testing.T) {
	w := newWorld(t)
	a, b := w.phone("budi"), w.phone("sari")
	id := w.create(a, sambang.Fields{"name": "x", "owner_name": "Tuan X"})
	w.sync(a)
	w.sync(b)
	w.set(b, id, "rooms", 4) // not sent yet
	if err := w.server.Purge(context.Background(), id.String(), "hq", "retention"); err != nil {
		t.Fatal(err)
	}
	w.sync(a)
	w.sync(b)
	for name, r := range map[string]*sambang.Replica{"a": a, "b": b} {
		if rec, err := r.Get(id); !errors.Is(err, syncproto.CodeNotFound) {
			t.Errorf("%s still has %+v, %v", name, rec, err)
		}
		if r.Counts() != (sambang.Counts{}) {
			t.Errorf("%s counts %+v", name, r.Counts())
		}
	}
	w.mustHold()
}

func TestARevokedDeviceIsToldAndKeepsWhatWaits(t *testing.T) {
	w := newWorld(t)
	a := w.phone("budi")
	id := w.create(a, sambang.Fields{"name": "evidence"})
	if err := w.server.Revoke(context.Background(), a.Status().Device, false); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Sync(context.Background()); !errors.Is(err, syncproto.CodeDeviceRevoked) {
		t.Errorf("sync: %v", err)
	}
	if !a.Status().Revoked {
		t.Error("status does not say so")
	}
	w.wantField(a, id, "name", "evidence")
}

func TestAKeyInHardwareSignsWithES256(t *testing.T) {
	w := newWorld(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	o := w.options()
	o.Signer = key
	r := w.open(t.TempDir(), o)
	w.enrol(r, "budi")
	id := w.create(r, sambang.Fields{"name": "x"})
	w.sync(r)
	w.wantCustody(r, id, sambang.CustodyHeld)
}

func TestAReplayedRequestChangesNothing(t *testing.T) {
	w := newWorld(t)
	a, b := w.phone("budi"), w.phone("sari")
	id := w.create(a, sambang.Fields{"name": "x"})
	lost := 0
	w.link.after = func(*http.Request) error {
		if lost++; lost%2 == 1 {
			return errLost
		}
		return nil
	}
	for range 6 {
		_, _ = a.Sync(context.Background())
	}
	w.link.after = nil
	w.sync(a)
	w.sync(b)
	w.wantField(b, id, "name", "x")
	if n := b.Counts().Conflicts; n != 0 {
		t.Errorf("%d conflicts", n)
	}
	w.mustHold()
}
