// Package openapitest holds what a server really does against its OpenAPI 3.1
// document.
//
// What is always true of it:
//
//   - The document is valid against the official schema of OpenAPI 3.1, and
//     each schema in it against JSON Schema 2020-12.
//   - It is read as a strict reader does: what the document does not name (a
//     path, a method, a status, a content type, a query parameter, a member of
//     an object) is a mistake.
//   - Only schemas may be references. No schema is fetched from anywhere.
package openapitest

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// metaSchema is https://spec.openapis.org/oas/3.1/schema/2022-10-07 of the
// OpenAPI Initiative (Apache-2.0). It leaves the schemas inside a document to
// their own dialect.
//
//go:embed schema-3.1-2022-10-07.json
var metaSchema []byte

const (
	metaURL = "https://spec.openapis.org/oas/3.1/schema/2022-10-07"
	// base and a JSON pointer are the address of a schema of the document.
	base = "https://document.test"
)

// Document is an OpenAPI document that was found valid. It may be used by many
// goroutines at once.
type Document struct {
	Paths   map[string]map[string]*Operation `json:"paths"` // by template, then by method in lower case
	schemas map[string]*jsonschema.Schema    // by JSON pointer
}

// Operation is one method of one path.
type Operation struct {
	Parameters  []Parameter           `json:"parameters"`
	RequestBody *RequestBody          `json:"requestBody"`
	Responses   map[string]Response   `json:"responses"`
	Security    []map[string][]string `json:"security"`

	at string // JSON pointer
}

// Parameter is a scalar in a path, a query or a header.
type Parameter struct {
	Name     string `json:"name"`
	In       string `json:"in"`
	Required bool   `json:"required"`
	Schema   struct {
		Type string `json:"type"`
	} `json:"schema"`
}

// RequestBody is what an operation takes.
type RequestBody struct {
	Required bool                 `json:"required"`
	Content  map[string]MediaType `json:"content"`
}

// Response is one status of an operation.
type Response struct {
	Content map[string]MediaType `json:"content"`
	Headers map[string]struct {
		Required bool `json:"required"`
		Schema   struct {
			Type string `json:"type"`
		} `json:"schema"`
	} `json:"headers"`
}

// MediaType is one form of a body. LineSchema is an extension: the schema that
// each line of the body has.
type MediaType struct {
	LineSchema string `json:"x-line-schema"`
}

// Read reads a document and checks it.
func Read(document []byte) (*Document, error) {
	tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	meta, err := openAPI()
	if err != nil {
		return nil, err
	}
	if err := meta.Validate(tree); err != nil {
		return nil, fmt.Errorf("the document is not OpenAPI 3.1: %w", err)
	}
	d := &Document{schemas: map[string]*jsonschema.Schema{}}
	if err := json.Unmarshal(document, d); err != nil {
		return nil, fmt.Errorf("read the operations: %w", err)
	}
	if err := d.compile(tree); err != nil {
		return nil, err
	}
	return d, d.index()
}

// openAPI is the official schema, which is the same for every document.
//
//nolint:gochecknoglobals // constant
var openAPI = sync.OnceValues(func() (*jsonschema.Schema, error) {
	meta, err := jsonschema.UnmarshalJSON(bytes.NewReader(metaSchema))
	if err != nil {
		return nil, fmt.Errorf("read the schema of OpenAPI: %w", err)
	}
	c := compiler()
	if err := c.AddResource(metaURL, meta); err != nil {
		return nil, fmt.Errorf("add the schema of OpenAPI: %w", err)
	}
	return c.Compile(metaURL)
})

// compiler knows no schemas but those that it is given.
func compiler() *jsonschema.Compiler {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(jsonschema.SchemeURLLoader{})
	return c
}

// compile reads every schema of the document, each as a resource of its own. One
// that only refers to another is that other.
func (d *Document) compile(tree any) error {
	c := compiler()
	same := map[string]string{}
	var own []string
	var errs []error
	eachSchema(tree, "", func(pointer string, schema map[string]any) {
		closeObject(schema)
		if ref, ok := schema["$ref"].(string); ok && len(schema) == 1 {
			same[pointer] = strings.TrimPrefix(ref, "#")
			return
		}
		absolute(schema)
		own = append(own, pointer)
		errs = append(errs, c.AddResource(base+pointer, schema))
	})
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("add the schemas: %w", err)
	}
	for _, p := range own {
		s, err := c.Compile(base + p)
		if err != nil {
			return fmt.Errorf("schema at %s: %w", p, err)
		}
		d.schemas[p] = s
	}
	for p, of := range same {
		if d.schemas[p] = d.schemas[of]; d.schemas[p] == nil {
			return fmt.Errorf("schema at %s: there is none at %s", p, of)
		}
	}
	return nil
}

// index names the operations, and checks what the official schema can't see.
func (d *Document) index() error {
	for path, methods := range d.Paths {
		for method, op := range methods {
			op.at = pointer("paths", path, method)
			for _, p := range op.Parameters {
				if !slices.Contains([]string{"string", "integer", "boolean"}, p.Schema.Type) {
					return fmt.Errorf("%s: parameter %s is no scalar", op.at, p.Name)
				}
			}
			for _, segment := range strings.Split(path, "/") {
				name, ok := placeholder(segment)
				if ok && !slices.ContainsFunc(op.Parameters, func(p Parameter) bool { return p.In == "path" && p.Name == name }) {
					return fmt.Errorf("%s: {%s} is not among the parameters", op.at, name)
				}
			}
			for status, r := range op.Responses {
				for name, m := range r.Content {
					if m.LineSchema != "" && d.schemas[strings.TrimPrefix(m.LineSchema, "#")] == nil {
						return fmt.Errorf("%s: %s of %s has lines of no schema", op.at, name, status)
					}
				}
			}
		}
	}
	return nil
}

// Operation finds the operation of a request and the values in its path.
func (d *Document) Operation(method, escapedPath string) (op *Operation, values map[string]string, err error) {
	for _, template := range slices.Sorted(maps.Keys(d.Paths)) {
		found, ok := match(template, escapedPath)
		// A path without placeholders goes before those with.
		if !ok || values != nil && len(found) >= len(values) {
			continue
		}
		values, op = found, d.Paths[template][strings.ToLower(method)]
	}
	switch {
	case values == nil:
		return nil, nil, fmt.Errorf("no path for %s", escapedPath)
	case op == nil:
		return nil, nil, fmt.Errorf("no operation %s %s", method, escapedPath)
	}
	return op, values, nil
}

// response returns what the operation says of a status, and where.
func (op *Operation) response(status int) (string, Response, error) {
	name := itoa(status)
	r, ok := op.Responses[name]
	if !ok {
		return "", r, fmt.Errorf("status %d %s is not in the document", status, http.StatusText(status))
	}
	return op.at + pointer("responses", name), r, nil
}
