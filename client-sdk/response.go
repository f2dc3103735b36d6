package sambang

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
	"github.com/sambang-id/sambang/internal/ablate"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// errRestart ends an exchange whose answer was a reason to repair something
// here: it is made anew.
var errRestart = errors.New("exchange to be made again")

// response applies the frames of one answer as they come.
type response struct {
	r   *Replica
	q   *request
	rep *Report
	// trusted says that the grants that the answer was made under are not
	// older than ours: only then its contents and verdicts count (I11).
	trusted bool
	begun   bool
	more    bool // the feed goes on
	again   bool // the next request can settle at once what this one left
	progress
}

// frame applies one frame. An error ends the exchange; what was applied before
// stays.
func (p *response) frame(f *wire.ResponseFrame) error {
	switch {
	case f.GetBegin() != nil && !p.begun:
		p.begun = true
		return p.begin(f.GetBegin())
	case f.GetFeed() != nil && p.begun:
		return p.feed(f.GetFeed())
	case f.GetEnd() != nil && p.begun:
		p.more = f.GetEnd().GetMore()
		return p.end()
	}
	return syncproto.Errorf(syncproto.CodeBadResponse, "frame out of order")
}

// unreadable makes what the codec says of a part of a response a fault of the
// response: the codec's own code would blame this device.
func unreadable(part string, err error) error {
	return fmt.Errorf("%w: %w", syncproto.Errorf(syncproto.CodeBadResponse, "%s can't be read", part), err)
}

func (p *response) begin(b *wire.Begin) error {
	switch {
	case b.GetVersion() != wire.Version:
		return syncproto.Errorf(syncproto.CodeUnsupportedVersion, "response of protocol version %d", b.GetVersion())
	case !bytes.Equal(b.GetNonce(), p.q.nonce[:]):
		return syncproto.Errorf(syncproto.CodeBadResponse, "response to another request")
	case len(b.GetEpoch()) != 16:
		return syncproto.Errorf(syncproto.CodeBadResponse, "response without an epoch")
	}
	p.r.correct(time.UnixMilli(b.GetServerTime()), p.r.opts.Clock())
	switch b.GetStatus() {
	case wire.Status_STATUS_EPOCH:
		if err := p.r.update(func(t *txn) error { return t.adoptEpoch(b.GetEpoch()) }); err != nil {
			return err
		}
		p.rep.Repairs++
		return errRestart
	case wire.Status_STATUS_CHAIN:
		p.rep.Repairs++
		if err := p.chain(b.GetChain()); err != nil {
			return err
		}
		return errRestart
	case wire.Status_STATUS_OK:
		return p.accept(b)
	}
	return syncproto.Errorf(syncproto.CodeBadResponse, "response of unknown status")
}

// chain answers a server that holds other heads than were claimed: heads of
// our own log are confirmed, others prove a fork (4.4).
func (p *response) chain(heads []*wire.Head) error {
	if len(heads) == 0 {
		return syncproto.Errorf(syncproto.CodeBadResponse, "chain refused without heads")
	}
	return p.r.update(func(t *txn) error {
		for _, h := range heads {
			in := t.st.own(syncproto.ReplicaID(h.GetReplica()))
			if in == nil || in.Forked {
				return syncproto.Errorf(syncproto.CodeBadResponse, "chain refused of a replica that was not claimed")
			}
			ok, err := ownLog(t.tx, &t.st, in, h.GetN(), h.GetHead())
			switch {
			case err != nil:
				return err
			case ok || ablate.Off(ablate.A04Fence):
				in.ConfirmedN, in.ConfirmedHead = h.GetN(), bytes.Clone(h.GetHead())
			default:
				if err := t.fork(in.ID); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// accept takes over a begin of status OK: own chain heads first (A26), then
// grants, witness, receipt, and the outcomes item by item.
func (p *response) accept(b *wire.Begin) error {
	receipt, err := p.verify(b.GetReceipt())
	if err != nil {
		return err
	}
	outcomes, err := p.outcomes(b, receipt)
	if err != nil {
		return err
	}
	forked := false
	err = p.r.update(func(t *txn) error {
		link := &t.st.link
		switch {
		case len(p.q.epoch) == 0 && len(link.Epoch) == 0:
			link.Epoch, link.EpochOrdinal = bytes.Clone(b.GetEpoch()), link.EpochOrdinal+1
		case !bytes.Equal(link.Epoch, b.GetEpoch()):
			return syncproto.Errorf(syncproto.CodeBadResponse, "response of another epoch")
		}
		heads := b.GetHeads()
		if receipt != nil {
			heads = append(heads[:len(heads):len(heads)], receipt.GetHeld()...)
		}
		ids, err := forkedHeads(t.tx, &t.st, heads)
		if err != nil {
			return err
		}
		for _, id := range ids {
			forked = true
			if err := t.fork(id); err != nil {
				return err
			}
		}
		if forked {
			return nil
		}
		return p.adopt(t, b, receipt)
	})
	if err != nil {
		return err
	}
	if forked {
		p.rep.Repairs++
		return errRestart
	}
	p.expect(int(min(b.GetFeedEntries(), 1<<30))) //nolint:gosec // bounded
	return p.acknowledge(outcomes)
}

func (p *response) adopt(t *txn, b *wire.Begin, receipt *wire.ReceiptBody) error {
	link := &t.st.link
	p.trusted = ablate.Off(ablate.A24Trusted) || b.GetGrantsVersion() >= link.GrantsVersion
	switch {
	case !p.trusted:
		// An answer to this very request, by grants that are older than those we
		// were given: the store was put back, and nothing has proved it yet. Asked
		// without a version it tells what counts now.
		p.again, link.GrantsVersion = true, 0
		p.rep.Repairs++
		t.r.log.Warn("the server's grants are older than those that it gave: they are asked for again")
	case b.GetGrantsVersion() > link.GrantsVersion:
		if err := t.regrant(b.GetGrantsVersion(), b.GetGrants()); err != nil {
			return err
		}
	}
	t.resumeGrants(b.GetServerTime())
	if w := b.GetWitness(); w.GetN() > 0 {
		link.WitnessN, link.WitnessStamp = w.GetN(), bytes.Clone(w.GetStamp())
	}
	for _, c := range p.q.claims {
		if in := t.st.own(syncproto.ReplicaID(c.GetReplica())); in != nil {
			in.ConfirmedN, in.ConfirmedHead = c.GetN(), bytes.Clone(c.GetHead())
		}
	}
	if err := t.authors(b.GetAuthors()); err != nil {
		return err
	}
	if receipt == nil {
		return nil
	}
	return t.keepReceipt(p.q, b.GetReceipt(), receipt)
}

// verify checks that a receipt is the server's word about this very request.
// Whatever is not receipted counts as not received.
func (p *response) verify(r *wire.Receipt) (*wire.ReceiptBody, error) {
	if r == nil {
		if len(p.q.batches) > 0 {
			return nil, syncproto.Errorf(syncproto.CodeBadReceipt, "no receipt for what was pushed")
		}
		return nil, nil //nolint:nilnil // nothing was pushed
	}
	st, err := p.r.load()
	if err != nil {
		return nil, err
	}
	var key ed25519.PublicKey
	for _, k := range st.device.ReceiptKeys {
		if k.ID == r.GetKey() {
			key = k.PublicKey
		}
	}
	body, err := wire.VerifyReceipt(key, r)
	if err != nil {
		return nil, err
	}
	what := ""
	switch {
	case body.GetServer() != st.device.Server:
		what = "server"
	case body.GetDevice() != st.device.Device:
		what = "device"
	case !bytes.Equal(body.GetNonce(), p.q.nonce[:]):
		what = "request"
	case len(p.q.epoch) > 0 && !bytes.Equal(body.GetEpoch(), p.q.epoch):
		what = "epoch"
	case body.GetCount() != p.q.digest.Count() || !bytes.Equal(body.GetItems(), p.q.digest.Sum()):
		what = "list of items"
	}
	if what != "" {
		return nil, syncproto.Errorf(syncproto.CodeBadReceipt, "receipt for another %s", what)
	}
	return body, nil
}

// outcome is what became of one item.
type outcome struct {
	sent   sentItem
	result wire.Result
	code   syncproto.Code
	hidden bool
	home   syncproto.Scope // "" if it is that of what was sent
	ctx    syncproto.VV
	reply  *syncproto.Delta
}

// outcomes lists what became of each item that was sent. The signed receipt
// decides; the unsigned part of the response may only agree with it.
func (p *response) outcomes(b *wire.Begin, receipt *wire.ReceiptBody) ([]outcome, error) {
	if receipt == nil {
		return nil, nil
	}
	bad := func(what string) ([]outcome, error) {
		return nil, syncproto.Errorf(syncproto.CodeBadReceipt, "%s", what)
	}
	out := make([]outcome, 0, p.q.items())
	first := make([]int, len(p.q.batches))
	for i, batch := range p.q.batches {
		first[i] = len(out)
		for _, s := range batch {
			out = append(out, outcome{sent: s})
		}
	}
	for _, e := range receipt.GetExceptions() {
		if int64(e.GetIndex()) >= int64(len(out)) {
			return bad("receipt with an exception that was not sent")
		}
		o := &out[e.GetIndex()]
		o.result, o.code = e.GetResult(), syncproto.Code(e.GetCode())
	}
	dec, err := wire.NewDecoder(b.GetTables())
	if err != nil {
		return nil, unreadable("the tables of the outcomes", err)
	}
	for _, x := range b.GetOutcomes() {
		if _, ok := p.q.at(x.GetBatch(), x.GetItem()); !ok {
			return bad("outcome of an item that was not sent")
		}
		o := &out[first[x.GetBatch()]+int(x.GetItem())]
		if o.result != x.GetResult() {
			return bad("outcome that the receipt does not confirm")
		}
		o.hidden = x.GetHidden()
		if x.GetHome() != "" {
			if o.home, err = syncproto.ParseScope(x.GetHome()); err != nil {
				return nil, unreadable("the home of an outcome", err)
			}
		}
		if o.ctx, err = dec.Vector(x.GetCtx()); err != nil {
			return nil, unreadable("the vector of an outcome", err)
		}
		if x.GetReply() != nil {
			d, err := dec.Delta(x.GetReply())
			if err != nil {
				return nil, unreadable("the state of an outcome", err)
			}
			o.reply = &d
		}
	}
	return out, nil
}

// keepReceipt stores a receipt and what it proves.
func (t *txn) keepReceipt(q *request, r *wire.Receipt, body *wire.ReceiptBody) error {
	link := &t.st.link
	stored, err := proto.MarshalOptions{Deterministic: true}.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode the receipt: %w", err)
	}
	if err := t.tx.Put(bucketReceipts, counterKey(link.NextReceipt), stored); err != nil {
		return err
	}
	link.NextReceipt++
	if link.NextReceipt > keepReceipts {
		if err := t.tx.Delete(bucketReceipts, counterKey(link.NextReceipt-keepReceipts-1)); err != nil {
			return err
		}
	}
	for _, h := range body.GetHeld() {
		in := t.st.own(syncproto.ReplicaID(h.GetReplica()))
		if in == nil || h.GetN() <= in.HeldN {
			continue
		}
		in.HeldN = h.GetN()
		if err := t.dropHistory(in); err != nil {
			return err
		}
	}
	for _, key := range q.history {
		had, err := t.tx.Has(bucketHistory, key)
		if err != nil {
			return err
		}
		if !had {
			continue
		}
		if err := t.markHistory(key, true); err != nil {
			return err
		}
	}
	return nil
}

// keepReceipts is how many receipts stay, as proof for people. What custody
// needs of older ones is in the incarnations.
const keepReceipts = 1000

// dropHistory removes the overwritten writes that a receipt covers.
func (t *txn) dropHistory(in *incarnation) error {
	if t.st.counts.History == 0 {
		return nil
	}
	prefix := historyKey(in.Generation, syncproto.Dot{Replica: in.ID})[:12]
	for key, err := range t.tx.Keys(bucketHistory, cache.Range{Prefix: prefix}) {
		if err != nil {
			return err
		}
		if historyDot(key).N > in.HeldN {
			return nil
		}
		t.st.counts.History--
		if err := t.tx.Delete(bucketHistory, key); err != nil {
			return err
		}
	}
	return nil
}

// acknowledge applies the outcomes, some records to a transaction.
func (p *response) acknowledge(outcomes []outcome) error {
	for len(outcomes) > 0 {
		part := outcomes[:min(chunk, len(outcomes))]
		outcomes = outcomes[len(part):]
		err := p.r.update(func(t *txn) error {
			t.scanned = p.q.scanned
			for _, o := range part {
				if done, err := p.settleApplied(t, o); done || err != nil {
					if err != nil {
						return err
					}
					continue
				}
				if err := p.settle(t, o); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		p.pushed(len(part))
	}
	return p.scannedJournal()
}

// scannedJournal lets the next push read on in the journal where this one
// stopped. What this one left to push has its entry in bucketDirty by now.
func (p *response) scannedJournal() error {
	st, err := p.r.load()
	if err != nil {
		return err
	}
	news := false
	for id, n := range p.q.scanned {
		in := st.own(id)
		news = news || in != nil && in.Scanned < n
	}
	if !news {
		return nil
	}
	return p.r.update(func(t *txn) error {
		t.scanned = p.q.scanned
		for _, id := range p.q.passed {
			w, err := t.row(id)
			if err != nil {
				return err
			}
			if w != nil {
				if err := t.put(w, *w); err != nil {
					return err
				}
			}
		}
		for i := range t.st.incarnations {
			in := &t.st.incarnations[i]
			in.Scanned = max(in.Scanned, t.scanned[in.ID])
		}
		return nil
	})
}

// settle applies one outcome.
func (p *response) settle(t *txn, o outcome) error {
	w, err := t.row(o.sent.id)
	if err != nil || w == nil {
		return err
	}
	before := *w
	p.rep.Pushed++
	switch o.result {
	case wire.Result_RESULT_APPLIED:
		w.acked = w.acked.Join(o.sent.ctx)
		if ablate.Off(ablate.A02AckNamesCtx) {
			w.acked = w.rec.Context()
		}
		w.needFull = false
		if o.sent.repair {
			w.broken = false
		}
		if w.aside.LessEq(w.acked) {
			w.aside, w.asideCode = syncproto.VV{}, ""
		}
		if w.home = o.sent.home; o.home != "" {
			w.home = o.home
		}
	case wire.Result_RESULT_NEED_FULL:
		w.needFull, p.again = true, true
	case wire.Result_RESULT_REPAIR:
		w.broken, p.again = true, true
	case wire.Result_RESULT_ABSORBED:
		return p.absorbed(t, w, before, o)
	case wire.Result_RESULT_QUARANTINED:
		p.rep.Quarantined++
		w.aside, w.asideCode = o.sent.ctx, o.code
		if err := t.refetch(o.sent.id, refetchAside); err != nil {
			return err
		}
	case wire.Result_RESULT_PURGED:
		p.rep.Evicted++
		return t.evict(w)
	default:
		return syncproto.Errorf(syncproto.CodeBadReceipt, "unknown result %d", o.result)
	}
	if o.hidden && o.result == wire.Result_RESULT_APPLIED {
		if done, err := p.verdict(t, w, before, o.ctx); err != nil || done {
			return err
		}
	}
	if w.toPush() {
		w.at = t.lowest(w)
	}
	t.change(w, ChangeCustody, SourceSync)
	return t.put(w, before)
}

// absorbed replaces the copy by the repaired state, unless it was edited
// meanwhile: then it stays broken and the next push repairs it again (4.9).
func (p *response) absorbed(t *txn, w *row, before row, o outcome) error {
	p.rep.Repairs++
	switch {
	case !w.rec.Context().Equal(o.sent.ctx) || !p.trusted:
		w.broken = true
	case o.hidden:
		p.rep.Evicted++
		return t.evict(w)
	case o.reply == nil || !o.reply.IsFull() || o.reply.ID() != o.sent.id:
		return syncproto.Errorf(syncproto.CodeBadResponse, "absorbed without the full state")
	default:
		change, err := syncproto.Apply(syncproto.NewRecord(o.sent.id), *o.reply)
		if err != nil {
			return unreadable("the repaired state", err)
		}
		w.rec, w.acked = change.Record, o.reply.Context()
		w.broken, w.needFull, w.aside, w.asideCode = false, false, syncproto.VV{}, ""
		w.home = w.rec.Home()
		t.observe(*o.reply)
		t.change(w, ChangeUpdated, SourceSync)
	}
	if w.toPush() {
		w.at = t.lowest(w)
	}
	return t.put(w, before)
}

// verdict evicts a record that the server does not show to this device, if the
// server has all of it; otherwise it is asked for again (I10). before is the
// row as it is stored, which is what the counts have.
func (p *response) verdict(t *txn, w *row, before row, server syncproto.VV) (evicted bool, err error) {
	if p.trusted && w.evictable(server) {
		p.rep.Evicted++
		return true, t.evict(&before)
	}
	return false, t.refetch(w.rec.ID(), refetchFirst)
}
