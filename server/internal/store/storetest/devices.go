package storetest

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"github.com/google/go-cmp/cmp"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

func deviceCases() []testCase {
	return []testCase{
		{"replica ids keep what was claimed and what is held", replicas},
		{"a replica id belongs to one device", foreignReplica},
		{"pending chain steps are kept in order and never rewritten", chainSteps},
		{"the last 64 witnesses are kept", witnesses},
		{"receipts and what a device said are kept", receipts},
		{"the epoch is replaced exactly once", epochs},
		{"authors are named by their replica ids", authors},
	}
}

func replica(n uint64) store.Replica {
	r := syncproto.ReplicaID(n)
	return store.Replica{
		ID: r, KeyNonce: [16]byte{byte(n), 15: 1}, ClaimedN: n, ClaimedHead: digest(fmt.Sprint("claimed ", n)), HeldHead: syncproto.ChainStart(r),
	}
}

// status is what is known of device-1.
func (b *bench) status() (s store.DeviceStatus) {
	b.Helper()
	b.view(func(r store.Reader) (err error) {
		s, err = r.DeviceStatus("device-1")
		return err
	})
	return s
}

// replicas: what is claimed minus what is held is what is still on a phone.
// Both are compared with what the phone says, to the bit.
func replicas(b *bench) {
	const dev = "device-1"
	b.must(b.update(store.RegistryScope, func(tx store.Tx) error { return tx.PutDevice(device(dev)) }))
	want := []store.Replica{replica(1), replica(2), {
		ID: math.MaxUint64, KeyNonce: [16]byte{0xff}, ClaimedN: syncproto.MaxCounter, ClaimedHead: digest("c"), HeldN: syncproto.MaxCounter - 1, HeldHead: digest("h"), Broken: true,
	}}
	b.must(b.update(store.DeviceScope(dev), func(tx store.Tx) error { return tx.PutReplicas(dev, want) }))
	want[0].ClaimedN, want[0].HeldN, want[0].HeldHead = 5, 4, digest("4")
	b.must(b.update(store.DeviceScope(dev), func(tx store.Tx) error {
		if err := tx.PutReplicas(dev, want[:1]); err != nil {
			return err
		}
		got, err := tx.Replicas(dev)
		slices.SortFunc(got, func(x, y store.Replica) int { return slices.Compare(key(x), key(y)) })
		if diff := cmp.Diff(want, got); diff != "" {
			b.Errorf("replicas (-want +got):\n%s", diff)
		}
		return err
	}))
	if got := b.status(); len(got.Replicas) != 3 {
		b.Errorf("status has %d replicas", len(got.Replicas))
	}
}

func key(r store.Replica) []byte { return binary.BigEndian.AppendUint64(nil, uint64(r.ID)) }

// foreignReplica: who writes under another's id writes his history.
func foreignReplica(b *bench) {
	b.must(b.update(store.DeviceScope("device-1"), func(tx store.Tx) error { return tx.PutReplicas("device-1", []store.Replica{replica(1)}) }))
	stolen := replica(1)
	stolen.ClaimedN = 99
	b.must(b.update(store.DeviceScope("device-2"), func(tx store.Tx) error {
		b.wants(tx.PutReplicas("device-2", []store.Replica{replica(2), stolen}), store.ErrExists)
		got, err := tx.Replicas("device-2")
		if len(got) != 0 {
			b.Errorf("the refused call left %v", got)
		}
		return err
	}))
	b.must(b.update(store.DeviceScope("device-1"), func(tx store.Tx) error {
		got, err := tx.Replicas("device-1")
		if diff := cmp.Diff([]store.Replica{replica(1)}, got); diff != "" {
			b.Errorf("replicas of the owner (-want +got):\n%s", diff)
		}
		return err
	}))
}

// chainSteps: a step that comes twice with another digest is a second history
// under one id. It must be seen, not overwritten.
func chainSteps(b *bench) {
	const dev = "device-1"
	scope := store.DeviceScope(dev)
	step := func(n uint64) store.ChainStep { return store.ChainStep{N: n, Step: digest(fmt.Sprint("step ", n))} }
	b.must(b.update(scope, func(tx store.Tx) error {
		r := replica(1)
		r.ClaimedN = syncproto.MaxCounter
		other := replica(2)
		return tx.PutReplicas(dev, []store.Replica{r, other})
	}))
	b.must(b.update(scope, func(tx store.Tx) error {
		conflicts, err := tx.PutSteps(dev, 1, []store.ChainStep{step(9), step(3), step(syncproto.MaxCounter), step(5)})
		if err != nil || len(conflicts) != 0 {
			b.Errorf("fresh steps: conflicts %v, %v", conflicts, err)
		}
		_, err = tx.PutSteps(dev, 2, []store.ChainStep{step(1)})
		return err
	}))
	b.must(b.update(scope, func(tx store.Tx) error {
		forged := store.ChainStep{N: 5, Step: digest("another history")}
		conflicts, err := tx.PutSteps(dev, 1, []store.ChainStep{step(3), forged, step(4)})
		if err != nil || !slices.Equal(conflicts, []uint64{5}) {
			b.Errorf("conflicts %v, %v, want [5]", conflicts, err)
		}
		for _, c := range []struct {
			above uint64
			limit int
			want  []store.ChainStep
		}{
			{0, 100, []store.ChainStep{step(3), step(4), step(5), step(9), step(syncproto.MaxCounter)}},
			{3, 2, []store.ChainStep{step(4), step(5)}},
			{syncproto.MaxCounter, 9, nil},
		} {
			got, err := tx.Steps(dev, 1, c.above, c.limit)
			if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
				b.Errorf("steps above %d (-want +got): %v\n%s", c.above, err, diff)
			}
		}
		return nil
	}))
	b.must(b.update(scope, func(tx store.Tx) error {
		if err := tx.DropSteps(dev, 1, 5); err != nil {
			return err
		}
		left, err := tx.Steps(dev, 1, 0, 100)
		if diff := cmp.Diff([]store.ChainStep{step(9), step(syncproto.MaxCounter)}, left); diff != "" {
			b.Errorf("steps left (-want +got):\n%s", diff)
		}
		others, oerr := tx.Steps(dev, 2, 0, 100)
		if len(others) != 1 || oerr != nil {
			b.Errorf("steps of another replica: %v, %v", others, oerr)
		}
		return err
	}))
}

// witnesses: with the last one alone, a replayed old request would hide that
// the store was rolled back.
func witnesses(b *bench) {
	const dev, n = "device-1", 150
	scope := store.DeviceScope(dev)
	w := func(i uint64) store.Witness {
		return store.Witness{N: i, Stamp: [16]byte{byte(i), byte(i >> 8), 15: 1}}
	}
	for i := range uint64(n) {
		b.must(b.update(scope, func(tx store.Tx) error { return tx.PutWitness(dev, w(i+1)) }))
	}
	b.must(b.update(store.DeviceScope("device-2"), func(tx store.Tx) error { return tx.PutWitness("device-2", w(1)) }))
	b.wants(b.update(scope, func(tx store.Tx) error { return tx.PutWitness(dev, store.Witness{N: n, Stamp: [16]byte{9}}) }), store.ErrExists)
	var kept []store.Witness
	b.must(b.s.Update(b.Context(), store.Step{Scopes: []string{scope, store.DeviceScope("device-2")}, Do: func(tx store.Tx) ([]store.Step, error) {
		got, err := tx.Witnesses(dev)
		var want []store.Witness
		for i := range uint64(store.KeepWitnesses) {
			want = append(want, w(n-i))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			b.Errorf("witnesses (-want +got):\n%s", diff)
		}
		kept = want
		others, oerr := tx.Witnesses("device-2")
		if len(others) != 1 || oerr != nil {
			b.Errorf("witnesses of another device: %v, %v", others, oerr)
		}
		return nil, err
	}}))
	b.must(b.update(store.RegistryScope, func(tx store.Tx) error { return tx.PutDevice(device(dev)) }))
	if diff := cmp.Diff(kept, b.status().Witnesses); diff != "" {
		b.Errorf("witnesses in the status (-want +got):\n%s", diff)
	}
}

// receipts: the signed word of the server, as it was given, newest first.
func receipts(b *bench) {
	const dev = "device-1"
	b.must(b.update(store.RegistryScope, func(tx store.Tx) error { return tx.PutDevice(device(dev)) }))
	if got := b.status(); got.Seen != (store.Seen{}) || len(got.Replicas) != 0 {
		b.Errorf("status of a device that never called: %+v", got)
	}
	var want []store.Receipt
	for n := range uint64(5) {
		r := store.Receipt{N: n + 1, Body: []byte{byte(n), 0, 0xff}, Signature: []byte{1, 2, byte(n)}, Key: "key-1", At: int64(n)} //nolint:gosec // small
		want = append(want, r)
		b.must(b.update(store.DeviceScope(dev), func(tx store.Tx) error {
			if err := tx.PutSeen(dev, store.Seen{At: int64(n), App: "1.2 (é)", Waiting: n, SkewMillis: -int64(n)}); err != nil { //nolint:gosec // small
				return err
			}
			return tx.PutReceipt(dev, r)
		}))
	}
	b.wants(b.update(store.DeviceScope(dev), func(tx store.Tx) error { return tx.PutReceipt(dev, store.Receipt{N: 3}) }), store.ErrExists)
	slices.Reverse(want)
	b.view(func(r store.Reader) error {
		got, err := r.Receipts(dev, 3)
		if diff := cmp.Diff(want[:3], got); diff != "" {
			b.Errorf("receipts (-want +got):\n%s", diff)
		}
		return err
	})
	if got, want := b.status().Seen, (store.Seen{At: 4, App: "1.2 (é)", Waiting: 4, SkewMillis: -4}); got != want {
		b.Errorf("seen %+v, want %+v", got, want)
	}
}

// epochs: forty phones show at once that the store was rolled back. One new
// epoch begins; forty would make every phone send everything forty times.
func epochs(b *bench) {
	var first store.Epoch
	b.view(func(r store.Reader) (err error) {
		first, err = r.Epoch()
		return err
	})
	if first != (store.Epoch{}) {
		b.Errorf("epoch of a fresh store: %+v", first)
	}
	replace := func(old [16]byte, with store.Epoch) (done bool, now store.Epoch, err error) {
		err = b.update(store.EpochScope, func(tx store.Tx) error {
			if done, err = tx.SetEpoch(old, with); err != nil {
				return err
			}
			now, err = tx.Epoch()
			return err
		})
		return done, now, err
	}
	for round := range byte(3) {
		var old store.Epoch
		b.view(func(r store.Reader) (err error) {
			old, err = r.Epoch()
			return err
		})
		var won atomic.Int32
		b.together(40, func(i int) error {
			with := store.Epoch{ID: [16]byte{round + 1, byte(i)}, Since: int64(round), Recovering: round > 0}
			done, now, err := replace(old.ID, with)
			if done {
				won.Add(1)
			}
			if err == nil && (done && now != with || now.ID == old.ID) {
				err = fmt.Errorf("after replacing (%v): %+v", done, now)
			}
			return err
		})
		if won.Load() != 1 {
			b.Errorf("%d callers began an epoch", won.Load())
		}
	}
}

// authors: a sibling is shown with who wrote it.
func authors(b *bench) {
	one, two := device("device-1"), device("device-2")
	one.Officer, two.Agency = "officer-1", "polri"
	b.must(b.update(store.RegistryScope, func(tx store.Tx) error {
		if err := tx.PutDevice(one); err != nil {
			return err
		}
		return tx.PutDevice(two)
	}))
	b.must(b.s.Update(b.Context(),
		step(store.DeviceScope("device-1"), func(tx store.Tx) error {
			return tx.PutReplicas("device-1", []store.Replica{replica(1), replica(2)})
		}),
		step(store.DeviceScope("device-2"), func(tx store.Tx) error { return tx.PutReplicas("device-2", []store.Replica{replica(3)}) })))
	b.view(func(r store.Reader) error {
		got, err := r.Authors([]syncproto.ReplicaID{3, 1, 99})
		slices.SortFunc(got, func(x, y store.Author) int { return int(x.Replica) - int(y.Replica) }) //nolint:gosec // small
		want := []store.Author{
			{Replica: 1, Device: "device-1", Officer: one.Officer, Agency: one.Agency},
			{Replica: 3, Device: "device-2", Officer: two.Officer, Agency: two.Agency},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			b.Errorf("authors (-want +got):\n%s", diff)
		}
		return err
	})
}
