package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/tables"
	"github.com/sambang-id/sambang/syncproto"
)

// Check implements [store.Store]: the structure of the tables, every row's sum,
// and what the contract promises of the rows. It reads the whole database in
// one snapshot, row by row. Sums find what the checksums of the pages do not: a
// value that was changed past the store.
//
// On Citus there is a snapshot for each node, so that what is said of records
// that move meanwhile may be of two moments.
func (s *Store) Check(ctx context.Context, report func(problem string)) error {
	err := s.view(ctx, func(v *session) error {
		v.queue = append(v.queue, command{text: `SET LOCAL statement_timeout = 0`})
		for _, check := range []func(*session, func(string)) error{
			checkStructure, checkSums, checkRules, checkScopes, checkChanges, checkPastWrites, checkRegistry,
		} {
			err := v.attempt(func() error { return check(v, report) })
			if errors.Is(err, store.ErrDamaged) {
				report("can't be read to the end: " + err.Error())
				if v.err == nil {
					continue
				}
				return nil // the server could not read on
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("check store %s: %w", s.name, err)
	}
	return nil
}

// checkStructure looks for indexes that are missing or do not hold, and for a
// cluster without checksums of its pages.
func checkStructure(v *session, report func(string)) error {
	indexes, err := collect(v, readText, `SELECT (CASE WHEN i.indisvalid THEN '' ELSE 'invalid ' END || c.relname)::text FROM pg_index i
		JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = current_schema()`)
	if err != nil {
		return err
	}
	for _, want := range indexNames() {
		switch {
		case slices.Contains(indexes, "invalid "+want):
			report("structure: index " + want + " is not valid: REINDEX it")
		case !slices.Contains(indexes, want):
			report("structure: index " + want + " is missing")
		}
	}
	at, err := stand(v.ctx, v.conn.Conn())
	if err == nil && at.reader != "" && at.loose {
		report("structure: the second lock on headquarters' reads is not on all tables, or its role is not held by it")
	}
	return err
}

// indexNames are the indexes that the migrations make.
func indexNames() []string {
	out := []string{"records_seq", "records_log", "records_scope", "records_kind", "records_agency", "records_of", "records_conflicts", "changes_id", "past_writes_id", "quarantine_inbox", "replicas_replica"}
	for _, t := range allTables {
		out = append(out, t.Name+"_pkey")
	}
	return out
}

// checkSums compares every row of every table with its sum.
func checkSums(v *session, report func(string)) error {
	for _, t := range allTables {
		seen := map[store.Damage]bool{}
		err := v.each(`SELECT `+t.list+` FROM `+t.Name, func(c *cursor) bool {
			if c.Sound(t.Table) {
				return true
			}
			if d := c.Damage(t.Table); !seen[*d] {
				seen[*d] = true
				report(d.Error())
			}
			return true
		})
		if err != nil {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
	}
	return nil
}

// rules are queries that find what must not be; each returns a text.
//
//nolint:gochecknoglobals // a table, never written to
var rules = [...]struct{ violation, query string }{
	{"two rows have the same sequence", `SELECT scope || ' ' || seq FROM records GROUP BY scope, seq HAVING count(*) > 1`},
	{"row is beyond the head of its scope", `SELECT r.scope || ' ' || r.seq FROM records r LEFT JOIN scopes s ON s.scope = r.scope WHERE s.seq IS NULL OR r.seq > s.seq`},
	{"change is beyond the head of its scope", `SELECT c.scope || ' ' || c.seq FROM changes c LEFT JOIN scopes s ON s.scope = c.scope WHERE s.seq IS NULL OR c.seq > s.seq`},
	{"head of a scope is beyond its rows and changes", `SELECT s.scope || ' ' || s.seq FROM scopes s
		LEFT JOIN (SELECT scope, max(seq) AS top FROM records GROUP BY scope) r ON r.scope = s.scope
		LEFT JOIN (SELECT scope, max(seq) AS top FROM changes GROUP BY scope) c ON c.scope = s.scope
		WHERE s.seq > greatest(coalesce(r.top, 0), coalesce(c.top, 0))`},
	{"row entered its scope after its last change", `SELECT scope || ' ' || seq FROM records WHERE entered_seq > seq`},
	{"record has not exactly one live row", `SELECT encode(id, 'hex') || ': ' || count(*) FILTER (WHERE moved_to IS NULL) FROM records
		GROUP BY id HAVING count(*) FILTER (WHERE moved_to IS NULL) <> 1`},
	{"marker points at no row", `SELECT scope || ' ' || encode(id, 'hex') || ' to itself' FROM records WHERE moved_to = scope`},
	// Without a join, which Citus refuses across scopes.
	{"marker points at no row", `SELECT encode(id, 'hex') || ' to ' || place FROM (SELECT id, scope AS place, 1 AS row FROM records
		UNION ALL SELECT id, moved_to, 0 FROM records WHERE moved_to IS NOT NULL) AS places GROUP BY id, place HAVING sum(row) = 0`},
	{"device holds more than it claimed", `SELECT scope || ' ' || encode(replica, 'hex') || ': held ' || held_n || ', claimed ' || claimed_n FROM replicas WHERE held_n > claimed_n`},
	{"replica belongs to two devices", `SELECT encode(replica, 'hex') FROM replicas GROUP BY replica HAVING count(*) > 1`},
	{"chain step waits though it is held, or is of no replica", `SELECT c.scope || ' ' || encode(c.replica, 'hex') || ' ' || c.n FROM chain_steps c
		LEFT JOIN replicas r ON r.scope = c.scope AND r.replica = c.replica WHERE r.held_n IS NULL OR c.n <= r.held_n`},
	{"message is kept twice", `SELECT encode(key, 'hex') FROM quarantine GROUP BY key HAVING count(*) > 1`},
	{"more witnesses than are kept", `SELECT scope || ': ' || count(*) FROM witnesses GROUP BY scope HAVING count(*) > 64`},
	{"more than one epoch", `SELECT 'epochs: ' || count(*) FROM epochs HAVING count(*) > 1`},
}

func checkRules(v *session, report func(string)) error {
	for _, r := range rules {
		err := v.each(r.query, func(c *cursor) bool {
			report(r.violation + ": " + c.Text(0))
			return true
		})
		if err != nil {
			return fmt.Errorf("%s: %w", r.violation, err)
		}
	}
	return nil
}

// checkScopes looks at the names of the scopes that have rows. The store's own
// have a counter that is never raised: it is their lock.
func checkScopes(v *session, report func(string)) error {
	return v.each(`SELECT scope FROM scopes WHERE seq > 0 UNION SELECT scope FROM records UNION SELECT scope FROM changes ORDER BY 1`, func(c *cursor) bool {
		if _, err := syncproto.ParseScope(c.Text(0)); err != nil {
			report("scope: " + err.Error())
		}
		return true
	})
}

func checkChanges(v *session, report func(string)) error {
	return v.each(`SELECT `+changesTable.list+` FROM changes WHERE length(ops) > 0`, func(c *cursor) bool {
		if change := tables.ReadChange(&c.Cursor); c.Err == nil {
			reportAny(report, tables.ChangeProblem(&change))
		}
		return true
	})
}

func checkPastWrites(v *session, report func(string)) error {
	return v.each(`SELECT `+pastWritesTable.list+` FROM past_writes WHERE length(value) > 0`, func(c *cursor) bool {
		if w := tables.ReadPastWrite(&c.Cursor); c.Err == nil {
			reportAny(report, tables.PastWriteProblem(&w))
		}
		return true
	})
}

func checkRegistry(v *session, report func(string)) error { return tables.CheckRegistry(v, report) }

func reportAny(report func(string), problem string) {
	if problem != "" {
		report(problem)
	}
}
