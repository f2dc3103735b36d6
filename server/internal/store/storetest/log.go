package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

func logCases() []testCase {
	return []testCase{
		{"the log selects by each field of the filter", logFilter},
		{"the log shows what the grants allow and nothing else", logGrants},
		{"pages of equal times neither repeat nor miss a row", logPages},
		{"the log of few scopes is that of all", logOfFewScopes},
		{"pages stay whole while rows are written", logPagesUnderWrites},
		{"order is by bytes, whatever the language", byteOrder},
		{"stats count what is live and open", stats},
	}
}

// everywhere allows all that the cases write.
func everywhere() syncproto.Grants {
	classes := []syncproto.Class{syncproto.ClassDevice, syncproto.ClassTask, syncproto.ClassHQ}
	return syncproto.Grants{{Region: "35", Classes: classes}, {Region: "36", Classes: classes}}
}

// log reads the rows that a filter selects, in pages of a size.
func (b *bench) log(f store.Filter, page int) []store.Row {
	b.Helper()
	var out []store.Row
	var after *store.LogKey
	for {
		var rows []store.Row
		b.view(func(r store.Reader) (err error) {
			rows, err = r.Log(f, after, page)
			return err
		})
		if len(rows) > page {
			b.Errorf("a page of %d rows, at most %d", len(rows), page)
		}
		if len(rows) == 0 {
			return out
		}
		out = append(out, rows...)
		last := rows[len(rows)-1]
		after = &store.LogKey{UpdatedAt: last.UpdatedAt, Scope: last.Scope, Seq: last.Seq}
	}
}

// newestFirst is the order of the log.
func newestFirst(x, y store.Row) int {
	switch {
	case x.UpdatedAt != y.UpdatedAt:
		return int(min(max(y.UpdatedAt-x.UpdatedAt, -1), 1))
	case x.Scope != y.Scope:
		return strings.Compare(string(y.Scope), string(x.Scope))
	}
	return int(y.Seq) - int(x.Seq) //nolint:gosec // small
}

func keysOf(rows []store.Row) []store.LogKey {
	out := make([]store.LogKey, len(rows))
	for i, r := range rows {
		out[i] = store.LogKey{UpdatedAt: r.UpdatedAt, Scope: r.Scope, Seq: r.Seq}
	}
	return out
}

// varied writes n rows over the scopes with fields that vary, some as markers,
// and returns the live ones.
func (b *bench) varied(rng *rand.Rand, n int) []store.Row {
	b.Helper()
	scopes := []syncproto.Scope{home, task, secret, next, far, other}
	seq := map[syncproto.Scope]uint64{}
	var live []store.Row
	for i := range n {
		scope := scopes[rng.IntN(len(scopes))]
		seq[scope]++
		r := row(scope, id(i), seq[scope])
		r.Kind = []string{"inspection", "site"}[rng.IntN(2)]
		r.Agency = []string{"imigrasi", "polri", "Polri"}[rng.IntN(3)]
		r.Deleted = rng.IntN(5) == 0
		r.UpdatedAt = int64(1000 + rng.IntN(20))
		b.must(b.update(string(scope), func(tx store.Tx) error { return put(tx, r) }))
		if to := scopes[rng.IntN(len(scopes))]; to != scope && rng.IntN(6) == 0 {
			seq[scope]++
			seq[to]++
			b.must(b.s.Update(b.Context(), store.Step{Scopes: []string{string(scope), string(to)}, Do: func(tx store.Tx) ([]store.Step, error) {
				return nil, move(tx, scope, to, r.ID)
			}}))
			r.Scope, r.Seq, r.Entered = to, seq[to], seq[to]
		}
		live = append(live, r)
	}
	slices.SortFunc(live, newestFirst)
	return live
}

// logOfFewScopes: an engine may read a few scopes from each of them, and many
// from the log of all. Both are the same log, in the same order, page by page,
// where many records have one time.
func logOfFewScopes(b *bench) {
	const scopes, each = 20, 12
	rng := NewRand()
	for n := range scopes {
		rows, changes := RowsOf(rng, each, syncproto.Scope(fmt.Sprintf("35.%02d.01", n+1)), 0)
		for i := range rows {
			rows[i].UpdatedAt = int64(1 + i/4) // ties, within scopes and between them
			rows[i].Kind, rows[i].Agency = []string{"inspection", "site"}[i%2], []string{"imigrasi", "polri"}[i/2%2]
		}
		b.must(Push(b.Context(), b.s, rows, changes))
	}
	in := func(all []store.LogKey, of ...syncproto.Region) (out []store.LogKey) {
		for _, k := range all {
			if slices.ContainsFunc(of, func(r syncproto.Region) bool { return r.Covers(k.Scope.Region()) }) {
				out = append(out, k)
			}
		}
		return out
	}
	for _, c := range []struct {
		name         string
		kind, agency string
		of           int // one in how many rows is of it
	}{{"all", "", "", 1}, {"kind", "site", "", 2}, {"agency", "", "polri", 2}, {"both", "site", "polri", 4}} {
		f := store.Filter{Kind: c.kind, Agency: c.agency, Grants: everywhere()}
		wide := keysOf(b.log(f, 50))
		if len(wide) != scopes*each/c.of {
			b.Errorf("%s: %d rows, want %d", c.name, len(wide), scopes*each/c.of)
		}
		for _, region := range []syncproto.Region{"35.07", "35.20.01"} {
			f.Region = region
			want := in(wide, region)
			if diff := cmp.Diff(want, keysOf(b.log(f, 5))); diff != "" || len(want) == 0 {
				b.Errorf("%s, region %s (-wide +narrow):\n%s", c.name, region, diff)
			}
		}
		// Of a reader who sees a few scopes, the same.
		f.Region, f.Grants = "", syncproto.Grants{{Region: "35.03", Classes: []syncproto.Class{"D"}}, {Region: "35.11", Classes: []syncproto.Class{"D"}}, {Region: "35.12", Classes: []syncproto.Class{"D"}}}
		for _, page := range []int{3, 2 * each, 100} {
			if diff := cmp.Diff(in(wide, "35.03", "35.11", "35.12"), keysOf(b.log(f, page))); diff != "" {
				b.Errorf("%s, three scopes, pages of %d (-wide +narrow):\n%s", c.name, page, diff)
			}
		}
	}
}

// logFilter: each condition alone and all together, against the plain reading
// of the contract.
func logFilter(b *bench) {
	live := b.varied(rand.New(rand.NewPCG(5, 5)), 150) //nolint:gosec // choices, not secrets
	for name, f := range map[string]store.Filter{
		"all":       {Deleted: true},
		"no delete": {},
		"region":    {Region: "35.24", Deleted: true},
		"district":  {Region: "35.24.14", Deleted: true},
		"no region": {Region: "35.2", Deleted: true},
		"kind":      {Kind: "site", Deleted: true},
		"agency":    {Agency: "polri", Deleted: true},
		"from":      {From: 1010, Deleted: true},
		"to":        {To: 1010, Deleted: true},
		"together":  {Region: "35", Kind: "inspection", Agency: "imigrasi", From: 1003, To: 1017},
	} {
		f.Grants = everywhere()
		var want []store.LogKey
		for _, r := range live {
			if (f.Region == "" || f.Region.Covers(r.Scope.Region())) && (f.Kind == "" || f.Kind == r.Kind) && (f.Agency == "" || f.Agency == r.Agency) &&
				r.UpdatedAt >= f.From && (f.To == 0 || r.UpdatedAt < f.To) && (f.Deleted || !r.Deleted) {
				want = append(want, store.LogKey{UpdatedAt: r.UpdatedAt, Scope: r.Scope, Seq: r.Seq})
			}
		}
		if diff := cmp.Diff(want, keysOf(b.log(f, 1000)), cmpopts.EquateEmpty()); diff != "" {
			b.Errorf("filter %s (-want +got):\n%s", name, diff)
		}
	}
}

// logGrants: the filter is the last fence before another agency's persons. It
// must be the rule of the feed, to the millisecond and to the class.
func logGrants(b *bench) {
	rng := rand.New(rand.NewPCG(6, 6)) //nolint:gosec // choices, not secrets
	live := b.varied(rng, 120)
	regions := []syncproto.Region{"35", "36", "35.24", "35.02", "35.24.14", "35.24.02", "35.2", "3", "", "35.24.14.2011"}
	sets := []syncproto.Grants{nil, {}, {{Region: "35"}}, everywhere()}
	for range 40 {
		var g syncproto.Grants
		for range 1 + rng.IntN(3) {
			var classes []syncproto.Class
			for _, c := range []syncproto.Class{"D", "T", "H"} {
				if rng.IntN(2) == 0 {
					classes = append(classes, c)
				}
			}
			g = append(g, syncproto.Grant{Region: regions[rng.IntN(len(regions))], Classes: classes, Until: []int64{0, 499, 500, 501}[rng.IntN(4)]})
		}
		sets = append(sets, g)
	}
	for _, g := range sets {
		var want []store.LogKey
		for _, r := range live {
			if g.MayRead(r.Scope, 500) {
				want = append(want, store.LogKey{UpdatedAt: r.UpdatedAt, Scope: r.Scope, Seq: r.Seq})
			}
		}
		got := keysOf(b.log(store.Filter{Grants: g, Now: 500, Deleted: true}, 1000))
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			b.Errorf("grants %v (-want +got):\n%s", g, diff)
		}
	}
}

// logPages: an import gives a thousand rows the same time. A page that begins
// at a time, and not at a key, repeats or skips them.
func logPages(b *bench) {
	live := b.varied(rand.New(rand.NewPCG(7, 7)), 90) //nolint:gosec // choices, not secrets
	want := keysOf(live)
	for _, size := range []int{1, 2, 7, 89, 90, 91} {
		got := keysOf(b.log(store.Filter{Grants: everywhere(), Deleted: true}, size))
		if diff := cmp.Diff(want, got); diff != "" {
			b.Errorf("pages of %d (-want +got):\n%s", size, diff)
		}
	}
}

// logPagesUnderWrites: while headquarters turns pages, phones push. The promise
// is: no key twice, and every row that did not change since the first page
// exactly once.
func logPagesUnderWrites(b *bench) {
	const rows = 120
	for i := range rows {
		r := row(home, id(i), 0)
		r.UpdatedAt = int64(1000 + i/10)
		b.add(r)
	}
	touched := map[syncproto.RecordID]bool{}
	keys := map[store.LogKey]bool{}
	times := map[syncproto.RecordID]int{}
	var after *store.LogKey
	for page := 0; ; page++ {
		var got []store.Row
		b.view(func(r store.Reader) (err error) {
			got, err = r.Log(store.Filter{Grants: everywhere()}, after, 9)
			return err
		})
		if len(got) == 0 {
			break
		}
		for _, r := range got {
			key := keysOf([]store.Row{r})[0]
			if keys[key] {
				b.Errorf("key %v comes twice", key)
			}
			keys[key] = true
			times[r.ID]++
		}
		after = &keysOf(got)[len(got)-1]
		// A new row now, a row of long ago changed now, and a row that a slow
		// clock dates before the page.
		changed := id((page * 37) % rows)
		touched[changed] = true
		b.must(b.update(string(home), func(tx store.Tx) error {
			_, err := edit(tx, home, changed, func(r *store.Row) { r.UpdatedAt = 5000 + int64(page) })
			return err
		}))
		fresh, late := row(home, id(1000+page), 0), row(home, id(2000+page), 0)
		fresh.UpdatedAt, late.UpdatedAt = 6000, 1
		b.add(fresh, late)
		if page > rows {
			break
		}
		if page < 3 {
			continue
		}
		// The late ones would make the reading endless.
		b.must(b.update(string(home), func(tx store.Tx) error {
			_, err := edit(tx, home, id(2000+page), func(r *store.Row) { r.UpdatedAt = 7000 })
			return err
		}))
	}
	for i := range rows {
		if n := times[id(i)]; n != 1 && !touched[id(i)] || n > 2 {
			b.Errorf("row %d, changed: %v, came %d times", i, touched[id(i)], n)
		}
	}
}

// byteOrder: a database that sorts by a language sorts "Ä" beside "A" and skips
// punctuation; a cursor that another engine gave would then skip rows.
func byteOrder(b *bench) {
	ids := []string{"Zulu", "alpha", "a.b", "a/b", "a-b", "ab", "Äpfel", "äpfel", "A", "a", "é", "e\u0301", "王", "_", "0"}
	b.must(b.update(store.RegistryScope, func(tx store.Tx) error {
		for _, id := range ids {
			if err := tx.PutOfficer(store.Officer{ID: id}); err != nil {
				return err
			}
			if err := tx.PutDevice(device(id)); err != nil {
				return err
			}
		}
		return nil
	}))
	slices.Sort(ids)
	b.view(func(r store.Reader) error {
		officers, err := r.Officers()
		if err != nil {
			return err
		}
		var got []string
		for _, o := range officers {
			got = append(got, o.ID)
		}
		if !slices.Equal(got, ids) {
			b.Errorf("officers are in order %q, want %q", got, ids)
		}
		devices, err := r.Devices()
		got = nil
		for _, d := range devices {
			got = append(got, d.Device.ID)
		}
		if !slices.Equal(got, ids) {
			b.Errorf("devices are in order %q, want %q", got, ids)
		}
		return err
	})
	// The scopes of one time, in the log: '/' is before the digits.
	scopes := []syncproto.Scope{"35.24.14", "35.24.14/T", "35.24.14/H", "35.24.15", "35.24.02", "35.02.14"}
	for i, s := range scopes {
		b.add(row(s, id(i), 0))
	}
	slices.Sort(scopes)
	slices.Reverse(scopes)
	var got []syncproto.Scope
	for _, r := range b.log(store.Filter{Grants: everywhere()}, 2) {
		got = append(got, r.Scope)
	}
	if !slices.Equal(got, scopes) {
		b.Errorf("log is in order %v, want %v", got, scopes)
	}
}

// stats: the numbers on the wall of headquarters. A marker is not a record and
// a decided message does not wait.
func stats(b *bench) {
	conflicted := row(home, id(1), 0)
	conflicted.Conflicts = 3
	b.add(conflicted, row(home, id(2), 0))
	b.must(b.s.Update(b.Context(), store.Step{Scopes: []string{string(home), string(next)}, Do: func(tx store.Tx) ([]store.Step, error) {
		return nil, move(tx, home, next, id(1))
	}}))
	b.must(b.s.Update(b.Context(), step(string(home), func(tx store.Tx) error {
		if err := tx.Quarantine(string(home), []store.Quarantined{message("1", string(home), 1), message("2", string(home), 2)}); err != nil {
			return err
		}
		return tx.SetQuarantineState(string(home), digest("1"), store.QuarantineClosed, "test", "officer-1", 3)
	}), step(store.RegistryScope, func(tx store.Tx) error { return tx.PutDevice(device("d")) })))
	b.view(func(r store.Reader) error {
		got, err := r.Stats()
		want := store.Stats{Records: 2, Changes: 4, Quarantined: 1, Devices: 1, Conflicts: 3, Scopes: 2}
		if got != want {
			b.Errorf("stats %+v, want %+v", got, want)
		}
		return err
	})
}
