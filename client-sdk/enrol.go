package sambang

import (
	"context"
	"errors"
	"fmt"

	"github.com/sambang-id/sambang/client-sdk/internal/transport"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// EnrolInfo is what an enrolment code says before it is used, for the app to
// show.
type EnrolInfo struct{ URL string }

// ReadCode reads an enrolment code without using it. Error:
// [syncproto.CodeEnrolmentInvalid].
func ReadCode(code string) (EnrolInfo, error) {
	c, err := transport.ParseCode(code)
	return EnrolInfo{c.URL}, err
}

// Enrol makes this replica a device of the server that the code is from:
// "sambang:1?u=…", from a QR code or typed. name is what headquarters calls the
// device. What was recorded before is pushed at the next sync.
//
// It may be called again with the same code when the answer was lost, and with
// another one when a server that was restored from a backup does not know the
// device. A revocation is for good: the server takes the key no more, and what
// waits can only be exported. Errors:
// [syncproto.CodeEnrolmentInvalid], [syncproto.CodeEnrolmentUsed],
// [syncproto.CodeEnrolmentExpired], [syncproto.CodeWrongServer] when the
// replica belongs to another server already, or the server's key is not the
// code's; [syncproto.CodeOffline].
func (r *Replica) Enrol(ctx context.Context, code, name string) error {
	c, err := transport.ParseCode(code)
	if err != nil {
		return err
	}
	st, err := r.load()
	if err != nil {
		return err
	}
	d := st.device
	d.URL, d.Pin = c.URL, c.Pin
	client := r.newClient(d)
	defer client.CloseIdle()
	e, err := client.Enrol(ctx, c, d.PublicKey, name)
	r.online.offline.Store(errors.Is(err, syncproto.CodeOffline))
	if err != nil {
		return fmt.Errorf("enrol: %w", err)
	}
	if d.Server != "" && d.Server != e.ServerID {
		return syncproto.Errorf(syncproto.CodeWrongServer, "this replica belongs to %s, the code is of %s", d.Server, e.ServerID)
	}
	err = r.update(func(t *txn) error {
		d := &t.st.device
		d.URL, d.Pin, d.Device, d.Server = c.URL, c.Pin, e.Device, e.ServerID
		d.Officer, d.OfficerName, d.Agency, d.Role = e.Officer, e.OfficerName, e.Agency, e.Role
		d.Revoked, d.Wipe = false, false
		d.ReceiptKeys = nil
		for _, k := range e.ReceiptKeys {
			key, err := decodeKey(k.PublicKey)
			if err != nil || k.Algorithm != transport.EdDSA {
				return syncproto.Errorf(syncproto.CodeBadResponse, "a receipt key of the server can't be read")
			}
			d.ReceiptKeys = append(d.ReceiptKeys, receiptKey{ID: k.ID, PublicKey: key})
		}
		var grants []*wire.Grant
		for _, g := range e.Grants {
			key, err := decodeKey(g.Key)
			if err != nil {
				return syncproto.Errorf(syncproto.CodeBadResponse, "a region's key can't be read")
			}
			grants = append(grants, &wire.Grant{Region: g.Region, Classes: g.Classes, Until: g.Until, Key: key})
		}
		return t.regrant(e.GrantsVersion, grants)
	})
	r.client.Store(nil)
	r.poke()
	return err
}

func decodeKey(s string) ([]byte, error) { return transport.DecodeBase64(s) }
