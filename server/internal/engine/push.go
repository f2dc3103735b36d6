package engine

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// push is the state of one exchange's push. Steps may run again, so whatever a
// step finds out is kept per batch and replaced by the next attempt.
type push struct {
	e       *Engine
	context context.Context //nolint:containedctx // lives for one exchange
	dev     store.Device
	now     int64
	opening opening

	epoch      store.Epoch
	replicas   map[syncproto.ReplicaID]store.Replica
	past       []store.PastGrants
	witnesses  []store.Witness
	batches    []*batch
	heads      map[syncproto.Scope]ownRun
	itemsHash  *wire.ItemsDigest
	itemsCount int
	claimed    bool // the device claims more than it did before
}

// ownRun says that the sequences in (From, To] of a scope are this exchange's
// own plain changes, so that the feed need not be read for them.
type ownRun struct{ From, To uint64 }

// batch is one decoded batch and what became of it.
type batch struct {
	index   int
	items   []*item
	history map[syncproto.Scope][]store.PastWrite
	relayed map[syncproto.Scope][]store.PastWrite     // of other authors, which nobody vouches for
	steps   map[syncproto.ReplicaID][]store.ChainStep // from history
	inbox   []store.Quarantined                       // of what could not be decoded
}

// item is one record of a batch.
type item struct {
	index  int // in its batch
	hops   int // how often it followed a record elsewhere
	scope  syncproto.Scope
	id     syncproto.RecordID
	sent   syncproto.VV    // the context of the delta
	delta  syncproto.Delta // dropped once the batch is durable
	passed bool            // the record has left a scope that the device may write in
	repair bool
	raw    func() ([]byte, error) // self-contained bytes, for the inbox
	ready  prepared

	// Outcome, set by the step that decides it.
	result wire.Result
	code   syncproto.Code
	hidden bool
	home   syncproto.Scope // to be told
	ctx    syncproto.VV    // the server's, after
	reply  *syncproto.Record
	steps  []mintStep // of the device's own writes that are held now
}

type mintStep struct {
	replica syncproto.ReplicaID
	step    store.ChainStep
}

// decoding reads batches. It runs beside the steps that commit the batches
// before, so what it needs of the push it has as it was at the beginning; the
// claims do not change during an exchange.
type decoding struct {
	push       *push
	replicas   map[syncproto.ReplicaID]store.Replica
	recovering bool
}

// batch reads one batch. What is wrong with the batch as a whole is an error;
// what is wrong with one item is its outcome.
func (d decoding) batch(index int, b *wire.Batch) (*batch, error) {
	p := d.push
	switch {
	case len(b.GetItems()) > syncproto.MaxBatchItems:
		return nil, syncproto.Errorf(syncproto.CodeTooMany, "%d items in a batch, at most %d", len(b.GetItems()), syncproto.MaxBatchItems)
	case len(b.GetHistory()) > syncproto.MaxHistory:
		return nil, syncproto.Errorf(syncproto.CodeTooMany, "%d past writes in a batch, at most %d", len(b.GetHistory()), syncproto.MaxHistory)
	}
	dec, err := wire.NewDecoder(b.GetTables())
	if err != nil {
		return nil, err
	}
	out := &batch{index: index, history: map[syncproto.Scope][]store.PastWrite{}, relayed: map[syncproto.Scope][]store.PastWrite{}, steps: map[syncproto.ReplicaID][]store.ChainStep{}}
	var verr error
	seen := make(map[string]bool, len(b.GetItems()))
	for i, w := range b.GetItems() {
		if id := string(w.GetDelta().GetId()); seen[id] {
			return nil, syncproto.Errorf(syncproto.CodeMalformed, "item %d names a record that the batch has already", i)
		} else {
			seen[id] = true
		}
		it := &item{index: i, repair: w.GetRepair(), raw: func() ([]byte, error) { return wire.EncodeQuarantined(b.GetTables(), w) }}
		out.items = append(out.items, it)
		it.scope, err = dec.Scope(w.GetScope())
		if err == nil {
			it.delta, err = dec.Delta(w.GetDelta())
			it.id, it.sent = it.delta.ID(), it.delta.Context()
		}
		if err != nil {
			copy(it.id[:], w.GetDelta().GetId())
			if it.sent, verr = dec.Vector(w.GetDelta().GetCtx()); verr != nil {
				it.sent = syncproto.VV{}
			}
			it.result, it.code = wire.Result_RESULT_QUARANTINED, syncproto.CodeOf(err)
			it.steps = d.looseSteps(dec, w.GetDelta())
			q, err := p.quarantined(it)
			if err != nil {
				return nil, err
			}
			out.inbox = append(out.inbox, q)
		}
		p.itemsHash.Add(it.id, it.sent)
		p.itemsCount++
	}
	for _, h := range b.GetHistory() {
		if err := d.history(dec, h, out); err != nil {
			return nil, err
		}
	}
	return out, parallel(len(out.items), func(i int) error { return d.prepare(out.items[i]) })
}

// history takes in one past write. One of the device's own that it
// claims is a link of its chain. One of somebody else's comes from a device
// that overwrote it while it could not know that we hold it, after a rollback
// of this store: it is evidence, and refusing it would refuse all that the
// device ever sends again.
func (d decoding) history(dec *wire.Decoder, h *wire.History, out *batch) error {
	p := d.push
	w, err := dec.History(h)
	if err != nil {
		return err
	}
	past := store.PastWrite{
		Scope: w.Scope, ID: w.Record, Path: w.Path, Dot: w.Dot, HLC: w.HLC, Value: []byte(w.Value.JSON()), Step: w.Step,
		Device: p.dev.ID, Officer: p.dev.Officer, Agency: p.dev.Agency, At: p.now,
	}
	switch r, ok := d.replicas[w.Dot.Replica]; {
	case ok && w.Dot.N <= r.ClaimedN && w.Dot.N > 0:
		out.steps[w.Dot.Replica] = append(out.steps[w.Dot.Replica], store.ChainStep{N: w.Dot.N, Step: w.Step})
		if !w.StepOnly() {
			out.history[w.Scope] = append(out.history[w.Scope], past)
		}
	case w.StepOnly() || w.Dot.N == 0:
		return syncproto.Errorf(syncproto.CodeForgedDot, "past write %s is not among the device's claims", w.Dot)
	case d.recovering:
		out.history[w.Scope] = append(out.history[w.Scope], past)
	default:
		out.relayed[w.Scope] = append(out.relayed[w.Scope], past)
	}
	return nil
}

// steps returns the store steps of a batch: the device's scope (heads first),
// each record scope in sorted order, the device's scope again (progress).
func (p *push) steps(b *batch) []store.Step {
	device := store.DeviceScope(p.dev.ID)
	steps := []store.Step{{Scopes: []string{device}, Do: func(tx store.Tx) ([]store.Step, error) { return nil, p.begin(tx) }}}
	byScope := map[syncproto.Scope][]*item{}
	for _, it := range b.items {
		if it.code == "" {
			byScope[it.scope] = append(byScope[it.scope], it)
		}
	}
	for _, past := range []map[syncproto.Scope][]store.PastWrite{b.history, b.relayed} {
		for scope := range past {
			if _, ok := byScope[scope]; !ok {
				byScope[scope] = nil
			}
		}
	}
	for _, scope := range slices.Sorted(maps.Keys(byScope)) {
		items := byScope[scope]
		steps = append(steps, store.Step{
			Scopes: []string{string(scope)},
			Do: func(tx store.Tx) ([]store.Step, error) {
				return p.mergeScope(tx, scope, items, b.history[scope], b.relayed[scope])
			},
		})
	}
	for _, q := range b.inbox {
		steps = append(steps, store.Step{Scopes: []string{q.Scope}, Do: func(tx store.Tx) ([]store.Step, error) {
			return nil, tx.Quarantine(q.Scope, []store.Quarantined{q})
		}})
	}
	return steps
}

// begin checks the claims inside the transaction and stores the heads first.
func (p *push) begin(tx store.Tx) error {
	var err error
	if p.epoch, err = tx.Epoch(); err != nil {
		return err
	}
	if p.witnesses, err = tx.Witnesses(p.dev.ID); err != nil {
		return err
	}
	known, err := tx.Replicas(p.dev.ID)
	if err != nil {
		return err
	}
	if len(p.batches) > 0 {
		// A later batch of the same exchange: the claims are stored already.
		for _, r := range known {
			p.replicas[r.ID] = r
		}
		return nil
	}
	replicas, changed, err := p.e.judge(p.dev, p.opening, p.epoch, p.witnesses, known)
	if err != nil {
		return err
	}
	p.replicas = replicas
	if p.past, err = tx.GrantHistory(p.dev.ID); err != nil {
		return err
	}
	if p.claimed = len(changed) > 0; !p.claimed {
		return nil
	}
	err = tx.PutReplicas(p.dev.ID, changed)
	if errors.Is(err, store.ErrExists) {
		return syncproto.Errorf(syncproto.CodeConflictingIdentity, "a replica id belongs to another device")
	}
	return err
}

// mergeScope is the step of one scope: read all rows, merge, write all rows.
func (p *push) mergeScope(tx store.Tx, scope syncproto.Scope, items []*item, history, relayed []store.PastWrite) ([]store.Step, error) {
	m := &merging{push: p, tx: tx, scope: scope}
	then, err := m.run(items)
	if err != nil {
		return nil, err
	}
	if len(history) > 0 {
		if p.mayWrite(scope) {
			err = tx.AppendHistory(scope, history)
		} else {
			err = p.pastInInbox(tx, scope, syncproto.CodeScopeDenied, history)
		}
	}
	if err == nil && len(relayed) > 0 {
		err = p.pastInInbox(tx, scope, syncproto.CodeForgedDot, relayed)
	}
	return then, err
}

// pastInInbox keeps past writes that do not belong into the journal unseen.
func (p *push) pastInInbox(tx store.Tx, scope syncproto.Scope, code syncproto.Code, history []store.PastWrite) error {
	out := make([]store.Quarantined, 0, len(history))
	for _, h := range history {
		enc := wire.NewEncoder(h.HLC)
		value, err := syncproto.ParseValue(h.Value)
		if err != nil {
			return err
		}
		past := enc.History(wire.PastWrite{Dot: h.Dot, Step: h.Step, Scope: h.Scope, Record: h.ID, Path: h.Path, HLC: h.HLC, Value: value})
		raw, err := proto.Marshal(&wire.Batch{Tables: enc.Tables(), History: []*wire.History{past}})
		if err != nil {
			return fmt.Errorf("encode a past write: %w", err)
		}
		out = append(out, store.Quarantined{
			Key: sha256.Sum256(raw), Scope: string(scope), ID: h.ID, Device: p.dev.ID,
			Code: code, Raw: raw, At: p.now, State: "open",
		})
	}
	return tx.Quarantine(string(scope), out)
}

// mayWrite reports whether the device may write in scope: under its present
// grants, or under those that it still held when it last spoke with us
// (6.12): work done before a reassignment is not lost by it.
func (p *push) mayWrite(scope syncproto.Scope) bool {
	if p.dev.Grants.MayWrite(scope, p.now) {
		return true
	}
	for _, g := range p.past {
		if g.Version < p.opening.open.GetGrantsVersion() {
			break
		}
		if p.now-g.ReplacedAt <= pastGrantsHold && g.Grants.MayWrite(scope, g.ReplacedAt) {
			return true
		}
	}
	return false
}

// pastGrantsHold is how long, in milliseconds, work done under replaced grants
// is still accepted: a season in the field.
const pastGrantsHold = 90 * 24 * 60 * 60 * 1000

// recovering reports whether the store was rolled back not long ago.
func (p *push) recovering() bool {
	return p.epoch.Recovering && p.now-p.epoch.Since <= recoveryWindow
}

// recoveryWindow is how long after a rollback, in milliseconds, devices may
// bring back other authors' writes without signatures (6.8).
const recoveryWindow = 30 * 24 * 60 * 60 * 1000

// quarantined keeps an item with its bytes.
func (p *push) quarantined(it *item) (store.Quarantined, error) {
	raw, err := it.raw()
	if err != nil {
		return store.Quarantined{}, err
	}
	q := store.Quarantined{Scope: string(it.scope), ID: it.id, Device: p.dev.ID, Code: it.code, Raw: raw, At: p.now, State: "open"}
	if q.Scope == "" {
		q.Scope = store.DeviceScope(p.dev.ID)
	}
	h := sha256.New()
	h.Write(q.Raw)
	h.Write([]byte(q.Device))
	h.Write(q.ID[:])
	copy(q.Key[:], h.Sum(nil))
	return q, nil
}

// looseSteps reads the chain steps out of an item that could not be decoded,
// as far as they can be read: the chain covers bytes, not their sense, so one
// poison record does not hold up the receipt of all later ones.
func (d decoding) looseSteps(dec *wire.Decoder, delta *wire.Delta) []mintStep {
	var out []mintStep
	for _, s := range dec.Steps(delta) {
		if r, ok := d.replicas[s.Dot.Replica]; ok && s.Dot.N <= r.ClaimedN {
			out = append(out, mintStep{s.Dot.Replica, store.ChainStep{N: s.Dot.N, Step: s.Digest}})
		}
	}
	return out
}

func byN(a, b store.ChainStep) int { return cmp.Compare(a.N, b.N) }
