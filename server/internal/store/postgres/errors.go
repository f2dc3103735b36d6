package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sambang-id/sambang/server/internal/store"
)

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }

// SQLSTATEs that callers, or a second try, depend on
// (https://www.postgresql.org/docs/current/errcodes-appendix.html).
const (
	codeSerialization   = "40001"
	codeDeadlock        = "40P01"
	codeQueryCanceled   = "57014" // by a timeout of the server, or because the caller's context ended
	codeLockTimeout     = "55P03"
	codeDiskFull        = "53100"
	codeReadOnly        = "25006" // after a failover, of a server that is a standby now
	codeCachedPlan      = "0A000" // "cached plan must not change result type"
	codeUnknownPrepared = "26000" // a statement that a pooler between us has forgotten
	codeNoTable         = "42P01" // the counters, while a store is moved into the database
	codeInternal        = "XX000" // on Citus, while a table or shard moves
	severityError       = "ERROR" // the statement failed, and the connection lives
)

// failure is an error of the server without what it may show of a row: its
// message and code. DETAIL, HINT and WHERE quote values.
type failure struct {
	code, severity, message string
}

func (f *failure) Error() string { return f.message + " (SQLSTATE " + f.code + ")" }

// translate makes an error of the driver one that callers branch on, and that
// shows nothing of a row.
func translate(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		return err
	}
	f := &failure{code: e.Code, severity: e.SeverityUnlocalized, message: e.Message}
	if strings.HasPrefix(e.Code, "22") {
		f.message = "a value that can't be kept" // its message may quote it
	}
	switch {
	case e.Code == codeQueryCanceled && ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ctx.Err(), f)
	case e.Code == codeQueryCanceled:
		return fmt.Errorf("%w: %w", store.ErrBusy, f)
	case e.Code == codeNoTable:
		return fmt.Errorf("%w: %w", store.ErrUnfinished, f)
	case e.Code == codeDiskFull:
		return fmt.Errorf("%w: %w", store.ErrFull, f)
	case e.Code == "XX001", e.Code == "XX002": // data_corrupted, index_corrupted
		return fmt.Errorf("%w: %w", store.ErrDamaged, f)
	}
	return f
}

// transient reports whether a step that failed by err may succeed if it runs
// again: the failure is of the moment, and not of what the step asked for.
func transient(err error, citus bool) bool {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, store.ErrFull) {
		return false
	}
	var f *failure
	if errors.As(err, &f) {
		switch f.code {
		case codeSerialization, codeDeadlock, codeLockTimeout, codeReadOnly, codeUnknownPrepared, "53300", "25P03":
			return true
		case codeCachedPlan:
			return strings.Contains(f.message, "cached plan")
		case codeInternal:
			return citus
		}
		return strings.HasPrefix(f.code, "08") || strings.HasPrefix(f.code, "57P")
	}
	return broken(err) || errors.Is(err, errStandby)
}

// broken reports whether the connection is lost, or could not be made.
func broken(err error) bool {
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, pgconn.ErrConnClosed) || pgconn.SafeToRetry(err)
}

// refused reports whether the server said itself that a COMMIT failed, so that
// its transaction can't have been committed.
//
// On Citus that is so only if what it says is of the transaction. The scope's
// node commits before the coordinator, which fails the COMMIT also if it lost
// that node's answer.
func (s *Store) refused(err error) bool {
	var f *failure
	if !errors.As(err, &f) || f.severity != severityError {
		return false
	}
	return !s.citus.Load() || f.code == codeSerialization || f.code == codeDeadlock
}

// lockedOut reports whether the wait for a lock took too long.
func lockedOut(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.code == codeLockTimeout
}
