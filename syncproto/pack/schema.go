package pack

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/sambang-id/sambang/syncproto"
)

// schemaURL names the pack's document to the library; nothing is ever loaded
// from it.
const schemaURL = "https://pack.sambang.invalid/pack.json"

// schema compiles the entries of a pack's $defs when they are first needed: a
// phone that shows an inspection does not pay for the other kinds.
type schema struct {
	notes map[string]*ruleNote // by the pointer of the subschema

	mu       sync.Mutex
	text     []byte
	compiler *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema
}

// ruleNote is the annotation of a subschema that stands for one rule.
type ruleNote struct {
	Code    string   `json:"code"`
	Message *Label   `json:"message"`
	Path    string   `json:"path"`  // where a form shows it
	Needs   []string `json:"needs"` // the fields without which the rule can't be judged
}

func newSchema(text []byte) (*schema, error) {
	s := &schema{text: bytes.Clone(text), compiled: map[string]*jsonschema.Schema{}, notes: map[string]*ruleNote{}}
	var file struct {
		Defs map[string]struct {
			AllOf []struct {
				Note *ruleNote `json:"x-sambang"`
			} `json:"allOf"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, bad("$defs: %s", shorten(err))
	}
	for name, d := range file.Defs {
		for n, r := range d.AllOf {
			if r.Note == nil || r.Note.Message == nil {
				continue
			}
			if r.Note.Code == "" || r.Note.Message.Indonesian == "" {
				return nil, bad("$defs/%s/allOf/%d: a rule needs code and message", name, n)
			}
			s.notes["/$defs/"+name+"/allOf/"+strconv.Itoa(n)] = r.Note
		}
	}
	return s, nil
}

// get returns the compiled schema of an entry of $defs.
func (s *schema) get(name string) (*jsonschema.Schema, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.compiled[name]; ok {
		return c, nil
	}
	if s.compiler == nil {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(s.text))
		if err != nil {
			return nil, bad("pack: %s", shorten(err))
		}
		c := jsonschema.NewCompiler()
		c.DefaultDraft(jsonschema.Draft2020)
		c.UseLoader(noLoader{})
		c.AssertFormat()
		c.RegisterFormat(&jsonschema.Format{Name: "sambang-mrz", Validate: checkMRZ})
		if err := c.AddResource(schemaURL, doc); err != nil {
			return nil, bad("pack: %s", shorten(err))
		}
		s.compiler = c
	}
	c, err := s.compiler.Compile(schemaURL + "#/$defs/" + name)
	if err != nil {
		return nil, bad("$defs/%s: %s", name, reason(err))
	}
	s.compiled[name] = c
	return c, nil
}

// reason digs out where a schema is not one.
func reason(err error) string {
	var failed *jsonschema.ValidationError
	var invalid *jsonschema.SchemaValidationError
	if errors.As(err, &invalid) && errors.As(invalid.Err, &failed) {
		for len(failed.Causes) > 0 {
			failed = failed.Causes[0]
		}
		rule, message := describe(failed.ErrorKind)
		return "/" + strings.Join(failed.InstanceLocation, "/") + " (" + rule + "): " + message.English
	}
	return shorten(err)
}

func (s *schema) compile(name string) error {
	_, err := s.get(name)
	return err
}

// fits reports whether the document, as decoded JSON, fits an entry of $defs.
func (s *schema) fits(name string, doc map[string]any) bool {
	c, err := s.get(name)
	return err == nil && c.Validate(doc) == nil
}

// note returns the rule that a subschema stands for or is a part of, nil if it
// is a schema like any other.
func (s *schema) note(pointer string) *ruleNote {
	for i := len(pointer); i > 0; i = strings.LastIndexByte(pointer[:i], '/') {
		if n := s.notes[pointer[:i]]; n != nil {
			return n
		}
	}
	return nil
}

// noLoader refuses to load anything: a pack is complete in itself.
type noLoader struct{}

func (noLoader) Load(string) (any, error) {
	return nil, errors.New("a pack may refer only to itself")
}

// checkMRZ is the format sambang-mrz: an array of lines whose check digits fit.
func checkMRZ(v any) error {
	lines, ok := v.([]any)
	if !ok {
		return nil // the type is another keyword's business
	}
	texts := make([]string, len(lines))
	for i, l := range lines {
		if texts[i], ok = l.(string); !ok {
			return nil
		}
	}
	m, err := syncproto.ParseMRZ(texts...)
	if err == nil && !m.Valid() {
		return errors.New("check digit: " + strings.Join(m.Failed, ", "))
	}
	return err
}
