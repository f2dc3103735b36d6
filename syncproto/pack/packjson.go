package pack

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/sambang-id/sambang/syncproto"
)

// keysAt returns the keys of an object's member that is an object, in the
// order of the text: a form shows its fields in the order of the pack.
func keysAt(text []byte, member string) []string {
	var outer map[string]json.RawMessage
	if json.Unmarshal(text, &outer) != nil {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(outer[member]))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	var out []string
	for d.More() {
		t, err := d.Token()
		key, ok := t.(string)
		var skip json.RawMessage
		if err != nil || !ok || d.Decode(&skip) != nil {
			return nil
		}
		out = append(out, key)
	}
	return out
}

// checkJSON refuses what no pack needs and a reader could trip over: a key
// twice, deep nesting, numbers of absurd size.
func checkJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := checkNext(d, 0); err != nil {
		return err
	}
	if d.More() {
		return bad("pack has more than one JSON document")
	}
	return nil
}

func checkNext(d *json.Decoder, depth int) error {
	t, err := d.Token()
	if err != nil {
		return bad("pack is not JSON: %s", shorten(err))
	}
	if n, ok := t.(json.Number); ok {
		if len(n) > syncproto.MaxNumberDigits || strings.ContainsAny(string(n), "eE") {
			return bad("pack has a number of more than %d digits or with an exponent", syncproto.MaxNumberDigits)
		}
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return nil
	}
	if depth == maxPackDepth {
		return bad("pack is nested deeper than %d", maxPackDepth)
	}
	seen := map[string]bool{}
	for d.More() {
		if delim == '{' {
			k, err := d.Token()
			if err != nil {
				return bad("pack is not JSON: %s", shorten(err))
			}
			key, _ := k.(string)
			if seen[key] {
				return bad("pack has the key %q twice in one object", key[:min(len(key), 64)])
			}
			seen[key] = true
		}
		if err := checkNext(d, depth+1); err != nil {
			return err
		}
	}
	if _, err = d.Token(); err != nil {
		return bad("pack is not JSON: %s", shorten(err))
	}
	return nil
}

func shorten(err error) string {
	s := err.Error()
	return s[:min(len(s), 200)]
}
