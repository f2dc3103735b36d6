package sambang

import (
	"maps"
	"slices"
	"time"

	"github.com/sambang-id/sambang/syncproto"
)

// Fields are a record's contents: names to nil, bool, string, json.Number,
// []any or map[string]any. In what is given to the SDK, anything that
// encoding/json can encode is a value; nil removes the field.
type Fields map[string]any

// Record is what one record shows: its main part and those companions of
// stricter classes that this device holds, as one document. It is a copy; to
// change the record use [Replica.Edit].
type Record struct {
	ID     ID
	Kind   string
	Region syncproto.Region // the district
	Fields Fields
	// Deleted says that somebody deleted the record and nobody edited it
	// without knowing that.
	Deleted bool
	// Survivors are the paths that were edited by somebody who did not know of
	// the deletion: the record is shown, and the deletion is a conflict.
	Survivors []string
	// Conflicts are the paths with several different values, in order.
	// [Replica.Conflicts] tells them.
	Conflicts []string
	// Reviews are those of the conflicts that the pack wants a person to
	// decide; the others show a value that the pack's policy settles on.
	Reviews []string
	// Classes are the parts that this device holds, the main part's first.
	Classes []syncproto.Class
	// UpdatedAt is when the latest of the shown values was written, by its
	// writer's corrected clock; UpdatedBy who wrote it.
	UpdatedAt time.Time
	UpdatedBy Author
	// Custody says how far the record is known to be safe.
	Custody Custody

	seen map[ID]syncproto.Record
}

// Author is who writes under a replica id. Officer and Agency are empty until
// the server has told them.
type Author struct {
	Replica syncproto.ReplicaID
	Officer string
	Agency  string
	// Mine says that this device wrote it.
	Mine bool
}

// Draft is a copy of a record in the hands of [Replica.Edit]. Only what is set
// or removed is written. It is good inside the function that it was given to.
type Draft struct {
	// Kind and ID are the record's.
	Kind string
	ID   ID

	fields  Fields
	touched map[string]struct{}
}

// Get returns a field's value; nil if it has none.
func (d *Draft) Get(name string) any { return d.fields[name] }

// Text returns a field's value if it is a string, and "" otherwise.
func (d *Draft) Text(name string) string {
	s, _ := d.fields[name].(string)
	return s
}

// Fields returns a copy of all fields as they are now.
func (d *Draft) Fields() Fields { return maps.Clone(d.fields) }

// Set gives a field a value. A nil value removes it. Setting a field that is
// in conflict decides the conflict, also when the value is the one shown.
func (d *Draft) Set(name string, value any) {
	d.touched[name] = struct{}{}
	if value == nil {
		delete(d.fields, name)
		return
	}
	d.fields[name] = value
}

// Remove removes a field.
func (d *Draft) Remove(name string) { d.Set(name, nil) }

// changes returns what was touched, nil for what was removed.
func (d *Draft) changes() Fields {
	out := make(Fields, len(d.touched))
	for _, name := range slices.Sorted(maps.Keys(d.touched)) {
		out[name] = d.fields[name]
	}
	return out
}
