package auth_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/server/internal/auth"
	"github.com/sambang-id/sambang/syncproto"
)

func examplePayload() auth.Payload {
	return auth.Payload{URL: "https://sync.example.go.id:8443", Pin: bytes.Repeat([]byte{7}, 32), Enrolment: "mzxw6ytboi4dcmrt"[:16], Secret: []byte("0123456789abcdef")}
}

func TestPayloadHasOneText(t *testing.T) {
	const want = "sambang:1?u=https%3A%2F%2Fsync.example.go.id%3A8443&p=BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc&e=abcdefghijklmnop&s=MDEyMzQ1Njc4OWFiY2RlZg"
	p := examplePayload()
	p.Enrolment = "abcdefghijklmnop"
	if got := p.String(); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	back, err := auth.ParsePayload(want)
	if err != nil || back.String() != want || !bytes.Equal(back.Pin, p.Pin) || !bytes.Equal(back.Secret, p.Secret) || back.URL != p.URL {
		t.Errorf("parsed %+v, %v", back, err)
	}
}

func TestPayloadOfAnotherFormIsRefused(t *testing.T) {
	const tail = "&e=abcdefghijklmnop&s=MDEyMzQ1Njc4OWFiY2RlZg"
	const u = "u=https%3A%2F%2Fa.example"
	for name, s := range map[string]string{
		"empty":                     "",
		"another scheme":            "http://a.example",
		"a later version":           "sambang:2?" + u + tail,
		"no server":                 "sambang:1?" + tail[1:],
		"plain http":                "sambang:1?u=http%3A%2F%2Fa.example" + tail,
		"http to a lookalike":       "sambang:1?u=http%3A%2F%2F127.0.0.1.example" + tail,
		"a path":                    "sambang:1?u=https%3A%2F%2Fa.example%2Fx" + tail,
		"a query":                   "sambang:1?u=https%3A%2F%2Fa.example%3Fx" + tail,
		"a user":                    "sambang:1?u=https%3A%2F%2Fu%40a.example" + tail,
		"another scheme inside":     "sambang:1?u=file%3A%2F%2Fa.example" + tail,
		"an international name":     "sambang:1?u=https%3A%2F%2Fs%C3%A4mbang.example" + tail,
		"a line break":              "sambang:1?u=https%3A%2F%2Fa.example%0A" + tail,
		"an unescaped server":       "sambang:1?u=https://a.example" + tail,
		"escapes in lower case":     "sambang:1?u=https%3a%2f%2fa.example" + tail,
		"a short pin":               "sambang:1?" + u + "&p=AAAA" + tail,
		"an empty pin":              "sambang:1?" + u + "&p=" + tail,
		"another order":             "sambang:1?e=abcdefghijklmnop&" + u + "&s=MDEyMzQ1Njc4OWFiY2RlZg",
		"one parameter twice":       "sambang:1?" + u + tail + "&s=MDEyMzQ1Njc4OWFiY2RlZg",
		"one parameter more":        "sambang:1?" + u + tail + "&x=1",
		"an id in upper case":       "sambang:1?" + u + "&e=ABCDEFGHIJKLMNOP&s=MDEyMzQ1Njc4OWFiY2RlZg",
		"a secret with spare bits":  "sambang:1?" + u + "&e=abcdefghijklmnop&s=MDEyMzQ1Njc4OWFiY2RlZh",
		"a secret with padding":     "sambang:1?" + u + tail + "==",
		"a secret with a break":     "sambang:1?" + u + "&e=abcdefghijklmnop&s=MDEyMzQ1Njc4OW\nFiY2RlZg",
		"a short secret":            "sambang:1?" + u + "&e=abcdefghijklmnop&s=MDEy",
		"a space behind":            "sambang:1?" + u + tail + " ",
		"too long":                  "sambang:1?u=https%3A%2F%2F" + strings.Repeat("a", 2000) + tail,
		"invalid UTF-8 in the host": "sambang:1?u=https%3A%2F%2F%FFa.example" + tail,
	} {
		t.Run(name, func(t *testing.T) {
			p, err := auth.ParsePayload(s)
			wantCode(t, err, syncproto.CodeEnrolmentInvalid)
			if err != nil && strings.Contains(err.Error(), "MDEy") {
				t.Errorf("the error quotes the secret: %v", err)
			}
			_ = p
		})
	}
}

func FuzzParsePayload(f *testing.F) {
	f.Add(examplePayload().String())
	f.Add("sambang:1?u=http%3A%2F%2F127.0.0.1%3A8080&e=abcdefghijklmnop&s=MDEyMzQ1Njc4OWFiY2RlZg")
	f.Add("sambang:1?u=&p=&e=&s=")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := auth.ParsePayload(s)
		if err == nil && p.String() != s {
			t.Errorf("%q parses and is written %q", s, p.String())
		}
	})
}

func TestQRCodeIsDrawn(t *testing.T) {
	var b bytes.Buffer
	if err := auth.WriteQR(&b, examplePayload().String()); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	width := len([]rune(strings.TrimSuffix(strings.TrimPrefix(lines[0], "\x1b[30;107m"), "\x1b[0m")))
	// A code is square, with two modules a line and a quiet zone of 4 around.
	if len(lines) != (width+1)/2 || width < 8+21 {
		t.Errorf("%d lines of %d characters", len(lines), width)
	}
	if err := auth.WriteQR(&b, strings.Repeat("x", 5000)); err == nil {
		t.Error("drew a text that no QR code holds")
	}
}
