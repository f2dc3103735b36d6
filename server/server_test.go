package server_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/server/internal/auth/authtest"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

var district = syncproto.Grants{{Region: "35.24.14", Classes: []syncproto.Class{"D", "T"}}}

// open opens a server with one officer.
func open(t *testing.T, c server.Config) *server.Server {
	t.Helper()
	if c.Data == "" {
		c.Data = t.TempDir()
	}
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	s, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.PutOfficer(t.Context(), server.Officer{ID: "budi", Name: "Budi Rekaan", Agency: "imigrasi"}); err != nil {
		t.Fatal(err)
	}
	return s
}

// run serves until the test ends, and returns the URL.
func run(t *testing.T, s *server.Server) string {
	t.Helper()
	if _, err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	u, err := s.URL()
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func post(t *testing.T, client *http.Client, url string, body []byte, headers ...string) (int, []byte, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, b, resp.Header
}

// enrol does what a phone does with a code.
func enrol(t *testing.T, client *http.Client, code string) *authtest.Device {
	t.Helper()
	q, err := url.ParseQuery(strings.TrimPrefix(code, "sambang:1?"))
	if err != nil {
		t.Fatal(err)
	}
	d := authtest.NewDevice("EdDSA")
	body, err := json.Marshal(d.EnrolBody(code, "HP uji"))
	if err != nil {
		t.Fatal(err)
	}
	status, b, _ := post(t, client, q.Get("u")+"/v1/enrol", body, "Content-Type", "application/json")
	var reply struct {
		ServerID string `json:"server_id"`
	}
	if err := json.Unmarshal(b, &reply); err != nil || status != http.StatusCreated {
		t.Fatalf("enrol: %d %s", status, b)
	}
	d.Server = reply.ServerID
	return d
}

// exchange makes an exchange without contents, and returns its Begin.
func exchange(t *testing.T, client *http.Client, url string, d *authtest.Device) (int, *wire.Begin, []byte) {
	t.Helper()
	var b bytes.Buffer
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce)
	err := wire.NewFrameWriter(&b, wire.Protobuf).Request(&wire.RequestFrame{Frame: &wire.RequestFrame_Open{Open: &wire.Open{Version: wire.Version, Nonce: nonce, MaxEntries: 100, App: "uji/1"}}})
	if err != nil {
		t.Fatal(err)
	}
	status, body, header := post(t, client, url+"/v1/sync", wire.CompressSmall(b.Bytes()),
		"Authorization", "Bearer "+d.Token(time.Now()), "Content-Type", wire.ContentTypeProtobuf, "Content-Encoding", "zstd")
	if status != http.StatusOK {
		return status, nil, body
	}
	r, err := wire.NewBodyReader(bytes.NewReader(body), header.Get("Content-Encoding"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := wire.NewFrameReader(r, wire.Protobuf).Response()
	if err != nil || !bytes.Equal(f.GetBegin().GetNonce(), nonce) {
		t.Fatalf("begin %v, %v", f, err)
	}
	return status, f.GetBegin(), body
}

func TestDeviceIsEnrolledExchangesAndIsRevoked(t *testing.T) {
	s := open(t, server.Config{})
	url := run(t, s)
	code, err := s.Enrol(t.Context(), server.EnrolRequest{Officer: "budi", Grants: district})
	if err != nil {
		t.Fatal(err)
	}
	d := enrol(t, http.DefaultClient, code)
	status, begin, body := exchange(t, http.DefaultClient, url, d)
	if status != http.StatusOK || begin.GetStatus() != wire.Status_STATUS_OK || len(begin.GetGrants()) != 1 || begin.GetGrantsVersion() != 1 {
		t.Fatalf("first exchange: %d %v %s", status, begin, body)
	}
	if len(body) > 1000 {
		t.Errorf("an exchange without contents answers with %d bytes", len(body))
	}
	devices, err := s.Devices(t.Context())
	if err != nil || len(devices) != 1 || devices[0].ID != d.ID || devices[0].Officer != "budi" || devices[0].Agency != "imigrasi" || devices[0].Role != "officer" {
		t.Fatalf("devices %+v, %v", devices, err)
	}
	err = s.EditGrants(t.Context(), d.ID, func(g syncproto.Grants) syncproto.Grants {
		return append(g, syncproto.Grant{Region: "35.25", Classes: []syncproto.Class{"D"}})
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, begin, _ = exchange(t, http.DefaultClient, url, d); len(begin.GetGrants()) != 2 || begin.GetGrantsVersion() < 2 {
		t.Errorf("after the grants changed: %v", begin)
	}
	if err := s.DisableOfficer(t.Context(), "budi", true); err != nil {
		t.Fatal(err)
	}
	if status, _, body = exchange(t, http.DefaultClient, url, d); !bytes.Contains(body, []byte(`"code":"forbidden"`)) {
		t.Errorf("of a disabled officer: %d %s", status, body)
	}
	if err := s.DisableOfficer(t.Context(), "budi", false); err != nil {
		t.Fatal(err)
	}
	if err := s.Revoke(t.Context(), d.ID, true); err != nil {
		t.Fatal(err)
	}
	if status, _, body = exchange(t, http.DefaultClient, url, d); status != http.StatusForbidden || !bytes.Contains(body, []byte(`"wipe":{`)) {
		t.Errorf("after it was revoked: %d %s", status, body)
	}
	if got, err := s.Device(t.Context(), d.ID); err != nil || got.RevokedAt.IsZero() || !got.Wipe {
		t.Errorf("device %+v, %v", got, err)
	}
	if err := s.Check(t.Context(), func(p string) { t.Errorf("check: %s", p) }); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNotThereHasACode(t *testing.T) {
	s := open(t, server.Config{URL: "https://sync.example.go.id"})
	ctx := t.Context()
	_, enrolErr := s.Enrol(ctx, server.EnrolRequest{Officer: "siapa", Grants: district})
	_, deviceErr := s.Device(ctx, "dev-x")
	_, messageErr := s.Message(ctx, strings.Repeat("0", 64))
	for name, err := range map[string]error{
		"enrol": enrolErr, "device": deviceErr, "message": messageErr,
		"disable": s.DisableOfficer(ctx, "siapa", true), "revoke": s.Revoke(ctx, "dev-x", false), "grants": s.SetGrants(ctx, "dev-x", district),
		"purge":   s.Purge(ctx, "0193b2c4-0000-7000-8000-000000000000", "siti", "masa simpan"),
		"release": s.ReleaseMessage(ctx, strings.Repeat("0", 64), "siti", "benar"),
		"close":   s.CloseMessage(ctx, strings.Repeat("0", 64), "siti", "salah"),
	} {
		if !errors.Is(err, syncproto.CodeNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, noGrants := s.Enrol(ctx, server.EnrolRequest{Officer: "budi"})
	_, badKey := s.Message(ctx, "x")
	for name, err := range map[string]error{
		"no grants": noGrants, "bad key": badKey, "no reason": s.Purge(ctx, "0193b2c4-0000-7000-8000-000000000000", "siti", ""),
		"bad record": s.Purge(ctx, "x", "siti", "x"), "no name": s.PutOfficer(ctx, server.Officer{ID: "x"}), "bad id": s.PutOfficer(ctx, server.Officer{ID: "X Y", Name: "x", Agency: "x"}),
	} {
		if c := syncproto.CodeOf(err); err == nil || c == syncproto.CodeInternal || c == syncproto.CodeNotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]server.Config{
		"no data folder":       {},
		"a key without cert":   {Data: dir, KeyFile: "k"},
		"files and authority":  {Data: dir, CertFile: "c", KeyFile: "k", Autocert: []string{"a.example"}},
		"a short pin":          {Data: dir, Pin: []byte{1}},
		"http to the outside":  {Data: dir, URL: "http://sync.example.go.id"},
		"a URL with a path":    {Data: dir, URL: "https://sync.example.go.id/x"},
		"no scheme in the URL": {Data: dir, URL: "sync.example.go.id"},
	} {
		if _, err := server.New(c); !errors.Is(err, server.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := server.New(server.Config{Data: dir, CertFile: "none.pem", KeyFile: "none.pem"}); err == nil {
		t.Error("a certificate that is not there")
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("a refused configuration left %v, %v", files, err)
	}
	s := open(t, server.Config{Listen: "0.0.0.0:8080"})
	if _, err := s.Enrol(t.Context(), server.EnrolRequest{Officer: "budi", Grants: district}); !errors.Is(err, server.ErrNoURL) {
		t.Errorf("a code that names no server: %v", err)
	}
}

func TestSameFolderIsTheSameServer(t *testing.T) {
	dir := t.TempDir()
	a := open(t, server.Config{Data: dir})
	b := open(t, server.Config{Data: dir})
	if a.ID() != b.ID() || open(t, server.Config{}).ID() == a.ID() {
		t.Error("server ids")
	}
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		t.Fatal(err)
	}
	// A command in another process: it takes effect at the next request.
	url := run(t, a)
	code, err := a.Enrol(t.Context(), server.EnrolRequest{Officer: "budi", Grants: district})
	if err != nil {
		t.Fatal(err)
	}
	d := enrol(t, http.DefaultClient, code)
	if status, _, body := exchange(t, http.DefaultClient, url, d); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	if err := b.Revoke(t.Context(), d.ID, false); err != nil {
		t.Fatal(err)
	}
	if status, _, body := exchange(t, http.DefaultClient, url, d); status != http.StatusForbidden || bytes.Contains(body, []byte("wipe")) {
		t.Errorf("%d %s", status, body)
	}
}

// certificate writes a self-signed certificate for 127.0.0.1 and returns its
// SubjectPublicKeyInfo.
func certificate(t *testing.T, dir string) (cert, key string, spki []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sambang"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "sambang"}}, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	if spki, err = x509.MarshalPKIXPublicKey(private.Public()); err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key, spki
}

func TestCodePinsTheCertificateThatIsServed(t *testing.T) {
	cert, key, spki := certificate(t, t.TempDir())
	s := open(t, server.Config{CertFile: cert, KeyFile: key})
	url := run(t, s)
	code, err := s.Enrol(t.Context(), server.EnrolRequest{Officer: "budi", Grants: district})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(spki)
	if !strings.HasPrefix(url, "https://127.0.0.1:") || !strings.Contains(code, "&p="+base64.RawURLEncoding.EncodeToString(sum[:])+"&") {
		t.Fatalf("%s: %s", url, code)
	}
	// A phone that trusts the pin alone.
	client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{
		MinVersion: tls.VersionTLS12, InsecureSkipVerify: true,
		VerifyConnection: func(c tls.ConnectionState) error {
			if got := sha256.Sum256(c.PeerCertificates[0].RawSubjectPublicKeyInfo); got != sum {
				return errors.New("wrong pin")
			}
			if c.NegotiatedProtocol != "h2" {
				return errors.New("no HTTP/2")
			}
			return nil
		},
	}}}
	defer client.CloseIdleConnections()
	d := enrol(t, client, code)
	if status, _, body := exchange(t, client, url, d); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
}

func TestCertificateIsReadAgainWhenItChanges(t *testing.T) {
	dir := t.TempDir()
	cert, key, _ := certificate(t, dir)
	now := time.Now()
	s := open(t, server.Config{CertFile: cert, KeyFile: key, URL: "https://sync.example.go.id", Now: func() time.Time { return now }})
	pin := func() string {
		code, err := s.Enrol(t.Context(), server.EnrolRequest{Officer: "budi", Grants: district})
		if err != nil {
			t.Fatal(err)
		}
		q, _ := url.ParseQuery(strings.TrimPrefix(code, "sambang:1?"))
		return q.Get("p")
	}
	first := pin()
	if err := os.WriteFile(cert, []byte("half written"), 0o600); err != nil {
		t.Fatal(err)
	}
	touch(t, cert, now.Add(time.Hour))
	now = now.Add(2 * time.Minute)
	if pin() != first {
		t.Error("a renewal that is half-way took the certificate away")
	}
	_, _, spki := certificate(t, dir)
	touch(t, cert, now.Add(2*time.Hour))
	now = now.Add(2 * time.Minute)
	sum := sha256.Sum256(spki)
	if pin() != base64.RawURLEncoding.EncodeToString(sum[:]) {
		t.Error("the new certificate is not served")
	}
}

func touch(t *testing.T, file string, at time.Time) {
	t.Helper()
	if err := os.Chtimes(file, at, at); err != nil {
		t.Fatal(err)
	}
}

func TestServerStopsWhenToldAndFreesItsAddress(t *testing.T) {
	s := open(t, server.Config{MetricsListen: "127.0.0.1:0", ShutdownTime: time.Second})
	addr, err := s.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	resp, err := http.Get("http://" + addr.String() + "/readyz")
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	_ = resp.Body.Close()
	if resp, err = http.Get("http://" + addr.String() + "/metrics"); err != nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("metrics that have an address of their own: %v, %v", resp.Status, err)
	}
	_ = resp.Body.Close()
	// A request that never ends must not hold it up for ever.
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "POST /v1/enrol HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	start := time.Now()
	cancel()
	select {
	case err := <-done:
		if err != nil || time.Since(start) > 3*time.Second {
			t.Errorf("run: %v after %s", err, time.Since(start))
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it does not stop")
	}
	l, err := net.Listen("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
}

func TestBackupOpensAsAServer(t *testing.T) {
	s := open(t, server.Config{URL: "https://sync.example.go.id"})
	dir := t.TempDir()
	if err := s.Backup(t.Context(), filepath.Join(dir, server.StoreFile)); err != nil {
		t.Fatal(err)
	}
	restored := open(t, server.Config{Data: dir, URL: "https://sync.example.go.id"})
	officers, err := restored.Officers(t.Context())
	if err != nil || len(officers) != 1 || officers[0].ID != "budi" {
		t.Errorf("officers %+v, %v", officers, err)
	}
	if err := restored.BeginEpoch(t.Context()); err != nil {
		t.Error(err)
	}
}
