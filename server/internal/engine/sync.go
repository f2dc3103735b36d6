package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// Summary counts what an exchange did, for logs and metrics.
type Summary struct {
	Status      wire.Status
	Pushed      int // items received
	Applied     int // of them plainly applied
	Quarantined int
	Delivered   int // entries sent
	More        bool
}

// Sync runs one exchange of an authenticated device (4.4, 4.5): it takes in
// what next yields until io.EOF, then sends the reply. now is the time of
// reception in Unix milliseconds.
//
// A returned error with a syncproto code, before anything was sent, is a
// refusal of the whole request; what earlier batches of it brought may be
// kept, and a resend changes nothing twice. After the first frame was sent
// any error means: cut the connection.
func (e *Engine) Sync(ctx context.Context, dev store.Device, now int64, open *wire.Open, next func() (*wire.Batch, error), send func(*wire.ResponseFrame) error) (Summary, error) {
	opening, err := checkOpen(dev, open)
	if err != nil {
		return Summary{}, err
	}
	p := &push{e: e, context: ctx, dev: dev, now: now, opening: opening, heads: map[syncproto.Scope]ownRun{}, itemsHash: wire.NewItemsDigest()}
	q := &pull{e: e, dev: dev, now: now, open: open}

	deliver, changed, err := p.look(q)
	if err != nil {
		return e.refuse(ctx, p, err, send)
	}
	witness, receipt, err := p.receive(next, q, deliver || changed)
	if err != nil {
		return e.refuse(ctx, p, err, send)
	}
	q.sent = p.sent()
	return e.reply(p, q, witness, receipt, send)
}

// look judges the claims on a snapshot, so that an idle exchange writes
// nothing, and finds out whether there is anything to deliver.
func (p *push) look(q *pull) (deliver, changed bool, err error) {
	deliver, changed, err = p.glance(q)
	if errors.Is(err, errNoEpoch) {
		if _, err := p.e.newEpoch(p.context, [16]byte{}, p.now); err != nil {
			return false, false, err
		}
		deliver, changed, err = p.glance(q)
	}
	return deliver, changed, err
}

// errNoEpoch: the store is fresh, or was put back to when it was. It is looked
// for each time: a database can be put back while its servers go on.
var errNoEpoch = errors.New("the store has no epoch")

func (p *push) glance(q *pull) (deliver, changed bool, err error) {
	err = p.e.store.View(p.context, func(r store.Reader) error {
		status, err := r.DeviceStatus(p.dev.ID)
		if err != nil {
			return fmt.Errorf("read the device: %w", err)
		}
		if p.epoch, err = r.Epoch(); err != nil {
			return fmt.Errorf("read the epoch: %w", err)
		}
		if p.epoch.ID == [16]byte{} {
			return errNoEpoch
		}
		replicas, put, err := p.e.judge(p.dev, p.opening, p.epoch, status.Witnesses, status.Replicas)
		if err != nil {
			return err
		}
		p.replicas, changed = replicas, len(put) > 0
		deliver, err = q.plan(r, nil)
		return err
	})
	return deliver, changed, err
}

// receive commits the batches, each in one update; the last of them carries
// the witness and the receipt.
func (p *push) receive(next func() (*wire.Batch, error), q *pull, seal bool) (w *wire.Witness, r *wire.Receipt, err error) {
	device := store.DeviceScope(p.dev.ID)
	sealing := store.Step{Scopes: []string{device}, Do: func(tx store.Tx) (_ []store.Step, err error) {
		w, r, err = p.seal(tx, func(h store.HeadReader) (bool, error) { return q.plan(h, p.heads) })
		if err != nil {
			return nil, err
		}
		return nil, tx.PutSeen(p.dev.ID, store.Seen{At: p.now, App: p.opening.open.GetApp(), Waiting: p.opening.open.GetWaiting()})
	}}
	batches, stop := p.arrivals(next)
	defer stop()
	for a := range batches {
		if a.err != nil {
			return nil, nil, a.err
		}
		before := len(p.batches)
		steps := append(p.steps(a.batch), store.Step{Scopes: []string{device}, Do: func(store.Tx) ([]store.Step, error) {
			// Behind the steps that follow moved records.
			return []store.Step{{Scopes: []string{device}, Do: func(tx store.Tx) ([]store.Step, error) {
				if err := p.progress(tx, a.batch); err != nil || !a.last {
					return nil, err
				}
				p.batches = append(p.batches[:before:before], a.batch)
				return sealing.Do(tx)
			}}}, nil
		}})
		if err := p.e.update(p.context, steps...); err != nil {
			return nil, nil, err
		}
		p.batches = append(p.batches[:before:before], a.batch)
		for _, it := range a.batch.items {
			it.delta, it.ready, it.raw = syncproto.Delta{}, prepared{}, nil // raw holds the whole frame
		}
	}
	if len(p.batches) > 0 || !seal {
		return w, r, nil
	}
	begin := store.Step{Scopes: []string{device}, Do: func(tx store.Tx) ([]store.Step, error) { return nil, p.begin(tx) }}
	if err := p.e.update(p.context, begin, sealing); err != nil {
		return nil, nil, err
	}
	return w, r, nil
}

// refuse turns a *refusal into the reply that the device acts on; other
// errors are the caller's.
func (e *Engine) refuse(ctx context.Context, p *push, err error, send func(*wire.ResponseFrame) error) (Summary, error) {
	var refused *refusal
	if !errors.As(err, &refused) {
		return Summary{}, err
	}
	epoch := p.epoch
	if refused.rolledBack {
		if epoch, err = e.newEpoch(ctx, epoch.ID, p.now); err != nil {
			return Summary{}, err
		}
	}
	begin := &wire.Begin{
		Version: wire.Version, Nonce: p.opening.open.GetNonce(), ServerTime: p.now,
		Epoch: epoch.ID[:], Status: refused.status, Chain: refused.chain,
	}
	if err := send(&wire.ResponseFrame{Frame: &wire.ResponseFrame_Begin{Begin: begin}}); err != nil {
		return Summary{}, err
	}
	return Summary{Status: refused.status}, send(&wire.ResponseFrame{Frame: &wire.ResponseFrame_End{End: &wire.End{}}})
}

// reply sends the response.
func (e *Engine) reply(p *push, q *pull, witness *wire.Witness, receipt *wire.Receipt, send func(*wire.ResponseFrame) error) (Summary, error) {
	enc := wire.NewEncoder(syncproto.HLCFromMillis(p.now))
	begin := &wire.Begin{
		Version: wire.Version, Nonce: p.opening.open.GetNonce(), ServerTime: p.now, Epoch: p.epoch.ID[:],
		Status: wire.Status_STATUS_OK, GrantsVersion: p.dev.GrantsVersion, Witness: witness, Receipt: receipt,
		FeedEntries: q.about(),
	}
	if p.opening.open.GetGrantsVersion() != p.dev.GrantsVersion {
		var err error
		if begin.Grants, err = e.grants(p.dev); err != nil {
			return Summary{}, err
		}
	}
	for _, c := range p.opening.claims {
		r := p.replicas[c.replica]
		begin.Heads = append(begin.Heads, &wire.Head{Replica: uint64(r.ID), N: r.ClaimedN, Head: r.ClaimedHead[:]})
	}
	begin.Outcomes = p.outcomes(enc)
	if len(begin.Outcomes) > 0 {
		begin.Tables = enc.Tables()
	}
	sum := Summary{Status: wire.Status_STATUS_OK, Pushed: p.itemsCount}
	for _, b := range p.batches {
		for _, it := range b.items {
			switch it.result {
			case wire.Result_RESULT_APPLIED:
				sum.Applied++
			case wire.Result_RESULT_QUARANTINED:
				sum.Quarantined++
			default:
			}
		}
	}
	if err := send(&wire.ResponseFrame{Frame: &wire.ResponseFrame_Begin{Begin: begin}}); err != nil {
		return sum, err
	}
	var err error
	if sum.Delivered, sum.More, err = q.stream(p.context, send); err != nil {
		return sum, err
	}
	return sum, send(&wire.ResponseFrame{Frame: &wire.ResponseFrame_End{End: &wire.End{More: sum.More}}})
}

// grants returns a device's grants with the keys for natural keys in them.
func (e *Engine) grants(dev store.Device) ([]*wire.Grant, error) {
	out := make([]*wire.Grant, 0, len(dev.Grants))
	for _, g := range dev.Grants {
		key, err := syncproto.DeriveRegionKey(e.config.ProjectKey, g.Region)
		if err != nil {
			return nil, err
		}
		classes := make([]string, len(g.Classes))
		for i, c := range g.Classes {
			classes[i] = string(c)
		}
		out = append(out, &wire.Grant{Region: string(g.Region), Classes: classes, Until: g.Until, Key: key[:]})
	}
	return out, nil
}
