package vectors

import (
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// Item is what one item of a push means, or why it is refused.
type Item struct {
	Scope   string `json:"scope,omitempty"`
	Repair  bool   `json:"repair,omitempty"`
	Delta   *Delta `json:"delta,omitempty"`
	Refused string `json:"refused,omitempty"`
}

// Delta is a delta in words. Replicas go by their devices' names; "server" is
// any other.
type Delta struct {
	ID     string            `json:"id"`
	Base   map[string]uint64 `json:"base,omitempty"`
	Ctx    map[string]uint64 `json:"ctx"`
	Floor  map[string]uint64 `json:"floor,omitempty"`
	Fields []Field           `json:"fields"`
}

// Field is one register of a delta.
type Field struct {
	Path     string    `json:"path"`
	Siblings []Sibling `json:"siblings"`
}

// Sibling is one value of a register.
type Sibling struct {
	Dot     string          `json:"dot"` // "A:3"
	HLC     uint64          `json:"hlc,omitempty,string"`
	Value   json.RawMessage `json:"value,omitempty"`
	Elided  bool            `json:"elided,omitempty"`
	Suspect bool            `json:"suspect,omitempty"`
	Extra   string          `json:"extra,omitempty"` // hexadecimal
}

// Past is a past write in words.
type Past struct {
	Dot   string          `json:"dot"`
	Step  string          `json:"step"`
	Scope string          `json:"scope,omitempty"`
	ID    string          `json:"id,omitempty"`
	Path  string          `json:"path,omitempty"`
	HLC   uint64          `json:"hlc,omitempty,string"`
	Value json.RawMessage `json:"value,omitempty"`
}

// Names turns replica ids into names.
type Names map[syncproto.ReplicaID]string

// Names returns those of the world's devices.
func (w World) Names() (Names, error) {
	out := Names{}
	for _, d := range w.Devices {
		r, err := syncproto.ParseReplicaID(d.Replica)
		if err != nil {
			return nil, fmt.Errorf("device %s: %w", d.Name, err)
		}
		out[r] = d.Name
	}
	return out, nil
}

func (n Names) of(r syncproto.ReplicaID) string {
	if s, ok := n[r]; ok {
		return s
	}
	return "server"
}

func (n Names) vector(v syncproto.VV) map[string]uint64 {
	if v.IsEmpty() {
		return nil
	}
	out := map[string]uint64{}
	for d := range v.All() {
		out[n.of(d.Replica)] = d.N
	}
	return out
}

func (n Names) dot(d syncproto.Dot) string { return fmt.Sprintf("%s:%d", n.of(d.Replica), d.N) }

// Delta describes d. Times of the server's own writes are left out: another
// server's clock ticks otherwise.
func (n Names) Delta(d syncproto.Delta) *Delta {
	id := d.ID()
	out := &Delta{ID: id.String(), Base: n.vector(d.Base()), Ctx: n.vector(d.Context()), Floor: n.vector(d.Floor()), Fields: []Field{}}
	for f := range d.Fields() {
		field := Field{Path: f.Path}
		for _, s := range f.Siblings {
			sibling := Sibling{Dot: n.dot(s.Dot), Elided: s.Elided(), Suspect: s.Suspect, Extra: hex.EncodeToString([]byte(s.Extra))}
			if _, known := n[s.Dot.Replica]; known {
				sibling.HLC = uint64(s.HLC)
			}
			if !s.Elided() {
				sibling.Value = json.RawMessage(n.words(f.Path, s.Value))
			}
			field.Siblings = append(field.Siblings, sibling)
		}
		out.Fields = append(out.Fields, field)
	}
	return out
}

// words returns a value as it stands, or a tombstone with names for replicas.
func (n Names) words(path string, v syncproto.Value) string {
	if path == syncproto.PathDel {
		if d, err := syncproto.ParseDeletion(v); err == nil && !v.IsNull() {
			return syncproto.MustValue(map[string]any{"deleted": d.Deleted, "seen": n.vector(d.Seen)}).JSON()
		}
	}
	return v.JSON()
}

// Items describes the items of a batch.
func (n Names) Items(b *wire.Batch) ([]Item, error) {
	d, err := wire.NewDecoder(b.GetTables())
	if err != nil {
		return nil, err
	}
	var out []Item
	for _, m := range b.GetItems() {
		item := Item{Repair: m.GetRepair()}
		scope, err := d.Scope(m.GetScope())
		item.Scope = string(scope)
		delta, derr := d.Delta(m.GetDelta())
		if err == nil {
			err = derr
		}
		if err != nil {
			item.Refused = string(syncproto.CodeOf(err))
		} else {
			item.Delta = n.Delta(delta)
		}
		out = append(out, item)
	}
	return out, nil
}

// Past describes the history of a batch.
func (n Names) Past(b *wire.Batch) ([]Past, error) {
	d, err := wire.NewDecoder(b.GetTables())
	if err != nil {
		return nil, err
	}
	var out []Past
	for _, m := range b.GetHistory() {
		w, err := d.History(m)
		if err != nil {
			return nil, err
		}
		p := Past{Dot: n.dot(w.Dot), Step: hex.EncodeToString(w.Step[:])}
		if !w.StepOnly() {
			p.Scope, p.ID, p.Path, p.HLC, p.Value = string(w.Scope), w.Record.String(), w.Path, uint64(w.HLC), json.RawMessage(w.Value.JSON())
		}
		out = append(out, p)
	}
	return out, nil
}
