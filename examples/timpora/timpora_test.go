package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/syncproto"
)

// played is the story after its end.
type played struct {
	*story
	t       *testing.T
	entries []entry
	records map[string]details
	inbox   []message
	output  string
}

func play(t *testing.T) *played {
	t.Helper()
	var out bytes.Buffer
	s, err := newStory(t.Context(), t.TempDir(), "127.0.0.1:0", &teller{out: &out})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, p := range s.phones {
			_ = p.replica.Close()
		}
	})
	if err := s.play(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	s.now.Store(0)
	hq, err := s.headquarters()
	if err != nil {
		t.Fatal(err)
	}
	p := &played{story: s, t: t, records: map[string]details{}}
	if p.entries, err = hq.log(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, e := range p.entries {
		if p.records[e.ID], err = hq.record(t.Context(), e.ID); err != nil {
			t.Fatal(err)
		}
	}
	if p.inbox, err = hq.inbox(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.tell(t.Context(), hq); err != nil {
		t.Fatal(err)
	}
	p.output = out.String()
	return p
}

// of returns the merged form of the n-th record of a kind in a sample.
func (p *played) of(sampleID, kind string, n int) details {
	p.t.Helper()
	for _, r := range p.sample(sampleID).Records {
		if r.Kind != kind {
			continue
		}
		if n--; n < 0 {
			d, ok := p.records[p.id(r.ID).String()]
			if !ok {
				p.t.Errorf("%s: the %s is not in the merged log", sampleID, kind)
			}
			return d
		}
	}
	p.t.Fatalf("%s has no such %s", sampleID, kind)
	return details{}
}

func (p *played) sample(id string) *sample {
	return p.samples[slices.IndexFunc(p.samples, func(s *sample) bool { return s.ID == id })]
}

func (d details) field(path string) field {
	i := slices.IndexFunc(d.Fields, func(f field) bool { return f.Path == path })
	if i < 0 {
		return field{}
	}
	return d.Fields[i]
}

// values returns the present values of a field, in JSON, sorted.
func (f field) values() []string {
	out := make([]string, len(f.Values))
	for i, v := range f.Values {
		out[i] = string(v.Value)
	}
	slices.Sort(out)
	return out
}

func (d details) reviews(name string) bool {
	return slices.ContainsFunc(d.Computed, func(c computed) bool { return c.Field == name && c.Review })
}

func (d details) list(name string) []any {
	l, _ := d.Doc[name].([]any)
	return l
}

// codes returns the finding codes of all encounters and inspections that a
// sample made.
func (p *played) codes(sampleID string) map[string]bool {
	out := map[string]bool{}
	for _, r := range p.sample(sampleID).Records {
		for _, c := range p.records[p.id(r.ID).String()].list("finding_codes") {
			out[str(c)] = true
		}
	}
	return out
}

// expectation decides one line of a sample's expect. Waits says what it waits
// for, if this release can't decide it.
type expectation struct {
	sample, key string
	waits       string
	decide      func(*testing.T, *played)
}

const (
	waitsForLinks = "a proposal to link two records (headquarters' duplicate desk)"
	waitsForLists = "roles inside headquarters (restricted lists) and the digest"
)

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

var expectations = []expectation{
	{"TS-01", "store", "", func(t *testing.T, p *played) {
		for _, r := range p.sample("TS-01").Records {
			if _, ok := p.records[p.id(r.ID).String()]; !ok {
				t.Errorf("%s %s is not in the merged log", r.Kind, r.ID)
			}
		}
	}},
	{"TS-01", "match", waitsForLinks, nil},
	{"TS-01", "auto_merge", "", func(t *testing.T, p *played) {
		a, b := p.of("TS-01", "foreigner", 0), p.of("TS-02", "foreigner", 0)
		if a.ID == b.ID || a.Doc["surname"] != b.Doc["surname"] {
			t.Error("the two persons must stay two records")
		}
	}},
	{"TS-02", "review", "", func(t *testing.T, p *played) { // the second line; the first is a proposal to link
		itas := p.of("TS-02", "document", 1)
		equal(t, "number of observations", len(itas.list("status_observations")), 2)
		if !itas.reviews("status_effective") {
			t.Errorf("the ITAS' status is not up for review: %v", itas.Computed)
		}
	}},
	{"TS-02", "keep_both_encounters", "", func(t *testing.T, p *played) {
		if p.of("TS-01", "encounter", 0).ID == p.of("TS-02", "encounter", 0).ID {
			t.Error("the two encounters became one")
		}
	}},
	{"TS-02", "union_findings", "", func(t *testing.T, p *played) {
		all := p.codes("TS-01")
		maps.Copy(all, p.codes("TS-02"))
		equal(t, "findings", slices.Sorted(maps.Keys(all)), []string{"F05", "F11"})
	}},
	{"TS-03", "dedupe_candidate", waitsForLinks, nil},
	{"TS-03", "auto_merge", "", func(t *testing.T, p *played) {
		if p.of("TS-03", "site", 0).ID == p.of("TS-04", "site", 0).ID {
			t.Error("the two sites became one without a decision")
		}
	}},
	{"TS-04", "dedupe_candidate", waitsForLinks, nil},
	{"TS-04", "field_merge_if_linked", waitsForLinks, nil},
	{"TS-05", "last_seen", waitsForLinks, nil},
	{"TS-05", "current_site", waitsForLinks, nil},
	{"TS-06", "auto_link", waitsForLinks, nil},
	{"TS-06", "merge", waitsForLinks, nil},
	{"TS-07", "verification", "", func(t *testing.T, p *played) {
		s := p.of("TS-07", "sponsor", 0)
		equal(t, "number of verifications", len(s.list("verification")), 2)
		if !s.reviews("verification_effective") {
			t.Errorf("the effective status is not up for review: %v", s.Computed)
		}
	}},
	{"TS-07", "rule", "", func(t *testing.T, p *played) {
		equal(t, "over_limit of a corporate sponsor with 11", p.of("TS-07", "sponsor", 0).Doc["over_limit"] == true, false)
	}},
	{"TS-08", "review", "", func(t *testing.T, p *played) {
		s := p.of("TS-08", "sponsor", 0)
		desa := s.field("desa_code")
		equal(t, "values of desa_code", desa.values(), []string{`"35.25.10.2018"`, `"35.25.14.1015"`})
		if !desa.Review || !s.reviews("verification_effective") {
			t.Error("desa_code and verification must be up for review")
		}
	}},
	{"TS-08", "trap", "", func(t *testing.T, p *played) {
		// What came later was seen earlier: it may not be what is shown.
		for _, v := range p.of("TS-08", "sponsor", 0).field("desa_code").Values {
			if v.Shown != (v.Officer == "ptg-imi-11") {
				t.Errorf("shown = %t for the value of %s", v.Shown, v.Officer)
			}
		}
	}},
	{"TS-09", "fsm", "", func(t *testing.T, p *played) {
		f := p.of("TS-09", "follow_up", 0).field("status")
		if !slices.Contains(f.values(), `"done"`) {
			t.Errorf("values of status = %v", f.values())
		}
	}},
	{"TS-10", "review", "", func(t *testing.T, p *played) {
		f := p.of("TS-10", "follow_up", 0).field("status")
		equal(t, "values of status", f.values(), []string{`"done"`, `"escalated"`})
		if !f.Review {
			t.Error("two moves from one state must be up for review")
		}
	}},
	{"TS-10", "restricted", waitsForLists, nil},
	{"TS-11", "clock", "", func(t *testing.T, p *played) {
		for n := range 2 {
			if d := p.of("TS-11", "document", n); !d.SuspectClock {
				t.Errorf("%s is not flagged", d.Doc["type"])
			}
		}
		if p.of("TS-12", "site", 0).SuspectClock {
			t.Error("the officer who read the record came under suspicion himself")
		}
	}},
	{"TS-12", "lww", "", func(t *testing.T, p *played) {
		equal(t, "current_address_desa", p.of("TS-12", "foreigner", 0).Doc["current_address_desa"], any("35.22.28.2004"))
		equal(t, "conflicts", p.of("TS-12", "foreigner", 0).Conflicts, 0)
	}},
	{"TS-13", "rule", "", func(t *testing.T, p *played) {
		if p.codes("TS-13")["F08"] || p.codes("TS-14")["F08"] {
			t.Error("F08 for a spouse of an Indonesian")
		}
	}},
	{"TS-13", "minor", "", func(t *testing.T, p *played) {
		n := 0
		for _, e := range p.entries {
			if e.Kind == "foreigner" && e.Region == "35.23.18" {
				n++
			}
		}
		equal(t, "foreigners of the family", n, 1)
	}},
	{"TS-14", "review", "", func(t *testing.T, p *played) {
		d := p.of("TS-14", "foreigner", 0)
		for _, f := range d.Fields {
			if f.Review {
				t.Errorf("%s is up for review", f.Path)
			}
		}
	}},
	{"TS-14", "merge", "", func(t *testing.T, p *played) {
		d := p.of("TS-14", "foreigner", 0)
		equal(t, "current_address_desa", d.Doc["current_address_desa"], any("35.23.18.2016"))
		equal(t, "spouse_wni", d.Doc["spouse_wni"], any(true))
		equal(t, "conflicts", d.Conflicts, 0)
		if p.codes("TS-14")["F12"] {
			t.Error("F12 was filled in")
		}
	}},
	{"TS-15", "tombstone_wins", "", func(t *testing.T, p *played) {
		d := p.of("TS-15", "foreigner", 0)
		if !d.Purged || d.Doc["surname"] != nil || d.Doc["person_status"] != nil {
			t.Errorf("purged = %t, doc = %v", d.Purged, d.Doc)
		}
	}},
	{"TS-15", "action", "", func(t *testing.T, p *played) {
		phone := p.phones["ptg-kec-22"].replica
		if _, err := phone.Get(p.id(p.sample("TS-15").Records[0].ID)); syncproto.CodeOf(err) != syncproto.CodeNotFound {
			t.Errorf("the phone still has the record: %v", err)
		}
		if n := phone.Counts().Waiting; n != 0 {
			t.Errorf("%d records still wait on the phone", n)
		}
		for _, f := range p.of("TS-15", "foreigner", 0).Fields {
			for _, w := range f.History {
				if strings.Contains(string(w.Value), "OKORO") {
					t.Errorf("the journal still has the name at %s", f.Path)
				}
			}
		}
	}},
	{"TS-16", "idempotent", "", func(t *testing.T, p *played) { // the photo waits for attachments
		for _, r := range p.sample("TS-16").Records {
			for _, f := range p.records[p.id(r.ID).String()].Fields {
				if len(f.History) != 1 {
					t.Errorf("%s: %d writes at %s, want 1", r.Kind, len(f.History), f.Path)
				}
			}
		}
		if !strings.Contains(p.output, "TS-16 12-06-2026 18.22 ptg-imi-15   PUTUS") {
			t.Error("the first attempt was not cut: the test is void")
		}
	}},
	{"TS-16", "icao", "", func(t *testing.T, p *played) {
		equal(t, "nationality", p.of("TS-16", "foreigner", 0).Doc["nationality"], any("D"))
	}},
	{"TS-17", "note", "", func(t *testing.T, p *played) {
		for _, e := range p.entries {
			if e.Officer == "ptg-kod-01" && (e.Kind == "foreigner" || e.Kind == "document" || e.Kind == "encounter") {
				t.Errorf("a nil report made a %s", e.Kind)
			}
		}
	}},
	{"TS-18", "scope", "", func(t *testing.T, p *played) {
		kinds := map[string]bool{}
		for _, m := range p.inbox {
			if m.Scope == "35.24.07" && m.Code == string(syncproto.CodeScopeDenied) {
				kinds[m.Kind] = true
			}
		}
		equal(t, "kinds in Lamongan's inbox", slices.Sorted(maps.Keys(kinds)), []string{"inspection", "site"})
		phone := p.phones["ptg-kec-31"].replica
		for rec, err := range phone.List(sambang.Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			if rec.Region == "35.24.07" {
				t.Errorf("Palang's officer still sees a %s of Lamongan", rec.Kind)
			}
		}
		for _, r := range p.sample("TS-18").Records {
			if c, err := phone.Custody(p.id(r.ID)); err != nil || c != sambang.CustodyReceived {
				t.Errorf("custody of the %s = %v, %v", r.Kind, c, err)
			}
		}
	}},
	{"TS-19", "rule", "", func(t *testing.T, p *played) {
		equal(t, "findings", slices.Sorted(maps.Keys(p.codes("TS-19"))), []string{"F14"})
	}},
	{"TS-19", "restricted", "", func(t *testing.T, p *played) {
		equal(t, "restricted", p.of("TS-19", "encounter", 0).Doc["restricted"], any(true))
		// The mark is for headquarters: no phone keeps it, not even the author's.
		phone := p.phones["ptg-pol-08"].replica
		rec, err := phone.Get(p.id(p.sample("TS-19").Records[3].ID))
		if err == nil && rec.Fields["restricted"] != nil {
			t.Error("the author's phone kept a field for headquarters only")
		}
	}},
	{"TS-20", "rules", "", func(t *testing.T, p *played) {
		task := p.of("TS-20", "follow_up", 1)
		equal(t, "action", task.Doc["action"], any("terbitkan_surat_perintah_mendesak"))
		equal(t, "due", task.Doc["due_on"], any("2026-07-09"))
		equal(t, "over_limit of an individual sponsor with 11", p.of("TS-20", "sponsor", 0).Doc["over_limit"], any(true))
	}},
}

func TestTheSamplesEndAsTheyExpect(t *testing.T) {
	p := play(t)
	for _, x := range expectations {
		t.Run(x.sample+" "+x.key, func(t *testing.T) {
			if x.waits != "" {
				t.Logf("waits for %s", x.waits)
				return
			}
			q := *p
			q.t = t
			x.decide(t, &q)
		})
	}
}

func TestNoLineOfExpectIsForgotten(t *testing.T) {
	samples, err := loadSamples()
	if err != nil {
		t.Fatal(err)
	}
	if len(samples) != 20 {
		t.Errorf("%d samples, want 20", len(samples))
	}
	for _, s := range samples {
		var keys map[string]json.RawMessage
		if err := json.Unmarshal(s.Expect, &keys); err != nil {
			t.Fatal(err)
		}
		for key := range keys {
			n := 0
			for _, x := range expectations {
				if x.sample == s.ID && x.key == key {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%s: expect.%s is in the table %d times, want once", s.ID, key, n)
			}
		}
	}
}

func TestTheCommandTellsItInBothLanguagesAndEnds(t *testing.T) {
	for lang, want := range map[string]string{"id": "Log gabungan di pusat", "en": "Merged log at headquarters"} {
		var out bytes.Buffer
		if err := run(t.Context(), []string{"-once", "-lang", lang}, &out); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), want) || strings.Contains(out.String(), "%!") {
			t.Errorf("-lang %s printed:\n%s", lang, out.String())
		}
	}
}
