package pgtest

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// citusWorkers is how many workers a Citus cluster has that is started here.
const citusWorkers = 2

// Citus returns the coordinator of a Citus cluster that all tests of this
// process share: that of SAMBANG_TEST_CITUS_URL, or where the extension is
// installed beside the newest PostgreSQL, one that is started here, with two
// workers. There is none where ok is false; Citus is not in Debian, so its lack is
// no failure, and the caller leaves a subtest out.
//
// [Cluster.Database] makes databases with the extension and all nodes in it,
// whose owner may distribute tables. [Cluster.Snapshot] works on all nodes.
func Citus(tb testing.TB) (c *Cluster, ok bool) {
	tb.Helper()
	c, err := sharedCitus()
	if err != nil {
		tb.Fatalf("start Citus: %v", err)
	}
	if c == nil {
		return nil, false
	}
	for _, node := range c.nodes() {
		node.showLog(tb)
	}
	return c, true
}

// Workers are the other nodes of a Citus cluster. Those that were started here can be stopped and killed.
func (c *Cluster) Workers() []*Cluster { return c.workers }

// nodes are all of them, the coordinator first.
func (c *Cluster) nodes() []*Cluster { return append([]*Cluster{c}, c.workers...) }

// sharedCitus returns nil where there is none.
var sharedCitus = sync.OnceValues(func() (*Cluster, error) { //nolint:gochecknoglobals // one for all tests, written once
	if at := os.Getenv("SAMBANG_TEST_CITUS_URL"); at != "" {
		return useCitus(at)
	}
	if !citusInstalled() {
		return nil, nil
	}
	o := Options{Config: map[string]string{
		"shared_preload_libraries": "citus",
		"wal_level":                "logical", // shards move online
		"citus.node_conninfo":      "sslmode=disable",
		"citus.shard_count":        "8",
		// As STORAGE.md advises: the default connects anew for each query over all shards.
		"citus.max_cached_conns_per_worker":     "4",
		"citus.max_adaptive_executor_pool_size": "4",
		"citus.recover_2pc_interval":            "5s",
		"citus.enable_statistics_collection":    "off", // it calls home
	}}
	var nodes []*Cluster
	for range 1 + citusWorkers {
		node, err := start(o)
		if err != nil {
			return nil, err
		}
		node.citus = true
		nodes = append(nodes, node)
	}
	nodes[0].workers = nodes[1:]
	return nodes[0], nil
})

// citusInstalled tells whether the newest PostgreSQL has the extension.
func citusInstalled() bool {
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	bin, err := findBinaries(ctx)
	if err != nil {
		return false
	}
	folder, err := exec.CommandContext(ctx, filepath.Join(bin.folder, "pg_config"), "--pkglibdir").Output()
	if err != nil {
		return false
	}
	_, err = os.Stat(filepath.Join(strings.TrimSpace(string(folder)), "citus.so"))
	return err == nil
}

// useCitus takes a cluster that runs already, with the nodes that its
// coordinator knows in the database of the URL. The superuser's name and
// password are the same on all of them.
func useCitus(at string) (*Cluster, error) {
	c, err := useServer(at)
	if err != nil {
		return nil, err
	}
	c.citus = true
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	conn, err := c.connect(ctx, at)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx) //nolint:errcheck // only read
	rows, err := conn.Query(ctx, "SELECT nodename, nodeport FROM pg_dist_node WHERE noderole = 'primary' AND groupid <> 0 ORDER BY nodeid")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var host string
		var port int
		if err := rows.Scan(&host, &port); err != nil {
			return nil, err
		}
		u := *c.url
		u.Host = net.JoinHostPort(host, strconv.Itoa(port))
		c.workers = append(c.workers, &Cluster{url: &u, citus: true})
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("ask the coordinator for its nodes: %w", err)
	}
	if len(c.workers) == 0 {
		return nil, fmt.Errorf("the coordinator has no workers in the database of its URL")
	}
	return c, nil
}

// join makes the databases of that name on all nodes one Citus database. Nodes
// connect to each other with the password of who asks.
func (c *Cluster) join(tb testing.TB, name string, owner *url.Userinfo) {
	tb.Helper()
	for _, node := range c.nodes() {
		statements := []string{"CREATE EXTENSION citus"}
		for _, user := range []*url.Userinfo{owner, c.url.User} {
			if password, ok := user.Password(); ok {
				statements = append(statements, fmt.Sprintf("INSERT INTO pg_dist_authinfo VALUES (0, %s, %s)", literal(user.Username()), literal("password="+password)))
			}
		}
		if err := node.tryExec(node.with(node.url.User, name), statements...); err != nil {
			tb.Fatal(err)
		}
	}
	statements := []string{fmt.Sprintf("SELECT citus_set_coordinator_host(%s, %s)", literal(c.url.Hostname()), c.port())}
	for _, node := range c.workers {
		statements = append(statements, fmt.Sprintf("SELECT citus_add_node(%s, %s)", literal(node.url.Hostname()), node.port()))
	}
	if err := c.tryExec(c.with(c.url.User, name), statements...); err != nil {
		tb.Fatal(err)
	}
}

func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
