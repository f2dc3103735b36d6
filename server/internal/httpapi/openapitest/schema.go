package openapitest

import (
	"net/url"
	"strings"
)

// eachSchema calls do for the schema objects of a part of the document, outer
// ones first: what stands at `schema`, and each of components.schemas.
func eachSchema(part any, at string, do func(pointer string, schema map[string]any)) {
	switch part := part.(type) {
	case map[string]any:
		for key, child := range part {
			here := at + pointer(key)
			schema, isObject := child.(map[string]any)
			switch {
			case key == "schema" && isObject, at == "/components/schemas" && isObject:
				do(here, schema)
			default:
				eachSchema(child, here, do)
			}
		}
	case []any:
		for i, child := range part {
			eachSchema(child, at+pointer(itoa(i)), do)
		}
	}
}

// closeObject forbids the members that an object schema does not name, at any
// depth. A schema that names none describes a free object and stays open.
func closeObject(schema map[string]any) {
	properties, named := schema["properties"].(map[string]any)
	if _, decided := schema["additionalProperties"]; named && schema["type"] == "object" && !decided {
		schema["additionalProperties"] = false
	}
	for _, p := range properties {
		if p, ok := p.(map[string]any); ok {
			closeObject(p)
		}
	}
	for _, key := range []string{"items", "additionalProperties"} {
		if s, ok := schema[key].(map[string]any); ok {
			closeObject(s)
		}
	}
}

// absolute lets the references of a schema that stands alone lead to where the
// schemas of the document are.
func absolute(part any) {
	switch part := part.(type) {
	case map[string]any:
		for key, child := range part {
			if ref, ok := child.(string); ok && key == "$ref" && strings.HasPrefix(ref, "#") {
				part[key] = base + ref[1:]
			}
			absolute(child)
		}
	case []any:
		for _, child := range part {
			absolute(child)
		}
	}
}

// pointer is a JSON pointer (RFC 6901) with those steps, escaped as in an
// address.
func pointer(steps ...string) string {
	var b strings.Builder
	for _, s := range steps {
		s = strings.ReplaceAll(strings.ReplaceAll(s, "~", "~0"), "/", "~1")
		b.WriteString("/" + url.PathEscape(s))
	}
	return b.String()
}

// match returns the values in a path that has the template's form.
func match(template, escapedPath string) (map[string]string, bool) {
	want, got := strings.Split(template, "/"), strings.Split(escapedPath, "/")
	if len(want) != len(got) {
		return nil, false
	}
	values := map[string]string{}
	for i := range want {
		segment, err := url.PathUnescape(got[i])
		if err != nil {
			return nil, false
		}
		if name, ok := placeholder(want[i]); ok {
			values[name] = segment
		} else if want[i] != segment {
			return nil, false
		}
	}
	return values, true
}

func placeholder(segment string) (string, bool) {
	name, ok := strings.CutPrefix(segment, "{")
	return strings.TrimSuffix(name, "}"), ok
}
