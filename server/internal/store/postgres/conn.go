package postgres

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/sambang-id/sambang/server/internal/store/tables"
)

// cursor reads the rows of a query.
type cursor struct {
	tables.Cursor[any]
}

// command is one statement of a round trip.
type command struct {
	text string
	args []any
	// what says what was attempted, for the error of a write that nobody waited
	// for.
	what func() string
	// start is called before the rows of an answer are read: the command may
	// have been sent before, in vain.
	start func()
	scan  func(*cursor) bool // with each row; it stops by false. nil: there are none
	done  func(pgconn.CommandTag)
}

// read takes the answer to the command.
func (c *command) read(results pgx.BatchResults, damages *tables.Damages) error {
	if c.scan == nil {
		tag, err := results.Exec()
		if err == nil && c.done != nil {
			c.done(tag)
		}
		return err
	}
	if c.start != nil {
		c.start()
	}
	rows, err := results.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	cur := &cursor{tables.Cursor[any]{Damages: damages}}
	for rows.Next() {
		if err := cur.take(rows); err != nil {
			return err
		}
		if !c.scan(cur) || cur.Err != nil {
			break
		}
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return err
	}
	return cur.Err
}

// take copies the row that rows is at: int64, string, []byte and nil, as they
// were written.
func (c *cursor) take(rows pgx.Rows) error {
	raw, fields := rows.RawValues(), rows.FieldDescriptions()
	if c.Row == nil {
		c.Row = make([]any, len(raw))
	}
	for i, b := range raw {
		var err error
		if c.Row[i], err = value(b, &fields[i]); err != nil {
			return err
		}
	}
	return nil
}

func value(b []byte, f *pgconn.FieldDescription) (any, error) {
	if b == nil {
		return nil, nil //nolint:nilnil // null
	}
	switch f.DataTypeOID {
	case pgtype.Int8OID:
		if f.Format == pgtype.BinaryFormatCode && len(b) == 8 {
			return int64(binary.BigEndian.Uint64(b)), nil //nolint:gosec // the bits are what counts
		}
		n, err := strconv.ParseInt(string(b), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("column %d of the result is not a number", f.TableAttributeNumber)
		}
		return n, nil
	case pgtype.ByteaOID:
		if f.Format != pgtype.BinaryFormatCode {
			return nil, fmt.Errorf("column %d of the result is not binary", f.TableAttributeNumber)
		}
		return append([]byte(nil), b...), nil // none are nil
	case pgtype.TextOID, pgtype.JSONOID: // which is the text that was written, in both formats
		return string(b), nil
	}
	return nil, fmt.Errorf("column of type %d in a result", f.DataTypeOID)
}

// into is a query whose rows are collected.
func into[T any](out *[]T, scan func(*tables.Cursor[any]) T, text string, args ...any) command {
	return command{
		text: text, args: args,
		start: func() { *out = nil },
		scan: func(c *cursor) bool {
			v := scan(&c.Cursor)
			if c.Err == nil {
				*out = append(*out, v)
			}
			return true
		},
	}
}
