package engine

import (
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// seal is the last step of an exchange: whatever it acknowledged, confirmed
// claims among it, or will deliver gets a witness, and what was pushed a
// receipt, in one transaction.
func (p *push) seal(tx store.Tx, deliver func(store.HeadReader) (bool, error)) (*wire.Witness, *wire.Receipt, error) {
	delivers, err := deliver(tx)
	if err != nil {
		return nil, nil, err
	}
	if !delivers && !p.claimed && len(p.batches) == 0 {
		return nil, nil, nil
	}
	last, err := tx.Witnesses(p.dev.ID)
	if err != nil {
		return nil, nil, err
	}
	w, err := p.e.newWitness(p.dev.ID, last)
	if err != nil {
		return nil, nil, err
	}
	if err := tx.PutWitness(p.dev.ID, w); err != nil {
		return nil, nil, err
	}
	witness := &wire.Witness{N: w.N, Stamp: w.Stamp[:]}
	if len(p.batches) == 0 {
		return witness, nil, nil
	}
	body := p.receiptBody()
	receipt := wire.SignReceipt(p.e.config.ReceiptKey, p.e.config.ReceiptKeyID, body)
	err = tx.PutReceipt(p.dev.ID, store.Receipt{N: w.N, Body: receipt.GetBody(), Signature: receipt.GetSignature(), Key: receipt.GetKey(), At: p.now})
	return witness, receipt, err
}

func (p *push) receiptBody() *wire.ReceiptBody {
	body := &wire.ReceiptBody{
		Server: p.e.config.ServerID, Device: p.dev.ID, Epoch: p.epoch.ID[:], Nonce: p.opening.open.GetNonce(), At: p.now,
		Items: p.itemsHash.Sum(), Count: uint32(p.itemsCount), //nolint:gosec // bounded by the batch limits
	}
	index := uint32(0)
	for _, b := range p.batches {
		for _, it := range b.items {
			if it.result != wire.Result_RESULT_APPLIED {
				body.Exceptions = append(body.Exceptions, &wire.Exception{Index: index, Result: it.result, Code: string(it.code)})
			}
			index++
		}
	}
	for _, c := range p.opening.claims {
		r := p.replicas[c.replica]
		if r.Broken || r.HeldN == 0 {
			continue
		}
		body.Held = append(body.Held, &wire.Head{Replica: uint64(r.ID), N: r.HeldN, Head: r.HeldHead[:]})
	}
	return body
}

// outcomes lists the items that were not plainly applied and visible, and at
// home where the device knows.
func (p *push) outcomes(enc *wire.Encoder) []*wire.Outcome {
	var out []*wire.Outcome
	for _, b := range p.batches {
		for _, it := range b.items {
			if it.result == wire.Result_RESULT_APPLIED && !it.hidden && it.home == "" {
				continue
			}
			o := &wire.Outcome{
				Batch: uint32(b.index), Item: uint32(it.index), Result: it.result, Code: string(it.code), Hidden: it.hidden, Home: string(it.home), //nolint:gosec // bounded by the batch limits
			}
			if it.hidden {
				o.Ctx = enc.Vector(it.ctx)
			}
			if it.reply != nil {
				o.Reply = enc.Delta(it.reply.Full())
			}
			out = append(out, o)
		}
	}
	return out
}

// sent returns the context with which the exchange pushed a record.
func (p *push) sent() map[syncproto.RecordID]syncproto.VV {
	out := map[syncproto.RecordID]syncproto.VV{}
	for _, b := range p.batches {
		for _, it := range b.items {
			if it.result == wire.Result_RESULT_APPLIED && it.code == "" {
				out[it.id] = it.sent
			}
		}
	}
	return out
}
