package hq_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/sambang-id/sambang/server/internal/hq"
	"github.com/sambang-id/sambang/server/internal/hq/hqtest"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

func devices(t *testing.T, w *hqtest.World, r hq.Reader, region syncproto.Region, agency string) (out []string, all map[string]hq.Device) {
	t.Helper()
	found, err := w.HQ.Devices(t.Context(), r, region, agency)
	if err != nil {
		t.Fatal(err)
	}
	all = map[string]hq.Device{}
	for _, d := range found {
		out = append(out, d.ID)
		all[d.ID] = d
	}
	return out, all
}

func TestDevicesTellWhatIsNotHere(t *testing.T) {
	w := newWorld(t, nil)
	a, b := w.Device("a", "imigrasi", hqtest.Grant("35.24.14")), w.Device("b", "disnaker", hqtest.Grant("35.25"))
	a.Create(1, "site", "35.24.14", map[string]any{"name": "x"})
	a.MustSync()
	a.Create(2, "site", "35.24.14", map[string]any{"name": "y"})
	a.Create(3, "site", "35.24.14", map[string]any{"name": "z"})
	a.Damage = func(_ *wire.Open, batches []*wire.Batch) { batches[0].Items = batches[0].Items[1:] } // one is not sent
	a.MustSync()

	_, all := devices(t, w, hqtest.Reader(hqtest.Grant("35")), "", "")
	d := all["dev-a"]
	if d.Claimed != 9 || d.Held != 3 || d.Missing != 6 || d.Complete || d.LastSeen == "" || d.App != "hqtest/1" || d.OfficerName != "Officer a" {
		t.Errorf("device = %+v, want 9 claimed, 3 held, 6 missing or behind a gap", d)
	}
	if len(d.Replicas) != 1 || d.Replicas[0].Missing != 6 || d.Replicas[0].Broken {
		t.Errorf("replicas = %+v", d.Replicas)
	}
	if d := all["dev-b"]; d.LastSeen != "" || !d.Complete || d.Claimed != 0 {
		t.Errorf("a device that never called = %+v", d)
	}
	_ = b
}

func TestDevicesAreThoseOfTheReadersRegions(t *testing.T) {
	w := newWorld(t, nil)
	w.Device("a", "imigrasi", hqtest.Grant("35.24.14"))
	w.Device("b", "disnaker", hqtest.Grant("35.25"))
	w.Device("c", "imigrasi", hqtest.Grant("35"))
	for _, c := range []struct {
		mine   string
		region syncproto.Region
		agency string
		want   []string
	}{
		{"35", "", "", []string{"dev-a", "dev-b", "dev-c"}},
		{"35.24", "", "", []string{"dev-a", "dev-c"}},
		{"35.24.14", "", "", []string{"dev-a", "dev-c"}},
		{"36", "", "", nil},
		{"35", "35.25", "", []string{"dev-b", "dev-c"}},
		{"35", "", "imigrasi", []string{"dev-a", "dev-c"}},
	} {
		if got, _ := devices(t, w, hqtest.Reader(hqtest.Grant(c.mine)), c.region, c.agency); !slices.Equal(got, c.want) {
			t.Errorf("reader of %s asks for %q %q: %v, want %v", c.mine, c.region, c.agency, got, c.want)
		}
	}
	if _, err := w.HQ.Devices(t.Context(), hqtest.Reader(hqtest.Grant("35.24")), "35.25", ""); !errors.Is(err, syncproto.CodeForbidden) {
		t.Errorf("another region: %v, want forbidden", err)
	}
}
