package pack

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/sambang-id/sambang/syncproto"
)

// fieldsOf returns the members of a document, which is a map with string keys
// or anything that encoding/json makes an object of.
func fieldsOf(doc any) (map[string]any, error) {
	out := map[string]any{}
	add := func(k string, v any) error {
		k = norm.NFC.String(k)
		if _, twice := out[k]; twice {
			return syncproto.Errorf(syncproto.CodeBadValue, "document has a field twice")
		}
		if k == "" || k[0] == '$' {
			return syncproto.Errorf(syncproto.CodeBadPath, "document has a field with a reserved or empty name")
		}
		out[k] = v
		return nil
	}
	switch d := doc.(type) {
	case nil:
	case map[string]any:
		for k, v := range d {
			if err := add(k, v); err != nil {
				return nil, err
			}
		}
	case map[string]syncproto.Value:
		for k, v := range d {
			if err := add(k, v); err != nil {
				return nil, err
			}
		}
	default:
		text, err := json.Marshal(doc)
		if err != nil {
			return nil, syncproto.Errorf(syncproto.CodeBadValue, "document of type %T has no JSON form", doc)
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(text, &members); err != nil {
			return nil, syncproto.Errorf(syncproto.CodeBadValue, "document of type %T is not an object", doc)
		}
		for k, v := range members {
			if err := add(k, v); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// valueOf returns the canonical value of a member; nil is null.
func valueOf(x any) (syncproto.Value, error) {
	switch t := x.(type) {
	case json.RawMessage:
		return syncproto.Canonicalize(t)
	case syncproto.Value:
		if t.IsZero() {
			return syncproto.Null, nil
		}
		return t, nil
	}
	return syncproto.NewValue(x)
}

// elementsOf returns the elements of a list. null has none, and a value that
// is no list counts as a list of one: forms change from one to many.
func elementsOf(x any) ([]syncproto.Value, error) {
	var out []syncproto.Value
	add := func(x any) error {
		v, err := valueOf(x)
		if err == nil && !v.IsNull() {
			out = append(out, v)
		}
		return err
	}
	var text []byte
	switch t := x.(type) {
	case nil:
		return nil, nil
	case []any:
		for _, e := range t {
			if err := add(e); err != nil {
				return nil, err
			}
		}
		return out, nil
	case []syncproto.Value:
		for _, e := range t {
			if err := add(e); err != nil {
				return nil, err
			}
		}
		return out, nil
	case json.RawMessage:
		text = t
	case syncproto.Value:
		text = []byte(t.JSON())
	default:
		var err error
		if text, err = json.Marshal(x); err != nil {
			return nil, syncproto.Errorf(syncproto.CodeBadValue, "list of type %T has no JSON form", x)
		}
	}
	if text = bytes.TrimSpace(text); len(text) == 0 || text[0] != '[' {
		return out, add(json.RawMessage(text))
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(text, &elements); err != nil {
		return nil, syncproto.Errorf(syncproto.CodeBadValue, "list is not JSON")
	}
	for _, e := range elements {
		if err := add(e); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// membersOf returns the members of an object; false if the value is none.
func membersOf(v syncproto.Value) (map[string]syncproto.Value, bool) {
	if !strings.HasPrefix(v.JSON(), "{") {
		return nil, false
	}
	var raw map[string]json.RawMessage
	if v.Unmarshal(&raw) != nil {
		return nil, false
	}
	out := make(map[string]syncproto.Value, len(raw))
	for k, text := range raw {
		e, err := syncproto.ParseValue(text) // part of a canonical value
		if err != nil {
			return nil, false
		}
		out[k] = e
	}
	return out, true
}

// object makes the value of an object; null members are left out.
func object(members map[string]syncproto.Value) (syncproto.Value, error) {
	out := make(map[string]syncproto.Value, len(members))
	for k, v := range members {
		if !v.IsNull() && !v.IsZero() {
			out[k] = v
		}
	}
	return syncproto.NewValue(out)
}

// elementKey returns the key of a set's element, and of an item that has no
// key of its own: the first 16 hexadecimal digits of its SHA-256.
func elementKey(v syncproto.Value) string {
	sum := sha256.Sum256([]byte(v.JSON()))
	return hex.EncodeToString(sum[:8])
}

// isKey reports whether s can be the key of an item in a path.
func isKey(s string) bool {
	return s != "" && len(s) <= 64 &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
}

// Observation is a value together with how it was seen. Fields of policy
// lww_obs and review may hold one instead of the plain value: the time seen
// then orders lww_obs, the evidence orders review, and the document shows the
// plain value. Without it the time of the write is the time seen.
type Observation struct {
	Value any `json:"value"`
	// At is when it was seen, RFC 3339 with offset. A time after the write
	// counts as the time of the write.
	At string `json:"at,omitempty"`
	// Presence is in_person or by_record. On one day (UTC+7) who was there
	// beats who read it.
	Presence string `json:"presence,omitempty"`
	// Evidence is mrz, original, copy or spoken, from strong to weak.
	Evidence string `json:"evidence,omitempty"`
}

type observed struct {
	value              syncproto.Value
	at                 string
	presence, evidence string
}

// observe takes a value apart if the policy knows observations and it is one.
func observe(policy Policy, v syncproto.Value) (observed, bool) {
	plain := observed{value: v}
	if policy != PolicyLWWObs && policy != PolicyReview {
		return plain, false
	}
	m, ok := membersOf(v)
	if !ok || len(m) < 2 {
		return plain, false
	}
	value, ok := m["value"]
	if !ok {
		return plain, false
	}
	out := observed{value: value}
	for k, e := range m {
		into := map[string]*string{"at": &out.at, "presence": &out.presence, "evidence": &out.evidence}[k]
		if into == nil {
			if k != "value" {
				return plain, false
			}
			continue
		}
		s, ok := e.Text()
		if !ok {
			return plain, false
		}
		*into = s
	}
	return out, true
}
