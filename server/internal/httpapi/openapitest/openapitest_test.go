package openapitest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/server/internal/httpapi/openapitest"
)

// book is a small document. Each test of an invalid one changes a line of it.
const book = `{
 "openapi": "3.1.0",
 "info": {"title": "Book", "version": "1"},
 "paths": {
  "/pages/{n}": {
   "get": {
    "security": [{"reader": []}],
    "parameters": [
     {"name": "n", "in": "path", "required": true, "schema": {"type": "integer", "minimum": 1}},
     {"name": "dark", "in": "query", "schema": {"type": "boolean"}},
     {"name": "Lamp", "in": "header", "schema": {"type": "string", "maxLength": 3}}
    ],
    "responses": {"200": {"description": "A page.",
     "headers": {"Words": {"required": true, "schema": {"type": "integer"}}},
     "content": {
      "application/json": {"schema": {"$ref": "#/components/schemas/Page"}},
      "application/x-ndjson": {"schema": {"type": "string"}, "x-line-schema": "#/components/schemas/Page"},
      "text/plain": {"schema": {"type": "string", "maxLength": 9}}
     }}}
   },
   "put": {
    "parameters": [{"name": "n", "in": "path", "required": true, "schema": {"type": "integer"}}],
    "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Page"}}}},
    "responses": {"204": {"description": "Written."}}
   }
  },
  "/pages/last": {"get": {"responses": {"204": {"description": "None."}}}}
 },
 "components": {
  "schemas": {"Page": {"type": "object", "required": ["id"], "properties": {
   "id": {"type": "string", "format": "uuid"}, "notes": {"type": "array", "items": {"type": "object", "properties": {"text": {"type": "string"}}}}}}},
  "securitySchemes": {"reader": {"type": "http", "scheme": "bearer"}}
 }
}`

const page = `{"id": "0193b2c4-0000-7000-8000-000000000000", "notes": [{"text": "x"}]}`

func read(t *testing.T) *openapitest.Document {
	t.Helper()
	d, err := openapitest.Read([]byte(book))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestADocumentThatIsNotOpenAPIIsRefused(t *testing.T) {
	read(t)
	for name, c := range map[string][2]string{
		"not JSON":                    {`"3.1.0",`, `"3.1.0"`},
		"another version":             {`"3.1.0"`, `"3.0.3"`},
		"no title":                    {`"title": "Book", `, ``},
		"a response undescribed":      {`"description": "Written."`, ``},
		"an unknown method":           {`"put": {`, `"write": {`},
		"a parameter nowhere":         {`"in": "query"`, `"in": "margin"`},
		"a path value not required":   {`"in": "path", "required": true, "schema": {"type": "integer", "minimum": 1}`, `"in": "path", "schema": {"type": "integer"}`},
		"a path value undescribed":    {`"name": "n", "in": "path"`, `"name": "m", "in": "path"`},
		"an array in a query":         {`{"type": "boolean"}`, `{"type": "array"}`},
		"a type of another language":  {`{"type": "string", "maxLength": 3}`, `{"type": "text"}`},
		"a limit that is no number":   {`"maxLength": 3`, `"maxLength": "3"`},
		"a reference to nothing":      {`"schema": {"$ref": "#/components/schemas/Page"}`, `"schema": {"$ref": "#/components/schemas/Leaf"}`},
		"a reference out of the file": {`"schema": {"$ref": "#/components/schemas/Page"}`, `"schema": {"$ref": "https://example.com/page.json"}`},
		"lines of nothing":            {`"x-line-schema": "#/components/schemas/Page"`, `"x-line-schema": "#/components/schemas/Leaf"`},
	} {
		changed := strings.Replace(book, c[0], c[1], 1)
		if changed == book {
			t.Errorf("%s: nothing was changed", name)
		}
		if _, err := openapitest.Read([]byte(changed)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestARequestIsHeldAgainstItsOperation(t *testing.T) {
	d := read(t)
	for name, c := range map[string]struct {
		method, target, body string
		headers              []string // with Authorization and a JSON body by default
		want                 string   // part of the error, "" for none
	}{
		"all of it":                 {"GET", "/pages/7?dark=true", "", []string{"Lamp", "oil"}, ""},
		"the least of it":           {"GET", "/pages/1", "", nil, ""},
		"a body":                    {"PUT", "/pages/7", page, nil, ""},
		"a path without values":     {"GET", "/pages/last", "", nil, ""},
		"no path":                   {"GET", "/leaves/7", "", nil, "no path"},
		"a path with more":          {"GET", "/pages/7/8", "", nil, "no path"},
		"a method that is not":      {"POST", "/pages/7", page, nil, "no operation"},
		"a path value of no type":   {"GET", "/pages/seven", "", nil, "path parameter n"},
		"a path value out of range": {"GET", "/pages/0", "", nil, "path parameter n"},
		"a query value of no type":  {"GET", "/pages/7?dark=1", "", nil, "query parameter dark"},
		"a query value twice":       {"GET", "/pages/7?dark=true&dark=true", "", nil, "2 values"},
		"a query of no parameter":   {"GET", "/pages/7?light=true", "", nil, "light is not in the document"},
		"a query that is none":      {"GET", "/pages/7?dark=%zz", "", nil, "query"},
		"a header too long":         {"GET", "/pages/7", "", []string{"Lamp", "neon"}, "header parameter Lamp"},
		"nobody":                    {"GET", "/pages/7", "", []string{"Authorization", ""}, "no Authorization"},
		"a body for a reader":       {"GET", "/pages/7", page, nil, "takes no body"},
		"no body for a writer":      {"PUT", "/pages/7", "", nil, "no body"},
		"a body of another type":    {"PUT", "/pages/7", page, []string{"Content-Type", "text/plain"}, "content type text/plain"},
		"a body without type":       {"PUT", "/pages/7", page, []string{"Content-Type", ""}, "content type"},
		"a body without a member":   {"PUT", "/pages/7", `{}`, nil, "id"},
		"a body with another":       {"PUT", "/pages/7", `{"id": "0193b2c4-0000-7000-8000-000000000000", "n": 7}`, nil, "n"},
		"a body that is not JSON":   {"PUT", "/pages/7", page + "}", nil, "not JSON"},
	} {
		r := httptest.NewRequest(c.method, c.target, nil)
		r.Header.Set("Authorization", "Bearer x")
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(c.headers); i += 2 {
			r.Header.Set(c.headers[i], c.headers[i+1])
		}
		wants(t, name, d.Request(r, []byte(c.body)), c.want)
	}
}

func TestAnAnswerIsHeldAgainstItsStatus(t *testing.T) {
	d := read(t)
	for name, c := range map[string]struct {
		method, target string
		status         int
		form, body     string
		words          string
		want           string
	}{
		"JSON":                         {"GET", "/pages/7", 200, "application/json; charset=utf-8", page, "1", ""},
		"lines":                        {"GET", "/pages/7", 200, "application/x-ndjson", strings.Repeat(page+"\n", 3), "1", ""},
		"text":                         {"GET", "/pages/7", 200, "text/plain", "a page", "1", ""},
		"nothing":                      {"PUT", "/pages/7", 204, "", "", "", ""},
		"a status that is not there":   {"GET", "/pages/7", 404, "application/json", page, "1", "status 404"},
		"a type that is not there":     {"GET", "/pages/7", 200, "application/problem+json", page, "1", "content type"},
		"no type":                      {"GET", "/pages/7", 200, "", page, "1", "content type"},
		"a body that is not there":     {"PUT", "/pages/7", 204, "application/json", page, "", "content type"},
		"no body":                      {"GET", "/pages/7", 200, "application/json", "", "1", "not JSON"},
		"a member of another type":     {"GET", "/pages/7", 200, "application/json", `{"id": 7}`, "1", "id"},
		"a member of another format":   {"GET", "/pages/7", 200, "application/json", `{"id": "7"}`, "1", "uuid"},
		"a member that is missing":     {"GET", "/pages/7", 200, "application/json", `{"notes": []}`, "1", "id"},
		"a member that nobody knows":   {"GET", "/pages/7", 200, "application/json", strings.Replace(page, `"notes"`, `"note"`, 1), "1", "note"},
		"the same further in":          {"GET", "/pages/7", 200, "application/json", strings.Replace(page, `"text"`, `"txt"`, 1), "1", "txt"},
		"a third line that is no page": {"GET", "/pages/7", 200, "application/x-ndjson", page + "\n" + page + "\n{}\n", "1", "line 3"},
		"a text too long":              {"GET", "/pages/7", 200, "text/plain", "a long page", "1", "maxLength"},
		"a header that is missing":     {"GET", "/pages/7", 200, "application/json", page, "", "header Words: missing"},
		"a header of another type":     {"GET", "/pages/7", 200, "application/json", page, "many", "header Words"},
	} {
		header := http.Header{}
		for name, value := range map[string]string{"Content-Type": c.form, "Words": c.words} {
			if value != "" {
				header.Set(name, value)
			}
		}
		wants(t, name, d.Answer(httptest.NewRequest(c.method, c.target, nil), c.status, header, []byte(c.body)), c.want)
	}
	wants(t, "a component", d.Value("Page", []byte(page)), "")
	wants(t, "a component that is not so", d.Value("Page", []byte(`[]`)), "object")
	wants(t, "no component", d.Value("Leaf", []byte(`{}`)), "no schema")
}

func wants(t *testing.T, name string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v", name, err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%s: %v, want something of %q", name, err, want)
	}
}
