package sim

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// message is one item of a push as the inbox would keep it.
type message struct {
	record syncproto.RecordID
	fields []syncproto.Field
}

// reaches notes what a request brings that is handed to the server, whatever
// becomes of it. What a batch brought is durable before anything is answered, so
// it may be there although the request was cut behind it, or the server ended
// before it answered: the chain is then held so far, and a later receipt vouches
// for it although no answer ever told of it (seed 241).
func (w *world) reaches(header http.Header, body []byte) {
	ex := &exchange{}
	_ = ex.readRequest(body, header) // what is cut or no request counts as far as it can be read
	for _, b := range ex.batches {
		dec, err := wire.NewDecoder(b.GetTables())
		if err != nil {
			continue
		}
		for _, it := range b.GetItems() {
			if d, err := dec.Delta(it.GetDelta()); err == nil {
				m := message{record: d.ID()}
				for f := range d.Fields() {
					m.fields = append(m.fields, f)
				}
				w.messages[w.messageKey(deviceOf(header), b.GetTables(), it)] = m
			}
		}
		for _, h := range b.GetHistory() {
			if past, err := dec.History(h); err == nil && past.StepOnly() {
				w.bare[past.Dot] = true
			}
		}
	}
}

// messageKey is the key that an item has in the inbox: the digest of its bytes,
// of who sent it and of the record. So a message that is in the inbox is known
// by its key to hold what was sent.
func (w *world) messageKey(device string, t *wire.Tables, it *wire.Item) string {
	raw, err := wire.EncodeQuarantined(t, it)
	w.must("encode a message", err)
	h := sha256.New()
	h.Write(raw)
	h.Write([]byte(device))
	h.Write(it.GetDelta().GetId())
	return hex.EncodeToString(h.Sum(nil))
}

// deviceOf returns who a request's token says that it is from.
func deviceOf(header http.Header) string {
	head, _, _ := strings.Cut(strings.TrimPrefix(header.Get("Authorization"), "Bearer "), ".")
	b, _ := b64.DecodeString(head)
	var token struct {
		Kid string `json:"kid"`
	}
	_ = json.Unmarshal(b, &token) // a token that can't be read is nobody's
	return token.Kid
}

// inbox reads the server's inbox, and returns the writes that its messages hold,
// whole, and what those replaced. It goes by what is there and not by what the
// answers said. What was ever seen there must still be: a message that went
// missing would else be taken for a write that was physically lost.
func (w *world) inbox() map[*event]bool {
	have := map[*event]bool{}
	if w.failed() {
		return have
	}
	now := map[string]bool{}
	for _, m := range w.sabotageInbox(w.allMessages()) {
		now[m.Key] = true
		if w.hostile != nil && m.Device == w.hostile.x.id {
			continue // nobody releases what it sent
		}
		sent := w.messages[m.Key]
		for _, f := range sent.fields {
			for _, s := range f.Siblings {
				if e := w.oracle.byDot[s.Dot]; e != nil && e.uid == uidOf(sent.record, f.Path, s) {
					closure(have, []*event{e})
				}
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(w.kept)) {
		if !now[key] {
			w.fail(w.messages[key].record, "custody: the inbox has lost the message %.8s", key)
		}
	}
	maps.Copy(w.kept, now)
	return have
}

// allMessages returns what is in the inbox, newest first.
func (w *world) allMessages() []server.Message {
	const page = 1000
	var all []server.Message
	for after := ""; ; after = all[len(all)-1].Key {
		some, err := w.any().srv.Inbox(w.ctx, "", after, page)
		if all = append(all, some...); !w.must("read the inbox", err) || len(some) < page {
			return all
		}
	}
}

// putAside checks that a message is in the inbox when the server says that it
// was put aside.
func (w *world) putAside(key string) {
	_, err := w.any().srv.Message(w.ctx, key)
	if err != nil {
		w.fail(w.messages[key].record, "custody: the server says that it put a message aside, and its inbox lacks it: %v", err)
	}
	w.kept[key] = true
}
