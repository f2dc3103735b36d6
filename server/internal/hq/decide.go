package hq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sambang-id/sambang/server/internal/engine"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// maxReason bounds a reason, in characters.
const maxReason = 500

// checkReason refuses what later readers of a decision could do nothing with.
func checkReason(s string) (string, error) {
	s = strings.TrimSpace(s)
	if s == "" || !utf8.ValidString(s) || utf8.RuneCountInString(s) > maxReason || strings.ContainsFunc(s, unicode.IsControl) {
		return "", syncproto.Errorf(syncproto.CodeBadValue, "the reason is not one line of 1 to %d characters", maxReason)
	}
	return s, nil
}

// Decision is a message after somebody decided about it.
type Decision struct {
	Message
	// Effective says that it was this call that decided. Otherwise somebody else
	// was first, and the message says who, when and why.
	Effective bool `json:"effective"`
}

// Release takes a message's content into the log after all. Errors: not_found,
// bad_value (the reason), bad_record (the content can't be read: close it),
// purged, need_full.
func (s *Service) Release(ctx context.Context, r Reader, key syncproto.Digest, reason string) (Decision, error) {
	return s.decide(ctx, r, key, reason, "inbox.release", s.config.Decisions.Release)
}

// Close sets a message aside; its bytes stay. Errors: not_found, bad_value (the
// reason).
func (s *Service) Close(ctx context.Context, r Reader, key syncproto.Digest, reason string) (Decision, error) {
	return s.decide(ctx, r, key, reason, "inbox.close", s.config.Decisions.Close)
}

type decision func(ctx context.Context, by engine.Actor, key syncproto.Digest, reason string, now int64) error

func (s *Service) decide(ctx context.Context, r Reader, key syncproto.Digest, reason, action string, do decision) (Decision, error) {
	reason, err := checkReason(reason)
	if err != nil {
		return Decision{}, err
	}
	if _, err := s.look(ctx, r, key); err != nil {
		return Decision{}, err
	}
	err = do(ctx, r.actor(), key, reason, s.millis())
	effective := err == nil
	switch {
	case err == nil, errors.Is(err, store.ErrDecided):
	case errors.Is(err, engine.ErrUnreadable):
		return Decision{}, syncproto.Errorf(syncproto.CodeBadRecord, "the message's content can't be read, so it can only be closed")
	default:
		return Decision{}, fmt.Errorf("decide about a message: %w", err)
	}
	if effective {
		s.Wake()
		s.audited(ctx, r, action, count{}, slog.String("message", fmt.Sprintf("%x", key[:])))
	}
	m, err := s.look(ctx, r, key)
	if err != nil {
		return Decision{}, err
	}
	m.Content = nil
	return Decision{Message: m, Effective: effective}, nil
}

// Purge erases a record with all its parts for ever, also those that the reader
// may not read; he must be able to read the main record. Once more is not an
// error. Errors: not_found, bad_value (the reason).
func (s *Service) Purge(ctx context.Context, r Reader, id syncproto.RecordID, reason string) (Entry, error) {
	reason, err := checkReason(reason)
	if err != nil {
		return Entry{}, err
	}
	show := func(rd store.Reader) (*whole, error) {
		w, err := s.find(rd, r, id)
		if err == nil && !w.hasMain() {
			err = errNothing()
		}
		return w, err
	}
	var base syncproto.RecordID
	err = s.view(ctx, r, func(rd store.Reader) error {
		w, err := show(rd)
		if err == nil {
			base = w.id
		}
		return err
	})
	if err != nil {
		return Entry{}, fmt.Errorf("find the record to purge: %w", err)
	}
	if err := s.config.Decisions.Purge(ctx, r.actor(), base, reason, s.millis()); err != nil {
		return Entry{}, fmt.Errorf("purge a record: %w", err)
	}
	s.Wake()
	s.audited(ctx, r, "record.purge", count{Records: 1}, slog.String("record", base.String()))
	var out Entry
	err = s.view(ctx, r, func(rd store.Reader) error {
		w, err := show(rd)
		if err != nil {
			return err
		}
		out, err = w.entry(s.config.Pack, w.rows[0])
		return err
	})
	if err != nil {
		return Entry{}, fmt.Errorf("read the purged record: %w", err)
	}
	return out, nil
}
