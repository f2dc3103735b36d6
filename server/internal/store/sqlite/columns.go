package sqlite

import (
	"database/sql/driver"
	"encoding/hex"
	"strings"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// table is what reading and checking need to know of a table. Its columns are
// all but sum, in the order of the hash: a change of the order is a change of
// the file's format.
type table struct {
	name    string
	columns string
	// scope, seq and key are where a row's names are among the columns; -1: it
	// has none.
	scope, seq, key int
	// places finds all rows of a table without reading them, with scope and
	// key, by the index that is its primary key. "" for a table without rowids.
	places string

	list   string // the columns of a query whose rows are compared with their sums
	slots  string // a placeholder for each of them
	insert string // the statement that adds a row
	upsert string // the statement that adds a row or replaces the one with its key
}

// noColumn is the position of what a table does not have.
const noColumn = -1

//nolint:gochecknoglobals // descriptions, never written to
var (
	scopesTable     = define(table{name: "scopes", columns: `scope, seq`, seq: 1, key: noColumn}, `scope`)
	recordsTable    = define(table{name: "records", columns: `scope, id, seq, entered_seq, kind, conflicts, deleted, purged, moved_to, of_id, agency, officer, created_at, updated_at, state, doc`, seq: 2, key: 1, places: `SELECT rowid, scope, id FROM records INDEXED BY sqlite_autoindex_records_1`}, `id, scope`)
	changesTable    = define(table{name: "changes", columns: `scope, seq, id, device, officer, agency, at, digest, ops`, seq: 1, key: 2, places: `SELECT rowid, scope, seq FROM changes INDEXED BY sqlite_autoindex_changes_1`}, `scope, seq`)
	pastWritesTable = define(table{name: "past_writes", columns: `scope, replica, n, id, path, hlc, step, device, officer, agency, at, value`, seq: 2, key: 3}, `scope, replica, n`)
	quarantineTable = define(table{name: "quarantine", columns: `scope, key, id, device, code, at, state, reason, by, decided_at, raw`, seq: noColumn, key: 1, places: `SELECT rowid, scope, key FROM quarantine INDEXED BY sqlite_autoindex_quarantine_1`}, `key, scope`)
	epochsTable     = define(table{name: "epochs", columns: `scope, id, since, recovering`, seq: noColumn, key: 1}, `scope`)
	replicasTable   = define(table{name: "replicas", columns: `scope, replica, key_nonce, claimed_n, claimed_head, held_n, held_head, broken`, seq: noColumn, key: 1}, `scope, replica`)
	chainStepsTable = define(table{name: "chain_steps", columns: `scope, replica, n, step`, seq: 2, key: 1}, `scope, replica, n`)
	witnessesTable  = define(table{name: "witnesses", columns: `scope, n, stamp`, seq: 1, key: noColumn}, `scope, n`)
	receiptsTable   = define(table{name: "receipts", columns: `scope, n, key, at, signature, body`, seq: 1, key: noColumn, places: `SELECT rowid, scope, n FROM receipts INDEXED BY sqlite_autoindex_receipts_1`}, `scope, n`)
	deviceSeenTable = define(table{name: "device_seen", columns: `scope, at, app, waiting, skew_millis`, seq: noColumn, key: noColumn}, `scope`)
	officersTable   = define(table{name: "officers", columns: `id, name, agency, role, disabled`, scope: noColumn, seq: noColumn}, `id`)
	devicesTable    = define(table{name: "devices", columns: `id, name, officer, agency, role, algorithm, public_key, grants, grants_version, enrolled_at, revoked_at, wipe`, scope: noColumn, seq: noColumn}, `id`)
	pastGrantsTable = define(table{name: "past_grants", columns: `device, version, grants, replaced_at`, scope: noColumn, seq: 1}, `device, version`)
	enrolmentsTable = define(table{name: "enrolments", columns: `id, secret_hash, officer, agency, role, grants, created_at, expires_at, used_at, device`, scope: noColumn, seq: noColumn}, `id`)

	tables = [...]*table{
		scopesTable, recordsTable, changesTable, pastWritesTable, quarantineTable, epochsTable, replicasTable, chainStepsTable,
		witnessesTable, receiptsTable, deviceSeenTable, officersTable, devicesTable, pastGrantsTable, enrolmentsTable,
	}
)

// define makes the statements of a table with a primary key.
func define(t table, key string) *table {
	t.list = t.columns + `, sum`
	t.slots = `?` + strings.Repeat(`, ?`, strings.Count(t.list, ","))
	t.insert = `INSERT INTO ` + t.name + ` (` + t.list + `) VALUES (` + t.slots + `)`
	var set []string
	for column := range strings.SplitSeq(t.list, ", ") {
		if !strings.Contains(", "+key+",", ", "+column+",") {
			set = append(set, column+" = excluded."+column)
		}
	}
	t.upsert = t.insert + ` ON CONFLICT (` + key + `) DO UPDATE SET ` + strings.Join(set, ", ")
	return &t
}

// damage names a damaged row. What a damaged column holds may be a piece of
// another, so nothing goes into a name that does not look like one.
func (t *table) damage(row []driver.Value) *store.Damage {
	d := &store.Damage{Table: t.name}
	if t.scope >= 0 {
		d.Scope = scopeName(row[t.scope])
	}
	if t.seq >= 0 {
		if n, ok := row[t.seq].(int64); ok && n > 0 {
			d.Seq = uint64(n)
		}
	}
	if t.key >= 0 {
		d.Key = keyName(row[t.key])
	}
	return d
}

func scopeName(v driver.Value) string {
	s, ok := v.(string)
	if !ok {
		return ""
	}
	if device, of := strings.CutPrefix(s, store.DeviceScope("")); of && isName(device) || s == store.EpochScope || s == store.RegistryScope {
		return s
	}
	if _, err := syncproto.ParseScope(s); err != nil {
		return ""
	}
	return s
}

// keyName shows an id: of a record, or of what has a name or a number.
func keyName(v driver.Value) string {
	switch v := v.(type) {
	case []byte:
		if len(v) == len(syncproto.RecordID{}) {
			return syncproto.RecordID(v).String()
		}
		if len(v) == 8 || len(v) == len(syncproto.Digest{}) {
			return hex.EncodeToString(v)
		}
	case string:
		if isName(v) {
			return v
		}
	}
	return "?"
}

func isName(s string) bool {
	const longest = 64
	return s != "" && len(s) <= longest && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
}
