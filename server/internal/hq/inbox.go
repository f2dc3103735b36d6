package hq

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// InboxFilter selects messages of the inbox.
type InboxFilter struct {
	Region syncproto.Region
	// State is open, released or closed. "" means all.
	State string
}

// ParseInboxFilter reads the words of a query; without a state it selects what
// is open, with state=all everything. Errors: filter_invalid.
func ParseInboxFilter(words map[string]string) (InboxFilter, error) {
	f := InboxFilter{State: store.QuarantineOpen}
	for word, value := range words {
		var err error
		switch word {
		case "region":
			f.Region, err = parseRegion(value)
		case "state":
			switch value {
			case store.QuarantineOpen, store.QuarantineReleased, store.QuarantineClosed:
				f.State = value
			case "all":
				f.State = ""
			default:
				err = syncproto.Errorf(syncproto.CodeFilterInvalid, "state is not one of open, released, closed, all")
			}
		default:
			err = syncproto.Errorf(syncproto.CodeFilterInvalid, "there is no such filter; there are region and state")
		}
		if err != nil {
			return f, err
		}
	}
	return f, nil
}

// Message is something that a device sent and that was not applied.
type Message struct {
	Key string `json:"key"`
	// Scope is where it was sent to; "" if that could not be read.
	Scope  syncproto.Scope `json:"scope,omitempty"`
	Record string          `json:"record,omitempty"` // id; "" if it could not be read
	Kind   string          `json:"kind,omitempty"`
	Device string          `json:"device"`
	Code   syncproto.Code  `json:"code"` // why it was not applied
	Bytes  int             `json:"bytes"`
	At     string          `json:"at"` // time of reception
	State  string          `json:"state"`
	Reason string          `json:"reason,omitempty"`
	By     string          `json:"by,omitempty"`
	// DecidedAt is "" while the message is open.
	DecidedAt string `json:"decided_at,omitempty"`
	// Releasable says that the content can be read and taken in.
	Releasable bool `json:"releasable"`
	// Content is set where one message is asked for.
	Content *Content `json:"content,omitempty"`
}

// InboxPage is one page of the inbox.
type InboxPage struct {
	Messages []Message `json:"messages"`
	Cursor   string    `json:"cursor,omitempty"`
}

// inboxScan bounds the messages that one request looks at in search of a page.
const inboxScan = 1000

// Inbox returns messages in the reader's regions and classes, newest first, at
// most limit. Errors: filter_invalid, cursor_invalid, forbidden.
func (s *Service) Inbox(ctx context.Context, r Reader, f InboxFilter, cursor string, limit int) (InboxPage, error) {
	page := InboxPage{Messages: []Message{}}
	if limit < 1 || limit > MaxLimit {
		return page, syncproto.Errorf(syncproto.CodeFilterInvalid, "limit is not from 1 to %d", MaxLimit)
	}
	if err := (Filter{Region: f.Region}).check(r, s.millis()); err != nil {
		return page, err
	}
	after, err := s.openInbox(f, cursor)
	if err != nil {
		return page, err
	}
	more := false
	err = s.view(ctx, r, func(rd store.Reader) error {
		devices := map[string]store.Device{}
		for scanned := 0; ; {
			found, err := rd.Inbox("", after, chunkRows)
			if errors.Is(err, store.ErrNotFound) && after != nil {
				return invalid("the message of the cursor is gone: start without cursor")
			}
			if err != nil {
				return err
			}
			for i, q := range found {
				m, ok, err := s.message(rd, r, q, f.Region, devices)
				if err != nil {
					return err
				}
				if ok && (f.State == "" || f.State == q.State || q.Damaged) {
					m.Content = nil
					page.Messages = append(page.Messages, m)
				}
				after = &q.Key
				if len(page.Messages) >= limit {
					more = i < len(found)-1 || len(found) == chunkRows
					return nil
				}
			}
			if len(found) < chunkRows {
				return nil
			}
			if scanned += len(found); scanned >= inboxScan {
				more = true
				return nil
			}
		}
	})
	if err != nil {
		return page, fmt.Errorf("read the inbox: %w", err)
	}
	if more {
		page.Cursor = s.inboxToken(f, *after)
	}
	s.audited(ctx, r, "inbox.list", count{}, slog.Int("messages", len(page.Messages)))
	return page, nil
}

func (s *Service) inboxToken(f InboxFilter, key syncproto.Digest) string {
	return s.seal(inboxCursor, append(key[:], string(f.Region)+" "+f.State...))
}

func (s *Service) openInbox(f InboxFilter, token string) (*syncproto.Digest, error) {
	if token == "" {
		return nil, nil //nolint:nilnil // no cursor is the beginning
	}
	b, err := s.open(inboxCursor, token)
	if err != nil {
		return nil, err
	}
	p := parser{b: b}
	var key syncproto.Digest
	copy(key[:], p.take(len(key)))
	if p.bad || string(p.b) != string(f.Region)+" "+f.State {
		return nil, otherFilter()
	}
	return &key, nil
}

// ParseMessageKey reads the key of a message. A text that is no key names no
// message: not_found.
func ParseMessageKey(s string) (key syncproto.Digest, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(key) || s != strings.ToLower(s) {
		return key, errNothing()
	}
	copy(key[:], b)
	return key, nil
}

// Message returns one message with its content. Errors: not_found, also for
// what the reader may not see.
func (s *Service) Message(ctx context.Context, r Reader, key syncproto.Digest) (Message, error) {
	m, err := s.look(ctx, r, key)
	if err != nil {
		return m, err
	}
	var c count
	if m.Scope != "" {
		c.add([]Part{{Class: m.Scope.Class()}})
	}
	s.audited(ctx, r, "inbox.read", c, slog.String("message", m.Key))
	return m, nil
}

func (s *Service) look(ctx context.Context, r Reader, key syncproto.Digest) (m Message, err error) {
	err = s.view(ctx, r, func(rd store.Reader) error {
		q, err := rd.Message(key)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		found := err == nil
		// Whose it is is looked up also where that decides nothing, and where
		// there is no message: what is out of reach costs the same reads as what
		// is not there.
		d, err := rd.Device(q.Device)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if !found {
			return errNothing()
		}
		var ok bool
		if m, ok, err = s.message(rd, r, q, "", map[string]store.Device{q.Device: d}); err == nil && !ok {
			err = errNothing()
		}
		return err
	})
	if err != nil {
		return Message{}, fmt.Errorf("read a message: %w", err)
	}
	return m, nil
}

// message shows a message; false if the reader may not see it. devices
// remembers what was looked up.
func (s *Service) message(rd store.RegistryReader, r Reader, q store.Quarantined, region syncproto.Region, devices map[string]store.Device) (Message, bool, error) {
	now := s.millis()
	scope, err := syncproto.ParseScope(q.Scope)
	if err != nil {
		scope = ""
		d, ok := devices[q.Device]
		if !ok {
			if d, err = rd.Device(q.Device); err != nil && !errors.Is(err, store.ErrNotFound) {
				return Message{}, false, err
			}
			devices[q.Device] = d
		}
		if !touches(r, d, region, now) {
			return Message{}, false, nil
		}
	} else if !r.Grants.MayRead(scope, now) || region != "" && !region.Covers(scope.Region()) {
		return Message{}, false, nil
	}
	if q.Damaged {
		return Message{Key: hex.EncodeToString(q.Key[:]), Scope: scope, Code: syncproto.CodeDamaged, At: stamp(max(q.At, 1)), State: store.QuarantineOpen}, true, nil
	}
	content := readContent(q.Raw)
	if !slices.ContainsFunc(content.scopes, func(named syncproto.Scope) bool { return !mayKnow(r, scope, named, now) }) {
		m := Message{
			Key: hex.EncodeToString(q.Key[:]), Scope: scope, Kind: content.Kind, Device: q.Device, Code: q.Code, Bytes: len(q.Raw),
			At: stamp(q.At), State: q.State, Reason: q.Reason, By: q.By, DecidedAt: stamp(q.DecidedAt),
			Releasable: content.releasable, Content: &content,
		}
		if !q.ID.IsZero() {
			m.Record = q.ID.String()
		}
		return m, true, nil
	}
	return Message{}, false, nil
}

// mayKnow reports whether a reader who may see messages of scope may see one
// whose content names another: of that class in the scope's region, or, if the
// scope is not known, in the named one.
func mayKnow(r Reader, scope, named syncproto.Scope, now int64) bool {
	if scope != "" {
		there, err := syncproto.NewScope(scope.Region(), named.Class())
		return err == nil && r.Grants.MayRead(there, now)
	}
	return r.Grants.MayRead(named, now)
}
