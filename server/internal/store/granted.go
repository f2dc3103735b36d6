package store

import (
	"context"

	"github.com/sambang-id/sambang/syncproto"
)

// GrantedViewer is the ability of an engine to hold a reader to his grants by
// itself, as a second lock behind whoever filters what he is shown.
type GrantedViewer interface {
	// ViewAs is View for somebody with grants, judged at time now (Unix
	// milliseconds): rows of records, counters and messages whose scope the
	// grants do not cover are not there for fn, whatever it asks. Of the journal
	// it sees what of a record that it sees was written in a class that is
	// granted where the record is now; of the messages that name no scope, those
	// of devices with a grant, of now or before, that meets the reader's regions.
	//
	// Where the lock was not put in, and whoever runs the server was warned of
	// that when the store was opened, it is View.
	ViewAs(ctx context.Context, grants syncproto.Grants, now int64, fn func(Reader) error) error
}
