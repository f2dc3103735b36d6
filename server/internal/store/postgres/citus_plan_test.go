package postgres_test

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/postgres"
	"github.com/sambang-id/sambang/server/internal/store/storetest"
	"github.com/sambang-id/sambang/syncproto"
)

// Every write of a push is one task on the node of its scope, and its commit is
// that node's: nothing is left in doubt when a node dies. Citus says in its log
// what it sends to the workers.
func TestAPushIsOneTaskOnOneNode(t *testing.T) {
	c, ok := citus(t)
	if !ok || c.Folder() == "" { // its log is elsewhere
		return
	}
	address := citusDatabases(t, c)(t)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	for _, setting := range []string{`log_statement = 'all'`, `log_min_messages = 'notice'`, `citus.log_remote_commands = 'on'`} {
		c.Exec(t, address, `ALTER DATABASE "`+name+`" SET `+setting)
	}
	s := open(t, address, postgres.Options{})
	const dev = "device-1"
	id := syncproto.RecordID{1, 15: 1}
	all := func(n uint64) {
		t.Helper()
		rows, changes := storetest.RowsOf(storetest.NewRand(), 20, scope, 20*n)
		if err := storetest.Push(t.Context(), s, rows, changes); err != nil {
			t.Fatal(err)
		}
		if err := s.Update(t.Context(), storetest.OneStep(func(tx store.Tx) error {
			past := store.PastWrite{Scope: scope, ID: id, Dot: syncproto.Dot{Replica: 1, N: n + 1}, Path: "a", Value: []byte("x")}
			key := syncproto.Digest{byte(n)}
			return errors.Join(tx.AppendHistory(scope, []store.PastWrite{past}), tx.Erase(scope, rows[0].ID), tx.Erase(scope, id),
				tx.Quarantine(string(scope), []store.Quarantined{{Key: key, State: store.QuarantineOpen, Raw: []byte("x")}}),
				tx.SetQuarantineState(string(scope), key, store.QuarantineClosed, "r", "b", 1))
		})); err != nil {
			t.Fatal(err)
		}
		if err := s.Update(t.Context(), store.Step{Scopes: []string{store.DeviceScope(dev)}, Do: func(tx store.Tx) ([]store.Step, error) {
			if _, err := tx.PutSteps(dev, 1, []store.ChainStep{{N: n + 1}}); err != nil {
				return nil, err
			}
			return nil, errors.Join(tx.PutReplicas(dev, []store.Replica{{ID: 1, ClaimedN: 10, HeldN: 0}}), tx.DropSteps(dev, 1, n+1), tx.PutWitness(dev, store.Witness{N: n + 1}),
				tx.PutReceipt(dev, store.Receipt{N: n + 1}), tx.PutSeen(dev, store.Seen{}))
		}}); err != nil {
			t.Fatal(err)
		}
	}
	for n := range uint64(8) { // by then, the plans are those that are kept
		all(n)
	}
	log, err := os.ReadFile(filepath.Join(c.Folder(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	tasks, twoPhase := tasksOf(string(log), name)
	if twoPhase != 0 {
		t.Errorf("%d commits in two phases", twoPhase)
	}
	seen := map[string]bool{}
	for statement, sent := range tasks {
		m := written.FindStringSubmatch(statement)
		if m == nil && !strings.Contains(statement, "FOR UPDATE") || m != nil && !hasScope(m[1]) {
			continue
		}
		if m != nil {
			seen[m[1]] = true
		}
		for _, n := range sent {
			if n != 1 {
				t.Errorf("sent as %d tasks: %s", n, statement)
				break
			}
		}
	}
	for _, table := range []string{"scopes", "records", "changes", "past_writes", "quarantine", "replicas", "chain_steps", "witnesses", "receipts", "device_seen"} {
		if !seen[table] {
			t.Errorf("no write of %s was seen", table)
		}
	}
}

var logged = regexp.MustCompile(`^\S+ \S+ \S+ \[(\d+)\] \S+@(\S+) (?:LOG|NOTICE):  (?:(execute \S+|statement): |issuing )(.*)`)

// tasksOf reads what Citus logged of a database: to how many shards each
// statement went, each time, and how many transactions were prepared.
func tasksOf(log, database string) (tasks map[string][]int, prepared int) {
	tasks = map[string][]int{}
	at := map[string]string{} // the statement that a process is at
	for line := range strings.SplitSeq(log, "\n") {
		m := logged.FindStringSubmatch(line)
		switch {
		case m == nil || m[2] != database:
		case m[3] != "":
			at[m[1]] = m[4]
			tasks[m[4]] = append(tasks[m[4]], 0)
		case strings.HasPrefix(m[4], "PREPARE"):
			prepared++
		case regexp.MustCompile(`^(INSERT|UPDATE|DELETE|SELECT \w+\.?|WITH)`).MatchString(m[4]) && len(tasks[at[m[1]]]) > 0:
			of := tasks[at[m[1]]]
			of[len(of)-1]++
		}
	}
	return tasks, prepared
}
