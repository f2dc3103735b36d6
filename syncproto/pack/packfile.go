package pack

import "encoding/json"

// The annotations as a pack writes them; see the package comment.

type packFile struct {
	Schema string                     `json:"$schema"`
	ID     string                     `json:"$id"`
	Head   *head                      `json:"x-sambang-pack"`
	Defs   map[string]json.RawMessage `json:"$defs"`
}

type head struct {
	Format        int              `json:"format"`
	Name          string           `json:"name"`
	Version       string           `json:"version"`
	DefaultClass  string           `json:"default_class"`
	Classes       map[string]Label `json:"classes"`
	Sensitivities map[string]Label `json:"sensitivities"`
	Tables        map[string][]Row `json:"tables"`
}

type kindFile struct {
	Type       string                     `json:"type"`
	Properties map[string]json.RawMessage `json:"properties"`
	Required   []string                   `json:"required"`
	Sambang    *kindNote                  `json:"x-sambang"`
}

type kindNote struct {
	Kind       bool                 `json:"kind"`
	Label      Label                `json:"label"`
	Note       string               `json:"note"`
	NaturalKey string               `json:"natural_key"`
	Groups     map[string]groupNote `json:"groups"`
	Rules      []Rule               `json:"rules"`
	Evidence   []evidenceNote       `json:"evidence"`
}

type evidenceNote struct {
	Field string          `json:"field"`
	Value json.RawMessage `json:"value"`
	Is    string          `json:"is"`
}

type groupNote struct {
	Label  Label  `json:"label"`
	Policy Policy `json:"policy"`
}

type fieldFile struct {
	Enum    []any           `json:"enum"`
	Items   json.RawMessage `json:"items"`
	Ref     string          `json:"$ref"`
	Sambang *fieldNote      `json:"x-sambang"`
}

type fieldNote struct {
	Type        string              `json:"type"`
	Label       Label               `json:"label"`
	Rule        string              `json:"rule"`
	Policy      Policy              `json:"policy"`
	Shape       Shape               `json:"shape"`
	Class       string              `json:"class"`
	Sensitivity string              `json:"sensitivity"`
	Group       string              `json:"group"`
	Ref         string              `json:"ref"`
	Key         string              `json:"key"`
	Natural     []string            `json:"natural"`
	Order       string              `json:"order"`
	Choices     map[string]Label    `json:"choices"`
	Moves       map[string][]string `json:"moves"`
	Final       []string            `json:"final"`
	Derive      *Derivation         `json:"derive"`
}
