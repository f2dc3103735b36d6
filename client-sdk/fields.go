package sambang

import (
	"slices"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
)

// split turns fields into the writes of each part: of a new record all, of one
// that is there only what differs from what it shows. A field that is given
// with the value that it shows settles its conflict, if it has one.
func (r *Replica) split(d *document, fields Fields) ([]pack.Part, error) {
	p := r.opts.Pack
	companions := d.held()
	if d.isNew() && len(companions) == 0 {
		return p.Split(d.kind, map[string]any(withoutNil(fields)), pack.ForRecord(d.id))
	}
	shown := p.Project(d.main().row.rec, companions...)
	if shown.Kind == "" {
		shown.Kind = d.kind
	}
	after := shown.Doc()
	for name, v := range fields {
		if v == nil {
			delete(after, name)
		} else {
			after[name] = v
		}
	}
	parts, err := p.Diff(shown, after)
	if err != nil {
		return nil, err
	}
	for name, v := range fields {
		c, ok := shown.Conflict(name)
		if !ok || writesTo(parts, name) {
			continue
		}
		value, err := syncproto.NewValue(v)
		if err != nil {
			return nil, err
		}
		chosen := slices.IndexFunc(c.Values, func(x pack.Candidate) bool { return x.Shown && x.Value == value })
		if chosen < 0 {
			continue // a group's member, or an observation: Resolve tells which
		}
		more, err := shown.Resolve(name, value)
		if err != nil {
			return nil, err
		}
		parts = merge(parts, more)
	}
	if d.isNew() && !slices.ContainsFunc(parts, func(t pack.Part) bool { return !t.Companion }) {
		parts = slices.Insert(parts, 0, pack.Part{Class: p.Class(d.kind)})
	}
	return parts, nil
}

func withoutNil(fields Fields) Fields {
	out := make(Fields, len(fields))
	for k, v := range fields {
		if v != nil {
			out[k] = v
		}
	}
	return out
}

func writesTo(parts []pack.Part, path string) bool {
	return slices.ContainsFunc(parts, func(t pack.Part) bool {
		return slices.ContainsFunc(t.Writes, func(w syncproto.Write) bool { return w.Path == path })
	})
}

// merge adds the writes of more to the parts of the same records.
func merge(parts, more []pack.Part) []pack.Part {
	for _, m := range more {
		i := slices.IndexFunc(parts, func(t pack.Part) bool { return t.Companion == m.Companion && (!t.Companion || t.Class == m.Class) })
		if i < 0 {
			parts = append(parts, m)
			continue
		}
		parts[i].Writes = append(slices.Clone(parts[i].Writes), m.Writes...)
		parts[i].Removed = append(slices.Clone(parts[i].Removed), m.Removed...)
	}
	return parts
}

// project makes the document that a record and its companions show.
func (r *Replica) project(d *document) *Record {
	main := d.main().row
	shown := r.opts.Pack.Project(main.rec, d.held()...)
	out := &Record{
		ID: d.id, Kind: shown.Kind, Region: main.scope.Region(), Fields: shown.Doc(),
		Deleted: shown.Life.Deleted, Survivors: shown.Life.Survivors,
		seen: make(map[ID]syncproto.Record, len(d.parts)),
	}
	for _, c := range shown.Conflicts {
		path := c.Path
		if path == "" {
			path = c.Field
		}
		out.Conflicts = append(out.Conflicts, path)
		if c.Review {
			out.Reviews = append(out.Reviews, path)
		}
	}
	return out
}
