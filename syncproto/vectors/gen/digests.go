package gen

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/vectors"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// digests are the computations that a client must get right to the byte.
func digests() []vectors.Digest {
	var out []vectors.Digest
	add := func(name, says string, result []byte, in map[string]string) {
		out = append(out, vectors.Digest{Name: name, Says: says, In: in, Out: hex.EncodeToString(result)})
	}
	w := newWorld()
	a := w.devices["A"]
	replica := a.minter.Replica()
	nonce := hex.EncodeToString(a.keyNonce[:])
	id8, _ := hex.DecodeString(replica.String())
	add("replica", "The first 8 bytes of SHA-256(\"sambang-rep\" | public key | nonce).", id8,
		map[string]string{"public_key": hex.EncodeToString(public(a.key)), "nonce": nonce})
	start := syncproto.ChainStart(replica)
	add("chain-start", "SHA-256(\"sambang-chain\" | replica).", start[:], map[string]string{"replica": replica.String()})
	dot := syncproto.Dot{Replica: replica, N: 1}
	value := syncproto.MustValue("Satu WNA di bengkel las; paspor asli diperlihatkan.")
	hlc := syncproto.HLCFromMillis(1_773_110_530_000) + 2
	step := syncproto.Step(shipyard(), "findings", dot, hlc, value)
	add("step", "SHA-256(\"sambang-mint\" | record id | length of the path as uint16 | path | replica | n | hlc | SHA-256(value)), integers big endian.", step[:],
		map[string]string{"record": shipyard().String(), "path": "findings", "replica": replica.String(), "n": "1", "hlc": fmt.Sprint(uint64(hlc)), "value": value.JSON()})
	head := syncproto.Chain(start, step)
	add("chain", "SHA-256(head before | step).", head[:], map[string]string{"head": hex.EncodeToString(start[:]), "step": hex.EncodeToString(step[:])})
	vv, err := syncproto.NewVV(syncproto.Dot{Replica: 0x0102030405060708, N: 300}, syncproto.Dot{Replica: 2, N: 1})
	check(err)
	add("vector", "A version vector in canonical form: the number of entries as a varint, then each in order of replica: 8 bytes of replica, n as a varint.", wire.AppendVV(nil, vv),
		map[string]string{"0000000000000002": "1", "0102030405060708": "300"})
	items := wire.NewItemsDigest()
	items.Add(shipyard(), vv)
	items.Add(recordID("villa inspection"), syncproto.VV{})
	add("items", "SHA-256 over each item's record id and context in canonical form, in order. Here two items, the second with an empty context.", items.Sum(),
		map[string]string{"record_1": shipyard().String(), "ctx_1": hex.EncodeToString(wire.AppendVV(nil, vv)), "record_2": recordID("villa inspection").String(), "ctx_2": "00"})
	task, hq := syncproto.CompanionID(shipyard(), syncproto.ClassTask), syncproto.CompanionID(shipyard(), syncproto.ClassHQ)
	add("companion-task", "The id of the companion record of class T: SHA-256(\"sambang-companion\" | record id | \"T\") as a UUIDv8 with mark 2 (SPEC 1).", task[:], map[string]string{"record": shipyard().String(), "class": "T"})
	add("companion-hq", "The same for class H, mark 3.", hq[:], map[string]string{"record": shipyard().String(), "class": "H"})
	project := w.server.projectKey
	var regency syncproto.RegionKey
	for _, r := range []syncproto.Region{"35", "35.24", "35.24.14"} {
		key, err := syncproto.DeriveRegionKey(project, r)
		check(err)
		if r == "35.24" {
			regency = key
		}
		add("region-key-"+string(r), "One HKDF-SHA256 step a level, without salt, info \"sambang-region|\" and the code of the level.", key[:], map[string]string{"project_key": hex.EncodeToString(project), "region": string(r)})
	}
	district, err := syncproto.ChildKey(regency, "35.24", "35.24.14")
	check(err)
	passport := syncproto.PassportKey("CHN", " zx-0104778 ")
	out = append(out, vectors.Digest{Name: "passport", Says: "Country and number as the MRZ has them; out is text.", In: map[string]string{"country": "CHN", "number": " zx-0104778 "}, Out: passport})
	natural := syncproto.NaturalID(district, "foreigner", passport)
	add("natural-id", "HMAC-SHA256 under the district's key over \"sambang-natural\", the kind and the parts, each with its length as uint32 before it, as a UUIDv8 with mark 0.", natural[:],
		map[string]string{"district_key": hex.EncodeToString(district[:]), "kind": "foreigner", "part": passport})
	item := syncproto.ItemKey(shipyard(), passport)
	out = append(out, vectors.Digest{Name: "item-key", Says: "HMAC-SHA256 under the record's id over \"sambang-item\", \"\" and the parts, likewise: 16 digits, as text.", In: map[string]string{"record": shipyard().String(), "part": passport}, Out: item})
	claim := &wire.Claim{Replica: uint64(replica), KeyNonce: a.keyNonce[:], N: 1, Head: head[:], ConfirmedHead: start[:]}
	requestNonce, epoch := named(16, "a request"), w.server.epoch
	signed := wire.ClaimBytes(a.id, requestNonce, epoch, []*wire.Claim{claim})
	add("claim-bytes", "What the device signs: \"sambang-claim\" | ClaimBody. Confirmed are no writes yet, so confirmed_n is left out.", signed, map[string]string{
		"device": a.id, "nonce": hex.EncodeToString(requestNonce), "epoch": hex.EncodeToString(epoch),
		"replica": replica.String(), "key_nonce": nonce, "n": "1", "head": hex.EncodeToString(head[:]), "confirmed_head": hex.EncodeToString(start[:]),
	})
	add("claim-signature", "Ed25519 over those bytes, by device A.", ed25519.Sign(a.key, signed), map[string]string{"seed": hex.EncodeToString(a.key.Seed()), "bytes": hex.EncodeToString(signed)})
	return out
}

// states are records in their stored and exported form.
func states() []vectors.State {
	w := newWorld()
	conflict(w)
	var out []vectors.State
	add := func(name, says string, rec syncproto.Record, stamps []uint64, entered uint64) {
		b, err := wire.EncodeState(rec, stamps, entered)
		check(err)
		out = append(out, vectors.State{Name: name, Says: says, Record: *w.names.Delta(rec.Full()), Stamps: stamps, Entered: entered, Protobuf: hex.EncodeToString(b)})
	}
	r := w.server.rows[shipyard()]
	var stamps []uint64
	for f := range r.record.Fields() {
		stamps = append(stamps, r.stamps[f.Path])
	}
	add("on-the-server", "The record of the conflict, after it was resolved, with the sequence of each field's last change.", r.record, stamps, r.entered)
	add("on-a-phone", "B's copy of it, which still has both values.", w.devices["B"].records[shipyard()], nil, 0)
	w.server.purge(shipyard(), "retensi", w.now)
	add("purged", "What is left of it after a purge: the floor, and the record's own fields.", r.record, nil, 0)
	return out
}
