package syncproto

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// RegionKey is the secret from which the natural keys of a region are made.
// It derives downwards only: who holds the key of a regency has those of its
// districts, and of no other (C11). So a grant carries one key, and a lost
// phone lets nobody test guesses about people elsewhere.
type RegionKey [32]byte

// String hides the key from logs.
func (RegionKey) String() string { return "region key" }

// GoString hides the key from logs.
func (RegionKey) GoString() string { return "region key" }

// DeriveRegionKey returns the key of a region (province, regency, district or
// village) from the project's key, which only the server has: one HKDF-SHA256
// step (RFC 5869) per level.
func DeriveRegionKey(projectKey []byte, region Region) (RegionKey, error) {
	if len(projectKey) < 16 {
		return RegionKey{}, Errorf(CodeBadValue, "project key of %d bytes, at least 16", len(projectKey))
	}
	r, err := ParseRegion(string(region))
	if err != nil {
		return RegionKey{}, err
	}
	province, _, _ := strings.Cut(string(r), ".")
	k, err := regionStep(projectKey, province)
	if err != nil {
		return RegionKey{}, err
	}
	return ChildKey(k, Region(province), r)
}

// ChildKey returns the key of the region to, which is from or lies below it,
// given the key of from.
func ChildKey(key RegionKey, from, to Region) (RegionKey, error) {
	for _, r := range []Region{from, to} {
		if _, err := ParseRegion(string(r)); err != nil {
			return RegionKey{}, err
		}
	}
	if !from.Covers(to) {
		return RegionKey{}, Errorf(CodeScopeDenied, "region %s does not lie in %s", to, from)
	}
	for at := len(from); at < len(to); {
		end := len(to)
		if i := strings.IndexByte(string(to[at+1:]), '.'); i >= 0 {
			end = at + 1 + i
		}
		var err error
		if key, err = regionStep(key[:], string(to[:end])); err != nil {
			return RegionKey{}, err
		}
		at = end
	}
	return key, nil
}

func regionStep(parent []byte, region string) (RegionKey, error) {
	b, err := hkdf.Key(sha256.New, parent, nil, "sambang-region|"+region, len(RegionKey{}))
	if err != nil {
		return RegionKey{}, Errorf(CodeInternal, "derive the key of region %s", region)
	}
	return RegionKey(b), nil
}

// NaturalID returns the id of the record of kind that parts name in a
// district: a UUIDv8 of HMAC-SHA256 under the district's key. Devices that
// meet the same passport in one district make one record; in two districts
// they make two, which only the server may link. Normalize the parts first,
// see [PassportKey]; a corrected number does not change the id (SPEC 6.15).
func NaturalID(district RegionKey, kind string, parts ...string) RecordID {
	return uuid8(macParts(district[:], "sambang-natural", kind, parts), 0)
}

// ItemKey returns the key of the list item that parts name in a record: 16
// hexadecimal digits of HMAC-SHA256 under the record's id. Two officers who
// add the same person to one inspection add one item.
func ItemKey(record RecordID, parts ...string) string {
	return hex.EncodeToString(macParts(record[:], "sambang-item", "", parts)[:8])
}

// macParts authenticates a list of strings, each with its length before it,
// so that no two lists share an encoding.
func macParts(key []byte, purpose, kind string, parts []string) []byte {
	h := hmac.New(sha256.New, key)
	for _, s := range append([]string{purpose, kind}, parts...) {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	return h.Sum(nil)
}

// PassportKey returns "country|number" as the MRZ has it (ICAO 9303), for use
// as a part of a natural key: NFKC, upper case, without spaces, hyphens and
// fillers. Germany's code is D, as in its passports, also when DEU was typed.
func PassportKey(country, number string) string {
	c := mrzFold(country)
	if c == "DEU" {
		c = "D"
	}
	return c + "|" + mrzFold(number)
}

func mrzFold(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '<' || unicode.IsSpace(r) || unicode.In(r, unicode.Pd, unicode.Cc, unicode.Cf) {
			return -1
		}
		return unicode.ToUpper(r)
	}, norm.NFKC.String(s))
}
