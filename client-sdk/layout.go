package sambang

import (
	"encoding/binary"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
	"github.com/sambang-id/sambang/syncproto"
)

// The buckets of the file. Keys hold random ids, counters and district codes,
// never personal data; values that could tell something of a person are
// sealed. Each row changes in the transaction of the thing that it describes.
//
//nolint:gochecknoglobals // names, never assigned again
var (
	// bucketMeta: one row per part of the state, see state.go.
	bucketMeta = cache.Sealed("meta")
	// bucketRecords: record id -> row.
	bucketRecords = cache.Sealed("records")
	// bucketSettled: record id -> the server's word that it has all of the
	// record as its row is, see settled.
	bucketSettled = cache.Sealed("settled")
	// bucketEvicted: record id -> the dot up to which this replica wrote it. It
	// outlives the record: a copy that comes back must not be older (4.2).
	bucketEvicted = cache.Unsealed("evicted")
	// bucketJournal: replica, last n of a local transaction -> the chain head
	// before it, the step of each of its writes, the records that it wrote, and
	// what the transaction changed of the state (see nowState): a save touches
	// few pages. Never pruned: it answers "does your log have (n, h)?" and fills
	// gaps after a server's rollback.
	bucketJournal = cache.Sealed("journal").Appended()
	// bucketTail: the newest rows of the journal, a few at most, see putJournal.
	bucketTail = cache.Sealed("tail")
	// bucketHistory: generation, replica, n -> a write that was overwritten
	// before the server had acknowledged it. It stays until a receipt covers it.
	bucketHistory = cache.Sealed("history")
	// bucketDirty: generation, n, record id -> nothing. The records to push, in
	// order of their lowest unconfirmed own write, without those that the
	// journal tells: what was written after incarnation.Scanned.
	bucketDirty = cache.Unsealed("dirty")
	// bucketRefetch: record id -> how often it was asked for and when to ask again.
	bucketRefetch = cache.Unsealed("refetch")
	// bucketPoison: record id -> an entry of the feed that could not be read,
	// raw, and why.
	bucketPoison = cache.Sealed("poison")
	// bucketCursors: scope -> sequence up to which its feed is stored.
	bucketCursors = cache.Unsealed("cursors")
	// bucketReceipts: number -> a receipt as the server signed it.
	bucketReceipts = cache.Sealed("receipts")
	// bucketAuthors: replica -> who writes under it.
	bucketAuthors = cache.Sealed("authors")
)

// generationNone orders records without own writes behind the others.
// Generations order the replica ids of this device: each new id has the next.
const generationNone = ^uint32(0)

func replicaKey(r syncproto.ReplicaID) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(r))
}

func journalKey(r syncproto.ReplicaID, last uint64) []byte {
	return binary.BigEndian.AppendUint64(replicaKey(r), last)
}

func historyKey(generation uint32, d syncproto.Dot) []byte {
	k := binary.BigEndian.AppendUint32(nil, generation)
	k = binary.BigEndian.AppendUint64(k, uint64(d.Replica))
	return binary.BigEndian.AppendUint64(k, d.N)
}

func historyDot(key []byte) syncproto.Dot {
	return syncproto.Dot{Replica: syncproto.ReplicaID(binary.BigEndian.Uint64(key[4:])), N: binary.BigEndian.Uint64(key[12:])}
}

// place is a record's position in the push order.
type place struct {
	generation uint32 // 0: not waiting
	n          uint64
}

func (p place) isZero() bool { return p.generation == 0 }

func (p place) before(o place) bool {
	return p.generation < o.generation || p.generation == o.generation && p.n < o.n
}

func dirtyKey(p place, id syncproto.RecordID) []byte {
	k := binary.BigEndian.AppendUint32(make([]byte, 0, 28), p.generation)
	k = binary.BigEndian.AppendUint64(k, p.n)
	return append(k, id[:]...)
}

func dirtyID(key []byte) syncproto.RecordID { return syncproto.RecordID(key[12:28]) }

func counterKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
