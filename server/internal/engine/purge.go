package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// Actor is who acts at headquarters.
type Actor struct {
	ID     string
	Agency string
}

// Purge erases a record and its companions for ever (4.11): the content goes
// from the state and from the journal, whose hashes stay; devices that hold
// it are told to evict it. The reason is kept with the
// record's skeleton and must name no person.
//
// The error wraps store.ErrNotFound if no such record is live.
func (e *Engine) Purge(ctx context.Context, by Actor, id syncproto.RecordID, reason string, now int64) error {
	ids := []syncproto.RecordID{id, syncproto.CompanionID(id, syncproto.ClassTask), syncproto.CompanionID(id, syncproto.ClassHQ)}
	var rows []store.Row
	err := e.store.View(ctx, func(r store.Reader) (err error) {
		rows, err = r.Live(ids)
		return err
	})
	if err != nil {
		return fmt.Errorf("purge: find the record: %w", err)
	}
	// The record first, on every engine: rows come in any order.
	slices.SortFunc(rows, func(a, b store.Row) int { return slices.Index(ids, a.ID) - slices.Index(ids, b.ID) })
	if len(rows) == 0 || rows[0].ID != id {
		return fmt.Errorf("purge record %s: %w", id, store.ErrNotFound)
	}
	for _, row := range rows {
		if err := e.purgeIn(ctx, by, row.ID, row.Scope, reason, now, 0); err != nil {
			return fmt.Errorf("purge record %s: %w", row.ID, err)
		}
	}
	return nil
}

func (e *Engine) purgeIn(ctx context.Context, by Actor, id syncproto.RecordID, scope syncproto.Scope, reason string, now int64, hops int) error {
	moved := false
	err := e.update(ctx, store.Step{Scopes: []string{string(scope)}, Do: func(tx store.Tx) ([]store.Step, error) {
		rows, err := tx.Records(scope, []syncproto.RecordID{id})
		if err != nil {
			return nil, err
		}
		if moved = len(rows) == 0 || rows[0].MovedTo != ""; moved {
			return nil, nil
		}
		cur, err := decodeCurrent(rows[0])
		if err != nil || cur.record.IsPurged() {
			return nil, err
		}
		head, err := tx.Head(scope)
		if err != nil {
			return nil, err
		}
		err = e.mint(now, func(m syncproto.Minter) (_ syncproto.Minter, err error) {
			cur.record, m, _, err = syncproto.Purge(cur.record, m, now, syncproto.MustValue(map[string]string{"by": by.ID, "reason": reason}))
			return m, err
		})
		if err != nil {
			return nil, err
		}
		ops, err := wire.EncodeChange(cur.record.DeltaOf(func(path string) bool {
			return path == syncproto.PathDel || path == syncproto.PathPurge
		}))
		if err != nil {
			return nil, err
		}
		cur.row.Seq, cur.row.UpdatedAt, cur.stamps = head+1, now, nil
		if err := e.fill(cur); err != nil {
			return nil, err
		}
		if err := tx.Put(scope, []store.Row{cur.row}); err != nil {
			return nil, err
		}
		if err := tx.Erase(scope, id); err != nil {
			return nil, err
		}
		return nil, tx.Append(scope, []store.Change{newChange(scope, head+1, id, ops, "", by.ID, by.Agency, now)})
	}})
	if err != nil || !moved {
		return err
	}
	if hops >= maxHops {
		return store.ErrBusy
	}
	rows, err := e.live(ctx, id)
	if err != nil || len(rows) == 0 {
		return err
	}
	return e.purgeIn(ctx, by, id, rows[0].Scope, reason, now, hops+1)
}

func (e *Engine) live(ctx context.Context, id syncproto.RecordID) (rows []store.Row, err error) {
	err = e.store.View(ctx, func(r store.Reader) (err error) {
		rows, err = r.Live([]syncproto.RecordID{id})
		return err
	})
	return rows, err
}
