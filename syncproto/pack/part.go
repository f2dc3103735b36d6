package pack

import (
	"slices"
	"strings"

	"github.com/sambang-id/sambang/syncproto"
)

// Part is what goes into one record: the main record, or its companion of a
// class. The writes are ordered by path, except that the items of a list stand
// in the document's order, which is what orders them later: pass them to
// [syncproto.Minter.Write] as they are.
type Part struct {
	Class syncproto.Class
	// Companion says that the writes belong to the record
	// syncproto.CompanionID(main, Class) and not to the main record. Class is
	// the class of a main record that is yet to be made; one that exists stays
	// where it is.
	Companion bool
	Writes    []syncproto.Write
	// Removed are the prefixes ("name/key") of list items to delete. Their
	// tombstones need the context of the record: see [Part.WritesFor].
	Removed []string
}

// ID returns the id of the record that the part belongs to.
func (t Part) ID(main syncproto.RecordID) syncproto.RecordID {
	if t.Companion {
		return syncproto.CompanionID(main, t.Class)
	}
	return main
}

// WritesFor returns the writes on r, the record that the part belongs to, with
// the tombstones of removed items and the end of the tombstones of items that
// come back.
func (t Part) WritesFor(r syncproto.Record) []syncproto.Write {
	out := slices.Clone(t.Writes)
	var back []string
	for _, w := range t.Writes {
		name, rest, _ := strings.Cut(w.Path, "/")
		key, _, inItem := strings.Cut(rest, "/")
		prefix := name + "/" + key
		if inItem && !slices.Contains(back, prefix) && r.ItemLife(prefix).Deleted {
			back = append(back, prefix)
		}
	}
	for _, prefix := range back {
		out = append(out, syncproto.Write{
			Path:  prefix + "/" + syncproto.PathDel,
			Value: syncproto.Deletion{Seen: r.Context()}.Value(),
		})
	}
	for _, prefix := range t.Removed {
		out = append(out, syncproto.Write{
			Path:  prefix + "/" + syncproto.PathDel,
			Value: syncproto.Deletion{Deleted: true, Seen: r.Context()}.Value(),
		})
	}
	return out
}

// Option says how items of lists get their keys.
type Option func(*keys)

type keys struct {
	record syncproto.RecordID
	make   func(field string, item syncproto.Value) string
}

// ForRecord names the main record, so that items of lists with a natural key
// get the same key on every device ([syncproto.ItemKey]).
func ForRecord(id syncproto.RecordID) Option { return func(k *keys) { k.record = id } }

// NewKeys makes keys for new items of lists (not of sets and append lists)
// that bring none and have no natural key, such as UUIDv7s. Default: a key
// made of the item's content.
func NewKeys(f func(field string, item syncproto.Value) string) Option {
	return func(k *keys) { k.make = f }
}

func options(opts []Option) keys {
	var k keys
	for _, o := range opts {
		o(&k)
	}
	return k
}
