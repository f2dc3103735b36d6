package postgres

import (
	"context"

	"github.com/jackc/pgx/v5/pgconn"
)

// Opened returns how many connections for updates were opened.
func (s *Store) Opened() int64 { return s.writers.Stat().NewConnsCount() }

// Waiting returns how many callers wait for a scope within this process.
func (s *Store) Waiting(scope string) int {
	s.places.mu.Lock()
	defer s.places.mu.Unlock()
	return max(len(s.places.queues[scope])-1, 0)
}

// Ask asks a question in a view.
func (s *Store) Ask(ctx context.Context, text string) error {
	return s.view(ctx, func(v *session) error {
		_, err := collect(v, readText, text)
		return err
	})
}

// Outcome asks what became of a transaction, as after a lost answer.
func (s *Store) Outcome(ctx context.Context, xid string, cause error) (bool, error) {
	return s.outcome(ctx, xid, cause)
}

// Translate makes an error of the server one that callers branch on, and tells
// whether a step runs again after it.
func Translate(code, message string) (err error, again bool) { //nolint:revive // two answers
	err = translate(context.Background(), &pgconn.PgError{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: code, Message: message, Detail: "detail"})
	return err, transient(err, false)
}
