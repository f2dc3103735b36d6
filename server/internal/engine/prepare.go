package engine

import (
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// prepared is what can be made of an item before the store's turn comes: the
// journal's form of it, the links of its writes and, for a full state, what
// the record shows if nobody else has written it. Everything that is done here
// is not done while others wait for the store.
type prepared struct {
	ops    []byte
	own    []mintStep // of claimed writes, held already or not
	record syncproto.Record
	doc    *document
}

// prepare fills item.ready.
func (d decoding) prepare(it *item) (err error) {
	if it.result != wire.Result_RESULT_APPLIED { // it could not be decoded
		return nil
	}
	if it.ready.ops, err = wire.EncodeChange(it.delta); err != nil {
		return err
	}
	for f := range it.delta.Fields() {
		for _, s := range f.Siblings {
			if r, ok := d.replicas[s.Dot.Replica]; ok && !s.Elided() && s.Dot.N <= r.ClaimedN {
				step := syncproto.Step(it.id, f.Path, s.Dot, s.HLC, s.Value)
				it.ready.own = append(it.ready.own, mintStep{s.Dot.Replica, store.ChainStep{N: s.Dot.N, Step: step}})
			}
		}
	}
	if !it.delta.IsFull() {
		return nil
	}
	change, err := syncproto.Apply(syncproto.NewRecord(it.id), it.delta)
	if err != nil {
		return nil //nolint:nilerr // the merge finds it again, and decides
	}
	doc, err := d.push.e.project(change.Record)
	it.ready.record, it.ready.doc = change.Record, &doc
	return err
}

// ownSteps returns the chain steps of the device's own writes that an item
// holds with their values, and that are not held yet.
func (p *push) ownSteps(it *item) []mintStep {
	var out []mintStep
	for _, s := range it.ready.own {
		if s.step.N > p.replicas[s.replica].HeldN {
			out = append(out, s)
		}
	}
	return out
}
