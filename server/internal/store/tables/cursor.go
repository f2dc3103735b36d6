package tables

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// Cursor reads the values of one row after the other. V is the engine's type
// of a value, an interface. Bytes that it returns belong to the caller.
type Cursor[V any] struct {
	Row []V
	// Err is the first thing that was wrong with a row. Reading ends at it.
	Err error
	// Damages is told of each damaged row; nil: nobody is.
	Damages *Damages
}

// Sound reports whether the row, whose last column is sum, is what was
// written.
func (c *Cursor[V]) Sound(t *Table) bool {
	last := len(c.Row) - 1
	if sum, ok := any(c.Row[last]).(int64); ok && sum == Sum(t, c.Row[:last]) {
		return true
	}
	c.Damages.Add(c.Damage(t))
	return false
}

// Must makes the cursor end with an error if the row is damaged.
func (c *Cursor[V]) Must(t *Table) {
	if c.Err == nil && !c.Sound(t) {
		c.Err = c.Damage(t)
	}
}

// Damage names the row as a damaged one. What a damaged column holds may be a piece of
// another, so nothing goes into a name that does not look like one.
func (c *Cursor[V]) Damage(t *Table) *store.Damage {
	d := &store.Damage{Table: t.Name}
	if t.ScopeAt >= 0 {
		d.Scope = ScopeName(c.Row[t.ScopeAt])
	}
	if t.SeqAt >= 0 {
		if n, ok := any(c.Row[t.SeqAt]).(int64); ok && n > 0 {
			d.Seq = uint64(n)
		}
	}
	if t.KeyAt >= 0 {
		d.Key = KeyName(c.Row[t.KeyAt])
	}
	return d
}

// Fail makes the cursor end with an error: a column is not what it must be.
func (c *Cursor[V]) Fail(column int, want string) {
	if c.Err == nil {
		c.Err = fmt.Errorf("column %d of the result is not %s: %w", column, want, store.ErrDamaged)
	}
}

// Int returns a number, 0 for nil.
func (c *Cursor[V]) Int(i int) int64 {
	v := any(c.Row[i])
	if n, ok := v.(int64); ok {
		return n
	}
	if v != nil {
		c.Fail(i, "a number")
	}
	return 0
}

// Uint returns a number that is not negative.
func (c *Cursor[V]) Uint(i int) uint64 {
	n := c.Int(i)
	if n < 0 {
		c.Fail(i, "a positive number")
		return 0
	}
	return uint64(n)
}

// Bool returns a number as truth.
func (c *Cursor[V]) Bool(i int) bool { return c.Int(i) != 0 }

// Text returns a string, "" for nil.
func (c *Cursor[V]) Text(i int) string {
	v := any(c.Row[i])
	if s, ok := v.(string); ok {
		return s
	}
	if v != nil {
		c.Fail(i, "text")
	}
	return ""
}

// Blob returns the bytes of a column, nil for none.
func (c *Cursor[V]) Blob(i int) []byte {
	v := any(c.Row[i])
	if b, ok := v.([]byte); ok {
		return b
	}
	if v != nil {
		c.Fail(i, "bytes")
	}
	return nil
}

// Fixed copies the bytes of a column into all of to.
func (c *Cursor[V]) Fixed(i int, to []byte) {
	if b := c.Blob(i); len(b) == len(to) {
		copy(to, b)
	} else {
		c.Fail(i, fmt.Sprintf("%d bytes", len(to)))
	}
}

// ID returns a record's id, zero for nil.
func (c *Cursor[V]) ID(i int) (id syncproto.RecordID) {
	if any(c.Row[i]) != nil {
		c.Fixed(i, id[:])
	}
	return id
}

// Digest returns a hash.
func (c *Cursor[V]) Digest(i int) (d syncproto.Digest) {
	c.Fixed(i, d[:])
	return d
}

// Big returns an unsigned number that is kept as bytes.
func (c *Cursor[V]) Big(i int) uint64 {
	var b [8]byte
	c.Fixed(i, b[:])
	return binary.BigEndian.Uint64(b[:])
}

// Grants returns grants.
func (c *Cursor[V]) Grants(i int) syncproto.Grants {
	var in []grant
	if err := json.Unmarshal([]byte(c.Text(i)), &in); err != nil {
		c.Fail(i, "grants")
		return nil
	}
	var out syncproto.Grants
	for _, g := range in {
		out = append(out, syncproto.Grant(g))
	}
	return out
}

// What a damaged row says of itself, as far as it looks like it.

// LooseInt returns a value that is a number, or 0.
func (c *Cursor[V]) LooseInt(i int) int64 {
	n, _ := any(c.Row[i]).(int64)
	return n
}

// LooseUint returns a value that is a number and not negative, or 0.
func (c *Cursor[V]) LooseUint(i int) uint64 { return uint64(max(c.LooseInt(i), 0)) } //nolint:gosec // not negative

// LooseBlob returns a value that is bytes, or none.
func (c *Cursor[V]) LooseBlob(i int) []byte {
	b, _ := any(c.Row[i]).([]byte)
	return b
}

// LooseText returns a value that is text, or "".
func (c *Cursor[V]) LooseText(i int) string {
	s, _ := any(c.Row[i]).(string)
	return s
}

// LooseID returns a value that looks like a record's id, or zero.
func (c *Cursor[V]) LooseID(i int) (id syncproto.RecordID) {
	if b := c.LooseBlob(i); len(b) == len(id) {
		copy(id[:], b)
	}
	return id
}
