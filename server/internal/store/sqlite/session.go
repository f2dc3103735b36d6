package sqlite

import (
	"context"
	"encoding/hex"
	"errors"

	"github.com/sambang-id/sambang/syncproto"
)

// errEnded is what a Tx or Reader gives that outlived its function.
var errEnded = errors.New("transaction has ended")

// session is a connection within one transaction. Its first error is its last:
// after a failed statement nobody knows what of the transaction stands, so
// whatever follows fails with the same error and the transaction is undone,
// also if the caller dropped it.
type session struct {
	conn *conn
	ctx  context.Context
	err  error
}

func (s *session) keep(err error) error {
	if err != nil && s.err == nil {
		s.err = err
	}
	return err
}

func (s *session) prepare(text string) (*statement, error) {
	if s.err != nil {
		return nil, s.err
	}
	st, err := s.conn.prepare(s.ctx, text)
	return st, s.keep(err)
}

// exec runs a statement and returns how many rows it changed.
func (s *session) exec(text string, args ...any) (int64, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.conn.exec(s.ctx, text, args...)
	return n, s.keep(err)
}

// each calls scan with each row of a query, until scan reports false.
func (s *session) each(text string, args []any, scan func(*cursor) bool) error {
	st, err := s.prepare(text)
	if err != nil {
		return err
	}
	c, err := st.query(s.ctx, args...)
	if err != nil {
		return s.keep(err)
	}
	c.Damages = s.conn.damages
	// Also when scan panics or leaves its goroutine: the statement is reused.
	defer func() { _ = s.keep(c.close()) }()
	for c.next() {
		if !scan(c) {
			return nil
		}
	}
	return s.keep(c.end())
}

// collect returns the rows of a query.
func collect[T any](s *session, scan func(*cursor) T, text string, args ...any) ([]T, error) {
	var out []T
	err := s.each(text, args, func(c *cursor) bool {
		out = append(out, scan(c))
		return true
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// one returns the only row of a query, or missing.
func one[T any](s *session, missing error, scan func(*cursor) T, text string, args ...any) (T, error) {
	out, err := collect(s, scan, text, args...)
	var zero T
	switch {
	case err != nil:
		return zero, err
	case len(out) == 0:
		return zero, missing
	}
	return out[0], nil
}

// hexList is a JSON array of the values in hexadecimal, for json_each and
// unhex: one statement for any number of keys.
func hexList[T any](values []T, bytes func(*T) []byte) string {
	if len(values) == 0 {
		return "[]"
	}
	b := make([]byte, 0, len(values)*35+2)
	for i := range values {
		sep := byte(',')
		if i == 0 {
			sep = '['
		}
		b = hex.AppendEncode(append(b, sep, '"'), bytes(&values[i]))
		b = append(b, '"')
	}
	return string(append(b, ']'))
}

func idList(ids []syncproto.RecordID) string {
	return hexList(ids, func(id *syncproto.RecordID) []byte { return id[:] })
}
