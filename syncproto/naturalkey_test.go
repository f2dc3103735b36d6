package syncproto_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/syncproto"
)

func regionKey(t *testing.T, region syncproto.Region) syncproto.RegionKey {
	t.Helper()
	k, err := syncproto.DeriveRegionKey([]byte("0123456789abcdef0123456789abcdef"), region)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestRegionKeysDeriveDownwards(t *testing.T) {
	const district = syncproto.Region("35.24.14")
	want := regionKey(t, district)
	for _, from := range []syncproto.Region{"35", "35.24", "35.24.14"} {
		got, err := syncproto.ChildKey(regionKey(t, from), from, district)
		if err != nil || got != want {
			t.Errorf("the key of %s from that of %s differs: %v", district, from, err)
		}
	}
	seen := map[syncproto.RegionKey]syncproto.Region{}
	for _, r := range []syncproto.Region{"35", "35.24", "35.25", "35.24.14", "35.24.15", "35.24.14.2011", "36"} {
		k := regionKey(t, r)
		if other, twice := seen[k]; twice {
			t.Errorf("%s and %s have the same key", r, other)
		}
		seen[k] = r
	}
	for _, to := range []syncproto.Region{"35", "35.25.14", "35.241"} {
		if _, err := syncproto.ChildKey(regionKey(t, "35.24"), "35.24", to); err == nil {
			t.Errorf("a key of %s from that of 35.24", to)
		}
	}
	if _, err := syncproto.ChildKey(want, "35.24.14", "35.24"); !errors.Is(err, syncproto.CodeScopeDenied) {
		t.Errorf("upwards: %v", err)
	}
	if _, err := syncproto.DeriveRegionKey([]byte("short"), "35"); err == nil {
		t.Error("a short project key is accepted")
	}
	if s := fmt.Sprintf("%v %+v %#v %s", want, want, want, want); strings.ReplaceAll(s, "region key", "") != "   " {
		t.Errorf("a key prints as %q", s)
	}
}

// The vector holds the derivation still: other ids would split every natural
// record in two.
func TestNaturalKeysAreStable(t *testing.T) {
	k := regionKey(t, "35.24.14")
	id := syncproto.NaturalID(k, "foreigner", syncproto.PassportKey("CHN", "ZX0104778"))
	if got, want := id.String(), "fa1ed0ca-512c-8914-800f-57b0d07e67fd"; got != want {
		t.Errorf("natural id %s, want %s", got, want)
	}
	if got, want := syncproto.ItemKey(id, syncproto.PassportKey("CHN", "ZX0104778")), "dbdeefa072f7ba31"; got != want {
		t.Errorf("item key %s, want %s", got, want)
	}
	if id[6]>>4 != 8 || id[8]>>6 != 2 {
		t.Errorf("%s is not a UUIDv8", id)
	}
	for name, other := range map[string]syncproto.RecordID{
		"another district": syncproto.NaturalID(regionKey(t, "35.24.15"), "foreigner", syncproto.PassportKey("CHN", "ZX0104778")),
		"another kind":     syncproto.NaturalID(k, "document", syncproto.PassportKey("CHN", "ZX0104778")),
		"other parts":      syncproto.NaturalID(k, "foreigner", "CHN", "ZX0104778"),
	} {
		if other == id {
			t.Errorf("%s has the same id", name)
		}
	}
	if syncproto.NaturalID(k, "x", "ab", "c") == syncproto.NaturalID(k, "x", "a", "bc") {
		t.Error("parts run together")
	}
}

func TestPassportKeysAreAsInTheMRZ(t *testing.T) {
	for _, c := range []struct{ country, number, want string }{
		{"CHN", "ZX0104778", "CHN|ZX0104778"},
		{"chn", " zx 010-4778 ", "CHN|ZX0104778"},
		{"D<<", "ZC01X00T4", "D|ZC01X00T4"},
		{"D", "ZC01X00T4<", "D|ZC01X00T4"},
		{"DEU", "zc01x00t4", "D|ZC01X00T4"},
		{"ＣＨＮ", "ＺＸ０１０４７７８", "CHN|ZX0104778"},
		{"CHN", "ZX–0104\u200b778", "CHN|ZX0104778"},
		{"CHN", "ZX01O4778", "CHN|ZX01O4778"}, // O for 0 is a person's decision
	} {
		if got := syncproto.PassportKey(c.country, c.number); got != c.want {
			t.Errorf("PassportKey(%q, %q) = %q, want %q", c.country, c.number, got, c.want)
		}
	}
}

func TestACompanionsIDShowsItsClass(t *testing.T) {
	id := syncproto.RecordID{7}
	for _, class := range []syncproto.Class{syncproto.ClassDevice, syncproto.ClassTask, syncproto.ClassHQ} {
		if got, ok := syncproto.CompanionID(id, class).CompanionClass(); !ok || got != class {
			t.Errorf("companion of class %s shows %q, %t", class, got, ok)
		}
	}
	if class, ok := syncproto.NaturalID(syncproto.RegionKey{}, "document", "x").CompanionClass(); ok {
		t.Errorf("a natural key's id shows class %s", class)
	}
}
