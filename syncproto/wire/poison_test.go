package wire_test

import (
	"bytes"
	"errors"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// TestOnePoisonRecordLeavesTheOthers: whatever is wrong with one item of 500,
// the batch is read and 499 items decode.
func TestOnePoisonRecordLeavesTheOthers(t *testing.T) {
	const poison = 250
	records := workload(syncproto.MaxBatchItems)
	id := func(b *wire.Batch) *wire.Delta { return b.Items[poison].Delta }
	for name, c := range map[string]struct {
		spoil func(b *wire.Batch)
		code  syncproto.Code
	}{
		"no delta":                   {func(b *wire.Batch) { b.Items[poison].Delta = nil }, syncproto.CodeBadID},
		"short id":                   {func(b *wire.Batch) { id(b).Id = id(b).Id[:15] }, syncproto.CodeBadID},
		"zero id":                    {func(b *wire.Batch) { id(b).Id = make([]byte, 16) }, syncproto.CodeBadID},
		"no context":                 {func(b *wire.Batch) { id(b).Ctx = nil }, syncproto.CodeBadVector},
		"replica beyond the table":   {func(b *wire.Batch) { id(b).Ctx.Replica[0] = 99 }, syncproto.CodeBadVector},
		"zero replica":               {func(b *wire.Batch) { b.Tables.Replicas = append(b.Tables.Replicas, 0); id(b).Ctx.Replica[0] = 1 }, syncproto.CodeBadVector},
		"counters without replicas":  {func(b *wire.Batch) { id(b).Ctx.N = append(id(b).Ctx.N, 1) }, syncproto.CodeBadVector},
		"zero counter":               {func(b *wire.Batch) { id(b).Ctx.N[0] = 0 }, syncproto.CodeBadVector},
		"counter above 2^53":         {func(b *wire.Batch) { id(b).Ctx.N[0] = syncproto.MaxCounter + 1 }, syncproto.CodeBadVector},
		"replica twice":              {func(b *wire.Batch) { v := id(b).Ctx; v.Replica, v.N = append(v.Replica, v.Replica[0]), append(v.N, 1) }, syncproto.CodeBadVector},
		"dot below one":              {func(b *wire.Batch) { id(b).Back[0] = id(b).Ctx.N[0] }, syncproto.CodeBadVector},
		"dot of an unknown replica":  {func(b *wire.Batch) { id(b).Replica = make([]uint32, 10); id(b).Replica[3] = 9 }, syncproto.CodeBadVector},
		"base above the context":     {func(b *wire.Batch) { id(b).Base = &wire.Vector{Replica: []uint32{0}, N: []uint64{1 << 40}} }, syncproto.CodeBadVector},
		"floor above the context":    {func(b *wire.Batch) { id(b).Floor = &wire.Vector{Replica: []uint32{0}, N: []uint64{1 << 40}} }, syncproto.CodeBadVector},
		"elided and not in the base": {func(b *wire.Batch) { v := id(b); v.Values = "\n" + cutLine(v.Values) }, syncproto.CodeBadVector},
		"path beyond the table":      {func(b *wire.Batch) { id(b).Path[0] = 99 }, syncproto.CodeBadPath},
		"path with an empty segment": {func(b *wire.Batch) { path(b, "a//b") }, syncproto.CodeBadPath},
		"path that is not UTF-8":     {func(b *wire.Batch) { path(b, "\xff") }, syncproto.CodeInvalidUTF8},
		"path not in NFC":            {func(b *wire.Batch) { path(b, "e\u0301") }, syncproto.CodeBadPath},
		"paths unsorted":             {func(b *wire.Batch) { p := id(b).Path; p[0], p[1] = p[1], p[0] }, syncproto.CodeBadRecord},
		"path twice":                 {func(b *wire.Batch) { p := id(b).Path; p[1] = p[0] }, syncproto.CodeBadRecord},
		"field without sibling":      {func(b *wire.Batch) { id(b).Siblings = []uint32{0, 2, 1, 1, 1, 1, 1, 1, 1, 1} }, syncproto.CodeBadRecord},
		"dots unsorted": {func(b *wire.Batch) {
			d := id(b)
			d.Siblings, d.Path = []uint32{2, 1, 1, 1, 1, 1, 1, 1, 1}, d.Path[:9]
			d.Back[0], d.Back[1] = d.Back[1], d.Back[0]
		}, syncproto.CodeBadRecord},
		"a count too few":             {func(b *wire.Batch) { id(b).Siblings = []uint32{1, 1} }, syncproto.CodeBadRecord},
		"a value too few":             {func(b *wire.Batch) { id(b).Values = cutLine(id(b).Values) }, syncproto.CodeBadRecord},
		"a value too many":            {func(b *wire.Batch) { id(b).Values += "\n1" }, syncproto.CodeBadRecord},
		"column too short":            {func(b *wire.Batch) { id(b).Hlc = id(b).Hlc[1:] }, syncproto.CodeBadRecord},
		"suspect beyond the siblings": {func(b *wire.Batch) { id(b).Suspect = []uint32{10} }, syncproto.CodeBadRecord},
		"extra beyond the siblings":   {func(b *wire.Batch) { id(b).Extra = []*wire.Extra{{Sibling: 10, Signature: []byte{1}}} }, syncproto.CodeBadRecord},
		"extra twice":                 {func(b *wire.Batch) { x := &wire.Extra{Signature: []byte{1}}; id(b).Extra = []*wire.Extra{x, x} }, syncproto.CodeBadRecord},
		"extra too large":             {func(b *wire.Batch) { id(b).Extra = []*wire.Extra{{Signature: make([]byte, wire.MaxExtraBytes)}} }, syncproto.CodeTooLarge},
		"too many siblings":           {func(b *wire.Batch) { id(b).Siblings = []uint32{257, 1, 1, 1, 1, 1, 1, 1, 1, 1} }, syncproto.CodeTooMany},
		"value that is not JSON":      {func(b *wire.Batch) { value(b, `{"a":}`) }, syncproto.CodeBadValue},
		"value not canonical":         {func(b *wire.Batch) { value(b, `{"b":1,"a":2}`) }, syncproto.CodeBadValue},
		"value with white space":      {func(b *wire.Batch) { value(b, `[1, 2]`) }, syncproto.CodeBadValue},
		"value that is not UTF-8":     {func(b *wire.Batch) { value(b, "\"\xff\"") }, syncproto.CodeInvalidUTF8},
		"value too deep":              {func(b *wire.Batch) { value(b, nested(syncproto.MaxValueDepth+2)) }, syncproto.CodeTooDeep},
		"value too large":             {func(b *wire.Batch) { value(b, text(syncproto.MaxValueBytes+1)) }, syncproto.CodeTooLarge},
		"record too large":            {func(b *wire.Batch) { big(b) }, syncproto.CodeTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			frame := batch(records)
			b := frame.GetBatch()
			c.spoil(b)
			var body bytes.Buffer
			if err := wire.NewFrameWriter(&body, wire.Protobuf).Request(frame); err != nil {
				t.Fatal(err)
			}
			got, err := wire.NewFrameReader(&body, wire.Protobuf).Request()
			if err != nil {
				t.Fatalf("the whole frame is refused: %v", err)
			}
			d, err := wire.NewDecoder(got.GetBatch().GetTables())
			if err != nil {
				t.Fatalf("the tables are refused: %v", err)
			}
			for i, item := range got.GetBatch().GetItems() {
				_, err := d.Delta(item.GetDelta())
				if i != poison && err != nil {
					t.Fatalf("item %d: %v", i, err)
				}
				if i == poison && syncproto.CodeOf(err) != c.code {
					t.Fatalf("the poison record: %v, want %s", err, c.code)
				}
			}
		})
	}
}

func cutLine(values string) string {
	_, rest, _ := bytes.Cut([]byte(values), []byte("\n"))
	return string(rest)
}

// path gives the poison record a path of its own, sorted last.
func path(b *wire.Batch, p string) {
	b.Tables.Paths = append(b.Tables.Paths, p)
	b.Items[250].Delta.Path[9] = uint32(len(b.Tables.Paths) - 1)
}

// value replaces the poison record's first value.
func value(b *wire.Batch, v string) {
	d := b.Items[250].Delta
	d.Values = v + "\n" + cutLine(d.Values)
}

func nested(depth int) string {
	return string(bytes.Repeat([]byte("["), depth)) + string(bytes.Repeat([]byte("]"), depth))
}

func text(n int) string { return `"` + string(bytes.Repeat([]byte("a"), n-2)) + `"` }

// big makes the poison record of ten values within their limit, too large
// together.
func big(b *wire.Batch) {
	var all []string
	for range 10 {
		all = append(all, text(syncproto.MaxValueBytes))
	}
	d := b.Items[250].Delta
	d.Values = ""
	for i, v := range all {
		if i > 0 {
			d.Values += "\n"
		}
		d.Values += v
	}
}

func TestABadScopeCostsTheItemsThatUseIt(t *testing.T) {
	d, err := wire.NewDecoder(&wire.Tables{Scopes: []string{"35.24.14", "35.24", "\xff", "35.24.14/T"}})
	if err != nil {
		t.Fatal(err)
	}
	for i, code := range []syncproto.Code{"", syncproto.CodeBadScope, syncproto.CodeInvalidUTF8, "", syncproto.CodeBadScope} {
		if _, err := d.Scope(uint32(i)); syncproto.CodeOf(err) != code {
			t.Errorf("scope %d: %v, want %q", i, err, code)
		}
	}
}

func TestAPastWriteIsToldWholeOrByItsStep(t *testing.T) {
	d, err := wire.NewDecoder(&wire.Tables{Replicas: []uint64{5}, Paths: []string{"a", "b//"}, Scopes: []string{"35.24.14"}, Hlc: 100})
	if err != nil {
		t.Fatal(err)
	}
	id := bytes.Repeat([]byte{7}, 16)
	whole := &wire.History{N: 3, Id: id, Hlc: -1, Value: "1"}
	w, err := d.History(whole)
	if err != nil || w.HLC != 99 || w.StepOnly() || w.Step != syncproto.Step(syncproto.RecordID(id), "a", syncproto.Dot{Replica: 5, N: 3}, 99, syncproto.MustValue(1)) {
		t.Errorf("%+v, %v", w, err)
	}
	if w, err := d.History(&wire.History{N: 3, Step: bytes.Repeat([]byte{1}, 32)}); err != nil || !w.StepOnly() {
		t.Errorf("%+v, %v", w, err)
	}
	for name, c := range map[string]struct {
		m    *wire.History
		code syncproto.Code
	}{
		"nothing":             {nil, syncproto.CodeBadRecord},
		"no replica":          {&wire.History{Replica: 1, N: 3, Id: id, Value: "1"}, syncproto.CodeBadVector},
		"counter 0":           {&wire.History{Id: id, Value: "1"}, syncproto.CodeBadVector},
		"counter too high":    {&wire.History{N: syncproto.MaxCounter + 1, Id: id, Value: "1"}, syncproto.CodeBadVector},
		"short step":          {&wire.History{N: 3, Step: []byte{1}}, syncproto.CodeBadRecord},
		"step and more":       {&wire.History{N: 3, Step: bytes.Repeat([]byte{1}, 32), Id: id}, syncproto.CodeBadRecord},
		"no id":               {&wire.History{N: 3, Value: "1"}, syncproto.CodeBadID},
		"bad path":            {&wire.History{N: 3, Id: id, Path: 1, Value: "1"}, syncproto.CodeBadPath},
		"bad scope":           {&wire.History{N: 3, Id: id, Scope: 1, Value: "1"}, syncproto.CodeBadScope},
		"no value":            {&wire.History{N: 3, Id: id}, syncproto.CodeBadValue},
		"value not canonical": {&wire.History{N: 3, Id: id, Value: "1.0"}, syncproto.CodeBadValue},
	} {
		if _, err := d.History(c.m); syncproto.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}

// TestTheStepsOfAPoisonRecordAreRead: its chain links count, so that later
// writes of its device can be receipted.
func TestTheStepsOfAPoisonRecordAreRead(t *testing.T) {
	frame := batch(workload(1))
	m := frame.GetBatch().Items[0].Delta
	d, err := wire.NewDecoder(frame.GetBatch().Tables)
	if err != nil {
		t.Fatal(err)
	}
	good := d.Steps(m)
	m.Values = `"not closed` + "\n" + cutLine(m.Values)
	if _, err := d.Delta(m); !errors.Is(err, syncproto.CodeBadValue) {
		t.Fatal(err)
	}
	loose := d.Steps(m)
	if len(good) != 10 || len(loose) != 10 {
		t.Fatalf("%d and %d steps", len(good), len(loose))
	}
	for i := range good {
		if good[i].Dot != loose[i].Dot || (good[i].Digest == loose[i].Digest) != (i > 0) {
			t.Errorf("step %d", i)
		}
	}
	for _, m := range []*wire.Delta{nil, {}, {Id: m.Id, Path: []uint32{0}, Siblings: []uint32{1, 1}}} {
		if got := d.Steps(m); len(got) > 0 {
			t.Errorf("steps of %v: %v", m, got)
		}
	}
}

// TestAQuarantinedItemIsKeptAsItWas: the same bytes whatever batch it came
// in, everything that is wrong with it and everything unknown included.
func TestAQuarantinedItemIsKeptAsItWas(t *testing.T) {
	records := workload(3)
	unknown := protowire.AppendTag(nil, 900, protowire.BytesType)
	unknown = protowire.AppendString(unknown, "of a later version")
	keep := func(records []syncproto.Record, i int) []byte {
		b := batch(records).GetBatch()
		d := b.Items[i].Delta
		d.Values = "nonsense\n" + cutLine(d.Values)
		d.Ctx.Replica[0] = 77
		d.ProtoReflect().SetUnknown(unknown)
		b.Items[i].ProtoReflect().SetUnknown(unknown)
		raw, err := wire.EncodeQuarantined(b.Tables, b.Items[i])
		if err != nil {
			t.Fatal(err)
		}
		if d.Ctx.Replica[0] != 77 || d.Path[1] == 0 && len(records) == 1 {
			t.Error("the item was changed")
		}
		return raw
	}
	alone, among := keep(records[2:], 0), keep(records, 2)
	if !bytes.Equal(alone, among) {
		t.Error("the same item gives other bytes in another batch")
	}
	tables, item, err := wire.DecodeQuarantined(alone)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(item.ProtoReflect().GetUnknown(), unknown) || !bytes.Equal(item.Delta.ProtoReflect().GetUnknown(), unknown) {
		t.Error("unknown fields are gone")
	}
	if len(tables.Paths) != 10 || len(tables.Scopes) != 1 || item.Delta.Values[:9] != "nonsense\n" {
		t.Errorf("kept as %v", item)
	}
	d, err := wire.NewDecoder(tables)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Delta(item.Delta); !errors.Is(err, syncproto.CodeBadVector) {
		t.Errorf("what was wrong is: %v", err)
	}
	if _, _, err := wire.DecodeQuarantined([]byte{0xff}); !errors.Is(err, syncproto.CodeMalformed) {
		t.Errorf("damaged: %v", err)
	}
	two, err := proto.Marshal(&wire.Batch{Items: []*wire.Item{{}, {}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := wire.DecodeQuarantined(two); !errors.Is(err, syncproto.CodeMalformed) {
		t.Errorf("two items: %v", err)
	}
}
