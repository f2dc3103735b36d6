package engine

import (
	"cmp"
	"context"
	"slices"

	"github.com/sambang-id/sambang/internal/ablate"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// A frame of the feed is closed at about so many entries or bytes: small
// enough that a cut link loses little, large enough to compress well.
const (
	frameEntries = 250
	frameBytes   = 192 << 10
)

// window is one scope's part of a pull: the entries with after < seq <= upTo.
type window struct {
	scope syncproto.Scope
	from  uint64 // the device's cursor: what it has
	after uint64 // read up to here
	upTo  uint64
}

// pull is the pull part of one exchange.
type pull struct {
	e       *Engine
	dev     store.Device
	now     int64
	open    *wire.Open
	sent    map[syncproto.RecordID]syncproto.VV
	windows []window
	skipped []window // nothing to send, but the cursor moves
}

// plan finds what there is to deliver, from the heads that r sees. It never
// goes beyond them: whatever is committed later is not covered by the
// exchange's witness.
func (p *pull) plan(r store.HeadReader, own map[syncproto.Scope]ownRun) (bool, error) {
	p.windows, p.skipped = nil, nil
	cursors := make(map[syncproto.Scope]uint64, len(p.open.GetCursors()))
	for _, c := range p.open.GetCursors() {
		cursors[syncproto.Scope(c.GetScope())] = c.GetSeq()
	}
	if p.open.GetMaxEntries() == 0 {
		// Nothing is wanted, but what it has just pushed need not come back later.
		for scope, o := range own {
			if after := cursors[scope]; after >= o.From && after < o.To && p.dev.Grants.MayRead(scope, p.now) {
				p.skipped = append(p.skipped, window{scope, after, o.To, o.To})
			}
		}
		slices.SortFunc(p.skipped, func(a, b window) int { return cmp.Compare(a.scope, b.scope) })
		return len(p.skipped) > 0, nil
	}
	seen := map[syncproto.Scope]bool{}
	for _, g := range p.dev.Grants {
		if g.Until != 0 && p.now >= g.Until {
			continue
		}
		for _, class := range g.Classes {
			region := g.Region
			if ablate.Off(ablate.R13RegionFilter) {
				region = ""
			}
			heads, err := r.Heads(region, class)
			if err != nil {
				return false, err
			}
			for _, h := range heads {
				after := cursors[h.Scope]
				if seen[h.Scope] || h.Seq <= after {
					continue
				}
				seen[h.Scope] = true
				// A device that has pulled this scope up to where its own run
				// of plain changes begins knows all of it.
				if o, ok := own[h.Scope]; ok && after >= o.From && after < o.To {
					if after = o.To; after >= h.Seq {
						p.skipped = append(p.skipped, window{h.Scope, after, after, h.Seq})
						continue
					}
				}
				p.windows = append(p.windows, window{h.Scope, after, after, h.Seq})
			}
		}
	}
	slices.SortFunc(p.windows, func(a, b window) int { return cmp.Compare(a.scope, b.scope) })
	return len(p.windows) > 0 || len(p.skipped) > 0 || len(p.open.GetRefetch()) > 0, nil
}

// about returns how many entries the windows hold at most.
func (p *pull) about() uint64 {
	n := uint64(len(p.open.GetRefetch()))
	for _, w := range p.windows {
		n += w.upTo - w.after
	}
	return n
}

// stream sends the feed, frame by frame. Each frame is read on a snapshot of
// its own, so that a slow link holds nothing in the store: a row that changes
// meanwhile gets a sequence beyond the window, and comes with the next pull.
// It returns how many entries it sent and whether more remains.
func (p *pull) stream(ctx context.Context, send func(*wire.ResponseFrame) error) (sent int, more bool, err error) {
	refetch := p.open.GetRefetch()
	windows := p.windows
	left := int(p.open.GetMaxEntries())
	skipped := p.skipped
	told := map[uint64]bool{}
	for len(refetch) > 0 || len(windows) > 0 || len(skipped) > 0 {
		out := &frame{pull: p}
		err := p.e.store.View(ctx, func(r store.Reader) error {
			out.reader = r
			for _, w := range skipped {
				out.cursor(w.scope, w.upTo)
			}
			skipped = nil
			for len(refetch) > 0 && !out.full() {
				n := min(len(refetch), frameEntries)
				if err := out.refetched(refetch[:n]); err != nil {
					return err
				}
				refetch = refetch[n:]
			}
			for len(windows) > 0 && !out.full() && left > 0 {
				last, n, err := out.scope(windows[0], left)
				if err != nil {
					return err
				}
				left -= n
				out.cursor(windows[0].scope, last)
				if windows[0].after = last; last >= windows[0].upTo {
					windows = windows[1:]
				}
			}
			return out.name(told)
		})
		if err != nil {
			return sent, false, err
		}
		sent += len(out.entries)
		if err := out.send(send); err != nil {
			return sent, false, err
		}
		if left <= 0 && len(refetch) == 0 {
			break
		}
	}
	return sent, len(windows) > 0, nil
}

// frame gathers the entries of one frame of the feed.
type frame struct {
	pull    *pull
	reader  store.Reader
	enc     *wire.Encoder
	entries []*wire.Entry
	cursors []*wire.Cursor
	authors []*wire.Author
}

// name adds who writes under the replica ids of the frame, except those that
// were told before in the response.
func (f *frame) name(told map[uint64]bool) error {
	var ids []syncproto.ReplicaID
	for _, r := range f.encoder().Tables().GetReplicas() {
		if !told[r] {
			told[r] = true
			ids = append(ids, syncproto.ReplicaID(r))
		}
	}
	if len(ids) == 0 {
		return nil
	}
	authors, err := f.reader.Authors(ids)
	for _, a := range authors {
		if a.Damaged {
			continue // the device keeps the names that it has
		}
		f.authors = append(f.authors, &wire.Author{Replica: uint64(a.Replica), Officer: a.Officer, Agency: a.Agency})
	}
	return err
}

func (f *frame) encoder() *wire.Encoder {
	if f.enc == nil {
		f.enc = wire.NewEncoder(syncproto.HLCFromMillis(f.pull.now))
	}
	return f.enc
}

func (f *frame) full() bool {
	return len(f.entries) >= frameEntries || f.enc != nil && f.enc.Size() >= frameBytes
}

func (f *frame) cursor(scope syncproto.Scope, seq uint64) {
	f.cursors = append(f.cursors, &wire.Cursor{Scope: string(scope), Seq: seq})
}

// scope adds entries of one window, at most limit, until the frame is full. It
// returns the sequence up to which the scope is read, and how many it added.
func (f *frame) scope(w window, limit int) (last uint64, n int, err error) {
	last = w.after
	for row, err := range f.reader.Feed(w.scope, w.after, w.upTo) {
		if err != nil {
			return last, n, err
		}
		if n >= limit || f.full() {
			return last, n, nil
		}
		added, err := f.row(row, w.from)
		if err != nil {
			return last, n, err
		}
		if last = row.Seq; added {
			n++
		}
	}
	return w.upTo, n, nil
}

// row adds one entry of a feed; false if the device needs none.
func (f *frame) row(row store.Row, cursor uint64) (bool, error) {
	if row.Damaged {
		f.unreadable(row.Scope, row.ID)
		return true, nil
	}
	if row.MovedTo != "" {
		ctx, err := wire.DecodeContext(row.State)
		if err != nil {
			return false, err
		}
		live, err := f.reader.Live([]syncproto.RecordID{row.ID})
		if err != nil {
			return false, err
		}
		visible := len(live) == 1 && f.pull.dev.Grants.MayRead(live[0].Scope, f.pull.now)
		f.add(row.Scope, &wire.Entry{Entry: &wire.Entry_Left{Left: &wire.Left{Id: row.ID[:], Ctx: f.encoder().Vector(ctx), Visible: visible}}})
		return true, nil
	}
	rec, stamps, entered, err := wire.DecodeState(row.State)
	if err != nil {
		return false, err
	}
	sent, pushed := f.pull.sent[row.ID]
	suspect := suspectPaths(rec)
	if pushed && rec.Context().LessEq(sent) && len(suspect) == 0 {
		return false, nil
	}
	var delta syncproto.Delta
	switch {
	case pushed:
		delta = rec.Delta(sent, suspect...)
	case !ablate.Off(ablate.A08Cursor) && entered > cursor:
		delta = rec.Full()
	default:
		// A cursor beyond a field's stamp says that the device has the field, not
		// that it came with the flag: it may be what the device wrote itself.
		changed := make(map[string]bool, len(stamps))
		i := 0
		for field := range rec.Fields() {
			changed[field.Path] = stamps[i] > cursor || slices.Contains(suspect, field.Path)
			i++
		}
		delta = rec.DeltaOf(func(path string) bool { return changed[path] })
	}
	if ablate.Off(ablate.A11NoHiding) {
		delta = withoutAField(delta)
	}
	f.add(row.Scope, &wire.Entry{Entry: &wire.Entry_Delta{Delta: f.encoder().Delta(delta)}})
	return true, nil
}

func suspectPaths(rec syncproto.Record) []string {
	var out []string
	for f := range rec.Fields() {
		if slices.ContainsFunc(f.Siblings, func(s syncproto.Sibling) bool { return s.Suspect }) {
			out = append(out, f.Path)
		}
	}
	return out
}

// refetched answers for records that the device asked for by id: the full
// state if it may see it, a verdict otherwise.
func (f *frame) refetched(ids [][]byte) error {
	if len(ids) == 0 {
		return nil
	}
	want := make([]syncproto.RecordID, len(ids))
	for i, id := range ids {
		copy(want[i][:], id)
	}
	rows, err := f.reader.Live(want)
	if err != nil {
		return err
	}
	byID := make(map[syncproto.RecordID]store.Row, len(rows))
	for _, r := range rows {
		byID[r.ID] = r
	}
	for _, id := range want {
		row, known := byID[id]
		if row.Damaged {
			f.unreadable("", id)
			continue
		}
		verdict := &wire.Verdict{Id: id[:], Known: known}
		if known {
			rec, _, _, err := wire.DecodeState(row.State)
			if err != nil {
				return err
			}
			if f.pull.dev.Grants.MayRead(row.Scope, f.pull.now) && !rec.IsPurged() {
				f.add(row.Scope, &wire.Entry{Entry: &wire.Entry_Delta{Delta: f.encoder().Delta(rec.Full())}})
				continue
			}
			verdict.Purged, verdict.Ctx = rec.IsPurged(), f.encoder().Vector(rec.Context())
		}
		f.add("", &wire.Entry{Entry: &wire.Entry_Verdict{Verdict: verdict}})
	}
	return nil
}

// unreadable says that there is a record and that it can't be read now. The
// cursor goes on behind it, and the device asks for it by its id until it is
// repaired.
func (f *frame) unreadable(scope syncproto.Scope, id syncproto.RecordID) {
	f.add(scope, &wire.Entry{Entry: &wire.Entry_Unreadable{Unreadable: &wire.Unreadable{Id: id[:]}}})
}

func (f *frame) add(scope syncproto.Scope, e *wire.Entry) {
	if scope != "" {
		e.Scope = f.encoder().Scope(scope)
	}
	f.entries = append(f.entries, e)
}

func (f *frame) send(send func(*wire.ResponseFrame) error) error {
	feed := &wire.Feed{Tables: f.encoder().Tables(), Entries: f.entries, Cursors: f.cursors, Authors: f.authors}
	return send(&wire.ResponseFrame{Frame: &wire.ResponseFrame_Feed{Feed: feed}})
}
