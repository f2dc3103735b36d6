package wire_test

import (
	"errors"
	"testing"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// TestARecordThatMergingMadeTooLargeIsToldBeforeItIsStored: each of two
// states is within the limits, their join is not.
func TestARecordThatMergingMadeTooLargeIsToldBeforeItIsStored(t *testing.T) {
	id := syncproto.RecordID{15: 1}
	write := func(r syncproto.ReplicaID, n int) syncproto.Record {
		var writes []syncproto.Write
		for i := range n {
			writes = append(writes, syncproto.Write{Path: "f" + string(rune('a'+i)), Value: syncproto.MustValue(string(make60k(byte('a' + r))))})
		}
		rec, _, _, _, err := syncproto.NewMinter(r, 0).Write(syncproto.NewRecord(id), 0, now, writes...)
		if err != nil {
			t.Fatal(err)
		}
		return rec
	}
	a, b := write(1, 6), write(2, 6)
	for _, r := range []syncproto.Record{a, b} {
		if err := wire.CheckRecord(r); err != nil {
			t.Fatalf("within the limits: %v", err)
		}
	}
	c, err := syncproto.Apply(a, b.Full())
	if err != nil {
		t.Fatal(err)
	}
	if err := wire.CheckRecord(c.Record); !errors.Is(err, syncproto.CodeTooLarge) {
		t.Errorf("twelve values of 60 KB: %v", err)
	}
	// What is stored all the same can be read again.
	state, err := wire.EncodeState(c.Record, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	if back, _, _, err := wire.DecodeState(state); err != nil || !back.Equal(c.Record) {
		t.Errorf("stored state: %v", err)
	}
	// Repair puts values beside each other without counting them.
	many := syncproto.NewRecord(id)
	m := syncproto.NewMinter(9, 0)
	for i := range syncproto.MaxSiblings + 1 {
		one, _, _, _, err := syncproto.NewMinter(syncproto.ReplicaID(100+i), 0).Write(syncproto.NewRecord(id), 0, now, syncproto.Write{Path: "a", Value: syncproto.MustValue(i)})
		if err != nil {
			t.Fatal(err)
		}
		many, m, _ = syncproto.Absorb(many, one.Full(), m, now, func(string, syncproto.Sibling) bool { return false })
		if err := wire.CheckRecord(many); (err != nil) != (i == syncproto.MaxSiblings) {
			t.Fatalf("%d siblings: %v", i+1, err)
		}
	}
}

func make60k(c byte) []byte {
	b := make([]byte, 60_000)
	for i := range b {
		b[i] = c
	}
	return b
}
