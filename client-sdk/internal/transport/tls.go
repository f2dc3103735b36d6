package transport

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"github.com/sambang-id/sambang/syncproto"
)

// newTransport returns a transport that trusts the pin, or the system's
// authorities at the corrected time.
func newTransport(c Config) *http.Transport {
	t := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   30 * time.Second,
		ExpectContinueTimeout: 0, // a round trip that the body does not need
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   2,
		DisableCompression:    true,
		ForceAttemptHTTP2:     true,
	}
	t.TLSClientConfig = &tls.Config{
		MinVersion:         tls.VersionTLS12,
		Time:               func() time.Time { return c.Clock().Add(c.Offset()) },
		ClientSessionCache: tls.NewLRUClientSessionCache(4),
	}
	if len(c.Pin) > 0 {
		pin(t.TLSClientConfig, c.Pin)
	}
	return t
}

// pin makes the connection trust the server's key itself, not the dates and
// names of its certificate: a phone whose clock stands in 1970 must be able to
// ask what time it is, and the enrolment code has named the key.
func pin(config *tls.Config, want []byte) {
	config.InsecureSkipVerify = true //nolint:gosec // VerifyConnection takes its place, on resumed sessions too
	config.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) > 0 {
			sum := sha256.Sum256(s.PeerCertificates[0].RawSubjectPublicKeyInfo)
			if subtle.ConstantTimeCompare(sum[:], want) == 1 {
				return nil
			}
		}
		return syncproto.Errorf(syncproto.CodeWrongServer, "the server's key is not the one of the enrolment code")
	}
}
