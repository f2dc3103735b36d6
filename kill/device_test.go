package kill_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto"
)

// opened is the line that a device process begins with.
const opened = "open"

// work is what the device process does: it writes and says what was saved, and
// syncs beside it, until it is killed.
func work(dir, name string, seed uint64) error {
	r, err := sambang.Open(dir, phoneOptions())
	if err != nil {
		return err
	}
	fmt.Println(opened)
	p := newPhone(name, r, seed)
	for rec, err := range r.List(sambang.Filter{}) {
		if err != nil {
			return err
		}
		if rec.Fields["by"] != name {
			if err := pulledVersions(rec.ID, rec.Fields); err != nil {
				return err
			}
			continue
		}
		_, n, err := versionOf(rec.ID, rec.Fields)
		if err != nil {
			return err
		}
		p.mine[rec.ID], p.order = n, append(p.order, rec.ID)
	}
	go func() {
		for {
			if _, err := r.Sync(context.Background()); err != nil {
				time.Sleep(10 * time.Millisecond)
			}
		}
	}()
	for {
		id, err := p.write()
		if err != nil {
			return err
		}
		// One write of one line: what the reader has of it is whole or no line.
		if _, err := fmt.Printf("%s %d\n", id, p.mine[id]); err != nil {
			return err
		}
	}
}

// victim is a device whose process is killed, and what it was told to be saved.
type victim struct {
	name, dir string
	said      map[sambang.ID]int
}

// run runs the device's process and kills it after a while, counted from its
// start or, so that a slow machine kills workers too, from when it was open.
func (v *victim) run(t *testing.T, seed uint64, life time.Duration, young bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-kill.device", v.dir, "-kill.name", v.name, "-kill.seed", strconv.FormatUint(seed, 10))
	var complaint bytes.Buffer
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = &complaint
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	begun, ended := make(chan struct{}), make(chan struct{})
	var lines []string
	go func() {
		defer close(ended)
		for in := bufio.NewReader(pipe); ; {
			line, err := in.ReadString('\n')
			if err != nil {
				return // what it could not say to its end
			}
			if line = strings.TrimSuffix(line, "\n"); line == opened {
				close(begun)
			} else {
				lines = append(lines, line)
			}
		}
	}()
	if !young {
		select {
		case <-begun:
		case <-ended:
		}
	}
	time.Sleep(life)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	_ = cmd.Wait() // killed
	if complaint.Len() > 0 {
		t.Fatalf("the device ended by itself: %s", &complaint)
	}
	for _, line := range lines {
		word, number, _ := strings.Cut(line, " ")
		id, err := syncproto.ParseRecordID(word)
		if err != nil {
			t.Fatal(err)
		}
		if v.said[id], err = strconv.Atoi(number); err != nil {
			t.Fatal(err)
		}
	}
}

// check opens the replica again and holds it against what was said.
func (v *victim) check(t *testing.T, hq reader) {
	t.Helper()
	r, err := sambang.Open(v.dir, phoneOptions())
	if err != nil {
		t.Fatalf("%s does not open again: %v", v.name, err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	found, extra := map[sambang.ID]int{}, 0
	for rec, err := range r.List(sambang.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if rec.Fields["by"] != v.name {
			if err := pulledVersions(rec.ID, rec.Fields); err != nil {
				t.Fatal(err)
			}
			continue
		}
		_, n, err := versionOf(rec.ID, rec.Fields)
		if err != nil {
			t.Fatal(err)
		}
		found[rec.ID] = n
		switch said := v.said[rec.ID]; n {
		case said:
		case said + 1:
			extra++
			v.said[rec.ID] = n
		default:
			t.Errorf("%s was told that version %d of %s is saved, and has %d", v.name, said, rec.ID, n)
		}
		if rec.Custody != sambang.CustodyHeld {
			continue
		}
		if at, err := hq.version(rec.ID); err != nil || at != n {
			t.Errorf("%s says that version %d of %s is held, the server has %d: %v", v.name, n, rec.ID, at, err)
		}
	}
	for id, n := range v.said {
		if found[id] == 0 {
			t.Errorf("%s was told that version %d of %s is saved, and has none", v.name, n, id)
		}
	}
	if extra > 1 {
		t.Errorf("%s has %d versions that it was not told of, at most one was under way", v.name, extra)
	}
	id, err := r.NewID()
	if err == nil {
		err = save(r, v.name, id, 1)
	}
	if err != nil {
		t.Fatalf("%s takes no write any more: %v", v.name, err)
	}
	v.said[id] = 1
}

// TestAKilledDeviceKeepsWhatItSaid kills device processes again and again while
// they write and sync, and while another phone gives them something to pull.
// What Create or Edit returned for is there, byte for byte, with at most the
// one write beside it that was under way; the device takes writes; and it says
// 'held' only of what the server holds.
func TestAKilledDeviceKeepsWhatItSaid(t *testing.T) {
	t.Logf("seed %d", *seed)
	rng := rand.New(rand.NewPCG(*seed, 3))
	h := newHeadquarters(t)
	var victims []*victim
	var other *phone
	h.open(func(s *server.Server) {
		for i := range 2 {
			v := &victim{name: fmt.Sprintf("victim-%d", i), said: map[sambang.ID]int{}}
			v.dir = filepath.Join(t.TempDir(), v.name)
			if err := h.enrol(s, v.dir).Close(); err != nil {
				t.Fatal(err)
			}
			victims = append(victims, v)
		}
		dir := filepath.Join(t.TempDir(), "other")
		if err := h.enrol(s, dir).Close(); err != nil {
			t.Fatal(err)
		}
		o := phoneOptions()
		o.Transport = h.epochs
		r, err := sambang.Open(dir, o)
		if err != nil {
			t.Fatal(err)
		}
		other = newPhone("other", r, *seed)
	})
	h.start()
	ctx, stop := context.WithCancel(t.Context())
	var beside sync.WaitGroup
	beside.Go(func() { other.run(ctx) })
	defer func() {
		stop()
		beside.Wait()
		if err := other.r.Close(); err != nil {
			t.Error(err)
		}
	}()

	h.open(func(s *server.Server) {
		hq := newReader(t, s)
		for cycle := range *cycles / 2 {
			v := victims[cycle%len(victims)]
			v.run(t, *seed+uint64(cycle), time.Duration(rng.Int64N(int64(300*time.Millisecond))), rng.IntN(4) == 0)
			if v.check(t, hq); t.Failed() {
				t.Fatalf("in cycle %d", cycle)
			}
		}
		stop()
		beside.Wait()
		if other.err != nil {
			t.Fatal(other.err)
		}
		// In the end all of it reaches headquarters.
		written := 0
		for _, v := range victims {
			r, err := sambang.Open(v.dir, phoneOptions())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Sync(t.Context()); err != nil {
				t.Errorf("%s: the last sync: %v", v.name, err)
			}
			if w := r.Counts().Waiting; w > 0 {
				t.Errorf("%s: %d records wait after the last sync", v.name, w)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			for id, n := range v.said {
				written += n
				if got, err := hq.version(id); err != nil || got != n {
					t.Errorf("%s wrote version %d of %s, the server has %d: %v", v.name, n, id, got, err)
				}
			}
		}
		if written < *cycles {
			t.Errorf("only %d versions were written", written)
		}
		t.Logf("%d kills of a device, %d versions saved, all kept and all at headquarters", *cycles/2, written)
	})
	h.kill()
	for _, p := range h.problems() {
		t.Errorf("check: %s", p)
	}
	h.epochs.check(t)
}
