package syncproto_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/syncproto"
)

// indirect hides a value from the one-pass encoder, so that it goes through
// encoding/json and Canonicalize.
type indirect struct{ x any }

func (i indirect) MarshalJSON() ([]byte, error) { return json.Marshal(i.x) }

func TestBothWaysToAValueGiveTheSameBytes(t *testing.T) {
	deep := any("x")
	for range syncproto.MaxValueDepth {
		deep = []any{deep}
	}
	for _, x := range []any{
		nil, true, false, "", "abc", "é", "e\u0301", "<&>\u2028", "\"\\/\b\f\n\r\t\x01\x7f", "😀",
		0, -7, int64(math.MaxInt64), 0.0, math.Copysign(0, -1), 1.5, -2.25, 1e21, 1e-7, 123456789.125, 5e-324,
		json.Number("1.50"), json.Number("-0"), json.Number("1E3"), []any{}, []any(nil), map[string]any{}, map[string]any(nil),
		map[string]any{"b": 1.0, "a": []any{"x", nil, map[string]any{"é": json.Number("2.0"), "z": "\n"}}},
		map[string]any{"e\u0301": "decomposed key"}, deep,
		json.Number("x"), math.NaN(), math.Inf(1), "a\x00b", []any{deep}, strings.Repeat("x", syncproto.MaxValueBytes),
	} {
		direct, errA := syncproto.NewValue(x)
		around, errB := syncproto.NewValue(indirect{x})
		if (errA == nil) != (errB == nil) || direct != around {
			t.Errorf("%#v: %s (%v), the other way %s (%v)", x, direct.JSON(), errA, around.JSON(), errB)
			continue
		}
		if errA == nil {
			if _, err := syncproto.ParseValue([]byte(direct.JSON())); err != nil {
				t.Errorf("%#v: %s is not canonical: %v", x, direct.JSON(), err)
			}
		}
	}
	if _, err := syncproto.NewValue("\xff"); syncproto.CodeOf(err) != syncproto.CodeInvalidUTF8 {
		t.Errorf("damaged text: %v, want invalid_utf8", err)
	}
}
