package syncproto_test

import (
	"testing"

	"github.com/sambang-id/sambang/syncproto"
)

func TestValuesAreCanonical(t *testing.T) {
	for in, want := range map[string]string{
		`{"b":1,"a":[1.50,2e2,-0,0.10e1]}`: `{"a":[1.5,200,0,1],"b":1}`,
		`"\u00e9\u0041\/"`:                 `"éA/"`,
		`"e\u0301"`:                        `"é"`,
		` 12e-3 `:                          `0.012`,
		`"\ud83d\ude00"`:                   `"😀"`,
		`1e3`:                              `1000`,
		`"\u001F\n"`:                       `"\u001f\n"`,
	} {
		v, err := syncproto.Canonicalize([]byte(in))
		if err != nil || v.JSON() != want {
			t.Errorf("Canonicalize(%s) = %s, %v; want %s", in, v.JSON(), err, want)
		}
		if _, err := syncproto.ParseValue([]byte(want)); err != nil {
			t.Errorf("ParseValue(%s): %v", want, err)
		}
	}
	for _, in := range []string{`{"a":1,"a":2}`, `{"b":1,"a":1,"a":2}`, `01`, `1.`, `"\ud800"`, `"\u0000"`, `[1,]`, `nul`, "\"\xff\"", `{"é":1,"e\u0301":2}`} {
		if v, err := syncproto.Canonicalize([]byte(in)); err == nil {
			t.Errorf("Canonicalize(%q) = %s, want an error", in, v.JSON())
		}
	}
}
