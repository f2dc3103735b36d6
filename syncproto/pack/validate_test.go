package pack_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
)

func TestValidateFinds(t *testing.T) {
	p := pack.Timpora()
	type m = map[string]any
	const id = "0ee72936-601b-57be-8cd1-c6a1def7332f"
	inspection := func(change m) m {
		doc := m{"mandate_no": "SP-1", "site_id": id, "status": "draft"}
		for k, v := range change {
			doc[k] = v
			if v == nil {
				delete(doc, k)
			}
		}
		return doc
	}
	document := func(change m) m {
		doc := m{"foreigner_id": id, "type": "passport"}
		for k, v := range change {
			doc[k] = v
		}
		return doc
	}
	for _, c := range []struct {
		name, kind string
		doc        any
		want       string // path:rule of each finding
	}{
		{"nothing", "site", m{"name": "Homestay"}, ""},
		{"nothing about unknown fields", "site", m{"of_tomorrow": 1}, ""},
		{"an empty name", "site", m{"name": ""}, "name:minLength"},
		{"a name too long", "site", m{"name": strings.Repeat("é", 121)}, "name:maxLength"},
		{"nothing about 120 letters of two bytes", "site", m{"name": strings.Repeat("é", 120)}, ""},
		{"a control character", "site", m{"name": "a\tb"}, "name:pattern"},
		{"a type", "site", m{"rooms": "6"}, "rooms:type"},
		{"a range", "site", m{"rooms": 5001}, "rooms:maximum"},
		{"a number that is not whole", "site", m{"rooms": 1.5}, "rooms:type"},
		{"no choice", "site", m{"site_type": "castle"}, "site_type:enum"},
		{"an element", "site", m{"aliases": []any{"a", ""}}, "aliases/1:minLength"},
		{"too many", "site", m{"aliases": strings.Split(strings.Repeat("x y ", 10)+"z", " ")}, "aliases:maxItems aliases:uniqueItems"},
		{"digits", "site", m{"nib": "123"}, "nib:pattern"},
		{"a village that is a district", "site", m{"desa_code": "35.24.14"}, "desa_code:pattern"},
		{"a telephone", "site", m{"phone": "0812-345"}, "phone:pattern"},
		{"a fake location", "site", m{"point": m{"lat": -6.8, "lng": 112.4, "accuracy_m": 0}}, "point/accuracy_m:exclusiveMinimum"},
		{"half a point", "site", m{"point": m{"lat": -6.8}}, "point/lng:required"},
		{"a time without offset", "site", m{"first_seen_at": "2026-03-10T10:00:00"}, "first_seen_at:format"},
		{"a day that is none", "document", document(m{"issued_on": "2026-02-30"}), "issued_on:format"},
		{"nothing about a birth date of known year", "foreigner", m{"birth_date": "1988-<<-<<"}, ""},
		{"a birth date", "foreigner", m{"birth_date": "1988"}, "birth_date:pattern"},
		{"nothing about Germany", "foreigner", m{"nationality": "D"}, ""},
		{"a nationality", "foreigner", m{"nationality": "Jerman"}, "nationality:shape"},
		{"small letters in an MRZ name", "foreigner", m{"surname": "Lin"}, "surname:pattern"},
		{"nothing about a person of one name", "foreigner", m{"surname": "", "given_names": "SUKARNO"}, ""},
		{"what is required", "document", m{"type": "ITAS"}, "foreigner_id:required"},
		{"a passport number", "document", document(m{"number": "ZX-0104778"}), "number:passport_number"},
		{"a short number", "document", document(m{"type": "ITAS", "number": "2C"}), "number:document_number"},
		{"check digits", "document", document(m{"mrz": []any{"P<CHNLIN<<WEIRAN<<<<<<<<<<<<<<<<<<<<<<<<<<<<", "ZX01047783CHN8803160M2909107<<<<<<<<<<<<<<<5"}}), "mrz:mrz"},
		{"an expiry before issue", "document", document(m{"issued_on": "2026-02-02", "expires_on": "2026-02-01"}), "expires_on:expires_after_issue"},
		{"an observation without time", "document", document(m{"status_observations": []any{m{"status": "valid", "agency": "imigrasi"}}}), "status_observations/0/at:required"},
		{"nothing about an observation in place of a value", "site", m{"apoa": pack.Observation{Value: "registered", At: "2026-03-10T10:00:00+07:00"}}, ""},
		{"neither mandate nor reason", "inspection", inspection(m{"mandate_no": nil}), "mandate_no:mandate_or_reason"},
		{"a reason that needs approval", "inspection", inspection(m{"mandate_no": nil, "no_mandate_reason": "dpo"}), "approved_by_ref:approval"},
		{"nothing about a reason that needs none", "inspection", inspection(m{"mandate_no": nil, "no_mandate_reason": "aduan_warga"}), ""},
		{"neither site nor sponsor", "inspection", inspection(m{"site_id": nil}), "site_id:site_or_sponsor"},
		{"an end before the start, over offsets", "inspection", inspection(m{"started_at": "2026-03-10T10:00:00+07:00", "ended_at": "2026-03-10T11:00:00+09:00"}), "ended_at:ended_after_start"},
		{"an inspection of two days", "inspection", inspection(m{"started_at": "2026-03-10T10:00:00+07:00", "ended_at": "2026-03-12T10:00:00+07:00"}), "ended_at:ended_after_start"},
		{"more checked than present", "inspection", inspection(m{"people_present": 1, "people_checked": 2}), "people_checked:checked_of_present"},
		{"a finding that must be restricted", "encounter", m{"inspection_id": id, "foreigner_id": id, "finding_codes": []any{"F13"}}, "restricted:restricted"},
		{"nothing about one that is", "encounter", m{"inspection_id": id, "foreigner_id": id, "finding_codes": []any{"F14"}, "restricted": true}, ""},
		{"a meeting too late", "meeting", m{"held_on": "2026-01-01", "next_on": "2026-06-01"}, "next_on:next_meeting"},
		{"a kind", "boat", m{}, ":kind_unknown"},
		{"a document that is none", "site", []any{}, ":document"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, f := range p.Validate(c.kind, c.doc) {
				got = append(got, f.Path+":"+f.Rule)
				if f.Message.Indonesian == "" || f.Message.English == "" {
					t.Errorf("no message: %+v", f)
				}
			}
			if got := strings.Join(got, " "); got != c.want {
				t.Errorf("finds %q, want %q", got, c.want)
			}
		})
	}
}

func TestMessagesNameTheFieldAndTheLimitButNotTheContent(t *testing.T) {
	got := pack.Timpora().Validate("site", map[string]any{"name": strings.Repeat("Rahasia", 20), "phone": "0812-rahasia"})
	if len(got) != 2 || got[0].Message.Indonesian != "Nama lokasi: terlalu panjang, paling banyak 120 huruf." || got[0].Message.English != "Name of the site: is too long, at most 120 characters." {
		t.Errorf("findings %+v", got)
	}
	if text := fmt.Sprint(got); strings.Contains(strings.ToLower(text), "rahasia") {
		t.Errorf("a message tells the content: %s", text)
	}
}

func TestWhatLiesInAClassThatTheCallerLacksIsNotMissing(t *testing.T) {
	p := pack.Timpora()
	doc := map[string]any{"mandate_no": "SP-1"} // the sponsor lies in class T
	if got := p.Validate("inspection", doc, syncproto.ClassDevice); len(got) > 0 {
		t.Errorf("a device of class D finds %+v", got)
	}
	if got := p.Validate("inspection", doc, syncproto.ClassDevice, syncproto.ClassTask); len(got) != 1 {
		t.Errorf("a device of classes D and T finds %+v", got)
	}
	if got := p.Validate("document", map[string]any{}, syncproto.ClassDevice); len(got) > 0 {
		t.Errorf("a device of class D misses %+v", got)
	}
}
