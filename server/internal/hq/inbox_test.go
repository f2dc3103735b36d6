package hq_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/sambang-id/sambang/server/internal/hq"
	"github.com/sambang-id/sambang/server/internal/hq/hqtest"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

func inbox(t *testing.T, w *hqtest.World, r hq.Reader, f hq.InboxFilter, limit int) (out []hq.Message) {
	t.Helper()
	for cursor := ""; ; {
		p, err := w.HQ.Inbox(t.Context(), r, f, cursor, limit)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p.Messages...)
		if cursor = p.Cursor; cursor == "" {
			return out
		}
	}
}

func key(t *testing.T, m hq.Message) syncproto.Digest {
	t.Helper()
	k, err := hq.ParseMessageKey(m.Key)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// outside lets a device of one regency write in another.
func outside(t *testing.T) (*hqtest.World, syncproto.RecordID) {
	t.Helper()
	w := newWorld(t, nil)
	a := w.Device("a", "imigrasi", hqtest.Grant("35.24"))
	id := a.Create(1, "site", "35.25.01", map[string]any{"name": "Kos Rekaan", "owner_name": "Tini Rekaan"})
	a.MustSync()
	return w, id
}

func TestTheInboxIsThatOfTheReadersScopes(t *testing.T) {
	w, id := outside(t)
	there, all := hqtest.Reader(hqtest.Grant("35.25")), hqtest.Reader(hqtest.Grant("35"))
	if got := inbox(t, w, hqtest.Reader(hqtest.Grant("35.24")), hq.InboxFilter{}, 10); len(got) != 0 {
		t.Errorf("the sender's region sees %+v", got)
	}
	if got := inbox(t, w, hqtest.Reader(hqtest.Grant("35.25", classD)), hq.InboxFilter{}, 10); len(got) != 1 || got[0].Scope != "35.25.01" {
		t.Errorf("a reader of class D sees %+v", got)
	}
	if got := inbox(t, w, all, hq.InboxFilter{Region: "35.24"}, 10); len(got) != 0 {
		t.Errorf("filtered by another region: %+v", got)
	}
	got := inbox(t, w, there, hq.InboxFilter{}, 1)
	if len(got) != 2 {
		t.Fatalf("inbox = %+v, want the record and its companion", got)
	}
	for _, m := range got {
		if m.Code != syncproto.CodeScopeDenied || m.State != "open" || m.Content != nil || !m.Releasable || m.Kind != "site" || m.Device != "dev-a" {
			t.Errorf("message = %+v", m)
		}
		full, err := w.HQ.Message(t.Context(), there, key(t, m))
		if err != nil || full.Content == nil || len(full.Content.Fields) < 3 || !full.Content.Full {
			t.Errorf("message = %+v, %v", full, err)
		}
		if _, err := w.HQ.Message(t.Context(), hqtest.Reader(hqtest.Grant("35.24")), key(t, m)); !errors.Is(err, syncproto.CodeNotFound) {
			t.Errorf("out of reach: %v, want not_found", err)
		}
	}
	if _, err := w.HQ.Message(t.Context(), all, syncproto.Digest{1}); !errors.Is(err, syncproto.CodeNotFound) {
		t.Errorf("no such message: %v", err)
	}
	_ = id
}

func TestADecisionCountsOnce(t *testing.T) {
	w, id := outside(t)
	r := hqtest.Reader(hqtest.Grant("35.25"))
	first, other := r, r
	first.ID, other.ID = "first", "other"
	for _, m := range inbox(t, w, r, hq.InboxFilter{}, 10) {
		var wg sync.WaitGroup
		var effective [8]bool
		for i := range effective {
			wg.Go(func() {
				do, who := w.HQ.Release, first
				if i%2 == 1 {
					do, who = w.HQ.Close, other
				}
				d, err := do(t.Context(), who, key(t, m), fmt.Sprint("reason ", i))
				if err != nil {
					t.Error(err)
				}
				effective[i] = d.Effective
			})
		}
		wg.Wait()
		n := 0
		for _, e := range effective {
			if e {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d decisions counted, want 1", n)
		}
	}
	if got := inbox(t, w, r, hq.InboxFilter{State: "open"}, 10); len(got) != 0 {
		t.Errorf("still open: %+v", got)
	}
	for _, m := range inbox(t, w, r, hq.InboxFilter{}, 10) {
		if m.State == "open" || m.By == "" || m.DecidedAt == "" || !strings.HasPrefix(m.Reason, "reason") {
			t.Errorf("message = %+v", m)
		}
	}
	_ = id
}

func TestAReleasedMessageIsInTheLog(t *testing.T) {
	w, id := outside(t)
	r := hqtest.Reader(hqtest.Grant("35.25"))
	for _, m := range inbox(t, w, r, hq.InboxFilter{}, 10) {
		d, err := w.HQ.Release(t.Context(), r, key(t, m), "handed over")
		if err != nil || !d.Effective || d.State != "released" || d.By != "hq-reader" || d.Reason != "handed over" {
			t.Fatalf("decision = %+v, %v", d, err)
		}
	}
	rec, err := w.HQ.Record(t.Context(), r, id)
	if err != nil || string(rec.Doc) != `{"name":"Kos Rekaan","owner_name":"Tini Rekaan"}` {
		t.Errorf("record = %+v, %v", rec.Entry, err)
	}
	if f := field(t, rec, "name"); f.Values[0].Officer != "off-a" || f.Values[0].Via != "dev-a" {
		t.Errorf("name = %+v, want the officer who wrote it", f.Values)
	}
}

func TestAnUnreadableMessageCanOnlyBeClosed(t *testing.T) {
	w := newWorld(t, nil)
	a := w.Device("a", "imigrasi", hqtest.Grant("35.24"))
	a.Create(1, "site", "35.24.14", map[string]any{"name": "x"})
	a.Damage = func(_ *wire.Open, batches []*wire.Batch) {
		batches[0].Items[0].Delta.Id = []byte("short")
	}
	a.MustSync()
	r := hqtest.Reader(hqtest.Grant("35.24"))
	got := inbox(t, w, r, hq.InboxFilter{}, 10)
	if len(got) != 1 || got[0].Releasable || got[0].Code != syncproto.CodeBadID {
		t.Fatalf("inbox = %+v", got)
	}
	if full, err := w.HQ.Message(t.Context(), r, key(t, got[0])); err != nil || full.Content.Problem != syncproto.CodeBadID || len(full.Content.Fields) != 0 {
		t.Errorf("message = %+v, %v", full, err)
	}
	if _, err := w.HQ.Release(t.Context(), r, key(t, got[0]), "reason"); !errors.Is(err, syncproto.CodeBadRecord) {
		t.Errorf("release: %v, want bad_record", err)
	}
	if d, err := w.HQ.Close(t.Context(), r, key(t, got[0]), "reason"); err != nil || d.State != "closed" {
		t.Errorf("close: %+v, %v", d, err)
	}
	if got := inbox(t, w, hqtest.Reader(hqtest.Grant("35.25")), hq.InboxFilter{}, 10); len(got) != 0 {
		t.Errorf("another region sees %+v", got)
	}
}

func TestAMessageWhoseContentIsOfAStricterClassStaysThere(t *testing.T) {
	w := newWorld(t, nil)
	a := w.Device("a", "imigrasi", hqtest.Grant("35.24"))
	// Sent to the wide scope, but what it says belongs to class H.
	id := a.Create(1, "site", "35.25.01", map[string]any{"name": "x"})
	a.Move(id, "35.25.01/H")
	a.Damage = func(_ *wire.Open, batches []*wire.Batch) {
		batches[0].Tables.Scopes = []string{"35.25.01"}
	}
	a.MustSync()
	if got := inbox(t, w, hqtest.Reader(hqtest.Grant("35.25")), hq.InboxFilter{}, 10); len(got) == 0 {
		t.Fatal("no message")
	}
	for _, m := range inbox(t, w, hqtest.Reader(hqtest.Grant("35.25", classD)), hq.InboxFilter{}, 10) {
		full, err := w.HQ.Message(t.Context(), hqtest.Reader(hqtest.Grant("35.25", classD)), key(t, m))
		if err != nil {
			t.Fatal(err)
		}
		if len(full.Content.Fields) > 0 {
			t.Errorf("a reader of class D sees %+v", full.Content)
		}
	}
}
