package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/internal/pgtest"
	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto"
)

// migration moves the world's file to a fresh database.
func (w *world) migration() server.Migration {
	return server.Migration{
		From: "sqlite:" + filepath.Join(w.dir, "server", server.StoreFile), To: pgtest.Start(w.t).Database(w.t),
		Problem: func(p string) { w.t.Errorf("problem: %s", p) },
	}
}

// ask asks the server as headquarters, and returns the body of its answer.
func (w *world) ask(token, path, accept string) string {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Accept", accept)
	rec := httptest.NewRecorder()
	w.server.Handler().ServeHTTP(rec, r)
	if rec.Code != http.StatusOK {
		w.t.Fatalf("GET %s: %d %s", path, rec.Code, rec.Body)
	}
	return rec.Body.String()
}

// headquarters is all that headquarters sees: the log page by page and as a
// stream, each record with its history, the inbox with each message, the devices.
func (w *world) headquarters(token string) (seen []string, cursors []string) {
	w.t.Helper()
	const asJSON = "application/json"
	note := func(path, accept string) string {
		body := w.ask(token, path, accept)
		seen = append(seen, path+": "+body)
		return body
	}
	ids := map[string]bool{}
	for cursor := ""; ; {
		path := "/v1/log?deleted=true&limit=3"
		if cursor != "" {
			path += "&cursor=" + cursor
		}
		var page struct {
			Entries []struct{ ID string }
			Cursor  string
		}
		if err := json.Unmarshal([]byte(note(path, asJSON)), &page); err != nil {
			w.t.Fatal(err)
		}
		for _, e := range page.Entries {
			ids[e.ID] = true
		}
		if cursor = page.Cursor; cursor == "" {
			break
		}
		cursors = append(cursors, cursor)
	}
	for id := range ids {
		seen = append(seen, "record "+id+": "+w.ask(token, "/v1/records/"+id, asJSON))
	}
	note("/v1/log?deleted=true", "application/x-ndjson")
	var inbox struct{ Messages []struct{ Key string } }
	if err := json.Unmarshal([]byte(note("/v1/inbox", asJSON)), &inbox); err != nil {
		w.t.Fatal(err)
	}
	for _, m := range inbox.Messages {
		note("/v1/inbox/"+m.Key, asJSON)
	}
	note("/v1/devices", asJSON)
	return seen, cursors
}

// TestAMoveToPostgreSQLIsNoticedByNobody: phones sync with a server on a file,
// the file is moved, and the same phones go on with a server on the database as
// if nothing had been: nothing is repaired, sent again or lost, and what
// headquarters sees is the same, byte for byte.
func TestAMoveToPostgreSQLIsNoticedByNobody(t *testing.T) {
	w := newWorldOn(t, "")
	ctx := context.Background()
	a, b := w.phone("budi"), w.phone("sari")
	wide := w.phone("sari", grant("35", "D", "T", "H"))
	phones := []*sambang.Replica{a, b, wide}
	settle := func() {
		for range 3 {
			for _, p := range phones {
				w.sync(p)
			}
		}
	}

	// A conflict, overwritten writes, a deletion, a record that moved away, one
	// that was purged, one with stricter fields, and two messages in the inbox.
	contested := w.create(a, sambang.Fields{"name": "before", "rooms": 3, "owner_name": "Tuan X"})
	gone, moved, purged := w.create(a, sambang.Fields{"name": "gone"}), w.create(wide, sambang.Fields{"name": "wanderer"}), w.create(a, sambang.Fields{"name": "secret word"})
	strict, err := a.Create("foreigner", "35.24.14", sambang.Fields{"surname": "LIN", "children_dual_count": 2})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		w.set(a, w.create(a, sambang.Fields{"name": fmt.Sprint("Losmen ", i)}), "rooms", i)
	}
	settle()
	w.set(a, contested, "name", "by a")
	w.set(b, contested, "name", "by b")
	if err := errors.Join(a.Delete(gone), wide.Move(moved, "35.24.15"), w.server.Purge(ctx, purged.String(), "hq", "retention")); err != nil {
		t.Fatal(err)
	}
	var aside []sambang.ID
	for range 2 {
		id, err := a.Create("site", "33.01.01", sambang.Fields{"name": "elsewhere"})
		if err != nil {
			t.Fatal(err)
		}
		aside = append(aside, id)
	}
	settle()
	messages, err := w.server.Inbox(ctx, "", "", 100)
	if err != nil || len(messages) < 2 {
		t.Fatalf("inbox %v, %v", messages, err)
	}
	if err := w.server.CloseMessage(ctx, messages[0].Key, "hq", "a duplicate"); err != nil {
		t.Fatal(err)
	}
	settle()
	w.set(b, contested, "rooms", 9) // waits on the phone until after the move
	token, err := w.server.Token(server.Person{Subject: "pusat", Role: server.Admin, Regions: []syncproto.Region{"33", "35"}, Classes: []syncproto.Class{"D", "T", "H"}}, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	before, cursors := w.headquarters(token)
	if len(cursors) < 3 {
		t.Fatalf("the log has only %d pages", len(cursors)+1)
	}
	replicas := map[*sambang.Replica]any{}
	for _, p := range phones {
		replicas[p] = p.Status().Replica
	}

	// While it is moved, the running server shows headquarters all of it, and
	// tells phones to come again.
	c := w.migration()
	looked := false
	c.Progress = func(p server.MigrationProgress) {
		if looked || p.Phase != "copy" {
			return
		}
		looked = true
		w.link.before, w.link.after = nil, nil
		_, err := b.Sync(ctx)
		var refusal *sambang.Refusal
		if !errors.Is(err, syncproto.CodeUnavailable) || !errors.As(err, &refusal) || refusal.RetryAfter < time.Second {
			t.Errorf("a phone while the store is moved: %v", err)
		}
		if during, _ := w.headquarters(token); !same(before, during) {
			t.Error("headquarters sees something else while the store is moved")
		}
	}
	result, err := server.Migrate(ctx, c)
	if err != nil || !looked || result.Before || result.Sample == 0 {
		t.Fatalf("move: %+v, %v", result, err)
	}
	// The server that was left running reads, and writes no more; nor does a new one.
	if _, err := b.Sync(ctx); !errors.Is(err, syncproto.CodeUnavailable) {
		t.Errorf("a phone at a server whose store was moved: %v", err)
	}
	ready := httptest.NewRecorder()
	w.server.Handler().ServeHTTP(ready, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	if ready.Code != http.StatusServiceUnavailable {
		t.Errorf("/readyz of a server whose store was moved: %d", ready.Code)
	}
	if err := w.server.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := server.New(w.config()); !errors.Is(err, syncproto.CodeStoreMoved) {
		t.Errorf("a server on a moved file: %v", err)
	}

	w.store = c.To
	w.start()
	after, _ := w.headquarters(token)
	for i := range min(len(before), len(after)) {
		if i < len(before) && !contains(after, before[i]) {
			t.Errorf("headquarters saw before the move\n%s\nand sees no such thing after it", before[i])
		}
	}
	if len(before) != len(after) {
		t.Errorf("headquarters saw %d answers, and sees %d", len(before), len(after))
	}
	w.clock.Add(time.Minute)
	for i, p := range phones {
		rep := w.sync(p)
		pushed := map[*sambang.Replica]int{b: 1}[p]
		if rep.Repairs != 0 || rep.Pushed != pushed || rep.Poisoned != 0 || p.Status().Replica != replicas[p] {
			t.Errorf("phone %d after the move: %+v", i, rep)
		}
	}
	settle()
	w.mustHold()

	// All of before can be worked with.
	for _, p := range phones[:2] {
		cs, err := p.Conflicts(contested)
		if err != nil || len(cs) != 1 || len(cs[0].Values) != 2 || cs[0].Base != "before" {
			t.Errorf("the conflict is %+v, %v", cs, err)
		}
		w.wantField(p, contested, "rooms", jsonNumber("9"))
		w.wantCustody(p, contested, sambang.CustodyHeld)
	}
	if err := a.Resolve(contested, "name", "by b"); err != nil {
		t.Fatal(err)
	}
	if err := w.server.ReleaseMessage(ctx, messages[1].Key, "hq", "belongs there"); err != nil {
		t.Errorf("release what was in the inbox: %v", err)
	}
	if err := w.server.CloseMessage(ctx, messages[0].Key, "hq", "again"); err == nil {
		t.Error("a message that was closed before the move was closed again")
	}
	w.set(a, strict, "surname", "LIM")
	if err := a.Undelete(gone); err != nil {
		t.Fatal(err)
	}
	settle()
	fresh := w.phone("sari")
	w.sync(fresh)
	w.wantField(fresh, contested, "name", "by b")
	w.wantField(fresh, gone, "name", "gone")
	w.wantField(fresh, strict, "surname", "LIM")
	for _, id := range []sambang.ID{purged, moved} {
		if _, err := fresh.Get(id); !errors.Is(err, syncproto.CodeNotFound) {
			t.Errorf("a new phone gets %s: %v", id, err)
		}
	}
	if _, err := wide.Get(aside[0]); !errors.Is(err, syncproto.CodeNotFound) {
		t.Errorf("what was put aside: %v", err)
	}
	w.mustHold()
	if strings.Contains(w.log.String(), "rolled back") || strings.Contains(w.log.String(), "epoch") {
		t.Errorf("the server noticed something:\n%s", w.log)
	}
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}

// same compares two lists whose order does not count.
func same(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for _, s := range a {
		if !contains(b, s) {
			return false
		}
	}
	return true
}

// A server with another key is told so, also if the store came by a move.
func TestAMovedStoreBelongsToItsServer(t *testing.T) {
	w := newWorldOn(t, "")
	a := w.phone("budi")
	w.create(a, sambang.Fields{"name": "x"})
	w.sync(a)
	c := w.migration()
	if _, err := server.Migrate(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	other := w.config()
	other.Data, other.Store, other.Rand = t.TempDir(), c.To, bytes.NewReader(bytes.Repeat([]byte{7}, 1<<16))
	if s, err := server.New(other); !errors.Is(err, syncproto.CodeStoreIdentity) {
		if err == nil {
			_ = s.Close()
		}
		t.Errorf("a server with another key: %v", err)
	}
}
