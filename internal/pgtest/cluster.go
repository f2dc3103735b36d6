package pgtest

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a start or a stop may take, on a machine that is busy.
const patience = 2 * time.Minute

// Options is what a cluster of one's own may have different.
type Options struct {
	// Disk keeps the files on a disk even where there is room in memory: for a
	// bench. Default: in memory.
	Disk bool
	// Folder is where the cluster's folder is made; the server's user must reach
	// it. Default: where Disk says.
	Folder string
	// Config are settings on top, as in postgresql.conf. Default: none.
	Config map[string]string
}

// Cluster is a running PostgreSQL. It is safe for concurrent use.
type Cluster struct {
	url *url.URL // of the superuser, to the database postgres or that of the environment; it never changes

	citus   bool       // it is a node of a Citus cluster
	workers []*Cluster // of a coordinator

	// Of a cluster that was started here:
	bin    binaries
	acct   account
	folder string // holds data, log and the Unix socket
	dog    *watchdog
	mu     sync.Mutex
	server *server // nil: stopped
}

// server is a running postmaster.
type server struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// Start returns the cluster that all tests of this process share. The first
// call starts it, or takes the server that SAMBANG_TEST_POSTGRES_URL names. A
// test that restarts it disturbs the others that run at that time: it takes
// one of its own with [StartOwn].
func Start(tb testing.TB) *Cluster {
	tb.Helper()
	c, err := shared()
	demand(tb, err)
	c.showLog(tb)
	return c
}

// StartOwn starts a cluster for this test alone, which ends with it.
func StartOwn(tb testing.TB, o Options) *Cluster {
	tb.Helper()
	c, err := start(o)
	demand(tb, err)
	tb.Cleanup(func() {
		if err := c.end(); err != nil {
			tb.Errorf("end the cluster: %v", err)
		}
	})
	c.showLog(tb)
	return c
}

// Run starts a cluster without a test, for a bench, which closes it. Where none
// can run, the error is ErrMissing.
func Run(o Options) (*Cluster, error) { return start(o) }

// Close ends a cluster of [Run], and removes its files.
func (c *Cluster) Close() error { return c.end() }

var shared = sync.OnceValues(func() (*Cluster, error) { //nolint:gochecknoglobals // one for all tests, written once
	if at := os.Getenv("SAMBANG_TEST_POSTGRES_URL"); at != "" {
		return useServer(at)
	}
	return start(Options{})
})

// demand ends the test if there is no cluster: a machine without PostgreSQL
// lets it be skipped, unless it is required.
func demand(tb testing.TB, err error) {
	tb.Helper()
	switch {
	case err == nil:
	case errors.Is(err, ErrMissing) && os.Getenv("SAMBANG_REQUIRE_POSTGRES") != "1":
		tb.Skipf("NOT TESTED, the store on PostgreSQL: %v", err)
	default:
		tb.Fatalf("start PostgreSQL: %v", err)
	}
}

// useServer takes a server that runs already.
func useServer(at string) (*Cluster, error) {
	u, err := url.Parse(at)
	if err != nil {
		return nil, fmt.Errorf("read the server's URL: %w", err)
	}
	c := &Cluster{url: u}
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	var version int
	var super bool
	conn, err := c.connect(ctx, at)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx) //nolint:errcheck // only read
	const ask = `SELECT current_setting('server_version_num')::int, rolsuper FROM pg_roles WHERE rolname = current_user`
	if err := conn.QueryRow(ctx, ask).Scan(&version, &super); err != nil {
		return nil, err
	}
	if version < oldest*10000 || !super {
		return nil, fmt.Errorf("the server has version %d and I am superuser: %t; needed are %d or newer and true", version/10000, super, oldest)
	}
	return c, nil
}

func start(o Options) (c *Cluster, err error) {
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	acct, err := serverAccount()
	if err != nil {
		return nil, err
	}
	bin, err := findBinaries(ctx)
	if err != nil {
		return nil, err
	}
	folder, err := newFolder(acct, o.Folder, o.Disk)
	if err != nil {
		return nil, err
	}
	c = &Cluster{bin: bin, acct: acct, folder: folder}
	if c.dog, err = startWatchdog(acct, folder); err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.end())
		}
	}()
	password, err := unpackCluster(ctx, bin, acct, folder)
	if err != nil {
		return nil, err
	}
	if err := c.configure(o); err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		port, err := freePort(ctx)
		if err != nil {
			return nil, err
		}
		c.url = &url.URL{
			Scheme: "postgres", User: url.UserPassword(superuser, password),
			Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Path: "/postgres", RawQuery: "sslmode=disable",
		}
		err = c.Resume()
		if err == nil {
			return c, nil
		}
		if try == 4 || !strings.Contains(err.Error(), "Address already in use") {
			return nil, err
		}
	}
}

// configure adds settings to those that initdb wrote.
func (c *Cluster) configure(o Options) error {
	settings := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"unix_socket_directories": c.folder,
		"max_connections":         "100",
		"shared_buffers":          "32MB",
		"max_wal_size":            "256MB", // the files may be in memory
		"fsync":                   "on",
		"synchronous_commit":      "on",
		// In the folder, so that they go with it: a killed server leaves its segments.
		"dynamic_shared_memory_type": "mmap",
		"logging_collector":          "off",
		"log_destination":            "stderr",
		"log_line_prefix":            "%m [%p] %q%u@%d ",
		"log_checkpoints":            "off",
		"log_lock_waits":             "on",
		"timezone":                   "UTC",
		"log_timezone":               "UTC",
	}
	maps.Copy(settings, o.Config)
	text := "\n# pgtest\n"
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		text += name + " = '" + strings.ReplaceAll(settings[name], "'", "''") + "'\n"
	}
	f, err := os.OpenFile(filepath.Join(c.folder, "data", "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// freePort returns a port that nobody listens on. It is below those that the
// kernel gives to outgoing connections: a client that dials a stopped server
// could otherwise be given that very port, and be connected with itself.
func freePort(ctx context.Context) (int, error) {
	for range 1000 {
		var b [2]byte
		rand.Read(b[:]) //nolint:errcheck // it does not fail
		port := 15000 + int(binary.BigEndian.Uint16(b[:]))%17000
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("found no free port between 15000 and 32000")
}

// URL returns the superuser's, to the database postgres; or that of the environment.
func (c *Cluster) URL() string { return c.url.String() }

// Folder holds the cluster: data, log, and the Unix socket. Empty for a server
// that was not started here.
func (c *Cluster) Folder() string { return c.folder }

func (c *Cluster) port() string {
	if port := c.url.Port(); port != "" {
		return port
	}
	return "5432"
}

// PID returns the postmaster's process id; 0 when it is stopped.
func (c *Cluster) PID() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server == nil {
		return 0
	}
	return c.server.cmd.Process.Pid
}

// Command makes a program of this PostgreSQL's installation, such as pg_dump or
// pg_basebackup, that runs as the server's user, in the cluster's folder. It
// gets nothing of this process's PG* environment.
func (c *Cluster) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return c.acct.command(ctx, c.folder, filepath.Join(c.bin.folder, name), args...)
}

// Mode is a way to stop a server.
type Mode int

// The ways to stop a server.
const (
	Fast      Mode = iota + 1 // clients are cut, transactions rolled back, a checkpoint is written: SIGINT
	Immediate                 // as if it crashed, but it ends by itself: SIGQUIT
	Crash                     // all its processes are killed at once, with SIGKILL
)

// errNotOurs is for what can be done only to a server that was started here.
var errNotOurs = errors.New("the server was not started by this process")

// Restart stops the server and starts it again, on the same port. After
// Immediate and Crash it recovers first. It returns when connections are
// accepted again.
func (c *Cluster) Restart(mode Mode) error {
	if err := c.Stop(mode); err != nil {
		return err
	}
	return c.Resume()
}

// Kill is Restart(Crash).
func (c *Cluster) Kill() error { return c.Restart(Crash) }

// Stop stops the server, and returns when all its processes have ended. The
// files stay; [Cluster.Resume] starts it again.
func (c *Cluster) Stop(mode Mode) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.folder == "" {
		return errNotOurs
	}
	if c.server == nil {
		return errors.New("the server is stopped already")
	}
	pid := c.server.cmd.Process.Pid
	children := childrenOf(pid)
	var err error
	switch mode {
	case Fast:
		err = c.server.cmd.Process.Signal(syscall.SIGINT)
	case Immediate:
		err = c.server.cmd.Process.Signal(syscall.SIGQUIT)
	case Crash:
		children, err = crash(pid)
	default:
		err = fmt.Errorf("no way to stop a server: %d", mode)
	}
	if err != nil {
		return fmt.Errorf("stop the server: %w", err)
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-c.server.done:
	case <-late.C:
		return errors.New("the server does not stop")
	}
	c.server = nil
	for _, child := range children {
		for !gone(child) {
			select {
			case <-late.C:
				return fmt.Errorf("process %d of the server does not stop", child)
			case <-time.After(time.Millisecond):
			}
		}
	}
	return c.dog.watch(0)
}

// Resume starts the server that was stopped, and returns when it accepts
// connections.
func (c *Cluster) Resume() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.folder == "" {
		return errNotOurs
	}
	if c.server != nil {
		return errors.New("the server runs already")
	}
	log, err := os.OpenFile(c.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	data := filepath.Join(c.folder, "data")
	s := &server{done: make(chan struct{})}
	s.cmd = c.acct.command(context.Background(), data, filepath.Join(c.bin.folder, "postgres"), "-D", data, "-p", c.url.Port())
	s.cmd.Stdout, s.cmd.Stderr = log, log
	before := c.logSize()
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	go func() {
		s.cmd.Wait() //nolint:errcheck // how it ended is in its log
		close(s.done)
	}()
	c.server = s
	if err := c.dog.watch(s.cmd.Process.Pid); err != nil {
		return err
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	for !c.ready(data) {
		select {
		case <-s.done:
			c.server = nil
			return errors.Join(fmt.Errorf("the server ended at its start:\n%s", c.logSince(before)), c.dog.watch(0))
		case <-late.C:
			return fmt.Errorf("the server does not get ready:\n%s", c.logSince(before))
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// ready tells whether the present postmaster says so in its pid file: on line 8,
// its own id being on line 1 (a crashed one leaves its file).
func (c *Cluster) ready(data string) bool {
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	lines := strings.Split(string(text), "\n")
	return err == nil && len(lines) > 7 && lines[0] == strconv.Itoa(c.server.cmd.Process.Pid) && strings.TrimSpace(lines[7]) == "ready"
}

// end stops the server and removes all its files.
func (c *Cluster) end() error {
	var err error
	if c.PID() != 0 {
		err = c.Stop(Immediate)
	}
	return errors.Join(err, c.dog.finish())
}
