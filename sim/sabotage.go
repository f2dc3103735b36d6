package sim

import (
	"bytes"
	"slices"
	"time"

	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// Sabotage breaks one rule on purpose, between the real device and the real
// server: a checker that does not notice protects nothing. The names are those
// of the ablations in the design.
type Sabotage string

// What can be broken from outside of the product.
const (
	// DropField (A10): the server leaves one field out of a record that it sends.
	DropField Sabotage = "A10 a field is dropped from a delta"
	// StripWitness (A06): no device shows its witness, and nobody tells the
	// server, so that a rollback goes unnoticed.
	StripWitness Sabotage = "A06 a rollback is not noticed"
	// SkipEntries (A17): the cursor comes without the entries before it.
	SkipEntries Sabotage = "A17 the cursor moves without its entries"
	// LoseMark (A04d): an image restore takes the mark with it, and the phone
	// does not take a new id at every open.
	LoseMark Sabotage = "A04 no restore fence: the mark is restored too"
	// ForgetItems: what the oracle is shown of the server lacks a record, as if
	// it had been acknowledged before it was durable.
	ForgetItems Sabotage = "the server loses what its receipts vouch for"
	// WideGrants (I18): devices are granted less than what the server goes by.
	WideGrants Sabotage = "the server sends what is not granted"
	// HideField (A11): what the oracle is shown of the server lacks a value.
	HideField Sabotage = "A11 a field is hidden"
	// ForgetMessage: what the oracle is shown of the inbox lacks a message.
	ForgetMessage Sabotage = "the inbox loses a message"
	// OldValue (A03, A18): what was replaced is shown beside what replaced it.
	OldValue Sabotage = "a replaced value comes back"
)

// Sabotages returns all of them.
func Sabotages() []Sabotage {
	return []Sabotage{DropField, StripWitness, SkipEntries, LoseMark, ForgetItems, WideGrants, HideField, ForgetMessage, OldValue}
}

// rewriteRequest changes a request on its way, before the device's signature is
// looked at: only unsigned parts can be changed without being noticed.
func (w *world) rewriteRequest(header map[string][]string, body *[]byte) {
	if w.cfg.Sabotage != StripWitness {
		return
	}
	w.rewrite(body, header, func(ex *exchange) bool {
		ex.open.Witness = nil
		return true
	})
}

func (w *world) rewrite(body *[]byte, header map[string][]string, change func(*exchange) bool) {
	ex := &exchange{}
	if ex.readRequest(*body, header) != nil || !change(ex) {
		return
	}
	var buf bytes.Buffer
	fw := wire.NewFrameWriter(&buf, wire.Protobuf)
	frames := []*wire.RequestFrame{{Frame: &wire.RequestFrame_Open{Open: ex.open}}}
	for _, b := range ex.batches {
		frames = append(frames, &wire.RequestFrame{Frame: &wire.RequestFrame_Batch{Batch: b}})
	}
	for _, f := range frames {
		if fw.Request(f) != nil {
			return
		}
	}
	*body = wire.CompressSmall(buf.Bytes())
}

// sabotageResponse changes a response on its way.
func (w *world) sabotageResponse(ex *exchange, res *response) {
	changed := false
	for _, feed := range ex.feeds {
		switch w.cfg.Sabotage {
		case DropField:
			changed = dropField(feed) || changed
		case SkipEntries:
			if len(feed.GetEntries()) > 0 && w.rng.IntN(10) == 0 {
				feed.Entries, changed = feed.GetEntries()[1:], true
			}
		default:
		}
	}
	if !changed {
		return
	}
	var buf bytes.Buffer
	fw := wire.NewFrameWriter(&buf, wire.Protobuf)
	frames := []*wire.ResponseFrame{{Frame: &wire.ResponseFrame_Begin{Begin: ex.begin}}}
	for _, f := range ex.feeds {
		frames = append(frames, &wire.ResponseFrame{Frame: &wire.ResponseFrame_Feed{Feed: f}})
	}
	if ex.end != nil {
		frames = append(frames, &wire.ResponseFrame{Frame: &wire.ResponseFrame_End{End: ex.end}})
	}
	for _, f := range frames {
		if fw.Response(f) != nil {
			return
		}
	}
	res.header.Set("Content-Encoding", wire.EncodingZstd)
	res.body = wire.CompressSmall(buf.Bytes())
}

// dropField takes one register out of the first full state that has several.
func dropField(feed *wire.Feed) bool {
	dec, err := wire.NewDecoder(feed.GetTables())
	if err != nil {
		return false
	}
	for _, e := range feed.GetEntries() {
		if e.GetDelta() == nil {
			continue
		}
		d, err := dec.Delta(e.GetDelta())
		if err != nil || d.Len() < 5 {
			continue
		}
		fields := slices.Collect(d.Fields())
		less, err := syncproto.NewDelta(d.ID(), d.Base(), d.Context(), d.Floor(), fields[:len(fields)-1])
		if err != nil {
			continue
		}
		// All entries share the tables, so the whole frame is coded anew.
		enc := wire.NewEncoder(0)
		out := &wire.Feed{Cursors: feed.GetCursors(), Authors: feed.GetAuthors()}
		scope, err := dec.Scope(e.GetScope())
		if err != nil {
			return false
		}
		out.Entries = []*wire.Entry{{Scope: enc.Scope(scope), Entry: &wire.Entry_Delta{Delta: enc.Delta(less)}}}
		out.Tables = enc.Tables()
		feed.Reset()
		feed.Entries, feed.Tables, feed.Cursors, feed.Authors = out.Entries, out.Tables, out.Cursors, out.Authors
		return true
	}
	return false
}

// sabotageAudit changes what the oracle is shown of the server.
func (w *world) sabotageAudit(states map[syncproto.RecordID]syncproto.Record) {
	switch w.cfg.Sabotage {
	case ForgetItems:
		if w.trace.step > 50 {
			for _, id := range universe {
				if _, ok := states[id]; ok {
					delete(states, id)
					return
				}
			}
		}
	case HideField, OldValue:
		for _, id := range universe {
			if r, ok := states[id]; ok && w.forge(&r) {
				states[id] = r
				return
			}
		}
	default:
	}
}

// sabotageInbox changes what the oracle is shown of the inbox, newest first.
func (w *world) sabotageInbox(messages []server.Message) []server.Message {
	if w.cfg.Sabotage == ForgetMessage && w.trace.step > 50 && len(messages) > 0 {
		return messages[:len(messages)-1]
	}
	return messages
}

// forge makes a state that no honest history explains.
func (w *world) forge(r *syncproto.Record) bool {
	fields := slices.Collect(r.Fields())
	done := false
	for i, f := range fields {
		if syncproto.IsReserved(f.Path) {
			continue
		}
		if w.cfg.Sabotage == HideField {
			fields, done = slices.Delete(fields, i, i+1), true
			break
		}
		e := w.oracle.byDot[f.Siblings[0].Dot]
		if e == nil || len(e.kills) == 0 || w.oracle.tainted(e.kills[0]) {
			continue
		}
		old := e.kills[0]
		v, err := syncproto.ParseValueString(old.uid.value)
		if err != nil || slices.ContainsFunc(f.Siblings, func(s syncproto.Sibling) bool { return s.Dot == old.dots[0] }) {
			continue
		}
		siblings := append(slices.Clone(f.Siblings), syncproto.Sibling{Dot: old.dots[0], HLC: old.uid.hlc, Value: v})
		slices.SortFunc(siblings, func(a, b syncproto.Sibling) int {
			if a.Dot.Less(b.Dot) {
				return -1
			}
			return 1
		})
		fields[i].Siblings, done = siblings, true
		break
	}
	if !done {
		return false
	}
	d, err := syncproto.NewDelta(r.ID(), syncproto.VV{}, r.Context(), r.Floor(), fields)
	if err != nil {
		return false
	}
	c, err := syncproto.Apply(syncproto.NewRecord(r.ID()), d)
	if err != nil {
		return false
	}
	*r = c.Record
	return true
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }
