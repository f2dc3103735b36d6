package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/tables"
)

// Options change how a store is opened. The zero value works.
type Options struct {
	// Writers and Readers are how many updates and views may have a connection
	// at once; more of them wait. All servers of a database together must stay
	// below its max_connections. Default: 8 each.
	Writers int
	Readers int
	// LockTimeout is how long the database lets a step wait for a scope that
	// another server holds, before it tries again. Default: 5 seconds.
	LockTimeout time.Duration
	// Tries is how often a step runs that fails by what may pass: a deadlock, a
	// lock, a lost connection. The pauses between them grow from 5 milliseconds
	// to one second. Default: 16, which outlasts a restart of 8 seconds.
	Tries int
	// Commit is a test's hand on the database: it is called around each commit,
	// and whatever finds out what became of one. It may return an error without
	// calling do, and then nothing of the step happened; or after it, and then
	// all of it did. Default: the commit alone.
	Commit func(do func() error) error
	// OnDamage is told of each damaged row that a read comes upon, once. It must
	// return soon, and not use the store. Default: nobody is told.
	OnDamage func(*store.Damage)
	// Logger is told of what is not as it should be where people's data are: a
	// role that may too much, and no second lock on headquarters' reads.
	// Default: silent.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&o.Writers, 8)
	def(&o.Readers, 8)
	def(&o.Tries, 16)
	if o.Commit == nil {
		o.Commit = func(do func() error) error { return do() }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.LockTimeout <= 0 {
		o.LockTimeout = 5 * time.Second
	}
	return o
}

// Store is an open database. It implements [store.Store] and is safe for
// concurrent use, also beside other servers on the same database.
type Store struct {
	name    string // of the database, for errors
	self    string // of this process, among the servers of the database
	options Options
	// citus: the tables may be on other nodes. A database becomes one of Citus
	// while it is open; then all its connections are ended before the first table
	// is placed, and the next tell.
	citus    atomic.Bool
	standing standing
	writers  *pgxpool.Pool
	readers  *pgxpool.Pool
	places   *places
	gate     *gate
	damages  *tables.Damages
}

var _ store.Store = (*Store)(nil)

// Open opens the store in the database that url names, a PostgreSQL URL or
// connection string, and makes or upgrades its tables, in the first schema of
// the search path. The database must exist.
//
// The tables are made and upgraded if the role of the connection may: otherwise
// the error has the code store_upgrade, and the owner of the tables has to open
// the store once. Then it also gives the roles that [Roles] made what they
// need, and puts in the second lock of [Store.ViewAs]. A role that lacks a
// privilege is refused with the code store_role.
//
// A schema that holds something else is refused with store.ErrForeign, one of a
// newer version with store.ErrNewer, one into which a store is being moved with
// store.ErrUnfinished; all are left as they are. The same goes for a server that
// would lose what it confirmed.
func Open(ctx context.Context, url string, o Options) (_ *Store, err error) {
	o = o.withDefaults()
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		// The driver's error may hold the URL, and the URL a password.
		return nil, errors.New("open store: the address of the database is not a PostgreSQL URL or connection string")
	}
	s := newStore(config, o)
	defer func() {
		if err != nil {
			err = fmt.Errorf("open store %s: %w", s.name, hide(translate(ctx, err), config.ConnConfig.Password))
			s.closePools()
		}
	}()
	prepare(config)
	if s.standing, err = ready(ctx, config.ConnConfig); err != nil {
		return nil, err
	}
	s.standing.warn(o.Logger)
	if s.writers, err = s.pool(ctx, config, o.Writers, planSteps); err != nil {
		return nil, err
	}
	if s.readers, err = s.pool(ctx, config, o.Readers, planPages); err != nil {
		return nil, err
	}
	for _, p := range []*pgxpool.Pool{s.writers, s.readers} { // so that what is wrong is known now
		if err := p.Ping(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// newStore returns a store without connections.
func newStore(config *pgxpool.Config, o Options) *Store {
	return &Store{options: o, self: rand.Text(), name: nameOf(&config.ConnConfig.Config), places: newPlaces(), gate: newGate(), damages: tables.NewDamages(o.OnDamage)}
}

// nameOf names a database as people do, without who enters it and how.
func nameOf(c *pgconn.Config) string {
	return strconv.Quote(c.Host + ":" + strconv.Itoa(int(c.Port)) + "/" + c.Database)
}

// hide takes a password out of an error's text, wherever it came from.
func hide(err error, password string) error {
	if err == nil || password == "" || !strings.Contains(err.Error(), password) {
		return err
	}
	return &hidden{err, strings.ReplaceAll(err.Error(), password, "xxxxx")}
}

type hidden struct {
	error
	text string
}

func (h *hidden) Error() string { return h.text }
func (h *hidden) Unwrap() error { return h.error }

// prepare sets what all connections have.
func prepare(config *pgxpool.Config) {
	c := config.ConnConfig
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "sambangd"
	}
	// A caller who gives up ends his query at the server, and the connection
	// lives on.
	c.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: cancelTime}
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTime
	}
}

const (
	// cancelTime is how long the server may take to end a cancelled query.
	cancelTime = 5 * time.Second
	// connectTime is how long a connection may take.
	connectTime = 10 * time.Second
)

// pool makes a pool of connections that are set and asserted one by one. The
// statements are run on each of them.
func (s *Store) pool(ctx context.Context, config *pgxpool.Config, places int, p plans, statements ...string) (*pgxpool.Pool, error) {
	config = config.Copy()
	config.MaxConns = int32(places) //nolint:gosec // small
	config.MinConns, config.MinIdleConns = 0, 0
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		citus, err := set(ctx, conn, s.options, p)
		switch {
		case err != nil:
		case citus:
			s.citus.Store(true)
			_, err = conn.Exec(ctx, sqlPassOn)
		default:
			err = incarnate(ctx, conn)
		}
		for i := 0; err == nil && i < len(statements); i++ {
			_, err = conn.Exec(ctx, statements[i])
		}
		return err
	}
	return pgxpool.NewWithConfig(ctx, config)
}

// incarnate finds out what the server is since its last crash. The connection
// does not outlive it.
func incarnate(ctx context.Context, conn *pgx.Conn) error {
	self := backendOf(conn)
	_, err := conn.Exec(ctx, `INSERT INTO sambang_incarnation (one, id) VALUES (true, $1) ON CONFLICT (one) DO NOTHING`, rand.Text())
	if err == nil {
		err = conn.QueryRow(ctx, `SELECT id FROM sambang_incarnation`).Scan(&self.incarnation)
	}
	conn.PgConn().CustomData()[backendKey] = self
	return err
}

// Timeouts of the server. They end what nobody waits for any more.
const (
	statementTime = 60 * time.Second // of one statement, in which a lock is waited for
	idleTime      = 30 * time.Second // of a transaction in which nothing happens
)

// plans say how the database plans the statements of a connection.
type plans struct {
	cache string // plan_cache_mode
	scans string // enable_seqscan
}

//nolint:gochecknoglobals // settings, never written to
var (
	// A step finds its rows by their keys, and its plans are kept. One that was
	// made while the tables were empty would read them from end to end, and go on
	// with it until the database counts their rows.
	planSteps = plans{cache: "auto", scans: "off"}
	// A page of the log is found by time for who sees all, and by scope for who
	// sees one: the plan that fits both reads a million rows for one of them.
	planPages = plans{cache: "force_custom_plan", scans: "on"}
	// A move and an upgrade read whole tables.
	planTables = plans{cache: "auto", scans: "on"}
)

// set makes a connection what the engine needs, and asserts it. It tells
// whether the database is one of Citus.
func set(ctx context.Context, conn *pgx.Conn, o Options, p plans) (citus bool, err error) {
	millis := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	// A level above "on" waits for standbys too, and stays.
	if _, err := conn.Exec(ctx, `SELECT
		set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false),
		set_config('lock_timeout', $1, false), set_config('statement_timeout', $2, false), set_config('idle_in_transaction_session_timeout', $3, false),
		set_config('default_transaction_isolation', 'read committed', false), set_config('default_transaction_deferrable', 'off', false),
		set_config('plan_cache_mode', $4, false), set_config('enable_seqscan', $5, false),
		set_config('jit', 'off', false)`, // to compile a page's query takes longer than to run it
		millis(o.LockTimeout), millis(statementTime), millis(idleTime), p.cache, p.scans); err != nil {
		return false, err
	}
	return assert(ctx, conn)
}

// assert refuses a connection that would not keep what it confirms, or not as
// it was.
func assert(ctx context.Context, conn *pgx.Conn) (citus bool, err error) {
	var of settings
	var self backend
	err = conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('fsync'), current_setting('full_page_writes'),
		current_setting('synchronous_commit'), current_setting('server_encoding'), current_setting('default_transaction_read_only'), pg_is_in_recovery(),
		pid, extract(epoch FROM backend_start)::text, EXISTS (SELECT FROM pg_extension WHERE extname = 'citus') FROM pg_stat_activity WHERE pid = pg_backend_pid()`).
		Scan(&of.version, &of.fsync, &of.fullPages, &of.commit, &of.encoding, &of.readOnly, &of.standby, &self.pid, &self.started, &citus)
	if err != nil {
		return false, err
	}
	conn.PgConn().CustomData()[backendKey] = self
	return citus, of.refuse()
}

// settings are what durability rests on.
type settings struct {
	version                                      int
	fsync, fullPages, commit, encoding, readOnly string
	standby                                      bool
}

func (of *settings) refuse() error {
	switch {
	case of.version < minVersion:
		return fmt.Errorf("PostgreSQL %d is older than 15", of.version/versionStep)
	case of.fsync != "on":
		return fmt.Errorf("fsync is %s: a power cut would lose what was confirmed", of.fsync)
	case of.fullPages != "on":
		return fmt.Errorf("full_page_writes is %s: a power cut would leave torn pages", of.fullPages)
	case of.commit == "off":
		return errors.New("synchronous_commit is off: a crash would lose what was confirmed")
	case of.encoding != "UTF8":
		return fmt.Errorf("the encoding of the database is %s, must be UTF8", of.encoding)
	case of.readOnly != "off":
		return errors.New("the database is read-only")
	case of.standby:
		return errStandby
	}
	return nil
}

// errStandby may pass: after a failover, the address may still be that of the
// server before.
var errStandby = errors.New("the server is a standby")

const (
	versionStep = 10_000 // between two versions in the server's number
	minVersion  = 15 * versionStep
)

// Close waits for the running updates and the open views, and closes the
// connections. Updates that wait for their first scope get store.ErrClosed.
func (s *Store) Close() error {
	if !s.gate.close() {
		return nil
	}
	close(s.places.closing)
	<-s.gate.empty
	s.closePools()
	return nil
}

func (s *Store) closePools() {
	for _, p := range []*pgxpool.Pool{s.writers, s.readers} {
		if p != nil {
			p.Close()
		}
	}
}
