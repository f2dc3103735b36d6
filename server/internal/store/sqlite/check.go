package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/tables"
	"github.com/sambang-id/sambang/syncproto"
)

// Check implements [store.Store]: the structure of the file, every row's sum,
// and what the contract promises of the rows. It reads the whole file in one
// snapshot. SQLite's own check does not see a flipped bit in a value; the sums
// do. What can't be read at all is a problem like any other, and what comes
// after it is checked all the same.
func (s *Store) Check(ctx context.Context, report func(problem string)) error {
	err := s.view(ctx, func(v *session) error {
		for _, c := range checks {
			if err := unreadable(v, report, c.what, func() error { return c.run(v, report) }); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("check store %q: %w", s.path, err)
	}
	return nil
}

//nolint:gochecknoglobals // a table, never written to
var checks = [...]struct {
	what string
	run  func(*session, func(string)) error
}{
	{"structure", checkStructure},
	{"rows", checkSums},
	{"contract", checkRules},
	{"scopes", checkScopes},
	{"journal", checkChanges},
	{"journal of past writes", checkPastWrites},
	{"registry", checkRegistry},
}

// unreadable runs a check, and reports it if damage ended it.
func unreadable(v *session, report func(string), what string, check func() error) error {
	err := v.attempt(check)
	if errors.Is(err, store.ErrDamaged) {
		report(what + " can't be read to the end: " + err.Error())
		return nil
	}
	return err
}

// checkSums compares every row of every table with its sum. Where a page can't
// be read it goes from row to row, to name those that are lost with it.
func checkSums(v *session, report func(string)) error {
	for _, t := range allTables {
		query := `SELECT ` + t.list + ` FROM ` + t.Name
		seen := map[store.Damage]bool{}
		compare := func(c *cursor) bool {
			if d := c.Damage(t.Table); !c.Sound(t.Table) && !seen[*d] {
				seen[*d] = true
				report(d.Error())
			}
			return true
		}
		err := v.attempt(func() error { return v.each(query, nil, compare) })
		switch {
		case err == nil:
		case !errors.Is(err, store.ErrDamaged):
			return err
		case t.places == "":
			report("table " + t.Name + " can't be read to the end: " + err.Error())
		default:
			report("table " + t.Name + " can't be read to the end, its rows are read one by one: " + err.Error())
			if err := unreadable(v, report, "index of table "+t.Name, func() error { return checkPlaces(v, t, compare, report) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkPlaces reads the rows that the index knows, each by itself.
func checkPlaces(v *session, t *table, compare func(*cursor) bool, report func(string)) error {
	type entry struct {
		rowid int64
		name  string
	}
	entries, err := collect(v, func(c *cursor) entry {
		return entry{c.Int(0), "scope " + strconv.Quote(tables.ScopeName(c.Row[1])) + ", key " + placeName(c.Row[2])}
	}, t.places)
	if err != nil {
		return err
	}
	for _, e := range entries {
		err := v.attempt(func() error {
			return v.each(`SELECT `+t.list+` FROM `+t.Name+` WHERE rowid = ?`, []any{e.rowid}, compare)
		})
		switch {
		case errors.Is(err, store.ErrDamaged):
			report("damaged row: table " + t.Name + ", " + e.name + ": can't be read")
		case err != nil:
			return err
		}
	}
	return nil
}

func placeName(v driver.Value) string {
	if n, ok := v.(int64); ok {
		return strconv.FormatInt(n, 10)
	}
	return tables.KeyName(v)
}

func checkStructure(v *session, report func(string)) error {
	return v.each(`PRAGMA integrity_check`, nil, func(c *cursor) bool {
		if line := c.Text(0); line != "ok" {
			report("structure: " + line)
		}
		return true
	})
}

// rules are queries that find what must not be; each returns a text.
var rules = [...]struct{ violation, query string }{
	{"two rows have the same sequence", `SELECT scope || ' ' || seq FROM records NOT INDEXED GROUP BY scope, seq HAVING count(*) > 1`},
	{"row is beyond the head of its scope", `SELECT r.scope || ' ' || r.seq FROM records r LEFT JOIN scopes s ON s.scope = r.scope WHERE s.seq IS NULL OR r.seq > s.seq`},
	{"change is beyond the head of its scope", `SELECT c.scope || ' ' || c.seq FROM changes c LEFT JOIN scopes s ON s.scope = c.scope WHERE s.seq IS NULL OR c.seq > s.seq`},
	{"head of a scope is beyond its rows and changes", `SELECT s.scope || ' ' || s.seq FROM scopes s
		WHERE s.seq > max(coalesce((SELECT max(seq) FROM records r WHERE r.scope = s.scope), 0), coalesce((SELECT max(seq) FROM changes c WHERE c.scope = s.scope), 0))`},
	{"row entered its scope after its last change", `SELECT scope || ' ' || seq FROM records WHERE entered_seq > seq`},
	{"record has not exactly one live row", `SELECT lower(hex(id)) || ': ' || sum(moved_to IS NULL) FROM records GROUP BY id HAVING sum(moved_to IS NULL) <> 1`},
	{"marker points at no row", `SELECT m.scope || ' ' || lower(hex(m.id)) || ' to ' || m.moved_to FROM records m WHERE m.moved_to IS NOT NULL
		AND (m.moved_to = m.scope OR NOT EXISTS (SELECT 1 FROM records r WHERE r.id = m.id AND r.scope = m.moved_to))`},
	{"document is not JSON", `SELECT scope || ' ' || seq FROM records WHERE doc IS NOT NULL AND NOT json_valid(doc)`},
	{"device holds more than it claimed", `SELECT scope || ' ' || lower(hex(replica)) || ': held ' || held_n || ', claimed ' || claimed_n FROM replicas WHERE held_n > claimed_n`},
	{"replica belongs to two devices", `SELECT lower(hex(replica)) FROM replicas GROUP BY replica HAVING count(*) > 1`},
	{"chain step waits though it is held, or is of no replica", `SELECT c.scope || ' ' || lower(hex(c.replica)) || ' ' || c.n FROM chain_steps c
		LEFT JOIN replicas r ON r.scope = c.scope AND r.replica = c.replica WHERE r.held_n IS NULL OR c.n <= r.held_n`},
	{"more witnesses than are kept", `SELECT scope || ': ' || count(*) FROM witnesses GROUP BY scope HAVING count(*) > 64`},
	{"more than one epoch", `SELECT 'epochs: ' || count(*) FROM epochs HAVING count(*) > 1`},
}

func checkRules(v *session, report func(string)) error {
	for _, r := range rules {
		err := unreadable(v, report, r.violation, func() error {
			return v.each(r.query, nil, func(c *cursor) bool {
				report(r.violation + ": " + c.Text(0))
				return true
			})
		})
		if err != nil {
			return fmt.Errorf("%s: %w", r.violation, err)
		}
	}
	return nil
}

func checkScopes(v *session, report func(string)) error {
	return v.each(`SELECT scope FROM scopes UNION SELECT scope FROM records UNION SELECT scope FROM changes ORDER BY 1`, nil, func(c *cursor) bool {
		if _, err := syncproto.ParseScope(c.Text(0)); err != nil {
			report("scope: " + err.Error())
		}
		return true
	})
}

func checkChanges(v *session, report func(string)) error {
	return v.each(`SELECT `+changesTable.list+` FROM changes WHERE length(ops) > 0`, nil, func(c *cursor) bool {
		if change := scanChange(c); c.Err == nil {
			reportAny(report, tables.ChangeProblem(&change))
		}
		return true
	})
}

func checkPastWrites(v *session, report func(string)) error {
	return v.each(`SELECT `+pastWritesTable.list+` FROM past_writes WHERE length(value) > 0`, nil, func(c *cursor) bool {
		if w := scanPastWrite(c); c.Err == nil {
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
