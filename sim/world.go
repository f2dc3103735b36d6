package sim

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
)

const (
	recordCount = 14
	kind        = "site"
	day         = 24 * time.Hour
)

var regions = []string{"35.24.14", "35.24.15", "35.24.16"}

// schema has fields that policies settle and fields that people must decide
// about, two that change together, a list of objects, and one field of class T,
// which lives in a companion record.
const schema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "x-sambang-pack": {"format": 1, "name": "sim", "version": "1.0", "default_class": "D",
    "classes": {"D": {"id": "D", "en": "D"}, "T": {"id": "T", "en": "T"}, "H": {"id": "H", "en": "H"}}},
  "$defs": {"site": {"type": "object", "x-sambang": {"kind": true, "label": {"id": "Tempat", "en": "Site"},
    "groups": {"money": {"label": {"id": "Uang", "en": "Money"}, "policy": "review"}}},
    "properties": {
      "a": {"type": "string", "x-sambang": {"type": "text", "label": {"id": "A", "en": "A"}, "policy": "review", "class": "D"}},
      "b": {"type": "string", "x-sambang": {"type": "text", "label": {"id": "B", "en": "B"}, "policy": "lww", "class": "D"}},
      "c": {"type": "string", "x-sambang": {"type": "text", "label": {"id": "C", "en": "C"}, "policy": "lww", "class": "D"}},
      "amount": {"x-sambang": {"label": {"id": "Jumlah", "en": "Amount"}, "class": "D", "group": "money"}},
      "currency": {"x-sambang": {"label": {"id": "Mata uang", "en": "Currency"}, "class": "D", "group": "money"}},
      "l": {"type": "array", "items": {"properties": {"p": {}, "q": {"x-sambang": {"policy": "review"}}}},
        "x-sambang": {"label": {"id": "L", "en": "L"}, "policy": "lww", "shape": "list", "class": "D"}},
      "s": {"type": "string", "x-sambang": {"type": "text", "label": {"id": "S", "en": "S"}, "policy": "review", "class": "T"}}
    }}}
}`

var fieldNames = []string{"a", "b", "c", "s"}

// world is one run.
type world struct {
	cfg   Config
	ctx   context.Context
	dir   string
	trace *tracer
	rng   *rand.Rand // of the present step
	now   int64      // true time, Unix milliseconds
	off   int64      // of the servers' clock
	uids  int
	depth int // of steps inside requests
	calm  bool

	pack         *pack.Pack
	*host        // that has the turn
	hosts        []*host
	store        storage
	serverStarts int
	used         map[string]bool             // tokens that a server took
	alone        bool                        // nothing happens at other servers meanwhile
	devices      map[string]syncproto.Grants // as the server has them, read when needed
	revoked      map[string]bool             // devices that ever were
	rollbacks    int
	backup       *serverBackup

	phones  []*phone
	auditor *raw
	hostile *hostile
	oracle  *oracle
	names   map[syncproto.RecordID]string

	vouched map[syncproto.ReplicaID]uint64 // by receipts since the last rollback
	bare    map[syncproto.Dot]bool         // sent as steps of the chain alone, without contents
	authors map[syncproto.ReplicaID]*phone // who minted under an id
	pushes  []pushed
	wire    []captured

	messages map[string]message // what was sent, by the key that it would have in the inbox
	kept     map[string]bool    // keys that were seen in the server's inbox

	failure *Failure
	stats   map[string]int
}

// host is one process of the server. Several share one store.
type host struct {
	name    string
	srv     *server.Server
	disk    diskPlan
	crashed bool
	drift   int64 // of its clock from that of the others
	busy    bool  // it is between two steps of an update
}

// serverBackup is a copy of the store, with what the world knew of it.
type serverBackup struct {
	restore func() error // while no server works
	vouched map[syncproto.ReplicaID]uint64
	kept    map[string]bool
}

// Failure is what a run found.
type Failure struct {
	Step   int
	What   string
	Record string // the record concerned, as the trace calls it; "" if none
}

func (f *Failure) Error() string { return fmt.Sprintf("step %d: %s", f.Step, f.What) }

// fail notes the first failure; whatever follows is its consequence.
func (w *world) fail(record syncproto.RecordID, format string, args ...any) {
	if w.failure != nil {
		return
	}
	w.failure = &Failure{Step: w.trace.step, What: fmt.Sprintf(format, args...), Record: w.names[record]}
	if w.failure.Record != "" {
		w.failure.What = w.failure.Record + ": " + w.failure.What
	}
	w.trace.log("! FAIL %s", w.failure.What)
}

func (w *world) failed() bool { return w.failure != nil }

// must notes an error that only a broken checker or machine explains.
func (w *world) must(what string, err error) bool {
	if err != nil {
		w.fail(syncproto.RecordID{}, "%s: %v", what, err)
	}
	return err == nil
}

// All ids that exist: mains are records, companions those of each, universe
// both, in order.
var mains, universe, companions = func() (mains, universe []syncproto.RecordID, companions map[syncproto.RecordID]syncproto.RecordID) {
	companions = map[syncproto.RecordID]syncproto.RecordID{}
	for n := range recordCount {
		sum := sha256.Sum256(fmt.Appendf(nil, "sim record %d", n))
		sum[6] = sum[6]&0x0f | 0x40 // no UUIDv8: those are derived
		id := syncproto.RecordID(sum[:16])
		companions[id] = syncproto.CompanionID(id, syncproto.ClassTask)
		mains, universe = append(mains, id), append(universe, id, companions[id])
	}
	return mains, universe, companions
}()

// source is a seeded source of bytes.
type source struct{ r *rand.ChaCha8 }

func newSource(seed uint64, what string, n int) io.Reader {
	return source{rand.NewChaCha8(sha256.Sum256(fmt.Appendf(nil, "%d %s %d", seed, what, n)))}
}

func (s source) Read(p []byte) (int, error) { return s.r.Read(p) }

func keyOf(seed uint64, name string) ed25519.PrivateKey {
	sum := sha256.Sum256(fmt.Appendf(nil, "key %d %s", seed, name))
	return ed25519.NewKeyFromSeed(sum[:])
}

// enrolRequest asks for a code that outlasts whatever happens before it is used.
func enrolRequest(g syncproto.Grants) server.EnrolRequest {
	return server.EnrolRequest{Officer: "o1", Grants: g, Life: 7 * day}
}

func grant(region string, classes string) syncproto.Grant {
	g := syncproto.Grant{Region: syncproto.Region(region)}
	for _, c := range classes {
		g.Classes = append(g.Classes, syncproto.Class(c))
	}
	return g
}

// portfolios are the grants that a device may have.
var portfolios = []syncproto.Grants{
	{grant("35.24", "DT")},
	{grant("35.24.14", "D")},
	{grant("35.24.14", "DT"), grant("35.24.16", "D")},
	{grant("35.24.15", "DT")},
	{grant("35.24.15", "D"), grant("35.24.16", "DT")},
	{grant("35", "D")},
}

func newWorld(cfg Config) (*world, error) {
	p, err := pack.Parse([]byte(schema))
	if err != nil {
		return nil, err
	}
	w := &world{
		cfg: cfg, ctx: context.Background(), dir: cfg.Dir, trace: newTracer(cfg.Trace), now: 1_772_000_000_000, pack: p,
		oracle: newOracle(), used: map[string]bool{}, names: map[syncproto.RecordID]string{}, vouched: map[syncproto.ReplicaID]uint64{},
		bare: map[syncproto.Dot]bool{}, messages: map[string]message{}, kept: map[string]bool{}, authors: map[syncproto.ReplicaID]*phone{}, devices: map[string]syncproto.Grants{}, revoked: map[string]bool{}, stats: map[string]int{},
	}
	for n, id := range mains {
		w.names[id], w.names[companions[id]] = fmt.Sprintf("r%02d", n), fmt.Sprintf("r%02dT", n)
	}
	w.rng = rand.New(rand.NewPCG(cfg.Seed, 1<<40))
	w.calm = true
	w.store = storageOf(w)
	if err := w.addServers(); err != nil {
		return nil, err
	}
	if err := w.srv.PutOfficer(w.ctx, server.Officer{ID: "o1", Name: "O", Agency: "A"}); err != nil {
		return nil, err
	}
	if w.auditor, err = w.rawEnrol("auditor", keyOf(cfg.Seed, "auditor"), syncproto.Grants{grant("35", "DTH")}); err != nil {
		return nil, err
	}
	for i := range 3 + w.rng.IntN(3) {
		if err := w.addPhone(portfolios[(i+w.rng.IntN(2))%len(portfolios)]); err != nil {
			return nil, err
		}
	}
	if cfg.Profile.Hostile {
		if err := w.addHostile(); err != nil {
			return nil, err
		}
	}
	w.calm = false
	return w, nil
}

func (w *world) close() {
	for _, p := range w.phones {
		_ = p.r.Close()
	}
	for _, h := range w.hosts {
		if h.srv != nil {
			_ = h.srv.Close()
		}
	}
}

func (w *world) serverDir() string { return filepath.Join(w.dir, "server") }

// maxDrift is by how many milliseconds the clock of a server may differ from the
// database's, by which they all go.
const maxDrift = 500

func (w *world) addServers() error {
	disk := &room{noRoom: w.store.full()}
	for n := range max(1, w.cfg.Profile.Servers) {
		h := &host{name: "server", disk: diskPlan{room: disk}}
		if w.cfg.Profile.Servers > 1 {
			h.name = fmt.Sprintf("server %d", n+1)
			h.drift = w.rng.Int64N(2*maxDrift+1) - maxDrift
		}
		h.disk.crashed = func() {
			w.trace.log("! %s crashes, after=%t", h.name, h.disk.after)
			w.stats["server crashes"]++
			h.crashed = true
		}
		if w.cfg.Profile.Servers > 1 {
			h.disk.between = func() { w.elsewhere(h) }
		}
		w.host, w.hosts = h, append(w.hosts, h)
		if err := w.startServer(); err != nil {
			return err
		}
	}
	return nil
}

// turn lets the address of the servers lead to any of them.
func (w *world) turn() { w.host = w.any() }

// any returns a server, that a look of the checker's own leads to.
func (w *world) any() *host {
	if len(w.hosts) == 1 {
		return w.hosts[0]
	}
	free := slices.DeleteFunc(slices.Clone(w.hosts), func(h *host) bool { return h.busy })
	return free[w.rng.IntN(len(free))]
}

// elsewhere lets the world go on, and other servers work, while one is between
// two steps of an update.
func (w *world) elsewhere(h *host) {
	h.busy = true
	if !w.alone && slices.ContainsFunc(w.hosts, func(h *host) bool { return !h.busy }) {
		was := w.stats["steps inside requests"]
		w.meanwhile()
		w.stats["of them between two commits of another server"] += w.stats["steps inside requests"] - was
	}
	h.busy, w.host = false, h
}

// undisturbed runs something of the checker's own.
func (w *world) undisturbed(fn func()) {
	was := w.alone
	w.alone = true
	fn()
	w.alone = was
}

// startServer starts the server that has the turn.
func (w *world) startServer() error {
	h := w.host
	w.crashed = false
	w.disk.mend()
	w.serverStarts++
	s, err := server.New(server.Config{
		Data: w.serverDir(), Store: w.store.address(), URL: "http://127.0.0.1:8080", Pack: w.pack,
		Now:    func() time.Time { return time.UnixMilli(w.now + w.off + h.drift).UTC() },
		Rand:   &faultyDisk{Reader: newSource(w.cfg.Seed, "server", w.serverStarts), plan: &h.disk, apart: w.cfg.Apart},
		Limits: server.Limits{PerDevice: 1e6, PerAddress: 1e6, EnrolPerAddress: 1e6},
		Logger: slog.New(&alarm{w, h.name, func() bool { return h.disk.full || h.crashed }}),
	})
	w.srv = s
	return err
}

// serverNow is the clock of the server that has the turn.
func (w *world) serverNow() int64 { return w.now + w.off + w.drift }

// hq runs an operation of headquarters. It has room on the disk, and repeats
// what a crash of the server cut; done tells by the error whether the first try
// had its effect.
func (w *world) hq(op func() error, done ...syncproto.Code) (err error) {
	clear(w.devices)
	w.turn()
	w.disk.withRoom(func() {
		err = op()
		for w.crashed && !w.failed() {
			w.restartServer()
			if err = op(); slices.Contains(done, syncproto.CodeOf(err)) {
				err = nil
			}
		}
	})
	clear(w.devices)
	return err
}

// grantsOf returns what a device is granted.
func (w *world) grantsOf(device string) (syncproto.Grants, error) {
	if g, ok := w.devices[device]; ok {
		return g, nil
	}
	d, err := w.srv.Device(w.ctx, device)
	w.devices[device] = d.Grants
	return d.Grants, err
}

func (w *world) restartServer() {
	w.trace.log("%s restart", w.name)
	w.stats["server restart"]++
	w.must("close the server", w.srv.Close())
	w.now += 10_000 // longer than the life of a token that an earlier process may have seen
	w.must("start the server", w.startServer())
}

func (w *world) backupServer() {
	w.trace.log("server backup")
	w.stats["server backup"]++
	restore, err := w.store.backup()
	if w.must("back up the server", err) {
		w.backup = &serverBackup{restore, maps.Clone(w.vouched), maps.Clone(w.kept)}
	}
}

// rollBackServer puts the backup in the store's place. told: the operator says
// so to the server.
func (w *world) rollBackServer(told bool) {
	if w.backup == nil || slices.ContainsFunc(w.hosts, func(h *host) bool { return h.busy }) {
		return
	}
	w.trace.log("! server rolled back, told=%t", told)
	w.stats["server rollback"]++
	clear(w.devices)
	clear(w.used)
	var down []*host
	for _, h := range w.hosts {
		if len(w.hosts) > 1 && w.rng.IntN(2) == 0 {
			w.trace.log("%s runs on", h.name) // as when a standby that is behind takes over
			continue
		}
		w.must("close the server", h.srv.Close())
		down = append(down, h)
	}
	w.must("restore the server", w.backup.restore())
	w.rollbacks++
	w.now += 10_000
	for _, w.host = range down {
		if !w.must("start the server", w.startServer()) {
			return
		}
	}
	if told && w.cfg.Sabotage != StripWitness {
		w.must("begin an epoch", w.hq(func() error { return w.srv.BeginEpoch(w.ctx) }))
	}
	w.pushes = nil
	w.vouched, w.kept = maps.Clone(w.backup.vouched), maps.Clone(w.backup.kept)
	w.lose("server rolled back")
}

// lose gives up those writes of which no live store has a copy any more. It is
// called after each physical loss, and nowhere else.
func (w *world) lose(why string) {
	if w.failed() {
		return
	}
	have := map[*event]bool{}
	states, err := w.auditor.pull()
	if !w.must("pull as auditor", err) {
		return
	}
	for _, id := range slices.SortedFunc(maps.Keys(states), byID) {
		w.observe(states[id], "server")
		closure(have, w.oracle.visible(states[id]))
	}
	for _, p := range w.phones {
		p.look("a loss elsewhere")
		for _, id := range universe {
			if s, ok := p.states[id]; ok {
				closure(have, w.oracle.visible(s))
			}
		}
	}
	maps.Copy(have, w.inbox())
	for _, e := range w.oracle.events {
		if !have[e] && e.lost == "" {
			e.lost = why
			w.stats["writes physically lost"]++
			w.trace.log("%s physically lost: %s", w.names[e.uid.record], e)
		}
	}
}

func byID(a, b syncproto.RecordID) int { return strings.Compare(string(a[:]), string(b[:])) }

// observe judges a state that was read back.
func (w *world) observe(r syncproto.Record, where string) {
	if w.failed() {
		return
	}
	err := w.oracle.judge(r, func(path string, s syncproto.Sibling) error { return w.adopt(r, path, s) })
	if err != nil {
		w.fail(r.ID(), "at %s: %v; state %s", where, err, describe(r))
	}
}

// adopt takes in a write under a dot that nobody was seen to make: a known
// write again (after a proven fork, or absorbed), or one of the server's own.
func (w *world) adopt(r syncproto.Record, path string, s syncproto.Sibling) error {
	if w.oracle.byUID[uidOf(r.ID(), path, s)] != nil {
		e, err := w.oracle.written("repair", r.ID(), path, s, nil)
		w.stats["writes made again"]++
		if err == nil {
			w.oracle.explain(e)
		}
		return err
	}
	if w.hostile != nil && w.hostile.owns(s.Dot.Replica) {
		e, err := w.oracle.written("hostile", r.ID(), path, s, w.hostile.killed(r.ID(), path, s.Dot))
		if err == nil {
			for _, k := range w.hostile.killers(r.ID(), path, s.Dot) {
				k.replaced(e)
			}
		}
		return err
	}
	if w.hostile != nil && w.authors[s.Dot.Replica] == nil && strings.HasPrefix(s.Value.JSON(), `"hostile`) {
		// A repair puts what the hostile device sent beside what is there, under
		// a dot of the server's. Whose word it is, the journal tells.
		_, err := w.oracle.written("hostile", r.ID(), path, s, nil)
		return err
	}
	if !syncproto.IsReserved(path) || w.authors[s.Dot.Replica] != nil {
		return fmt.Errorf("V10: %s=%s under dot %s was written by nobody", path, s.Value.JSON(), s.Dot)
	}
	// The server moved a companion, or purged: it replaced what it had there.
	var kills []*event
	for _, e := range w.oracle.records[r.ID()] {
		if e.uid.path == path && hides(r, e) {
			kills = append(kills, e)
		}
	}
	e, err := w.oracle.written("server", r.ID(), path, s, kills)
	if err == nil {
		w.oracle.explain(e)
		e.at = &r
	}
	return err
}

func describe(r syncproto.Record) string {
	var b strings.Builder
	fmt.Fprintf(&b, "ctx %s", r.Context())
	if r.IsPurged() {
		fmt.Fprintf(&b, " floor %s", r.Floor())
	}
	for f := range r.Fields() {
		fmt.Fprintf(&b, " %s=[", f.Path)
		for i, s := range f.Siblings {
			if i > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "%s %.60s", s.Dot, s.Value.JSON())
			if s.Suspect {
				b.WriteString(" suspect")
			}
		}
		b.WriteString("]")
	}
	return b.String()
}

// alarm hears the logs of server and devices: in an honest run no join may
// trip, except where a fork was proven, and nothing may fail inside.
type alarm struct {
	w      *world
	who    string
	broken func() bool // the disk is full, or the process has ended
}

func (a *alarm) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }
func (a *alarm) WithAttrs([]slog.Attr) slog.Handler           { return a }
func (a *alarm) WithGroup(string) slog.Handler                { return a }

func (a *alarm) Handle(_ context.Context, r slog.Record) error {
	if r.Level == slog.LevelInfo && strings.HasPrefix(a.who, "server") || strings.HasPrefix(r.Message, "the second lock ") {
		return nil // the latter: a store on PostgreSQL says at its opening that it has no roles
	}
	text, touched := r.Message, false
	r.Attrs(func(at slog.Attr) bool {
		if id, err := syncproto.ParseRecordID(at.Value.String()); err == nil && at.Key == "record" {
			touched = a.w.oracle.touched(id)
		}
		if at.Key == "stack" || at.Key == "request_id" {
			return true
		}
		text += fmt.Sprintf(" %s=%v", at.Key, at.Value)
		if id, err := syncproto.ParseReplicaID(at.Value.String()); err == nil && at.Key == "replica" && strings.Contains(r.Message, "another copy") {
			a.w.oracle.forked[id] = true
			a.w.stats["forks proven"]++
		}
		return true
	})
	switch {
	case strings.Contains(r.Message, "contradict"):
		a.w.stats["tripwires on devices"]++
		if !a.w.cfg.Profile.Hostile && !touched {
			a.w.fail(syncproto.RecordID{}, "V9: %s: %s", a.who, text)
		}
	case r.Level >= slog.LevelError && a.broken():
		a.w.trace.log("%s says, with a broken disk: %s", a.who, text)
	case r.Level >= slog.LevelError:
		a.w.fail(syncproto.RecordID{}, "%s logs an error: %s", a.who, text)
	default:
		a.w.trace.log("%s says: %s", a.who, text)
	}
	return nil
}

var errNetwork = errors.New("the network is down")

func unmarshal(b []byte, m proto.Message) error { return proto.Unmarshal(b, m) }
