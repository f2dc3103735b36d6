package transport_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/client-sdk/internal/transport"
	"github.com/sambang-id/sambang/syncproto"
)

const pin = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

func TestEnrolmentCodes(t *testing.T) {
	const rest = "&e=mzxw6ytboi4dcmrt&s=AAECAwQFBgcICQoLDA0ODw"
	for code, good := range map[string]bool{
		"sambang:1?u=https%3A%2F%2Fsync.example.go.id&p=" + pin + rest:          true,
		" sambang:1?u=https%3A%2F%2Fsync.example.go.id%3A8443&p=" + rest + "\n": true,
		"sambang:1?u=http%3A%2F%2F127.0.0.1%3A8080&p=" + rest:                   true,
		"sambang:1?u=http%3A%2F%2Fsync.example.go.id&p=" + rest:                 false, // not in clear text
		"sambang:1?u=https%3A%2F%2Fa%3Ab%40sync.example.go.id&p=" + rest:        false,
		"sambang:1?u=ftp%3A%2F%2Fsync.example.go.id&p=" + rest:                  false,
		"sambang:2?u=https%3A%2F%2Fsync.example.go.id&p=" + rest:                false,
		"sambang:1?u=https%3A%2F%2Fsync.example.go.id&p=short" + rest:           false,
		"sambang:1?u=https%3A%2F%2Fsync.example.go.id&p=&e=&s=":                 false,
		"sambang:1?u=https%3A%2F%2Fsync.example.go.id&p=&e=a&s=AAEC":            false,
		"": false,
	} {
		_, err := transport.ParseCode(code)
		if (err == nil) != good || err != nil && !errors.Is(err, syncproto.CodeEnrolmentInvalid) {
			t.Errorf("%q: %v", code, err)
		}
		if err != nil && strings.Contains(err.Error(), "AAECAwQFBgcICQoLDA0ODw") {
			t.Errorf("the error tells the secret: %v", err)
		}
	}
}

func FuzzParseCode(f *testing.F) {
	f.Add("sambang:1?u=https%3A%2F%2Fsync.example.go.id&p=" + pin + "&e=mzxw6ytboi4dcmrt&s=AAECAwQFBgcICQoLDA0ODw")
	f.Fuzz(func(t *testing.T, s string) {
		code, err := transport.ParseCode(s)
		if err == nil && (code.URL == "" || code.Enrolment == "" || len(code.Pin) != 0 && len(code.Pin) != 32) {
			t.Errorf("accepted %+v", code)
		}
	})
}
