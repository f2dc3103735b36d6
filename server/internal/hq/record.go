package hq

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
)

// Record is one record with all that is behind what it shows.
type Record struct {
	Entry
	// Survivors are the paths that were edited without knowing of a deletion.
	Survivors []string    `json:"survivors,omitempty"`
	Flags     []pack.Flag `json:"flags"`
	// Computed are conflicts between registers, which no single field has.
	Computed []pack.Conflict `json:"computed_conflicts,omitempty"`
	Fields   []Field         `json:"fields"`
	// HistoryCut says that there are more writes than were read.
	HistoryCut bool `json:"history_cut,omitempty"`
	// Erased counts journal entries whose content a purge erased.
	Erased int `json:"erased,omitempty"`
	// DamagedWrites counts journal entries that can't be read.
	DamagedWrites int `json:"damaged_writes,omitempty"`
}

// Field is one register.
type Field struct {
	Part   string          `json:"part"` // id of the record that it belongs to
	Class  syncproto.Class `json:"class"`
	Path   string          `json:"path"`
	Policy pack.Policy     `json:"policy"`
	// Conflict says that the present values differ; Review that a person has to
	// choose. Why names the rule by which the shown value was chosen, only_value
	// if there is one alone, none if nothing is shown.
	Conflict bool   `json:"conflict"`
	Review   bool   `json:"review"`
	Why      string `json:"why"`
	// Values are the present siblings, in order of their dots.
	Values []Write `json:"values"`
	// History are all writes, also those that were overwritten before they
	// reached the server, in order of the writers' clocks.
	History []Write `json:"history"`
}

// errNothing is the answer for what does not exist and for what the reader may
// not see.
func errNothing() error { return syncproto.Errorf(syncproto.CodeNotFound, "there is no such thing") }

// Record returns one record, named by its id or that of a companion. Errors:
// not_found, also for what the reader may not see.
func (s *Service) Record(ctx context.Context, r Reader, id syncproto.RecordID) (Record, error) {
	var out Record
	err := s.view(ctx, r, func(rd store.Reader) error {
		w, err := s.find(rd, r, id)
		if err != nil {
			return err
		}
		out, err = s.record(rd, r, w)
		return err
	})
	if err != nil {
		return Record{}, fmt.Errorf("read a record: %w", err)
	}
	var c count
	c.add(out.Parts)
	s.audited(ctx, r, "record.read", c, slog.String("record", out.ID))
	return out, nil
}

// find returns the whole that an id names. An unknown id and one out of reach
// cost the same: one look for the parts.
func (s *Service) find(rd store.Reader, r Reader, id syncproto.RecordID) (*whole, error) {
	now := s.millis()
	found, err := gather(rd, []syncproto.RecordID{id}, r.Grants, now)
	if err != nil {
		return nil, err
	}
	w := found[id]
	if len(w.rows) == 0 {
		return nil, errNothing()
	}
	base := baseOf(w.rows[0])
	if base == id {
		return w, nil
	}
	if found, err = gather(rd, []syncproto.RecordID{base}, r.Grants, now); err != nil {
		return nil, err
	}
	return found[base], nil
}

func (s *Service) record(rd store.Reader, r Reader, w *whole) (Record, error) {
	if err := w.decode(); err != nil {
		return Record{}, err
	}
	at := slices.MaxFunc(w.rows, func(a, b store.Row) int {
		if keyOf(a).less(keyOf(b)) {
			return -1
		}
		return 1
	})
	projection := w.project(s.config.Pack)
	out := Record{Entry: w.show(projection, at), Survivors: projection.Life.Survivors, Flags: projection.Flags, Fields: []Field{}}
	if out.Flags == nil {
		out.Flags = []pack.Flag{}
	}
	for _, c := range projection.Conflicts {
		if c.Path == "" {
			out.Computed = append(out.Computed, c)
		}
	}
	h := &history{rd: rd, r: r, now: s.millis(), writes: map[registerKey][]Write{}, seen: map[writeKey]int{}}
	for i, row := range w.rows {
		if err := h.read(row); err != nil {
			return Record{}, err
		}
		h.present(w.records[i])
	}
	if err := h.authors(); err != nil {
		return Record{}, err
	}
	for i, rec := range w.records {
		for f := range rec.Fields() {
			out.Fields = append(out.Fields, s.field(w.rows[i], rec, f, projection, h))
		}
	}
	out.Fields = append(out.Fields, h.gone(w)...)
	out.HistoryCut, out.Erased, out.DamagedWrites = h.cut, h.erased, h.damaged
	return out, nil
}

// field explains one register.
func (s *Service) field(row store.Row, rec syncproto.Record, f syncproto.Field, projection pack.Projection, h *history) Field {
	out := Field{
		Part: row.ID.String(), Class: row.Scope.Class(), Path: f.Path, Policy: s.policy(projection.Kind, f.Path),
		History: h.of(row.ID, f.Path), Why: "none",
	}
	value, agree := f.Value()
	shown := func(syncproto.Sibling) bool { return false }
	if agree && !value.IsNull() {
		out.Why = "only_value"
		shown = func(syncproto.Sibling) bool { return true }
	}
	if c, ok := conflictOf(projection, f); ok {
		out.Conflict, out.Review, out.Why, out.Policy = true, c.Review, c.Why, c.Policy
		shown = func(x syncproto.Sibling) bool {
			return slices.ContainsFunc(c.Values, func(v pack.Candidate) bool { return v.Dot == x.Dot && v.Shown })
		}
	}
	for _, x := range f.Siblings {
		v := h.sibling(rec.ID(), f.Path, x)
		v.Shown = shown(x)
		out.Values = append(out.Values, v)
	}
	if out.Policy == "" {
		out.Policy = pack.PolicyLWW
	}
	return out
}

// conflictOf finds the conflict in which a register's values are candidates.
func conflictOf(p pack.Projection, f syncproto.Field) (pack.Conflict, bool) {
	i := slices.IndexFunc(p.Conflicts, func(c pack.Conflict) bool {
		return c.Path == f.Path && slices.ContainsFunc(c.Values, func(v pack.Candidate) bool { return v.Dot == f.Siblings[0].Dot })
	})
	if i < 0 {
		return pack.Conflict{}, false
	}
	return p.Conflicts[i], true
}

// policy returns the policy of the register at path.
func (s *Service) policy(kind, path string) pack.Policy {
	k, ok := s.config.Pack.Kind(kind)
	if !ok {
		return pack.PolicyLWW
	}
	name, rest, inList := strings.Cut(path, "/")
	f, ok := k.Field(name)
	if !ok {
		if i := slices.IndexFunc(k.Groups, func(g pack.Group) bool { return g.Name == name }); i >= 0 {
			return k.Groups[i].Policy
		}
		return pack.PolicyLWW
	}
	if _, member, ok := strings.Cut(rest, "/"); inList && ok {
		if i := slices.IndexFunc(f.Fields, func(x pack.Field) bool { return x.Name == member }); i >= 0 {
			return f.Fields[i].Policy
		}
	}
	return f.Policy
}
