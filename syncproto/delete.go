package syncproto

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// Deletion is the value of a tombstone ($del): whether the record (or list
// item) is deleted, and what the deleter had seen of it. Without the latter
// the merged state could not tell an edit that the deleter knew from a
// concurrent one, which must survive (C3).
type Deletion struct {
	Deleted bool
	Seen    VV
}

// Value returns {"deleted":bool,"seen":{replica:n,…}}.
func (d Deletion) Value() Value {
	seen := make(map[string]uint64, d.Seen.Len())
	for e := range d.Seen.All() {
		seen[e.Replica.String()] = e.N
	}
	return MustValue(map[string]any{"deleted": d.Deleted, "seen": seen})
}

// ParseDeletion reads the value of a tombstone; null means not deleted. Keys
// that it does not know are passed over; anything else that is not
// {"deleted":bool,"seen":{replica:n,…}} is refused with [CodeBadValue].
func ParseDeletion(v Value) (Deletion, error) {
	if v.IsNull() {
		return Deletion{}, nil
	}
	bad := func() (Deletion, error) {
		return Deletion{}, Errorf(CodeBadValue, "tombstone is not {deleted, seen}")
	}
	// By hand: encoding/json would take "Deleted" for "deleted", and null for
	// false, which other implementations do not.
	object, ok := v.Any().(map[string]any)
	if !ok {
		return bad()
	}
	deleted, isBool := object["deleted"].(bool)
	entries, isObject := object["seen"].(map[string]any)
	if !isBool || !isObject {
		return bad()
	}
	dots := make([]Dot, 0, len(entries))
	for k, n := range entries {
		r, err := ParseReplicaID(k)
		number, isNumber := n.(json.Number)
		if err != nil || !isNumber || r.String() != k {
			return bad()
		}
		count, err := strconv.ParseUint(number.String(), 10, 64)
		if err != nil {
			return bad()
		}
		dots = append(dots, Dot{r, count})
	}
	seen, err := NewVV(dots...)
	if err != nil {
		return bad()
	}
	return Deletion{deleted, seen}, nil
}

// Life is what a projection shows of a record or list item.
type Life struct {
	Deleted bool
	// Survivors are the paths that were edited by somebody who did not know of
	// the deletion. With any, the record is shown, and the deletion is a
	// conflict to decide.
	Survivors []string
}

// Life returns whether the record is deleted (4.12).
func (r Record) Life() Life { return r.lifeAt(PathDel, "") }

// ItemLife returns whether the list item at prefix, such as
// "foreigners/9c1f", is deleted.
func (r Record) ItemLife(prefix string) Life {
	return r.lifeAt(prefix+"/"+PathDel, prefix+"/")
}

func (r Record) lifeAt(del, prefix string) Life {
	f, ok := r.Field(del)
	if !ok {
		return Life{}
	}
	latest, err := ParseDeletion(f.Latest().Value)
	if err != nil || !latest.Deleted {
		return Life{}
	}
	var seen VV
	for _, s := range f.Siblings {
		if d, err := ParseDeletion(s.Value); err == nil && d.Deleted {
			seen = seen.Join(d.Seen)
		}
	}
	var survivors []string
	for _, g := range r.fields {
		if IsReserved(g.Path) || g.Path == del || !strings.HasPrefix(g.Path, prefix) {
			continue
		}
		if slices.ContainsFunc(g.Siblings, func(s Sibling) bool { return !seen.Covers(s.Dot) }) {
			survivors = append(survivors, g.Path)
		}
	}
	return Life{Deleted: len(survivors) == 0, Survivors: survivors}
}

// Purge erases the record's content for ever (4.11): the floor rises to the
// context, every register but the reserved ones goes, and a tombstone and the
// note, which says by whom and why, are written. Only the server purges.
func Purge(r Record, m Minter, nowMillis int64, note Value) (Record, Minter, []Mint, error) {
	seen := r.ctx
	r.floor = r.floor.Join(r.ctx)
	r.fields = slices.DeleteFunc(slices.Clone(r.fields), func(f Field) bool { return !IsReserved(f.Path) })
	r, m, mints, _, err := m.Write(r, 0, nowMillis,
		Write{PathDel, Deletion{Deleted: true, Seen: seen}.Value()}, Write{PathPurge, note})
	return r, m, mints, err
}

// Flag returns the record with those siblings marked suspect whose dot is not
// covered by known and whose time is more than [MaxSkew] ahead of the
// reception, and the paths where that happened.
func Flag(r Record, known VV, receivedMillis int64) (Record, []string) {
	var paths []string
	for i, f := range r.fields {
		for j, s := range f.Siblings {
			if s.Suspect || known.Covers(s.Dot) || s.HLC.Millis()-receivedMillis <= MaxSkew {
				continue
			}
			if len(paths) == 0 {
				r.fields = slices.Clone(r.fields)
			}
			if len(paths) == 0 || paths[len(paths)-1] != f.Path {
				paths = append(paths, f.Path)
				r.fields[i].Siblings = slices.Clone(f.Siblings)
			}
			r.fields[i].Siblings[j].Suspect = true
		}
	}
	return r, paths
}
