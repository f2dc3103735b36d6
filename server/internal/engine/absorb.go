package engine

import (
	"context"
	"fmt"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// takenOver is what the journal already has of a record: the writes that were
// accepted or absorbed before. It makes absorbing idempotent, also when the
// absorbed value was overwritten since.
type takenOver map[pastKey]bool

type pastKey struct {
	path  string
	dot   syncproto.Dot
	hlc   syncproto.HLC
	value string
}

func (e *Engine) takenOver(ctx context.Context, id syncproto.RecordID) (takenOver, error) {
	taken := takenOver{}
	err := e.store.View(ctx, func(r store.Reader) error {
		for c, err := range r.Changes(id) {
			if err != nil {
				return err
			}
			if err := c.Damage(); err != nil {
				return err
			}
			if len(c.Ops) == 0 {
				continue
			}
			delta, history, err := wire.DecodeChange(c.Ops)
			if err != nil {
				return err
			}
			for f := range delta.Fields() {
				for _, s := range f.Siblings {
					taken[pastKey{f.Path, s.Dot, s.HLC, s.Value.JSON()}] = true
				}
			}
			for _, h := range history {
				taken[pastKey{h.Path, h.Dot, h.HLC, h.Value.JSON()}] = true
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the journal of a record: %w", err)
	}
	return taken, nil
}

func (t takenOver) has(path string, s syncproto.Sibling) bool {
	return t[pastKey{path, s.Dot, s.HLC, s.Value.JSON()}]
}

// history returns those writes of a payload that are not in the journal yet,
// under the dots that they came with, as of the scope that takes them in.
func (t takenOver) history(scope syncproto.Scope, d syncproto.Delta) []wire.PastWrite {
	var out []wire.PastWrite
	for f := range d.Fields() {
		for _, s := range f.Siblings {
			if s.Elided() || t.has(f.Path, s) {
				continue
			}
			out = append(out, wire.PastWrite{
				Dot: s.Dot, Step: syncproto.Step(d.ID(), f.Path, s.Dot, s.HLC, s.Value),
				Scope: scope, Record: d.ID(), Path: f.Path, HLC: s.HLC, Value: s.Value,
			})
		}
	}
	return out
}
