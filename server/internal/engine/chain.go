package engine

import (
	"crypto/sha256"
	"maps"
	"slices"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// stepsPage is how many pending chain steps are read at a time.
const stepsPage = 1000

// progress advances, per replica of the device, the highest n up to which
// every write is held, recomputing the chain from the writes' digests. Steps
// beyond a gap wait.
func (p *push) progress(tx store.Tx, b *batch) error {
	fresh := map[syncproto.ReplicaID][]store.ChainStep{}
	for r, steps := range b.steps {
		fresh[r] = append(fresh[r], steps...)
	}
	for _, it := range b.items {
		for _, s := range it.steps {
			fresh[s.replica] = append(fresh[s.replica], s.step)
		}
	}
	known, err := tx.Replicas(p.dev.ID)
	if err != nil {
		return err
	}
	rows := make(map[syncproto.ReplicaID]store.Replica, len(known))
	for _, r := range known {
		rows[r.ID] = r
	}
	var changed []store.Replica
	for _, id := range slices.Sorted(maps.Keys(fresh)) {
		r, ok := rows[id]
		if !ok || r.Broken {
			continue
		}
		advanced, err := p.advance(tx, r, fresh[id])
		if err != nil {
			return err
		}
		if advanced != r {
			changed = append(changed, advanced)
			p.replicas[id] = advanced
		}
	}
	if len(changed) == 0 {
		return nil
	}
	return tx.PutReplicas(p.dev.ID, changed)
}

func (p *push) advance(tx store.Tx, r store.Replica, fresh []store.ChainStep) (store.Replica, error) {
	slices.SortFunc(fresh, byN)
	held := r
	var beyond []store.ChainStep
	take := func(s store.ChainStep) bool {
		if s.N != held.HeldN+1 {
			return false
		}
		held.HeldN, held.HeldHead = s.N, syncproto.Chain(held.HeldHead, s.Step)
		return true
	}
	for _, s := range fresh {
		if s.N > held.HeldN && !take(s) {
			beyond = append(beyond, s)
		}
	}
	if len(beyond) > 0 {
		conflicting, err := tx.PutSteps(p.dev.ID, r.ID, slices.CompactFunc(beyond, func(a, b store.ChainStep) bool { return a == b }))
		if err != nil {
			return r, err
		}
		if len(conflicting) > 0 {
			// One counter, two contents: the device has told two stories.
			r.Broken = true
			return r, nil
		}
	}
	for more := r.HeldN < r.ClaimedN; more; {
		pending, err := tx.Steps(p.dev.ID, r.ID, held.HeldN, stepsPage)
		if err != nil {
			return r, err
		}
		more = len(pending) == stepsPage
		for _, s := range pending {
			if !take(s) {
				more = false
				break
			}
		}
	}
	if held.HeldN == r.HeldN {
		return r, nil
	}
	if held.HeldN == held.ClaimedN && held.HeldHead != held.ClaimedHead {
		r.Broken = true
		return r, nil
	}
	return held, tx.DropSteps(p.dev.ID, r.ID, held.HeldN)
}

// change makes the journal entry of a device's change.
func (p *push) change(scope syncproto.Scope, seq uint64, id syncproto.RecordID, ops []byte) store.Change {
	return newChange(scope, seq, id, ops, p.dev.ID, p.dev.Officer, p.dev.Agency, p.now)
}

func newChange(scope syncproto.Scope, seq uint64, id syncproto.RecordID, ops []byte, device, officer, agency string, now int64) store.Change {
	return store.Change{
		Scope: scope, Seq: seq, ID: id, Device: device, Officer: officer, Agency: agency,
		Ops: ops, Digest: sha256.Sum256(ops), At: now,
	}
}

// ran notes a run of own plain changes.
func (p *push) ran(scope syncproto.Scope, from, to uint64) {
	if r, ok := p.heads[scope]; ok && r.To == from {
		from = r.From
	}
	p.heads[scope] = ownRun{from, to}
}
