package sambang

import (
	"iter"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
	"github.com/sambang-id/sambang/syncproto"
)

// waiting yields the records that may have something to push, each once, in
// about the order of their lowest unconfirmed own write: those of bucketDirty,
// then those that the journal tells. scanned, if not nil, hears how far each
// replica's journal was read, once every record of it was taken. The cost is of
// the changes, not of the records.
func waiting(tx *cache.Tx, st *state, scanned map[syncproto.ReplicaID]uint64) iter.Seq2[syncproto.RecordID, error] {
	return func(yield func(syncproto.RecordID, error) bool) {
		seen := map[syncproto.RecordID]struct{}{}
		take := func(id syncproto.RecordID) bool {
			if _, twice := seen[id]; twice {
				return true
			}
			seen[id] = struct{}{}
			return yield(id, nil)
		}
		for key, err := range tx.Keys(bucketDirty, cache.Range{}) {
			if err != nil {
				yield(syncproto.RecordID{}, err)
				return
			}
			if !take(dirtyID(key)) {
				return
			}
		}
		for i := range st.incarnations {
			in := &st.incarnations[i]
			if n, _ := st.end(in); in.Scanned >= n {
				continue
			}
			for j, err := range journal(tx, in.ID, in.Scanned+1) {
				if err != nil {
					yield(syncproto.RecordID{}, err)
					return
				}
				for ids := j.records; len(ids) >= 16; ids = ids[16:] {
					if !take(syncproto.RecordID(ids[:16])) {
						return
					}
				}
				if scanned != nil {
					scanned[in.ID] = j.now.N
				}
			}
		}
	}
}
