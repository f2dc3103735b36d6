package postgres

import (
	"context"
	"crypto/sha256"
	_ "embed" // two texts of SQL
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sambang-id/sambang/syncproto"
)

//go:embed roles.sql
var rolesSQL string

//go:embed lock.sql
var lockSQL string

// DefaultPrefix begins the names of the roles.
const DefaultPrefix = "sambang"

var validPrefix = regexp.MustCompile(`^[a-z][a-z0-9_]{0,40}$`)

// Roles returns what an administrator of the database server runs once, in the
// database of the store: it makes the roles prefix_owner, prefix_server and
// prefix_reader. Whoever runs a second store in the same cluster gives it
// another prefix.
func Roles(prefix string) (string, error) {
	if !validPrefix.MatchString(prefix) {
		return "", errors.New("the prefix of the roles is not 1 to 41 of a-z, 0-9 and _, a letter first")
	}
	out := rolesSQL
	for _, role := range []string{"owner", "server", "reader"} {
		out = strings.ReplaceAll(out, "sambang_"+role, prefix+"_"+role)
	}
	return out, nil
}

// mayServer is what the server's role may do with each table: what the
// statements of this package need; updates are columns. A purge empties the content of the journal,
// and nothing else of it ever changes.
//
//nolint:gochecknoglobals // a table, never written to
var mayServer = []struct{ table, privileges, updates string }{
	{"scopes", "SELECT, INSERT, UPDATE", ""},
	{"records", "SELECT, INSERT, UPDATE", ""},
	{"changes", "SELECT, INSERT", "ops, sum"},
	{"past_writes", "SELECT, INSERT", "value, sum"},
	{"quarantine", "SELECT, INSERT, UPDATE", ""},
	{"epochs", "SELECT, INSERT, UPDATE", ""},
	{"replicas", "SELECT, INSERT, UPDATE", ""},
	{"chain_steps", "SELECT, INSERT, DELETE", ""},
	{"witnesses", "SELECT, INSERT, DELETE", ""},
	{"receipts", "SELECT, INSERT", ""},
	{"device_seen", "SELECT, INSERT, UPDATE", ""},
	{"officers", "SELECT, INSERT, UPDATE", ""},
	{"devices", "SELECT, INSERT, UPDATE", ""},
	{"past_grants", "SELECT, INSERT", ""},
	{"enrolments", "SELECT, INSERT, UPDATE", ""},
	{"used_tokens", "SELECT, INSERT, DELETE", ""},
	{"servers", "SELECT, INSERT", ""},
	{"sambang_incarnation", "SELECT, INSERT", ""},
	{versionTable, "SELECT", ""},
}

// mayReader are the tables that are read for headquarters. What a device or an
// officer is called is shown wherever he wrote; rows of the others are behind
// the policies of lock.sql.
//
//nolint:gochecknoglobals // a table, never written to
var mayReader = []string{"scopes", "records", "changes", "past_writes", "quarantine", "epochs", "replicas", "device_seen", "officers", "devices"}

// locked are the tables with policies.
//
//nolint:gochecknoglobals // a table, never written to
var locked = []string{"scopes", "records", "changes", "past_writes", "quarantine"}

// secure gives the roles that the database names what they need, and puts the
// second lock in, if that was not done before. The owner of the tables runs it,
// under the lock of migrations; it is one transaction.
func secure(ctx context.Context, conn *pgx.Conn, citus bool) error {
	var server, reader, schema, applied, owner string
	var owned bool
	err := conn.QueryRow(ctx, `SELECT coalesce(current_setting('sambang.server_role', true), ''), coalesce(current_setting('sambang.reader_role', true), ''), current_schema()::text,
		coalesce(obj_description(oid, 'pg_class'), ''), pg_get_userbyid(relowner)::text, pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass($1)`, versionTable).
		Scan(&server, &reader, &schema, &applied, &owner, &owned)
	if err != nil || server == "" || reader == "" || !owned {
		return err
	}
	statements := grantsTo(server, reader, schema)
	if !citus { // where a policy can't look at another table by something else than the scope
		name := strings.NewReplacer("{server}", ident(server), "{reader}", ident(reader))
		statements += name.Replace(lockSQL)
	}
	sum := sha256.Sum256([]byte(statements))
	mark := "roles " + hex.EncodeToString(sum[:8])
	if applied == mark {
		return nil
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // after a commit it does nothing
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(lockID)); err != nil {
		return err
	}
	// A superuser does it for the owner, whose the functions then are.
	if _, err := tx.Exec(ctx, `SET LOCAL ROLE `+ident(owner)); err != nil {
		return err
	}
	// Without parameters, a text may hold many statements.
	if _, err := tx.Conn().PgConn().Exec(ctx, statements+"COMMENT ON TABLE "+versionTable+" IS '"+mark+"';").ReadAll(); err != nil {
		return fmt.Errorf("give the roles %s and %s what they need: %w", server, reader, err)
	}
	return tx.Commit(ctx)
}

// grantsTo takes from both roles what they had, and gives them what they need.
func grantsTo(server, reader, schema string) string {
	var b strings.Builder
	both := ident(server) + ", " + ident(reader)
	fmt.Fprintf(&b, "REVOKE ALL ON SCHEMA %s FROM %s;\nGRANT USAGE ON SCHEMA %[1]s TO %[2]s;\n", ident(schema), both)
	for _, m := range mayServer {
		fmt.Fprintf(&b, "REVOKE ALL ON %s FROM PUBLIC, %s;\nGRANT %s ON %[1]s TO %[4]s;\n", m.table, both, m.privileges, ident(server))
		if m.updates != "" {
			fmt.Fprintf(&b, "GRANT UPDATE (%s) ON %s TO %s;\n", m.updates, m.table, ident(server))
		}
	}
	for _, table := range mayReader {
		fmt.Fprintf(&b, "GRANT SELECT ON %s TO %s;\n", table, ident(reader))
	}
	return b.String()
}

func ident(name string) string { return pgx.Identifier{name}.Sanitize() }

// standing is what a connection may do with the tables.
type standing struct {
	role    string
	owner   bool   // of the tables, or a superuser
	super   bool   // a superuser, or nobody whom policies hold
	lacks   string // the first privilege that it needs and does not have
	blind   bool   // rows are hidden from it by policies
	reader  string // the role of the second lock; "": there is none
	becomes bool   // may become the reader
	loose   bool   // the reader is somebody whom policies do not hold, or a table has none
}

// stand finds out what the connection may do.
func stand(ctx context.Context, conn *pgx.Conn) (at standing, err error) {
	var tables, privileges []string
	for _, m := range mayServer {
		for p := range strings.SplitSeq(m.privileges, ", ") {
			tables, privileges = append(tables, m.table), append(privileges, p)
		}
	}
	err = conn.QueryRow(ctx, `WITH me AS (SELECT oid, rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user),
		reader AS (SELECT r.oid, r.rolname, r.rolsuper OR r.rolbypassrls AS loose FROM pg_policy p JOIN pg_roles r ON r.oid = p.polroles[1]
			WHERE p.polrelid = to_regclass('records') AND p.polname = 'sambang_reader')
		SELECT me.rolname::text, me.rolsuper OR me.rolbypassrls,
		  coalesce((SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('records')), false),
		  coalesce((SELECT p || ' on ' || t FROM unnest($1::text[], $2::text[]) AS n (t, p) WHERE NOT has_table_privilege(t, p) LIMIT 1), ''),
		  EXISTS (SELECT FROM unnest($3::text[]) AS t WHERE row_security_active(t) AND NOT EXISTS (SELECT FROM pg_policy
		    WHERE polrelid = to_regclass(t) AND polname = 'sambang_server' AND pg_has_role(polroles[1], 'USAGE'))),
		  coalesce((SELECT rolname::text FROM reader), ''), coalesce((SELECT pg_has_role(oid, 'MEMBER') FROM reader), false),
		  coalesce((SELECT loose FROM reader), false) OR EXISTS (SELECT FROM unnest($3::text[]) AS t WHERE NOT (SELECT relrowsecurity FROM pg_class WHERE oid = to_regclass(t))
		    OR NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = to_regclass(t) AND polname = 'sambang_reader'))
		  OR EXISTS (SELECT FROM reader, unnest($3::text[]) AS t WHERE pg_has_role(reader.oid, (SELECT relowner FROM pg_class WHERE oid = to_regclass(t)), 'MEMBER'))
		FROM me`, tables, privileges, locked).
		Scan(&at.role, &at.super, &at.owner, &at.lacks, &at.blind, &at.reader, &at.becomes, &at.loose)
	return at, err
}

// refuse returns an error if the store can't be used by the connection.
func (at *standing) refuse() error {
	switch {
	case at.lacks != "":
		return syncproto.Errorf(syncproto.CodeStoreRole, "role %s has no privilege %s", at.role, at.lacks)
	case at.blind:
		return syncproto.Errorf(syncproto.CodeStoreRole, "the policies of the tables hide rows from role %s", at.role)
	}
	return nil
}

// warn says what is not as it should be where people's data are.
func (at *standing) warn(logger *slog.Logger) {
	if at.reader == "" {
		logger.Warn("the second lock on headquarters' reads is off: PostgreSQL does not hold them to the reader's grants; see `sambangd roles`")
	} else if err := at.unlocked(); err != nil {
		logger.Error("headquarters' reads will be refused", "error", err)
	}
	if at.reader != "" && (at.super || at.owner) {
		logger.Warn("the server is connected as a role that may change the tables: least privileges are not in force; see `sambangd roles`", "role", at.role)
	}
}

// unlocked returns an error if the second lock is there and would not hold.
func (at *standing) unlocked() error {
	switch {
	case at.reader == "":
		return nil
	case !at.becomes:
		return syncproto.Errorf(syncproto.CodeStoreRole, "role %s may not become %s, who reads for headquarters", at.role, at.reader)
	case at.loose:
		return syncproto.Errorf(syncproto.CodeStoreRole, "role %s, who reads for headquarters, is not held by the policies of all tables", at.reader)
	}
	return nil
}

// errUpgrade tells who has to upgrade the tables.
func errUpgrade(role string, version int64) error {
	return syncproto.Errorf(syncproto.CodeStoreUpgrade, "the tables are of version %d, this program needs %d, and role %s does not own them", version, schemaVersion, role)
}

// denied gives the server's "permission denied" the code that says what to do.
func denied(ctx context.Context, err error) error {
	err = translate(ctx, err)
	var f *failure
	if errors.As(err, &f) && f.code == "42501" {
		return fmt.Errorf("%w: %w", syncproto.Errorf(syncproto.CodeStoreRole, "the role of the connection lacks a privilege"), err)
	}
	return err
}
