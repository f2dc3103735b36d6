package hq

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// Line is one line of a stream: one of its members is set.
type Line struct {
	Entry     *Entry `json:"entry,omitempty"`
	Left      *Left  `json:"left,omitempty"`
	Cursor    string `json:"cursor,omitempty"`
	Heartbeat string `json:"heartbeat,omitempty"`
	// End says, beside the last cursor, why the stream ended.
	End End `json:"end,omitempty"`
}

// Left says that a part of a record is no longer to be shown.
type Left struct {
	ID     string          `json:"id"`   // of the record as a whole
	Part   string          `json:"part"` // of the part; the same as ID for the main record
	Scope  syncproto.Scope `json:"scope"`
	Seq    uint64          `json:"seq"`
	Reason string          `json:"reason"` // moved or deleted
}

// The reasons of [Left].
const (
	LeftMoved   = "moved"
	LeftDeleted = "deleted"
)

// End is why a stream ended.
type End string

// The ends of a stream.
const (
	EndComplete     End = "complete"      // all that was committed when it began
	EndTime         End = "time"          // it followed for as long as one may
	EndTokenExpired End = "token_expired" // the reader's token
	EndStopping     End = "stopping"      // the server stops
)

// Sink takes the lines of a stream. An error ends it.
type Sink interface {
	Send(Line) error
	// Flush is called when the reader should see what was sent.
	Flush() error
}

// quietChunks is after how many chunks a cursor is sent even if the filter left
// nothing of them: a search that is cut goes on where it was.
const quietChunks = 20

// chunkBytes is about how many bytes of rows are in memory at a time.
const chunkBytes = 1 << 20

// Stream yields the changes behind a cursor, "" for all; see the package
// comment. An error before the first line is a refusal: filter_invalid,
// cursor_invalid, forbidden, rate_limited. A later one means that the stream
// was cut, after which the last cursor that was sent still holds.
func (s *Service) Stream(ctx context.Context, r Reader, f Filter, cursor string, follow bool, out Sink) error {
	if err := f.check(r, s.millis()); err != nil {
		return err
	}
	at, err := s.openStream(f, cursor)
	if err != nil {
		return err
	}
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		return syncproto.Errorf(syncproto.CodeRateLimited, "%d streams are open already", cap(s.streams))
	}
	t := &streaming{s: s, r: r, f: f, out: out, at: at}
	first, err := t.plan(ctx)
	if err != nil {
		return err
	}
	s.audited(ctx, r, "log.stream", count{}, slog.String("phase", "begin"), slog.Bool("follow", follow))
	defer func() { s.audited(ctx, r, "log.stream", t.count, slog.String("phase", "end")) }()
	if err := t.pass(ctx, first); err != nil {
		return err
	}
	if !follow {
		return t.end(EndComplete)
	}
	return t.follow(ctx)
}

// streaming is one call of Stream.
type streaming struct {
	s   *Service
	r   Reader
	f   Filter
	out Sink

	at     position
	behind int // lines sent since the last cursor
	chunks int // read since the last cursor
	count  count
}

// window is what is to be read of one scope: after < seq <= upTo.
type window struct {
	scope syncproto.Scope
	after uint64
	upTo  uint64
}

// plan finds what is new at this moment.
func (t *streaming) plan(ctx context.Context) ([]window, error) {
	var out []window
	err := t.s.view(ctx, t.r, func(rd store.Reader) error {
		if err := t.epoch(rd); err != nil {
			return err
		}
		heads, err := t.heads(rd)
		if err != nil {
			return err
		}
		now := t.s.millis()
		for scope, seq := range t.at.seqs {
			if t.reads(scope, now) && heads[scope] < seq {
				return rolledBack()
			}
		}
		out = out[:0]
		for _, scope := range slices.Sorted(maps.Keys(heads)) {
			if after := t.at.seqs[scope]; after < heads[scope] {
				out = append(out, window{scope, after, heads[scope]})
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("plan a stream: %w", err)
	}
	return out, nil
}

func rolledBack() error {
	return invalid("the store was rolled back to an earlier state since the cursor was made: start again without cursor, and replace what you have")
}

// epoch refuses a cursor of another history. A cursor that covers nothing fits
// every history.
func (t *streaming) epoch(rd store.Reader) error {
	e, err := rd.Epoch()
	if err != nil {
		return err
	}
	if e.ID != t.at.epoch && len(t.at.seqs) > 0 {
		return rolledBack()
	}
	t.at.epoch = e.ID
	return nil
}

// heads returns the heads of the scopes that the reader may read now and the
// filter selects.
func (t *streaming) heads(rd store.HeadReader) (map[syncproto.Scope]uint64, error) {
	out := map[syncproto.Scope]uint64{}
	now := t.s.millis()
	for _, g := range t.r.Grants {
		region := g.Region
		switch {
		case region.Covers(t.f.Region) && t.f.Region != "":
			region = t.f.Region
		case t.f.Region != "" && !t.f.Region.Covers(region):
			continue
		}
		for _, class := range g.Classes {
			heads, err := rd.Heads(region, class)
			if err != nil {
				return nil, err
			}
			for _, h := range heads {
				if t.reads(h.Scope, now) {
					out[h.Scope] = h.Seq
				}
			}
		}
	}
	return out, nil
}

// reads reports whether rows of a scope may be shown now.
func (t *streaming) reads(scope syncproto.Scope, now int64) bool {
	return (t.f.Region == "" || t.f.Region.Covers(scope.Region())) && t.r.Grants.MayRead(scope, now)
}

// pass sends what the windows hold. Rows that change meanwhile get a sequence
// beyond them, and are left to the next pass.
func (t *streaming) pass(ctx context.Context, windows []window) error {
	for len(windows) > 0 {
		var lines []Line
		next := windows
		covered := map[syncproto.Scope]uint64{}
		err := t.s.view(ctx, t.r, func(rd store.Reader) (err error) {
			clear(covered)
			if err := t.epoch(rd); err != nil {
				return err
			}
			lines, next, err = t.chunk(rd, windows, covered)
			return err
		})
		if err != nil {
			return fmt.Errorf("read the feed: %w", err)
		}
		for _, l := range lines {
			if err := t.out.Send(l); err != nil {
				return err
			}
			if l.Entry != nil {
				t.count.add(l.Entry.Parts)
			}
		}
		maps.Copy(t.at.seqs, covered)
		windows = next
		t.behind += len(lines)
		if t.chunks++; t.behind >= t.s.config.CursorEvery || t.chunks >= quietChunks {
			if err := t.cursor(""); err != nil {
				return err
			}
		}
	}
	return nil
}

// chunk reads at most chunkRows rows. It returns their lines, the windows that
// remain, and per scope how far all is covered.
func (t *streaming) chunk(rd store.Reader, windows []window, covered map[syncproto.Scope]uint64) ([]Line, []window, error) {
	now := t.s.millis()
	var rows []store.Row
	bytes := 0
	rest := slices.Clone(windows)
	for len(rest) > 0 && len(rows) < chunkRows && bytes < chunkBytes {
		w := &rest[0]
		if !t.reads(w.scope, now) { // a grant ended meanwhile
			rest = rest[1:]
			continue
		}
		full := false
		for row, err := range rd.Feed(w.scope, w.after, w.upTo) {
			if err != nil {
				return nil, nil, err
			}
			rows = append(rows, row)
			bytes += len(row.State) + len(row.Doc)
			if w.after = row.Seq; len(rows) >= chunkRows || bytes >= chunkBytes {
				full = true
				break
			}
		}
		if full && w.after < w.upTo {
			covered[w.scope] = w.after
			break
		}
		covered[w.scope] = w.upTo
		rest = rest[1:]
	}
	lines, err := t.lines(rd, rows, now)
	return lines, rest, err
}

// lines makes the lines of rows.
func (t *streaming) lines(rd store.Reader, rows []store.Row, now int64) ([]Line, error) {
	bases := make([]syncproto.RecordID, len(rows))
	for i, row := range rows {
		bases[i] = baseOf(row)
	}
	wholes, err := gather(rd, bases, t.r.Grants, now)
	if err != nil {
		return nil, err
	}
	var out []Line
	for i, row := range rows {
		l, ok, err := t.line(row, *wholes[bases[i]])
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, l)
		}
	}
	return out, nil
}

// line makes the line of one row; false if it has none.
func (t *streaming) line(row store.Row, w whole) (Line, bool, error) {
	if row.Damaged {
		e := damagedEntry(w.id, row)
		return Line{Entry: &e}, true, nil
	}
	if !t.f.concerns(row) {
		return Line{}, false, nil
	}
	left := &Left{ID: w.id.String(), Part: row.ID.String(), Scope: row.Scope, Seq: row.Seq, Reason: LeftMoved}
	if row.MovedTo != "" {
		// What counts is where it is now: there it has a line of its own.
		shown := slices.ContainsFunc(w.rows, func(x store.Row) bool {
			return x.ID == row.ID && (t.f.Region == "" || t.f.Region.Covers(x.Scope.Region()))
		})
		return Line{Left: left}, !shown, nil
	}
	if !slices.ContainsFunc(w.rows, func(x store.Row) bool { return x.ID == row.ID && x.Scope == row.Scope && x.Seq == row.Seq }) {
		return Line{}, false, nil // it changed meanwhile, and comes at its new sequence
	}
	e, err := w.entry(t.s.config.Pack, row)
	switch {
	case err != nil:
		return Line{}, false, err
	case e.Deleted && !t.f.Deleted:
		left.Reason = LeftDeleted
		return Line{Left: left}, true, nil
	case t.f.Conflicts && !e.contested() && !e.Damaged:
		return Line{}, false, nil
	}
	return Line{Entry: &e}, true, nil
}

func (t *streaming) cursor(end End) error {
	t.behind, t.chunks = 0, 0
	if err := t.out.Send(Line{Cursor: t.s.streamToken(t.f, t.at), End: end}); err != nil {
		return err
	}
	return t.out.Flush()
}

func (t *streaming) end(why End) error { return t.cursor(why) }

// follow sends what comes, until something ends it.
func (t *streaming) follow(ctx context.Context) error {
	c := t.s.config
	over, beat, poll := time.NewTimer(c.FollowFor), time.NewTicker(c.Heartbeat), time.NewTicker(c.Poll)
	defer over.Stop()
	defer beat.Stop()
	defer poll.Stop()
	expired := make(<-chan time.Time)
	if t.r.Until != 0 {
		timer := time.NewTimer(time.Unix(t.r.Until, 0).Sub(t.s.now()))
		defer timer.Stop()
		expired = timer.C
	}
	if err := t.cursor(""); err != nil {
		return err
	}
	for {
		woken := t.s.woken()
		windows, err := t.plan(ctx)
		if err != nil {
			return err
		}
		if len(windows) > 0 {
			if err := t.pass(ctx, windows); err != nil {
				return err
			}
			if err := t.cursor(""); err != nil {
				return err
			}
			beat.Reset(c.Heartbeat)
		}
		why, err := t.wait(ctx, woken, over.C, expired, poll.C, beat.C)
		if err != nil {
			return err
		}
		if why != "" {
			return t.end(why)
		}
	}
}

// wait returns when there is reason to look again, or to end.
func (t *streaming) wait(ctx context.Context, woken <-chan struct{}, over, expired, poll, beat <-chan time.Time) (End, error) {
	for {
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-t.s.stopped:
			return EndStopping, nil
		case <-over:
			return EndTime, nil
		case <-expired:
			return EndTokenExpired, nil
		case <-woken:
			return "", nil
		case <-poll:
			return "", nil
		case <-beat:
			if err := t.out.Send(Line{Heartbeat: stamp(t.s.millis())}); err != nil {
				return "", err
			}
			if err := t.out.Flush(); err != nil {
				return "", err
			}
		}
	}
}
