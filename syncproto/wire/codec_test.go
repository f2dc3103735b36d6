package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

const now = 1_773_110_530_000 // 2026-03-10, about when the samples were taken

// workload makes n records of ten fields and about 1.8 KB of values, as an
// inspection has, all by one writer.
func workload(n int) []syncproto.Record {
	rng := rand.New(rand.NewPCG(35, 24))
	words := strings.Fields("Petugas memeriksa dokumen keimigrasian di ruang administrasi Pengelola bersikap kooperatif dan menunjukkan buku tamu Ditemukan perbedaan alamat tinggal dengan data pada sistem")
	text := func(n int) string {
		var b strings.Builder
		for b.Len() < n {
			b.WriteString(words[rng.IntN(len(words))])
			b.WriteByte(' ')
		}
		return b.String()
	}
	m := syncproto.NewMinter(0xa1b2c3d4e5f60718, 0)
	out := make([]syncproto.Record, n)
	for i := range out {
		var id syncproto.RecordID
		for j := range id {
			id[j] = byte(rng.Uint32())
		}
		w := []syncproto.Write{
			{Path: syncproto.PathKind, Value: syncproto.MustValue("inspection")},
			{Path: syncproto.PathScope, Value: syncproto.MustValue("35.24.14")},
			{Path: "site", Value: syncproto.MustValue(map[string]any{"name": text(20), "type": "resort", "lat": rng.Float64(), "lon": rng.Float64()})},
			{Path: "visitedAt", Value: syncproto.MustValue("2026-03-10T09:42:10+07:00")},
			{Path: "officer", Value: syncproto.MustValue(text(15))},
			{Path: "team", Value: syncproto.MustValue([]any{map[string]any{"name": text(12), "agency": "Imigrasi"}})},
			{Path: "foreignNationals", Value: syncproto.MustValue([]any{map[string]any{"name": text(12), "passport": fmt.Sprintf("X%08d", rng.IntN(1e8))}})},
			{Path: "checklist", Value: syncproto.MustValue(text(850))},
			{Path: "findings", Value: syncproto.MustValue(text(300))},
			{Path: "followUp", Value: syncproto.MustValue(map[string]any{"status": "open", "action": text(40)})},
		}
		var err error
		if out[i], m, _, _, err = m.Write(syncproto.NewRecord(id), 0, now+int64(i)*1000, w...); err != nil {
			panic(err)
		}
	}
	return out
}

func batch(records []syncproto.Record) *wire.RequestFrame {
	e := wire.NewEncoder(syncproto.HLCFromMillis(now))
	b := &wire.Batch{}
	for _, r := range records {
		b.Items = append(b.Items, &wire.Item{Scope: e.Scope(r.Home()), Delta: e.Delta(r.Full())})
	}
	b.Tables = e.Tables()
	return &wire.RequestFrame{Frame: &wire.RequestFrame_Batch{Batch: b}}
}

func TestABatchDecodesToWhatWasEncoded(t *testing.T) {
	records := workload(40)
	for _, format := range []wire.Format{wire.Protobuf, wire.JSON} {
		var body bytes.Buffer
		z := wire.NewBodyWriter(&body)
		if err := wire.NewFrameWriter(z, format).Request(batch(records)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		in, err := wire.NewBodyReader(&body, wire.EncodingZstd)
		if err != nil {
			t.Fatal(err)
		}
		r := wire.NewFrameReader(in, format)
		frame, err := r.Request()
		if err != nil {
			t.Fatal(err)
		}
		d, err := wire.NewDecoder(frame.GetBatch().GetTables())
		if err != nil {
			t.Fatal(err)
		}
		for i, item := range frame.GetBatch().GetItems() {
			delta, err := d.Delta(item.GetDelta())
			if err != nil {
				t.Fatal(err)
			}
			change, err := syncproto.Apply(syncproto.NewRecord(delta.ID()), delta)
			if err != nil || !change.Record.Equal(records[i]) {
				t.Fatalf("format %d, record %d differs: %v", format, i, err)
			}
		}
		if _, err := r.Request(); !errors.Is(err, io.EOF) {
			t.Errorf("after the last frame: %v", err)
		}
		if err := in.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestStoredStatesDecodeToWhatWasEncoded(t *testing.T) {
	for _, rec := range workload(5) {
		stamps := make([]uint64, rec.Len())
		for i := range stamps {
			stamps[i] = uint64(i * 1000)
		}
		b, err := wire.EncodeState(rec, stamps, 7)
		if err != nil {
			t.Fatal(err)
		}
		back, got, entered, err := wire.DecodeState(b)
		if err != nil || !back.Equal(rec) || entered != 7 || fmt.Sprint(got) != fmt.Sprint(stamps) {
			t.Fatalf("state differs: %v", err)
		}
	}
}
