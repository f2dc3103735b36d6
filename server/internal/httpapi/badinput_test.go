package httpapi_test

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/sambang-id/sambang/server/internal/auth"
	"github.com/sambang-id/sambang/server/internal/auth/authtest"
	"github.com/sambang-id/sambang/server/internal/httpapi"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

func wireBody(t *testing.T, raw []byte) []byte {
	t.Helper()
	return wire.CompressSmall(raw)
}

// The rows of the issue's table that are decided before the engine.
func TestBadInput(t *testing.T) {
	r := newRig(t, httpapi.Limits{PerDevice: 1000})
	d := r.enrol()
	good := wireBody(t, frames(t, opening(), batch()))
	plain := frames(t, opening(), batch())
	long := func(n uint64) []byte { return binary.AppendUvarint(nil, n) }
	badText := func(field byte, text string) []byte { // Open with a damaged string field
		open := append([]byte{0x08, 1, field, byte(len(text))}, text...)
		f := append([]byte{0x0a, byte(len(open))}, open...)
		return append([]byte{byte(len(f))}, f...)
	}
	batches := []*wire.RequestFrame{opening()}
	for range syncproto.MaxBatches + 1 {
		batches = append(batches, batch())
	}
	for _, c := range []struct {
		name string
		body []byte
		want syncproto.Code
	}{
		{"empty", nil, syncproto.CodeMalformed},
		{"no frame in the compression", wireBody(t, nil), syncproto.CodeMalformed},
		{"not compressed", plain, syncproto.CodeMalformed},
		{"truncated compression", good[:len(good)-5], syncproto.CodeMalformed},
		{"truncated in the first frame", wireBody(t, plain[:5]), syncproto.CodeMalformed},
		{"truncated in the second frame", wireBody(t, plain[:len(plain)-1]), syncproto.CodeMalformed},
		{"truncated in a length", wireBody(t, append(bytes.Clone(plain), 0x80)), syncproto.CodeMalformed},
		{"bytes behind the compression", append(bytes.Clone(good), "garbage"...), syncproto.CodeMalformed},
		{"frame of 2^62 bytes", wireBody(t, long(1<<62)), syncproto.CodeMalformed},
		{"length that never ends", wireBody(t, bytes.Repeat([]byte{0x80}, 100)), syncproto.CodeMalformed},
		{"frame above the limit", wireBody(t, long(syncproto.MaxFrameBytes+1)), syncproto.CodeTooLarge},
		{"first frame is a batch", wireBody(t, frames(t, batch())), syncproto.CodeMalformed},
		{"second Open", wireBody(t, frames(t, opening(), opening())), syncproto.CodeMalformed},
		{"frame of no message", wireBody(t, []byte{0}), syncproto.CodeMalformed},
		{"frame of noise", wireBody(t, []byte{4, 0xff, 0xff, 0xff, 0xff}), syncproto.CodeMalformed},
		{"too many batches", wireBody(t, frames(t, batches...)), syncproto.CodeTooMany},
		// In a record it costs that record alone, with invalid_utf8: the engine's tests.
		{"invalid UTF-8 in the Open", wireBody(t, badText(0x6a, "\xff\xfe")), syncproto.CodeMalformed},
		{"bomb of 2 GiB of zeros", bomb(t, 2<<30), syncproto.CodeDecompressedSize},
		{"compression with a window of 512 MiB", []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x98, 0x01, 0x00, 0x00}, syncproto.CodeMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := r.sync(d, bytes.NewReader(c.body))
			if c.name == "bomb of 2 GiB of zeros" && (a.code == syncproto.CodeMalformed || a.code == syncproto.CodeTooMany || a.code == syncproto.CodeTooLarge) {
				return // zeros are frames without message: refused at the first
			}
			r.want(a, c.want)
		})
	}
	headers := func(name string, want syncproto.Code, body io.Reader, h ...string) {
		t.Run(name, func(t *testing.T) {
			r.want(r.do("POST", "/v1/sync", body, h...), want)
		})
	}
	token := func() string { return "Bearer " + d.Token(r.now()) }
	const kind = wire.ContentTypeProtobuf
	headers("no content type", syncproto.CodeUnsupportedMedia, bytes.NewReader(good), "Authorization", token())
	headers("another content type", syncproto.CodeUnsupportedMedia, bytes.NewReader(good), "Authorization", token(), "Content-Type", "application/json")
	headers("another encoding", syncproto.CodeUnsupportedMedia, bytes.NewReader(good), "Authorization", token(), "Content-Type", kind, "Content-Encoding", "gzip")
	headers("two encodings", syncproto.CodeUnsupportedMedia, bytes.NewReader(good), "Authorization", token(), "Content-Type", kind, "Content-Encoding", "zstd, zstd")
	headers("announced above the limit", syncproto.CodeTooLarge, bytes.NewReader(make([]byte, syncproto.MaxBodyBytes+1)), "Authorization", token(), "Content-Type", kind)
	headers("deep JSON", syncproto.CodeMalformed, strings.NewReader(`{"open":{"claims":`+strings.Repeat("[", 20_000)+strings.Repeat("]", 20_000)+"}}\n"), "Authorization", token(), "Content-Type", wire.ContentTypeJSON)
	headers("JSON that is none", syncproto.CodeMalformed, strings.NewReader("{\n"), "Authorization", token(), "Content-Type", wire.ContentTypeJSON)
	headers("no token", syncproto.CodeUnauthorized, bytes.NewReader(good), "Content-Type", kind)
	headers("another scheme", syncproto.CodeUnauthorized, bytes.NewReader(good), "Content-Type", kind, "Authorization", "Basic YTpi")
	headers("two tokens", syncproto.CodeUnauthorized, bytes.NewReader(good), "Content-Type", kind, "Authorization", token(), "Authorization", token())

	t.Run("larger than the limit, not announced", func(t *testing.T) {
		noise := make([]byte, syncproto.MaxBodyBytes+(1<<20))
		_, _ = rand.Read(noise)
		var z bytes.Buffer
		w := wire.NewBodyWriter(&z)
		whole := frames(t, opening())
		for range 20 { // frames with fields of a later version, that do not compress
			f := append([]byte{0xa2, 0x3e}, binary.AppendUvarint(nil, 1<<20)...)
			f = append(f, noise[:1<<20]...)
			noise = noise[1<<19:]
			whole = append(binary.AppendUvarint(whole, uint64(len(f))), f...)
		}
		if _, err := w.Write(whole); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		a := r.sync(d, struct{ io.Reader }{&z})
		if a.err == nil && a.code != syncproto.CodeTooLarge && a.code != syncproto.CodeMalformed && a.code != syncproto.CodeTooMany {
			t.Errorf("status %d, code %q", a.status, a.code)
		}
	})
	if a := r.sync(d, bytes.NewReader(good)); a.status != http.StatusOK {
		t.Errorf("a good request afterwards: %d %s", a.status, a.body)
	}
}

// bomb compresses n zero bytes behind an Open: about 60 KB for 2 GiB.
func bomb(t *testing.T, n int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(frames(t, opening())); err != nil {
		t.Fatal(err)
	}
	// One field of a frame that claims to be as large as a frame may be, again
	// and again.
	head := append(binary.AppendUvarint(nil, syncproto.MaxFrameBytes), 0xa2, 0x3e)
	head = append(head, binary.AppendUvarint(nil, syncproto.MaxFrameBytes-6)...)
	zeros := make([]byte, syncproto.MaxFrameBytes+len(head))
	copy(zeros, head)
	for done := int64(0); done < n; done += int64(len(zeros)) {
		if _, err := w.Write(zeros[:len(head)+syncproto.MaxFrameBytes-len(head)+3]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestTokensAtTheDoor(t *testing.T) {
	r := newRig(t, httpapi.Limits{})
	d := r.enrol()
	body := func() io.Reader { return bytes.NewReader(wireBody(t, frames(t, opening()))) }
	with := func(token string) answer {
		return r.do("POST", "/v1/sync", body(), "Authorization", "Bearer "+token, "Content-Type", wire.ContentTypeProtobuf, "Content-Encoding", "zstd")
	}
	now := r.now()
	used := d.Token(now)
	if a := with(used); a.status != http.StatusOK {
		t.Fatalf("good token: %d %s", a.status, a.body)
	}
	r.want(with(used), syncproto.CodeTokenReplayed)
	forged := authtest.NewDevice("EdDSA")
	r.want(with(forged.Sign(d.Header(), d.Claims(now))), syncproto.CodeTokenInvalid)
	forged.Server = d.Server
	r.want(with(forged.Token(now)), syncproto.CodeDeviceUnknown)
	claims := d.Claims(now)
	claims["iat"], claims["exp"] = now.Unix()-100, now.Unix()-40
	r.want(with(d.Sign(d.Header(), claims)), syncproto.CodeTokenExpired)
	r.want(with(d.Token(now.Add(48*time.Hour))), syncproto.CodeClockSkew)
	a := with(d.Token(time.Unix(0, 0)))
	r.want(a, syncproto.CodeClockSkew)
	// With the server's time the phone makes a good token.
	var p struct {
		ServerTime int64 `json:"server_time"`
	}
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatal(err)
	}
	if a := with(d.Token(time.UnixMilli(p.ServerTime))); a.status != http.StatusOK {
		t.Errorf("with the corrected clock: %d %s", a.status, a.body)
	}
	claims = d.Claims(now)
	claims["aud"] = "srv-aaaaaaaaaaaaaaaa"
	a = with(d.Sign(d.Header(), claims))
	r.want(a, syncproto.CodeWrongServer)
	if a.header.Get("WWW-Authenticate") == "" {
		t.Error("401 without WWW-Authenticate")
	}
	person, err := r.identity.IssuePersonToken(auth.Person{Subject: "siti", Role: auth.Admin, Regions: []syncproto.Region{"35"}, Classes: []syncproto.Class{"D"}}, time.Hour, now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r.want(with(person), syncproto.CodeTokenInvalid)

	err = r.store.Update(t.Context(), store.Step{Scopes: []string{store.RegistryScope}, Do: func(tx store.Tx) ([]store.Step, error) {
		dev, err := tx.Device(d.ID)
		dev.RevokedAt, dev.Wipe = now.UnixMilli(), true
		if err == nil {
			err = tx.PutDevice(dev)
		}
		return nil, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	a = with(d.Token(now))
	r.want(a, syncproto.CodeDeviceRevoked)
	var wipe struct {
		Wipe *auth.SignedOrder `json:"wipe"`
	}
	if err := json.Unmarshal(a.body, &wipe); err != nil || wipe.Wipe == nil || wipe.Wipe.Key != r.identity.ReceiptKeyID {
		t.Errorf("wipe order: %s", a.body)
	}
	if a := with(forged.Sign(d.Header(), d.Claims(now))); bytes.Contains(a.body, []byte("wipe")) {
		t.Errorf("who does not have the key gets %s", a.body)
	}
}

func TestEnrolmentAtTheDoor(t *testing.T) {
	r := newRig(t, httpapi.Limits{})
	d := authtest.NewDevice("ES256")
	good, err := json.Marshal(d.EnrolBody(r.code(), "HP uji"))
	if err != nil {
		t.Fatal(err)
	}
	post := func(body string, headers ...string) answer {
		return r.do("POST", "/v1/enrol", strings.NewReader(body), append(headers, "Content-Type", "application/json")...)
	}
	r.want(r.do("POST", "/v1/enrol", bytes.NewReader(good)), syncproto.CodeUnsupportedMedia)
	r.want(r.do("POST", "/v1/enrol", bytes.NewReader(good), "Content-Type", "text/plain"), syncproto.CodeUnsupportedMedia)
	r.want(post(""), syncproto.CodeMalformed)
	r.want(post(string(good[:len(good)-3])), syncproto.CodeMalformed)
	r.want(post(strings.Repeat("[", 10_000)), syncproto.CodeMalformed)
	r.want(post(`{"a":"`+strings.Repeat("a", auth.MaxEnrolBody)+`"}`), syncproto.CodeTooLarge)
	r.want(post("{\"secret\":\"\xff\"}"), syncproto.CodeInvalidUTF8)
	r.want(post(strings.Replace(string(good), "HP uji", "HP lain", 1)), syncproto.CodeEnrolmentInvalid)
	if a := post(string(good), "Content-Type", "application/json; charset=utf-8"); a.status != http.StatusCreated {
		t.Fatalf("good: %d %s", a.status, a.body)
	}
	late, err := json.Marshal(authtest.NewDevice("EdDSA").EnrolBody(r.code(), "HP uji"))
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.clock += auth.CodeLife
	r.mu.Unlock()
	r.want(post(string(late)), syncproto.CodeEnrolmentExpired)
}
