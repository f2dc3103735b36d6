package hq

import (
	"crypto/sha256"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// Filter selects records of the log. Its zero value selects all that are not
// deleted.
type Filter struct {
	// Region is a province, regency or district.
	Region syncproto.Region `json:"region,omitempty"`
	Kind   string           `json:"kind,omitempty"`
	// Agency is that of the device that first brought a part.
	Agency string `json:"agency,omitempty"`
	// From and To bound the time of reception of a part's last change, in Unix
	// milliseconds: at or after From, before To. 0 means no bound.
	From int64 `json:"from,omitempty"`
	To   int64 `json:"to,omitempty"`
	// Deleted takes in deleted and purged records.
	Deleted bool `json:"deleted,omitempty"`
	// Conflicts leaves out records without a conflict.
	Conflicts bool `json:"conflicts,omitempty"`
}

// wib is where the agencies work: a date without time is a day there.
const wib = 7 * 60 * 60

// ParseFilter reads the words of a query. Every error has code filter_invalid
// and names no value. Words that it does not know are an error: a filter that
// is silently ignored shows more than was asked for.
func ParseFilter(words map[string]string) (Filter, error) {
	var f Filter
	for word, value := range words {
		var err error
		switch word {
		case "region":
			f.Region, err = parseRegion(value)
		case "kind":
			f.Kind, err = value, checkName(word, value)
		case "agency":
			f.Agency, err = value, checkName(word, value)
		case "from":
			f.From, err = parseTime(word, value, 0)
		case "to":
			f.To, err = parseTime(word, value, 24*time.Hour)
		case "deleted":
			f.Deleted, err = parseBool(word, value)
		case "conflicts":
			if f.Conflicts = value == "only"; !f.Conflicts {
				err = syncproto.Errorf(syncproto.CodeFilterInvalid, "conflicts is not: only")
			}
		default:
			err = syncproto.Errorf(syncproto.CodeFilterInvalid, "there is no such filter; there are region, kind, agency, from, to, deleted, conflicts")
		}
		if err != nil {
			return Filter{}, err
		}
	}
	if f.From != 0 && f.To != 0 && f.From >= f.To {
		return Filter{}, syncproto.Errorf(syncproto.CodeFilterInvalid, "from is not before to")
	}
	return f, nil
}

func parseRegion(s string) (syncproto.Region, error) {
	r, err := syncproto.ParseRegion(s)
	if err != nil || len(r) > len("35.24.14") {
		return "", syncproto.Errorf(syncproto.CodeFilterInvalid, "region is not the code of a province, regency or district, such as 35.24.14")
	}
	return r, nil
}

// checkName refuses what can be no name of a kind or an agency.
func checkName(word, s string) error {
	if s == "" || len(s) > syncproto.MaxKindBytes || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return syncproto.Errorf(syncproto.CodeFilterInvalid, "%s is not a name of 1 to %d bytes without spaces", word, syncproto.MaxKindBytes)
	}
	return nil
}

// parseTime reads an instant (RFC 3339) or a day (2006-01-02, in UTC+7). A day
// stands for its beginning plus whole.
func parseTime(word, s string, whole time.Duration) (int64, error) {
	if t, err := time.ParseInLocation(time.DateOnly, s, time.FixedZone("WIB", wib)); err == nil && t.UnixMilli() > 0 {
		return t.Add(whole).UnixMilli(), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil && t.UnixMilli() > 0 {
		return t.UnixMilli(), nil
	}
	return 0, syncproto.Errorf(syncproto.CodeFilterInvalid, "%s is neither a time such as 2026-04-06T08:00:00+07:00 nor a date such as 2026-04-06", word)
}

func parseBool(word, s string) (bool, error) {
	switch s {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, syncproto.Errorf(syncproto.CodeFilterInvalid, "%s is neither true nor false", word)
}

// check refuses a region that the reader has no part of: an empty answer would
// look like a quiet region.
func (f Filter) check(r Reader, now int64) error {
	if f.Region == "" {
		return nil
	}
	for _, g := range r.Grants {
		if (g.Until == 0 || now < g.Until) && (g.Region.Covers(f.Region) || f.Region.Covers(g.Region)) {
			return nil
		}
	}
	return syncproto.Errorf(syncproto.CodeForbidden, "the region is not among those of the token")
}

// rows returns the filter of the store.
func (f Filter) rows(r Reader, now int64) store.Filter {
	return store.Filter{
		Grants: r.Grants, Now: now, Region: f.Region, Kind: f.Kind, Agency: f.Agency, From: f.From, To: f.To, Deleted: f.Deleted,
	}
}

// selects reports what the store's filter does for a row: see [Filter.rows].
func (f Filter) selects(row store.Row) bool {
	return (f.Deleted || !row.Deleted) && f.concerns(row)
}

// concerns is selects without regard to deletion.
func (f Filter) concerns(row store.Row) bool {
	return (f.Region == "" || f.Region.Covers(row.Scope.Region())) &&
		(f.Kind == "" || f.Kind == row.Kind) && (f.Agency == "" || f.Agency == row.Agency) &&
		(f.From == 0 || row.UpdatedAt >= f.From) && (f.To == 0 || row.UpdatedAt < f.To)
}

// hash names the filter in cursors.
func (f Filter) hash() (h [8]byte) {
	text, err := json.Marshal(f)
	if err != nil {
		panic(err) // strings, numbers and bools
	}
	sum := sha256.Sum256(text)
	copy(h[:], sum[:])
	return h
}
