package pgtest

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Shell makes a shell that runs a script, and ends at the first command that
// fails, as the server's user in the cluster's folder: what its administrator
// types. This PostgreSQL's programs come first in its PATH, their environment
// names this cluster and its superuser, and PGDATA its data. Variables are on
// top, each "NAME=value".
func (c *Cluster) Shell(ctx context.Context, script string, variables ...string) *exec.Cmd {
	cmd := c.acct.command(ctx, c.folder, "/bin/sh", "-euc", script)
	password, _ := c.url.User.Password()
	cmd.Env = append(cmd.Env,
		"PATH="+c.bin.folder+":"+os.Getenv("PATH"), "PGDATA="+filepath.Join(c.folder, "data"),
		"PGHOST="+c.url.Hostname(), "PGPORT="+c.port(), "PGUSER="+c.url.User.Username(), "PGPASSWORD="+password, "PGDATABASE=postgres", "PGSSLMODE=disable")
	cmd.Env = append(cmd.Env, variables...)
	return cmd
}

// As returns the address of a database for a role.
func (c *Cluster) As(tb testing.TB, role, password, database string) string {
	tb.Helper()
	return c.with(url.UserPassword(role, password), database)
}
