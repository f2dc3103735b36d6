package tables_test

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/tables"
	"github.com/sambang-id/sambang/syncproto"
)

func must(t *testing.T) func(row []any, err error) []any {
	return func(row []any, err error) []any {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return row
	}
}

// TestSumsAreThoseOfTheFirstStores: the sums are a format. These are of rows
// that the SQLite engine wrote when it made them by itself.
func TestSumsAreThoseOfTheFirstStores(t *testing.T) {
	m := must(t)
	const scope = "35.24.14"
	dev := store.DeviceScope("device-1")
	for name, c := range map[string]struct {
		row []any
		sum int64
	}{
		"message":     {tables.Message(scope, &store.Quarantined{Key: syncproto.Digest{1}, Device: "device-1", Raw: []byte("raw")}), 6276119413994714034},
		"epoch":       {tables.Epoch(&store.Epoch{ID: [16]byte{1}}), -6505051604552482940},
		"replica":     {m(tables.Replica(dev, &store.Replica{ID: 7, ClaimedN: 9, HeldN: 3})), -576087730065010214},
		"enrolment":   {m(tables.Enrolment(&store.Enrolment{ID: "code-1"})), 3469925628031257043},
		"head":        {m(tables.Head("35.24.02", 1)), 7678893368211917711},
		"chain step":  {m(tables.ChainStep(dev, 7, &store.ChainStep{N: 5})), -7336290269934253957},
		"seen":        {m(tables.Seen(dev, &store.Seen{At: 1})), 8801831417649559481},
		"officer":     {tables.Officer(&store.Officer{ID: "officer-1"}), 120910127101185265},
		"device":      {m(tables.Device(&store.Device{ID: "device-1", PublicKey: []byte("key"), GrantsVersion: 1})), 4165415807182553790},
		"witness":     {m(tables.Witness(dev, &store.Witness{N: 1})), 8698052918129781258},
		"receipt":     {m(tables.Receipt(dev, &store.Receipt{N: 1, Body: []byte("body")})), 4732149400075843063},
		"past grants": {m(tables.PastGrant("device-1", nil, 0, 3)), -4638249362124010404},
	} {
		if got := c.row[len(c.row)-1]; got != c.sum {
			t.Errorf("the sum of the %s is %d, must be %d", name, got, c.sum)
		}
	}
}

// TestRowsSayWhatWentIn: values are int64, string, []byte or nil, and give back
// what they were made of.
func TestRowsSayWhatWentIn(t *testing.T) {
	m := must(t)
	const scope syncproto.Scope = "35.24.14"
	row := store.Row{
		Scope: scope, ID: syncproto.RecordID{1}, Seq: 2, Entered: 1, Kind: "k", Conflicts: 3, Deleted: true, Purged: true, MovedTo: "35.24.02", Of: syncproto.RecordID{9},
		Agency: "a", Officer: "o", CreatedAt: -1, UpdatedAt: math.MaxInt64, State: []byte{0}, Doc: []byte(`{}`),
	}
	change := store.Change{Scope: scope, Seq: 1, ID: syncproto.RecordID{1}, Device: "d", Officer: "o", Agency: "a", Ops: []byte("x"), Digest: syncproto.Digest{1}, At: 5}
	past := store.PastWrite{Scope: scope, ID: syncproto.RecordID{1}, Path: "p", Dot: syncproto.Dot{Replica: math.MaxUint64, N: 1}, HLC: math.MaxUint64, Value: []byte("1"), Step: syncproto.Digest{2}}
	message := store.Quarantined{Scope: string(scope), Key: syncproto.Digest{1}, Code: "c", Raw: []byte("r"), State: "closed", Reason: "r", By: "b", DecidedAt: 9}
	device := store.Device{ID: "d", PublicKey: []byte{1}, Grants: syncproto.Grants{{Region: "35", Classes: []syncproto.Class{"D"}, Until: 5}}, Wipe: true}
	for name, c := range map[string]struct {
		table *tables.Table
		in    any
		row   []any
		read  func(*tables.Cursor[any]) any
	}{
		"record":     {tables.Records, row, m(tables.Record(scope, &row)), func(c *tables.Cursor[any]) any { return tables.ReadRecord(c) }},
		"change":     {tables.Changes, change, m(tables.Change(scope, &change)), func(c *tables.Cursor[any]) any { return tables.ReadChange(c) }},
		"past write": {tables.PastWrites, past, m(tables.PastWrite(scope, &past)), func(c *tables.Cursor[any]) any { return tables.ReadPastWrite(c) }},
		"message":    {tables.Quarantine, message, tables.Message(string(scope), &message), func(c *tables.Cursor[any]) any { return tables.ReadMessage(c) }},
		"device":     {tables.Devices, device, m(tables.Device(&device)), func(c *tables.Cursor[any]) any { return tables.ReadDevice(c) }},
	} {
		if len(c.row) != len(c.table.Columns)+1 {
			t.Errorf("%s: %d values for %d columns and the sum", name, len(c.row), len(c.table.Columns))
		}
		cur := &tables.Cursor[any]{Row: c.row}
		if diff := cmp.Diff(c.in, c.read(cur), cmpopts.EquateEmpty(), cmp.Comparer(bytes.Equal)); diff != "" || cur.Err != nil {
			t.Errorf("%s (-in +out): %v\n%s", name, cur.Err, diff)
		}
		// Each value counts.
		for i := range c.row {
			changed := &tables.Cursor[any]{Row: append([]any(nil), c.row...), Damages: tables.NewDamages(nil)}
			switch v := changed.Row[i].(type) {
			case int64:
				changed.Row[i] = v ^ 1
			case string:
				changed.Row[i] = []byte(v)
			case []byte:
				changed.Row[i] = append([]byte{1}, v...)
			default:
				t.Errorf("%s: value %d is a %T", name, i, v)
			}
			if changed.Sound(c.table) || changed.Damages.Count() != 1 {
				t.Errorf("%s: a changed value %d is not seen", name, i)
			}
		}
	}
	if _, err := tables.Record(scope, &store.Row{Seq: math.MaxUint64}); err == nil {
		t.Error("a sequence of 64 bits without sign was kept")
	}
}

// TestADamagedRowNamesNobody: what a damaged column holds may be a piece of
// another.
func TestADamagedRowNamesNobody(t *testing.T) {
	var told []*store.Damage
	c := &tables.Cursor[any]{
		Row:     []any{"Ni Luh, born 1999", []byte("passport"), "x", int64(0)},
		Damages: tables.NewDamages(func(d *store.Damage) { told = append(told, d) }),
	}
	for range 2 {
		c.Must(&tables.Table{Name: "x", ScopeAt: 0, KeyAt: 1, SeqAt: 2})
	}
	if !errors.Is(c.Err, store.ErrDamaged) || len(told) != 1 || strings.Contains(told[0].Error(), "Luh") || strings.Contains(told[0].Error(), "passport") {
		t.Errorf("error %v, told %v", c.Err, told)
	}
	var none *tables.Damages
	none.Add(told[0])
	if none.Count() != 0 {
		t.Error("nobody remembers")
	}
}
