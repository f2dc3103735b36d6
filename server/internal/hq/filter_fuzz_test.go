package hq_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/server/internal/hq"
	"github.com/sambang-id/sambang/syncproto"
)

// FuzzFilter reads queries as filters of the log and of the inbox: one that is
// taken means the same when it is read again, one that is refused says so with
// its code and quotes nothing.
func FuzzFilter(f *testing.F) {
	for _, q := range []string{
		"region=35.24&kind=site&agency=imigrasi&from=2026-04-06&to=2026-04-07&deleted=true&conflicts=only", "region=35&state=open", "state=all",
		"from=2026-04-06T08:00:00%2B07:00&to=2026-04-06T08:00:01Z", "from=0000-01-01", "to=99999-01-01", "deleted=True", "conflicts=all",
		"region=35.24.14.2001", "kind=%00", "kind=" + strings.Repeat("a", 65), "nationality=XXA", "region=%FF", "from=2026-02-30", "kind=a%20b", "",
	} {
		f.Add(q)
	}
	// What the errors say of themselves may also come in a query.
	var fixed string
	for _, word := range []string{"region", "kind", "agency", "from", "to", "deleted", "conflicts", "x"} {
		_, err := hq.ParseFilter(map[string]string{word: " "})
		_, inbox := hq.ParseInboxFilter(map[string]string{word: " "})
		fixed += err.Error() + inbox.Error()
	}
	quotes := func(err error, s string) bool {
		return len(s) > 12 && strings.Contains(err.Error(), s) && !strings.Contains(fixed, s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil || len(values) > 20 {
			return
		}
		words := map[string]string{}
		for k, v := range values {
			words[k] = v[0]
		}
		refused := func(err error) {
			t.Helper()
			if !errors.Is(err, syncproto.CodeFilterInvalid) {
				t.Errorf("%q: %v", query, err)
			}
			for k, v := range words {
				if quotes(err, v) || quotes(err, k) {
					t.Errorf("the error quotes the query: %v", err)
				}
			}
		}
		filter, err := hq.ParseFilter(words)
		if err != nil {
			refused(err)
		} else {
			again, err := hq.ParseFilter(words)
			if err != nil || again != filter || filter.From < 0 || filter.To < 0 || filter.From != 0 && filter.To != 0 && filter.From >= filter.To || len(filter.Kind) > syncproto.MaxKindBytes {
				t.Errorf("%q is %+v, and again %+v, %v", query, filter, again, err)
			}
			if filter.Region != "" {
				if _, err := syncproto.ParseRegion(string(filter.Region)); err != nil {
					t.Errorf("region %q", filter.Region)
				}
			}
		}
		if inbox, err := hq.ParseInboxFilter(words); err != nil {
			refused(err)
		} else if inbox.State != "" && inbox.State != "open" && inbox.State != "released" && inbox.State != "closed" {
			t.Errorf("state %q", inbox.State)
		}
		_, _ = hq.ParseMessageKey(query)
	})
}
