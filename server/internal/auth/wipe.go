package auth

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"

	"github.com/sambang-id/sambang/server/internal/store"
)

// SignedOrder is a wipe order; the package comment has its form.
type SignedOrder struct {
	Body      string `json:"body"`
	Signature string `json:"signature"`
	Key       string `json:"key"`
}

// WipeOrder returns the signed order to destroy the device's data key, or nil
// if none is due.
func (id *Identity) WipeOrder(dev store.Device) (*SignedOrder, error) {
	if !dev.Wipe || dev.RevokedAt == 0 {
		return nil, nil //nolint:nilnil // no order is the usual answer
	}
	body, err := json.Marshal(struct {
		Device    string `json:"device"`
		Server    string `json:"server"`
		RevokedAt int64  `json:"revoked_at"`
	}{dev.ID, id.ServerID, dev.RevokedAt})
	if err != nil {
		return nil, fmt.Errorf("encode a wipe order: %w", err)
	}
	signature := ed25519.Sign(id.ReceiptKey, append([]byte("sambang-wipe"), body...))
	return &SignedOrder{Body: b64.EncodeToString(body), Signature: b64.EncodeToString(signature), Key: id.ReceiptKeyID}, nil
}
