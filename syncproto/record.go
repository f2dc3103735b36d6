package syncproto

import (
	"cmp"
	"iter"
	"slices"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Reserved paths. Their registers survive a purge.
const (
	PathScope  = "$scope"   // the home scope of the record
	PathKind   = "$kind"    // written once, by the creator
	PathDel    = "$del"     // a [Deletion]; also as the last segment of a list item's path
	PathOf     = "$of"      // on a companion record: the id of the record it belongs to
	PathSchema = "$schema"  // the version of the pack that the writer used
	PathSame   = "$same_as" // ids of records about the same thing
	PathPurge  = "$purge"   // on an erased record: {by, reason}
)

// IsReserved reports whether the path is one of the record's own ($…), which
// a purge keeps.
func IsReserved(path string) bool { return path != "" && path[0] == '$' }

// CheckPath refuses, with [CodeBadPath], a path that no register may have:
// empty, longer than [MaxPathBytes], of more than [MaxPathSegments] segments,
// with an empty segment, not NFC, or with a control character.
func CheckPath(path string) error {
	if path == "" || len(path) > MaxPathBytes {
		return Errorf(CodeBadPath, "path of %d bytes, 1 to %d allowed", len(path), MaxPathBytes)
	}
	segments, ascii, prev := 1, true, byte('/')
	for i := range len(path) {
		c := path[i]
		switch {
		case c >= utf8.RuneSelf:
			ascii = false
		case c < 0x20 || c == 0x7f:
			return Errorf(CodeBadPath, "path has a control character")
		case c == '/' && prev == '/':
			return Errorf(CodeBadPath, "path has an empty segment")
		case c == '/':
			segments++
		}
		prev = c
	}
	switch {
	case prev == '/':
		return Errorf(CodeBadPath, "path has an empty segment")
	case segments > MaxPathSegments:
		return Errorf(CodeBadPath, "path has more than %d segments", MaxPathSegments)
	case ascii: // most are
	case !utf8.ValidString(path):
		return Errorf(CodeInvalidUTF8, "path is not valid UTF-8")
	case !norm.NFC.IsNormalString(path):
		return Errorf(CodeBadPath, "path is not in Unicode NFC")
	}
	return nil
}

// Sibling is one value of a register, named by the dot that wrote it.
type Sibling struct {
	Dot   Dot
	HLC   HLC
	Value Value // zero when elided in a [Delta]
	// Suspect is set by the server when the time of the write was more than
	// [MaxSkew] ahead of its reception. It never goes away, and a suspect
	// sibling loses to an unsuspect one in projections by time.
	Suspect bool
	// Extra holds fields of a later protocol version, kept and forwarded.
	Extra string
}

// Elided reports whether the sibling's value was left out of a delta.
func (s Sibling) Elided() bool { return s.Value.IsZero() }

// Field is one register: a path and its siblings in order of their dots. A
// register is never empty (I4).
type Field struct {
	Path     string
	Siblings []Sibling
}

// Value returns the value if all siblings hold the same one: equal values are
// no conflict.
func (f Field) Value() (Value, bool) {
	for _, s := range f.Siblings[1:] {
		if s.Value != f.Siblings[0].Value {
			return Value{}, false
		}
	}
	return f.Siblings[0].Value, true
}

// Latest returns the sibling that a projection by time shows: the greatest
// (HLC, dot), suspect siblings only if all are.
func (f Field) Latest() Sibling {
	return slices.MaxFunc(f.Siblings, func(a, b Sibling) int {
		if a.Suspect != b.Suspect {
			if a.Suspect {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.HLC, b.HLC), cmp.Compare(a.Dot.Replica, b.Dot.Replica), cmp.Compare(a.Dot.N, b.Dot.N))
	})
}

// Record is the unit of sync: a context and, per path, the maximal writes in
// it (I3). It is immutable.
type Record struct {
	id     RecordID
	ctx    VV
	floor  VV
	fields []Field // sorted by path
}

// NewRecord returns the record of which nothing is known yet.
func NewRecord(id RecordID) Record { return Record{id: id} }

// ID returns the record's name.
func (r Record) ID() RecordID { return r.id }

// Context returns the version vector of everything the state has seen.
func (r Record) Context() VV { return r.ctx }

// Floor returns the version vector of what a purge has erased.
func (r Record) Floor() VV { return r.floor }

// IsZero reports whether nothing is known of the record.
func (r Record) IsZero() bool { return r.ctx.IsEmpty() }

// IsPurged reports whether headquarters erased the record's content.
func (r Record) IsPurged() bool { return !r.floor.IsEmpty() }

// Fields yields the registers in order of their paths.
func (r Record) Fields() iter.Seq[Field] { return slices.Values(r.fields) }

// Len returns the number of registers.
func (r Record) Len() int { return len(r.fields) }

// Field returns the register at path.
func (r Record) Field(path string) (Field, bool) {
	i, ok := findField(r.fields, path)
	if !ok {
		return Field{}, false
	}
	return r.fields[i], true
}

// Get returns the value at path that a projection by time shows; false if
// there is no such register or it holds null.
func (r Record) Get(path string) (Value, bool) {
	f, ok := r.Field(path)
	if !ok {
		return Value{}, false
	}
	v := f.Latest().Value
	return v, !v.IsNull()
}

func (r Record) text(path string) string {
	v, ok := r.Get(path)
	if !ok {
		return ""
	}
	s, _ := v.Text()
	return s
}

// Kind returns the record's kind, "" if it is not known.
func (r Record) Kind() string { return r.text(PathKind) }

// Home returns the record's home scope, "" if it is not known or malformed.
func (r Record) Home() Scope {
	s, err := ParseScope(r.text(PathScope))
	if err != nil {
		return ""
	}
	return s
}

// Of returns the record that this one is a companion of.
func (r Record) Of() (RecordID, bool) {
	id, err := ParseRecordID(r.text(PathOf))
	return id, err == nil
}

// Conflicts returns the number of registers whose siblings hold different
// values.
func (r Record) Conflicts() int {
	n := 0
	for _, f := range r.fields {
		if len(f.Siblings) < 2 {
			continue
		}
		if _, agree := f.Value(); !agree {
			n++
		}
	}
	return n
}

// Equal reports whether both are the same state, byte for byte.
func (r Record) Equal(o Record) bool {
	return r.id == o.id && r.ctx.Equal(o.ctx) && r.floor.Equal(o.floor) &&
		slices.EqualFunc(r.fields, o.fields, func(a, b Field) bool {
			return a.Path == b.Path && slices.Equal(a.Siblings, b.Siblings)
		})
}

func findField(fields []Field, path string) (int, bool) {
	return slices.BinarySearchFunc(fields, path, func(f Field, p string) int { return cmp.Compare(f.Path, p) })
}

// aboveFloor returns those siblings of a register that the floor leaves.
func aboveFloor(path string, siblings []Sibling, floor VV) []Sibling {
	if floor.IsEmpty() || IsReserved(path) {
		return siblings
	}
	if !slices.ContainsFunc(siblings, func(s Sibling) bool { return floor.Covers(s.Dot) }) {
		return siblings
	}
	var out []Sibling
	for _, s := range siblings {
		if !floor.Covers(s.Dot) {
			out = append(out, s)
		}
	}
	return out
}
