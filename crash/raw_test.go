//go:build linux

package crash_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"

	"github.com/sambang-id/sambang/internal/byhand"
	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// auditor is a device that keeps nothing and reads everything: it speaks the
// protocol by hand, because opening a phone for each image would be dearer
// than the rest.
type auditor struct {
	key ed25519.PrivateKey
	id  string
}

func auditorKey(seed uint64) ed25519.PrivateKey {
	sum := sha256.Sum256(fmt.Appendf(nil, "auditor %d", seed))
	return ed25519.NewKeyFromSeed(sum[:])
}

// everything is what an auditor may see.
func everything() syncproto.Grants {
	return syncproto.Grants{{Region: "35", Classes: []syncproto.Class{"D"}}}
}

func post(srv *server.Server, path string, header http.Header, body []byte) *httptest.ResponseRecorder {
	req := httptest.NewRequestWithContext(context.Background(), http.MethodPost, path, bytes.NewReader(body))
	req.Header, req.RemoteAddr, req.Host = header, "127.0.0.1:4000", "127.0.0.1:8080"
	rec := httptest.NewRecorder()
	srv.Handler().ServeHTTP(rec, req)
	return rec
}

// enrolAuditor makes an auditor a device.
func enrolAuditor(srv *server.Server, seed uint64) (*auditor, error) {
	a := &auditor{key: auditorKey(seed)}
	code, err := srv.Enrol(context.Background(), server.EnrolRequest{Officer: "o1", Grants: everything()})
	if err != nil {
		return nil, err
	}
	body, err := byhand.EnrolBody(code, a.key, "auditor")
	if err != nil {
		return nil, err
	}
	res := post(srv, "/v1/enrol", http.Header{"Content-Type": {"application/json"}}, body)
	a.id, err = byhand.Enrolled(res.Code, res.Body.Bytes())
	return a, err
}

// tokens makes each token another.
var tokens atomic.Uint64

func (a *auditor) token(srv *server.Server, now int64) string {
	return byhand.Token(a.key, a.id, srv.ID(), now/1000, fmt.Sprintf("crash-auditor-%024d", tokens.Add(1)))
}

// pull returns the states of all records of the server, by a first pull.
func (a *auditor) pull(srv *server.Server, now int64) (map[string]string, error) {
	var body bytes.Buffer
	err := wire.NewFrameWriter(&body, wire.Protobuf).Request(&wire.RequestFrame{Frame: &wire.RequestFrame_Open{Open: &wire.Open{
		Version: wire.Version, Nonce: fmt.Appendf(nil, "auditor%9d", tokens.Add(1)), MaxEntries: 100_000, App: "crash",
	}}})
	if err != nil {
		return nil, err
	}
	h := http.Header{"Authorization": {"Bearer " + a.token(srv, now)}, "Content-Type": {wire.ContentTypeProtobuf}, "Accept": {wire.ContentTypeProtobuf}}
	res := post(srv, "/v1/sync", h, body.Bytes())
	if res.Code != http.StatusOK {
		return nil, fmt.Errorf("pull: HTTP %d %s", res.Code, res.Body)
	}
	return readFeeds(res.Body, res.Header().Get("Content-Encoding"))
}

func readFeeds(body io.Reader, encoding string) (map[string]string, error) {
	r, err := wire.NewBodyReader(body, encoding)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	frames := wire.NewFrameReader(r, wire.Protobuf)
	out := map[string]string{}
	whole := false
	for {
		f, err := frames.Response()
		switch {
		case errors.Is(err, io.EOF) && whole:
			return out, nil
		case err != nil:
			return nil, fmt.Errorf("pull: %w", err)
		case f.GetFeed() != nil:
			if err := readFeed(out, f.GetFeed()); err != nil {
				return nil, err
			}
		case f.GetEnd() != nil:
			whole = !f.GetEnd().GetMore()
		}
	}
}

func readFeed(out map[string]string, feed *wire.Feed) error {
	dec, err := wire.NewDecoder(feed.GetTables())
	if err != nil {
		return err
	}
	for _, e := range feed.GetEntries() {
		if e.GetDelta() == nil {
			continue
		}
		d, err := dec.Delta(e.GetDelta())
		if err != nil {
			return err
		}
		c, err := syncproto.Apply(syncproto.NewRecord(d.ID()), d)
		if err != nil {
			return fmt.Errorf("a full state does not apply to nothing: %w", err)
		}
		if out[d.ID().String()], err = serverState(c.Record); err != nil {
			return err
		}
	}
	return nil
}

func serverState(r syncproto.Record) (string, error) {
	var value string
	if f, ok := r.Field("a"); ok {
		if len(f.Siblings) != 1 {
			return "", fmt.Errorf("record %s has %d values", r.ID(), len(f.Siblings))
		}
		if err := json.Unmarshal([]byte(f.Siblings[0].Value.JSON()), &value); err != nil {
			return "", err
		}
	}
	return stateOf(value, r.Life().Deleted), nil
}
