package engine_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/syncproto"
)

// BenchmarkPush takes in batches of 500 new records of ten fields, about 1.8
// KB each, from one device: what the server alone costs of a first push.
func BenchmarkPush(b *testing.B) {
	s := newSite(b)
	d := s.device("a", grant("35.24"))
	text := strings.Repeat("Pengelola bersikap kooperatif dan menunjukkan buku tamu. ", 3)
	n := 0
	for b.Loop() {
		b.StopTimer()
		d.records, d.queue = map[syncproto.RecordID]syncproto.Record{}, nil
		for range 500 {
			n++
			writes := []syncproto.Write{
				{Path: syncproto.PathKind, Value: syncproto.MustValue("inspection")},
				{Path: syncproto.PathScope, Value: syncproto.MustValue(fmt.Sprintf("35.24.%02d", n%27+1))},
			}
			for f := range 8 {
				writes = append(writes, syncproto.Write{Path: fmt.Sprintf("field%d", f), Value: syncproto.MustValue(fmt.Sprintf("%s %d", text, n))})
			}
			d.write(recordID(n), writes...)
			d.queue = append(d.queue, recordID(n))
		}
		open, batches, _, _ := d.request()
		b.StartTimer()
		if r := d.send(open, batches); r.refusal != nil || r.sum.Applied != 500 {
			b.Fatal(r.sum, r.refusal)
		}
		b.StopTimer()
		d.confirmed, d.confirmedHead = d.minter.N(), d.minter.Head()
		b.StartTimer()
	}
	b.ReportMetric(float64(b.N*500)/b.Elapsed().Seconds(), "records/s")
}
