package pack

import (
	"slices"
	"strings"
)

// CheckEdit returns what the policies find wrong with an edit, in order of
// paths: a field of policy first or frozen that changes, a move that the
// states do not allow, a derived field that is written by hand, an item that
// is taken out of an append list. A form asks before it goes on; like all
// findings, they refuse nothing. after is as for [Pack.Diff].
//
// Frozen fields may change as long as the kind has a field of policy fsm with
// final states, and its value is none of them.
func (p *Pack) CheckEdit(before Projection, after any) []Problem {
	k := p.kind(before.Kind)
	if k == nil {
		return nil
	}
	fields, err := fieldsOf(after)
	if err != nil {
		return []Problem{{"", "document", Label{"Isi rekaman tidak dapat dibaca.", "The document can't be read."}}}
	}
	v := validation{p: p, k: k}
	frozen := k.closed(before)
	for i := range k.Fields {
		f := &k.Fields[i]
		e := before.entry(f.Name)
		if e == nil || e.json == "" {
			continue // the first value may be any
		}
		if f.items() {
			if f.Shape == ShapeAppend && removes(e, fields[f.Name]) {
				v.add([]string{f.Name}, "append", Label{"catatan hanya ditambah, tidak dihapus.", "entries are added, not removed."})
			}
			continue
		}
		x, err := valueOf(fields[f.Name])
		if err != nil || plainOf(f, x) == plainOf(f, e.value) {
			continue
		}
		switch {
		case f.Policy == PolicyFirst:
			v.add([]string{f.Name}, "first", Label{"hanya diisi sekali; perubahan akan ditinjau.", "is written once; a change will be reviewed."})
		case f.Policy == PolicyFrozen && frozen:
			v.add([]string{f.Name}, "frozen", Label{"sudah final; buat versi baru dengan alasan.", "is final; make a new version with a reason."})
		case f.Policy == PolicyDerived:
			v.add([]string{f.Name}, "derived", Label{"dihitung oleh server.", "is computed by the server."})
		case f.Policy == PolicyFSM && !slices.Contains(f.Moves[unquote(e.value)], unquote(x)):
			v.add([]string{f.Name}, "fsm", Label{"perpindahan status ini tidak diperbolehkan.", "this change of status is not allowed."})
		}
	}
	slices.SortFunc(v.out, func(a, b Problem) int { return strings.Compare(a.Path, b.Path) })
	return v.out
}

// closed reports whether the frozen fields of a record are closed.
func (k *Kind) closed(before Projection) bool {
	for i := range k.Fields {
		if f := &k.Fields[i]; len(f.Final) > 0 {
			v, ok := before.Get(f.Name)
			return ok && slices.Contains(f.Final, unquote(v))
		}
	}
	return true
}

// removes reports whether a list no longer has an item.
func removes(e *entry, x any) bool {
	elements, err := elementsOf(x)
	return err == nil && slices.ContainsFunc(e.items, func(it item) bool { return !slices.Contains(elements, it.value) })
}

// Evidence names how a value was learned, for [Observation].
const (
	EvidenceMRZ      = "mrz"
	EvidenceOriginal = "original"
	EvidenceCopy     = "copy"
	EvidenceSpoken   = "spoken"
)
