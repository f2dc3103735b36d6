package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode"
	"unicode/utf8"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// MaxEnrolBody bounds the body of an enrolment, in bytes.
const MaxEnrolBody = 16 << 10

const maxDeviceName = 64 // characters

// EnrolRequest is the body of POST /v1/enrol; the package comment has its
// form.
type EnrolRequest struct {
	Enrolment  string `json:"enrolment"`
	Secret     string `json:"secret"`
	Algorithm  string `json:"algorithm"`
	PublicKey  string `json:"public_key"`
	KeyNonce   string `json:"key_nonce,omitempty"`
	DeviceName string `json:"device_name"`
	Proof      string `json:"proof"`
}

// EnrolReply is the answer.
type EnrolReply struct {
	Device        string       `json:"device"`
	ServerID      string       `json:"server_id"`
	ReceiptKeys   []PublicKey  `json:"receipt_keys"`
	Officer       string       `json:"officer"`
	OfficerName   string       `json:"officer_name"`
	Agency        string       `json:"agency"`
	Role          string       `json:"role"`
	GrantsVersion uint64       `json:"grants_version"`
	Grants        []EnrolGrant `json:"grants"`
	ServerTime    int64        `json:"server_time"`
}

// PublicKey is a key of the server that devices verify with.
type PublicKey struct {
	ID        string `json:"id"`
	Algorithm string `json:"algorithm"`
	PublicKey string `json:"public_key"`
}

// EnrolGrant is one grant of the new device.
type EnrolGrant struct {
	Region  syncproto.Region  `json:"region"`
	Classes []syncproto.Class `json:"classes"`
	Until   int64             `json:"until"`
	Key     string            `json:"key"`
}

// Transcript returns the bytes that the proof signs.
func (r EnrolRequest) Transcript() []byte {
	b := []byte("sambang-enrol-1")
	for _, s := range []string{r.Enrolment, r.Secret, r.Algorithm, r.PublicKey, r.KeyNonce, r.DeviceName} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	return b
}

// ParseEnrolRequest reads the body of an enrolment strictly: one JSON object
// without duplicate keys. Members of a later version are ignored.
func ParseEnrolRequest(body []byte) (EnrolRequest, error) {
	var r EnrolRequest
	if len(body) > MaxEnrolBody {
		return r, syncproto.Errorf(syncproto.CodeTooLarge, "enrolment of more than %d bytes", MaxEnrolBody)
	}
	if !utf8.Valid(body) {
		return r, syncproto.Errorf(syncproto.CodeInvalidUTF8, "the enrolment is not UTF-8")
	}
	if _, err := syncproto.Canonicalize(body); err != nil {
		return r, syncproto.Errorf(syncproto.CodeMalformed, "the enrolment is not one JSON value with unique keys")
	}
	// By the exact names: encoding/json would also take "Secret" for "secret",
	// which gives one request several texts.
	var members map[string]json.RawMessage
	err := json.Unmarshal(body, &members)
	for name, to := range map[string]*string{
		"enrolment": &r.Enrolment, "secret": &r.Secret, "algorithm": &r.Algorithm, "public_key": &r.PublicKey,
		"key_nonce": &r.KeyNonce, "device_name": &r.DeviceName, "proof": &r.Proof,
	} {
		if m, ok := members[name]; ok && err == nil {
			err = json.Unmarshal(m, to)
		}
	}
	if err != nil {
		return EnrolRequest{}, syncproto.Errorf(syncproto.CodeMalformed, "the enrolment is not an object of strings")
	}
	return r, nil
}

// Enroller redeems codes. It is safe for concurrent use.
type Enroller struct {
	Store    store.Store
	Identity *Identity
}

// redemption is a request in the form that is acted on.
type redemption struct {
	request EnrolRequest
	secret  []byte
	key     []byte
	device  string
}

// check verifies all that the request alone decides, the proof included.
func (r EnrolRequest) check() (redemption, error) {
	bad := func(what string) (redemption, error) {
		return redemption{}, syncproto.Errorf(syncproto.CodeMalformed, "%s is missing or not in its form", what)
	}
	d := redemption{request: r}
	if !isEnrolmentID(r.Enrolment) {
		return d, syncproto.Errorf(syncproto.CodeEnrolmentInvalid, "no such code")
	}
	var ok bool
	if d.secret, ok = decode64(r.Secret, secretBytes); !ok {
		return d, syncproto.Errorf(syncproto.CodeEnrolmentInvalid, "no such code")
	}
	if d.key, ok = decodeSome(r.PublicKey, 256); !ok {
		return bad("public_key")
	}
	if r.KeyNonce != "" {
		if _, ok := decode64(r.KeyNonce, 16); !ok {
			return bad("key_nonce")
		}
	}
	if r.DeviceName == "" || utf8.RuneCountInString(r.DeviceName) > maxDeviceName || slices.ContainsFunc([]rune(r.DeviceName), unprintable) {
		return bad("device_name")
	}
	public, err := parseDeviceKey(r.Algorithm, d.key)
	if err != nil {
		return d, err
	}
	proof, ok := decodeSome(r.Proof, 128)
	if !ok || !verifySignature(public, r.Transcript(), proof) {
		return d, syncproto.Errorf(syncproto.CodeEnrolmentInvalid, "no such code")
	}
	d.device = DeviceID(d.key)
	return d, nil
}

// unprintable characters could make one name look like another on a screen
// where devices are revoked.
func unprintable(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }

// Redeem turns a code into a device: exactly one key wins. The same key gets
// the same answer again until the code expires. Errors are those of the
// package comment.
func (e *Enroller) Redeem(ctx context.Context, r EnrolRequest, now int64) (EnrolReply, error) {
	d, err := r.check()
	if err != nil {
		return EnrolReply{}, err
	}
	var dev store.Device
	var officer store.Officer
	err = e.Store.Update(ctx, store.Step{Scopes: []string{store.RegistryScope}, Do: func(tx store.Tx) ([]store.Step, error) {
		var err error
		dev, officer, err = redeem(tx, d, now)
		return nil, err
	}})
	if err != nil {
		return EnrolReply{}, err
	}
	return e.reply(dev, officer, now)
}

// redeem runs in a step: when it returns an error the code stays unused.
func redeem(tx store.Tx, d redemption, now int64) (store.Device, store.Officer, error) {
	code, used, err := tx.UseEnrolment(d.request.Enrolment, d.device, now)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return store.Device{}, store.Officer{}, fmt.Errorf("use an enrolment code: %w", err)
	}
	sum := sha256.Sum256(d.secret)
	right := subtle.ConstantTimeCompare(sum[:], code.SecretHash[:]) == 1
	if err != nil || !right {
		return store.Device{}, store.Officer{}, syncproto.Errorf(syncproto.CodeEnrolmentInvalid, "no such code")
	}
	expired := now >= code.ExpiresAt
	again := code.UsedAt != 0 && code.Device == d.device && !expired
	switch {
	case !used && code.UsedAt != 0 && !again:
		return store.Device{}, store.Officer{}, syncproto.Errorf(syncproto.CodeEnrolmentUsed, "the code was used")
	case expired || !used && !again:
		return store.Device{}, store.Officer{}, syncproto.Errorf(syncproto.CodeEnrolmentExpired, "the code expired")
	}
	officer, err := tx.Officer(code.Officer)
	if err != nil {
		return store.Device{}, officer, fmt.Errorf("the officer of an enrolment code: %w", err)
	}
	if officer.Disabled {
		return store.Device{}, officer, syncproto.Errorf(syncproto.CodeForbidden, "the officer is disabled")
	}
	dev, err := tx.Device(d.device)
	switch {
	case again && err == nil && dev.RevokedAt == 0:
		return dev, officer, nil
	case again && err == nil:
		return dev, officer, syncproto.Errorf(syncproto.CodeDeviceRevoked, "the device was revoked")
	case err == nil:
		// A key belongs to one enrolment: a second one could only be a way to
		// come back after a revocation.
		return dev, officer, syncproto.Errorf(syncproto.CodeConflictingIdentity, "the key is enrolled already")
	case !errors.Is(err, store.ErrNotFound):
		return dev, officer, fmt.Errorf("look for the device: %w", err)
	}
	dev = store.Device{
		ID: d.device, Name: d.request.DeviceName, Officer: officer.ID, Agency: code.Agency, Role: code.Role,
		Algorithm: d.request.Algorithm, PublicKey: d.key,
		Grants: code.Grants, GrantsVersion: 1, EnrolledAt: now,
	}
	if err := tx.PutDevice(dev); err != nil {
		return dev, officer, fmt.Errorf("enrol a device: %w", err)
	}
	return dev, officer, nil
}

func (e *Enroller) reply(dev store.Device, officer store.Officer, now int64) (EnrolReply, error) {
	r := EnrolReply{
		Device: dev.ID, ServerID: e.Identity.ServerID, ReceiptKeys: e.Identity.ReceiptKeys(),
		Officer: officer.ID, OfficerName: officer.Name, Agency: dev.Agency, Role: dev.Role,
		GrantsVersion: dev.GrantsVersion, Grants: []EnrolGrant{}, ServerTime: now,
	}
	for _, g := range dev.Grants {
		key, err := syncproto.DeriveRegionKey(e.Identity.ProjectKey, g.Region)
		if err != nil {
			return r, fmt.Errorf("derive the key of a region: %w", err)
		}
		r.Grants = append(r.Grants, EnrolGrant{Region: g.Region, Classes: g.Classes, Until: g.Until, Key: b64.EncodeToString(key[:])})
	}
	return r, nil
}

// ReceiptKeys returns the keys that a device verifies receipts and wipe orders
// with.
func (id *Identity) ReceiptKeys() []PublicKey {
	public := id.ReceiptKey[len(id.ReceiptKey)-32:]
	return []PublicKey{{ID: id.ReceiptKeyID, Algorithm: EdDSA, PublicKey: b64.EncodeToString(public)}}
}
