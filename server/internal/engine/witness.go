package engine

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/sambang-id/sambang/server/internal/store"
)

// A witness is (n, stamp), stored with the device in the transaction of what
// the response vouches for (I13). The stamp is 8 random bytes and 8 of their
// MAC: random, because after a rollback the numbers grow again past what the
// device holds (A07), and authenticated, because showing an unknown stamp
// makes the store change its epoch.

func (e *Engine) newWitness(dev string, last []store.Witness) (store.Witness, error) {
	w := store.Witness{N: 1}
	if len(last) > 0 {
		w.N = last[0].N + 1
	}
	if _, err := io.ReadFull(e.rand, w.Stamp[:8]); err != nil {
		return w, fmt.Errorf("draw a stamp: %w", err)
	}
	copy(w.Stamp[8:], e.stampMAC(dev, w.N, w.Stamp[:8]))
	return w, nil
}

func (e *Engine) stamped(dev string, n uint64, stamp []byte) bool {
	return len(stamp) == 16 && hmac.Equal(stamp[8:], e.stampMAC(dev, n, stamp[:8]))
}

func (e *Engine) stampMAC(dev string, n uint64, random []byte) []byte {
	h := hmac.New(sha256.New, e.config.ProjectKey)
	h.Write([]byte("sambang-witness"))
	h.Write(binary.BigEndian.AppendUint64(nil, n))
	h.Write(random)
	h.Write([]byte(dev))
	return h.Sum(nil)[:8]
}

// newEpoch replaces the epoch old, once however many callers saw the
// rollback, and returns the one that holds now.
func (e *Engine) newEpoch(ctx context.Context, old [16]byte, now int64) (store.Epoch, error) {
	id, err := e.random16()
	if err != nil {
		return store.Epoch{}, err
	}
	var holds store.Epoch
	next := store.Epoch{ID: id, Since: now, Recovering: old != [16]byte{}}
	err = e.update(ctx, store.Step{Scopes: []string{store.EpochScope}, Do: func(tx store.Tx) ([]store.Step, error) {
		if _, err := tx.SetEpoch(old, next); err != nil {
			return nil, err
		}
		var err error
		holds, err = tx.Epoch()
		return nil, err
	}})
	if err != nil {
		return store.Epoch{}, fmt.Errorf("begin a new epoch: %w", err)
	}
	if holds.Recovering {
		e.logger.Warn("the store was rolled back: new epoch", "since", holds.Since)
	}
	return holds, nil
}

// BeginEpoch starts a new epoch on purpose: the operator restored a backup.
func (e *Engine) BeginEpoch(ctx context.Context, now int64) error {
	var old store.Epoch
	err := e.store.View(ctx, func(r store.Reader) (err error) {
		old, err = r.Epoch()
		return err
	})
	if err != nil {
		return fmt.Errorf("read the epoch: %w", err)
	}
	_, err = e.newEpoch(ctx, old.ID, now)
	return err
}
