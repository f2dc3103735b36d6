package postgres

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sambang-id/sambang/server/internal/store/tables"
)

// table is a table with its statements. Those of a table with scope write any
// number of rows of one scope: $1 is the scope and each further parameter the
// array of a column. "FROM scopes s" makes them one task on the scope's shard
// of a cluster. Those of a cold table write one row, a parameter for each
// column.
type table struct {
	*tables.Table
	list   string // the columns of a query whose rows are compared with their sums
	insert string
	upsert string
	once   string // insert, and leave a row that is there as it is
}

//nolint:gochecknoglobals // descriptions, never written to
var (
	scopesTable     = define(tables.Scopes)
	recordsTable    = define(tables.Records)
	changesTable    = define(tables.Changes)
	pastWritesTable = define(tables.PastWrites)
	quarantineTable = define(tables.Quarantine)
	epochsTable     = define(tables.Epochs)
	replicasTable   = define(tables.Replicas)
	chainStepsTable = define(tables.ChainSteps)
	witnessesTable  = define(tables.Witnesses)
	receiptsTable   = define(tables.Receipts)
	deviceSeenTable = define(tables.DeviceSeen)
	officersTable   = define(tables.Officers)
	devicesTable    = define(tables.Devices)
	pastGrantsTable = define(tables.PastGrants)
	enrolmentsTable = define(tables.Enrolments)

	allTables = [...]*table{
		scopesTable, recordsTable, changesTable, pastWritesTable, quarantineTable, epochsTable, replicasTable, chainStepsTable,
		witnessesTable, receiptsTable, deviceSeenTable, officersTable, devicesTable, pastGrantsTable, enrolmentsTable,
	}
)

// define makes the statements of a table.
func define(described *tables.Table) *table {
	t := &table{Table: described}
	var list, values, arrays, names, set []string
	column := func(name string, kind tables.Kind) {
		n := strconv.Itoa(len(list) + 1)
		read, value := name, "u."+name
		switch {
		case kind == tables.JSON:
			value += "::json"
		case name == "scope":
			value = "s.scope"
		}
		list, values = append(list, read), append(values, value)
		if name != "scope" {
			arrays, names = append(arrays, "$"+n+"::"+arrayOf(kind)), append(names, name)
		}
		if !t.IsKey(name) {
			set = append(set, name+" = excluded."+name)
		}
	}
	for _, c := range t.Columns {
		column(c.Name, c.Kind)
	}
	column(tables.SumColumn, tables.Int)
	t.list = strings.Join(list, ", ")
	t.insert = "INSERT INTO " + t.Name + " (" + t.List() + ")"
	if t.ScopeAt == 0 {
		t.insert += " SELECT " + strings.Join(values, ", ") + " FROM scopes s, unnest(" + strings.Join(arrays, ", ") + ") AS u (" + strings.Join(names, ", ") + ") WHERE s.scope = $1"
	} else {
		t.insert += " VALUES ("
		for i := range list {
			if i > 0 {
				t.insert += ", "
			}
			t.insert += "$" + strconv.Itoa(i+1)
		}
		t.insert += ")"
	}
	key := " ON CONFLICT (" + strings.Join(t.Key, ", ") + ")"
	t.upsert = t.insert + key + " DO UPDATE SET " + strings.Join(set, ", ")
	t.once = t.insert + key + " DO NOTHING"
	return t
}

func arrayOf(k tables.Kind) string {
	switch k {
	case tables.Int:
		return "bigint[]"
	case tables.Blob:
		return "bytea[]"
	}
	return "text[]"
}

// rows is a command that writes rows of one scope.
func (t *table) rows(text, scope string, rows [][]any) (command, error) {
	args, err := t.arrays(scope, rows)
	return command{text: text, args: args}, err
}

// row is a command that writes a row of a cold table.
func (t *table) row(text string, row []any) (command, error) {
	for i, c := range t.Columns {
		if s, ok := row[i].(string); ok {
			if err := t.checkText(s, c.Name); err != nil {
				return command{}, err
			}
		}
	}
	return command{text: text, args: row}, nil
}

// arrays turns rows of one scope into the parameters of the table's
// statements.
func (t *table) arrays(scope string, rows [][]any) ([]any, error) {
	args := make([]any, 0, len(t.Columns)+1)
	args = append(args, scope)
	if err := t.checkText(scope, "scope"); err != nil {
		return nil, err
	}
	for i, c := range t.Columns {
		if c.Name == "scope" {
			continue
		}
		var err error
		args, err = t.array(args, rows, i, c)
		if err != nil {
			return nil, err
		}
	}
	args, err := t.array(args, rows, len(t.Columns), tables.Column{Name: tables.SumColumn, Kind: tables.Int})
	return args, err
}

func (t *table) array(args []any, rows [][]any, i int, c tables.Column) ([]any, error) {
	switch c.Kind {
	case tables.Int:
		out := make([]int64, len(rows))
		for n, row := range rows {
			out[n] = row[i].(int64)
		}
		return append(args, out), nil
	case tables.Blob:
		out := make([][]byte, len(rows))
		for n, row := range rows {
			out[n], _ = row[i].([]byte) // nil is null
		}
		return append(args, out), nil
	}
	if !c.Null {
		out := make([]string, len(rows))
		for n, row := range rows {
			out[n] = row[i].(string)
			if err := t.checkText(out[n], c.Name); err != nil {
				return nil, err
			}
		}
		return append(args, out), nil
	}
	out := make([]*string, len(rows))
	for n, row := range rows {
		s, ok := row[i].(string)
		if !ok {
			continue
		}
		if err := t.checkText(s, c.Name); err != nil {
			return nil, err
		}
		out[n] = &s
	}
	return append(args, out), nil
}

// checkText refuses what PostgreSQL keeps in no text: it would answer with an
// error that shows a piece of it.
func (t *table) checkText(s, column string) error {
	if unheard(s) {
		return fmt.Errorf("table %s, column %s: text with U+0000 or that is not UTF-8 can't be kept", t.Name, column)
	}
	return nil
}

// unheard reports whether a value is a text that no column can have.
func unheard(v any) bool {
	s, ok := v.(string)
	return ok && (!utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0)
}
