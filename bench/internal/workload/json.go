package workload

import (
	"math"
	"strconv"
	"unicode/utf8"
)

// member is one key of an object, in the order it is written.
type member struct {
	key   string
	value any
}

// object keeps its keys in the order of the original's object literals. Its values are string, int,
// float64, nil, raw, object and []any.
type object []member

// raw is JSON text that is written as it stands.
type raw []byte

// appendJSON appends v as JavaScript's JSON.stringify writes it (ECMA-262, SerializeJSONProperty):
// no space, no escaping of <, > and &.
func appendJSON(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case string:
		return appendString(b, v)
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case float64:
		return appendNumber(b, v)
	case raw:
		return append(b, v...)
	case object:
		b = append(b, '{')
		for i, m := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, m.key)
			b = append(b, ':')
			b = appendJSON(b, m.value)
		}
		return append(b, '}')
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, e)
		}
		return append(b, ']')
	default:
		panic("workload: a value that its objects never hold")
	}
}

// appendNumber appends the shortest digits that read back as f (ECMA-262, Number::toString). The
// exponent form is for magnitudes that the workload does not have.
func appendNumber(b []byte, f float64) []byte {
	if f == 0 {
		return append(b, '0')
	}
	if a := math.Abs(f); a < 1e-6 || a >= 1e21 {
		panic("workload: a number that JavaScript writes with an exponent")
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64)
}

// appendString appends s quoted (ECMA-262, QuoteJSONString). s is valid UTF-8.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', byte(c))
		case c == '\b':
			b = append(b, `\b`...)
		case c == '\f':
			b = append(b, `\f`...)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c < 0x20:
			b = append(b, `\u00`...)
			b = append(b, hex[c>>4], hex[c&15])
		default:
			b = utf8.AppendRune(b, c)
		}
	}
	return append(b, '"')
}
