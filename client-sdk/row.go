package sambang

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"github.com/klauspost/compress/s2"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
	"github.com/sambang-id/sambang/internal/ablate"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// row is what the replica keeps of one record.
type row struct {
	rec syncproto.Record
	// acked is what the server is known to have of the record, joined from the
	// contexts that were sent and acknowledged or received (I8). It is empty
	// when it was learned in another epoch.
	acked syncproto.VV
	// aside is the context with which the server received the record without
	// applying it, for the reason code: the record waits for a decision there,
	// and is pushed again only if it is edited.
	aside     syncproto.VV
	asideCode syncproto.Code
	// home is the scope where the server last had the record, "" if it is not
	// known to have it.
	home syncproto.Scope
	// needFull: the server asked for the full state. broken: the two states
	// contradict each other; the next push carries the repair flag.
	needFull, broken bool
	// ownHigh is the highest dot with which a replica id of this file wrote the
	// record. It counts only while that id is the present one.
	ownHigh syncproto.Dot
	// at is the row's place in the push order; zero when there is nothing to push.
	// indexed says that it is in bucketDirty; otherwise the journal tells it.
	at      place
	indexed bool
	// bases holds, per path that shows a write of this device, the value that
	// the server had before it: should a conflict come, people see what both
	// sides began with.
	bases map[string]syncproto.Value
	// epoch is the ordinal of the epoch in which acked and aside were learned.
	epoch uint32

	// summary of the record, for lists that need not decode it
	kind      string
	scope     syncproto.Scope // present home, by the record's own state
	of        syncproto.RecordID
	deleted   bool
	conflicts int
}

// dirty reports whether the server may lack something of the record (I9).
func (w *row) dirty() bool { return w.broken || !w.rec.Context().LessEq(w.acked) }

// toPush reports whether a push would carry anything new: a record that the
// server put aside is not sent again until it changes.
func (w *row) toPush() bool {
	if !w.dirty() {
		return false
	}
	return w.aside.IsEmpty() || !w.rec.Context().LessEq(w.aside)
}

// evictable reports whether the server has all of the record (I10).
func (w *row) evictable(server syncproto.VV) bool {
	return ablate.Off(ablate.A09Evict) || w.rec.Context().LessEq(server)
}

// quarantined reports whether the server has received the record and not
// applied it.
func (w *row) quarantined() bool { return !w.aside.IsEmpty() && w.dirty() }

// route is the scope under which the record is pushed.
func (w *row) route() syncproto.Scope {
	if w.home != "" {
		return w.home
	}
	return w.scope
}

// summarize computes what the row says of its record.
func (w *row) summarize(st *state, p *pack.Pack) {
	w.kind = w.rec.Kind()
	w.scope = w.rec.Home()
	w.of, _ = w.rec.Of()
	life := w.rec.Life()
	w.deleted = w.rec.IsPurged() && !hasContent(w.rec) || life.Deleted
	if w.conflicts = w.rec.Conflicts(); w.conflicts > 0 || len(life.Survivors) > 0 {
		w.conflicts = len(p.Project(w.rec).Conflicts) // as people will see them
	}
	for path := range w.bases {
		f, _ := w.rec.Field(path)
		if !slices.ContainsFunc(f.Siblings, func(s syncproto.Sibling) bool { return st.own(s.Dot.Replica) != nil }) {
			delete(w.bases, path)
		}
	}
}

func hasContent(r syncproto.Record) bool {
	for f := range r.Fields() {
		if !syncproto.IsReserved(f.Path) {
			return true
		}
	}
	return false
}

// The encoding of a row: version, flags, then length-prefixed parts in the
// order of appendRow, and the state last, packed if that makes it shorter:
// fewer pages to write are worth more than the few microseconds.
const rowVersion = 2

const (
	flagNeedFull = 1 << iota
	flagBroken
	flagDeleted
	flagAckedAll // acked is the record's context
	flagOf
	flagIndexed
	flagPacked // the state is one block of S2
)

// maxUnpacked is beyond what any record grows to, so a damaged length costs no
// memory.
const maxUnpacked = 64 << 20

func appendRow(b []byte, w *row) ([]byte, error) {
	var flags byte
	set := func(on bool, bit byte) {
		if on {
			flags |= bit
		}
	}
	ackedAll := w.acked.Equal(w.rec.Context())
	set(w.needFull, flagNeedFull)
	set(w.broken, flagBroken)
	set(w.deleted, flagDeleted)
	set(ackedAll, flagAckedAll)
	set(!w.of.IsZero(), flagOf)
	set(w.indexed, flagIndexed)
	at := len(b) + 1
	b = append(b, rowVersion, flags)
	b = wire.AppendVV(b, w.rec.Context())
	b = appendText(b, w.kind)
	b = appendText(b, string(w.scope))
	b = appendText(b, string(w.home))
	b = binary.AppendUvarint(b, uint64(max(0, w.conflicts))) //nolint:gosec // not negative
	b = binary.AppendUvarint(b, uint64(w.epoch))
	b = binary.AppendUvarint(b, uint64(w.at.generation))
	b = binary.AppendUvarint(b, w.at.n)
	b = binary.BigEndian.AppendUint64(b, uint64(w.ownHigh.Replica))
	b = binary.AppendUvarint(b, w.ownHigh.N)
	if !w.of.IsZero() {
		b = append(b, w.of[:]...)
	}
	if !ackedAll {
		b = wire.AppendVV(b, w.acked)
	}
	b = wire.AppendVV(b, w.aside)
	b = appendText(b, string(w.asideCode))
	b = binary.AppendUvarint(b, uint64(len(w.bases)))
	for _, path := range slices.Sorted(maps.Keys(w.bases)) {
		b = appendText(b, path)
		b = appendText(b, w.bases[path].JSON())
	}
	state, err := wire.EncodeState(w.rec, nil, 0)
	if err != nil {
		return nil, err
	}
	if packed := s2.Encode(nil, state); len(packed) < len(state) {
		state = packed
		b[at] |= flagPacked
	}
	return append(b, state...), nil
}

// header is the part of a row before its state, for scans.
type header struct {
	w     row
	ctx   syncproto.VV // of the record
	state []byte
	// packed: state is to be unpacked first.
	packed bool
}

func parseHeader(b []byte) (header, error) {
	c := reader{b: b}
	if v := c.byte(); v != rowVersion {
		return header{}, syncproto.Errorf(syncproto.CodeCacheNewer, "row of version %d", v)
	}
	flags := c.byte()
	var h header
	h.w.needFull = flags&flagNeedFull != 0
	h.w.broken = flags&flagBroken != 0
	h.w.deleted = flags&flagDeleted != 0
	h.w.indexed = flags&flagIndexed != 0
	h.packed = flags&flagPacked != 0
	h.ctx = c.vector()
	h.w.kind = c.text()
	h.w.scope = syncproto.Scope(c.text())
	h.w.home = syncproto.Scope(c.text())
	h.w.conflicts = int(c.uvarint() & 0xffffffff) //nolint:gosec // masked
	h.w.epoch = uint32(c.uvarint())               //nolint:gosec // written from a uint32
	h.w.at.generation = uint32(c.uvarint())       //nolint:gosec // written from a uint32
	h.w.at.n = c.uvarint()
	h.w.ownHigh.Replica = syncproto.ReplicaID(c.uint64())
	h.w.ownHigh.N = c.uvarint()
	if flags&flagOf != 0 {
		copy(h.w.of[:], c.take(16))
	}
	if h.w.acked = h.ctx; flags&flagAckedAll == 0 {
		h.w.acked = c.vector()
	}
	h.w.aside = c.vector()
	h.w.asideCode = syncproto.Code(c.text())
	if n := c.uvarint(); n > 0 && c.err == nil {
		h.w.bases = make(map[string]syncproto.Value, min(n, 64))
		for range n {
			path := c.text()
			v, err := syncproto.ParseValueString(c.text())
			if c.err != nil || err != nil {
				return header{}, errRow
			}
			h.w.bases[path] = v
		}
	}
	if c.err != nil {
		return header{}, c.err
	}
	h.state = c.b
	return h, nil
}

// readHeader parses the head of a stored row, with what stands beside it.
func readHeader(tx *cache.Tx, id syncproto.RecordID, b []byte) (header, error) {
	h, err := parseHeader(b)
	if err == nil {
		err = h.settle(tx, id)
	}
	return h, err
}

// readRow parses a stored row, with what stands beside it.
func readRow(tx *cache.Tx, id syncproto.RecordID, b []byte) (*row, error) {
	h, err := readHeader(tx, id, b)
	if err != nil {
		return nil, err
	}
	return h.full()
}

func (h *header) full() (*row, error) {
	w := h.w
	state, err := h.state, error(nil)
	if h.packed {
		if n, err := s2.DecodedLen(state); err != nil || n > maxUnpacked {
			return nil, errRow
		}
		if state, err = s2.Decode(nil, state); err != nil {
			return nil, errRow
		}
	}
	if w.rec, _, _, err = wire.DecodeState(state); err != nil {
		return nil, err
	}
	if !w.rec.Context().Equal(h.ctx) {
		return nil, errRow
	}
	return &w, nil
}

// inEpoch forgets what was learned of the server in another epoch.
func (w *row) inEpoch(epoch uint32) {
	if w.epoch == epoch {
		return
	}
	w.epoch = epoch
	if !ablate.Off(ablate.A13EpochForgets) {
		w.acked = syncproto.VV{}
	}
	w.aside, w.asideCode = syncproto.VV{}, ""
	w.needFull = false
}

var errRow = errors.New("row does not parse")

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// reader takes a row apart; the first mistake sticks.
type reader struct {
	b   []byte
	err error
}

func (c *reader) take(n int) []byte {
	if c.err != nil || n > len(c.b) {
		c.err = errRow
		return make([]byte, min(n, 64))
	}
	out := c.b[:n]
	c.b = c.b[n:]
	return out
}

func (c *reader) byte() byte { return c.take(1)[0] }

func (c *reader) uint64() uint64 { return binary.BigEndian.Uint64(c.take(8)) }

func (c *reader) uvarint() uint64 {
	n, size := binary.Uvarint(c.b)
	if c.err != nil || size <= 0 {
		c.err = errRow
		return 0
	}
	c.b = c.b[size:]
	return n
}

func (c *reader) text() string {
	n := c.uvarint()
	if c.err != nil || n > uint64(len(c.b)) {
		c.err = errRow
		return ""
	}
	return string(c.take(int(n))) //nolint:gosec // bounded by the length of b
}

func (c *reader) vector() syncproto.VV {
	if c.err != nil {
		return syncproto.VV{}
	}
	v, rest, err := wire.ConsumeVV(c.b)
	c.b, c.err = rest, err
	return v
}
