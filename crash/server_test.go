//go:build linux

package crash_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/crash/disk"
	"github.com/sambang-id/sambang/server"
)

func TestNoCrashOfAServerLosesWhatItSignedFor(t *testing.T) {
	v := newServerVerifier()
	tryImages(t, "server", 30, *images-*images/2, v.verify)
	t.Logf("server: %d distinct backups opened", v.backups())
}

// dataFolder is the server's folder on the recorded disk, backupFolder where its
// operator keeps backups.
const (
	dataFolder   = "srv/data"
	backupFolder = "backups"
)

// headquarters: what a server does on the recorded disk.
type headquarters struct {
	job     job
	say     *speaker
	rng     *rand.Rand
	now     atomic.Int64
	srv     atomic.Pointer[server.Server]
	starts  int
	audit   *auditor
	phones  []*phone
	records [][]sambang.ID // of each phone
	backups int
	last    error
}

func serverWorkload(j job, say *speaker) error {
	w := &headquarters{job: j, say: say, rng: rand.New(rand.NewPCG(j.Seed, 2))}
	w.now.Store(epoch)
	if err := w.prepare(); err != nil {
		return err
	}
	for range j.Steps {
		w.any()
		if w.last != nil && !j.Faulty {
			return w.last
		}
	}
	return nil
}

// prepare makes what is there before the first push. Each step is tried until
// it is done, since one operation may fail, once.
func (w *headquarters) prepare() error {
	ctx := context.Background()
	if err := w.backupFolder(); err != nil {
		return err
	}
	for i := range 2 {
		name := fmt.Sprintf("phone%d", i)
		p := &phone{
			dir: filepath.Join(w.job.Scratch, name), rand: newSource(w.job.Seed, name), clock: w.clock,
			transport: handler{func() *server.Server { return w.srv.Load() }},
		}
		if err := p.open(); err != nil {
			return err
		}
		w.phones = append(w.phones, p)
		w.records = append(w.records, nil)
	}
	steps := []struct {
		name string
		do   func() error
	}{
		{"open", w.start},
		{"officer", func() error {
			return w.srv.Load().PutOfficer(ctx, server.Officer{ID: "o1", Name: "O", Agency: "A"})
		}},
		{"auditor", func() (err error) { w.audit, err = enrolAuditor(w.srv.Load(), w.job.Seed); return err }},
		{"phone 0", func() error { return enrol(w.srv.Load(), w.phones[0].r, "phone0") }},
		{"phone 1", func() error { return enrol(w.srv.Load(), w.phones[1].r, "phone1") }},
	}
	for _, s := range steps {
		for try := 0; ; try++ {
			w.step(s.name, nil, s.do)
			if w.last == nil {
				break
			}
			if !w.job.Faulty || try == 3 {
				return w.last
			}
		}
	}
	return nil
}

// backupFolder makes the operator's folder, durably, as he would have long ago.
func (w *headquarters) backupFolder() error {
	dir := filepath.Join(w.job.Mount, backupFolder)
	if err := os.Mkdir(dir, 0o700); err != nil && !w.job.Faulty {
		return err
	}
	root, err := os.Open(w.job.Mount)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.Sync(); err != nil && !w.job.Faulty {
		return err
	}
	return nil
}

func (w *headquarters) clock() time.Time { return time.UnixMilli(w.now.Add(1)).UTC() }

func (w *headquarters) start() error {
	w.starts++
	w.now.Add(200_000) // longer than the life of a token that an earlier process may have seen
	config := serverConfig(filepath.Join(w.job.Mount, dataFolder), w.job.Seed+uint64(w.starts)<<32, w.clock)
	srv, err := server.New(config)
	if err == nil {
		w.srv.Store(srv)
	}
	return err
}

// step does something that is acknowledged by returning nil. After an error,
// what the server shows counts as said.
func (w *headquarters) step(what string, states map[string]string, do func() error) {
	n := w.say.begin(what, states)
	err := do()
	if err == nil {
		text := ""
		if what == "auditor" {
			text = w.audit.id
		}
		w.say.say(note{Kind: noteAck, Step: n, Text: text, Now: w.now.Load()})
		w.last = nil
		return
	}
	w.last = fmt.Errorf("%s: %w", what, err)
	w.say.say(note{Kind: noteFail, Step: n, Text: w.last.Error()})
	if w.audit == nil {
		return
	}
	has, err := w.audit.pull(w.srv.Load(), w.now.Load())
	if err != nil {
		return // it may have failed because the server is closed
	}
	shown := map[string]string{}
	for id := range states {
		shown[id] = absent
		if s, ok := has[id]; ok {
			shown[id] = s
		}
	}
	w.say.say(note{Kind: noteServed, States: shown})
}

// any does something at random.
func (w *headquarters) any() {
	switch n := w.rng.IntN(20); {
	case n < 11:
		w.push(w.rng.IntN(2))
	case n < 15:
		w.both()
	case n < 17:
		w.backup()
	default:
		w.restart()
	}
}

// pushed is a step of one phone: what it wrote, to be sent.
func (w *headquarters) write(i int) (map[string]string, error) {
	p := w.phones[i]
	states := map[string]string{}
	for range 1 + w.rng.IntN(5) {
		v := value(w.rng)
		mine := w.records[i]
		switch n := w.rng.IntN(10); {
		case n < 5 || len(mine) == 0:
			id, err := p.r.Create(kind, district, sambang.Fields{"a": v})
			if err != nil {
				return nil, err
			}
			w.records[i] = append(mine, id)
			states[id.String()] = stateOf(v, false)
		case n < 9:
			id := pick(w.rng, mine)
			if err := p.r.Edit(id, func(d *sambang.Draft) error { d.Set("a", v); return nil }); err != nil {
				return nil, err
			}
			s, err := phoneState(p.r, id)
			if err != nil {
				return nil, err
			}
			states[id.String()] = s
		default:
			id := pick(w.rng, mine)
			if err := p.r.Delete(id); err != nil {
				return nil, err
			}
			w.records[i] = slices.DeleteFunc(mine, func(o sambang.ID) bool { return o == id }) // an edit would be a conflict
			s, err := phoneState(p.r, id)
			if err != nil {
				return nil, err
			}
			states[id.String()] = s
		}
	}
	return states, nil
}

// send syncs a phone until its receipts cover everything.
func (w *headquarters) send(i int, states map[string]string) error {
	r := w.phones[i].r
	rep, err := r.Sync(context.Background())
	if err != nil {
		return err
	}
	if rep.Waiting > 0 || rep.Quarantined > 0 {
		return fmt.Errorf("after a sync %d records wait, %d were put aside", rep.Waiting, rep.Quarantined)
	}
	for id := range states {
		if c, err := r.Custody(mustID(id)); err != nil || c != sambang.CustodyHeld {
			return fmt.Errorf("record %s is %s after a sync, %w", id, c, err)
		}
	}
	return nil
}

func (w *headquarters) push(i int) {
	states, err := w.write(i)
	if err != nil {
		w.last = err
		return
	}
	w.step("push", states, func() error { return w.send(i, states) })
}

// both lets two phones push at once, so that they share a commit.
func (w *headquarters) both() {
	var states [2]map[string]string
	for i := range states {
		var err error
		if states[i], err = w.write(i); err != nil {
			w.last = err
			return
		}
	}
	var steps [2]int
	for i := range steps {
		steps[i] = w.say.begin("push", states[i])
	}
	var errs [2]error
	var wait sync.WaitGroup
	for i := range steps {
		wait.Go(func() {
			if errs[i] = w.send(i, states[i]); errs[i] == nil {
				w.say.say(note{Kind: noteAck, Step: steps[i], Now: w.now.Load()})
				return
			}
			w.say.say(note{Kind: noteFail, Step: steps[i], Text: errs[i].Error()})
		})
	}
	wait.Wait()
	w.last = errors.Join(errs[:]...)
}

func (w *headquarters) backup() {
	w.backups++
	name := fmt.Sprintf("%d.db", w.backups)
	w.step("backup "+name, nil, func() error {
		return w.srv.Load().Backup(context.Background(), filepath.Join(w.job.Mount, backupFolder, name))
	})
}

// restart closes the server, which moves its log into the file, and opens it.
func (w *headquarters) restart() {
	w.step("close", nil, func() error { return w.srv.Load().Close() })
	w.last = nil // a failed Close is no loss; the next start finds what is there
	for range 3 {
		if w.step("start", nil, w.start); w.last == nil || !w.job.Faulty {
			return
		}
	}
}

// serverVerifier opens the server on what is left of it, and each backup that
// is another.
type serverVerifier struct {
	mu   sync.Mutex
	seen map[[16]byte]bool
}

func newServerVerifier() *serverVerifier { return &serverVerifier{seen: map[[16]byte]bool{}} }

func (v *serverVerifier) backups() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.seen)
}

func (v *serverVerifier) verify(folder string, img *disk.Image, said promise, number int) error {
	data := filepath.Join(folder, dataFolder)
	if err := verifyServer(data, said, said.now, number); err != nil {
		return err
	}
	for _, name := range said.backups() {
		path := filepath.Join(backupFolder, name)
		if !img.Has(path) {
			return fmt.Errorf("backup %s is lost", name)
		}
		if v.known(img.FileHash(path)) {
			continue
		}
		restored := filepath.Join(folder, "restored-"+name)
		if err := restore(filepath.Join(folder, path), data, restored); err != nil {
			return err
		}
		if err := verifyServer(restored, said.past["backup "+name].with(said), said.now, number); err != nil {
			return fmt.Errorf("backup %s: %w", name, err)
		}
	}
	return nil
}

func (v *serverVerifier) known(hash [16]byte) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	known := v.seen[hash]
	v.seen[hash] = true
	return known
}

// restore puts a backup beside the server's identity.
func restore(backup, data, to string) error {
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	for from, name := range map[string]string{backup: server.StoreFile, filepath.Join(data, "server.key"): "server.key"} {
		b, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, name), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// dear is which share of the images gets a check of every row, and a whole new
// phone.
const dear = 10

func verifyServer(data string, said promise, now int64, number int) error {
	ctx := context.Background()
	clock := clockFrom(now + 1_000_000)
	srv, err := server.New(serverConfig(data, uint64(number)<<16, clock))
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer srv.Close()
	if err := srv.PutOfficer(ctx, server.Officer{ID: "o2", Name: "O", Agency: "A"}); err != nil {
		return fmt.Errorf("write after the crash: %w", err)
	}
	officers, err := srv.Officers(ctx)
	if err != nil {
		return err
	}
	_, officer := said.done["officer"]
	if officer && !slices.ContainsFunc(officers, func(o server.Officer) bool { return o.ID == "o1" }) {
		return errors.New("the officer is lost")
	}
	if a, ok := said.done["auditor"]; ok {
		audit := &auditor{key: auditorKey(said.seed), id: a.Text}
		has, err := audit.pull(srv, clock().UnixMilli())
		if err != nil {
			return err
		}
		if err := said.judge(has); err != nil {
			return err
		}
	}
	if number%dear != 0 {
		return nil
	}
	var problems []string
	if err := srv.Check(ctx, func(p string) { problems = append(problems, p) }); err != nil || len(problems) > 0 {
		return fmt.Errorf("check: %v, %w", problems, err)
	}
	if officer {
		return pushAgain(srv, data+".phone", clock)
	}
	return nil
}

// pushAgain enrols a phone and has it push a record.
func pushAgain(srv *server.Server, dir string, clock func() time.Time) error {
	p := &phone{dir: dir, transport: http.RoundTripper(handler{func() *server.Server { return srv }}), rand: newSource(0, dir), clock: clock}
	if err := p.open(); err != nil {
		return err
	}
	defer p.r.Close()
	if err := enrol(srv, p.r, "after"); err != nil {
		return fmt.Errorf("enrol after the crash: %w", err)
	}
	id, err := p.r.Create(kind, district, sambang.Fields{"a": "after"})
	if err != nil {
		return err
	}
	if _, err := p.r.Sync(context.Background()); err != nil {
		return fmt.Errorf("push after the crash: %w", err)
	}
	if c, err := p.r.Custody(id); err != nil || c != sambang.CustodyHeld {
		return fmt.Errorf("what was pushed after the crash is %s, %w", c, err)
	}
	return nil
}
