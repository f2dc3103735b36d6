package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	sambang "github.com/sambang-id/sambang/client-sdk"

	"github.com/sambang-id/sambang/bench/internal/table"
	"github.com/sambang-id/sambang/bench/internal/workload"
	"github.com/sambang-id/sambang/syncproto"
)

// conflicts is scenario E: two phones edit the same records apart from each other. Of each edit somebody
// who reads the result must see the value: as the field's, or listed as one of several.
type conflicts struct {
	full *full
	set  *workload.Set
}

func openConflicts(ctx context.Context, e env) (table.Scenario, error) {
	set, err := e.set()
	if err != nil {
		return nil, err
	}
	f, err := fill(ctx, e, sub(e.dir, "E"), false, set.Inspections[:len(set.Conflicts)])
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"a", "b"} {
		if err := f.phone(ctx, name); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	return &conflicts{f, set}, f.site.stop()
}

func (c *conflicts) Run(ctx context.Context, dir string) (_ []table.Figure, err error) {
	s := c.full.site
	if err := s.keep.clone(ctx, sub(c.full.dir, "server"), sub(dir, "server")); err != nil {
		return nil, err
	}
	for _, name := range []string{"a", "b"} {
		if err := copyDir(sub(c.full.dir, name), sub(dir, name)); err != nil {
			return nil, err
		}
	}
	if err := s.start(ctx, sub(dir, "server")); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	var phones [2]*sambang.Replica
	for i, name := range []string{"a", "b"} {
		if phones[i], err = openPhone(sub(dir, name)); err != nil {
			return nil, err
		}
		defer phones[i].Close()
	}
	for _, pair := range c.set.Conflicts {
		id, err := parseID(pair.ID)
		if err != nil {
			return nil, err
		}
		for i, e := range []workload.Edit{pair.A, pair.B} {
			if err := edit(phones[i], recordEdit{id, e.Path, e.Value}); err != nil {
				return nil, err
			}
		}
	}
	for _, i := range []int{0, 1, 0} {
		if _, err := phones[i].Sync(ctx); err != nil {
			return nil, err
		}
	}
	reader, err := enrolled(ctx, s, sub(dir, "reader"), "reader")
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	if _, err := reader.Sync(ctx); err != nil {
		return nil, err
	}
	visible, hidden, lost := 0, 0, 0
	for _, p := range []*sambang.Replica{phones[0], phones[1], reader} {
		v, h, l, err := c.count(p)
		if err != nil {
			return nil, err
		}
		visible, hidden, lost = visible+v, hidden+h, lost+l
	}
	all := float64(3 * 2 * len(c.set.Conflicts))
	return []table.Figure{
		table.Count(fmt.Sprintf("edits visible, of %.0f at three readers", all), "", float64(visible), table.AtLeast(all)),
		table.Count("edits hidden", "", float64(hidden), table.AtMost(0)),
		table.Count("edits lost", "", float64(lost), table.AtMost(0)),
	}, nil
}

// count looks for both edits of each pair on one phone. An edit that is stored but neither shown nor listed
// would be hidden; one that is not there at all is lost.
func (c *conflicts) count(p *sambang.Replica) (visible, hidden, lost int, err error) {
	for _, pair := range c.set.Conflicts {
		id, err := parseID(pair.ID)
		if err != nil {
			return 0, 0, 0, err
		}
		rec, err := p.Get(id)
		if err != nil {
			return 0, 0, 0, err
		}
		list, err := p.Conflicts(id)
		if err != nil {
			return 0, 0, 0, err
		}
		for _, e := range []workload.Edit{pair.A, pair.B} {
			listed := slices.ContainsFunc(list, func(x sambang.Conflict) bool {
				return x.Path == e.Path[0] && slices.ContainsFunc(x.Values, func(v sambang.Candidate) bool { return member(v.Value, e) })
			})
			switch {
			case member(rec.Fields[e.Path[0]], e) && (len(list) == 0 || listed), listed && slices.Contains(rec.Conflicts, e.Path[0]):
				visible++
			case listed:
				hidden++
			default:
				lost++
			}
		}
	}
	return visible, hidden, lost, nil
}

// member reports whether a field's value holds what an edit wrote.
func member(value any, e workload.Edit) bool {
	if len(e.Path) == 1 {
		return value == e.Value
	}
	object, ok := value.(map[string]any)
	return ok && object[e.Path[1]] == e.Value
}

func (c *conflicts) Close() error { return c.full.close() }

func parseID(s string) (sambang.ID, error) { return syncproto.ParseRecordID(s) }
