package sambang

import "github.com/sambang-id/sambang/syncproto"

// States returns the causal states that the record was read from, those of the
// main record and of the companions that this device holds, in order of their
// classes. Two replicas agree on a record iff their states are equal: it is
// for tools that compare replicas, and for tests.
func (r *Record) States() []syncproto.Record {
	out := make([]syncproto.Record, 0, len(r.seen))
	for _, id := range []ID{
		r.ID, syncproto.CompanionID(r.ID, syncproto.ClassDevice),
		syncproto.CompanionID(r.ID, syncproto.ClassTask), syncproto.CompanionID(r.ID, syncproto.ClassHQ),
	} {
		if s, ok := r.seen[id]; ok {
			out = append(out, s)
		}
	}
	return out
}
