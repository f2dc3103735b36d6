package auth

import (
	"net"
	"net/url"
	"strings"

	"github.com/sambang-id/sambang/syncproto"
)

const (
	payloadPrefix  = "sambang:1?"
	maxPayload     = 1024 // a QR code that a cheap phone reads from a screen
	secretBytes    = 16   // 128 bits: a plain hash of it may be stored
	enrolmentBytes = 10
	pinBytes       = 32
)

// Payload is what an enrolment code says: the text of the QR code.
type Payload struct {
	// URL is the server's address, without path.
	URL string
	// Pin is the SHA-256 of the server certificate's SubjectPublicKeyInfo, or
	// empty if the system's authorities vouch for it.
	Pin []byte
	// Enrolment names the code, Secret opens it.
	Enrolment string
	Secret    []byte
}

// String returns the one text of the payload.
func (p Payload) String() string {
	var b strings.Builder
	b.WriteString(payloadPrefix + "u=" + url.QueryEscape(p.URL))
	if len(p.Pin) > 0 {
		b.WriteString("&p=" + b64.EncodeToString(p.Pin))
	}
	b.WriteString("&e=" + p.Enrolment + "&s=" + b64.EncodeToString(p.Secret))
	return b.String()
}

// ParsePayload reads a code. Whatever it accepts has the same text again. The
// error has code enrolment_invalid and quotes nothing.
func ParsePayload(s string) (Payload, error) {
	bad := func(why string) (Payload, error) {
		return Payload{}, syncproto.Errorf(syncproto.CodeEnrolmentInvalid, "the code %s", why)
	}
	rest, ok := strings.CutPrefix(s, payloadPrefix)
	if !ok || len(s) > maxPayload {
		return bad("is not one of Sambang, version 1")
	}
	var p Payload
	parts := strings.Split(rest, "&")
	value := func(key string) (string, bool) {
		if len(parts) == 0 {
			return "", false
		}
		v, ok := strings.CutPrefix(parts[0], key+"=")
		if ok {
			parts = parts[1:]
		}
		return v, ok
	}
	u, ok := value("u")
	if !ok {
		return bad("names no server")
	}
	var err error
	if p.URL, err = url.QueryUnescape(u); err != nil || CheckURL(p.URL) != nil {
		return bad("names no server that may be used")
	}
	if pin, ok := value("p"); ok {
		if p.Pin, ok = decode64(pin, pinBytes); !ok {
			return bad("has a damaged pin")
		}
	}
	if p.Enrolment, ok = value("e"); !ok || !isEnrolmentID(p.Enrolment) {
		return bad("has a damaged id")
	}
	secret, ok := value("s")
	if !ok {
		return bad("has no secret")
	}
	if p.Secret, ok = decode64(secret, secretBytes); !ok {
		return bad("has a damaged secret")
	}
	if len(parts) != 0 || p.String() != s {
		return bad("is not in its usual form")
	}
	return p, nil
}

func isEnrolmentID(s string) bool {
	return len(s) == b32.EncodedLen(enrolmentBytes) && isBase32(s)
}

// CheckURL refuses an address that a code must not name: anything but https
// with a host and no path, or http to the same machine, for trials.
func CheckURL(s string) error {
	u, err := url.Parse(s)
	bad := func(why string) error {
		return syncproto.Errorf(syncproto.CodeMalformed, "the server's address %s", why)
	}
	switch {
	case err != nil || u.Hostname() == "":
		return bad("is not a URL with a host")
	case u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || u.ForceQuery || u.String() != s:
		return bad("must be scheme, host and port alone")
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }):
		return bad("has characters outside ASCII; write an international name in its xn-- form")
	case s != strings.ToLower(s):
		return bad("has capital letters; one server has one address") // or one code would have several texts
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return nil
	}
	return bad("must begin with https://; http is for this machine alone")
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
