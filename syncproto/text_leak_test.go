package syncproto_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/syncproto"
)

// What was typed in a wrong place may be anything, a person's name among it;
// errors go into logs and replies.
func TestErrorsDoNotQuoteWhatWasTyped(t *testing.T) {
	const typed = "Siti"
	for name, parse := range map[string]func(string) error{
		"a region":     func(s string) error { _, err := syncproto.ParseRegion(s); return err },
		"a scope":      func(s string) error { _, err := syncproto.ParseScope(s); return err },
		"a class":      func(s string) error { _, err := syncproto.ParseClass(s); return err },
		"a record id":  func(s string) error { _, err := syncproto.ParseRecordID(s); return err },
		"a replica id": func(s string) error { _, err := syncproto.ParseReplicaID(s); return err },
		"a path":       func(s string) error { return syncproto.CheckPath(s + "\x00") },
		"a value":      func(s string) error { _, err := syncproto.ParseValue([]byte(s)); return err },
		"a passport":   func(s string) error { _, err := syncproto.ParseScope("35.24.14/" + s); return err },
	} {
		err := parse(typed)
		var own *syncproto.Error
		if !errors.As(err, &own) || strings.Contains(err.Error(), typed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
