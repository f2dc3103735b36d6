package auth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"rsc.io/qr"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// CodeLife is how long an enrolment code is valid: the officer stands beside
// whoever made it.
const CodeLife = 10 * time.Minute

// MaxCodeLife is the longest that may be asked for.
const MaxCodeLife = 7 * 24 * time.Hour

// NewCode is what a code will grant, and where its device is to call.
type NewCode struct {
	URL     string
	Pin     []byte
	Officer string
	// Role is that of the device. Default: the officer's.
	Role   string
	Grants syncproto.Grants
	// Life is how long the code is valid. Default: CodeLife.
	Life time.Duration
}

// CreateCode stores a new single-use code for an officer and returns its
// payload, the only place where its secret is. The error has code not_found if
// there is no such officer, forbidden if he is disabled.
func CreateCode(ctx context.Context, s store.Store, random io.Reader, n NewCode, now int64) (Payload, error) {
	life := n.Life
	if life == 0 {
		life = CodeLife
	}
	if life < 0 || life > MaxCodeLife {
		return Payload{}, syncproto.Errorf(syncproto.CodeMalformed, "a code lives at most %s", MaxCodeLife)
	}
	if err := CheckURL(n.URL); err != nil {
		return Payload{}, err
	}
	if len(n.Pin) != 0 && len(n.Pin) != pinBytes {
		return Payload{}, syncproto.Errorf(syncproto.CodeMalformed, "a pin has %d bytes", pinBytes)
	}
	if err := CheckGrants(n.Grants); err != nil {
		return Payload{}, err
	}
	draw := make([]byte, enrolmentBytes+secretBytes)
	if _, err := io.ReadFull(random, draw); err != nil {
		return Payload{}, fmt.Errorf("draw an enrolment code: %w", err)
	}
	p := Payload{URL: n.URL, Pin: n.Pin, Enrolment: b32.EncodeToString(draw[:enrolmentBytes]), Secret: draw[enrolmentBytes:]}
	err := s.Update(ctx, store.Step{Scopes: []string{store.RegistryScope}, Do: func(tx store.Tx) ([]store.Step, error) {
		o, err := tx.Officer(n.Officer)
		if errors.Is(err, store.ErrNotFound) {
			return nil, syncproto.Errorf(syncproto.CodeNotFound, "no officer %q", n.Officer)
		}
		if err != nil {
			return nil, err
		}
		if o.Disabled {
			return nil, syncproto.Errorf(syncproto.CodeForbidden, "officer %q is disabled", n.Officer)
		}
		role := n.Role
		if role == "" {
			role = o.Role
		}
		return nil, tx.AddEnrolment(store.Enrolment{
			ID: p.Enrolment, SecretHash: sha256.Sum256(p.Secret),
			Officer: o.ID, Agency: o.Agency, Role: role, Grants: n.Grants,
			CreatedAt: now, ExpiresAt: now + life.Milliseconds(),
		})
	}})
	if err != nil {
		return Payload{}, fmt.Errorf("create an enrolment code: %w", err)
	}
	return p, nil
}

// CheckGrants refuses grants that name no region or class.
func CheckGrants(grants syncproto.Grants) error {
	if len(grants) == 0 {
		return syncproto.Errorf(syncproto.CodeBadScope, "a device needs at least one region")
	}
	for _, g := range grants {
		if _, err := syncproto.ParseRegion(string(g.Region)); err != nil {
			return err
		}
		if len(g.Classes) == 0 {
			return syncproto.Errorf(syncproto.CodeBadScope, "the grant of %s names no class (D, T, H)", g.Region)
		}
		for _, c := range g.Classes {
			if _, err := syncproto.ParseClass(string(c)); err != nil {
				return err
			}
		}
		if g.Until < 0 {
			return syncproto.Errorf(syncproto.CodeMalformed, "the grant of %s ends before 1970", g.Region)
		}
	}
	return nil
}

// WriteQR draws text as a QR code for a terminal: two modules a character, with
// the four modules of quiet zone that readers need, dark on light whatever the
// terminal's colours are.
func WriteQR(w io.Writer, text string) error {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return fmt.Errorf("draw QR code: %w", err)
	}
	const quiet = 4
	const onWhite, reset = "\x1b[30;107m", "\x1b[0m"
	blocks := []string{" ", "▄", "▀", "█"}
	var b bytes.Buffer
	for y := -quiet; y < code.Size+quiet; y += 2 {
		var line strings.Builder
		for x := -quiet; x < code.Size+quiet; x++ {
			i := 0
			if code.Black(x, y) {
				i += 2
			}
			if code.Black(x, y+1) {
				i++
			}
			line.WriteString(blocks[i])
		}
		b.WriteString(onWhite + line.String() + reset + "\n")
	}
	_, err = w.Write(b.Bytes())
	return err
}
