package store

import (
	"iter"

	"github.com/sambang-id/sambang/syncproto"
)

// Reader reads what is committed.
type Reader interface {
	FeedReader
	LogReader
	RegistryReader
}

// FeedReader serves pulls.
type FeedReader interface {
	HeadReader
	// Epoch returns the store's epoch.
	Epoch() (Epoch, error)
	// Feed yields the rows and markers of the scope with after < seq <= upTo
	// in order of seq, damaged ones among them. It stops at the first error,
	// which it yields.
	Feed(scope syncproto.Scope, after, upTo uint64) iter.Seq2[Row, error]
	// Live returns the live rows of ids, wherever they are, in any order; a
	// damaged row only if its id has no sound live one.
	Live(ids []syncproto.RecordID) ([]Row, error)
	// Authors returns who wrote under those of the replica ids that devices
	// have claimed, in any order. Names that are damaged keep no value from
	// being read: such an author has no names, and says so.
	Authors(ids []syncproto.ReplicaID) ([]Author, error)
}

// Author is who wrote under a replica id.
type Author struct {
	Replica syncproto.ReplicaID
	Device  string
	Officer string
	Agency  string
	// Damaged says that there is an author, whose names can't be read.
	Damaged bool
}

// Head is a scope and the sequence of its last change.
type Head struct {
	Scope syncproto.Scope
	Seq   uint64
}

// LogReader serves headquarters.
type LogReader interface {
	// Log returns live rows that the filter selects, newest first, after the
	// key of the last row of the page before; at most limit. Over the pages of
	// one reading no key comes twice, and a row that did not change since the
	// first page comes exactly once. One that changed has a newer key: it is
	// at the front when the log is read anew.
	Log(f Filter, after *LogKey, limit int) ([]Row, error)
	// Changes yields a record's journal entries in all scopes, in order of
	// time, then scope and seq.
	Changes(id syncproto.RecordID) iter.Seq2[Change, error]
	// PastWrites yields a record's overwritten writes, in order of HLC, then
	// replica and counter.
	PastWrites(id syncproto.RecordID) iter.Seq2[PastWrite, error]
	// Companions returns the live companion rows of a record.
	Companions(id syncproto.RecordID) ([]Row, error)
	// Inbox returns quarantined messages whose scope lies in region ("" for
	// all), newest first, at most limit, after the key of the last one before.
	Inbox(region syncproto.Region, after *syncproto.Digest, limit int) ([]Quarantined, error)
	// Message returns one quarantined message, or ErrNotFound.
	Message(key syncproto.Digest) (Quarantined, error)
	// Stats returns counts for metrics and checks.
	Stats() (Stats, error)
}

// Filter selects rows of the log. Empty fields select all.
type Filter struct {
	// Grants are what the reader may see; nothing outside is returned.
	Grants syncproto.Grants
	// Now is the time at which the grants are judged, in Unix milliseconds.
	Now     int64
	Region  syncproto.Region
	Kind    string
	Agency  string
	From    int64 // updated at or after, Unix milliseconds
	To      int64 // updated before
	Deleted bool  // with deleted records
}

// LogKey is the position of a row in the log: (updated_at, scope, seq),
// descending.
type LogKey struct {
	UpdatedAt int64
	Scope     syncproto.Scope
	Seq       uint64
}

// Stats are counts over the whole store: live records, journal entries, open
// messages of the inbox, devices, fields in conflict, scopes with rows.
type Stats struct {
	Records, Changes, Quarantined, Devices uint64
	Conflicts                              uint64
	Scopes                                 uint64
	// Damaged counts the damaged rows that were come upon since the store was
	// opened; only Check looks at all of them.
	Damaged uint64
}

// RegistryReader serves authentication and the list of devices.
type RegistryReader interface {
	Device(id string) (Device, error)
	Officer(id string) (Officer, error)
	// Devices and Officers return all of them, in order of id, by bytes.
	Devices() ([]DeviceStatus, error)
	// DeviceStatus returns one device with what is known of its sync.
	DeviceStatus(id string) (DeviceStatus, error)
	Officers() ([]Officer, error)
	// Receipts returns a device's receipts, newest first, at most limit.
	Receipts(device string, limit int) ([]Receipt, error)
}

// DeviceStatus is a device and what is known of its sync: the difference of
// claimed and held is what exists and is not here.
type DeviceStatus struct {
	Device   Device
	Replicas []Replica
	Seen     Seen
	// Witnesses are the last stamps given to the device, newest first; only
	// DeviceStatus fills them.
	Witnesses []Witness
}
