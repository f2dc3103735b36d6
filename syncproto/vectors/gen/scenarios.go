package gen

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/vectors"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// scenarios return each branch of the story. All begin with firstPush.
func scenarios() []func(*world) {
	return []func(*world){
		idle, conflict, left, hidden, needFull, scopeDenied, poison, purged, chain, epoch, repair, unknown,
		refusedVersion, refusedReplica, refusedClaim,
	}
}

// shipyard is the record that most scenarios are about.
func shipyard() syncproto.RecordID { return recordID("shipyard inspection") }

func firstPush(w *world) {
	w.devices["A"].write(start, shipyard(),
		set(syncproto.PathKind, "inspection"), set(syncproto.PathScope, "35.24.14"),
		set("findings", "Satu WNA di bengkel las; paspor asli diperlihatkan."), set("outcome", "finding"))
	w.exchange("first-push", "A", "The first contact of a phone that has written one record offline. The epoch and the witness are empty; the server tells the "+
		"grants, gives a receipt for writes 1 to 4, and moves the cursor past the record, which need not come back.")
}

func firstPull(w *world) {
	firstPush(w)
	w.exchange("first-pull", "B", "The first contact of a phone that has written nothing: its claim is of 0 writes, with the start of the chain. It gets the record whole.")
}

func idle(w *world) {
	firstPush(w)
	w.exchange("idle", "A", "Nothing to send, nothing to get: the reply acknowledges and delivers nothing, so it has no witness and the server writes nothing.")
}

// reconnect is a day in the field: both have edited.
func reconnect(w *world) {
	firstPull(w)
	w.devices["B"].write(w.now+1000, shipyard(), set("outcome", "no_finding"))
	w.exchange("edit", "B", "One field of a record that the server has: the delta names that path alone, and its base covers the others. A server that had seen less would ask for the full state.")
	a := w.devices["A"]
	a.write(w.now+2000, shipyard(), set("findings", "Satu WNA di bengkel las."))
	a.write(w.now+3000, shipyard(), set("findings", "Satu WNA di bengkel las; paspor asli dicocokkan."))
	a.write(w.now+4000, recordID("villa inspection"), set(syncproto.PathKind, "inspection"), set(syncproto.PathScope, "35.24.14"),
		set("site", map[string]any{"name": "Vila Rekaan", "lat": -6.87905, "lon": 112.4131}))
	w.exchange("reconnect", "A", "Up: an edit, a new record, and in the history write 5, which write 6 replaced before the server saw it; so the chain has no gap and the "+
		"receipt covers all writes. Down, in the same reply: what B wrote meanwhile, as a delta over what was sent.")
}

func conflict(w *world) {
	reconnect(w)
	w.devices["B"].write(w.now+1000, shipyard(), set("findings", "Dua WNA di bengkel las."))
	w.exchange("conflict", "B", "B edits a field that A has edited too; neither knew. The push is applied and both values stand: the reply brings A's value. B's own "+
		"sibling comes without its value, because B has it.")
	w.devices["A"].write(w.now+2000, shipyard(), syncproto.Write{Path: syncproto.PathDel, Value: syncproto.Deletion{
		Deleted: true, Seen: w.devices["A"].records[shipyard()].Context(),
	}.Value()})
	w.exchange("delete-against-edit", "A", "A deletes the record without knowing B's edit. The tombstone says what A had seen, so B's edit is recognised as one that A did not "+
		"know: it survives, and the deletion is shown as a conflict.")
	a := w.devices["A"]
	a.write(w.now+2000, shipyard(), syncproto.Write{Path: syncproto.PathDel, Value: syncproto.Deletion{Seen: a.records[shipyard()].Context()}.Value()},
		set("findings", "Dua WNA di bengkel las; satu paspor dicocokkan."))
	w.exchange("resolve", "A", "A person decides: the record is kept, and one text replaces both values, because the writer had seen both.")
}

func left(w *world) {
	reconnect(w)
	villa := recordID("villa inspection")
	w.exchange("pull", "B", "B catches up before it writes.")
	w.devices["B"].write(w.now+1000, villa, set(syncproto.PathScope, "35.24.15"))
	w.exchange("move", "B", "B moves the record to the neighbouring district. It is sent by its confirmed home, the old one; there a marker takes its place. B may see both.")
	w.devices["A"].write(w.now+2000, villa, set("outcome", "finding"))
	w.exchange("left-marker", "A", "A has edited the record meanwhile, and may not see the other district. The edit is accepted, because A could have seen the record where it "+
		"was; the outcome says that it is hidden now, and the server's context, which covers what was sent: A evicts its copy. The marker says the same.")
	w.devices["A"].refetch = append(w.devices["A"].refetch, villa, recordID("never seen"))
	w.exchange("verdict", "A", "A asks for records by id: one that it may not see, one that nobody knows. The answers are verdicts; a copy is evicted only if its context is covered.")
}

func hidden(w *world) {
	firstPush(w)
	w.devices["B"].write(w.now+1000, recordID("restricted"), set(syncproto.PathKind, "inspection"), set(syncproto.PathOf, shipyard().String()),
		set(syncproto.PathScope, "35.24.14/T"), set("narrative", "Hanya untuk petugas yang bertugas."))
	w.exchange("write-only", "B", "Fields of a stricter class are a record of their own. B may write in the region, but not read class T: applied, receipted, hidden. B evicts it.")
}

func needFull(w *world) {
	firstPush(w)
	a := w.devices["A"]
	x := recordID("hotel inspection")
	a.write(w.now+1000, x, set(syncproto.PathKind, "inspection"), set(syncproto.PathScope, "35.24.14"))
	a.acked[x] = a.records[x].Context() // wrong: the server has never seen it
	a.write(w.now+2000, x, set("outcome", "finding"))
	w.exchange("need-full", "A", "The delta leaves out what the server has never seen: nothing is applied, and the receipt vouches for no more writes than before.")
	w.exchange("need-full-again", "A", "So the device sends the full state, and all is well.")
}

func scopeDenied(w *world) {
	firstPush(w)
	w.devices["A"].write(w.now+1000, recordID("other district"), set(syncproto.PathKind, "inspection"), set(syncproto.PathScope, "35.24.20"), set("outcome", "finding"))
	w.devices["A"].write(w.now+2000, recordID("villa inspection"), set(syncproto.PathKind, "inspection"), set(syncproto.PathScope, "35.24.14"))
	w.exchange("quarantine", "A", "The first item is for a district that was never granted: received, not applied, kept with its bytes for headquarters. Its writes are held all "+
		"the same, so the receipt covers write 9, of the second item, too.")
}

func poison(w *world) {
	firstPush(w)
	for i, name := range []string{"one", "two", "three"} {
		w.devices["A"].write(w.now+int64(i)*1000, recordID(name), set(syncproto.PathKind, "inspection"), set(syncproto.PathScope, "35.24.14"), set("people_present", i+1))
	}
	w.exchange("poison", "A", "A phone with a mistake in it writes 2.0 for 2. Only that item is refused; the other two are applied. (The chain is over the bytes that were sent.)",
		func(open *wire.Open, batches []*wire.Batch) {
			d := batches[0].GetItems()[1].GetDelta()
			d.Values = strings.Replace(d.Values, "\n2", "\n2.0", 1)
			rechain(open, batches, syncproto.ChainStart(syncproto.ReplicaID(open.Claims[0].Replica)))
		})
}

// rechain claims the head of a chain over what the batches hold.
func rechain(open *wire.Open, batches []*wire.Batch, head syncproto.Digest) {
	if c := open.Claims[0]; c.ConfirmedN > 0 {
		head = syncproto.Digest(c.ConfirmedHead)
	}
	var steps []wire.Step
	for _, b := range batches {
		dec, err := wire.NewDecoder(b.GetTables())
		check(err)
		for _, item := range b.GetItems() {
			steps = append(steps, dec.Steps(item.GetDelta())...)
		}
	}
	slices.SortFunc(steps, func(a, b wire.Step) int { return int(a.Dot.N) - int(b.Dot.N) })
	for _, s := range steps {
		head = syncproto.Chain(head, s.Digest)
	}
	open.Claims[0].Head = head[:]
}

func purged(w *world) {
	firstPush(w)
	w.action(vectors.Action{Name: "purge", Says: "Headquarters erases the record for ever.", Do: "purge", Record: shipyard().String(), Reason: "retensi"})
	w.devices["A"].write(w.now+1000, shipyard(), set("outcome", "no_finding"))
	w.exchange("purged", "A", "Nothing revives what was purged. The content is refused, the write stays a link of the chain, and the device evicts its copy, whatever its "+
		"context. The feed brings what is left of the record, whole, so that a device without a copy can take it in.")
}

func chain(w *world) {
	firstPush(w)
	a := w.devices["A"]
	w.exchange("chain-challenge", "A", "The phone was restored from a backup: it claims fewer writes than the server confirmed. Nothing is applied. The device looks whether its own "+
		"log has the head that the server shows; it has not, so it takes a new replica id and writes its unconfirmed writes again under it.",
		func(open *wire.Open, _ []*wire.Batch) {
			start := syncproto.ChainStart(a.minter.Replica())
			c := open.Claims[0]
			c.N, c.Head, c.ConfirmedN, c.ConfirmedHead = 0, start[:], 0, start[:]
		})
}

func epoch(w *world) {
	firstPush(w)
	w.action(vectors.Action{Name: "restored", Says: "The operator restores the server from a backup and begins a new epoch.", Do: "epoch"})
	w.devices["A"].write(w.now+1000, shipyard(), set("outcome", "no_finding"))
	w.exchange("epoch-change", "A", "The device names an epoch that is over: nothing is applied. It adopts the new one, forgets cursors and acknowledgements, and sends again "+
		"all that it holds, other people's records too.")
}

func repair(w *world) {
	firstPush(w)
	a := w.devices["A"]
	// Wrong: evicted, made again, and written without the own-high guard.
	fresh := syncproto.NewRecord(shipyard())
	a.records[shipyard()] = fresh
	a.acked[shipyard()] = syncproto.VV{}
	a.write(w.now+1000, shipyard(), set(syncproto.PathKind, "inspection"), set(syncproto.PathScope, "35.24.14"), set("narrative", "Ditulis pada salinan kosong."))
	w.exchange("tripwire", "A", "A device with a mistake in it writes on a copy that lacks its own earlier writes. No honest history explains the two states: nothing is applied.")
	w.exchange("absorb", "A", "Sent again with the repair flag: each value that the server does not show is put beside what it does, under a dot of the server, and nothing is removed. The device takes the server's state in place of its own.")
}

func unknown(w *world) {
	firstPush(w)
	w.devices["A"].write(w.now+1000, shipyard(), set("outcome", "no_finding"))
	w.exchange("unknown-fields", "A", "From a later version: a sibling says more than this version knows, and so do the messages around it. What belongs to the sibling is kept with "+
		"it and sent on. The JSON form can't show it.",
		func(open *wire.Open, batches []*wire.Batch) {
			later := protowire.AppendTag(nil, 1000, protowire.BytesType)
			later = protowire.AppendString(later, "later")
			x := &wire.Extra{Signature: named(64, "signature of a later version")}
			x.ProtoReflect().SetUnknown(later)
			batches[0].GetItems()[0].GetDelta().Extra = []*wire.Extra{x}
			batches[0].GetItems()[0].ProtoReflect().SetUnknown(later)
			open.ProtoReflect().SetUnknown(later)
		})
}

func refusedVersion(w *world) {
	w.exchange("unsupported-version", "A", "A request of version 2.", func(open *wire.Open, _ []*wire.Batch) { open.Version = 2 })
}

func refusedReplica(w *world) {
	w.exchange("replica-not-yours", "A", "The replica is not made from the device's key and the nonce.", func(open *wire.Open, _ []*wire.Batch) { open.Claims[0].Replica++ })
}

func refusedClaim(w *world) {
	w.exchange("claim-invalid", "A", "The signature is over other claims.", func(open *wire.Open, _ []*wire.Batch) {
		w.devices["A"].sign(open)
		open.Claims[0].N = 7
	})
}
