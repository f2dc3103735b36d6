package sqlite

import (
	"strings"

	"github.com/sambang-id/sambang/server/internal/store/tables"
)

// table is a table with its statements.
type table struct {
	*tables.Table
	// places finds all rows of a table without reading them, with scope and
	// key, by the index that is its primary key. "" for a table without rowids.
	places string

	list   string // the columns of a query whose rows are compared with their sums
	slots  string // a placeholder for each of them
	insert string // the statement that adds a row
	upsert string // the statement that adds a row or replaces the one with its key
}

//nolint:gochecknoglobals // descriptions, never written to
var (
	scopesTable     = define(tables.Scopes, "")
	recordsTable    = define(tables.Records, `SELECT rowid, scope, id FROM records INDEXED BY sqlite_autoindex_records_1`)
	changesTable    = define(tables.Changes, `SELECT rowid, scope, seq FROM changes INDEXED BY sqlite_autoindex_changes_1`)
	pastWritesTable = define(tables.PastWrites, "")
	quarantineTable = define(tables.Quarantine, `SELECT rowid, scope, key FROM quarantine INDEXED BY sqlite_autoindex_quarantine_1`)
	epochsTable     = define(tables.Epochs, "")
	replicasTable   = define(tables.Replicas, "")
	chainStepsTable = define(tables.ChainSteps, "")
	witnessesTable  = define(tables.Witnesses, "")
	receiptsTable   = define(tables.Receipts, `SELECT rowid, scope, n FROM receipts INDEXED BY sqlite_autoindex_receipts_1`)
	deviceSeenTable = define(tables.DeviceSeen, "")
	officersTable   = define(tables.Officers, "")
	devicesTable    = define(tables.Devices, "")
	pastGrantsTable = define(tables.PastGrants, "")
	enrolmentsTable = define(tables.Enrolments, "")

	allTables = [...]*table{
		scopesTable, recordsTable, changesTable, pastWritesTable, quarantineTable, epochsTable, replicasTable, chainStepsTable,
		witnessesTable, receiptsTable, deviceSeenTable, officersTable, devicesTable, pastGrantsTable, enrolmentsTable,
	}
)

// define makes the statements of a table.
func define(described *tables.Table, places string) *table {
	t := &table{Table: described, places: places, list: described.List()}
	t.slots = `?` + strings.Repeat(`, ?`, len(t.Columns))
	t.insert = `INSERT INTO ` + t.Name + ` (` + t.list + `) VALUES (` + t.slots + `)`
	var set []string
	for column := range strings.SplitSeq(t.list, ", ") {
		if !t.IsKey(column) {
			set = append(set, column+" = excluded."+column)
		}
	}
	t.upsert = t.insert + ` ON CONFLICT (` + strings.Join(t.Key, ", ") + `) DO UPDATE SET ` + strings.Join(set, ", ")
	return t
}
