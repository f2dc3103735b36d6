package pack

import (
	"fmt"
	"slices"
	"time"

	"github.com/sambang-id/sambang/syncproto"
)

// Rule compares two fields of a document, which JSON Schema can't. It holds
// if either is missing.
type Rule struct {
	Code  string `json:"code"`
	Left  string `json:"left"`
	Op    string `json:"op"` // ">=" or "<=", as values of their type: instants by time
	Right string `json:"right"`
	// WithinHours bounds the distance of two instants or dates. 0: no bound.
	WithinHours int   `json:"within_hours"`
	Message     Label `json:"message"`
}

func (r Rule) check(k *Kind) error {
	for _, name := range []string{r.Left, r.Right} {
		if f := k.fields[name]; f == nil || f.items() {
			return fmt.Errorf("%q is not a plain field", name)
		}
	}
	if r.Code == "" || !slices.Contains([]string{">=", "<="}, r.Op) || r.WithinHours < 0 || r.Message.Indonesian == "" {
		return fmt.Errorf("needs code, op (>= or <=) and message")
	}
	return nil
}

// holds reports whether the document obeys the rule.
func (r Rule) holds(doc map[string]syncproto.Value) bool {
	a, okA := doc[r.Left]
	b, okB := doc[r.Right]
	if !okA || !okB || typeRank(a) != typeRank(b) {
		return true
	}
	c := compareTyped(a, b)
	if r.Op == ">=" && c < 0 || r.Op == "<=" && c > 0 {
		return false
	}
	x, okX := instant(a)
	y, okY := instant(b)
	if r.WithinHours == 0 || !okX || !okY {
		return true
	}
	return x.Sub(y).Abs() <= time.Duration(r.WithinHours)*time.Hour
}

// instant reads an RFC 3339 time or a date.
func instant(v syncproto.Value) (time.Time, bool) {
	s := unquote(v)
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, true
	}
	t, err := time.Parse(time.DateOnly, s)
	return t, err == nil
}
