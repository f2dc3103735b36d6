package sambang_test

import (
	"errors"
	"slices"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/syncproto"
)

func waitsForServer(p *phone) {
	p.create(shipyard, start, "35.24.14", sambang.Fields{"findings": paper})
}

func stillWaits(p *phone, q *sent) {
	items := p.items(q)
	if len(items) != 1 || items[0].Delta.ID != shipyard || q.open.GetClaims()[0].GetConfirmedN() != 0 {
		p.t.Errorf("after a refusal the phone sends %s", asJSON(p, items))
	}
	if c, err := p.Custody(p.id(shipyard)); err != nil || c != sambang.CustodyOnPhone {
		p.t.Errorf("custody %s, %v", c, err)
	}
}

// forked looks at a phone whose replica id was proven to be another's too:
// what it wrote since goes out under a new id, and the old one is not claimed.
func (p *phone) forked(q *sent) {
	p.t.Helper()
	fresh := p.Status().Replica
	claims := q.open.GetClaims()
	if fresh.String() == p.device.Replica || len(claims) != 1 || claims[0].GetReplica() != uint64(fresh) || claims[0].GetN() != 3 {
		p.t.Errorf("replica %s claims %v", fresh, claims)
	}
	items := p.items(q)
	if len(items) != 1 || items[0].Delta.ID != villa || len(items[0].Delta.Ctx) != 1 || items[0].Delta.Ctx["server"] != 3 { // a replica without a name
		p.t.Errorf("sends %s", asJSON(p, items))
	}
	if rec := p.get(villa); rec.Fields["outcome"] != "finding" || rec.Custody != sambang.CustodyOnPhone {
		p.t.Errorf("shows %v, %s", rec.Fields, rec.Custody)
	}
}

// begunAnew looks at a phone whose server has begun a new epoch: it knows
// nothing of the server, and sends all that it holds, whole.
func (p *phone) begunAnew(q *sent) {
	p.t.Helper()
	o := q.open
	if len(o.GetEpoch()) != 16 || string(o.GetEpoch()) == string(p.bytes(p.world.Server.Epoch)) {
		p.t.Errorf("the epoch is %x", o.GetEpoch())
	}
	if o.GetWitness() != nil || o.GetGrantsVersion() != 0 || len(o.GetCursors()) > 0 || o.GetClaims()[0].GetConfirmedN() != 0 || o.GetClaims()[0].GetN() != 5 {
		p.t.Errorf("not all is forgotten: %v", o)
	}
	items := p.items(q)
	if len(items) != 1 || len(items[0].Delta.Base) > 0 || len(items[0].Delta.Fields) != 4 {
		p.t.Errorf("sends %s", asJSON(p, items))
	}
	if rec := p.get(shipyard); rec.Fields["outcome"] != "no_finding" || rec.Custody != sambang.CustodyOnPhone {
		p.t.Errorf("shows %v, %s", rec.Fields, rec.Custody)
	}
}

// restore turns the phone into one restored from a backup that was made when it
// was enrolled: the same replica id, and nothing written.
func (p *phone) restore() {
	p.t.Helper()
	p.must(p.Close())
	p.dir = p.t.TempDir()
	p.open()
	p.must(p.Enrol(p.t.Context(), testCode, "phone "+p.device.Name))
}

func raw(path string, value any) syncproto.Write {
	return syncproto.Write{Path: path, Value: syncproto.MustValue(value)}
}

func (p *phone) id(s string) sambang.ID {
	p.t.Helper()
	id, err := syncproto.ParseRecordID(s)
	p.must(err)
	return id
}

func (p *phone) create(id string, at int64, region string, fields sambang.Fields) {
	p.t.Helper()
	p.now = at
	p.must(p.CreateWith(p.id(id), "inspection", region, fields))
}

func (p *phone) edit(id string, at int64, name string, value any) {
	p.t.Helper()
	p.now = at
	p.must(p.Edit(p.id(id), func(d *sambang.Draft) error { d.Set(name, value); return nil }))
}

func (p *phone) get(id string) *sambang.Record {
	p.t.Helper()
	rec, err := p.Get(p.id(id))
	p.must(err)
	return rec
}

// shows looks at a record without conflicts that the server holds.
func (p *phone) shows(id string, want sambang.Fields) {
	p.t.Helper()
	rec := p.get(id)
	if a, b := asJSON(p, want), asJSON(p, rec.Fields); a != b {
		p.t.Errorf("%s shows %s, want %s", id, b, a)
	}
	if rec.Kind != "inspection" || rec.Region != "35.24.14" || rec.Deleted || len(rec.Conflicts) > 0 {
		p.t.Errorf("%s is %+v", id, rec)
	}
	p.held(id)
}

func (p *phone) held(id string) {
	p.t.Helper()
	if c, err := p.Custody(p.id(id)); err != nil || c != sambang.CustodyHeld {
		p.t.Errorf("%s: custody %s, %v", id, c, err)
	}
}

func (p *phone) gone(id string) {
	p.t.Helper()
	if rec, err := p.Get(p.id(id)); !errors.Is(err, syncproto.CodeNotFound) {
		p.t.Errorf("%s is still here: %+v, %v", id, rec, err)
	}
}

// byA looks at a record of which device A wrote the latest value.
func (p *phone) byA(id string) {
	p.t.Helper()
	if by := p.get(id).UpdatedBy; by.Officer != "ptg-imi-07" || by.Agency != "imigrasi" || by.Mine {
		p.t.Errorf("%s is by %+v", id, by)
	}
}

// aside looks at a record that the server has received and not applied.
func (p *phone) aside(id string, code syncproto.Code) {
	p.t.Helper()
	if c, err := p.Custody(p.id(id)); err != nil || c != sambang.CustodyReceived {
		p.t.Errorf("%s: custody %s, %v", id, c, err)
	}
	found := false
	for w, err := range p.Outbox() {
		p.must(err)
		found = found || w.ID == p.id(id) && w.Code == code
	}
	if c := p.Counts(); !found || c.Quarantined != 1 {
		p.t.Errorf("%s is not in the outbox with %s: %+v", id, code, c)
	}
}

// conflict looks at a field with two values.
func (p *phone) conflict(id, path, base string, values ...string) {
	p.t.Helper()
	all, err := p.Conflicts(p.id(id))
	p.must(err)
	if len(all) != 1 || all[0].Path != path || all[0].Base != base {
		p.t.Fatalf("conflicts %+v", all)
	}
	var got []string
	for _, v := range all[0].Values {
		text, _ := v.Value.(string)
		got = append(got, text)
		if mine := text == values[len(values)-1]; v.By.Mine != mine || v.By.Officer == "" {
			p.t.Errorf("%q is by %+v", text, v.By)
		}
	}
	if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(values))) {
		p.t.Errorf("values %q, want %q", got, values)
	}
	if c := p.Counts(); c.Conflicts != 1 {
		p.t.Errorf("counts %+v", c)
	}
}
