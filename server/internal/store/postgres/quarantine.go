package postgres

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
		if q := &items[i]; q.Scope != "" && q.Scope != scope {
			return t.keep(fmt.Errorf("message of scope %q in scope %q: %w", q.Scope, scope, store.ErrScope))
		}
	}
	if len(items) == 0 {
		return nil
	}
	// The key of the table holds the scope, so the database does not see a
	// message that comes by two scopes at once. Whoever brings it, waits.
	keys := list(items, func(q *store.Quarantined) []byte { return q.Key[:] })
	var there [][]byte
	if err := t.send(claim(keys), into(&there, readBlob, `SELECT key FROM quarantine WHERE key = ANY($1)`, keys)); err != nil {
		return fmt.Errorf("quarantine %d messages: %w", len(items), err)
	}
	known := map[syncproto.Digest]bool{}
	for _, key := range there {
		known[syncproto.Digest(key)] = true
	}
	var values [][]any
	for i := range items {
		if q := &items[i]; !known[q.Key] {
			known[q.Key] = true
			values = append(values, tables.Message(scope, q))
		}
	}
	return t.write(quarantineTable, quarantineTable.once, scope, values, func() string {
		return fmt.Sprintf("quarantine %d messages of device %q", len(items), items[0].Device)
	})
}

// claim takes names that must be unique across scopes, which no index of a
// cluster can see to, until the end of the transaction. It is as exact as the
// servers have one coordinator.
func claim(names [][]byte) command {
	return command{
		text: `SELECT count(pg_advisory_xact_lock(k)) FROM (SELECT DISTINCT hashtextextended(encode(u, 'hex'), 0) AS k FROM unnest($1::bytea[]) AS u ORDER BY k) AS keys`,
		args: []any{names}, scan: func(*cursor) bool { return true },
	}
}

func readBlob(c *tables.Cursor[any]) []byte { return c.Blob(0) }

// SetQuarantineState implements [store.RecordTx].
func (t *tx) SetQuarantineState(scope string, key syncproto.Digest, state, reason, by string, at int64) error {
	if err := t.holds(scope); err != nil {
		return err
	}
	if state != store.QuarantineReleased && state != store.QuarantineClosed {
		return t.keep(fmt.Errorf("state %q of a quarantined message: want %q or %q", state, store.QuarantineReleased, store.QuarantineClosed))
	}
	q, err := one(&t.session, store.ErrNotFound, tables.ReadMessage[any], `SELECT `+quarantineTable.list+` FROM quarantine WHERE scope = $1 AND key = $2`, scope, key[:])
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
	return t.write(quarantineTable, quarantineTable.upsert, scope, [][]any{tables.Message(scope, &q)}, func() string {
		return fmt.Sprintf("decide a message in scope %q", scope)
	})
}

func quarantineDamage(scope string, key syncproto.Digest) error {
	return &store.Damage{Table: tables.Quarantine.Name, Scope: scope, Key: hex.EncodeToString(key[:])}
}

// Message implements [store.LogReader].
func (s *session) Message(key syncproto.Digest) (store.Quarantined, error) {
	q, err := one(s, store.ErrNotFound, tables.ReadMessage[any], `SELECT `+quarantineTable.list+` FROM quarantine WHERE key = $1 ORDER BY scope`, key[:])
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
	q := query{text: `SELECT ` + quarantineTable.list + ` FROM quarantine WHERE true`}
	if region != "" {
		within, values := inRegion(region)
		q.text += ` AND ` + within
		q.args = values
	}
	if after != nil {
		// A place in the order alone, so it may be that of a damaged message.
		at, err := one(s, store.ErrNotFound, readInt, `SELECT at FROM quarantine WHERE key = $1 ORDER BY scope`, after[:])
		if err != nil {
			return nil, fmt.Errorf("inbox after: %w", err)
		}
		q.and(`(at, key) < (?, ?)`, at, after[:])
	}
	q.add(` ORDER BY at DESC, key DESC LIMIT ?`, int64(limit))
	out, err := collect(s, tables.ReadMessage[any], q.text, q.args...)
	if err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	return out, nil
}
