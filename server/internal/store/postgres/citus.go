package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// On a Citus cluster, servers speak to the coordinator alone: it holds the
// claims on names that are unique across scopes, and the versions of the tables.
// The rows are on the workers, whose transactions have the settings of the
// worker and not of the session. So what a step rests on is said in the step,
// and the coordinator passes it on with its BEGIN, in the same crossing.

// sqlPassOn lets the coordinator pass on what SET LOCAL says.
const sqlPassOn = `SELECT set_config('citus.propagate_set_commands', 'local', false)`

// stepSettings are commands after the BEGIN of a step, on a cluster: without
// them a worker waits for a row as long as it likes, keeps a scope for a
// coordinator that is gone, and may not wait for its disk.
func stepSettings(o *Options) []command {
	set := func(name string, d time.Duration) command {
		return command{text: `SET LOCAL ` + name + ` = ` + strconv.FormatInt(d.Milliseconds(), 10)}
	}
	return []command{
		{text: `SET LOCAL synchronous_commit = 'on'`}, set("lock_timeout", o.LockTimeout), set("idle_in_transaction_session_timeout", idleTime),
	}
}

// errWorker is for an address that is not the coordinator's.
var errWorker = errors.New("this is a worker of a Citus cluster: all servers use the address of its coordinator")

// assertNodes refuses a cluster whose workers would lose what they confirmed,
// or that is entered by one of them. A worker that does not answer now is not
// asked: the scopes of the others are there without it.
func assertNodes(ctx context.Context, conn *pgx.Conn) error {
	var group int
	if err := conn.QueryRow(ctx, `SELECT groupid FROM pg_dist_local_group`).Scan(&group); err != nil {
		return err
	}
	if group != 0 {
		return errWorker
	}
	rows, err := conn.Query(ctx, `SELECT nodename || ':' || nodeport, result FROM run_command_on_workers(
		$$ SELECT current_setting('fsync') || ' ' || current_setting('full_page_writes') $$) WHERE success`)
	if err != nil {
		return err
	}
	type node struct{ Name, Settings string }
	nodes, err := pgx.CollectRows(rows, pgx.RowToStructByPos[node])
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if n.Settings != "on on" {
			return fmt.Errorf("fsync and full_page_writes of worker %s are %q, must be on: a power cut would lose what was confirmed", n.Name, n.Settings)
		}
	}
	return nil
}
