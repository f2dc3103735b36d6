package httpapi_test

import (
	"net/http"
	"time"

	"github.com/sambang-id/sambang/server/internal/auth"
	"github.com/sambang-id/sambang/server/internal/auth/authtest"
	"github.com/sambang-id/sambang/server/internal/hq"
	"github.com/sambang-id/sambang/server/internal/hq/hqtest"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// askRare makes and reads what is seldom there: survivors of a deletion, flags,
// computed conflicts, clocks that are ahead, past writes without their record,
// grants that end, and a device that is revoked.
func (d *desk) askRare(device *authtest.Device) {
	d.t.Helper()
	admin := d.person(auth.Admin, in("35"))
	ending := hqtest.Grant("35")
	ending.Until = d.Now().Add(time.Hour).UnixMilli()
	a, b := d.Device("rare-a", "imigrasi", ending), d.Device("rare-b", "disnaker", hqtest.Grant("35"))
	id := a.Create(11, "sponsor", "35.24.14", map[string]any{"name": "PT Rekaan", "verification": []any{
		map[string]any{"status": "found_active", "at": "2026-02-01T08:00:00+07:00", "agency": "imigrasi"},
		map[string]any{"status": "moved", "at": "2026-02-02T08:00:00+07:00", "agency": "disnaker"},
	}})
	a.Set(id, "shoe_size", 43) // no field of the pack
	a.MustSync()
	b.Take(a, id)
	b.Delete(id)
	b.MustSync()
	a.Set(id, "name", "PT Rekaan Jaya")
	d.Tick(365 * 24 * time.Hour)
	a.Set(id, "phone", "+62811000000")
	d.Tick(-365 * 24 * time.Hour)
	a.MustSync()
	d.ask(admin, "GET", "/v1/records/"+id.String(), nil)

	outside := d.Device("rare-c", "imigrasi", hqtest.Grant("35.25"))
	lost := outside.Create(12, "meeting", "35.24.14", map[string]any{"place": "aula"})
	outside.Set(lost, "place", "balai")
	outside.Create(13, "meeting", "35.24.14", map[string]any{"place": "kantor"})
	outside.Damage = func(_ *wire.Open, batches []*wire.Batch) { batches[0].Items[1].Delta.Path = []uint32{99} }
	outside.MustSync()
	page := decode[hq.InboxPage](d.t, d.ask(admin, "GET", "/v1/inbox?state=all&limit=1", nil))
	d.ask(admin, "GET", "/v1/inbox?state=all&cursor="+page.Cursor, nil)
	for _, m := range decode[hq.InboxPage](d.t, d.ask(admin, "GET", "/v1/inbox?state=all", nil)).Messages {
		d.ask(admin, "GET", "/v1/inbox/"+m.Key, nil)
	}
	d.revoke(device)
	d.ask(admin, "GET", "/v1/devices", nil)
}

// revoke revokes a device, which then calls and is told to destroy its key.
func (d *desk) revoke(device *authtest.Device) {
	d.t.Helper()
	err := d.Store.Update(d.t.Context(), store.Step{Scopes: []string{store.RegistryScope}, Do: func(tx store.Tx) ([]store.Step, error) {
		row, err := tx.Device(device.ID)
		row.RevokedAt, row.Wipe = d.Now().UnixMilli(), true
		if err == nil {
			err = tx.PutDevice(row)
		}
		return nil, err
	}})
	if err != nil {
		d.t.Fatal(err)
	}
	a := d.ask(device.Token(d.Now()), http.MethodPost, "/v1/sync", []byte("{}\n"), "Content-Type", wire.ContentTypeJSON)
	if a.code != syncproto.CodeDeviceRevoked {
		d.t.Errorf("a revoked device is answered with %d %s", a.status, a.code)
	}
}
