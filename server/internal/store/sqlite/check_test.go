package sqlite_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/server/internal/store/sqlite"
	"github.com/sambang-id/sambang/server/internal/store/storetest"
)

// wellFilled is a store with a bit of everything, closed.
func wellFilled(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store.db")
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(storetest.Sample(t.Context(), s), s.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// problems returns what Check reports of the store at path, its own error
// included.
func problems(t *testing.T, path string) []string {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		return []string{err.Error()}
	}
	defer s.Close()
	var out []string
	if err := s.Check(t.Context(), func(p string) { out = append(out, p) }); err != nil {
		out = append(out, err.Error())
	}
	return out
}

// reseal gives the rows of the file at path the sums of what they hold.
func reseal(t *testing.T, path string) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Reseal(t.Context()), s.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestCheckFindsSeededDamage is the positive control: a check that never
// complains protects nothing. The sums are made right again, as a bug of the
// server would write them, so that each rule is seen to look by itself.
func TestCheckFindsSeededDamage(t *testing.T) {
	good := wellFilled(t)
	if got := problems(t, good); len(got) != 0 {
		t.Fatalf("problems of an undamaged store: %q", got)
	}
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ damage, want string }{
		"row above the head":         {`UPDATE records SET seq = 900 WHERE scope = '35.24.14' AND seq = 7`, "row is beyond the head"},
		"row at a taken sequence":    {`DROP INDEX records_seq; UPDATE records SET seq = 8 WHERE scope = '35.24.14' AND seq = 7`, "two rows have the same sequence"},
		"row of no scope":            {`DELETE FROM scopes WHERE scope = '35.24.02'`, "row is beyond the head"},
		"head above the rows":        {`UPDATE scopes SET seq = 900 WHERE scope = '35.24.14'`, "head of a scope is beyond"},
		"head below the changes":     {`UPDATE scopes SET seq = 3 WHERE scope = '35.24.14'`, "change is beyond the head"},
		"entered after its change":   {`UPDATE records SET entered_seq = 9 WHERE scope = '35.24.14' AND seq = 8`, "row entered its scope after"},
		"no live row":                {`UPDATE records SET moved_to = '35.24.02' WHERE scope = '35.24.14' AND seq = 3`, "not exactly one live row"},
		"two live rows":              {`UPDATE records SET moved_to = NULL WHERE moved_to IS NOT NULL`, "not exactly one live row"},
		"marker to nowhere":          {`UPDATE records SET moved_to = '35.24.99' WHERE moved_to IS NOT NULL`, "marker points at no row"},
		"marker to itself":           {`UPDATE records SET moved_to = scope WHERE moved_to IS NOT NULL`, "marker points at no row"},
		"document cut":               {`UPDATE records SET doc = substr(doc, 1, 9) WHERE seq = 5`, "document is not JSON"},
		"more held than claimed":     {`UPDATE replicas SET held_n = 10 WHERE claimed_n = 9`, "device holds more than it claimed"},
		"replica of two devices":     {`INSERT INTO replicas SELECT 'device/x', replica, key_nonce, claimed_n, claimed_head, held_n, held_head, broken, sum FROM replicas`, "replica belongs to two devices"},
		"chain step that is held":    {`UPDATE chain_steps SET n = 3`, "chain step waits though it is held"},
		"chain step of no replica":   {`UPDATE chain_steps SET scope = 'device/x'`, "chain step waits though it is held"},
		"too many witnesses":         {`WITH RECURSIVE n (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM n WHERE n < 70) INSERT INTO witnesses SELECT 'device/device-1', n, zeroblob(16), 0 FROM n`, "more witnesses than are kept"},
		"two epochs":                 {`INSERT INTO epochs VALUES ('other', zeroblob(16), 1, 0, 0)`, "more than one epoch"},
		"change rewritten":           {`UPDATE changes SET ops = x'00' WHERE seq = 5`, "change is not what was appended"},
		"digest rewritten":           {`UPDATE changes SET digest = zeroblob(32) WHERE seq = 5`, "change is not what was appended"},
		"past write rewritten":       {`UPDATE past_writes SET value = x'31'`, "past write is not what was appended"},
		"past write of another path": {`UPDATE past_writes SET path = 'b'`, "past write is not what was appended"},
		"scope that is none":         {`UPDATE scopes SET scope = '35.2' WHERE scope = '35.24.02'`, "scope: "},
		"grants that are none":       {`UPDATE devices SET grants = 'x'`, "is not grants"},
		"device without a key":       {`UPDATE devices SET public_key = x''`, "device without id or key"},
		"chain that begins anywhere": {`UPDATE replicas SET held_head = randomblob(32) WHERE held_n = 0`, "chain of nothing held has a head"},
		"entry missing in an index":  {`PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = replace(sql, '(updated_at', '(conflicts') WHERE name = 'records_log'`, "structure: "},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			writeFile(t, path, string(whole))
			sqlOn(t, path, c.damage)
			reseal(t, path)
			got := problems(t, path)
			for _, p := range got {
				if strings.Contains(p, c.want) {
					return
				}
			}
			t.Errorf("problems are %q, want one with %q", got, c.want)
		})
	}
}

// TestCheckFindsDamagedPages flips 64 bytes at many places. What SQLite's own
// check lets pass in the journal, the digests find.
func TestCheckFindsDamagedPages(t *testing.T) {
	whole, err := os.ReadFile(wellFilled(t))
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	path := filepath.Join(t.TempDir(), "store.db")
	found, tried := 0, 0
	for at := page; at < len(whole); at += page + 997 {
		content := append([]byte(nil), whole...)
		for i := range 64 {
			content[(at+i)%len(content)] ^= 0x5a
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		tried++
		if len(problems(t, path)) > 0 {
			found++
		}
		for _, suffix := range []string{"-wal", "-shm"} {
			_ = os.Remove(path + suffix) //nolint:errcheck // it may not exist
		}
	}
	// Bytes of states and of unused space are nobody's here: the engine checks
	// the states.
	t.Logf("found %d of %d", found, tried)
	if found == 0 || tried < 10 {
		t.Errorf("found %d of %d damaged pages", found, tried)
	}
}
