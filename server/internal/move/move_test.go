package move_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sambang-id/sambang/internal/pgtest"
	"github.com/sambang-id/sambang/server/internal/move"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/postgres"
	"github.com/sambang-id/sambang/server/internal/store/sqlite"
	"github.com/sambang-id/sambang/server/internal/store/storetest"
	"github.com/sambang-id/sambang/server/internal/store/tables"
	"github.com/sambang-id/sambang/syncproto"
)

// A row that was forgotten is a history that devices do not find again.
func TestEveryRowOfEveryTableIsMoved(t *testing.T) {
	w := newWorld(t)
	var before []string
	w.use(func(s *sqlite.Store) {
		storetest.Fill(t, s)
		before = w.dump(s)
	})
	r := w.move()
	if len(r.Tables) != len(tables.All()) {
		t.Errorf("%d tables, there are %d", len(r.Tables), len(tables.All()))
	}
	for _, table := range r.Tables {
		if table.Rows == 0 || table.Copied != table.Rows {
			t.Errorf("the test has no row of a table, or it was not copied: %+v", table)
		}
	}
	if r.Sample == 0 || r.Scopes == 0 || r.Before {
		t.Errorf("result %+v", r)
	}
	w.same()
	// The database has counted its rows, so that the first pages are found by their indexes.
	w.cluster.Exec(t, w.address, fmt.Sprintf(`DO $$ BEGIN ASSERT (SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND reltuples > 0) = %d, 'tables are not counted'; END $$`, len(tables.All())))
	w.moved(func(s *postgres.Store) {
		if diff := cmp.Diff(before, w.dump(s)); diff != "" {
			t.Errorf("what the store shows (-before +after):\n%s", diff)
		}
		if err := s.Check(t.Context(), func(p string) { t.Error(p) }); err != nil {
			t.Error(err)
		}
		if err := write(t.Context(), s); err != nil {
			t.Error(err)
		}
	})
	if again := w.move(); !again.Before || again.ID != r.ID {
		t.Errorf("the second move says %+v", again)
	}
	w.moved(func(s *postgres.Store) {
		if len(w.dump(s)) == len(before) && cmp.Equal(before, w.dump(s)) {
			t.Error("the second move took away what was written since")
		}
	})
}

// On a cluster the rows are on other nodes, and its own rules hold.
func TestAMoveToACluster(t *testing.T) {
	w := newWorld(t)
	c, ok := pgtest.Citus(t)
	if !ok {
		return
	}
	w.cluster, w.address = c, c.Database(t)
	var before []string
	w.use(func(s *sqlite.Store) {
		storetest.Fill(t, s)
		storetest.Add(t, s, "35.24.15", 1000, 3000, 100)
		before = w.dump(s)
	})
	w.target = func(x move.Target) move.Target { return failing{Target: x, at: "finish"} }
	w.wants(errFailed)
	if _, err := postgres.Open(t.Context(), w.address, postgres.Options{}); !errors.Is(err, store.ErrUnfinished) {
		t.Errorf("opening the target: %v", err)
	}
	w.target = nil
	w.move()
	w.same()
	w.moved(func(s *postgres.Store) {
		if diff := cmp.Diff(before, w.dump(s)); diff != "" {
			t.Errorf("what the store shows (-before +after):\n%s", diff)
		}
		if err := write(t.Context(), s); err != nil {
			t.Error(err)
		}
	})
}

// The server that is running must not go on writing into a file that nobody
// will read again.
func TestAServerOnTheSourceReadsAndDoesNotWrite(t *testing.T) {
	w := newWorld(t)
	s, err := sqlite.Open(t.Context(), w.path, sqlite.Options{BusyTimeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // only read
	storetest.Fill(t, s)
	before := w.dump(s)
	seen := map[string]bool{}
	w.config.Progress = func(p move.Progress) {
		if seen[p.Phase] || p.Phase == move.PhaseFence {
			return
		}
		seen[p.Phase] = true
		err := write(t.Context(), s)
		want := store.ErrBusy
		if p.Phase == move.PhaseFinish {
			want = store.ErrMoved
		}
		if !errors.Is(err, want) {
			t.Errorf("writing in phase %s: %v, want %v", p.Phase, err, want)
		}
		if !cmp.Equal(before, w.dump(s)) {
			t.Errorf("reading in phase %s shows something else", p.Phase)
		}
	}
	w.move()
	if len(seen) != 6 {
		t.Errorf("phases %v", seen)
	}
	if !cmp.Equal(before, w.dump(s)) {
		t.Error("reading a moved file shows something else")
	}
	if _, err := sqlite.Open(t.Context(), w.path, sqlite.Options{}); !errors.Is(err, store.ErrMoved) || syncproto.CodeOf(err) != syncproto.CodeStoreMoved {
		t.Errorf("opening a moved file: %v", err)
	}
}

// Also a server that was started too early on the target.
func TestAServerOnTheTargetDoesNotWriteBeforeTheEnd(t *testing.T) {
	w := newWorld(t)
	w.use(func(s *sqlite.Store) { storetest.Fill(t, s) })
	s, err := postgres.Open(t.Context(), w.address, postgres.Options{Tries: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // its answers are here
	// As its health check does.
	ready := store.Step{Scopes: []string{store.RegistryScope}, Do: func(store.Tx) ([]store.Step, error) { return nil, nil }}
	if err := s.Update(t.Context(), ready); err != nil {
		t.Fatal(err)
	}
	begun := false
	w.config.Progress = func(p move.Progress) {
		if p.Phase == move.PhaseFence || p.Phase == move.PhaseCheckSource {
			return
		}
		begun = true
		if err := write(t.Context(), s); !errors.Is(err, store.ErrUnfinished) {
			t.Errorf("writing in phase %s: %v", p.Phase, err)
		}
	}
	w.move()
	if !begun {
		t.Error("no phase was told")
	}
	w.same()
	if err := write(t.Context(), s); err != nil {
		t.Errorf("writing after the end: %v", err)
	}
}

// A target with anything in it may be somebody's only copy.
func TestAnOccupiedTargetIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.use(func(s *sqlite.Store) { storetest.Fill(t, s) })
	whole := func(w *world) (out []string) {
		w.moved(func(s *postgres.Store) { out = w.dump(s) })
		return out
	}
	w.moved(func(s *postgres.Store) { storetest.Add(t, s, scope, 1, 3, 10) })
	before := whole(w)
	w.wants(syncproto.CodeStoreOccupied)
	if diff := cmp.Diff(before, whole(w)); diff != "" {
		t.Errorf("the target was changed:\n%s", diff)
	}

	t.Run("an unfinished move of another store", func(t *testing.T) {
		a, b := newWorld(t), newWorld(t)
		b.address = a.address
		a.target = func(x move.Target) move.Target { return failing{Target: x, at: "finish"} }
		for _, w := range []*world{a, b} {
			w.use(func(s *sqlite.Store) { storetest.Fill(t, s) })
		}
		a.wants(errFailed)
		b.wants(syncproto.CodeStoreOccupied)
		a.same()
	})
	t.Run("tables of another program", func(t *testing.T) {
		w := newWorld(t)
		w.cluster.Exec(t, w.address, `CREATE TABLE records (x int)`)
		w.wants(store.ErrForeign)
	})
	t.Run("a store that a server has made its own", func(t *testing.T) {
		w := newWorld(t)
		w.moved(func(s *postgres.Store) {
			if _, err := s.PinServer(t.Context(), "srv-1"); err != nil {
				t.Fatal(err)
			}
		})
		w.wants(syncproto.CodeStoreOccupied)
	})
	t.Run("another process moves into it", func(t *testing.T) {
		w := newWorld(t)
		x, err := postgres.OpenTarget(t.Context(), w.address, postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close() //nolint:errcheck // its answers are here
		w.wants(store.ErrBusy)
	})
}

// The backup of a file that was moved is not moved over the store that was in
// use since.
func TestABackupOfTheSourceIsNotMovedOverTheTarget(t *testing.T) {
	w := newWorld(t)
	w.use(func(s *sqlite.Store) { storetest.Fill(t, s) })
	w.source = func(x move.Source) move.Source { return failingSource{Source: x} }
	w.wants(errFailed)
	saved := w.path + ".backup"
	w.use(func(s *sqlite.Store) {
		if err := s.Backup(t.Context(), saved); err != nil {
			t.Fatal(err)
		}
	})
	w.source = nil
	w.move()
	w.moved(func(s *postgres.Store) {
		if err := write(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	})
	w.path = saved
	w.wants(syncproto.CodeStoreOccupied)

	// And the moved file goes nowhere else.
	w.path = strings.TrimSuffix(saved, ".backup")
	w.address = w.cluster.Database(t)
	w.wants(syncproto.CodeStoreMoved)
}

var errFailed = errors.New("it failed, as the test wants")

// failing is a target whose power goes at a moment.
type failing struct {
	move.Target
	at string
}

func (f failing) Finish(ctx context.Context) error {
	if f.at == "finish" {
		return errFailed
	}
	if err := f.Target.Finish(ctx); err != nil {
		return err
	}
	return errFailed // the answer was lost
}

// failingSource fails when it is to be marked.
type failingSource struct{ move.Source }

func (failingSource) Mark(context.Context, string) error { return errFailed }

// lostMark is marked, but its answer is lost.
type lostMark struct{ move.Source }

func (l lostMark) Mark(ctx context.Context, target string) error {
	return errors.Join(l.Source.Mark(ctx, target), errFailed)
}

func TestACrashBetweenTheTwoCommitsLosesNothing(t *testing.T) {
	begin := func(t *testing.T) *world {
		w := newWorld(t)
		w.use(func(s *sqlite.Store) { storetest.Fill(t, s) })
		return w
	}
	t.Run("before the mark", func(t *testing.T) {
		w := begin(t)
		w.source = func(x move.Source) move.Source { return failingSource{x} }
		w.wants(errFailed)
		w.sourceIsInForce()
		w.source = nil
		if r := w.move(); r.Tables[1].Copied != 1 {
			t.Errorf("the second run copied %+v", r.Tables)
		}
		w.same()
	})
	neither := func(t *testing.T, w *world) {
		if _, err := sqlite.Open(t.Context(), w.path, sqlite.Options{}); !errors.Is(err, store.ErrMoved) {
			t.Errorf("opening the source: %v", err)
		}
		if _, err := postgres.Open(t.Context(), w.address, postgres.Options{}); !errors.Is(err, store.ErrUnfinished) {
			t.Errorf("opening the target: %v", err)
		}
		other := *w
		other.address = w.cluster.Database(t)
		other.source, other.target = nil, nil
		other.wants(store.ErrMoved)
		w.source, w.target = nil, nil
		for _, table := range w.move().Tables {
			if table.Copied+table.Deleted > 0 {
				t.Errorf("the second run wrote: %+v", table)
			}
		}
		w.same()
		w.moved(func(*postgres.Store) {})
	}
	t.Run("after the mark, whose answer was lost", func(t *testing.T) {
		w := begin(t)
		w.source = func(x move.Source) move.Source { return lostMark{x} }
		w.wants(errFailed)
		neither(t, w)
	})
	t.Run("between mark and finish", func(t *testing.T) {
		w := begin(t)
		w.target = func(x move.Target) move.Target { return failing{Target: x, at: "finish"} }
		w.wants(errFailed)
		neither(t, w)
	})
	t.Run("after the finish, whose answer was lost", func(t *testing.T) {
		w := begin(t)
		w.target = func(x move.Target) move.Target { return failing{Target: x, at: "after"} }
		w.wants(errFailed)
		w.same()
		w.target = nil
		if r := w.move(); !r.Before {
			t.Errorf("the second run says %+v", r)
		}
	})
}

// A move that is cut goes on, whatever the source did meanwhile: new records,
// changed ones, moved ones, a sequence that another row has.
func TestAMoveThatIsCutGoesOn(t *testing.T) {
	const seed = 1
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, seed))
	w := newWorld(t)
	w.use(func(s *sqlite.Store) {
		storetest.Fill(t, s)
		storetest.Add(t, s, "35.24.15", 1000, 3000, 100)
	})
	const runs = 8
	for run := range runs {
		ctx, cancel := context.WithCancel(t.Context())
		at := 1 + random.IntN(60) // of at least 77
		calls := 0
		w.config.Progress = func(move.Progress) {
			if calls++; calls == at {
				cancel()
			}
		}
		_, err := w.run(ctx)
		cancel()
		if err == nil {
			t.Fatalf("the move was not cut after %d of %d calls", at, calls)
		}
		w.change(run)
	}
	w.config.Progress = nil
	r := w.move()
	w.same()
	if total := r.Tables[1].Rows; r.Tables[1].Copied == total {
		t.Errorf("the last run began anew: %+v", r.Tables)
	}
}

// change changes the source between two runs.
func (w *world) change(n int) {
	w.Helper()
	w.use(func(s *sqlite.Store) {
		storetest.Add(w.T, s, "35.24.15", 1000+n*37, 5, 100) // new sequences of old records
		storetest.Add(w.T, s, "35.24.15", 100_000+n*100, 3, 100)
		if err := write(w.Context(), s); err != nil {
			w.Fatal(err)
		}
	})
}

// A source that was put back to an earlier state between two runs gives its
// sequences to other records, which the target's stale rows must not keep out.
func TestASourceThatWasRolledBackIsMovedAsItIs(t *testing.T) {
	w := newWorld(t)
	cut := func(x move.Source) move.Source { return failingSource{x} }
	w.use(func(s *sqlite.Store) { storetest.Add(t, s, scope, 100, 10, 10) })
	w.source = cut
	w.wants(errFailed)
	saved := w.path + ".backup"
	w.use(func(s *sqlite.Store) {
		if err := s.Backup(t.Context(), saved); err != nil {
			t.Fatal(err)
		}
		storetest.Add(t, s, scope, 200, 10, 10)
	})
	w.wants(errFailed)
	if err := os.Rename(saved, w.path); err != nil {
		t.Fatal(err)
	}
	w.use(func(s *sqlite.Store) { storetest.Add(t, s, scope, 0, 10, 10) }) // before the others in order
	w.source = nil
	if r := w.move(); r.Tables[1].Deleted != 10 || r.Tables[1].Copied != 10 {
		t.Errorf("the last run wrote %+v", r.Tables)
	}
	w.same()
}

// Whoever changes the target behind the move's back is found out, and the next
// run puts it right.
func TestATargetThatIsChangedMeanwhileIsFoundOut(t *testing.T) {
	for name, statement := range map[string]string{
		"a value":          `UPDATE records SET kind = 'x' WHERE seq = 2 AND scope = '35.24.15'`,
		"a sum":            `UPDATE changes SET sum = sum + 1 WHERE seq = 2 AND scope = '35.24.15'`,
		"a row that goes":  `DELETE FROM witnesses`,
		"a row that comes": `INSERT INTO officers VALUES ('x', '', '', '', 0, 0)`,
		"a head":           `UPDATE unfinished_scopes SET seq = seq + 1`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.use(func(s *sqlite.Store) {
				storetest.Fill(t, s)
				storetest.Add(t, s, "35.24.15", 1000, 50, 10)
			})
			w.target = func(x move.Target) move.Target { return &meddled{Target: x, w: w, statement: statement} }
			w.wants(syncproto.CodeStoreDiffers)
			if len(w.told) == 0 && name != "a head" && name != "a value" { // which the error tells
				t.Error("what differs was not told")
			}
			w.target = nil
			w.sourceIsInForce()
			if strings.Contains(name, "value") || strings.Contains(name, "head") {
				// Below the sums: only the comparison by bytes and the check see it.
				return
			}
			w.move()
			w.same()
		})
	}
}

// meddled is a target that somebody changes once the last table was written.
type meddled struct {
	move.Target
	w         *world
	statement string
	counts    int
}

func (m *meddled) Count(ctx context.Context, t *tables.Table) (int64, error) {
	if m.counts++; m.counts == len(tables.All())+1 { // one for each table, before it is copied
		m.w.cluster.Exec(m.w.T, m.w.address, m.statement)
	}
	return m.Target.Count(ctx, t)
}

// What a bad disk did to the source is named; it goes along only if that is
// wanted, and is known as damaged on the target too.
func TestDamageIsNamedAndGoesAlongWhenWanted(t *testing.T) {
	w := newWorld(t)
	w.use(func(s *sqlite.Store) { storetest.Add(t, s, scope, 0, 20, 40) })
	w.spoil("state of 3 at 4", "state of X at 4")
	w.spoil("ops of "+recordName(7)+" at 8", "ops of "+recordName(7)+" at X")
	w.wants(syncproto.CodeStoreDamaged)
	if len(w.told) != 2 || !strings.Contains(w.told[0], "table records") || !strings.Contains(w.told[1], "table changes") {
		t.Errorf("told %q", w.told)
	}
	w.moved(func(*postgres.Store) {}) // not begun
	w.use(func(s *sqlite.Store) {
		if err := write(t.Context(), s); err != nil {
			t.Error(err)
		}
	})
	w.config.WithDamage = true
	r := w.move()
	if len(r.Problems) != 2 || len(r.Emptied) != 0 {
		t.Errorf("result %+v", r)
	}
	w.same()
	w.moved(func(s *postgres.Store) {
		var found []string
		if err := s.Check(t.Context(), func(p string) { found = append(found, p) }); err != nil {
			t.Error(err)
		}
		slices.Sort(found)
		slices.Sort(r.Problems)
		if diff := cmp.Diff(r.Problems, found); diff != "" {
			t.Errorf("problems (-source +target):\n%s", diff)
		}
	})
}

func recordName(n int) string { return storetest.RecordID(n).String() }

// Half of all flipped bits make text no text: PostgreSQL does not take it.
func TestDamageThatTheTargetCantKeepIsEmptied(t *testing.T) {
	w := newWorld(t)
	w.use(func(s *sqlite.Store) { storetest.Add(t, s, scope, 0, 20, 40) })
	w.spoil("officer-1", "officer-\xff")
	w.wants(syncproto.CodeStoreDamaged)
	w.config.WithDamage = true
	r := w.move()
	if len(r.Emptied) != 1 || !strings.Contains(r.Emptied[0], "can't keep officer") {
		t.Errorf("result %+v", r)
	}
	w.moved(func(s *postgres.Store) {
		found := 0
		if err := s.Check(t.Context(), func(p string) {
			if found++; !slices.Contains(r.Problems, p) {
				t.Error(p)
			}
		}); err != nil || found == 0 {
			t.Errorf("%d problems, %v", found, err)
		}
	})
}

// A device may call itself what PostgreSQL can't keep. Its row is sound.
func TestATextThatTheTargetCantKeepIsNamed(t *testing.T) {
	w := newWorld(t)
	w.use(func(s *sqlite.Store) {
		storetest.Fill(t, s)
		err := s.Update(t.Context(), store.Step{Scopes: []string{store.DeviceScope("device-1")}, Do: func(tx store.Tx) ([]store.Step, error) {
			return nil, tx.PutSeen("device-1", store.Seen{At: 1, App: "a\x00b"})
		}})
		if err != nil {
			t.Fatal(err)
		}
	})
	w.wants(syncproto.CodeStoreDamaged)
	if len(w.told) != 1 || !strings.Contains(w.told[0], "table device_seen") || strings.Contains(w.told[0], "a\x00b") {
		t.Errorf("told %q", w.told)
	}
	w.sourceIsInForce()
}

// A store may be greater than the memory.
func TestMemoryDoesNotGrowWithTheStore(t *testing.T) {
	const records, bytes = 100_000, 400
	w := newWorld(t)
	w.use(func(s *sqlite.Store) { storetest.Add(t, s, scope, 0, records, bytes) })
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before, most := m.HeapAlloc, uint64(0)
	w.config.Progress = func(move.Progress) {
		runtime.ReadMemStats(&m)
		most = max(most, m.HeapAlloc)
	}
	began := time.Now()
	r := w.move()
	took := time.Since(began)
	const bound = 24 << 20 // the states alone have 40 MB
	if most > before+bound {
		t.Errorf("the heap grew by %d MiB", (most-before)>>20)
	}
	t.Logf("%d records with their changes, %d MB of states: heap at most %d MiB more, %s", records, records*bytes/1_000_000, (most-before)>>20, took.Round(time.Millisecond))
	for _, table := range r.Tables {
		if want := map[string]int64{"scopes": 1, "records": records, "changes": records}[table.Name]; table.Rows != want {
			t.Errorf("%+v, want %d", table, want)
		}
	}
}

func TestErrorsNameTheSidesAndNoPassword(t *testing.T) {
	w := newWorld(t)
	w.moved(func(s *postgres.Store) { storetest.Add(t, s, scope, 0, 1, 1) })
	_, err := w.run(t.Context())
	password := strings.SplitN(strings.SplitN(w.address, "@", 2)[0], ":", 3)[2]
	if s := fmt.Sprint(err); !strings.Contains(s, w.path) || !strings.Contains(s, "127.0.0.1") || strings.Contains(s, password) {
		t.Errorf("error %v", err)
	}
}
