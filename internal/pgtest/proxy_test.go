package pgtest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sambang-id/sambang/internal/pgtest"
)

// put is the operation under test: on a new connection, a transaction of a
// query, a batch, and a COMMIT.
func put(at string, id int) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, at)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	var n int
	if err := tx.QueryRow(ctx, "SELECT count(*) FROM things WHERE id = $1", id).Scan(&n); err != nil {
		return err
	}
	var batch pgx.Batch
	for part := range 3 {
		batch.Queue("INSERT INTO things VALUES ($1, $2)", id, part)
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

func things(t *testing.T) (at string, c *pgtest.Cluster) {
	t.Helper()
	c = pgtest.Start(t)
	at = c.Database(t)
	c.Exec(t, at, "CREATE TABLE things (id int, part int, PRIMARY KEY (id, part))", "GRANT ALL ON things TO PUBLIC")
	return at, c
}

func TestAProxyCounts(t *testing.T) {
	t.Parallel()
	at, _ := things(t)
	p := pgtest.NewProxy(t, at)
	conn := connect(t, p.URL())
	if got := p.Traffic(); got != (pgtest.Traffic{}) {
		t.Errorf("the startup counts: %+v", got)
	}
	many := func(n int) *pgx.Batch {
		var batch pgx.Batch
		for i := range n {
			batch.Queue("SELECT $1::int", i)
		}
		return &batch
	}
	var warm pgx.Batch
	warm.Queue("SELECT $1::int", 1)
	if err := conn.SendBatch(t.Context(), &warm).Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		do   func() error
		want pgtest.Traffic
	}{
		{"a simple query", func() error { _, err := conn.PgConn().Exec(t.Context(), "SELECT 1; SELECT 2").ReadAll(); return err },
			pgtest.Traffic{Messages: 1, Syncs: 1, Trips: 1, Types: "Q"}},
		{"a statement that is prepared first", func() error { _, err := conn.Exec(t.Context(), "SELECT $1::text", "x"); return err },
			pgtest.Traffic{Messages: 6, Syncs: 2, Trips: 2, Types: "PDSBES"}},
		{"and now is", func() error { _, err := conn.Exec(t.Context(), "SELECT $1::text", "x"); return err },
			pgtest.Traffic{Messages: 3, Syncs: 1, Trips: 1, Types: "BES"}},
		{"a batch of 3", func() error { return conn.SendBatch(t.Context(), many(3)).Close() },
			pgtest.Traffic{Messages: 7, Syncs: 1, Trips: 1, Types: "BEBEBES"}},
		{"two transactions", func() error {
			for range 2 {
				if err := pgx.BeginFunc(t.Context(), conn, func(pgx.Tx) error { return nil }); err != nil {
					return err
				}
			}
			return nil
		}, pgtest.Traffic{Messages: 4, Syncs: 4, Trips: 4, Types: "QQQQ"}},
		{"a pipeline of 2 Syncs", func() error {
			pipe := conn.PgConn().StartPipeline(t.Context())
			for range 2 {
				pipe.SendQueryParams("SELECT 1", nil, nil, nil, nil)
				if err := pipe.Sync(); err != nil {
					return err
				}
			}
			return pipe.Close()
		}, pgtest.Traffic{Messages: 10, Syncs: 2, Types: "PBDESPBDES"}},
		{"a copy", func() error {
			_, err := conn.CopyFrom(t.Context(), pgx.Identifier{"things"}, []string{"id", "part"}, pgx.CopyFromRows([][]any{{-1, 1}, {-1, 2}}))
			return err
		}, pgtest.Traffic{Messages: 6, Syncs: 2, Trips: 2, Types: "PDSQdc"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := p.Measure(func() {
				if err := c.do(); err != nil {
					t.Error(err)
				}
			})
			if c.want.Trips == 0 { // depends on timing
				if got.Trips < 1 || got.Trips > got.Syncs {
					t.Errorf("%d trips of %d syncs", got.Trips, got.Syncs)
				}
				got.Trips = 0
			}
			if got != c.want {
				t.Errorf("got %+v\nwant %+v", got, c.want)
			}
		})
	}
}

// Each message of an operation, cut in each place: the client gets an error,
// the server has done with the connection, and all of the transaction is there
// or nothing. Of a COMMIT that was cut, both happen.
func TestAProxyCutsAtEachMessage(t *testing.T) {
	t.Parallel()
	at, _ := things(t)
	look := connect(t, at)
	p := pgtest.NewProxy(t, at)
	traffic := p.Measure(func() {
		if err := put(p.URL(), 0); err != nil {
			t.Fatal(err)
		}
	})
	const want = "Q" + "PDS" + "BES" + "PDS" + "BDEBDEBDES" + "Q"
	if traffic.Types != want {
		t.Fatalf("the operation is %s, want %s", traffic.Types, want)
	}
	kept, id := 0, 0
	for cut := range pgtest.Cuts(traffic.Messages) {
		id++
		p.Arm(cut)
		err := put(p.URL(), id)
		if !p.Fired() {
			t.Errorf("%s message %d: it did not happen", cut.Place, cut.N)
		}
		if err == nil {
			t.Errorf("%s message %d: no error", cut.Place, cut.N)
		}
		if n := ask[int](t, look, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"); n != 0 {
			t.Errorf("%s message %d: the server has %d connections still", cut.Place, cut.N, n)
		}
		n := ask[int](t, look, "SELECT count(*) FROM things WHERE id = $1", id)
		committed := cut.N == traffic.Messages && cut.Place != pgtest.Before
		if committed != (n == 3) || n != 0 && n != 3 {
			t.Errorf("%s message %d: %d of 3 rows", cut.Place, cut.N, n)
		}
		if committed {
			kept++
		}
	}
	if id != 3*len(want) || kept != 2 {
		t.Errorf("%d cuts, of which %d came after the commit", id, kept)
	}
	if err := put(p.URL(), id+1); err != nil {
		t.Errorf("after the cuts: %v", err)
	}
}

// A client sees half of the answer: some rows, not all, and no end.
func TestAProxyCutsWithinAnAnswer(t *testing.T) {
	t.Parallel()
	at, _ := things(t)
	p := pgtest.NewProxy(t, at)
	conn := connect(t, p.URL())
	p.Arm(pgtest.Cut{N: 1, Place: pgtest.Within})
	rows, err := conn.Query(t.Context(), "SELECT generate_series(1, 1000)", pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for rows.Next() {
		n++
	}
	if rows.Err() == nil || n < 400 || n > 600 {
		t.Errorf("%d rows of 1000 and error %v", n, rows.Err())
	}
}

// A server that is busy with what it was sent keeps no client waiting.
func TestAProxyCutsWhileTheServerWorks(t *testing.T) {
	t.Parallel()
	at, c := things(t)
	p := pgtest.NewProxy(t, at)
	conn := connect(t, p.URL())
	p.Arm(pgtest.Cut{N: 1, Place: pgtest.After})
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	if _, err := conn.Exec(ctx, "SELECT pg_sleep(60)"); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v, want a cut connection", err)
	}
	c.Disconnect(t, at)
}

func TestAProxyThatIsArmedTooFarDoesNotFire(t *testing.T) {
	t.Parallel()
	at, _ := things(t)
	p := pgtest.NewProxy(t, at)
	p.Arm(pgtest.Cut{N: 1000, Place: pgtest.Before})
	if err := put(p.URL(), 1); err != nil {
		t.Error(err)
	}
	if p.Fired() {
		t.Error("it fired")
	}
}

func TestAProxySevers(t *testing.T) {
	t.Parallel()
	at, _ := things(t)
	p := pgtest.NewProxy(t, at)
	conn := connect(t, p.URL())
	p.Sever()
	if _, err := conn.Exec(t.Context(), "SELECT 1"); err == nil {
		t.Error("the connection lives")
	}
	connect(t, p.URL())
}

func TestAProxyIsAsSlowAsItIsTold(t *testing.T) {
	t.Parallel()
	at, _ := things(t)
	p := pgtest.NewProxy(t, at)
	conn := connect(t, p.URL())
	exec1(t, conn, "SELECT $1::int", 1) // prepared
	const latency = 60 * time.Millisecond
	p.SetLatency(latency)
	began := time.Now()
	exec1(t, conn, "SELECT $1::int", 1)
	exec1(t, conn, "SELECT $1::int", 2)
	if took := time.Since(began); took < 2*latency || took > 3*time.Second {
		t.Errorf("two round trips took %s", took)
	}
	// Messages that are sent together are not delayed one after another.
	var batch pgx.Batch
	for i := range 1000 {
		batch.Queue("SELECT $1::int", i)
	}
	began = time.Now()
	if err := conn.SendBatch(t.Context(), &batch).Close(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < latency || took > 100*latency {
		t.Errorf("a batch of 1000 took %s", took)
	}
}

// A cancel request is a connection of its own, and no message of an operation.
func TestAProxyPassesACancelRequest(t *testing.T) {
	t.Parallel()
	at, _ := things(t)
	p := pgtest.NewProxy(t, at)
	conn := connect(t, p.URL())
	ended := make(chan error, 1)
	began := make(chan struct{})
	go func() {
		close(began)
		_, err := conn.PgConn().Exec(context.Background(), "SELECT pg_sleep(60)").ReadAll()
		ended <- err
	}()
	<-began
	for {
		if err := conn.PgConn().CancelRequest(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			wantCode(t, "a statement that was cancelled", err, "57014")
			if got := p.Traffic().Types; got != "Q" {
				t.Errorf("counted %s", got)
			}
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestAProxyOutlivesItsServer(t *testing.T) {
	t.Parallel()
	c := pgtest.StartOwn(t, pgtest.Options{})
	at := c.Database(t)
	p := pgtest.NewProxy(t, at)
	conn := connect(t, p.URL())
	if err := c.Stop(pgtest.Immediate); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "SELECT 1"); err == nil {
		t.Error("the connection lives")
	}
	if _, err := pgx.Connect(t.Context(), p.URL()); err == nil {
		t.Error("connected to a stopped server")
	}
	if err := c.Resume(); err != nil {
		t.Fatal(err)
	}
	exec1(t, connect(t, p.URL()), "SELECT 1")
}
