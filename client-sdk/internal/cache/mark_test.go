package cache_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
)

func mark(n uint64) cache.Mark {
	return cache.Mark{Replica: 0xABCDEF, N: n, Head: [32]byte{byte(n), 31: 7}}
}

func mustBeMark(t *testing.T, db *cache.DB, want cache.Mark, state cache.MarkState) {
	t.Helper()
	if m, s := db.ReadMark(); m != want || s != state {
		t.Errorf("mark %+v (%v), want %+v (%v)", m, s, want, state)
	}
}

func TestTheMarkIsWhatWasWrittenLast(t *testing.T) {
	dir, o := t.TempDir(), sealedOptions()
	o.MarkDir = filepath.Join(t.TempDir(), "no-backup", "sambang")
	db := open(t, dir, o)
	mustBeMark(t, db, cache.Mark{}, cache.MarkMissing)
	for n := range uint64(7) {
		if err := db.WriteMark(mark(n)); err != nil {
			t.Fatal(err)
		}
		mustBeMark(t, db, mark(n), cache.MarkValid)
		if n%2 == 0 {
			closeDB(t, db)
			db = open(t, dir, o)
			mustBeMark(t, db, mark(n), cache.MarkValid)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "mark")); err == nil {
		t.Error("a mark is in the store's folder too")
	}
}

// TestATornMarkIsTheOldOneOrTheNewOne cuts the writing of a mark at every byte, for both slots.
func TestATornMarkIsTheOldOneOrTheNewOne(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mark", "mark")
	for n := uint64(1); n <= 2; n++ {
		db := open(t, dir, sealedOptions())
		if err := db.WriteMark(mark(n)); err != nil {
			t.Fatal(err)
		}
		closeDB(t, db)
		before := readFile(t, path)
		db = open(t, dir, sealedOptions())
		if err := db.WriteMark(mark(n + 1)); err != nil {
			t.Fatal(err)
		}
		closeDB(t, db)
		after := readFile(t, path)

		at := int(n%2) * cache.MarkPage // the slot of the second write
		if bytes.Equal(before[at:][:cache.MarkSlotSize], after[at:][:cache.MarkSlotSize]) {
			t.Fatalf("mark %d was not written at %d", n+1, at)
		}
		for cut := range cache.MarkSlotSize + 1 {
			for _, tail := range []string{"old bytes", "zeros"} {
				torn := bytes.Clone(before)
				copy(torn[at:], after[at:][:cut])
				if tail == "zeros" {
					clear(torn[at+cut : at+cache.MarkPage])
				}
				writeFile(t, path, torn)
				db = open(t, dir, sealedOptions())
				m, state := db.ReadMark()
				whole := cut == cache.MarkSlotSize
				if state != cache.MarkValid || m != mark(n+1) && (whole || m != mark(n)) {
					t.Fatalf("mark %d torn at %d, then %s: %+v (%v)", n+1, cut, tail, m, state)
				}
				closeDB(t, db)
			}
		}
		writeFile(t, path, before)
	}
}

func TestAFailedMarkDoesNotCostTheDurableOne(t *testing.T) {
	var f faults
	dir := t.TempDir()
	o := f.options()
	db := open(t, dir, o)
	for n := uint64(1); n <= 2; n++ {
		if err := db.WriteMark(mark(n)); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "mark", "mark")
	durable := readFile(t, path)
	f.after[cache.OpMark] = errDisk // visible, perhaps not durable
	for n := uint64(3); n <= 6; n++ {
		if err := db.WriteMark(mark(n)); err == nil {
			t.Fatal("no error")
		}
		mustBeMark(t, db, mark(2), cache.MarkValid)
		now := readFile(t, path)
		if !bytes.Equal(now[:cache.MarkPage], durable[:cache.MarkPage]) && !bytes.Equal(now[cache.MarkPage:], durable[cache.MarkPage:]) {
			t.Fatal("both slots changed since the last durable mark")
		}
		if bytes.Equal(now, durable) {
			t.Fatal("the fault has no effect")
		}
	}
	if !bytes.Equal(durable[cache.MarkPage:], readFile(t, path)[cache.MarkPage:]) {
		t.Error("the slot of the last durable mark was written over")
	}
	f.heal()
	if err := db.WriteMark(mark(7)); err != nil {
		t.Fatal(err)
	}
	closeDB(t, db)
	db = open(t, dir, o)
	mustBeMark(t, db, mark(7), cache.MarkValid)
}

func TestAMarkThatIsNotThisStoresIsToldApart(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mark", "mark")
	db := open(t, dir, sealedOptions())
	for n := range uint64(4) {
		if err := db.WriteMark(mark(n)); err != nil {
			t.Fatal(err)
		}
	}
	closeDB(t, db)
	good := readFile(t, path)

	otherStore := func(o cache.Options) []byte {
		dir := t.TempDir()
		db := open(t, dir, o)
		for n := range uint64(4) {
			if err := db.WriteMark(mark(n)); err != nil {
				t.Fatal(err)
			}
		}
		closeDB(t, db)
		return readFile(t, filepath.Join(dir, "mark", "mark"))
	}
	flip := func(offsets ...int) []byte {
		b := bytes.Clone(good)
		for _, at := range offsets {
			b[at] ^= 4
		}
		return b
	}
	for name, c := range map[string]struct {
		file []byte
		want cache.MarkState
	}{
		"removed":                     {nil, cache.MarkMissing},
		"zeros":                       {make([]byte, len(good)), cache.MarkMissing},
		"another store's":             {otherStore(sealedOptions()), cache.MarkForeign},
		"another key's":               {otherStore(cache.Options{Key: key(9)}), cache.MarkForeign},
		"a plain store's":             {otherStore(cache.Options{Plain: true}), cache.MarkForeign},
		"both slots damaged":          {flip(20, cache.MarkPage+20), cache.MarkDamaged},
		"both magics damaged":         {flip(0, cache.MarkPage), cache.MarkDamaged},
		"one slot damaged":            {flip(20), cache.MarkValid},
		"cut to nothing":              {[]byte{}, cache.MarkDamaged},
		"cut in the first slot":       {good[:50], cache.MarkDamaged},
		"text":                        {[]byte("hello"), cache.MarkDamaged},
		"untouched":                   {good, cache.MarkValid},
		"longer than it should be":    {append(bytes.Clone(good), 1, 2, 3), cache.MarkValid},
		"first page of another store": {append(otherStore(sealedOptions())[:cache.MarkPage:cache.MarkPage], flip(cache.MarkPage)[cache.MarkPage:]...), cache.MarkForeign},
	} {
		t.Run(name, func(t *testing.T) {
			if c.file == nil {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			} else {
				writeFile(t, path, c.file)
			}
			db := open(t, dir, sealedOptions())
			m, state := db.ReadMark()
			if state != c.want || (state != cache.MarkValid) != (m == cache.Mark{}) {
				t.Errorf("mark %+v, %v, want %v", m, state, c.want)
			}
			if err := db.WriteMark(mark(99)); err != nil {
				t.Fatal(err)
			}
			closeDB(t, db)
			db = open(t, dir, sealedOptions())
			mustBeMark(t, db, mark(99), cache.MarkValid)
			closeDB(t, db)
		})
	}
}

// TestAnOlderDatabaseIsBehindItsMark is what the mark is for: cache.db comes back from a backup, the mark does not.
func TestAnOlderDatabaseIsBehindItsMark(t *testing.T) {
	dir, o := t.TempDir(), sealedOptions()
	o.MarkDir = t.TempDir()
	mint := func(n uint64) {
		db := open(t, dir, o)
		defer closeDB(t, db)
		if err := db.WriteMark(mark(n)); err != nil {
			t.Fatal(err)
		}
		put(t, db, heads, "n", string(rune('0'+n)))
	}
	mint(1)
	backup := readFile(t, dbFile(dir))
	mint(2)
	writeFile(t, dbFile(dir), backup)
	db := open(t, dir, o)
	mustBeMark(t, db, mark(2), cache.MarkValid)
	if got := get(t, db, heads, "n"); got != "1" {
		t.Errorf("n = %s", got)
	}
}
