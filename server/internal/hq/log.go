package hq

import (
	"context"
	"fmt"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// Limits of a page.
const (
	DefaultLimit = 50
	MaxLimit     = 500
	// pageBytes is about how many bytes of documents a page may have; the
	// page that reaches it is cut and has a cursor.
	pageBytes = 4 << 20
	// pageScan bounds the rows that one request looks at in search of a page.
	pageScan = 5000
	// chunkRows is how many rows are in memory at a time.
	chunkRows = 50
)

// Page is one page of the log.
type Page struct {
	Entries []Entry `json:"entries"`
	// Cursor leads to the next page; "" after the last one.
	Cursor string `json:"cursor,omitempty"`
}

// Log returns a page of at most limit records, newest first; see the package
// comment. Errors: filter_invalid, cursor_invalid, forbidden.
func (s *Service) Log(ctx context.Context, r Reader, f Filter, cursor string, limit int) (Page, error) {
	now := s.millis()
	if limit < 1 || limit > MaxLimit {
		return Page{}, syncproto.Errorf(syncproto.CodeFilterInvalid, "limit is not from 1 to %d", MaxLimit)
	}
	if err := f.check(r, now); err != nil {
		return Page{}, err
	}
	after, err := s.openPage(f, cursor)
	if err != nil {
		return Page{}, err
	}
	p := pager{s: s, r: r, f: f, now: now, limit: limit, after: after, page: Page{Entries: []Entry{}}}
	if err := s.view(ctx, r, p.fill); err != nil {
		return Page{}, fmt.Errorf("read the log: %w", err)
	}
	if p.more {
		p.page.Cursor = s.pageToken(f, *p.after)
	}
	s.audited(ctx, r, "log.page", counts(p.page.Entries))
	return p.page, nil
}

// pager fills one page.
type pager struct {
	s     *Service
	r     Reader
	f     Filter
	now   int64
	limit int

	after *store.LogKey // of the last row that was looked at
	page  Page
	bytes int
	more  bool
}

func (p *pager) fill(rd store.Reader) error {
	for scanned := 0; ; {
		rows, err := rd.Log(p.f.rows(p.r, p.now), p.after, chunkRows)
		if err != nil {
			return err
		}
		bases := make([]syncproto.RecordID, len(rows))
		for i, row := range rows {
			bases[i] = baseOf(row)
		}
		wholes, err := gather(rd, bases, p.r.Grants, p.now)
		if err != nil {
			return err
		}
		for i, row := range rows {
			if err := p.row(row, wholes[bases[i]]); err != nil {
				return err
			}
			p.after = &store.LogKey{UpdatedAt: row.UpdatedAt, Scope: row.Scope, Seq: row.Seq}
			if len(p.page.Entries) >= p.limit || p.bytes >= pageBytes {
				p.more = i < len(rows)-1 || len(rows) == chunkRows
				return nil
			}
		}
		if len(rows) < chunkRows {
			return nil
		}
		if scanned += len(rows); scanned >= pageScan {
			p.more = true
			return nil
		}
	}
}

// row adds the record of a row, if it is listed by this row and no newer one.
func (p *pager) row(row store.Row, w *whole) error {
	if row.Damaged {
		p.page.Entries = append(p.page.Entries, damagedEntry(baseOf(row), row))
		return nil
	}
	newest, ok := w.newest(p.f)
	if !ok || newest.ID != row.ID || newest.Scope != row.Scope || newest.Seq != row.Seq {
		return nil
	}
	e, err := w.entry(p.s.config.Pack, row)
	if err != nil {
		return err
	}
	if p.f.Conflicts && !e.contested() && !e.Damaged || e.Deleted && !p.f.Deleted {
		return nil
	}
	p.page.Entries = append(p.page.Entries, e)
	p.bytes += len(e.Doc)
	return nil
}
