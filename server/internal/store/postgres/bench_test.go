package postgres_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// batchRows is the push of one batch.
const batchRows = 500

func newRand() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// rowsOf makes n new records after a head: 3 KB of state and document and 304
// bytes of journal each, as in the measurements of STORAGE 6.
func rowsOf(rng *rand.Rand, n int, scope syncproto.Scope, head uint64) ([]store.Row, []store.Change) {
	rows, changes := make([]store.Row, n), make([]store.Change, n)
	for i := range rows {
		id := syncproto.RecordID{0, 1, 2}
		binary.BigEndian.PutUint64(id[3:], head+uint64(i)) // UUIDv7: in order of time
		binary.BigEndian.PutUint32(id[12:], rng.Uint32())
		state, ops := make([]byte, 1536), make([]byte, 304)
		for _, b := range [][]byte{state, ops} {
			for j := range b {
				b[j] = byte(rng.Uint32())
			}
		}
		seq := head + 1 + uint64(i)
		rows[i] = store.Row{
			Scope: scope, ID: id, Kind: "inspection", Seq: seq, Entered: seq, State: state, Agency: "imigrasi", Officer: "officer-17",
			Doc: fmt.Appendf(nil, `{"text":"%x"}`, state[:750]), CreatedAt: int64(seq), UpdatedAt: int64(seq),
		}
		changes[i] = store.Change{Scope: scope, Seq: seq, ID: id, Device: "device-0123456789", Officer: "officer-17", Agency: "imigrasi", Ops: ops, Digest: sha256.Sum256(ops), At: int64(seq)}
	}
	return rows, changes
}
