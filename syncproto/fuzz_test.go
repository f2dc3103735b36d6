package syncproto_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/sambang-id/sambang/syncproto"
)

var values = []string{
	`null`, `true`, `""`, `0`, `-1.5`, `1e3`, `12e-3`, `-0`, `100`, `1.50`, `[]`, `{}`, `[1,"a",null]`, `{"a":1,"b":[{}]}`,
	`{"b":1,"a":2}`, `{"a":1,"a":2}`, `"\u00e9"`, `"e\u0301"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\u0000"`, "\"\xff\"", `"\/"`, `"\u001f\n"`,
	`{"\n":1,"A":2}`, `{"A":1,"\n":2}`, `{"\"":1,"!":2}`, `{"é":1,"z":2}`, ` 1 `, `1 2`, `nul`, `01`, `1.`, `.5`, `+1`, `1e41`, `1E+2`,
	`[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]`, `[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]`, "\"\x7f\"", `"a` + strings.Repeat("\u0301", 40) + `"`,
	`{"deleted":true,"seen":{"00000000000000a1":3}}`, `0.1234567890123456789012345678901234567890`, `12345678901234567890123456789012345678901`,
}

// FuzzValue: the canonical form is a fixed point, and exactly what decoders
// accept; it means what encoding/json reads in the original.
func FuzzValue(f *testing.F) {
	for _, v := range values {
		f.Add([]byte(v))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		parsed, parseErr := syncproto.ParseValue(text)
		v, err := syncproto.Canonicalize(text)
		if accepted := err == nil && v.JSON() == string(text); accepted != (parseErr == nil) {
			t.Fatalf("Canonicalize gives %q, %v; ParseValue %v", v.JSON(), err, parseErr)
		}
		if parseErr == nil && parsed != v {
			t.Fatalf("parsed %q, canonical %q", parsed.JSON(), v.JSON())
		}
		if err != nil {
			if syncproto.CodeOf(err) == syncproto.CodeInternal {
				t.Fatalf("error without a code: %v", err)
			}
			return
		}
		again, err := syncproto.Canonicalize([]byte(v.JSON()))
		if err != nil || again != v {
			t.Fatalf("%q is not a fixed point: %q, %v", v.JSON(), again.JSON(), err)
		}
		if !utf8.ValidString(v.JSON()) || strings.ContainsAny(v.JSON(), "\n\r\t") || strings.ContainsFunc(v.JSON(), func(r rune) bool { return r < 0x20 }) {
			t.Fatalf("%q holds what no canonical text does", v.JSON())
		}
		if !same(decoded(t, text), decoded(t, []byte(v.JSON()))) {
			t.Fatalf("%q does not mean %q", v.JSON(), text)
		}
		if made, err := syncproto.NewValue(v.Any()); err != nil || made != v {
			t.Fatalf("Any of %q makes %q, %v", v.JSON(), made.JSON(), err)
		}
	})
}

func decoded(t *testing.T, text []byte) any {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var x any
	if err := d.Decode(&x); err != nil {
		t.Fatalf("encoding/json refuses %q: %v", text, err)
	}
	return x
}

// same compares by meaning: numbers exactly, texts up to Unicode composition.
func same(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		n, ok := b.(json.Number)
		x, okX := new(big.Rat).SetString(a.String())
		y, okY := new(big.Rat).SetString(n.String())
		return ok && okX && okY && x.Cmp(y) == 0
	case string:
		s, ok := b.(string)
		return ok && norm.NFC.String(a) == norm.NFC.String(s)
	case []any:
		s, ok := b.([]any)
		return ok && slices.EqualFunc(a, s, same)
	case map[string]any:
		m, ok := b.(map[string]any)
		composed := map[string]any{}
		for k, v := range a {
			composed[norm.NFC.String(k)] = v
		}
		return ok && maps.EqualFunc(composed, m, same)
	}
	return a == b
}

func FuzzParseScope(f *testing.F) {
	for _, s := range []string{"35.24.14", "35.24.14/T", "35.24.14/H", "35.24.14/D", "35.24", "35.24.14.2011", "35.24.14/", "/T", "٣٥.24.14", "35.24.1４"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := syncproto.ParseScope(text)
		if err != nil {
			if syncproto.CodeOf(err) != syncproto.CodeBadScope {
				t.Fatalf("error without the code: %v", err)
			}
			return
		}
		back, err := syncproto.NewScope(s.Region(), s.Class())
		if err != nil || back != s || string(s) != text {
			t.Fatalf("%q is %q, %v", text, back, err)
		}
		if d, ok := s.Region().District(); !ok || d != s.Region() {
			t.Fatalf("%q is not of a district", text)
		}
		if _, err := syncproto.ParseClass(string(s.Class())); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzParseDeletion(f *testing.F) {
	for _, v := range values {
		f.Add([]byte(v))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := syncproto.Canonicalize(text)
		if err != nil {
			return
		}
		d, err := syncproto.ParseDeletion(v)
		if err != nil {
			if syncproto.CodeOf(err) != syncproto.CodeBadValue {
				t.Fatalf("error without the code: %v", err)
			}
			return
		}
		again, err := syncproto.ParseDeletion(d.Value())
		if err != nil || again.Deleted != d.Deleted || !again.Seen.Equal(d.Seen) {
			t.Fatalf("%q reads as %+v, written as %q, reads as %+v, %v", v.JSON(), d, d.Value().JSON(), again, err)
		}
	})
}

func FuzzCheckPath(f *testing.F) {
	for _, s := range []string{"a", "a/b", "$del", "", "/", "a//b", "a/", "é", "e\u0301", "\xff", "a\x00", "a/b/c/d/e/f/g/h", "a/b/c/d/e/f/g/h/i"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		err := syncproto.CheckPath(path)
		segments := strings.Split(path, "/")
		good := path != "" && len(path) <= syncproto.MaxPathBytes && len(segments) <= syncproto.MaxPathSegments &&
			!slices.Contains(segments, "") && utf8.ValidString(path) && norm.NFC.IsNormalString(path) &&
			!strings.ContainsFunc(path, func(r rune) bool { return r < 0x20 || r == 0x7f })
		if good != (err == nil) {
			t.Fatalf("%q: %v", path, err)
		}
		if code := syncproto.CodeOf(err); err != nil && code != syncproto.CodeBadPath && code != syncproto.CodeInvalidUTF8 {
			t.Fatalf("%q: %v", path, err)
		}
	})
}
