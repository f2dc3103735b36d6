package wire

import (
	"strings"

	"github.com/sambang-id/sambang/syncproto"
)

// checkColumns refuses columns that don't fit each other, and returns the
// number of siblings.
func checkColumns(m *Delta) (int, error) {
	fields, siblings := len(m.GetPath()), len(m.GetPath())
	if fields > syncproto.MaxFields {
		return 0, syncproto.Errorf(syncproto.CodeTooMany, "record of %d fields, at most %d", fields, syncproto.MaxFields)
	}
	if n := len(m.GetSiblings()); n > 0 {
		if n != fields {
			return 0, syncproto.Errorf(syncproto.CodeBadRecord, "%d counts of siblings for %d fields", n, fields)
		}
		siblings = 0
		for _, n := range m.Siblings {
			if n > syncproto.MaxSiblings {
				return 0, syncproto.Errorf(syncproto.CodeTooMany, "field of %d siblings, at most %d", n, syncproto.MaxSiblings)
			}
			siblings += int(n)
		}
	}
	for _, n := range [3]int{len(m.GetReplica()), len(m.GetBack()), len(m.GetHlc())} {
		if n != 0 && n != siblings {
			return 0, syncproto.Errorf(syncproto.CodeBadRecord, "column of %d entries for %d siblings", n, siblings)
		}
	}
	if lines := strings.Count(m.GetValues(), "\n") + 1; lines != max(siblings, 1) || siblings == 0 && m.GetValues() != "" {
		return 0, syncproto.Errorf(syncproto.CodeBadRecord, "%d values for %d siblings", lines, siblings)
	}
	return siblings, nil
}

// at returns entry i of a column; an empty one is all zeros.
func at[T any](column []T, i int) T {
	if len(column) == 0 {
		var zero T
		return zero
	}
	return column[i]
}
