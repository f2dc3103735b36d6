package pack_test

import (
	"testing"

	"github.com/sambang-id/sambang/syncproto/pack"
)

func inspection(b *testing.B) (*pack.Pack, *writer) {
	p := pack.Timpora()
	w := newWriter(b, 2, noon)
	w.split(p, "inspection", recordID(1), map[string]any{
		"site_id": "0ee72936-601b-57be-8cd1-c6a1def7332f", "mandate_no": "SP-REKAAN/001/WASDAK/2026",
		"started_at": "2026-03-10T09:30:00+07:00", "ended_at": "2026-03-10T10:20:00+07:00", "outcome": "finding",
		"people_present": 1, "people_checked": 1, "finding_codes": []any{"F05", "F11"}, "team": []any{"imigrasi", "disnaker"}, "status": "final",
	})
	return p, w
}

func BenchmarkProject(b *testing.B) {
	p, w := inspection(b)
	r := w.get(recordID(1))
	b.ReportAllocs()
	for b.Loop() {
		projection := p.Project(r)
		projection.DocJSON()
	}
}

func BenchmarkDiff(b *testing.B) {
	p, w := inspection(b)
	before := w.project(p, recordID(1))
	b.ReportAllocs()
	for b.Loop() {
		doc := before.Doc()
		doc["outcome"] = "nil"
		if _, err := p.Diff(before, doc); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	p, w := inspection(b)
	doc := w.project(p, recordID(1)).Doc()
	b.ReportAllocs()
	for b.Loop() {
		p.Validate("inspection", doc)
	}
}

func BenchmarkParse(b *testing.B) {
	text := pack.TimporaJSON()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := pack.Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
