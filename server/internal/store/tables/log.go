package tables

import (
	"cmp"

	"github.com/sambang-id/sambang/server/internal/store"
)

// Narrow is up to how many scopes an engine reads a page of the log from each of
// them, and not from the log of all: a region in which little happens is not
// looked for among all that happened elsewhere. It is few enough that what is
// read in vain is little.
const Narrow = 16

// NewestFirst is the order of the log.
func NewestFirst(a, b store.Row) int {
	return cmp.Or(cmp.Compare(b.UpdatedAt, a.UpdatedAt), cmp.Compare(b.Scope, a.Scope), cmp.Compare(b.Seq, a.Seq))
}
