package sambang

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// request is one exchange as it was sent, and what an answer to it means.
type request struct {
	nonce   [16]byte
	epoch   []byte
	body    []byte
	claims  []*wire.Claim
	batches [][]sentItem
	digest  *wire.ItemsDigest
	history [][]byte // keys of the history rows that were sent
	filled  bool     // steps were sent to fill a gap
	refetch []syncproto.RecordID
	// scanned is how far the journal was read for records to push, and passed
	// are those that could not be sent.
	scanned map[syncproto.ReplicaID]uint64
	passed  []syncproto.RecordID
	more    bool // records wait that did not fit
}

// sentItem remembers with what context a record was sent: an acknowledgement
// names that, and not what the record has become since (I8).
type sentItem struct {
	id     syncproto.RecordID
	ctx    syncproto.VV
	home   syncproto.Scope // by the state that was sent
	repair bool
}

func (q *request) items() int { return int(q.digest.Count()) }

// at returns the item of an outcome.
func (q *request) at(batch, item uint32) (sentItem, bool) {
	if int64(batch) >= int64(len(q.batches)) || int64(item) >= int64(len(q.batches[batch])) {
		return sentItem{}, false
	}
	return q.batches[batch][item], true
}

// build makes the next request of one state of the file, in memory and
// compressed, so that no transaction is open while it travels and it can be
// sent again as it is. fill says to send the steps of writes that the server
// lacks although nothing waits.
func (r *Replica) build(maxBatches int, fill, pull bool) (*request, error) {
	q := &request{digest: wire.NewItemsDigest()}
	if _, err := io.ReadFull(r.opts.Rand, q.nonce[:]); err != nil {
		return nil, fmt.Errorf("draw a nonce: %w", err)
	}
	out := newBodyBuilder()
	err := r.view(func(tx *cache.Tx) error {
		st, _, err := loadState(tx)
		if err != nil {
			return err
		}
		b := builder{r: r, tx: tx, st: &st, q: q, out: out, pull: pull}
		if err := b.open(maxBatches); err != nil {
			return err
		}
		return b.push(maxBatches, fill)
	})
	if err != nil {
		return nil, err
	}
	q.body, err = out.finish()
	return q, err
}

type builder struct {
	r   *Replica
	tx  *cache.Tx
	st  *state
	q   *request
	out *bodyBuilder
	// pull is false if the server shall send no entries.
	pull bool
}

// open writes the Open frame.
func (b *builder) open(maxBatches int) error {
	st, q := b.st, b.q
	q.epoch = st.link.Epoch
	o := &wire.Open{
		Version: wire.Version, Nonce: q.nonce[:], Epoch: q.epoch, GrantsVersion: st.link.GrantsVersion,
		App:     b.r.opts.App,
		Waiting: st.counts.Waiting - min(st.counts.Waiting, uint64(maxBatches*b.r.opts.PushItems)), //nolint:gosec // an option
	}
	if b.pull {
		o.MaxEntries = uint32(b.r.opts.PullEntries) //nolint:gosec // an option of some thousands
	}
	if st.link.WitnessN > 0 {
		o.Witness = &wire.Witness{N: st.link.WitnessN, Stamp: st.link.WitnessStamp}
	}
	q.claims = b.claims()
	if o.Claims = q.claims; len(q.claims) > 0 {
		signature, err := b.r.sign(wire.ClaimBytes(st.device.Device, q.nonce[:], q.epoch, q.claims))
		if err != nil {
			return fmt.Errorf("sign the claim: %w", err)
		}
		o.ClaimSignature = signature
	}
	for e, err := range b.tx.Ascend(bucketCursors, cache.Range{}) {
		if err != nil {
			return err
		}
		if len(o.Cursors) == syncproto.MaxCursors {
			break
		}
		c := reader{b: e.Value}
		o.Cursors = append(o.Cursors, &wire.Cursor{Scope: string(e.Key), Seq: c.uint64()})
	}
	if b.pull {
		var err error
		if q.refetch, err = dueRefetch(b.tx, st, b.r.nowMillis(st)); err != nil {
			return err
		}
	}
	for i := range q.refetch {
		o.Refetch = append(o.Refetch, q.refetch[i][:])
	}
	return b.out.frames.Request(&wire.RequestFrame{Frame: &wire.RequestFrame_Open{Open: o}})
}

// claims are the present replica id and those retired ones, the oldest first,
// of which the server does not hold every write. An id that was proven forked
// is claimed no more.
func (b *builder) claims() []*wire.Claim {
	last := len(b.st.incarnations) - 1
	var out []*wire.Claim
	for i := range b.st.incarnations {
		in := &b.st.incarnations[(i+last)%(last+1)] // the present one, then from the first on
		n, head := b.st.end(in)
		if n == 0 || in.Forked || i > 0 && in.HeldN >= n {
			continue
		}
		if len(out) == syncproto.MaxClaims {
			break
		}
		out = append(out, &wire.Claim{
			Replica: uint64(in.ID), KeyNonce: in.Nonce, N: n, Head: head[:],
			ConfirmedN: in.ConfirmedN, ConfirmedHead: in.ConfirmedHead,
		})
	}
	return out
}

// claimed reports whether the request claims the id: the server takes no
// overwritten writes of others.
func (b *builder) claimed(r syncproto.ReplicaID) bool {
	return slices.ContainsFunc(b.q.claims, func(c *wire.Claim) bool { return syncproto.ReplicaID(c.GetReplica()) == r })
}

// push writes the batches: dirty records in the order of their lowest
// unconfirmed own write, and the writes that were overwritten meanwhile.
func (b *builder) push(maxBatches int, fill bool) error {
	b.q.scanned = map[syncproto.ReplicaID]uint64{}
	dirty, stopDirty := iter.Pull2(waiting(b.tx, b.st, b.q.scanned))
	defer stopDirty()
	history, stopHistory := iter.Pull2(b.tx.Ascend(bucketHistory, cache.Range{}))
	defer stopHistory()
	gap := &gapFiller{builder: b}
	doneItems, doneHistory := false, b.st.counts.History == 0
	for len(b.q.batches) < maxBatches {
		batch := &batchBuilder{b: b}
		for !doneItems && batch.room() && len(batch.items) < b.r.opts.PushItems {
			id, err, ok := dirty()
			if !ok {
				doneItems = true
				break
			}
			if err != nil {
				return err
			}
			w, err := getRow(b.tx, id)
			if err != nil {
				return err
			}
			if w == nil {
				continue
			}
			switch w.inEpoch(b.st.link.EpochOrdinal); {
			case !w.toPush():
			case w.route() == "":
				b.q.passed = append(b.q.passed, id) // no home yet: nowhere to send it
			default:
				batch.item(w)
			}
		}
		for !doneHistory && batch.room() && len(batch.history) < syncproto.MaxHistory {
			e, err, ok := history()
			if !ok {
				doneHistory = true
				break
			}
			if err != nil {
				return err
			}
			h, err := parseHistory(e.Value)
			if err != nil {
				return err
			}
			if dot := historyDot(e.Key); !h.sent && h.scope != "" && b.claimed(dot.Replica) {
				batch.past(e.Key, dot, h)
			}
		}
		if fill && doneItems && doneHistory && batch.isEmpty() {
			if err := gap.next(batch); err != nil {
				return err
			}
		}
		if batch.isEmpty() {
			break
		}
		if err := batch.write(); err != nil {
			return err
		}
	}
	b.q.more = !doneItems || !doneHistory
	return nil
}

// batchBuilder collects one batch.
type batchBuilder struct {
	b       *builder
	enc     *wire.Encoder
	items   []*wire.Item
	history []*wire.History
	sent    []sentItem
}

func (c *batchBuilder) isEmpty() bool { return len(c.items) == 0 && len(c.history) == 0 }

func (c *batchBuilder) room() bool { return c.enc == nil || c.enc.Size() < syncproto.MaxBatchBytes }

func (c *batchBuilder) encoder(at syncproto.HLC) *wire.Encoder {
	if c.enc == nil {
		c.enc = wire.NewEncoder(at)
	}
	return c.enc
}

func (c *batchBuilder) item(w *row) {
	hint := w.acked
	if w.needFull || w.broken {
		hint = syncproto.VV{}
	}
	d := w.rec.Delta(hint)
	var at syncproto.HLC
	for f := range d.Fields() {
		at = f.Siblings[0].HLC
		break
	}
	enc := c.encoder(at)
	c.items = append(c.items, &wire.Item{Scope: enc.Scope(w.route()), Delta: enc.Delta(d), Repair: w.broken})
	c.sent = append(c.sent, sentItem{w.rec.ID(), w.rec.Context(), w.scope, w.broken})
	c.b.q.digest.Add(w.rec.ID(), w.rec.Context())
}

func (c *batchBuilder) past(key []byte, dot syncproto.Dot, h history) {
	c.history = append(c.history, c.encoder(h.hlc).History(wire.PastWrite{
		Dot: dot, Scope: h.scope, Record: h.id, Path: h.path, HLC: h.hlc, Value: h.value,
		Step: syncproto.Step(h.id, h.path, dot, h.hlc, h.value),
	}))
	c.b.q.history = append(c.b.q.history, bytes.Clone(key))
}

func (c *batchBuilder) write() error {
	c.b.q.batches = append(c.b.q.batches, c.sent)
	return c.b.out.frames.Request(&wire.RequestFrame{Frame: &wire.RequestFrame_Batch{Batch: &wire.Batch{
		Tables: c.enc.Tables(), Items: c.items, History: c.history,
	}}})
}

// gapFiller sends the bare steps of own writes that the server does not hold,
// when nothing else waits: after a rollback of the server, of writes that were
// overwritten long ago.
type gapFiller struct {
	*builder
	in   int
	from uint64
}

func (g *gapFiller) next(batch *batchBuilder) error {
	for ; g.in < len(g.st.incarnations); g.in, g.from = g.in+1, 0 {
		in := &g.st.incarnations[g.in]
		g.from = max(g.from, in.HeldN)
		if n, _ := g.st.end(in); !g.claimed(in.ID) || g.from >= n {
			continue
		}
		err := ownSteps(g.tx, in, g.from, func(n uint64, step syncproto.Digest) bool {
			batch.history = append(batch.history, batch.encoder(0).History(wire.PastWrite{
				Dot: syncproto.Dot{Replica: in.ID, N: n}, Step: step,
			}))
			g.from = n
			return len(batch.history) < syncproto.MaxHistory && batch.room()
		})
		if err != nil || !batch.isEmpty() {
			g.q.filled = !batch.isEmpty()
			return err
		}
	}
	return nil
}

// bodyBuilder holds a compressed body.
type bodyBuilder struct {
	packed bytes.Buffer
	writer *wire.BodyWriter
	frames *wire.FrameWriter
}

func newBodyBuilder() *bodyBuilder {
	b := &bodyBuilder{}
	b.writer = wire.NewBodyWriter(&b.packed)
	b.frames = wire.NewFrameWriter(b.writer, wire.Protobuf)
	return b
}

func (b *bodyBuilder) finish() ([]byte, error) {
	if err := b.writer.Close(); err != nil {
		return nil, fmt.Errorf("compress the request: %w", err)
	}
	return b.packed.Bytes(), nil
}
