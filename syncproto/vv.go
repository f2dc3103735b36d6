package syncproto

import (
	"cmp"
	"iter"
	"slices"
	"strings"
)

// VV is a version vector: per replica the highest counter seen. As the
// context of a record, an entry r:n means all of r's dots up to n on that
// record. It is immutable; the zero value is empty.
//
// At most one entry per replica, sorted by replica, every counter > 0. A
// vector is never pruned: a pruned vector resurrects what it forgot.
type VV struct{ entries []Dot }

// NewVV builds a vector from entries in any order. Entries of the same
// replica, a zero replica, a zero counter or one above [MaxCounter], or more
// than [MaxVectorEntries] entries are refused with [CodeBadVector].
func NewVV(entries ...Dot) (VV, error) {
	if len(entries) == 0 {
		return VV{}, nil
	}
	if len(entries) > MaxVectorEntries {
		return VV{}, Errorf(CodeTooMany, "version vector of %d entries, at most %d", len(entries), MaxVectorEntries)
	}
	es := entries
	if !slices.IsSortedFunc(es, byReplica) {
		es = slices.SortedFunc(slices.Values(entries), byReplica)
	}
	for i, e := range es {
		switch {
		case e.Replica == 0 || e.N == 0:
			return VV{}, Errorf(CodeBadVector, "entry %s has a zero", e)
		case e.N > MaxCounter:
			return VV{}, Errorf(CodeBadVector, "entry %s is above 2^53", e)
		case i > 0 && es[i-1].Replica == e.Replica:
			return VV{}, Errorf(CodeBadVector, "two entries for replica %s", e.Replica)
		}
	}
	return VV{entries: slices.Clone(es)}, nil
}

func byReplica(a, b Dot) int { return cmp.Compare(a.Replica, b.Replica) }

// Len returns the number of entries.
func (v VV) Len() int { return len(v.entries) }

// IsEmpty reports whether nothing has been seen.
func (v VV) IsEmpty() bool { return len(v.entries) == 0 }

// All yields the entries in order of replica.
func (v VV) All() iter.Seq[Dot] { return slices.Values(v.entries) }

// Get returns the counter of r, 0 if r has no entry.
func (v VV) Get(r ReplicaID) uint64 {
	// Linear: vectors have fewer than ten entries in the field.
	for _, e := range v.entries {
		if e.Replica >= r {
			if e.Replica == r {
				return e.N
			}
			return 0
		}
	}
	return 0
}

// Covers reports whether d has been seen.
func (v VV) Covers(d Dot) bool { return d.N <= v.Get(d.Replica) }

// LessEq reports whether o has seen everything that v has.
func (v VV) LessEq(o VV) bool {
	j := 0
	for _, e := range v.entries {
		for j < len(o.entries) && o.entries[j].Replica < e.Replica {
			j++
		}
		if j == len(o.entries) || o.entries[j].Replica != e.Replica || o.entries[j].N < e.N {
			return false
		}
	}
	return true
}

// Equal reports whether both have seen the same.
func (v VV) Equal(o VV) bool { return slices.Equal(v.entries, o.entries) }

// Join returns what either has seen.
func (v VV) Join(o VV) VV {
	switch {
	case o.LessEq(v):
		return v
	case v.LessEq(o):
		return o
	}
	out := make([]Dot, 0, len(v.entries)+len(o.entries))
	i, j := 0, 0
	for i < len(v.entries) && j < len(o.entries) {
		a, b := v.entries[i], o.entries[j]
		switch {
		case a.Replica < b.Replica:
			out, i = append(out, a), i+1
		case b.Replica < a.Replica:
			out, j = append(out, b), j+1
		default:
			out, i, j = append(out, Dot{a.Replica, max(a.N, b.N)}), i+1, j+1
		}
	}
	out = append(out, v.entries[i:]...)
	out = append(out, o.entries[j:]...)
	return VV{out}
}

// With returns v with d seen as well (and with it every earlier dot of its
// replica).
func (v VV) With(d Dot) VV {
	if v.Covers(d) || d.Replica == 0 {
		return v
	}
	i, found := slices.BinarySearchFunc(v.entries, d, byReplica)
	out := slices.Clone(v.entries)
	if found {
		out[i] = d
	} else {
		out = slices.Insert(out, i, d)
	}
	return VV{out}
}

// without returns v with r's entry lowered to n (0 removes it). Only a fork
// repair may do this (4.8).
func (v VV) without(r ReplicaID, n uint64) VV {
	i, found := slices.BinarySearchFunc(v.entries, Dot{Replica: r}, byReplica)
	if !found || v.entries[i].N <= n {
		return v
	}
	out := slices.Clone(v.entries)
	if n == 0 {
		out = slices.Delete(out, i, i+1)
	} else {
		out[i].N = n
	}
	return VV{out}
}

// String returns "{replica:n replica:n}", for logs and tests.
func (v VV) String() string {
	parts := make([]string, len(v.entries))
	for i, e := range v.entries {
		parts[i] = e.String()
	}
	return "{" + strings.Join(parts, " ") + "}"
}
