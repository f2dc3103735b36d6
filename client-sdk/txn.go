package sambang

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
	"github.com/sambang-id/sambang/internal/ablate"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// txn is one transaction on the file and on the state. What it changed
// becomes visible, to readers and to the state, only after its commit.
type txn struct {
	r   *Replica
	tx  *cache.Tx
	st  state
	old *state
	now int64 // corrected Unix milliseconds, one for the whole transaction

	mints   []syncproto.Mint               // of the present replica id, not yet in the journal
	start   syncproto.Digest               // chain head before the first of them
	minted  bool                           // anything at all: the mark must be written
	mark    func() error                   // waits for the mark that was begun; nil if none was
	marked  cache.Mark                     // what it says
	scanned map[syncproto.ReplicaID]uint64 // the journal up to there will tell no record any more
	changed []Change
}

// update runs fn in one transaction. It is the only way to write. When fn or
// the commit fails, neither the file nor the state has changed.
func (r *Replica) update(fn func(*txn) error) error {
	r.writer.Lock()
	defer r.writer.Unlock()
	old := r.state.Load()
	if old == nil {
		return syncproto.CodeCacheClosed
	}
	var t *txn
	err := r.db.Update(func(tx *cache.Tx) error {
		t = &txn{r: r, tx: tx, st: old.clone(), old: old, now: r.nowMillis(old)}
		err := fn(t)
		if err == nil {
			err = t.finish()
		}
		// Also when there will be no commit: two marks must not be under way.
		if markErr := t.endMark(); err == nil {
			err = markErr
		}
		return err
	})
	if err != nil {
		return storageError(err)
	}
	r.state.Store(&t.st)
	r.announce(t.changed)
	return nil
}

// view runs fn on one state of the file.
func (r *Replica) view(fn func(*cache.Tx) error) error { return storageError(r.db.View(fn)) }

// storageError gives the cache's errors the codes that callers branch on.
func storageError(err error) error {
	if err == nil {
		return nil
	}
	for _, m := range []struct {
		err  error
		code syncproto.Code
	}{
		{cache.ErrNoSpace, syncproto.CodeNoSpace}, // before the rest: it comes with others
		{cache.ErrForeign, syncproto.CodeCacheForeign},
		{cache.ErrNewerSchema, syncproto.CodeCacheNewer},
		{cache.ErrWrongKey, syncproto.CodeCacheWrongKey},
		{cache.ErrSealed, syncproto.CodeCacheWrongKey},
		{cache.ErrPlain, syncproto.CodeCacheWrongKey},
		{cache.ErrKeySize, syncproto.CodeCacheWrongKey},
		{cache.ErrLocked, syncproto.CodeCacheInUse},
		{cache.ErrUnknown, syncproto.CodeCacheClosed},
		{cache.ErrClosed, syncproto.CodeCacheClosed},
		{cache.ErrDamaged, syncproto.CodeCacheDamaged},
	} {
		if errors.Is(err, m.err) {
			return fmt.Errorf("%w (%w)", m.code, err)
		}
	}
	return err
}

// finish writes what fn left to write. The mark goes out, durably, before the
// commit of the writes that it fences; a crash in between costs a needless
// rotation at the next Open.
func (t *txn) finish() error {
	kept := len(t.mints) > 0 // in the journal
	if t.st.minter != t.old.minter || t.st.counts != t.old.counts {
		t.st.seq++
	}
	if err := t.flushMints(); err != nil {
		return err
	}
	if t.minted || t.st.minter.Replica() != t.old.minter.Replica() {
		t.beginMark()
	}
	if t.st.seq != t.old.seq && !kept {
		if err := t.putMeta(keyNow, t.st.now()); err != nil {
			return err
		}
	}
	for _, part := range []struct {
		key      []byte
		old, new any
	}{
		{keyDevice, &t.old.device, &t.st.device},
		{keyLink, &t.old.link, &t.st.link},
		{keyIncarnations, t.old.incarnations, t.st.incarnations},
	} {
		if reflect.DeepEqual(part.old, part.new) {
			continue
		}
		if err := t.putMeta(part.key, part.new); err != nil {
			return err
		}
	}
	return nil
}

// beginMark writes the mark of the mints so far while the transaction goes on
// preparing: waiting for the disk is most of a save. The commit waits for it.
func (t *txn) beginMark() {
	m := markOf(t.st.minter)
	if ablate.Off(ablate.A25MarkEachMint) && t.st.minter.Replica() == t.old.minter.Replica() {
		return
	}
	if t.mark == nil && m == markOf(t.old.minter) || t.mark != nil && m == t.marked {
		return
	}
	if t.endMark() != nil {
		return // the commit will not happen
	}
	t.mark, t.marked = t.r.db.BeginMark(m), m
}

// endMark waits for the mark that is under way, if one is.
func (t *txn) endMark() error {
	if t.mark == nil {
		return nil
	}
	return t.mark()
}

func markOf(m syncproto.Minter) cache.Mark {
	return cache.Mark{Replica: uint64(m.Replica()), N: m.N(), Head: m.Head()}
}

func (t *txn) putMeta(key []byte, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode state %q: %w", key, err)
	}
	return t.tx.Put(bucketMeta, key, b)
}

// row returns the record's row; nil if there is none.
func (t *txn) row(id syncproto.RecordID) (*row, error) {
	w, err := getRow(t.tx, id)
	if w != nil {
		w.inEpoch(t.st.link.EpochOrdinal)
	}
	return w, err
}

func getRow(tx *cache.Tx, id syncproto.RecordID) (*row, error) {
	h, err := getHeader(tx, id)
	if err != nil || h == nil {
		return nil, err
	}
	w, err := h.full()
	if err != nil {
		return nil, fmt.Errorf("%w: record %s: %w", cache.ErrDamaged, id, err)
	}
	return w, nil
}

// getHeader returns the head of the record's row; nil if there is none.
func getHeader(tx *cache.Tx, id syncproto.RecordID) (*header, error) {
	b, err := tx.Get(bucketRecords, id[:])
	if errors.Is(err, cache.ErrNotFound) {
		return nil, nil //nolint:nilnil // no row is no error
	}
	if err != nil {
		return nil, err
	}
	h, err := readHeader(tx, id, b)
	if err != nil {
		return nil, fmt.Errorf("%w: record %s: %w", cache.ErrDamaged, id, err)
	}
	return &h, nil
}

// rowOrNew returns the record's row, or a new one that remembers how far this
// replica had written the record before it was evicted.
func (t *txn) rowOrNew(id syncproto.RecordID) (w *row, before row, err error) {
	w, err = t.row(id)
	if err != nil {
		return nil, row{}, err
	}
	if w != nil {
		return w, *w, nil
	}
	w = &row{rec: syncproto.NewRecord(id), epoch: t.st.link.EpochOrdinal}
	b, err := t.tx.Get(bucketEvicted, id[:])
	switch {
	case errors.Is(err, cache.ErrNotFound):
	case err != nil:
		return nil, row{}, err
	case len(b) == 16:
		w.ownHigh.Replica = syncproto.ReplicaID(binary.BigEndian.Uint64(b))
		w.ownHigh.N = binary.BigEndian.Uint64(b[8:])
	}
	return w, *w, nil
}

// put stores a row whose earlier contents were before, and keeps the indexes
// and counts true.
func (t *txn) put(w *row, before row) error {
	id := w.rec.ID()
	w.summarize(&t.st, t.r.opts.Pack)
	switch {
	case !w.toPush():
		w.at = place{}
	case w.at.isZero():
		w.at = place{generation: generationNone}
	}
	if before.indexed && w.at != before.at {
		w.indexed = false
		if err := t.tx.Delete(bucketDirty, dirtyKey(before.at, id)); err != nil {
			return err
		}
	}
	if !w.at.isZero() && !w.indexed && !t.inJournal(w.at) {
		w.indexed = true
		if err := t.tx.Put(bucketDirty, dirtyKey(w.at, id), nil); err != nil {
			return err
		}
	}
	if before.rec.IsZero() && before.ownHigh != (syncproto.Dot{}) {
		if err := t.tx.Delete(bucketEvicted, id[:]); err != nil {
			return err
		}
	}
	if had, has := before.rec.Context(), w.rec.Context(); !had.LessEq(has) || had.Equal(has) {
		// What stands beside the row counted for this context, or may count for
		// one that comes back.
		if err := t.tx.Delete(bucketSettled, id[:]); err != nil {
			return err
		}
	}
	b, err := appendRow(nil, w)
	if err != nil {
		return err
	}
	t.st.counts.subtract(before.counts())
	t.st.counts.add(w.counts())
	return t.tx.Put(bucketRecords, id[:], b)
}

// inJournal reports whether the next push finds a place by reading on in the
// journal.
func (t *txn) inJournal(p place) bool {
	for i := range t.st.incarnations {
		if in := &t.st.incarnations[i]; in.Generation == p.generation {
			// A restored file learns from the server of writes under its own
			// retired id that its journal has never seen.
			end, _ := t.st.end(in)
			return p.n <= end && p.n > max(in.Scanned, t.scanned[in.ID])
		}
	}
	return false
}

// counts is what the row adds to the counts. Of before, only the summary is
// looked at, so it may be a row whose record has changed since.
func (w *row) counts() counts {
	if w.rec.IsZero() {
		return counts{}
	}
	var c counts
	if w.of.IsZero() && !w.deleted {
		c.Records = 1
	}
	if !w.at.isZero() {
		c.Waiting = 1
	}
	if w.conflicts > 0 {
		c.Conflicts = 1
	}
	if w.quarantined() {
		c.Quarantined = 1
	}
	return c
}

// evict removes a record that is not for this device, or no longer. What this
// replica wrote of it is remembered (A12).
func (t *txn) evict(w *row) error {
	id := w.rec.ID()
	if w.indexed {
		if err := t.tx.Delete(bucketDirty, dirtyKey(w.at, id)); err != nil {
			return err
		}
	}
	if w.ownHigh.Replica == t.st.minter.Replica() {
		b := binary.BigEndian.AppendUint64(nil, uint64(w.ownHigh.Replica))
		b = binary.BigEndian.AppendUint64(b, w.ownHigh.N)
		if err := t.tx.Put(bucketEvicted, id[:], b); err != nil {
			return err
		}
	}
	t.st.counts.subtract(w.counts())
	if err := t.unrefetch(id); err != nil {
		return err
	}
	t.change(w, ChangeRemoved, SourceSync)
	if err := t.tx.Delete(bucketSettled, id[:]); err != nil {
		return err
	}
	return t.tx.Delete(bucketRecords, id[:])
}

// mint applies local writes to a row. A record that does not show this
// replica's own earlier writes has a hole, and nothing may be minted on it: the
// replica id changes first (4.2).
func (t *txn) mint(w *row, writes []syncproto.Write) error {
	high := uint64(0)
	if w.ownHigh.Replica == t.st.minter.Replica() {
		high = w.ownHigh.N
	}
	rec, m, mints, over, err := t.st.minter.Write(w.rec, high, t.now, writes...)
	if errors.Is(err, syncproto.CodeHole) {
		if err := t.rotate("hole"); err != nil {
			return err
		}
		rec, m, mints, over, err = t.st.minter.Write(w.rec, 0, t.now, writes...)
	}
	if err != nil {
		return err
	}
	if n := wire.RecordSize(rec); n > syncproto.MaxRecordBytes {
		return syncproto.Errorf(syncproto.CodeTooLarge, "record of %d bytes, at most %d", n, syncproto.MaxRecordBytes)
	}
	for _, o := range over {
		if err := t.overwritten(w, o.Path, o.Sibling); err != nil {
			return err
		}
	}
	for _, write := range writes {
		t.keepBase(w, write.Path)
	}
	w.rec = rec
	t.minted1(w, m, mints)
	return nil
}

// keepBase remembers what the server had at a path before the first write
// that it does not have.
func (t *txn) keepBase(w *row, path string) {
	f, ok := w.rec.Field(path)
	if !ok || syncproto.IsReserved(path) {
		return
	}
	for _, s := range f.Siblings {
		if !w.acked.Covers(s.Dot) {
			return
		}
	}
	bases := make(map[string]syncproto.Value, len(w.bases)+1)
	for k, v := range w.bases {
		bases[k] = v
	}
	bases[path] = f.Latest().Value
	w.bases = bases
}

// minted1 takes over the minter and the mints of one record.
func (t *txn) minted1(w *row, m syncproto.Minter, mints []syncproto.Mint) {
	if len(mints) == 0 {
		return
	}
	if len(t.mints) == 0 {
		t.start = t.st.minter.Head()
	}
	t.mints = append(t.mints, mints...)
	t.st.minter = m
	t.minted = true
	w.ownHigh = syncproto.Dot{Replica: m.Replica(), N: m.N()}
	at := place{t.st.present().Generation, mints[0].Dot.N}
	if w.at.isZero() || at.before(w.at) {
		w.at = at
	}
}

// overwritten keeps an own sibling that vanishes from a record before the
// server has acknowledged it: the journal at headquarters holds every write of
// a device. What others wrote is theirs to bring.
func (t *txn) overwritten(w *row, path string, s syncproto.Sibling) error {
	if w.acked.Covers(s.Dot) {
		return nil
	}
	in := t.st.own(s.Dot.Replica)
	if in == nil || s.Dot.N <= in.HeldN {
		return nil
	}
	b := appendHistory(nil, history{scope: w.route(), id: w.rec.ID(), path: path, hlc: s.HLC, value: s.Value})
	key := historyKey(in.Generation, s.Dot)
	if had, err := t.tx.Has(bucketHistory, key); err != nil || had {
		return err
	}
	t.st.counts.History++
	return t.tx.Put(bucketHistory, key, b)
}

// flushMints writes the journal row of the mints so far.
func (t *txn) flushMints() error {
	if len(t.mints) == 0 {
		return nil
	}
	last := t.mints[len(t.mints)-1].Dot
	j := journalRow{first: t.mints[0].Dot.N, start: t.start, now: t.st.now()}
	var of syncproto.RecordID
	for _, m := range t.mints {
		j.steps = append(j.steps, m.Step[:]...)
		if m.Record != of {
			of = m.Record
			j.records = append(j.records, of[:]...)
		}
	}
	t.mints = nil
	return putJournal(t.tx, journalKey(last.Replica, last.N), appendJournal(nil, j))
}

// rotate takes a new replica id. The data stays as it is: the dots in the
// file are genuine.
func (t *txn) rotate(why string) error {
	if err := t.flushMints(); err != nil {
		return err
	}
	generation := uint32(1)
	clock := t.st.minter.Clock()
	if len(t.st.incarnations) > 0 {
		in := t.st.present()
		generation = in.Generation + 1
		head := t.st.minter.Head()
		in.N, in.Head = t.st.minter.N(), head[:]
		if in.N == 0 {
			t.st.incarnations = t.st.incarnations[:len(t.st.incarnations)-1]
		}
		t.r.log.Info("new replica id", "why", why)
	}
	id, nonce, err := newReplicaID(t.r.opts.Rand, t.st.device.PublicKey)
	if err != nil {
		return err
	}
	t.st.incarnations = append(t.st.incarnations, incarnation{ID: id, Nonce: nonce[:], Generation: generation})
	t.st.minter = syncproto.NewMinter(id, clock)
	return nil
}

func newReplicaID(random io.Reader, publicKey []byte) (syncproto.ReplicaID, [16]byte, error) {
	for {
		var nonce [16]byte
		if _, err := io.ReadFull(random, nonce[:]); err != nil {
			return 0, nonce, fmt.Errorf("draw a replica id: %w", err)
		}
		if id := syncproto.NewReplicaID(publicKey, nonce); id != 0 {
			return id, nonce, nil
		}
	}
}

// observe lets the clock follow what others wrote, unless they live in the
// future, or the server found that their clock was ahead: an officer who reads
// such a record must not come under the same suspicion.
func (t *txn) observe(d syncproto.Delta) {
	var latest syncproto.HLC
	for f := range d.Fields() {
		for _, s := range f.Siblings {
			if !s.Suspect {
				latest = max(latest, s.HLC)
			}
		}
	}
	t.st.minter = t.st.minter.Observe(latest, t.now, syncproto.DeviceClockTolerance)
}

func (t *txn) change(w *row, kind ChangeKind, from Source) { t.changeOf(w.rec.ID(), w, kind, from) }

func (t *txn) changeOf(id syncproto.RecordID, w *row, kind ChangeKind, from Source) {
	main := id
	if !w.of.IsZero() {
		main = w.of
	}
	t.changed = append(t.changed, Change{ID: main, Kind: w.kind, What: kind, From: from})
}
