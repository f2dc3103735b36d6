package sambang_test

import (
	"errors"
	"syscall"
	"testing"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/syncproto"
)

// A full disk refuses what is new, keeps what is there, and says so; when there
// is room again, work goes on.
func TestAFullDiskKeepsWhatItHas(t *testing.T) {
	for _, op := range []string{"commit", "mark"} {
		t.Run(op, func(t *testing.T) {
			full := false
			r, err := sambang.OpenOn(t.TempDir(), sambang.Options{Plain: true}, func(at string, do func() error) error {
				if full && at == op {
					return syscall.ENOSPC
				}
				return do()
			})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			id := create(t, r, sambang.Fields{"name": "before"})
			full = true
			if _, err := r.Create("site", "35.24.14", nil); !errors.Is(err, syncproto.CodeNoSpace) {
				t.Errorf("create: %v", err)
			}
			if err := r.Edit(id, func(d *sambang.Draft) error { d.Set("name", "x"); return nil }); !errors.Is(err, syncproto.CodeNoSpace) {
				t.Errorf("edit: %v", err)
			}
			if got := get(t, r, id).Fields["name"]; got != "before" {
				t.Errorf("name is %v", got)
			}
			if c := r.Counts(); c.Records != 1 || c.Waiting != 1 {
				t.Errorf("counts %+v", c)
			}
			full = false
			before := r.Status().Replica
			if err := r.Edit(id, func(d *sambang.Draft) error { d.Set("name", "after"); return nil }); err != nil {
				t.Fatal(err)
			}
			if got := get(t, r, id).Fields["name"]; got != "after" || r.Status().Replica != before {
				t.Errorf("name is %v, replica changed %v", got, r.Status().Replica != before)
			}
		})
	}
}

// The mark is durable before the writes that it fences are committed: a crash
// in between costs a new replica id and nothing else (4.2).
func TestTheMarkGoesOutBeforeTheCommit(t *testing.T) {
	dir := t.TempDir()
	var ops []string
	crash := false
	fault := func(op string, do func() error) error {
		ops = append(ops, op)
		if crash && op == "commit" {
			return errors.New("the power went")
		}
		return do()
	}
	r, err := sambang.OpenOn(dir, sambang.Options{Plain: true}, fault)
	if err != nil {
		t.Fatal(err)
	}
	id := create(t, r, sambang.Fields{"name": "before"})
	ops = nil
	if err := r.Edit(id, func(d *sambang.Draft) error { d.Set("name", "x"); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(ops) != 2 || ops[0] != "mark" || ops[1] != "commit" {
		t.Errorf("a write did %v", ops)
	}
	before := r.Status().Replica
	crash = true
	if err := r.Edit(id, func(d *sambang.Draft) error { d.Set("name", "y"); return nil }); err == nil {
		t.Error("the write succeeded")
	}
	crash = false
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = open(t, dir, nil)
	if r.Status().Replica == before {
		t.Error("the replica id stayed, although dots may have been given out")
	}
	if got := get(t, r, id).Fields["name"]; got != "x" {
		t.Errorf("name is %v", got)
	}
	// No mark, no old id: the folder of the mark is not backed up.
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	id2 := open(t, dir, func(o *sambang.Options) { o.MarkDir = t.TempDir() }).Status().Replica
	if id2 == r.Status().Replica || id2 == 0 {
		t.Error("a file without its mark kept its replica id")
	}
}

func FuzzRows(f *testing.F) {
	f.Add([]byte{1, 0})
	f.Add([]byte("\x01\x08\x04site\x0835.24.14\x00\x00\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x01\x01\x00\x00\x00"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		// What the seal lets through was written here; still nothing may panic.
		_ = sambang.ParseRow(b)
		_ = sambang.ParseHistory(b)
		_ = sambang.ParseJournal(b)
		_ = sambang.ParseSettled(b)
		sambang.ParseRefetch(b)
	})
}
