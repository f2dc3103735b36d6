package gen

import (
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/vectors"
)

// values are cases of the canonical form.
func values() []vectors.Value {
	var out []vectors.Value
	for _, in := range []string{
		`null`, `true`, `false`, `""`, `0`, `[]`, `{}`, ` [ 1 , 2 ] `, `{"b":1,"a":{"d":1,"c":2}}`, `{"":1}`,
		`{"\n":1,"A":2}`, `{"A":2,"\n":1}`, `{"z":1,"é":2,"\ud83d\ude00":3,"￿":4}`,
		`-0`, `0.0`, `1.50`, `-1.50e1`, `1e3`, `1E+3`, `12e-3`, `100`, `0.1e1`, `1e40`, `1e41`, `1e-40`, `123456789012345678901234567890.1234567890`,
		`1234567890123456789012345678901234567890`, `12345678901234567890123456789012345678901`, `01`, `1.`, `.5`, `+1`, `0x1`, `1e`, `NaN`, `-`,
		`"\u0041\u00e9\/"`, `"é"`, `"e\u0301"`, `"\u212b"`, `"\ud83d\ude00"`, `"\"\\\b\f\n\r\t"`, `"\u001f\u007f"`, `"\u000A"`, `"<&>\u2028"`,
		`"\ud83d"`, `"\ude00"`, `"\ud83dx"`, `"\u0000"`, `"\x41"`, `"a`, "\"a\nb\"",
		`{"a":1,"a":1}`, `{"é":1,"e\u0301":2}`, `{a:1}`, `{"a" 1}`, `[1,]`, `{"a":1,}`, `1 2`, ``, `nul`, `'a'`, "\f1", "\u00a01",
		strings.Repeat("[", 16) + "1" + strings.Repeat("]", 16), strings.Repeat("[", 17) + "1" + strings.Repeat("]", 17), strings.Repeat("[", 17) + strings.Repeat("]", 17),
		"\"\xff\"", "\"\xed\xa0\x80\"",
	} {
		v := vectors.Value{In: in}
		if !utf8.ValidString(in) || in == "" {
			v = vectors.Value{InHex: hex.EncodeToString([]byte(in))}
		}
		c, err := syncproto.Canonicalize([]byte(in))
		if err != nil {
			v.Refused = string(syncproto.CodeOf(err))
		}
		v.Canonical = c.JSON()
		out = append(out, v)
	}
	return out
}
