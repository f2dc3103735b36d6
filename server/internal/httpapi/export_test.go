package httpapi

import "github.com/sambang-id/sambang/syncproto"

// HasStatus reports whether the table has the code.
func HasStatus(c syncproto.Code) bool {
	_, ok := statuses[c]
	return ok
}
