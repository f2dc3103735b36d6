package sambang

import (
	"iter"
	"time"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
	"github.com/sambang-id/sambang/syncproto"
)

// Custody says how far a record is known to be safe, by the server's signed
// receipts alone. Greater is safer.
type Custody int

// The states of custody.
const (
	// CustodyOnPhone: nobody but this device is known to have all of it.
	CustodyOnPhone Custody = iota
	// CustodyReceived: the server has it, and somebody at headquarters must
	// decide before it counts.
	CustodyReceived
	// CustodyHeld: the server has signed that it holds every write of this
	// device on the record.
	CustodyHeld
)

// String returns the stable name: on_phone, received or held.
func (c Custody) String() string { return [...]string{"on_phone", "received", "held"}[c] }

// Text returns the name for people.
func (c Custody) Text() syncproto.Text {
	return [...]syncproto.Text{
		{Indonesian: "Di perangkat ini", English: "On this phone"},
		{Indonesian: "Diterima, menunggu keputusan", English: "Received, awaits a decision"},
		{Indonesian: "Tersimpan di pusat", English: "Held by headquarters"},
	}[c]
}

// custody is held iff every own write in the record is covered by a receipt
// and the record is not put aside.
func (w *row) custody(st *state) Custody {
	if w.quarantined() && w.rec.Context().LessEq(w.aside) {
		return CustodyReceived
	}
	for d := range w.rec.Context().All() {
		in := st.own(d.Replica)
		if in == nil || d.N <= in.HeldN || in.Forked && w.acked.Covers(d) {
			continue // of a forked id, the server's own copy is what counts
		}
		return CustodyOnPhone
	}
	if w.quarantined() {
		return CustodyOnPhone
	}
	return CustodyHeld
}

// Custody returns the custody of a record, the lowest of its parts'.
// Error: [syncproto.CodeNotFound].
func (r *Replica) Custody(id ID) (Custody, error) {
	st, err := r.load()
	if err != nil {
		return 0, err
	}
	d, err := r.read(id)
	if err != nil {
		return 0, err
	}
	worst := CustodyHeld
	for i := range d.parts {
		if w := d.parts[i].row; !w.rec.IsZero() {
			worst = min(worst, w.custody(st))
		}
	}
	return worst, nil
}

// Waiting is one record of the outbox.
type Waiting struct {
	ID      ID // of the main record
	Kind    string
	Class   syncproto.Class // of the part that waits
	Custody Custody
	// Code says why the server put the record aside, "" if it did not.
	Code syncproto.Code
	// Broken says that this copy and the server's contradict each other; the
	// next sync repairs it, and loses nothing.
	Broken bool
}

// Outbox yields what the server does not hold yet: first what waits for a
// sync, in the order of sending, then what it received and put aside. It ends
// after the first error.
func (r *Replica) Outbox() iter.Seq2[Waiting, error] {
	return func(yield func(Waiting, error) bool) {
		out, err := r.outbox()
		for _, w := range out {
			if !yield(w, nil) {
				return
			}
		}
		if err != nil {
			yield(Waiting{}, err)
		}
	}
}

func (r *Replica) outbox() (out []Waiting, err error) {
	st, err := r.load()
	if err != nil {
		return nil, err
	}
	add := func(w *row) {
		id := w.rec.ID()
		if !w.of.IsZero() {
			id = w.of
		}
		out = append(out, Waiting{ID: id, Kind: w.kind, Class: w.scope.Class(), Custody: w.custody(st), Code: w.asideCode, Broken: w.broken})
	}
	err = r.view(func(tx *cache.Tx) error {
		now, _, err := loadState(tx) // of this very state of the file
		if err != nil {
			return err
		}
		for id, err := range waiting(tx, &now, nil) {
			if err != nil {
				return err
			}
			w, err := getRow(tx, id)
			if err != nil {
				return err
			}
			if w == nil {
				continue
			}
			if w.inEpoch(now.link.EpochOrdinal); w.toPush() {
				add(w)
			}
		}
		if st.counts.Quarantined == 0 {
			return nil
		}
		for e, err := range tx.Ascend(bucketRecords, cache.Range{}) {
			if err != nil {
				return err
			}
			h, err := readHeader(tx, syncproto.RecordID(e.Key), e.Value)
			if err != nil {
				return err
			}
			if h.w.aside.IsEmpty() || !h.w.at.isZero() {
				continue
			}
			w, err := h.full()
			if err != nil {
				return err
			}
			if w.inEpoch(st.link.EpochOrdinal); w.quarantined() {
				add(w)
			}
		}
		return nil
	})
	return out, err
}

// Counts are the numbers of a status bar.
type Counts struct {
	Records     int // shown by List with an empty filter
	Waiting     int // parts of records that the next syncs will push
	Quarantined int // received by the server and put aside
	Conflicts   int // parts of records with conflicts
}

// Status is what an app shows of the replica at all times. It costs nothing.
type Status struct {
	Counts
	Enrolled bool
	// Revoked says that the server has revoked this device.
	Revoked bool
	// WipeOrdered says that headquarters wants this device's data destroyed: an
	// order with the server's signature, for this device. It is for the app to
	// obey: delete the key from the keystore, then [Destroy] the files.
	WipeOrdered bool
	// Offline says that the last attempt to reach the server failed. It is
	// false before the first.
	Offline bool
	Syncing bool
	// LastSync is when a sync last ended well, by the server's clock; zero if
	// never.
	LastSync time.Time
	Device   string
	Officer  string
	Agency   string
	Grants   syncproto.Grants
	Replica  syncproto.ReplicaID
	// Plain says that the file is in clear text.
	Plain bool
	// ClockOffset is the server's time minus the device's, as last seen.
	ClockOffset time.Duration
}

// Counts returns the numbers of a status bar.
func (r *Replica) Counts() Counts { return r.Status().Counts }

// Status returns the replica's status, zero after Close.
func (r *Replica) Status() Status {
	st := r.state.Load()
	if st == nil {
		return Status{}
	}
	s := Status{
		Counts: Counts{
			Records: int(st.counts.Records), Waiting: int(st.counts.Waiting), //nolint:gosec // counts of rows
			Quarantined: int(st.counts.Quarantined), Conflicts: int(st.counts.Conflicts), //nolint:gosec // counts of rows
		},
		Enrolled: st.device.Device != "", Revoked: st.device.Revoked, WipeOrdered: st.device.Wipe,
		Device: st.device.Device, Officer: st.device.Officer, Agency: st.device.Agency,
		Grants: st.grants(), Replica: st.minter.Replica(), Plain: r.opts.Plain,
		ClockOffset: time.Duration(st.link.Offset) * time.Millisecond,
		Offline:     r.online.offline.Load(), Syncing: r.online.syncing.Load(),
	}
	if st.link.LastSync != 0 {
		s.LastSync = time.UnixMilli(st.link.LastSync)
	}
	return s
}
