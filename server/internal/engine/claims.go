package engine

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"slices"

	"github.com/sambang-id/sambang/internal/ablate"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// opening is a checked Open.
type opening struct {
	open   *wire.Open
	claims []claim
}

type claim struct {
	replica       syncproto.ReplicaID
	keyNonce      [16]byte
	n             uint64
	head          syncproto.Digest
	confirmed     uint64
	confirmedHead syncproto.Digest
}

// checkOpen refuses an Open that no honest device sends.
func checkOpen(dev store.Device, open *wire.Open) (opening, error) {
	o := opening{open: open}
	switch {
	case open == nil:
		return o, syncproto.Errorf(syncproto.CodeMalformed, "the first frame is not an Open")
	case open.GetVersion() != wire.Version:
		return o, syncproto.Errorf(syncproto.CodeUnsupportedVersion, "protocol version %d, this server speaks %d", open.GetVersion(), wire.Version)
	case len(open.GetNonce()) != 16:
		return o, syncproto.Errorf(syncproto.CodeMalformed, "nonce of %d bytes, want 16", len(open.GetNonce()))
	case len(open.GetEpoch()) != 0 && len(open.GetEpoch()) != 16:
		return o, syncproto.Errorf(syncproto.CodeMalformed, "epoch of %d bytes, want 16", len(open.GetEpoch()))
	case open.GetWitness().GetN() != 0 && len(open.GetWitness().GetStamp()) != 16:
		return o, syncproto.Errorf(syncproto.CodeMalformed, "witness stamp of %d bytes, want 16", len(open.GetWitness().GetStamp()))
	case len(open.GetClaims()) > syncproto.MaxClaims:
		return o, syncproto.Errorf(syncproto.CodeTooMany, "%d claims, at most %d", len(open.GetClaims()), syncproto.MaxClaims)
	case len(open.GetCursors()) > syncproto.MaxCursors:
		return o, syncproto.Errorf(syncproto.CodeTooMany, "%d cursors, at most %d", len(open.GetCursors()), syncproto.MaxCursors)
	case len(open.GetRefetch()) > syncproto.MaxRefetch:
		return o, syncproto.Errorf(syncproto.CodeTooMany, "%d records to refetch, at most %d", len(open.GetRefetch()), syncproto.MaxRefetch)
	case len(open.GetHeads()) > 0:
		return o, syncproto.Errorf(syncproto.CodeUnsupportedVersion, "relayed heads are not part of version %d", wire.Version)
	}
	for _, c := range open.GetClaims() {
		k, err := checkClaim(dev, c)
		if err != nil {
			return o, err
		}
		if slices.ContainsFunc(o.claims, func(x claim) bool { return x.replica == k.replica }) {
			return o, syncproto.Errorf(syncproto.CodeMalformed, "two claims for replica %s", k.replica)
		}
		o.claims = append(o.claims, k)
	}
	if len(o.claims) > 0 {
		signed := wire.ClaimBytes(dev.ID, open.GetNonce(), open.GetEpoch(), open.GetClaims())
		if !verify(dev, signed, open.GetClaimSignature()) {
			return o, syncproto.Errorf(syncproto.CodeClaimInvalid, "the signature does not fit the claims")
		}
	}
	for _, id := range open.GetRefetch() {
		if len(id) != 16 {
			return o, syncproto.Errorf(syncproto.CodeBadID, "record id of %d bytes, want 16", len(id))
		}
	}
	for _, c := range open.GetCursors() {
		if _, err := syncproto.ParseScope(c.GetScope()); err != nil {
			return o, err
		}
	}
	return o, nil
}

func checkClaim(dev store.Device, c *wire.Claim) (claim, error) {
	k := claim{replica: syncproto.ReplicaID(c.GetReplica()), n: c.GetN(), confirmed: c.GetConfirmedN()}
	switch {
	case len(c.GetKeyNonce()) != 16 || len(c.GetHead()) != 32 || k.confirmed > 0 && len(c.GetConfirmedHead()) != 32:
		return k, syncproto.Errorf(syncproto.CodeMalformed, "claim with a nonce or head of wrong length")
	case k.n > syncproto.MaxCounter || k.confirmed > k.n:
		return k, syncproto.Errorf(syncproto.CodeMalformed, "claim with impossible counters")
	}
	copy(k.keyNonce[:], c.GetKeyNonce())
	copy(k.head[:], c.GetHead())
	copy(k.confirmedHead[:], c.GetConfirmedHead())
	if k.replica == 0 || syncproto.NewReplicaID(dev.PublicKey, k.keyNonce) != k.replica {
		return k, syncproto.Errorf(syncproto.CodeReplicaNotYours, "replica %s is not derived from the device's key", k.replica)
	}
	return k, nil
}

// verify checks a signature by the device key, in the device's one algorithm.
func verify(dev store.Device, message, signature []byte) bool {
	switch dev.Algorithm {
	case "EdDSA":
		return len(dev.PublicKey) == ed25519.PublicKeySize && ed25519.Verify(dev.PublicKey, message, signature)
	case "ES256":
		key, err := x509.ParsePKIXPublicKey(dev.PublicKey)
		if err != nil {
			return false
		}
		pub, ok := key.(*ecdsa.PublicKey)
		sum := sha256.Sum256(message)
		return ok && ecdsa.VerifyASN1(pub, sum[:], signature)
	}
	return false
}

// refusal ends an exchange before anything of it was applied: the device must
// adopt an epoch or answer for its chain first.
type refusal struct {
	status wire.Status
	chain  []*wire.Head
	// rolledBack is set when the device showed a witness that this store never
	// gave: the store was rolled back, and its epoch must change.
	rolledBack bool
}

func (r *refusal) Error() string { return "exchange refused: " + r.status.String() }

// judge compares what the device says with what the store knows (4.4). It
// returns a *refusal as the error if they disagree, and otherwise the rows of
// the device's replicas with the claims taken over, of which changed must be
// stored.
func (e *Engine) judge(dev store.Device, o opening, epoch store.Epoch, witnesses []store.Witness, known []store.Replica) (replicas map[syncproto.ReplicaID]store.Replica, changed []store.Replica, err error) {
	w := o.open.GetWitness()
	// Stamps that were forgotten prove nothing: a device could collect one for
	// later, and make everybody push everything again.
	forgotten := len(witnesses) == store.KeepWitnesses && w.GetN() < witnesses[len(witnesses)-1].N
	unknown := !ablate.Off(ablate.A06Witness) && w.GetN() > 0 && !forgotten && !slices.ContainsFunc(witnesses, func(x store.Witness) bool {
		return x.N == w.GetN() && (ablate.Off(ablate.A07Stamp) || string(x.Stamp[:]) == string(w.GetStamp()))
	})
	// Only a stamp that this server's key made proves a rollback: nobody else
	// may send every device into a new epoch.
	proven := unknown && e.stamped(dev.ID, w.GetN(), w.GetStamp())
	switch {
	case len(o.open.GetEpoch()) > 0 && string(o.open.GetEpoch()) != string(epoch.ID[:]):
		// The store may have been put back to before its first epoch: then its
		// present one does not know that there is something to recover.
		return nil, nil, &refusal{status: wire.Status_STATUS_EPOCH, rolledBack: proven && !epoch.Recovering}
	case proven:
		return nil, nil, &refusal{status: wire.Status_STATUS_EPOCH, rolledBack: true}
	case unknown:
		return nil, nil, syncproto.Errorf(syncproto.CodeClaimInvalid, "witness %d was not given by this server", w.GetN())
	}
	replicas = make(map[syncproto.ReplicaID]store.Replica, len(known))
	for _, r := range known {
		replicas[r.ID] = r
	}
	var contested []*wire.Head
	for _, c := range o.claims {
		r, ok := replicas[c.replica]
		if !ok {
			r = store.Replica{ID: c.replica, KeyNonce: c.keyNonce, HeldHead: syncproto.ChainStart(c.replica), ClaimedHead: syncproto.ChainStart(c.replica)}
		}
		switch {
		case ablate.Off(ablate.A04Fence):
		case c.confirmed != r.ClaimedN, r.ClaimedN > 0 && c.confirmedHead != r.ClaimedHead, c.n < r.ClaimedN:
			contested = append(contested, &wire.Head{Replica: uint64(r.ID), N: r.ClaimedN, Head: r.ClaimedHead[:]})
			continue
		case c.n > r.ClaimedN+syncproto.MaxCounterJump:
			return nil, nil, syncproto.Errorf(syncproto.CodeCounterJump, "replica %s claims %d writes after %d", c.replica, c.n, r.ClaimedN)
		}
		if !ok || c.n > r.ClaimedN {
			r.ClaimedN, r.ClaimedHead = c.n, c.head
			changed = append(changed, r)
		} else if !ablate.Off(ablate.A04Fence) && c.n == r.ClaimedN && c.n > 0 && c.head != r.ClaimedHead {
			contested = append(contested, &wire.Head{Replica: uint64(r.ID), N: r.ClaimedN, Head: r.ClaimedHead[:]})
			continue
		}
		replicas[c.replica] = r
	}
	if len(contested) > 0 {
		return nil, nil, &refusal{status: wire.Status_STATUS_CHAIN, chain: contested}
	}
	return replicas, changed, nil
}
