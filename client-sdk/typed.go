package sambang

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"

	"github.com/sambang-id/sambang/syncproto"
)

// Kind is a kind of records as the caller's own struct T, encoded as
// encoding/json does it. Fields that T does not have stay as they are.
type Kind[T any] struct {
	r    *Replica
	kind string
}

// Typed returns the records of a kind as structs.
func Typed[T any](r *Replica, kind string) Kind[T] { return Kind[T]{r, kind} }

// Create makes a record of v; see [Replica.Create].
func (k Kind[T]) Create(region string, v T) (ID, error) {
	fields, err := toFields(v)
	if err != nil {
		return ID{}, err
	}
	return k.r.Create(k.kind, region, fields)
}

// Get returns a record as a struct, and as a [Record] for what a struct does
// not show.
func (k Kind[T]) Get(id ID) (T, *Record, error) {
	rec, err := k.r.Get(id)
	if err != nil {
		var zero T
		return zero, nil, err
	}
	v, err := fromFields[T](rec.Fields)
	return v, rec, err
}

// Edit changes a record as a struct; see [Replica.Edit]. Only members that fn
// has changed are written. A member that fn makes empty and that has the
// option omitempty or omitzero is removed.
func (k Kind[T]) Edit(id ID, fn func(*T) error) error {
	return k.r.Edit(id, func(d *Draft) error {
		v, err := fromFields[T](d.Fields())
		if err != nil {
			return err
		}
		before, err := toFields(v)
		if err != nil {
			return err
		}
		if err := fn(&v); err != nil {
			return err
		}
		after, err := toFields(v)
		if err != nil {
			return err
		}
		for name, x := range after {
			if !equalJSON(before[name], x) {
				d.Set(name, x)
			}
		}
		for name := range before {
			if _, still := after[name]; !still {
				d.Remove(name)
			}
		}
		return nil
	})
}

// List yields the records of the kind; see [Replica.List].
func (k Kind[T]) List(f Filter) iter.Seq2[T, error] {
	f.Kind = k.kind
	return func(yield func(T, error) bool) {
		for rec, err := range k.r.List(f) {
			var v T
			if err == nil {
				v, err = fromFields[T](rec.Fields)
			}
			if !yield(v, err) {
				return
			}
		}
	}
}

func toFields(v any) (Fields, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, syncproto.Errorf(syncproto.CodeBadValue, "value of type %T has no JSON form", v)
	}
	var fields Fields
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&fields); err != nil {
		return nil, syncproto.Errorf(syncproto.CodeBadValue, "value of type %T is not an object", v)
	}
	return fields, nil
}

func fromFields[T any](f Fields) (v T, err error) {
	text, err := json.Marshal(f)
	if err != nil {
		return v, fmt.Errorf("encode fields: %w", err)
	}
	if err := json.Unmarshal(text, &v); err != nil {
		return v, syncproto.Errorf(syncproto.CodeBadValue, "the record's fields don't fit into %T: %s", v, err.Error())
	}
	return v, nil
}

func equalJSON(a, b any) bool {
	x, errX := syncproto.NewValue(a)
	y, errY := syncproto.NewValue(b)
	return errX == nil && errY == nil && x == y
}
