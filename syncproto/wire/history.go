package wire

import "github.com/sambang-id/sambang/syncproto"

// PastWrite is a write that was overwritten before the server saw it.
type PastWrite struct {
	Dot  syncproto.Dot
	Step syncproto.Digest // the write's link of the chain
	// The rest is zero when only the step is told.
	Scope  syncproto.Scope
	Record syncproto.RecordID
	Path   string
	HLC    syncproto.HLC
	Value  syncproto.Value
}

// StepOnly reports whether only the link of the chain is known, not the write.
func (w PastWrite) StepOnly() bool { return w.Record.IsZero() }
