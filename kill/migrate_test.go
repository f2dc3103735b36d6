package kill_test

import (
	"bufio"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/internal/pgtest"
	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto"
)

// moment is when a move is killed: at a line that it says, by number or by how
// it begins, and some time after it. The zero moment lets it end.
type moment struct {
	line  int
	says  string
	after time.Duration
}

// anyMoment is one of a whole move, or around the two commits of its end.
func anyMoment(rng *rand.Rand) moment {
	switch rng.IntN(4) {
	case 0:
		return moment{says: "menandai", after: time.Duration(rng.IntN(10_000)) * time.Microsecond}
	case 1:
		return moment{says: "membuka", after: time.Duration(rng.IntN(3_000)) * time.Microsecond}
	}
	return moment{line: 1 + rng.IntN(24), after: time.Duration(rng.IntN(30)) * time.Millisecond}
}

// migrating runs sambangd migrate, and kills it at a moment. It returns how many
// lines it said, and whether it ended by itself, with success.
func (h *headquarters) migrating(to string, when moment) (said int, ended bool) {
	h.Helper()
	cmd := exec.CommandContext(h.Context(), sambangd(h.T), "migrate", "-data", h.data)
	cmd.Env = append(os.Environ(), "SAMBANG_TO="+to)
	out, err := cmd.StderrPipe()
	if err != nil {
		h.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		h.Fatal(err)
	}
	var text strings.Builder
	for s := bufio.NewScanner(out); s.Scan(); {
		text.WriteString(s.Text() + "\n")
		if said++; said == when.line || when.says != "" && strings.HasPrefix(s.Text(), when.says) {
			time.Sleep(when.after)
			_ = cmd.Process.Kill() // it may have ended
		}
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return said, true
	case errors.As(err, &exit) && exit.ExitCode() < 0:
		return said, false // by the signal
	}
	h.Fatalf("migrate: %v\n%s", err, &text)
	return said, false
}

// state tells which of the two stores a server may open.
func (h *headquarters) state(to string) (file, database error) {
	h.Helper()
	c := h.config()
	try := func() error {
		s, err := server.New(c)
		if err == nil {
			err = s.Close()
		}
		return err
	}
	file = try()
	c.Store = to
	return file, try()
}

// TestAKilledMoveGoesOn kills sambangd migrate at random moments, lets phones
// work with the source in between, and runs it again. At no moment can both
// stores be opened; in the end the database has all of it, and the phone notices
// nothing.
func TestAKilledMoveGoesOn(t *testing.T) {
	cluster := pgtest.Start(t)
	t.Logf("seed %d", *seed)
	rng := rand.New(rand.NewPCG(*seed, 3))
	kills, neither, ends := 0, 0, 0
	for range *cycles/10 + 2 {
		h := newHeadquarters(t)
		to := cluster.Database(t)
		var r *sambang.Replica
		var ids []sambang.ID
		dir := filepath.Join(t.TempDir(), "phone")
		work := func(s *server.Server, n int) {
			for range n {
				id, err := r.NewID()
				if err == nil {
					err = save(r, "hp", id, 1)
				}
				if err == nil {
					err = save(r, "hp", id, 2)
				}
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, id)
			}
			if rep, err := r.Sync(t.Context()); err != nil || rep.Repairs > 0 {
				t.Fatalf("sync: %+v, %v", rep, err)
			}
		}
		reopen := func(s *server.Server) {
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			var err error
			if r, err = sambang.Open(dir, h.options(s)); err != nil {
				t.Fatal(err)
			}
		}
		h.open(func(s *server.Server) {
			r = h.enrol(s, dir)
			work(s, 60)
		})
		finished := false
		for range 4 {
			said, ended := h.migrating(to, anyMoment(rng))
			if ended {
				ends++
			} else {
				kills++
			}
			file, database := h.state(to)
			switch {
			case ended && (!errors.Is(file, syncproto.CodeStoreMoved) || database != nil):
				t.Fatalf("after its end the file says %v, the database %v", file, database)
			case ended:
				finished = true
			case file == nil && database == nil:
				// The database may be empty still: then a server may open it.
				if said > 3 {
					t.Fatalf("both can be opened, after %d lines", said)
				}
				to = cluster.Database(t) // the server that opened it has made it its own
			case file == nil && errors.Is(database, syncproto.CodeStoreUnfinished):
				h.open(func(s *server.Server) {
					reopen(s)
					work(s, 1+rng.IntN(5))
				})
			case errors.Is(file, syncproto.CodeStoreMoved) && errors.Is(database, syncproto.CodeStoreUnfinished):
				neither++
			case errors.Is(file, syncproto.CodeStoreMoved) && database == nil: // killed after the last line but one
				finished = true
			default:
				t.Fatalf("the file says %v, the database %v", file, database)
			}
			if finished {
				break
			}
		}
		if _, ended := h.migrating(to, moment{}); !ended {
			t.Fatal("it was killed by somebody else")
		}
		file, database := h.state(to)
		if !errors.Is(file, syncproto.CodeStoreMoved) || database != nil {
			t.Fatalf("in the end the file says %v, the database %v", file, database)
		}
		c := h.config()
		c.Store = to
		s, err := server.New(c)
		if err != nil {
			t.Fatal(err)
		}
		reopen(s)
		if rep, err := r.Sync(context.Background()); err != nil || rep.Repairs+rep.Pushed > 0 {
			t.Errorf("the phone's first sync after the move: %+v, %v", rep, err)
		}
		for _, id := range ids {
			if c, err := r.Custody(id); err != nil || c != sambang.CustodyHeld {
				t.Errorf("custody of %s is %v, %v", id, c, err)
			}
		}
		hq := newReader(t, s)
		for _, id := range ids {
			if n, err := hq.version(id); err != nil || n != 2 {
				t.Errorf("headquarters has version %d of %s, %v", n, id, err)
			}
		}
		work(s, 3)
		if err := s.Check(t.Context(), func(p string) { t.Error(p) }); err != nil {
			t.Error(err)
		}
		if err := errors.Join(r.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	}
	if kills == 0 {
		t.Error("nothing was killed")
	}
	t.Logf("%d kills, %d of them between the two commits, %d runs that ended before they were killed", kills, neither, ends)
}
