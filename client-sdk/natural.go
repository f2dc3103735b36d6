package sambang

import (
	"github.com/sambang-id/sambang/syncproto"
)

// NaturalID returns the id of the record of kind that parts name in the
// district of region, such as a document's type, issuer and number. Two
// devices that know the district's key make the same id, so that the same
// document, met twice, is one record. Give parts in one spelling, see
// [syncproto.PassportKey].
//
// Errors: [syncproto.CodeBadScope]; [syncproto.CodeScopeDenied] if no grant
// with a key covers the district.
func (r *Replica) NaturalID(region, kind string, parts ...string) (ID, error) {
	reg, err := syncproto.ParseRegion(region)
	if err != nil {
		return ID{}, err
	}
	district, ok := reg.District()
	if !ok {
		return ID{}, syncproto.Errorf(syncproto.CodeBadScope, "region %q is wider than a district", region)
	}
	st, err := r.load()
	if err != nil {
		return ID{}, err
	}
	for _, g := range st.link.Grants {
		var key syncproto.RegionKey
		if !syncproto.Region(g.Region).Covers(district) || copy(key[:], g.Key) != len(key) {
			continue
		}
		if key, err = syncproto.ChildKey(key, syncproto.Region(g.Region), district); err != nil {
			return ID{}, err
		}
		return syncproto.NaturalID(key, kind, parts...), nil
	}
	return ID{}, syncproto.Errorf(syncproto.CodeScopeDenied, "no grant of this device covers district %s", district)
}
