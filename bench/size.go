package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sambang-id/sambang/bench/internal/table"
	"github.com/sambang-id/sambang/bench/internal/workload"
	"github.com/sambang-id/sambang/syncproto"
)

// sizes are those of the store at which N measures.
//
//nolint:gochecknoglobals // a list, never written to
var sizes = []int{10_000, 100_000, 1_000_000}

// What the store of N holds: districts of a province, in each of which people of several agencies work.
const (
	flat       = 1.5 // times the cost at the smallest size, which it should not grow beyond
	districts  = 500
	batchItems = syncproto.MaxBatchItems
	writers    = 4     // devices that fill it at once
	contents   = 1_000 // records of the workload that are pushed again and again, under other ids
	perRecord  = 16 << 10
)

//nolint:gochecknoglobals // a list, never written to
var agencies = []string{"imigrasi", "kepolisian", "disnaker", "kesbangpol"}

// kindOf is the kind of the n-th record: of a thousand, 900 inspections, 99 sites and one incident.
func kindOf(n int) string {
	switch n %= 1000; {
	case n == 0:
		return "incident"
	case n < 100:
		return "site"
	}
	return "inspection"
}

func district(n int) syncproto.Scope {
	n %= districts
	return syncproto.Scope(fmt.Sprintf("35.%02d.%02d", 1+n/25, 1+n%25))
}

// sizeScenarios are N at each size up to the greatest.
func sizeScenarios(greatest int) (out []scenario) {
	at := slices.DeleteFunc(slices.Clone(sizes), func(n int) bool { return n >= greatest })
	for _, n := range append(at, greatest) {
		out = append(out, scenario{
			key: "N", about: fmt.Sprintf("%d records in store: cost of a push, pages of headquarters' log", n), size: n,
			open: func(ctx context.Context, e env) (table.Scenario, error) { return openSize(ctx, e, n) },
		})
	}
	return out
}

// grown is the store of N, which is filled up from one size to the next.
type grown struct {
	dir     string
	site    *site
	token   string
	devices []*device // of each agency one for each writer
	fields  [][]syncproto.Write
	held    []held // of the first devices, what they change
	n       int    // records
	begun   time.Time
	rate    float64 // of the last filling, records a second
	cost    map[string]float64
}

// held is a batch that a device has kept.
type held struct {
	scope   syncproto.Scope
	records []syncproto.Record
}

func openSize(ctx context.Context, e env, n int) (table.Scenario, error) {
	g := e.grown
	if err := g.open(ctx, e); err != nil {
		return nil, err
	}
	if free, need := freeBytes(g.dir), int64(n-g.n)*perRecord; free >= 0 && free < need {
		return nil, fmt.Errorf("a store of %d records may need %d MB of disk, %s has %d MB: choose another -dir, or a smaller -size", n, need>>20, g.dir, free>>20)
	}
	if err := g.fill(ctx, n); err != nil {
		return nil, fmt.Errorf("fill the store: %w", err)
	}
	return &sized{g, n}, nil
}

func (g *grown) open(ctx context.Context, e env) (err error) {
	if g.site != nil {
		return nil
	}
	g.dir, g.cost = sub(e.dir, "N"), map[string]float64{}
	if err := os.MkdirAll(g.dir, 0o700); err != nil {
		return err
	}
	if g.site, err = newSite(ctx, e, g.dir, false); err != nil {
		return err
	}
	if err := g.site.start(ctx, sub(g.dir, "server")); err != nil {
		return err
	}
	for i := range writers * len(agencies) {
		d, err := newDevice(ctx, g.site, fmt.Sprint("n", i), agencies[i%len(agencies)])
		if err != nil {
			return err
		}
		g.devices = append(g.devices, d)
	}
	if g.token, err = g.site.order("token", "pusat"); err != nil {
		return err
	}
	for r := range workload.Records(contents, workload.DefaultSeed) {
		var all []syncproto.Write
		for name, value := range fields(r) {
			v, err := syncproto.NewValue(value)
			if err != nil {
				return err
			}
			all = append(all, syncproto.Write{Path: name, Value: v})
		}
		slices.SortFunc(all, func(a, b syncproto.Write) int {
			if a.Path < b.Path {
				return -1
			}
			return 1
		})
		g.fields = append(g.fields, all)
	}
	g.begun = time.Now()
	return nil
}

// batch makes new records of one district, numbered from n on.
func (g *grown) batch(d *device, n int) (held, []syncproto.Delta, error) {
	h := held{scope: district(n / batchItems)}
	var deltas []syncproto.Delta
	for i := range batchItems {
		id := syncproto.RecordID(newID())
		r, err := d.write(syncproto.NewRecord(id), append([]syncproto.Write{
			{Path: syncproto.PathKind, Value: syncproto.MustValue(kindOf(n + i))},
			{Path: syncproto.PathScope, Value: syncproto.MustValue(string(h.scope))},
		}, g.fields[(n+i)%len(g.fields)]...)...)
		if err != nil {
			return h, nil, err
		}
		h.records, deltas = append(h.records, r), append(deltas, r.Full())
	}
	return h, deltas, nil
}

// newID is a random UUID (RFC 9562, version 4), as devices make them.
func newID() (id [16]byte) {
	for i := range id {
		id[i] = byte(rand.Uint32()) //nolint:gosec // an id of a bench
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

// fill pushes new records until the store has n.
func (g *grown) fill(ctx context.Context, n int) error {
	if g.n >= n {
		return nil
	}
	from, start := g.n, time.Now()
	var mu sync.Mutex
	var failed error
	var wg sync.WaitGroup
	next := func() (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		at := g.n
		if failed != nil || at >= n {
			return 0, false
		}
		g.n += batchItems
		return at, true
	}
	for w := range writers {
		wg.Go(func() {
			for round := 0; ; round++ {
				at, more := next()
				if !more {
					return
				}
				d := g.devices[w*len(agencies)+round%len(agencies)]
				h, deltas, err := g.batch(d, at)
				if err == nil {
					_, err = d.push(ctx, h.scope, deltas)
				}
				mu.Lock()
				if failed == nil {
					failed = err
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if failed != nil {
		return failed
	}
	g.rate = float64(g.n-from) / time.Since(start).Seconds()
	for len(g.held) < writers { // what is changed later is as old as the store
		d := g.devices[len(g.held)]
		h, deltas, err := g.batch(d, g.n)
		if err != nil {
			return err
		}
		if _, err := d.push(ctx, h.scope, deltas); err != nil {
			return err
		}
		g.held, g.n = append(g.held, h), g.n+batchItems
	}
	return nil
}

func (g *grown) close() error {
	if g.site == nil {
		return nil
	}
	return errors.Join(g.site.close(), os.RemoveAll(g.dir))
}

// sized is N at one size.
type sized struct {
	g *grown
	n int
}

func (s *sized) Run(ctx context.Context, _ string) (out []table.Figure, err error) {
	g := s.g
	size, err := g.site.keep.size(ctx, sub(g.dir, "server"))
	if err != nil {
		return nil, err
	}
	for _, q := range []pages{
		{"first page of the log", func() url.Values { return url.Values{} }},
		{"a page from the middle of the log", g.middle},
		{"first page of a district", func() url.Values { return url.Values{"region": {string(district(rand.IntN(g.n / batchItems)))}} }}, //nolint:gosec // any
		{"first page of an agency", func() url.Values { return url.Values{"agency": {agencies[rand.IntN(len(agencies))]}} }},             //nolint:gosec // any
		{"first page of a kind that one in ten is of", func() url.Values { return url.Values{"kind": {"site"}} }},
		{"first page of a kind that one in 1,000 is of", func() url.Values { return url.Values{"kind": {"incident"}} }},
	} {
		figures, err := q.measure(ctx, g)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q.name, err)
		}
		out = append(out, figures...)
	}
	fresh, changed, err := g.costs(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range []struct {
		name string
		took time.Duration
	}{{"new", fresh}, {"changed", changed}} {
		f := table.Took("push of 500 "+c.name+", a record", time.Microsecond, c.took, 0, table.Target{})
		out = append(out, f)
		if s.n == sizes[0] {
			if was, ok := g.cost[c.name]; !ok || f.Value < was {
				g.cost[c.name] = f.Value
			}
			continue
		}
		if was, ok := g.cost[c.name]; ok {
			out = append(out, table.Count(c.name+", over the least with 10,000 in store", "x", f.Value/was, table.AtMost(flat)))
		}
	}
	return append(out,
		table.Count("filling it, 4 devices at once", "records/s", g.rate, table.Target{}),
		table.Count("on disk, a record", "KB", float64(size)/1e3/float64(g.n), table.Target{})), nil
}

func (s *sized) Close() error { return nil }

// middle asks for the page after the first of those received before the middle of the filling.
func (g *grown) middle() url.Values {
	at := g.begun.Add(time.Since(g.begun) / 2)
	return url.Values{"to": {at.UTC().Format(time.RFC3339Nano)}}
}

// costs pushes new records and changes of old ones, one device after the other, and returns the time of a
// record in the middle one of the pushes.
func (g *grown) costs(ctx context.Context) (fresh, changed time.Duration, err error) {
	var took [2][]time.Duration
	for i := range g.held {
		d := g.devices[i]
		h, deltas, err := g.batch(d, g.n+i*batchItems)
		if err != nil {
			return 0, 0, err
		}
		t, err := d.push(ctx, h.scope, deltas)
		if err != nil {
			return 0, 0, err
		}
		took[0] = append(took[0], t)
		old := &g.held[i]
		deltas = deltas[:0]
		for n, r := range old.records {
			next, err := d.write(r, syncproto.Write{Path: "followUp", Value: syncproto.MustValue(map[string]any{"status": "closed", "action": strconv.FormatUint(d.minter.N(), 10)})})
			if err != nil {
				return 0, 0, err
			}
			deltas = append(deltas, next.Delta(r.Context()))
			old.records[n] = next
		}
		if t, err = d.push(ctx, old.scope, deltas); err != nil {
			return 0, 0, err
		}
		took[1] = append(took[1], t)
	}
	g.n += len(g.held) * batchItems
	for i := range took {
		slices.Sort(took[i])
	}
	return took[0][len(took[0])/2] / batchItems, took[1][len(took[1])/2] / batchItems, nil
}

// pages is a way to ask for a page of the log.
type pages struct {
	name  string
	query func() url.Values
}

// Samples of a page: a hundred, so that there is a 99th of them, or as many as there is time for.
const (
	pageSamples = 100
	leastPages  = 10
	pageTime    = 10 * time.Second
	pageTarget  = 300 // ms, at the 99th
)

func (p pages) measure(ctx context.Context, g *grown) ([]table.Figure, error) {
	var took []time.Duration
	for began := time.Now(); len(took) < pageSamples && (len(took) < leastPages || time.Since(began) < pageTime); {
		q := p.query()
		if _, ok := q["to"]; ok {
			page, _, err := g.page(ctx, q)
			if err != nil {
				return nil, err
			}
			q.Set("cursor", page.Cursor)
		}
		page, t, err := g.page(ctx, q)
		if err != nil {
			return nil, err
		}
		if len(page.Entries) == 0 {
			return nil, errors.New("an empty page")
		}
		took = append(took, t)
	}
	slices.Sort(took)
	return []table.Figure{
		table.Took(p.name, time.Millisecond, took[len(took)/2], 0, table.Target{}),
		table.Took(p.name+", 99th of 100", time.Millisecond, took[(len(took)*99-1)/100], 0, table.AtMost(pageTarget)),
	}, nil
}

// logPage is what of a page counts here.
type logPage struct {
	Entries []json.RawMessage `json:"entries"`
	Cursor  string            `json:"cursor"`
}

func (g *grown) page(ctx context.Context, q url.Values) (page logPage, took time.Duration, err error) {
	start := time.Now()
	body, err := ask(ctx, http.MethodGet, g.site.address()+"/v1/log?"+q.Encode(), http.Header{"Authorization": {"Bearer " + g.token}}, nil)
	took = time.Since(start)
	if err == nil {
		err = json.Unmarshal(body, &page)
	}
	return page, took, err
}
