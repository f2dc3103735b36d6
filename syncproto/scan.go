package syncproto

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// scanner walks one JSON text without building anything. It checks syntax and
// limits, and notes whether the text is canonical.
type scanner struct {
	text      string
	pos       int
	canonical bool
}

func (s *scanner) document() error {
	if !utf8.ValidString(s.text) {
		return Errorf(CodeInvalidUTF8, "value is not valid UTF-8")
	}
	s.canonical = true
	if err := s.value(0); err != nil {
		return err
	}
	s.space()
	if s.pos != len(s.text) {
		return s.bad("text after the value")
	}
	return nil
}

func (s *scanner) bad(what string) error {
	return Errorf(CodeBadValue, "%s at byte %d of a value", what, s.pos)
}

func (s *scanner) space() {
	for s.pos < len(s.text) && s.text[s.pos] <= ' ' {
		switch s.text[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
			s.canonical = false
		default:
			return
		}
	}
}

func (s *scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

func (s *scanner) value(depth int) error {
	if depth > MaxValueDepth {
		return Errorf(CodeTooDeep, "value nested deeper than %d", MaxValueDepth)
	}
	s.space()
	switch c := s.peek(); {
	case c == '{':
		return s.object(depth)
	case c == '[':
		return s.array(depth)
	case c == '"':
		_, err := s.str()
		return err
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	}
	for _, word := range []string{"null", "true", "false"} {
		if strings.HasPrefix(s.text[s.pos:], word) {
			s.pos += len(word)
			return nil
		}
	}
	return s.bad("not JSON")
}

func (s *scanner) array(depth int) error {
	s.pos++
	s.space()
	if s.peek() == ']' {
		s.pos++
		return nil
	}
	for {
		if err := s.value(depth + 1); err != nil {
			return err
		}
		s.space()
		switch s.peek() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			return nil
		default:
			return s.bad("array not closed")
		}
	}
}

func (s *scanner) object(depth int) error {
	s.pos++
	s.space()
	if s.peek() == '}' {
		s.pos++
		return nil
	}
	var prev string
	for first := true; ; first = false {
		s.space()
		if s.peek() != '"' {
			return s.bad("object key missing")
		}
		key, err := s.str()
		if err != nil {
			return err
		}
		key = unescape(key)
		if !first && prev >= key {
			s.canonical = false // unsorted, or twice: decode tells
		}
		prev = key
		s.space()
		if s.peek() != ':' {
			return s.bad("colon missing")
		}
		s.pos++
		if err := s.value(depth + 1); err != nil {
			return err
		}
		s.space()
		switch s.peek() {
		case ',':
			s.pos++
		case '}':
			s.pos++
			return nil
		default:
			return s.bad("object not closed")
		}
	}
}

// plainByte are the bytes that stand in a string for themselves, in ASCII.
var plainByte = func() (t [256]bool) { //nolint:gochecknoglobals // a constant table
	for c := byte(0x20); c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// str scans one string and returns the bytes between its quotes.
func (s *scanner) str() (string, error) {
	s.pos++
	start := s.pos
	ascii, escaped := true, false
	for s.pos < len(s.text) {
		// Nearly all bytes are of this kind: pass over them in a tight loop.
		text, i := s.text, s.pos
		for i < len(text) && plainByte[text[i]] {
			i++
		}
		if s.pos = i; i == len(text) {
			break
		}
		switch c := text[i]; {
		case c == '"':
			raw := s.text[start:s.pos]
			s.pos++
			if !ascii && !norm.NFC.IsNormalString(raw) || escaped && !canonicalEscapes(raw) {
				s.canonical = false
			}
			return raw, nil
		case c == '\\':
			escaped = true
			if err := s.escape(); err != nil {
				return "", err
			}
		case c < 0x20:
			return "", s.bad("control character in a string")
		default:
			if c >= utf8.RuneSelf {
				ascii = false
			}
			s.pos++
		}
	}
	return "", s.bad("string not closed")
}

func (s *scanner) escape() error {
	if s.pos+1 >= len(s.text) {
		return s.bad("string not closed")
	}
	switch s.text[s.pos+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos += 2
		return nil
	case 'u':
		r, ok := hex4(s.text[s.pos+2:])
		if !ok {
			return s.bad("bad \\u escape")
		}
		if r == 0 {
			return s.bad("U+0000 in a string")
		}
		if r >= 0xdc00 && r < 0xe000 {
			return Errorf(CodeInvalidUTF8, "lone surrogate at byte %d of a value", s.pos)
		}
		if r >= 0xd800 && r < 0xdc00 {
			rest := s.text[s.pos+6:]
			if len(rest) < 6 || rest[0] != '\\' || rest[1] != 'u' {
				return Errorf(CodeInvalidUTF8, "lone surrogate at byte %d of a value", s.pos)
			}
			low, ok := hex4(rest[2:])
			if !ok || low < 0xdc00 || low >= 0xe000 {
				return Errorf(CodeInvalidUTF8, "lone surrogate at byte %d of a value", s.pos)
			}
			s.pos += 6
		}
		s.pos += 6
		return nil
	}
	return s.bad("bad escape")
}

func hex4(b string) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range []byte(b[:4]) {
		r <<= 4
		switch {
		case c >= '0' && c <= '9':
			r |= rune(c - '0')
		case c >= 'a' && c <= 'f':
			r |= rune(c-'a') + 10
		case c >= 'A' && c <= 'F':
			r |= rune(c-'A') + 10
		default:
			return 0, false
		}
	}
	return r, true
}

// canonicalEscapes reports whether a scanned string uses only the escapes
// that the canonical form demands, in its spelling of them.
func canonicalEscapes(raw string) bool {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		i++
		switch raw[i] {
		case '"', '\\', 'b', 'f', 'n', 'r', 't':
		case 'u':
			hex := raw[i+1 : i+5]
			r, _ := hex4(hex)
			if r >= 0x20 || strings.ContainsAny(hex, "ABCDEF") {
				return false
			}
			switch r {
			case '\b', '\f', '\n', '\r', '\t':
				return false
			}
			i += 4
		default:
			return false
		}
	}
	return true
}

// unescape returns what a scanned key spells: keys are sorted by their text,
// not by its escapes.
func unescape(raw string) string {
	if strings.IndexByte(raw, '\\') < 0 {
		return raw
	}
	var key string
	if err := json.Unmarshal([]byte(`"`+raw+`"`), &key); err != nil {
		return raw // unreachable: it was scanned
	}
	return key
}

func (s *scanner) digits() int {
	start := s.pos
	for s.pos < len(s.text) && s.text[s.pos] >= '0' && s.text[s.pos] <= '9' {
		s.pos++
	}
	return s.pos - start
}

func (s *scanner) number() error {
	negative := s.peek() == '-'
	if negative {
		s.pos++
	}
	start := s.pos
	leadingZero := s.peek() == '0'
	whole := s.digits()
	if whole == 0 || leadingZero && whole > 1 {
		return s.bad("bad number")
	}
	frac := 0
	if s.peek() == '.' {
		s.pos++
		if frac = s.digits(); frac == 0 {
			return s.bad("bad number")
		}
		if s.text[s.pos-1] == '0' {
			s.canonical = false
		}
	}
	if negative && strings.Trim(s.text[start:s.pos], "0.") == "" {
		s.canonical = false // minus zero
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.canonical = false
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if s.digits() == 0 {
			return s.bad("bad number")
		}
		return nil // Canonicalize counts the digits
	}
	if leadingZero {
		whole = 0
	}
	if whole+frac > MaxNumberDigits {
		return Errorf(CodeBadValue, "number of more than %d digits", MaxNumberDigits)
	}
	return nil
}
