package sambang

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sambang-id/sambang/client-sdk/internal/transport"
	"github.com/sambang-id/sambang/syncproto"
)

// SyncOption changes one [Replica.Sync] or [Replica.Run].
type SyncOption func(*syncOptions)

type syncOptions struct {
	progress func(Progress)
	report   func(Report, error)
	pushOnly bool
}

// PushOnly makes a [Replica.Sync] that sends what waits and asks for nothing,
// for a link that may die any moment.
func PushOnly() SyncOption {
	return func(o *syncOptions) { o.pushOnly = true }
}

// WithProgress tells fn how far the sync is, in the goroutine of the sync: it
// must be quick.
func WithProgress(fn func(Progress)) SyncOption {
	return func(o *syncOptions) { o.progress = fn }
}

// WithReport tells fn of each sync that [Replica.Run] makes.
func WithReport(fn func(Report, error)) SyncOption {
	return func(o *syncOptions) { o.report = fn }
}

// Sync exchanges everything with the server once: it pushes what waits and
// pulls what is new, in as many requests as that takes. One runs at a time; a
// second call waits for the first. The replica can be written meanwhile: what
// is written during a sync waits for the next one.
//
// What was exchanged before an error stays exchanged, and the next Sync goes on
// there. Errors: [syncproto.CodeOffline] when the server can't be reached or
// the link breaks; [syncproto.CodeNotEnrolled]; the server's refusals, such as
// [syncproto.CodeDeviceRevoked], [syncproto.CodeRateLimited] or
// [syncproto.CodeUnavailable] (errors.As *[Refusal] tells how long to wait);
// [syncproto.CodeBadReceipt] and [syncproto.CodeBadResponse]: then nothing of
// that response counts. The Report is right in any case.
func (r *Replica) Sync(ctx context.Context, opts ...SyncOption) (Report, error) {
	o := syncOptions{progress: func(Progress) {}}
	for _, opt := range opts {
		opt(&o)
	}
	select {
	case r.exchange <- struct{}{}:
	case <-ctx.Done():
		return Report{}, ctx.Err()
	}
	defer func() { <-r.exchange }()
	r.online.syncing.Store(true)
	defer r.online.syncing.Store(false)

	start := r.opts.Clock()
	s := &session{r: r, pull: !o.pushOnly, now: Progress{ToPush: r.Counts().Waiting}}
	s.progress = progress{now: &s.now, tell: o.progress}
	err := s.run(ctx)
	s.rep.BytesUp, s.rep.BytesDown = s.now.BytesUp, s.now.BytesDown
	s.rep.Waiting = r.Counts().Waiting
	s.rep.Took = r.opts.Clock().Sub(start)
	r.online.offline.Store(errors.Is(err, syncproto.CodeOffline))
	return s.rep, err
}

// session is one Sync.
type session struct {
	r   *Replica
	rep Report
	now Progress
	progress
	pull bool
}

// maxRestarts bounds the exchanges in a row that end in a repair, or that say
// there is more and move nothing: an honest server needs two or three.
const maxRestarts = 12

func (s *session) run(ctx context.Context) error {
	r := s.r
	client, err := r.transport()
	if err != nil {
		return err
	}
	restarts, stalled, fill := 0, 0, false
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.repairs(); err != nil {
			return err
		}
		q, err := r.build(r.batches, fill, s.pull)
		if err != nil {
			return err
		}
		p := &response{r: r, q: q, rep: &s.rep, progress: s.progress}
		began := r.opts.Clock()
		waited, pulled := r.Counts().Waiting, s.now.Pulled
		s.rep.Requests++
		err = client.Sync(ctx, q.body, s.moved, p.frame)
		switch {
		case errors.Is(err, errRestart):
			if restarts++; restarts > maxRestarts {
				return syncproto.Errorf(syncproto.CodeBadResponse, "%d repairs in a row did not help", restarts)
			}
			continue
		case err != nil:
			r.batches = 1
			if errors.Is(err, syncproto.CodeDeviceRevoked) {
				err = errors.Join(err, r.revoked(err))
			}
			return fmt.Errorf("sync: %w", storageError(err))
		}
		if r.opts.Clock().Sub(began) < 5*time.Second {
			r.batches = min(2*r.batches, r.opts.PushBatches)
		}
		st, err := r.load()
		if err != nil {
			return err
		}
		gap := st.gap()
		switch {
		case q.more && q.items()+len(q.history) > 0, p.more:
			fill = false
			if stalled++; s.now.Pulled > pulled && p.trusted || int(st.counts.Waiting) < waited { //nolint:gosec // a count of rows
				stalled = 0
			}
			if stalled > maxRestarts {
				return syncproto.Errorf(syncproto.CodeBadResponse, "%d exchanges in a row moved nothing", stalled)
			}
		case p.again && restarts < maxRestarts:
			restarts++
		case gap > 0 && gap != r.gapTried && st.counts.Waiting == 0 && (!fill || q.filled):
			// Nothing waits, and yet the server lacks writes of ours: tell it
			// their steps, as long as that helps.
			fill, r.gapTried = true, gap
		default:
			return r.synced(st)
		}
	}
}

// gap counts the own writes that no receipt covers.
func (s *state) gap() uint64 {
	var gap uint64
	for i := range s.incarnations {
		in := &s.incarnations[i]
		if n, _ := s.end(in); !in.Forked && n > in.HeldN {
			gap += n - in.HeldN
		}
	}
	return gap
}

// synced notes a sync that ended well. The time is stored only now and then:
// an idle sync must not write.
func (r *Replica) synced(st *state) error {
	now := r.nowMillis(st)
	if now-st.link.LastSync < time.Minute.Milliseconds() && now >= st.link.LastSync {
		return nil
	}
	return r.update(func(t *txn) error {
		t.st.link.LastSync = t.now
		return nil
	})
}

// correct takes over the server's time, if the clock is off by more than the
// way of a response explains.
func (r *Replica) correct(server, device time.Time) {
	st := r.state.Load()
	offset := server.Sub(device).Milliseconds()
	if st == nil || offset-st.link.Offset < clockNoise && st.link.Offset-offset < clockNoise {
		return
	}
	if err := r.update(func(t *txn) error { t.st.link.Offset = offset; return nil }); err != nil {
		r.log.Warn("the clock's offset could not be stored", "error", err)
	}
}

const clockNoise = 2000 // milliseconds

// transport returns the client of the server that this replica is enrolled at.
func (r *Replica) transport() (*transport.Client, error) {
	if c := r.client.Load(); c != nil {
		return c, nil
	}
	st, err := r.load()
	if err != nil {
		return nil, err
	}
	if st.device.Device == "" {
		return nil, syncproto.CodeNotEnrolled
	}
	c := r.newClient(st.device)
	r.client.Store(c)
	return c, nil
}

func (r *Replica) newClient(d deviceState) *transport.Client {
	return transport.New(transport.Config{
		URL: d.URL, Pin: d.Pin, Device: d.Device, Server: d.Server,
		Signer:    transport.Signer{Algorithm: d.Algorithm, Key: r.signer},
		Transport: r.opts.Transport, Clock: r.opts.Clock, Rand: r.opts.Rand, Logger: r.log, Timeout: r.opts.RequestTimeout,
		Offset: func() time.Duration {
			if st := r.state.Load(); st != nil {
				return time.Duration(st.link.Offset) * time.Millisecond
			}
			return 0
		},
		Corrected: r.correct,
	})
}

// Refusal is an answer of the server that is not a success.
type Refusal = transport.Problem
