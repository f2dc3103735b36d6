package sambang

import (
	"bytes"
	"slices"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// endMargin is how long after its end a grant is taken for ended: by then the
// server has ended it too, whose clock this one follows to within clockNoise.
const endMargin = 2 * clockNoise

func (g *grantState) endedAt(now int64) bool { return g.Until != 0 && now >= g.Until+endMargin }

// readable are the grants as the records here were read by them: those that
// end by time count until that was acted upon.
func (s *state) readable() syncproto.Grants {
	out := s.grants()
	for i := range out {
		if !s.link.Grants[i].Ended {
			out[i].Until = 0
		}
	}
	return out
}

// timedOut reports whether a grant has ended by time, or goes on after all
// because the clock was wrong, and nothing was done about it yet.
func (s *state) timedOut(now int64) bool {
	for i := range s.link.Grants {
		if g := &s.link.Grants[i]; g.endedAt(now) != g.Ended {
			return true
		}
	}
	return false
}

// resumeGrants takes back that a grant has ended: the clock here was ahead, and
// by the server's, which has just answered by these grants, it goes on. What the
// answer brings is there by a grant that will have to end again.
func (t *txn) resumeGrants(serverTime int64) {
	grants := t.st.link.Grants
	if !slices.ContainsFunc(grants, func(g grantState) bool { return g.Ended && !g.endedAt(serverTime) }) {
		return
	}
	t.st.link.Grants = slices.Clone(grants) // the committed state has the same
	for i := range t.st.link.Grants {
		g := &t.st.link.Grants[i]
		g.Ended = g.Ended && g.endedAt(serverTime)
	}
}

// regrant takes over newer grants. What was readable and is no longer is asked
// for: the server's verdict evicts it. A scope that comes back starts anew.
func (t *txn) regrant(version uint64, grants []*wire.Grant) error {
	before := t.st.readable()
	t.st.link.GrantsVersion = version
	t.st.link.Grants = nil
	for _, g := range grants {
		t.st.link.Grants = append(t.st.link.Grants, grantState{
			Region: g.GetRegion(), Classes: g.GetClasses(), Until: g.GetUntil(), Key: bytes.Clone(g.GetKey()),
		})
	}
	return t.endGrants(before)
}

// endGrants lets go of what before let this device read and its grants, at this
// time, do not.
func (t *txn) endGrants(before syncproto.Grants) error {
	grants := t.st.link.Grants
	t.st.link.Grants = nil // the committed state has the same
	for _, g := range grants {
		g.Ended = g.endedAt(t.now)
		t.st.link.Grants = append(t.st.link.Grants, g)
	}
	after := t.st.grants()
	lost := func(s syncproto.Scope) bool { return before.MayRead(s, t.now) && !after.MayRead(s, t.now) }
	for key, err := range t.tx.Keys(bucketCursors, cache.Range{}) {
		if err != nil {
			return err
		}
		if !after.MayRead(syncproto.Scope(key), t.now) {
			if err := t.tx.Delete(bucketCursors, key); err != nil {
				return err
			}
		}
	}
	for e, err := range t.tx.Ascend(bucketRecords, cache.Range{}) {
		if err != nil {
			return err
		}
		h, err := readHeader(t.tx, syncproto.RecordID(e.Key), e.Value)
		if err != nil {
			return err
		}
		if lost(h.w.scope) || h.w.home != "" && lost(h.w.home) {
			if err := t.refetch(syncproto.RecordID(e.Key), 0); err != nil {
				return err
			}
		}
	}
	return nil
}
