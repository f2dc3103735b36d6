package sqlite

import (
	"encoding/hex"
	"fmt"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/tables"
	"github.com/sambang-id/sambang/syncproto"
)

// Quarantine implements [store.RecordTx]. A message that came by another scope
// before is the same message.
func (t *tx) Quarantine(scope string, items []store.Quarantined) error {
	if err := t.holds(scope); err != nil {
		return err
	}
	for i := range items {
		q := &items[i]
		if q.Scope != "" && q.Scope != scope {
			return t.keep(fmt.Errorf("message of scope %q in scope %q: %w", q.Scope, scope, store.ErrScope))
		}
		t.rows++
		if _, err := t.exec(`INSERT INTO quarantine (`+quarantineTable.list+`) SELECT `+quarantineTable.slots+`
			WHERE NOT EXISTS (SELECT 1 FROM quarantine WHERE key = ?)`, append(tables.Message(scope, q), q.Key[:])...); err != nil {
			return fmt.Errorf("quarantine a message of device %q: %w", q.Device, err)
		}
	}
	return nil
}

// SetQuarantineState implements [store.RecordTx].
func (t *tx) SetQuarantineState(scope string, key syncproto.Digest, state, reason, by string, at int64) error {
	if err := t.holds(scope); err != nil {
		return err
	}
	if state != store.QuarantineReleased && state != store.QuarantineClosed {
		return t.keep(fmt.Errorf("state %q of a quarantined message: want %q or %q", state, store.QuarantineReleased, store.QuarantineClosed))
	}
	q, err := one(&t.session, store.ErrNotFound, scanQuarantined,
		`SELECT `+quarantineTable.list+` FROM quarantine WHERE key = ? AND scope = ?`, key[:], scope)
	switch {
	case err == nil && q.Damaged:
		err = quarantineDamage(scope, key)
	case err == nil && q.State != store.QuarantineOpen:
		err = store.ErrDecided
	}
	if err != nil {
		return fmt.Errorf("quarantined message in scope %q: %w", scope, err)
	}
	q.State, q.Reason, q.By, q.DecidedAt = state, reason, by, at
	values := tables.Message(scope, &q)
	_, err = t.exec(`UPDATE quarantine SET state = ?, reason = ?, by = ?, decided_at = ?, sum = ? WHERE key = ? AND scope = ?`,
		state, reason, by, at, values[len(values)-1], key[:], scope)
	return err
}

func quarantineDamage(scope string, key syncproto.Digest) error {
	return &store.Damage{Table: quarantineTable.Name, Scope: scope, Key: hex.EncodeToString(key[:])}
}

// Message implements [store.LogReader].
func (s *session) Message(key syncproto.Digest) (store.Quarantined, error) {
	q, err := one(s, store.ErrNotFound, scanQuarantined, `SELECT `+quarantineTable.list+` FROM quarantine WHERE key = ?`, key[:])
	if err == nil && q.Damaged {
		q, err = store.Quarantined{}, quarantineDamage(q.Scope, key)
	}
	if err != nil {
		return q, fmt.Errorf("quarantined message: %w", err)
	}
	return q, nil
}

// Inbox implements [store.LogReader].
func (s *session) Inbox(region syncproto.Region, after *syncproto.Digest, limit int) ([]store.Quarantined, error) {
	text := `SELECT ` + quarantineTable.list + ` FROM quarantine WHERE 1`
	var args []any
	if region != "" {
		within, values := inRegion(region)
		text, args = text+` AND `+within, values
	}
	if after != nil {
		// A place in the order alone, so it may be that of a damaged message.
		at, err := one(s, store.ErrNotFound, func(c *cursor) int64 { return c.LooseInt(0) }, `SELECT at FROM quarantine WHERE key = ?`, after[:])
		if err != nil {
			return nil, fmt.Errorf("inbox after: %w", err)
		}
		text += ` AND (at, key) < (?, ?)`
		args = append(args, at, after[:])
	}
	out, err := collect(s, scanQuarantined, text+` ORDER BY at DESC, key DESC LIMIT ?`, append(args, int64(limit))...)
	if err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	return out, nil
}
