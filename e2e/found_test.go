package e2e_test

import (
	"context"
	"errors"
	"testing"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/syncproto"
)

// What package sim found in the SDK, each as a scenario of its own.

// A record that was put aside is accepted at last, in a class that the phone
// may not read: it leaves the phone, and so must the number in the status bar.
func TestARecordPutAsideThatLeavesIsCountedNoMore(t *testing.T) {
	w := newWorld(t)
	r := w.phone("budi", grant("35.24.15", "D", "T"))
	id := w.create(r, sambang.Fields{"name": "x"})
	w.sync(r)
	if n := r.Counts().Quarantined; n != 1 {
		t.Fatalf("%d put aside, want 1", n)
	}
	if err := w.server.SetGrants(context.Background(), r.Status().Device, syncproto.Grants{grant("35.24.14", "H")}); err != nil {
		t.Fatal(err)
	}
	w.set(r, id, "name", "y")
	w.sync(r)
	w.sync(r)
	if _, err := r.Get(id); !errors.Is(err, syncproto.CodeNotFound) {
		t.Fatalf("get: %v, want not_found", err)
	}
	if c := r.Counts(); c.Quarantined != 0 || c.Waiting != 0 {
		t.Errorf("counts %+v, want nothing", c)
	}
}

// Two officers move a record, with a companion that only one class may read,
// to different districts. Deciding between them moves both parts, each in its
// class.
func TestResolvingAHomeKeepsTheClassOfEachPart(t *testing.T) {
	w := newWorld(t)
	wide := grant("35.24", "D", "T")
	a, b := w.phone("budi", wide), w.phone("sari", wide)
	id, err := a.Create("inspection", "35.24.14", sambang.Fields{"kind": "routine"})
	if err != nil {
		t.Fatal(err)
	}
	w.sync(a)
	w.sync(b)
	for r, region := range map[*sambang.Replica]string{a: "35.24.15", b: "35.24.16"} {
		if err := r.Move(id, region); err != nil {
			t.Fatal(err)
		}
	}
	w.sync(a)
	w.sync(b)
	w.sync(a)
	if err := a.Resolve(id, syncproto.PathScope, "nowhere"); !errors.Is(err, syncproto.CodeBadScope) {
		t.Errorf("resolving to no district: %v, want bad_scope", err)
	}
	before := w.get(a, id).States()
	if err := a.Resolve(id, syncproto.PathScope, "35.24.14"); err != nil {
		t.Fatal(err)
	}
	for i, s := range w.get(a, id).States() {
		if home := s.Home(); home.Region() != "35.24.14" || home.Class() != before[i].Home().Class() {
			t.Errorf("part %d is at home in %s, was in %s", i, home, before[i].Home())
		}
	}
	w.sync(a)
	if c := a.Counts(); c.Waiting != 0 || c.Quarantined != 0 {
		t.Errorf("counts %+v after the sync, want nothing", c)
	}
}
