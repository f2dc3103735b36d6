package server

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/sambang-id/sambang/server/internal/engine"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// Check verifies every invariant of the store that can be verified while it is
// in use, and calls report with each violation. A report names ids, never
// contents.
func (s *Server) Check(ctx context.Context, report func(problem string)) error {
	return s.engine.Check(ctx, report)
}

// Backup writes a consistent copy of the store to a new file, while the server
// is in use. A file that is there already is not replaced: it could be the last
// good copy, or the store itself. The identity (server.key) is not in the copy:
// keep that apart, once. A PostgreSQL database has tools of its own for that: the
// error has the code store_backup then.
func (s *Server) Backup(ctx context.Context, to string) error {
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fs.ErrExist
		}
		return fmt.Errorf("back up to %q: %w", to, err)
	}
	if err := s.store.Backup(ctx, to); errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("%w: %w", syncproto.Errorf(syncproto.CodeStoreBackup, "a PostgreSQL database is not copied to a file"), err)
	} else if err != nil {
		return err
	}
	return nil
}

// Message is something that was received and could not be merged. It is kept
// with its bytes until somebody decides.
type Message struct {
	Key      string // of 64 hexadecimal digits
	Scope    string
	Record   string // "" if it could not be read
	Device   string
	Code     syncproto.Code // why it was set aside
	At       time.Time
	State    string // open, released or closed
	Reason   string
	By       string
	RawBytes int
}

// Inbox returns messages that were set aside in a region ("" for all), newest
// first, at most limit, after the one with the key after ("" to begin).
func (s *Server) Inbox(ctx context.Context, region syncproto.Region, after string, limit int) ([]Message, error) {
	var from *syncproto.Digest
	if after != "" {
		k, err := messageKey(after)
		if err != nil {
			return nil, err
		}
		from = &k
	}
	var all []Message
	err := s.store.View(ctx, func(r store.Reader) error {
		rows, err := r.Inbox(region, from, limit)
		for _, q := range rows {
			all = append(all, message(q))
		}
		return err
	})
	return all, err
}

// Message returns one message.
func (s *Server) Message(ctx context.Context, key string) (m Message, err error) {
	k, err := messageKey(key)
	if err != nil {
		return m, err
	}
	err = s.store.View(ctx, func(r store.Reader) error {
		q, err := r.Message(k)
		if err != nil {
			return notFound(err, "message", key)
		}
		m = message(q)
		return nil
	})
	return m, err
}

// ReleaseMessage takes a message's content into the log after all; nothing that
// is there is removed by it. by says who decided, reason why.
func (s *Server) ReleaseMessage(ctx context.Context, key, by, reason string) error {
	return s.decide(ctx, s.engine.Release, key, by, reason)
}

// CloseMessage sets a message aside for good. Its bytes stay.
func (s *Server) CloseMessage(ctx context.Context, key, by, reason string) error {
	return s.decide(ctx, s.engine.Close, key, by, reason)
}

type decision func(ctx context.Context, by engine.Actor, key syncproto.Digest, reason string, now int64) error

func (s *Server) decide(ctx context.Context, do decision, key, by, reason string) error {
	k, err := messageKey(key)
	if err != nil {
		return err
	}
	if err := needReason(by, reason); err != nil {
		return err
	}
	err = do(ctx, engine.Actor{ID: by}, k, reason, s.nowMillis())
	switch {
	case errors.Is(err, store.ErrDecided):
		return syncproto.Errorf(syncproto.CodeMalformed, "the message was decided before")
	case errors.Is(err, engine.ErrUnreadable):
		return syncproto.Errorf(syncproto.CodeBadRecord, "the message's content can't be read: close it, its bytes stay")
	}
	return notFound(err, "message", key)
}

// Purge erases a record for ever, on the server and, at their next exchange, on
// all devices. Its journal keeps hashes alone. by says who decided, reason why;
// neither may name the person whom the record is about.
func (s *Server) Purge(ctx context.Context, record, by, reason string) error {
	id, err := syncproto.ParseRecordID(record)
	if err != nil {
		return err
	}
	if err := needReason(by, reason); err != nil {
		return err
	}
	return notFound(s.engine.Purge(ctx, engine.Actor{ID: by}, id, reason, s.nowMillis()), "record", record)
}

func needReason(by, reason string) error {
	if !isText(by) || !isText(reason) {
		return syncproto.Errorf(syncproto.CodeMalformed, "who decides and why are needed, each in 1 to 100 characters")
	}
	return nil
}

func message(q store.Quarantined) Message {
	m := Message{
		Key: hex.EncodeToString(q.Key[:]), Scope: q.Scope, Device: q.Device, Code: q.Code, At: at(q.At),
		State: q.State, Reason: q.Reason, By: q.By, RawBytes: len(q.Raw),
	}
	if !q.ID.IsZero() {
		m.Record = q.ID.String()
	}
	if q.Damaged {
		m.Code, m.State = syncproto.CodeDamaged, store.QuarantineOpen
	}
	return m
}

func messageKey(s string) (k syncproto.Digest, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(k) {
		return k, syncproto.Errorf(syncproto.CodeBadID, "a message's key has 64 hexadecimal digits")
	}
	return syncproto.Digest(b), nil
}

// BeginEpoch tells the server that its store was put back to an earlier state,
// so that every device pushes again what it holds. Call it after a restored
// backup, before the first device is served; a server that is not told finds
// out when a device shows it a stamp that it does not remember.
func (s *Server) BeginEpoch(ctx context.Context) error {
	return s.engine.BeginEpoch(ctx, s.nowMillis())
}
