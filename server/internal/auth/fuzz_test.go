package auth_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sambang-id/sambang/server/internal/auth/authtest"
	"github.com/sambang-id/sambang/syncproto"
)

// FuzzPersonToken: headers and claims of any kind, signed by the server's own
// key: what is refused is refused by rule, and who passes may be somebody.
func FuzzPersonToken(f *testing.F) {
	o := newOffice(f)
	token, err := o.identity.IssuePersonToken(siti(), time.Hour, now, rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	var parts [2][]byte
	for i, p := range strings.Split(token, ".")[:2] {
		if parts[i], err = base64.RawURLEncoding.DecodeString(p); err != nil {
			f.Fatal(err)
		}
	}
	claims := string(parts[1])
	f.Add(parts[0], true)
	f.Add(parts[1], false)
	for _, change := range [][2]string{
		{`"role":"viewer"`, `"role":"root"`}, {`"role":"viewer"`, `"role":["admin"]`}, {`"35.24"`, `"35.24","x"`}, {`"35.24"`, `""`}, {`"D"`, `"X"`},
		{`"aud":["`, `"aud":["x","`}, {`"exp":`, `"exp":-`}, {`"exp":`, `"exp":1e999,"x":`}, {`"iat":`, `"iat":9`}, {`"sub":"siti"`, `"sub":""`},
	} {
		f.Add([]byte(strings.Replace(claims, change[0], change[1], 1)), false)
	}
	f.Fuzz(func(t *testing.T, part []byte, isHeader bool) {
		h, c := parts[0], parts[1]
		if isHeader {
			h = part
		} else {
			c = part
		}
		signed := authtest.B64(h) + "." + authtest.B64(c)
		p, err := o.identity.VerifyPerson(signed+"."+authtest.B64(ed25519.Sign(o.identity.TokenKey, []byte(signed))), now)
		if err != nil {
			if code := syncproto.CodeOf(err); code == syncproto.CodeInternal {
				t.Errorf("no code: %v", err)
			}
			return
		}
		if p.Subject == "" || p.Role != "viewer" && p.Role != "operator" && p.Role != "admin" || len(p.Regions) == 0 || p.Expires < now.Unix()-30 {
			t.Errorf("passes as %+v", p)
		}
		for _, r := range p.Regions {
			if _, err := syncproto.ParseRegion(string(r)); err != nil {
				t.Errorf("region %q passes", r)
			}
		}
		var header map[string]any
		if json.Unmarshal(h, &header) != nil || header["alg"] != "EdDSA" || header["typ"] != "sambang-hq+jwt" || len(header) != 3 {
			t.Errorf("header %q passes", h)
		}
	})
}
