package tables

import (
	"encoding/hex"
	"slices"
	"strings"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// Table is what an engine needs to know of a table.
type Table struct {
	Name string
	// Columns are all but sum, in the order of the hash.
	Columns []Column
	// Key names the columns of the primary key.
	Key []string
	// ScopeAt, SeqAt and KeyAt are where a row's names are among the columns;
	// [NoColumn]: it has none. A table without scope is cold: a cluster copies
	// it to every node.
	ScopeAt, SeqAt, KeyAt int
}

// Column is one column of a table.
type Column struct {
	Name string
	Kind Kind
	Null bool // it may be nil
}

// Kind is the type of a column's values.
type Kind byte

// The kinds of values. JSON is a string that the engine may check.
const (
	Int Kind = iota + 1
	Text
	Blob
	JSON
)

// NoColumn is the position of what a table does not have.
const NoColumn = -1

// SumColumn is the last column of every table.
const SumColumn = "sum"

// The tables.
//
//nolint:gochecknoglobals // descriptions, never written to
var (
	Scopes     = define(`scopes`, `scope`, `scope text, seq int`, "scope", "seq", "")
	Records    = define(`records`, `id scope`, `scope text, id blob, seq int, entered_seq int, kind text, conflicts int, deleted int, purged int, moved_to text?, of_id blob?, agency text, officer text, created_at int, updated_at int, state blob, doc json?`, "scope", "seq", "id")
	Changes    = define(`changes`, `scope seq`, `scope text, seq int, id blob, device text, officer text, agency text, at int, digest blob, ops blob`, "scope", "seq", "id")
	PastWrites = define(`past_writes`, `scope replica n`, `scope text, replica blob, n int, id blob, path text, hlc blob, step blob, device text, officer text, agency text, at int, value blob`, "scope", "n", "id")
	Quarantine = define(`quarantine`, `key scope`, `scope text, key blob, id blob, device text, code text, at int, state text, reason text, by text, decided_at int, raw blob`, "scope", "", "key")
	Epochs     = define(`epochs`, `scope`, `scope text, id blob, since int, recovering int`, "scope", "", "id")
	Replicas   = define(`replicas`, `scope replica`, `scope text, replica blob, key_nonce blob, claimed_n int, claimed_head blob, held_n int, held_head blob, broken int`, "scope", "", "replica")
	ChainSteps = define(`chain_steps`, `scope replica n`, `scope text, replica blob, n int, step blob`, "scope", "n", "replica")
	Witnesses  = define(`witnesses`, `scope n`, `scope text, n int, stamp blob`, "scope", "n", "")
	Receipts   = define(`receipts`, `scope n`, `scope text, n int, key text, at int, signature blob, body blob`, "scope", "n", "")
	DeviceSeen = define(`device_seen`, `scope`, `scope text, at int, app text, waiting int, skew_millis int`, "scope", "", "")
	Officers   = define(`officers`, `id`, `id text, name text, agency text, role text, disabled int`, "", "", "id")
	Devices    = define(`devices`, `id`, `id text, name text, officer text, agency text, role text, algorithm text, public_key blob, grants text, grants_version int, enrolled_at int, revoked_at int, wipe int`, "", "", "id")
	PastGrants = define(`past_grants`, `device version`, `device text, version int, grants text, replaced_at int`, "", "version", "device")
	Enrolments = define(`enrolments`, `id`, `id text, secret_hash blob, officer text, agency text, role text, grants text, created_at int, expires_at int, used_at int, device text`, "", "", "id")
)

// All returns every table.
func All() []*Table {
	return []*Table{
		Scopes, Records, Changes, PastWrites, Quarantine, Epochs, Replicas, ChainSteps, Witnesses, Receipts, DeviceSeen, Officers, Devices, PastGrants, Enrolments,
	}
}

// define reads a description: the columns with their kinds, a question mark
// after those that may be nil, and the names of key, scope, seq and id.
func define(name, key, columns, scope, seq, id string) *Table {
	kinds := map[string]Kind{"int": Int, "text": Text, "blob": Blob, "json": JSON}
	t := &Table{Name: name, Key: strings.Fields(key)}
	for c := range strings.SplitSeq(columns, ", ") {
		column, kind, _ := strings.Cut(c, " ")
		kind, null := strings.CutSuffix(kind, "?")
		t.Columns = append(t.Columns, Column{Name: column, Kind: kinds[kind], Null: null})
	}
	t.ScopeAt, t.SeqAt, t.KeyAt = t.At(scope), t.At(seq), t.At(id)
	return t
}

// At returns the position of a column, [NoColumn] if there is none.
func (t *Table) At(column string) int {
	return slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == column })
}

// IsKey tells whether a column is part of the primary key.
func (t *Table) IsKey(column string) bool { return slices.Contains(t.Key, column) }

// Names returns the names of the columns.
func (t *Table) Names() []string {
	out := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		out[i] = c.Name
	}
	return out
}

// List names the columns in the order of the hash, and sum after them: what a
// query asks for whose rows are compared with their sums.
func (t *Table) List() string { return strings.Join(append(t.Names(), SumColumn), ", ") }

// ScopeName returns a value that looks like the name of a scope, or "".
func ScopeName(v any) string {
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

// KeyName shows an id: of a record, or of what has a name or a number; "?" if
// it does not look like one.
func KeyName(v any) string {
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
