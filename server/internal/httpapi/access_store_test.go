package httpapi_test

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// counted is a store that notes each read: its name, and how much it asks for.
type counted struct {
	store.Store
	mu    sync.Mutex
	reads []string
}

func (c *counted) note(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads = append(c.reads, fmt.Sprintf(format, args...))
}

// take returns what was read since it was called last.
func (c *counted) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.reads
	c.reads = nil
	return out
}

func (c *counted) View(ctx context.Context, fn func(store.Reader) error) error {
	c.note("view")
	return c.Store.View(ctx, func(r store.Reader) error { return fn(countedReader{r, c}) })
}

func (c *counted) Update(ctx context.Context, steps ...store.Step) error {
	c.note("update of %d steps", len(steps))
	return c.Store.Update(ctx, steps...)
}

type countedReader struct {
	store.Reader
	c *counted
}

func (r countedReader) Heads(region syncproto.Region, class syncproto.Class) ([]store.Head, error) {
	r.c.note("heads")
	return r.Reader.Heads(region, class)
}

func (r countedReader) Epoch() (store.Epoch, error) { r.c.note("epoch"); return r.Reader.Epoch() }

func (r countedReader) Feed(scope syncproto.Scope, after, upTo uint64) iter.Seq2[store.Row, error] {
	r.c.note("feed")
	return r.Reader.Feed(scope, after, upTo)
}

func (r countedReader) Live(ids []syncproto.RecordID) ([]store.Row, error) {
	r.c.note("live of %d", len(ids))
	return r.Reader.Live(ids)
}

func (r countedReader) Authors(ids []syncproto.ReplicaID) ([]store.Author, error) {
	r.c.note("authors")
	return r.Reader.Authors(ids)
}

func (r countedReader) Log(f store.Filter, after *store.LogKey, limit int) ([]store.Row, error) {
	r.c.note("log of %d", limit)
	return r.Reader.Log(f, after, limit)
}

func (r countedReader) Changes(id syncproto.RecordID) iter.Seq2[store.Change, error] {
	r.c.note("changes")
	return r.Reader.Changes(id)
}

func (r countedReader) PastWrites(id syncproto.RecordID) iter.Seq2[store.PastWrite, error] {
	r.c.note("past writes")
	return r.Reader.PastWrites(id)
}

func (r countedReader) Companions(id syncproto.RecordID) ([]store.Row, error) {
	r.c.note("companions")
	return r.Reader.Companions(id)
}

func (r countedReader) Inbox(region syncproto.Region, after *syncproto.Digest, limit int) ([]store.Quarantined, error) {
	r.c.note("inbox of %d", limit)
	return r.Reader.Inbox(region, after, limit)
}

func (r countedReader) Message(key syncproto.Digest) (store.Quarantined, error) {
	r.c.note("message")
	return r.Reader.Message(key)
}

func (r countedReader) Stats() (store.Stats, error) { r.c.note("stats"); return r.Reader.Stats() }

func (r countedReader) Device(id string) (store.Device, error) {
	r.c.note("device")
	return r.Reader.Device(id)
}

func (r countedReader) Officer(id string) (store.Officer, error) {
	r.c.note("officer")
	return r.Reader.Officer(id)
}

func (r countedReader) Devices() ([]store.DeviceStatus, error) {
	r.c.note("devices")
	return r.Reader.Devices()
}

func (r countedReader) DeviceStatus(id string) (store.DeviceStatus, error) {
	r.c.note("device status")
	return r.Reader.DeviceStatus(id)
}

func (r countedReader) Officers() ([]store.Officer, error) {
	r.c.note("officers")
	return r.Reader.Officers()
}

func (r countedReader) Receipts(device string, limit int) ([]store.Receipt, error) {
	r.c.note("receipts")
	return r.Reader.Receipts(device, limit)
}
