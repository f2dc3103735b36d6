package sambang

import (
	"encoding/binary"

	"github.com/sambang-id/sambang/syncproto"
)

// history is a write that was overwritten before the server had acknowledged
// it. It goes into the server's journal, never into the merge.
type history struct {
	sent  bool // acknowledged in a request; waits for the receipt that holds it
	scope syncproto.Scope
	id    syncproto.RecordID
	path  string
	hlc   syncproto.HLC
	value syncproto.Value
}

func appendHistory(b []byte, h history) []byte {
	if h.sent {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	b = append(b, h.id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(h.hlc))
	b = appendText(b, string(h.scope))
	b = appendText(b, h.path)
	return appendText(b, h.value.JSON())
}

func parseHistory(b []byte) (history, error) {
	c := reader{b: b}
	h := history{sent: c.byte() == 1}
	copy(h.id[:], c.take(16))
	h.hlc = syncproto.HLC(c.uint64())
	h.scope = syncproto.Scope(c.text())
	h.path = c.text()
	text := c.text()
	if c.err != nil {
		return history{}, c.err
	}
	var err error
	h.value, err = syncproto.ParseValueString(text)
	return h, err
}
