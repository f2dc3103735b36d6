package workload

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strings"
)

// Record is one inspection report, about 1.85 KB of JSON.
type Record struct {
	ID     string // a random (version 4) UUID, 36 characters
	Kind   string // always "inspection"
	Region string // a district, 35.24.01 to 35.24.27
	// JSON is the whole record, ID, kind and region included, with its keys in the original's order.
	// It is shared by all copies of the Record: do not change it.
	JSON []byte
}

// UUID returns the 16 bytes of the ID.
func (r Record) UUID() [16]byte {
	var id [16]byte
	if _, err := hex.Decode(id[:], []byte(strings.ReplaceAll(r.ID, "-", ""))); err != nil {
		panic("workload: a record without a UUID: " + err.Error())
	}
	return id
}

// Map decodes the record into a new map that the caller may change. Numbers are float64, as
// encoding/json decodes them. The keys id, kind and region are in it.
func (r Record) Map() map[string]any {
	var m map[string]any
	if err := json.Unmarshal(r.JSON, &m); err != nil {
		panic("workload: a record that is not JSON: " + err.Error())
	}
	return m
}

// newRecord draws in the order in which the original draws, which is not the order of the keys.
func newRecord(r *rng) Record {
	siteType := "workplace"
	if r.chance(0.4) {
		siteType = "resort"
	}
	company := "PT " + word(r) + " " + word(r)
	region := fmt.Sprintf("35.24.%02d", r.between(1, 27))
	var sentences []string
	for range r.between(3, 5) {
		sentences = append(sentences, pick(r, findings))
	}
	due := r.chance(0.5)
	id := newUUID(r)

	site := object{
		{"name", company + " (" + pick(r, sectors) + ")"},
		{"type", siteType},
		{"address", fmt.Sprintf("Jl. %s No. %d, Desa %s", word(r), r.between(1, 240), word(r))},
		{"lat", micro(-7.0 - float64(r.float()*0.4))},
		{"lon", micro(112.1 + float64(r.float()*0.4))},
	}
	visited := fmt.Sprintf("%sT%02d:%02d:00+07:00", day(r, 2025, 2026), r.between(8, 16), r.between(0, 59))
	officer := person(r)
	var team, foreigners, checklist []any
	for range r.between(2, 4) {
		team = append(team, object{{"name", person(r)}, {"agency", pick(r, agencies)}})
	}
	for range 2 {
		foreigners = append(foreigners, object{
			{"name", person(r)},
			{"nationality", pick(r, nations)},
			{"passport", fmt.Sprintf("X%08d", r.between(0, 99999999))},
			{"permitType", pick(r, permits)},
			{"permitExpiry", day(r, 2026, 2028)},
			{"sponsor", company},
		})
	}
	for i, item := range checks {
		answer := "no"
		if r.chance(0.8) {
			answer = "yes"
		}
		checklist = append(checklist, object{{"no", i + 1}, {"item", item}, {"answer", answer}, {"note", pick(r, notes)}})
	}
	followUp := object{{"status", "none"}, {"action", ""}, {"dueDate", nil}}
	if due {
		followUp = object{
			{"status", "open"},
			{"action", "Sponsor melengkapi berkas dan melapor kembali."},
			{"dueDate", day(r, 2026, 2027)},
		}
	}
	const kind = "inspection"
	return Record{ID: id, Kind: kind, Region: region, JSON: appendJSON(nil, object{
		{"id", id}, {"kind", kind}, {"region", region}, {"site", site}, {"visitedAt", visited}, {"officer", officer},
		{"team", team}, {"foreignNationals", foreigners}, {"checklist", checklist},
		{"findings", strings.Join(sentences, " ")}, {"followUp", followUp},
	})}
}

// word is two or three syllables, the first letter a capital.
func word(r *rng) string {
	var b strings.Builder
	for range r.between(2, 3) {
		b.WriteString(pick(r, syllables))
	}
	w := b.String()
	return strings.ToUpper(w[:1]) + w[1:]
}

func person(r *rng) string {
	given := word(r)
	return given + " " + word(r)
}

func day(r *rng, from, to int) string {
	y := r.between(from, to)
	m := r.between(1, 12)
	return fmt.Sprintf("%d-%02d-%02d", y, m, r.between(1, 28))
}

func newUUID(r *rng) string {
	var b [16]byte
	for i := 0; i < len(b); i += 4 {
		binary.BigEndian.PutUint32(b[i:], r.next())
	}
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// micro rounds degrees to six decimals as Math.round does: halves go up. The conversions to float64
// keep a compiler from fusing the product into the sum, which would change the last digit.
func micro(deg float64) float64 {
	return math.Floor(float64(deg*1e6)+0.5) / 1e6
}
