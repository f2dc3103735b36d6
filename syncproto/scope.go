package syncproto

import (
	"slices"
	"strings"
)

// Class says who may hold a record on a phone.
type Class string

// The classes, from the widest to the strictest circle.
const (
	ClassDevice Class = "D" // every device in scope
	ClassTask   Class = "T" // devices with an active task or mandate there
	ClassHQ     Class = "H" // headquarters only
)

// Stricter reports whether c has a smaller circle than o.
func (c Class) Stricter(o Class) bool { return c.rank() > o.rank() }

func (c Class) rank() int { return strings.IndexByte("DTH", c[0]) }

// ParseClass reads "D", "T" or "H".
func ParseClass(s string) (Class, error) {
	switch c := Class(s); c {
	case ClassDevice, ClassTask, ClassHQ:
		return c, nil
	}
	return "", Errorf(CodeBadScope, "a class is D, T or H")
}

// Region is an Indonesian administrative code: "35" (province), "35.24"
// (regency), "35.24.14" (district) or "35.24.14.2011" (village).
type Region string

// ParseRegion checks the form of a code, not its existence.
func ParseRegion(s string) (Region, error) {
	bad := func() (Region, error) {
		return "", Errorf(CodeBadScope, "text of %d bytes is not a region code such as 35.24.14", len(s))
	}
	if len(s) > len("35.24.14.2011") {
		return bad()
	}
	for i, part := range strings.Split(s, ".") {
		want := 2
		if i == 3 {
			want = 4
		}
		if i > 3 || len(part) != want || strings.Trim(part, "0123456789") != "" {
			return bad()
		}
	}
	return Region(s), nil
}

// District returns the district that the region lies in, or is; false for a
// regency or a province.
func (r Region) District() (Region, bool) {
	if len(r) < len("35.24.14") {
		return "", false
	}
	return r[:len("35.24.14")], true
}

// Covers reports whether o is r or lies below it.
func (r Region) Covers(o Region) bool {
	return o == r || len(o) > len(r) && o[len(r)] == '.' && o[:len(r)] == r
}

// Scope is the slice of data that is shared, granted and sharded as one: a
// district and a class. Its text is the district code for class D, with "/T"
// or "/H" behind it for the others.
type Scope string

// NewScope returns the scope of class in the district of region. A region
// above a district is refused with [CodeBadScope].
func NewScope(region Region, class Class) (Scope, error) {
	d, ok := region.District()
	if !ok {
		return "", Errorf(CodeBadScope, "region %q is wider than a district; a record lives in one district", string(region))
	}
	if class == ClassDevice {
		return Scope(d), nil
	}
	return Scope(string(d) + "/" + string(class)), nil
}

// ParseScope reads the text form of a scope.
func ParseScope(s string) (Scope, error) {
	region, class, found := strings.Cut(s, "/")
	r, err := ParseRegion(region)
	if err != nil {
		return "", err
	}
	if d, ok := r.District(); !ok || d != r {
		return "", Errorf(CodeBadScope, "the region of a scope is not a district")
	}
	if found && class != string(ClassTask) && class != string(ClassHQ) {
		return "", Errorf(CodeBadScope, "a scope has class T or H behind its district, or nothing")
	}
	return Scope(s), nil
}

// Region returns the district of the scope.
func (s Scope) Region() Region {
	region, _, _ := strings.Cut(string(s), "/")
	return Region(region)
}

// Class returns the class of the scope.
func (s Scope) Class() Class {
	if _, class, found := strings.Cut(string(s), "/"); found {
		return Class(class)
	}
	return ClassDevice
}

// Grant entitles a device or a person to a region and what lies below it.
type Grant struct {
	Region  Region
	Classes []Class
	// Until is the Unix time in milliseconds at which the grant ends; 0 means
	// never.
	Until int64
}

// Grants are all grants of one holder.
type Grants []Grant

// MayRead reports whether a record whose home is s may be shown at time now
// (Unix milliseconds): region and class must be granted.
func (g Grants) MayRead(s Scope, now int64) bool {
	return slices.ContainsFunc(g, func(x Grant) bool {
		return x.live(now) && x.Region.Covers(s.Region()) && slices.Contains(x.Classes, s.Class())
	})
}

// MayWrite reports whether a record of scope s may be written at time now:
// the region must be granted, in whatever class. Who meets a person may
// record what he himself may not read back.
func (g Grants) MayWrite(s Scope, now int64) bool {
	return slices.ContainsFunc(g, func(x Grant) bool {
		return x.live(now) && x.Region.Covers(s.Region())
	})
}

func (g Grant) live(now int64) bool { return g.Until == 0 || now < g.Until }
