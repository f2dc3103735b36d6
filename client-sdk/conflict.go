package sambang

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
)

// Conflict is a field that shows one of several values, none of whose writers
// had seen the others.
type Conflict struct {
	ID    ID
	Path  string // give it to Resolve; "" if Field is computed from several
	Field string // the member of [Record.Fields]
	// Review says that the pack wants a person to decide; otherwise its policy
	// has chosen, and the values are there to be looked at.
	Review bool
	// Why names the rule that chose the shown value, see [pack.Conflict].
	Why string
	// Base is what the field held before this device's own part of the conflict
	// was written; nil if this device wrote none of the values.
	Base   any
	Values []Candidate
}

// Candidate is one value of a conflict.
type Candidate struct {
	Value any // as in [Fields]
	// By is who wrote it, and At when, by the writer's corrected clock.
	By    Author
	At    time.Time
	Shown bool
	// Suspect says that the server found the writer's clock ahead.
	Suspect bool
}

// Conflicts returns the conflicts of a record, in order of their paths; none is
// no error. They stay until somebody writes the field, or calls
// [Replica.Resolve]. Error: [syncproto.CodeNotFound].
func (r *Replica) Conflicts(id ID) ([]Conflict, error) {
	st, err := r.load()
	if err != nil {
		return nil, err
	}
	d, err := r.read(id)
	if err != nil {
		return nil, err
	}
	shown := r.opts.Pack.Project(d.main().row.rec, d.held()...)
	var out []Conflict
	err = r.view(func(tx *cache.Tx) error {
		for _, c := range shown.Conflicts {
			o := Conflict{ID: id, Path: c.Path, Field: c.Field, Review: c.Review, Why: c.Why, Base: d.base(c)}
			for _, v := range c.Values {
				by, err := author(tx, st, v.Dot.Replica)
				if err != nil {
					return err
				}
				o.Values = append(o.Values, Candidate{
					Value: v.Value.Any(), By: by, At: time.UnixMilli(v.HLC.Millis()), Shown: v.Shown, Suspect: v.Suspect,
				})
			}
			out = append(out, o)
		}
		return nil
	})
	return out, err
}

// base returns what a conflict's register held before, if this device knows.
func (d *document) base(c pack.Conflict) any {
	for i := range d.parts {
		if w := d.parts[i].row; w.rec.ID() == c.Record {
			return w.bases[c.Path].Any()
		}
	}
	return nil
}

// Resolve decides a conflict: the field at path gets the value, one of the
// conflict's or another, and the other values go into history. It decides what
// is there now; a value that arrives later is a new conflict. At "$scope" the
// value is a district, and the whole record goes there.
//
// Errors: [syncproto.CodeNotFound]; [syncproto.CodeBadPath] if there is no
// conflict of one field at the path.
func (r *Replica) Resolve(id ID, path string, value any) error {
	v, err := syncproto.NewValue(value)
	if err != nil {
		return err
	}
	return r.update(func(t *txn) error {
		d, err := t.open(id)
		if err != nil {
			return err
		}
		if d.isNew() {
			return syncproto.CodeNotFound
		}
		shown := r.opts.Pack.Project(d.main().row.rec, d.held()...)
		switch path {
		case syncproto.PathDel:
			return t.resolveDeletion(d, v)
		case syncproto.PathScope:
			return t.resolveHome(d, v)
		}
		parts, err := shown.Resolve(path, v)
		if err != nil {
			return err
		}
		for _, part := range parts {
			p := d.part(part)
			if p == nil {
				continue
			}
			if err := t.writePart(p, part.WritesFor(p.row.rec)); err != nil {
				return err
			}
		}
		return nil
	})
}

// resolveHome decides where a record is at home, with all of its parts that are
// held: a district, or one of the conflict's values. A part keeps its class.
func (t *txn) resolveHome(d *document, v syncproto.Value) error {
	text, _ := v.Text()
	place, _, _ := strings.Cut(text, "/")
	region, err := syncproto.ParseRegion(place)
	if err != nil {
		return err
	}
	for i := range d.parts {
		p := &d.parts[i]
		if p.row.rec.IsZero() {
			continue
		}
		scope, err := syncproto.NewScope(region, p.row.scope.Class())
		if err != nil {
			return err
		}
		w := syncproto.Write{Path: syncproto.PathScope, Value: syncproto.MustValue(string(scope))}
		if shows(p.row.rec, w) {
			continue
		}
		if err := t.writePart(p, []syncproto.Write{w}); err != nil {
			return err
		}
	}
	return nil
}

// resolveDeletion decides between a deletion and the edits that it did not
// know of: true or {"deleted":true} deletes, anything else keeps.
func (t *txn) resolveDeletion(d *document, v syncproto.Value) error {
	deleted := v.JSON() == "true"
	if x, err := syncproto.ParseDeletion(v); err == nil {
		deleted = deleted || x.Deleted
	}
	for i := range d.parts {
		p := &d.parts[i]
		if p.row.rec.IsZero() {
			continue
		}
		value := syncproto.Deletion{Deleted: deleted, Seen: p.row.rec.Context()}.Value()
		if err := t.writePart(p, []syncproto.Write{{Path: syncproto.PathDel, Value: value}}); err != nil {
			return err
		}
	}
	return nil
}

// MarshalJSON returns the conflict for logs and tools.
func (c Conflict) MarshalJSON() ([]byte, error) {
	type value struct {
		Value   any    `json:"value"`
		Replica string `json:"replica"`
		Officer string `json:"officer,omitempty"`
		Agency  string `json:"agency,omitempty"`
		Mine    bool   `json:"mine,omitempty"`
		At      string `json:"at"`
		Shown   bool   `json:"shown,omitempty"`
		Suspect bool   `json:"suspect,omitempty"`
	}
	values := make([]value, 0, len(c.Values))
	for _, v := range c.Values {
		values = append(values, value{
			Value: v.Value, Replica: v.By.Replica.String(), Officer: v.By.Officer, Agency: v.By.Agency, Mine: v.By.Mine,
			At: v.At.UTC().Format(time.RFC3339Nano), Shown: v.Shown, Suspect: v.Suspect,
		})
	}
	return json.Marshal(struct {
		ID     string  `json:"id"`
		Path   string  `json:"path"`
		Field  string  `json:"field"`
		Review bool    `json:"review"`
		Why    string  `json:"why"`
		Base   any     `json:"base,omitempty"`
		Values []value `json:"values"`
	}{c.ID.String(), c.Path, c.Field, c.Review, c.Why, c.Base, slices.Clip(values)})
}
