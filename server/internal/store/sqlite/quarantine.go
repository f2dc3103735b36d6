package sqlite

import (
	"encoding/hex"
	"fmt"

	"github.com/sambang-id/sambang/server/internal/store"
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
		state := q.State
		if state == "" {
			state = store.QuarantineOpen
		}
		t.rows++
		if _, err := t.exec(`INSERT INTO quarantine (`+quarantineTable.list+`) SELECT `+quarantineTable.slots+`
			WHERE NOT EXISTS (SELECT 1 FROM quarantine WHERE key = ?)`, append(sealed(quarantineTable, scope, q.Key[:], q.ID[:], q.Device, string(q.Code), q.At,
			state, q.Reason, q.By, q.DecidedAt, blob(q.Raw)), q.Key[:])...); err != nil {
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
	row := sealed(quarantineTable, scope, key[:], q.ID[:], q.Device, string(q.Code), q.At, state, reason, by, at, blob(q.Raw))
	_, err = t.exec(`UPDATE quarantine SET state = ?, reason = ?, by = ?, decided_at = ?, sum = ? WHERE key = ? AND scope = ?`,
		state, reason, by, at, row[len(row)-1], key[:], scope)
	return err
}

func quarantineDamage(scope string, key syncproto.Digest) error {
	return &store.Damage{Table: quarantineTable.name, Scope: scope, Key: hex.EncodeToString(key[:])}
}

func scanQuarantined(c *cursor) store.Quarantined {
	if !c.sound(quarantineTable) {
		q := store.Quarantined{Scope: scopeName(c.row[0]), At: loose[int64](c, 5), Damaged: true}
		copy(q.Key[:], loose[[]byte](c, 1))
		return q
	}
	return store.Quarantined{
		Scope: c.text(0), Key: c.digest(1), ID: c.id(2), Device: c.text(3), Code: syncproto.Code(c.text(4)), At: c.int(5),
		State: c.text(6), Reason: c.text(7), By: c.text(8), DecidedAt: c.int(9), Raw: c.blob(10),
	}
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
		at, err := one(s, store.ErrNotFound, func(c *cursor) int64 { return loose[int64](c, 0) }, `SELECT at FROM quarantine WHERE key = ?`, after[:])
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
