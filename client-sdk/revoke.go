package sambang

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/sambang-id/sambang/client-sdk/internal/transport"
)

// revoked remembers that the server has revoked this device, and whether it
// ordered the data to be destroyed. Nothing is deleted here: what waits is
// evidence, and an order is for the app to obey.
func (r *Replica) revoked(refusal error) error {
	wipe := false
	var p *Refusal
	if st := r.state.Load(); st != nil && errors.As(refusal, &p) && p.Wipe != nil {
		wipe = st.device.obeys(p.Wipe)
		if !wipe {
			r.log.Warn("a wipe order for another device, or without a good signature, was ignored")
		}
	}
	return r.update(func(t *txn) error {
		t.st.device.Revoked = true
		t.st.device.Wipe = t.st.device.Wipe || wipe
		return nil
	})
}

// obeys reports whether an order is this server's, for this device.
func (d *deviceState) obeys(o *transport.SignedOrder) bool {
	body, err := transport.DecodeBase64(o.Body)
	if err != nil {
		return false
	}
	signature, err := transport.DecodeBase64(o.Signature)
	if err != nil {
		return false
	}
	var order struct {
		Device string `json:"device"`
		Server string `json:"server"`
	}
	if json.Unmarshal(body, &order) != nil || order.Device != d.Device || order.Server != d.Server {
		return false
	}
	for _, k := range d.ReceiptKeys {
		if k.ID == o.Key && len(k.PublicKey) == ed25519.PublicKeySize {
			return ed25519.Verify(k.PublicKey, append([]byte("sambang-wipe"), body...), signature)
		}
	}
	return false
}

// Destroy removes the files of a replica that is closed. On flash memory, removed is
// not erased: what makes the data unreadable is that the app deletes the key
// first.
func Destroy(dir string, opts Options) error {
	var errs []error
	for _, d := range []string{dir, opts.MarkDir} {
		if d == "" {
			continue
		}
		if err := os.RemoveAll(d); err != nil {
			errs = append(errs, fmt.Errorf("destroy %q: %w", d, err))
		}
	}
	return errors.Join(errs...)
}
