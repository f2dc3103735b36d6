package vectors

import (
	"encoding/hex"
	"fmt"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// Reply is what a response means, without what each server draws for itself:
// witness stamps and its own replica ids.
type Reply struct {
	Status   string            `json:"status"`
	Epoch    string            `json:"epoch"`
	Nonce    string            `json:"nonce"`
	Chain    []Head            `json:"chain,omitempty"`
	Grants   []Grant           `json:"grants,omitempty"`
	Witness  uint64            `json:"witness,omitempty"`
	Heads    []Head            `json:"heads,omitempty"`
	Outcomes []Outcome         `json:"outcomes,omitempty"`
	Receipt  *Receipt          `json:"receipt,omitempty"`
	Entries  []Entry           `json:"entries,omitempty"`
	Authors  map[string]string `json:"authors,omitempty"` // of replicas: officer, agency
	Cursors  map[string]uint64 `json:"cursors,omitempty"`
	More     bool              `json:"more,omitempty"`
}

// Head is the chain of a replica after n writes.
type Head struct {
	Replica string `json:"replica"`
	N       uint64 `json:"n"`
	Head    string `json:"head,omitempty"`
}

// Outcome is that of an item that was not plainly applied and visible.
type Outcome struct {
	Batch  uint32            `json:"batch"`
	Item   uint32            `json:"item"`
	Result string            `json:"result"`
	Code   string            `json:"code,omitempty"`
	Hidden bool              `json:"hidden,omitempty"`
	Ctx    map[string]uint64 `json:"ctx,omitempty"`
	Reply  *Delta            `json:"reply,omitempty"`
}

// Receipt is the body of a receipt, whose signature is good.
type Receipt struct {
	Server     string      `json:"server"`
	Device     string      `json:"device"`
	Epoch      string      `json:"epoch"`
	Nonce      string      `json:"nonce"`
	At         int64       `json:"at"`
	Items      string      `json:"items"`
	Count      uint32      `json:"count"`
	Exceptions []Exception `json:"exceptions,omitempty"`
	Held       []Head      `json:"held,omitempty"`
}

// Exception is an item that a receipt does not vouch for.
type Exception struct {
	Index  uint32 `json:"index"`
	Result string `json:"result"`
	Code   string `json:"code,omitempty"`
}

// Entry is one entry of a feed.
type Entry struct {
	Scope   string   `json:"scope,omitempty"`
	Delta   *Delta   `json:"delta,omitempty"`
	Left    *Left    `json:"left,omitempty"`
	Verdict *Verdict `json:"verdict,omitempty"`
}

// Left is a record that went out of the scope.
type Left struct {
	ID      string            `json:"id"`
	Ctx     map[string]uint64 `json:"ctx"`
	Visible bool              `json:"visible"`
}

// Verdict is the answer on a record that is not visible.
type Verdict struct {
	ID     string            `json:"id"`
	Known  bool              `json:"known"`
	Purged bool              `json:"purged"`
	Ctx    map[string]uint64 `json:"ctx,omitempty"`
}

// Reply describes the frames of a response, verifying its receipt by key.
func (n Names) Reply(frames []*wire.ResponseFrame, key []byte) (*Reply, error) {
	out := &Reply{}
	for i, f := range frames {
		var err error
		switch m := f.GetFrame().(type) {
		case *wire.ResponseFrame_Begin:
			if i > 0 {
				return nil, syncproto.Errorf(syncproto.CodeBadResponse, "begin in frame %d", i+1)
			}
			err = n.begin(out, m.Begin, key)
		case *wire.ResponseFrame_Feed:
			err = n.feed(out, m.Feed)
		case *wire.ResponseFrame_End:
			if i != len(frames)-1 {
				return nil, syncproto.Errorf(syncproto.CodeBadResponse, "end in frame %d of %d", i+1, len(frames))
			}
			out.More = m.End.GetMore()
		}
		if err != nil {
			return nil, fmt.Errorf("frame %d: %w", i+1, err)
		}
	}
	return out, nil
}

func (n Names) begin(out *Reply, b *wire.Begin, key []byte) error {
	out.Status, out.Epoch, out.Nonce = b.GetStatus().String(), hex.EncodeToString(b.GetEpoch()), hex.EncodeToString(b.GetNonce())
	out.Chain, out.Heads, out.Witness = n.heads(b.GetChain()), n.heads(b.GetHeads()), b.GetWitness().GetN()
	for _, g := range b.GetGrants() {
		out.Grants = append(out.Grants, Grant{g.GetRegion(), g.GetClasses()})
	}
	d, err := wire.NewDecoder(b.GetTables())
	if err != nil {
		return err
	}
	for _, o := range b.GetOutcomes() {
		x := Outcome{Batch: o.GetBatch(), Item: o.GetItem(), Result: o.GetResult().String(), Code: o.GetCode(), Hidden: o.GetHidden()}
		ctx, err := d.Vector(o.GetCtx())
		if err != nil {
			return err
		}
		x.Ctx = n.vector(ctx)
		if o.GetReply() != nil {
			delta, err := d.Delta(o.GetReply())
			if err != nil {
				return err
			}
			x.Reply = n.Delta(delta)
		}
		out.Outcomes = append(out.Outcomes, x)
	}
	if b.GetReceipt() == nil {
		return nil
	}
	r, err := wire.VerifyReceipt(key, b.GetReceipt())
	if err != nil {
		return err
	}
	out.Receipt = &Receipt{
		Server: r.GetServer(), Device: r.GetDevice(), Epoch: hex.EncodeToString(r.GetEpoch()), Nonce: hex.EncodeToString(r.GetNonce()),
		At: r.GetAt(), Items: hex.EncodeToString(r.GetItems()), Count: r.GetCount(), Held: n.heads(r.GetHeld()),
	}
	for _, x := range r.GetExceptions() {
		out.Receipt.Exceptions = append(out.Receipt.Exceptions, Exception{x.GetIndex(), x.GetResult().String(), x.GetCode()})
	}
	return nil
}

func (n Names) feed(out *Reply, f *wire.Feed) error {
	d, err := wire.NewDecoder(f.GetTables())
	if err != nil {
		return err
	}
	for _, e := range f.GetEntries() {
		x := Entry{}
		var vector *wire.Vector
		switch m := e.GetEntry().(type) {
		case *wire.Entry_Delta:
			delta, err := d.Delta(m.Delta)
			if err != nil {
				return err
			}
			x.Delta = n.Delta(delta)
		case *wire.Entry_Left:
			vector = m.Left.GetCtx()
			x.Left = &Left{ID: idOf(m.Left.GetId()), Visible: m.Left.GetVisible()}
		case *wire.Entry_Verdict:
			vector = m.Verdict.GetCtx()
			x.Verdict = &Verdict{ID: idOf(m.Verdict.GetId()), Known: m.Verdict.GetKnown(), Purged: m.Verdict.GetPurged()}
		}
		ctx, err := d.Vector(vector)
		if err != nil {
			return err
		}
		if x.Left != nil {
			x.Left.Ctx = n.vector(ctx)
		}
		if x.Verdict != nil {
			x.Verdict.Ctx = n.vector(ctx)
		} else {
			scope, err := d.Scope(e.GetScope())
			if err != nil {
				return err
			}
			x.Scope = string(scope)
		}
		out.Entries = append(out.Entries, x)
	}
	for _, a := range f.GetAuthors() {
		if out.Authors == nil {
			out.Authors = map[string]string{}
		}
		out.Authors[n.of(syncproto.ReplicaID(a.GetReplica()))] = a.GetOfficer() + ", " + a.GetAgency()
	}
	for _, c := range f.GetCursors() {
		if out.Cursors == nil {
			out.Cursors = map[string]uint64{}
		}
		out.Cursors[c.GetScope()] = c.GetSeq()
	}
	return nil
}

func (n Names) heads(hs []*wire.Head) []Head {
	var out []Head
	for _, h := range hs {
		out = append(out, Head{n.of(syncproto.ReplicaID(h.GetReplica())), h.GetN(), hex.EncodeToString(h.GetHead())})
	}
	return out
}

// idOf returns the text of a record id, or what stands in its place.
func idOf(b []byte) string {
	if len(b) != len(syncproto.RecordID{}) {
		return hex.EncodeToString(b)
	}
	return syncproto.RecordID(b).String()
}
