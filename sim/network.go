package sim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// link is a phone's way to the server.
type link struct{ p *phone }

// response is what the server answered.
type response struct {
	status  int
	header  http.Header
	body    []byte
	aborted bool             // the server cut the connection
	died    bool             // the server ended while it answered: nobody hears what it said
	at      int64            // by the server's clock, when it began
	grants  syncproto.Grants // of the device, then, if that can be others than at the end
}

// handle lets the server's handler answer a request. cut, if not nil, is the
// error with which the body ends.
func (w *world) handle(path string, header http.Header, body []byte, cut error) (res response) {
	var in io.Reader = bytes.NewReader(body)
	if cut != nil {
		in = io.MultiReader(in, errReader{cut})
	}
	req, err := http.NewRequestWithContext(w.ctx, http.MethodPost, path, in)
	if err != nil {
		panic(err)
	}
	req.Header, req.RemoteAddr, req.RequestURI, req.Host = header.Clone(), "127.0.0.1:4000", path, "127.0.0.1:8080"
	req.ContentLength = int64(len(body))
	if cut != nil {
		req.ContentLength = -1
	}
	if path == "/v1/sync" {
		w.reaches(header, body)
	}
	w.turn()
	at, before := w.serverNow(), syncproto.Grants(nil)
	if path == "/v1/sync" && len(w.hosts) > 1 {
		before, _ = w.grantsOf(deviceOf(header)) // nobody's, if there is no such device
	}
	rec := &recorder{header: http.Header{}, status: http.StatusOK}
	defer func() {
		if failure := recover(); failure != nil {
			if failure != http.ErrAbortHandler { //nolint:errorlint // as it is thrown
				panic(failure)
			}
			if w.crashed {
				w.restartServer()
				res = response{died: true}
				return
			}
			res = response{status: rec.status, header: rec.header, body: rec.body.Bytes(), aborted: true, at: at, grants: before}
		}
	}()
	w.srv.Handler().ServeHTTP(rec, req)
	if w.crashed {
		w.restartServer()
		return response{died: true}
	}
	if path == "/v1/sync" && rec.status == http.StatusOK {
		w.taken(header.Get("Authorization"))
	}
	return response{status: rec.status, header: rec.header, body: rec.body.Bytes(), at: at, grants: before}
}

// taken notes that a server took a token. On a database, no server takes it
// again; one whose store is a file forgets with its process.
func (w *world) taken(token string) {
	if w.used[token] && w.cfg.Database != nil {
		w.fail(syncproto.RecordID{}, "a token was taken twice, the second time by %s", w.name)
	}
	w.used[token] = true
}

// recorder keeps what a handler writes.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }
func (r *recorder) Flush()                      {}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// captured is a request as it went over the wire.
type captured struct {
	p      *phone
	header http.Header
	body   []byte
}

// pushed is a record that a phone pushed and the server applied, for the replay
// at the end (V7).
type pushed struct {
	p     *phone
	batch *wire.Batch
}

const (
	keepCaptured = 12
	keepPushed   = 24
)

// RoundTrip carries a request, unless something happens to it.
func (l link) RoundTrip(req *http.Request) (*http.Response, error) {
	p, w := l.p, l.p.w
	body, err := io.ReadAll(req.Body)
	_ = req.Body.Close()
	if err != nil {
		return nil, err
	}
	if req.URL.Path != "/v1/sync" {
		res := w.handle(req.URL.Path, req.Header, body, nil)
		if res.died {
			return nil, errNetwork
		}
		return asResponse(req, res, nil), nil
	}
	if w.failed() {
		return nil, errNetwork
	}
	w.stats["requests"]++
	w.wire = append(w.wire, captured{p, req.Header.Clone(), body})
	if len(w.wire) > keepCaptured {
		w.wire = w.wire[1:]
	}
	w.meanwhile()
	started, rollbacks := w.serverStarts, w.rollbacks
	switch {
	case p.killed || w.failed():
		return nil, errNetwork
	case w.chance(6):
		w.trace.log("%s request lost", p.name)
		w.stats["requests lost"]++
		return nil, errNetwork
	case w.chance(3):
		n := w.rng.IntN(len(body) + 1)
		w.trace.log("%s request cut", p.name)
		w.stats["requests cut"]++
		w.handle(req.URL.Path, req.Header, body[:n], errNetwork)
		return nil, errNetwork
	case w.chance(2):
		status := []int{500, 502, 503, 429}[w.rng.IntN(4)]
		w.trace.log("%s gets HTTP %d from something in between", p.name, status)
		w.stats["HTTP errors"]++
		return asResponse(req, response{status: status, header: http.Header{"Content-Type": {"text/html"}}, body: []byte("<html>")}, nil), nil
	}
	res := w.deliver(p, req.Header, body)
	if res.died {
		return nil, errNetwork
	}
	if w.chance(4) {
		w.trace.log("%s request doubled", p.name)
		w.stats["requests doubled"]++
		w.again(captured{p, req.Header, body}, w.rng.IntN(2) == 0)
	}
	w.meanwhile()
	if p.killed || w.failed() {
		return nil, errNetwork
	}
	if rollbacks != w.rollbacks || started != w.serverStarts && w.chance(50) {
		// What was on its way died with the process: nobody may act on the word
		// of a store that was rolled back since.
		w.trace.log("%s response died with the server", p.name)
		return nil, errNetwork
	}
	if w.chance(8) {
		w.trace.log("%s response lost", p.name)
		w.stats["responses lost"]++
		return nil, errNetwork
	}
	reply := &replyBody{w: w, p: p, body: res.body, rollbacks: w.rollbacks}
	if res.aborted {
		reply.err = io.ErrUnexpectedEOF
	}
	if w.chance(5) && len(res.body) > 0 {
		w.trace.log("%s response cut", p.name)
		w.stats["responses cut"]++
		reply.body, reply.err = res.body[:w.rng.IntN(len(res.body))], io.ErrUnexpectedEOF
	}
	return asResponse(req, res, reply), nil
}

func asResponse(req *http.Request, res response, body io.ReadCloser) *http.Response {
	if body == nil {
		body = io.NopCloser(bytes.NewReader(res.body))
	}
	return &http.Response{
		StatusCode: res.status, Status: fmt.Sprint(res.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: res.header, Body: body, ContentLength: -1, Request: req,
	}
}

// replyBody gives a response in pieces; between two of them the world goes on.
type replyBody struct {
	w         *world
	p         *phone
	body      []byte
	err       error
	rollbacks int
}

func (r *replyBody) Read(b []byte) (int, error) {
	if r.p.killed || r.w.failed() {
		return 0, errNetwork
	}
	if len(r.body) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		return 0, io.EOF
	}
	n := len(r.body)
	if r.w.chance(20) {
		n = 1 + r.w.rng.IntN(n)
	}
	n = copy(b, r.body[:n])
	r.body = r.body[n:]
	if len(r.body) > 0 {
		r.w.meanwhile()
		if r.rollbacks != r.w.rollbacks {
			r.body, r.err = nil, io.ErrUnexpectedEOF
		}
	}
	return n, nil
}

func (r *replyBody) Close() error { return nil }

// deliver hands a request to the server, and looks at both sides of the
// exchange.
func (w *world) deliver(p *phone, header http.Header, body []byte) response {
	w.now++
	w.rewriteRequest(header, &body)
	res := w.handle("/v1/sync", header, body, nil)
	w.inspect(p, header, body, &res)
	return res
}

// again replays a request: the same bytes, with its old token or a fresh one.
func (w *world) again(c captured, fresh bool) {
	header := c.header
	if fresh {
		header = header.Clone()
		header.Set("Authorization", "Bearer "+c.p.replay.token())
	}
	res := w.handle("/v1/sync", header, c.body, nil)
	w.inspect(c.p, header, c.body, &res)
}

// inspect judges one exchange: nobody receives what he may not see (V5), and
// an honest run needs no repair (V9), except of a record that a proven fork has
// touched. It notes what receipts vouch for.
func (w *world) inspect(p *phone, header http.Header, body []byte, res *response) {
	if res.died {
		return
	}
	if res.status != http.StatusOK || w.failed() {
		if res.status >= 500 && !res.aborted && !w.disk.full {
			w.fail(syncproto.RecordID{}, "the server answers HTTP %d: %s", res.status, res.body)
		}
		w.trace.log("%s server answers %d", p.name, res.status)
		return
	}
	ex := &exchange{}
	if err := errors.Join(ex.readRequest(body, header), ex.readResponse(res.body, res.header)); err != nil {
		w.fail(syncproto.RecordID{}, "%s: an exchange can't be read: %v", p.name, err)
		return
	}
	w.trace.log("%s exchange: %s", p.name, ex)
	w.carried(p, ex)
	w.judgeOutcomes(p, deviceOf(header), ex)
	w.judgeFeed(p.name, p.id, ex, res)
	w.sabotageResponse(ex, res)
}

func (e *exchange) String() string {
	items, entries := 0, 0
	for _, b := range e.batches {
		items += len(b.GetItems())
	}
	for _, f := range e.feeds {
		entries += len(f.GetEntries())
	}
	s := fmt.Sprintf("%d items, %d to refetch -> %s, witness %d, %d outcomes, %d entries", items, len(e.open.GetRefetch()), e.begin.GetStatus(), e.begin.GetWitness().GetN(), len(e.begin.GetOutcomes()), entries)
	for _, c := range e.open.GetClaims() {
		s += fmt.Sprintf(", claim %s:%d after %d", syncproto.ReplicaID(c.GetReplica()), c.GetN(), c.GetConfirmedN())
	}
	for _, h := range e.receipt.GetHeld() {
		s += fmt.Sprintf(", held %s:%d", syncproto.ReplicaID(h.GetReplica()), h.GetN())
	}
	return s
}

// items yields the items of the batches in the order of the receipt's indexes.
func (e *exchange) items(yield func(index uint32, d *wire.Decoder, it *wire.Item) error) error {
	index := uint32(0)
	for _, b := range e.batches {
		dec, err := wire.NewDecoder(b.GetTables())
		if err != nil {
			return err
		}
		for _, it := range b.GetItems() {
			if err := yield(index, dec, it); err != nil {
				return err
			}
			index++
		}
	}
	return nil
}

// batchOf returns a batch with one of the items alone.
func (w *world) batchOf(ex *exchange, index uint32) *wire.Batch {
	for _, b := range ex.batches {
		if n := uint32(len(b.GetItems())); index >= n { //nolint:gosec // bounded by the protocol
			index -= n
			continue
		}
		return &wire.Batch{Tables: b.GetTables(), Items: b.GetItems()[index : index+1]}
	}
	return nil
}

func (w *world) judgeOutcomes(p *phone, device string, ex *exchange) {
	for _, h := range ex.receipt.GetHeld() {
		r := syncproto.ReplicaID(h.GetReplica())
		w.vouched[r] = max(w.vouched[r], h.GetN())
	}
	if ex.begin.GetStatus() != wire.Status_STATUS_OK {
		w.stats["exchanges refused: "+ex.begin.GetStatus().String()]++
	}
	err := ex.items(func(index uint32, dec *wire.Decoder, it *wire.Item) error {
		i := slices.IndexFunc(ex.receipt.GetExceptions(), func(x *wire.Exception) bool { return x.GetIndex() == index })
		d, err := dec.Delta(it.GetDelta())
		if err != nil {
			return err
		}
		name := w.names[d.ID()]
		if i < 0 {
			if ex.receipt != nil {
				w.pushes = append(w.pushes, pushed{p, w.batchOf(ex, index)})
				w.pushes = w.pushes[max(0, len(w.pushes)-keepPushed):]
				w.trace.log("%s pushed %s %s base %s: applied", p.name, name, d.Context(), d.Base())
			}
			return nil
		}
		x := ex.receipt.GetExceptions()[i]
		w.trace.log("%s pushed %s %s: %s %s", p.name, name, d.Context(), x.GetResult(), x.GetCode())
		w.stats["outcome "+x.GetResult().String()+" "+x.GetCode()]++
		switch x.GetResult() {
		case wire.Result_RESULT_REPAIR, wire.Result_RESULT_ABSORBED:
			if !w.cfg.Profile.Hostile && !w.oracle.touched(d.ID()) {
				w.fail(d.ID(), "V9: %s: the server answers %s %s to an honest push of %s", p.name, x.GetResult(), x.GetCode(), d.Context())
			}
		case wire.Result_RESULT_QUARANTINED:
			one := w.batchOf(ex, index)
			w.putAside(w.messageKey(device, one.GetTables(), one.GetItems()[0]))
		case wire.Result_RESULT_PURGED:
			w.purged(d.ID())
		default:
		}
		return nil
	})
	if err != nil {
		w.fail(syncproto.RecordID{}, "%s: %v", p.name, err)
	}
}

// judgeFeed checks that what was delivered may be read by the device at this
// moment, or when the server began to answer, by the home that the state itself
// has.
func (w *world) judgeFeed(name, device string, ex *exchange, res *response) {
	grants, err := w.grantsOf(device)
	if !w.must("read the device", err) {
		return
	}
	err = ex.deltas(func(scope syncproto.Scope, d syncproto.Delta) error {
		w.trace.log("%s is sent %s in %s base %s ctx %s", name, w.names[d.ID()], scope, d.Base(), d.Context())
		if w.cfg.Sabotage == WideGrants && scope.Region() == "35.24.14" {
			grants = nil
		}
		if !grants.MayRead(scope, w.serverNow()) && !res.grants.MayRead(scope, res.at) {
			w.fail(d.ID(), "V5: %s received it from %s, grants %v", name, scope, grants)
		}
		if home := w.homeBy(d); home != "" && home != scope {
			w.fail(d.ID(), "V5: %s received it as of %s, but its home is %s", name, scope, home)
		}
		return nil
	})
	if err != nil {
		w.fail(syncproto.RecordID{}, "%s: read the feed: %v", name, err)
	}
}

// homeBy returns the home that a state with the delta's context has, by what
// the oracle knows of moves; "" if several are concurrent, or it does not know
// them all.
func (w *world) homeBy(d syncproto.Delta) syncproto.Scope {
	for x := range d.Context().All() {
		if w.authors[x.Replica] == nil || w.oracle.byDot[x] == nil {
			return "" // the server moves companions, and phones write again after a fork: seen later
		}
	}
	var last []*event
	for _, e := range w.oracle.records[d.ID()] {
		if e.uid.path == syncproto.PathScope && slices.ContainsFunc(e.dots, d.Context().Covers) {
			if w.oracle.tainted(e) {
				return ""
			}
			last = append(last, e)
		}
	}
	have := map[*event]bool{}
	for _, e := range last {
		closure(have, e.kills)
	}
	last = slices.DeleteFunc(last, func(e *event) bool { return have[e] })
	if len(last) != 1 {
		return ""
	}
	v, err := syncproto.ParseValueString(last[0].uid.value)
	if err != nil {
		return ""
	}
	text, _ := v.Text()
	home, _ := syncproto.ParseScope(text)
	return home
}

// purged notes that headquarters erased a record: nobody has to have any of it
// any more.
func (w *world) purged(id syncproto.RecordID) {
	if w.oracle.purged[id] {
		return
	}
	w.oracle.purged[id] = true
}
