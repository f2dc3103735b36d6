package syncproto

import (
	"slices"
	"strings"
)

// MRZ is a machine-readable zone (ICAO 9303, parts 4 to 7). Codes are as in
// the zone, without fillers: Germany is D, unknown parts of a date are "<".
type MRZ struct {
	Format      string // TD3 (passport), TD2, TD1, MRV-A or MRV-B (visas)
	Document    string // P, PM, V, I, …
	Issuer      string
	Number      string
	Nationality string
	BirthDate   string // YYMMDD
	Sex         string // M, F or "" (not given)
	ExpiryDate  string // YYMMDD
	Surname     string
	GivenNames  string
	// Failed names the check digits that do not fit: number, birth_date,
	// expiry_date, optional, composite. Names have none.
	Failed []string
}

// Valid reports whether every check digit fits.
func (m MRZ) Valid() bool { return len(m.Failed) == 0 }

// ParseMRZ reads the lines of a zone and checks its digits; wrong ones are
// listed in the result. The error, of [CodeBadValue], says that it has no
// form of ICAO 9303 at all.
func ParseMRZ(lines ...string) (MRZ, error) {
	for _, l := range lines {
		if strings.Trim(l, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789<") != "" {
			return MRZ{}, Errorf(CodeBadValue, "MRZ has a character other than A-Z, 0-9 and <")
		}
	}
	size := func(n, width int) bool {
		return len(lines) == n && !slices.ContainsFunc(lines, func(l string) bool { return len(l) != width })
	}
	visa := len(lines) > 0 && strings.HasPrefix(lines[0], "V")
	switch {
	case size(2, 44) && visa:
		return parseTwoLines("MRV-A", lines, 0, 0), nil
	case size(2, 44):
		return parseTwoLines("TD3", lines, 42, 43), nil
	case size(2, 36) && visa:
		return parseTwoLines("MRV-B", lines, 0, 0), nil
	case size(2, 36):
		return parseTwoLines("TD2", lines, 0, 35), nil
	case size(3, 30):
		return parseTD1(lines), nil
	}
	return MRZ{}, Errorf(CodeBadValue, "MRZ is not 2 lines of 44 or 36, or 3 lines of 30")
}

// parseTwoLines reads the formats that share a second line. optional and
// composite are the positions of those check digits, 0 if there is none.
func parseTwoLines(format string, lines []string, optional, composite int) MRZ {
	a, b := lines[0], lines[1]
	m := MRZ{
		Format: format, Document: unfill(a[:2]), Issuer: unfill(a[2:5]), Number: unfill(b[:9]),
		Nationality: unfill(b[10:13]), BirthDate: b[13:19], Sex: unfill(b[20:21]), ExpiryDate: b[21:27],
	}
	m.names(a[5:])
	m.check("number", b[:9], b[9])
	m.check("birth_date", b[13:19], b[19])
	m.check("expiry_date", b[21:27], b[27])
	// An empty optional part may have a filler for its digit.
	if optional > 0 && (b[optional] != '<' || strings.Trim(b[28:optional], "<") != "") {
		m.check("optional", b[28:optional], b[optional])
	}
	if composite > 0 {
		m.check("composite", b[:10]+b[13:20]+b[21:composite], b[composite])
	}
	return m
}

func parseTD1(lines []string) MRZ {
	a, b := lines[0], lines[1]
	m := MRZ{
		Format: "TD1", Document: unfill(a[:2]), Issuer: unfill(a[2:5]), Number: unfill(a[5:14]),
		Nationality: unfill(b[15:18]), BirthDate: b[:6], Sex: unfill(b[7:8]), ExpiryDate: b[8:14],
	}
	m.names(lines[2])
	number, digit := a[5:14], a[14]
	if digit == '<' { // a number of more than 9 goes on in the optional part, its digit last
		rest, _, _ := strings.Cut(a[15:], "<")
		if rest != "" {
			number, digit = number+rest[:len(rest)-1], rest[len(rest)-1]
			m.Number += rest[:len(rest)-1]
		}
	}
	m.check("number", number, digit)
	m.check("birth_date", b[:6], b[6])
	m.check("expiry_date", b[8:14], b[14])
	m.check("composite", a[5:]+b[:7]+b[8:15]+b[18:29], b[29])
	return m
}

func (m *MRZ) names(s string) {
	surname, given, _ := strings.Cut(s, "<<")
	m.Surname, m.GivenNames = unfill(surname), unfill(given)
}

func (m *MRZ) check(name, data string, digit byte) {
	if MRZCheckDigit(data) != digit {
		m.Failed = append(m.Failed, name)
	}
}

// MRZCheckDigit returns the check digit of data, '0' to '9': weights 7, 3, 1
// over 0-9 as they are, A-Z as 10 to 35 and < as 0, modulo 10 (ICAO 9303-3,
// 4.9). Other characters count as <.
func MRZCheckDigit(data string) byte {
	sum := 0
	for i := range len(data) {
		v := 0
		switch c := data[i]; {
		case c >= '0' && c <= '9':
			v = int(c - '0')
		case c >= 'A' && c <= 'Z':
			v = int(c-'A') + 10
		}
		sum += v * []int{7, 3, 1}[i%3]
	}
	return byte('0' + sum%10)
}

// unfill returns text without fillers at its ends and with single spaces for
// those between.
func unfill(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '<' }), " ")
}
