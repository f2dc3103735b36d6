package sqlite

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sambang-id/sambang/internal/ablate"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/tables"
)

// Options change how a store is opened. The zero value works.
type Options struct {
	// Readers is how many views may be open at once; more of them wait.
	// Default: 4.
	Readers int
	// BusyTimeout is how long a lock that another process holds is waited for,
	// before ErrBusy. Default: 5 seconds.
	BusyTimeout time.Duration
	// GroupCalls, GroupRows and GroupTime bound how many calls of Update share
	// one commit, how many rows they write, and for how long new ones may
	// join. Default: 64 calls, 8192 rows, 50 milliseconds.
	GroupCalls int
	GroupRows  int
	GroupTime  time.Duration
	// OnDamage is told of each damaged row that a read comes upon, once. It must
	// return soon, and not use the store. Default: nobody is told.
	OnDamage func(*store.Damage)
	// Commit is a test's hand on the disk: it is called around each commit. It
	// may return an error without calling do, and then nothing is committed, or
	// after it. Default: none.
	Commit func(do func() error) error

	// source: the file must be there, and may be one that was moved.
	source bool
}

func (o Options) withDefaults() Options {
	if o.Commit == nil {
		o.Commit = func(do func() error) error { return do() }
	}
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&o.Readers, 4)
	def(&o.GroupCalls, 64)
	def(&o.GroupRows, 8192)
	if o.BusyTimeout <= 0 {
		o.BusyTimeout = 5 * time.Second
	}
	if o.GroupTime <= 0 {
		o.GroupTime = 50 * time.Millisecond
	}
	return o
}

// Store is an open file. It implements [store.Store] and is safe for
// concurrent use.
type Store struct {
	path    string
	options Options
	queue   queue
	// writer is used only by who has the queue's turn.
	writer  *conn
	readers *readers
	damages *tables.Damages
}

var _ store.Store = (*Store)(nil)

// Open opens the store at path and brings its tables to this version. It
// creates the file, for its owner only, if there is none or an empty one; the
// directory must exist.
//
// A file that is not a store is refused with store.ErrForeign, one of a newer
// version with store.ErrNewer, one of before the first release with
// store.ErrOlder, one that was moved to another engine with store.ErrMoved; all
// are left as they are.
func Open(ctx context.Context, path string, o Options) (_ *Store, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("open store %q: %w", path, err)
		}
	}()
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	o = o.withDefaults()
	if err := prepareFile(ctx, path, o); err != nil {
		return nil, err
	}
	s := &Store{path: path, options: o, damages: tables.NewDamages(o.OnDamage)}
	s.readers = newReaders(o.Readers, func(ctx context.Context) (*conn, error) { return s.connect(ctx, true) })
	s.queue.limits = groupLimits{o.GroupCalls, o.GroupRows, o.GroupTime}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.closeConns())
		}
	}()
	if err := s.openWriter(ctx); err != nil {
		return nil, err
	}
	c, err := s.readers.take(ctx) // so that what is wrong with it is known now
	if err != nil {
		return nil, err
	}
	s.readers.put(c)
	return s, nil
}

// openWriter opens the connection that writes, on tables of this version.
func (s *Store) openWriter(ctx context.Context) (err error) {
	if s.writer, err = s.connect(ctx, false); err != nil {
		return err
	}
	// Again, now with what is in the log. As a rule there is nothing to migrate,
	// and then no other connection is made for it.
	version, err := one(&session{conn: s.writer, ctx: ctx}, store.ErrNotFound, func(c *cursor) int64 { return c.Int(0) }, sqlUserVersion)
	if err != nil || version == schemaVersion {
		return err
	}
	if version >= movedVersion {
		return checkVersion(version, s.options)
	}
	c := s.writer
	s.writer = nil
	if err := c.close(); err != nil {
		return err
	}
	if err := migrate(ctx, s.path, s.options); err != nil {
		return err
	}
	s.writer, err = s.connect(ctx, false)
	return err
}

// connect opens a connection and asserts what durability rests on.
func (s *Store) connect(ctx context.Context, readOnly bool) (*conn, error) {
	c, err := connect(ctx, dsn(s.path, s.options, readOnly))
	if err != nil {
		return nil, err
	}
	c.damages = s.damages
	if err := assert(ctx, c, s.options); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// synchronous is the level at which each commit is synced to the disk, FULL. In
// WAL mode the level below loses acknowledged commits at a power cut.
func synchronous() int {
	if ablate.Off(ablate.R02WALNormal) {
		return 1
	}
	return 2
}

// dsn is the driver's name of the file. It never creates it: mode=rw.
func dsn(path string, o Options, readOnly bool) string {
	q := url.Values{
		"mode":       {"rw"},
		"_txlock":    {"immediate"},
		"_dqs":       {"0"}, // a mistyped column is an error, not a string
		"_defensive": {"1"},
		"_pragma": {
			"busy_timeout(" + strconv.FormatInt(o.BusyTimeout.Milliseconds(), 10) + ")",
			"journal_mode(WAL)",
			"synchronous(" + strconv.Itoa(synchronous()) + ")",
			"foreign_keys(1)",
			"cell_size_check(1)", // damage is found when it is read, not later
			"trusted_schema(0)",
			"temp_store(MEMORY)", // no copies of records outside the file
			"cache_size(" + strconv.Itoa(-cacheKiB) + ")",
			"wal_autocheckpoint(" + strconv.Itoa(walPages) + ")",
			"journal_size_limit(" + strconv.Itoa(walBytes) + ")",
		},
	}
	if readOnly {
		q["_pragma"] = append(q["_pragma"], "query_only(1)")
	}
	return fileURI(path, q)
}

func fileURI(path string, q url.Values) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

const (
	// cacheKiB is the page cache of each connection: the inner pages of the
	// indexes of a million records.
	cacheKiB = 16 << 10
	// walPages is how long the log grows before it is moved into the file: with
	// 16 MiB, the inner pages of the indexes are written there once for many
	// pushes (SQLite's default of 4 MiB: 10 % slower).
	walPages = 4096
	// walBytes is what is left of a log that a long backup made grow.
	walBytes = 64 << 20
)

// assert refuses a connection that would not keep what it confirms
// (RELIABILITY, decision 1), or whose SQLite can corrupt a log that is reset
// while it is read (sqlite.org/wal.html#the_wal_reset_bug).
func assert(ctx context.Context, c *conn, o Options) error {
	s := &session{conn: c, ctx: ctx}
	text := func(c *cursor) string { return fmt.Sprint(c.Row[0]) }
	version, err := one(s, store.ErrNotFound, text, `SELECT sqlite_version()`)
	if err != nil {
		return err
	}
	if !atLeast(version, 3, 51, 3) {
		return fmt.Errorf("SQLite %s is older than 3.51.3, which fixes a corruption of the log", version)
	}
	for pragma, want := range map[string]string{
		"journal_mode": "wal", "synchronous": strconv.Itoa(synchronous()), "foreign_keys": "1", "cell_size_check": "1",
		"busy_timeout": strconv.FormatInt(o.BusyTimeout.Milliseconds(), 10),
	} {
		got, err := one(s, store.ErrNotFound, text, "PRAGMA "+pragma)
		if err != nil {
			return fmt.Errorf("read pragma %s: %w", pragma, err)
		}
		if got != want {
			return fmt.Errorf("pragma %s is %q, must be %q", pragma, got, want)
		}
	}
	return nil
}

func atLeast(version string, want ...int) bool {
	parts := strings.Split(version, ".")
	for i, w := range want {
		if i >= len(parts) {
			return false
		}
		n, err := strconv.Atoi(parts[i])
		if err != nil || n < w {
			return false
		}
		if n > w {
			return true
		}
	}
	return true
}

// Close waits for the running update and the open views, and closes the file.
// Updates that wait for their turn get store.ErrClosed.
func (s *Store) Close() error {
	if !s.queue.close() {
		return nil
	}
	if err := s.closeConns(); err != nil {
		return fmt.Errorf("close store %q: %w", s.path, err)
	}
	return nil
}

// closeConns closes the readers first: the last connection moves the log into
// the file, and must be the one that may write.
func (s *Store) closeConns() error {
	errs := []error{s.readers.close()}
	if s.writer != nil {
		errs = append(errs, s.writer.close())
	}
	return errors.Join(errs...)
}
