package sambang

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
	"github.com/sambang-id/sambang/syncproto"
)

// state is what the replica knows of itself and of its server. Readers share
// one; a transaction works on a copy and replaces it after its commit.
type state struct {
	device       deviceState
	link         linkState
	incarnations []incarnation // in order of generations; the last is the present one
	minter       syncproto.Minter
	counts       counts
	seq          uint64 // of the last transaction that changed minter or counts
}

// deviceState is made at the first Open and at enrolment.
type deviceState struct {
	Algorithm string `json:"algorithm"`
	PublicKey []byte `json:"public_key"`
	Seed      []byte `json:"seed,omitempty"` // of the key made here; none if the app signs

	URL         string       `json:"url,omitempty"`
	Pin         []byte       `json:"pin,omitempty"`
	Device      string       `json:"device,omitempty"`
	Server      string       `json:"server,omitempty"`
	ReceiptKeys []receiptKey `json:"receipt_keys,omitempty"`
	Officer     string       `json:"officer,omitempty"`
	OfficerName string       `json:"officer_name,omitempty"`
	Agency      string       `json:"agency,omitempty"`
	Role        string       `json:"role,omitempty"`
	Revoked     bool         `json:"revoked,omitempty"`
	Wipe        bool         `json:"wipe,omitempty"` // ordered, with a good signature
}

type receiptKey struct {
	ID        string `json:"id"`
	PublicKey []byte `json:"public_key"`
}

// linkState is where the exchange with the server stands.
type linkState struct {
	Epoch        []byte `json:"epoch,omitempty"`
	EpochOrdinal uint32 `json:"epoch_ordinal"` // counts the epochs that this file has seen
	// Redirty is set while the records have yet to be marked as to push again
	// after an epoch change; RedirtyFrom is the record where to go on.
	Redirty     bool   `json:"redirty,omitempty"`
	RedirtyFrom []byte `json:"redirty_from,omitempty"`

	WitnessN      uint64       `json:"witness_n,omitempty"`
	WitnessStamp  []byte       `json:"witness_stamp,omitempty"`
	GrantsVersion uint64       `json:"grants_version,omitempty"`
	Grants        []grantState `json:"grants,omitempty"`
	// Offset is server time minus device time, in milliseconds.
	Offset      int64  `json:"offset,omitempty"`
	LastSync    int64  `json:"last_sync,omitempty"` // corrected Unix milliseconds
	NextReceipt uint64 `json:"next_receipt,omitempty"`
}

type grantState struct {
	Region  string   `json:"region"`
	Classes []string `json:"classes"`
	Until   int64    `json:"until,omitempty"`
	Key     []byte   `json:"key,omitempty"`
	// Ended says that the grant has ended by time and that what it alone let
	// this device read is being let go.
	Ended bool `json:"ended,omitempty"`
}

// incarnation is one replica id of this file. For the present one, N and Head
// are the minter's.
type incarnation struct {
	ID         syncproto.ReplicaID `json:"id"`
	Nonce      []byte              `json:"nonce"`
	Generation uint32              `json:"generation"`
	N          uint64              `json:"n,omitempty"`
	Head       []byte              `json:"head,omitempty"`
	// Confirmed is the claim that the server is known to have taken over.
	ConfirmedN    uint64 `json:"confirmed_n,omitempty"`
	ConfirmedHead []byte `json:"confirmed_head,omitempty"`
	// Held is from receipts: the server holds every write up to it.
	HeldN uint64 `json:"held_n,omitempty"`
	// Scanned is up to where the journal was read for records to push. What was
	// written after it needs no entry in bucketDirty.
	Scanned uint64 `json:"scanned,omitempty"`
	// Forked is set when somebody else was proven to write under this id. Its
	// writes that the server had not acknowledged are written again under the
	// present id; Reminting until that is done, from RemintFrom on.
	Forked     bool   `json:"forked,omitempty"`
	Reminting  bool   `json:"reminting,omitempty"`
	RemintFrom []byte `json:"remint_from,omitempty"`
}

// counts for the status bar, kept with each transaction.
type counts struct {
	Records     uint64 `json:"records"`     // shown by List: main, not deleted
	Waiting     uint64 `json:"waiting"`     // records of any kind to push
	Conflicts   uint64 `json:"conflicts"`   // records with conflicts
	Quarantined uint64 `json:"quarantined"` // received, waiting for a decision
	History     uint64 `json:"history"`     // overwritten writes not yet held
	Refetch     uint64 `json:"refetch"`
}

func (c *counts) add(o counts) {
	c.Records += o.Records
	c.Waiting += o.Waiting
	c.Conflicts += o.Conflicts
	c.Quarantined += o.Quarantined
}

func (c *counts) subtract(o counts) {
	c.Records -= min(o.Records, c.Records)
	c.Waiting -= min(o.Waiting, c.Waiting)
	c.Conflicts -= min(o.Conflicts, c.Conflicts)
	c.Quarantined -= min(o.Quarantined, c.Quarantined)
}

// nowState changes with each local write, which keeps it in its journal row;
// other transactions keep it in a row of its own. The greater Seq holds.
type nowState struct {
	Seq    uint64 `json:"seq"`
	N      uint64 `json:"n"`
	Head   []byte `json:"head"`
	Clock  uint64 `json:"clock"`
	Counts counts `json:"counts"`
}

//nolint:gochecknoglobals // keys of rows
var (
	keyDevice       = []byte("device")
	keyLink         = []byte("link")
	keyIncarnations = []byte("incarnations")
	keyNow          = []byte("now")
)

// loadState reads the state; found is false in a new file.
func loadState(tx *cache.Tx) (st state, found bool, err error) {
	var now nowState
	for _, part := range []struct {
		key []byte
		to  any
	}{{keyDevice, &st.device}, {keyLink, &st.link}, {keyIncarnations, &st.incarnations}, {keyNow, &now}} {
		b, err := tx.Get(bucketMeta, part.key)
		if errors.Is(err, cache.ErrNotFound) {
			if part.to == any(&st.device) {
				return state{}, false, nil
			}
			continue // as it was at first: zero
		}
		if err != nil {
			return state{}, false, err
		}
		if err := json.Unmarshal(b, part.to); err != nil {
			return state{}, false, fmt.Errorf("%w: state %q does not parse", cache.ErrDamaged, part.key)
		}
	}
	if len(st.incarnations) == 0 {
		return state{}, false, fmt.Errorf("%w: no replica id", cache.ErrDamaged)
	}
	id := st.present().ID
	last, err := lastJournal(tx, id)
	if err != nil && !errors.Is(err, cache.ErrNotFound) {
		return state{}, false, err
	}
	if last.now.Seq > now.Seq {
		now = last.now
	}
	st.minter = syncproto.ResumeMinter(id, now.N, syncproto.Digest(pad(now.Head)), syncproto.HLC(now.Clock))
	st.counts, st.seq = now.Counts, now.Seq
	return st, true, nil
}

func pad(b []byte) [32]byte {
	var out [32]byte
	copy(out[:], b)
	return out
}

// clone returns a copy whose slices may be changed.
func (s *state) clone() state {
	out := *s
	out.incarnations = slices.Clone(s.incarnations)
	return out
}

func (s *state) present() *incarnation { return &s.incarnations[len(s.incarnations)-1] }

// own returns the incarnation with an id, nil if the id is not one of ours.
func (s *state) own(r syncproto.ReplicaID) *incarnation {
	for i := range s.incarnations {
		if s.incarnations[i].ID == r {
			return &s.incarnations[i]
		}
	}
	return nil
}

// end returns how far the incarnation wrote.
func (s *state) end(in *incarnation) (n uint64, head syncproto.Digest) {
	if in.ID == s.minter.Replica() {
		return s.minter.N(), s.minter.Head()
	}
	return in.N, syncproto.Digest(pad(in.Head))
}

func (s *state) grants() syncproto.Grants { return grantsOf(s.link.Grants) }

func grantsOf(in []grantState) syncproto.Grants {
	out := make(syncproto.Grants, 0, len(in))
	for _, g := range in {
		classes := make([]syncproto.Class, 0, len(g.Classes))
		for _, c := range g.Classes {
			classes = append(classes, syncproto.Class(c))
		}
		out = append(out, syncproto.Grant{Region: syncproto.Region(g.Region), Classes: classes, Until: g.Until})
	}
	return out
}

// now is the part of the state that each local write changes.
func (s *state) now() nowState {
	head := s.minter.Head()
	return nowState{Seq: s.seq, N: s.minter.N(), Head: head[:], Clock: uint64(s.minter.Clock()), Counts: s.counts}
}
