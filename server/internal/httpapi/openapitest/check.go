package openapitest

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Request tells what the document has against a request. r's body is not read:
// body has it.
func (d *Document) Request(r *http.Request, body []byte) error {
	op, values, err := d.Operation(r.Method, r.URL.EscapedPath())
	if err != nil {
		return err
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fmt.Errorf("query: %w", err)
	}
	var errs []error
	if len(op.Security) > 0 && r.Header.Get("Authorization") == "" {
		errs = append(errs, errors.New("no Authorization"))
	}
	for i, p := range op.Parameters {
		var sent []string
		switch p.In {
		case "path":
			sent = []string{values[p.Name]}
		case "query":
			sent = query[p.Name]
			delete(query, p.Name)
		case "header":
			sent = r.Header.Values(p.Name)
		}
		err := d.scalar(op.at+pointer("parameters", itoa(i), "schema"), p.Schema.Type, p.Required, sent)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s parameter %s: %w", p.In, p.Name, err))
		}
	}
	for name := range query {
		errs = append(errs, fmt.Errorf("query parameter %s is not in the document", name))
	}
	switch b := op.RequestBody; {
	case b == nil && len(body) > 0:
		errs = append(errs, errors.New("the operation takes no body"))
	case b != nil && b.Required && len(body) == 0:
		errs = append(errs, errors.New("no body"))
	case b != nil && len(body) > 0:
		errs = append(errs, d.body(op.at+pointer("requestBody"), b.Content, r.Header, body))
	}
	return errors.Join(errs...)
}

// Answer tells what the document has against an answer to a request.
func (d *Document) Answer(r *http.Request, status int, header http.Header, body []byte) error {
	op, _, err := d.Operation(r.Method, r.URL.EscapedPath())
	if err != nil {
		return err
	}
	at, response, err := op.response(status)
	if err != nil {
		return err
	}
	var errs []error
	for name, h := range response.Headers {
		if err := d.scalar(at+pointer("headers", name, "schema"), h.Schema.Type, h.Required, header.Values(name)); err != nil {
			errs = append(errs, fmt.Errorf("header %s: %w", name, err))
		}
	}
	if len(response.Content) > 0 || len(body) > 0 {
		errs = append(errs, d.body(at, response.Content, header, body))
	}
	return errors.Join(errs...)
}

// Value holds JSON against the schema of that name in components.
func (d *Document) Value(component string, value []byte) error {
	return d.json(pointer("components", "schemas", component), value)
}

// body holds a body against that of the forms that its Content-Type names.
func (d *Document) body(at string, content map[string]MediaType, header http.Header, body []byte) error {
	name, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		return fmt.Errorf("content type %q: %w", header.Get("Content-Type"), err)
	}
	form, ok := content[name]
	if !ok {
		return fmt.Errorf("content type %s is not in the document", name)
	}
	schema := at + pointer("content", name, "schema")
	if form.LineSchema != "" {
		for i, line := range bytes.Split(bytes.TrimSuffix(body, []byte("\n")), []byte("\n")) {
			if err := d.json(strings.TrimPrefix(form.LineSchema, "#"), line); err != nil {
				return fmt.Errorf("line %d: %w", i+1, err)
			}
		}
	}
	if name == "application/json" || name == "application/problem+json" {
		return d.json(schema, body)
	}
	return d.validate(schema, string(body)) // any other body is a text
}

func (d *Document) json(schema string, body []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	return d.validate(schema, v)
}

// scalar holds the values that were sent of a parameter or header against its
// schema. A value that is none of the type stays a text, which the schema refuses.
func (d *Document) scalar(schema, kind string, required bool, sent []string) error {
	switch {
	case len(sent) == 0 && required:
		return errors.New("missing")
	case len(sent) == 0:
		return nil
	case len(sent) > 1:
		return fmt.Errorf("%d values", len(sent))
	}
	if kind == "string" {
		return d.validate(schema, sent[0])
	}
	if v, err := jsonschema.UnmarshalJSON(strings.NewReader(sent[0])); err == nil {
		return d.validate(schema, v)
	}
	return d.validate(schema, sent[0])
}

func (d *Document) validate(pointer string, value any) error {
	schema, ok := d.schemas[pointer]
	if !ok {
		return fmt.Errorf("the document has no schema at %s", pointer)
	}
	return schema.Validate(value)
}
