package syncproto

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Value is the content of one write: canonical JSON, so that equal values are
// equal bytes. The zero Value is invalid; a deleted field has [Null].
//
// Canonical means: UTF-8; strings and keys in Unicode NFC, without U+0000,
// with only the escapes that JSON demands (\" \\ \b \f \n \r \t \u00xx);
// object keys sorted by their bytes and unique; no white space; numbers as
// exact decimals without exponent, leading or trailing zeros, or minus zero;
// at most [MaxValueBytes] bytes, [MaxValueDepth] levels, [MaxNumberDigits]
// digits.
type Value struct{ json string }

// Null is the value of a deleted field.
var Null = Value{json: "null"} //nolint:gochecknoglobals // a constant in all but name

// IsNull reports whether the value is null.
func (v Value) IsNull() bool { return v.json == "null" }

// IsZero reports whether there is no value at all (an elided sibling).
func (v Value) IsZero() bool { return v.json == "" }

// JSON returns the canonical text.
func (v Value) JSON() string { return v.json }

// MarshalJSON returns the canonical text.
func (v Value) MarshalJSON() ([]byte, error) {
	if v.json == "" {
		return []byte("null"), nil
	}
	return []byte(v.json), nil
}

// Any decodes the value: nil, bool, string, json.Number, []any or
// map[string]any.
func (v Value) Any() any {
	if v.json == "" {
		return nil
	}
	if v.json[0] == '"' && strings.IndexByte(v.json, '\\') < 0 {
		return v.json[1 : len(v.json)-1]
	}
	var out any
	d := json.NewDecoder(strings.NewReader(v.json))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		panic(fmt.Sprintf("syncproto: canonical value does not parse: %v", err))
	}
	return out
}

// Text returns the string that the value holds; false if it is none.
func (v Value) Text() (string, bool) {
	s, ok := v.Any().(string)
	return s, ok
}

// Unmarshal decodes the value into out, as encoding/json does.
func (v Value) Unmarshal(out any) error { return json.Unmarshal([]byte(v.json), out) }

// NewValue makes the canonical value of x, which is encoded as encoding/json
// does it; a float64 becomes the shortest decimal that reads back the same.
func NewValue(x any) (Value, error) {
	switch t := x.(type) {
	case Value:
		return t, nil
	case nil:
		return Null, nil
	}
	scratch := plainBuffers.Get().(*[]byte)
	defer plainBuffers.Put(scratch)
	text, ok, err := appendPlain((*scratch)[:0], x, 0)
	if ok && cap(text) <= MaxValueBytes {
		*scratch = text
	}
	if ok || err != nil {
		if err == nil && len(text) > MaxValueBytes {
			err = Errorf(CodeTooLarge, "value of %d bytes, at most %d", len(text), MaxValueBytes)
		}
		if err != nil {
			return Value{}, err
		}
		return Value{json: string(text)}, nil
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(x); err != nil {
		return Value{}, Errorf(CodeBadValue, "value of type %T has no JSON form", x)
	}
	return Canonicalize(buf.Bytes())
}

var plainBuffers = sync.Pool{New: func() any { return new([]byte) }} //nolint:gochecknoglobals // memory, no state

// MustValue is NewValue for values known to be good; it panics otherwise.
func MustValue(x any) Value {
	v, err := NewValue(x)
	if err != nil {
		panic(err)
	}
	return v
}

// ParseValue accepts text that is canonical already and refuses all other:
// it is what decoders use, so that nobody's bytes are silently rewritten.
func ParseValue(text []byte) (Value, error) { return ParseValueString(string(text)) }

// ParseValueString is [ParseValue] of a string, which the value shares.
func ParseValueString(text string) (Value, error) {
	if len(text) > MaxValueBytes {
		return Value{}, Errorf(CodeTooLarge, "value of %d bytes, at most %d", len(text), MaxValueBytes)
	}
	s := scanner{text: text}
	if err := s.document(); err != nil {
		return Value{}, err
	}
	if !s.canonical {
		return Value{}, Errorf(CodeBadValue, "value is not in canonical form")
	}
	return Value{json: text}, nil
}

// Canonicalize makes the canonical value of any JSON text.
func Canonicalize(text []byte) (Value, error) {
	text = bytes.Trim(text, " \t\r\n") // JSON's white space, not Unicode's
	if len(text) > MaxValueBytes {
		return Value{}, Errorf(CodeTooLarge, "value of %d bytes, at most %d", len(text), MaxValueBytes)
	}
	s := scanner{text: string(text)}
	if err := s.document(); err != nil {
		return Value{}, err
	}
	if s.canonical {
		return Value{json: s.text}, nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	x, err := decode(d)
	if err != nil {
		return Value{}, err
	}
	out, err := appendCanonical(nil, x)
	if err != nil {
		return Value{}, err
	}
	if len(out) > MaxValueBytes {
		return Value{}, Errorf(CodeTooLarge, "value of %d bytes, at most %d", len(out), MaxValueBytes)
	}
	return Value{json: string(out)}, nil
}

// decode reads one value with its keys in NFC. Unlike Decoder.Decode it
// refuses an object that has a key twice instead of keeping the last.
func decode(d *json.Decoder) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, Errorf(CodeBadValue, "value is not JSON")
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return t, nil
	}
	if delim == '[' {
		out := []any{}
		for d.More() {
			e, err := decode(d)
			if err != nil {
				return nil, err
			}
			out = append(out, e)
		}
		_, err = d.Token()
		return out, err
	}
	out := map[string]any{}
	for d.More() {
		k, err := d.Token()
		if err != nil {
			return nil, Errorf(CodeBadValue, "value is not JSON")
		}
		e, err := decode(d)
		if err != nil {
			return nil, err
		}
		key := norm.NFC.String(k.(string)) //nolint:forcetypeassert // a key is a string
		if _, twice := out[key]; twice {
			return nil, Errorf(CodeBadValue, "object has a key twice")
		}
		out[key] = e
	}
	_, err = d.Token()
	return out, err
}

func appendCanonical(b []byte, x any) ([]byte, error) {
	switch t := x.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, t), nil
	case string:
		return appendString(b, t), nil
	case json.Number:
		return appendNumber(b, string(t))
	case []any:
		b = append(b, '[')
		var err error
		for i, e := range t {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = appendCanonical(b, e); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	case map[string]any:
		keys := slices.Sorted(maps.Keys(t))
		b = append(b, '{')
		var err error
		for i, k := range keys {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, k), ':')
			if b, err = appendCanonical(b, t[k]); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	}
	return nil, Errorf(CodeBadValue, "value of type %T has no JSON form", x)
}

func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	if isPlain(s) {
		return append(append(b, s...), '"')
	}
	for _, r := range norm.NFC.String(s) {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\b':
			b = append(b, `\b`...)
		case r == '\f':
			b = append(b, `\f`...)
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r < 0x20:
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// appendNumber writes the exact decimal of a JSON number.
func appendNumber(b []byte, s string) ([]byte, error) {
	mantissa, exponent := s, 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		n, err := strconv.Atoi(s[i+1:])
		if err != nil || n > MaxNumberDigits || n < -MaxNumberDigits {
			return nil, Errorf(CodeBadValue, "number with an exponent beyond %d", MaxNumberDigits)
		}
		mantissa, exponent = s[:i], n
	}
	negative := strings.HasPrefix(mantissa, "-")
	whole, frac, _ := strings.Cut(strings.TrimPrefix(mantissa, "-"), ".")
	switch {
	case exponent > 0:
		frac += strings.Repeat("0", max(0, exponent-len(frac)))
		whole, frac = whole+frac[:exponent], frac[exponent:]
	case exponent < 0:
		whole = strings.Repeat("0", max(0, -exponent-len(whole)+1)) + whole
		cut := len(whole) + exponent
		whole, frac = whole[:cut], whole[cut:]+frac
	}
	whole = strings.TrimLeft(whole, "0")
	frac = strings.TrimRight(frac, "0")
	if len(whole)+len(frac) > MaxNumberDigits {
		return nil, Errorf(CodeBadValue, "number of more than %d digits", MaxNumberDigits)
	}
	if negative && whole+frac != "" {
		b = append(b, '-')
	}
	if whole == "" {
		whole = "0"
	}
	b = append(b, whole...)
	if frac != "" {
		b = append(append(b, '.'), frac...)
	}
	return b, nil
}
