package syncproto

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// appendPlain writes the canonical form of what forms and decoders give: nil,
// bool, string, numbers, []any and map[string]any, in one pass. ok is false if
// x holds anything else, or needs more care; then nothing was decided.
func appendPlain(b []byte, x any, depth int) (_ []byte, ok bool, err error) {
	if depth > MaxValueDepth {
		return nil, false, Errorf(CodeTooDeep, "value nested deeper than %d", MaxValueDepth)
	}
	switch t := x.(type) {
	case nil:
		return append(b, "null"...), true, nil
	case bool:
		return strconv.AppendBool(b, t), true, nil
	case string:
		if isPlain(t) {
			return append(append(append(b, '"'), t...), '"'), true, nil
		}
		if err := checkText(t); err != nil {
			return nil, false, err
		}
		return appendString(b, t), true, nil
	case int:
		return strconv.AppendInt(b, int64(t), 10), true, nil
	case int64:
		return strconv.AppendInt(b, t, 10), true, nil
	case float64:
		if math.IsNaN(t) || math.IsInf(t, 0) {
			return nil, false, Errorf(CodeBadValue, "value is not a finite number")
		}
		b, err = appendNumber(b, strconv.FormatFloat(t, 'e', -1, 64))
		return b, err == nil, err
	case json.Number:
		if !json.Valid([]byte(t)) {
			return nil, false, nil
		}
		b, err = appendNumber(b, string(t))
		return b, err == nil, err
	case []any:
		return appendPlainList(b, t, depth)
	case map[string]any:
		return appendPlainObject(b, t, depth)
	}
	return nil, false, nil
}

func appendPlainList(b []byte, list []any, depth int) (_ []byte, ok bool, err error) {
	if list == nil {
		return append(b, "null"...), true, nil
	}
	b = append(b, '[')
	for i, e := range list {
		if i > 0 {
			b = append(b, ',')
		}
		if b, ok, err = appendPlain(b, e, depth+1); !ok || err != nil {
			return nil, false, err
		}
	}
	return append(b, ']'), true, nil
}

func appendPlainObject(b []byte, object map[string]any, depth int) (_ []byte, ok bool, err error) {
	if object == nil {
		return append(b, "null"...), true, nil
	}
	var scratch [16]string
	keys := scratch[:0]
	for k := range object {
		if !isPlain(k) {
			if !norm.NFC.IsNormalString(k) {
				return nil, false, nil // two keys may be one
			}
			if err := checkText(k); err != nil {
				return nil, false, err
			}
		}
		keys = append(keys, k)
	}
	slices.Sort(keys)
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, k), ':')
		if b, ok, err = appendPlain(b, object[k], depth+1); !ok || err != nil {
			return nil, false, err
		}
	}
	return append(b, '}'), true, nil
}

func checkText(s string) error {
	switch {
	case !utf8.ValidString(s):
		return Errorf(CodeInvalidUTF8, "text is not valid UTF-8")
	case strings.IndexByte(s, 0) >= 0:
		return Errorf(CodeBadValue, "U+0000 in a string")
	}
	return nil
}

// isPlain reports whether a string stands in JSON as it is: it is ASCII, so it
// is also valid and in NFC.
func isPlain(s string) bool {
	for i := range len(s) {
		if !plainByte[s[i]] {
			return false
		}
	}
	return true
}
