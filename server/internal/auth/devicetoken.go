package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sambang-id/sambang/internal/ablate"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// DeviceTokenType is the typ of a device's token.
const DeviceTokenType = "sambang-device+jwt"

// Limits of a token's times.
const (
	// MaxTokenLife is the longest that a device's token may be valid.
	MaxTokenLife = 120 * time.Second
	// MaxAhead and MaxBehind are how far iat may be from the server's clock.
	MaxAhead  = 60 * time.Second
	MaxBehind = 120 * time.Second
	// expiryLeeway is granted after exp, for a clock that is a little behind.
	expiryLeeway = 30 * time.Second
	// startLeeway is how much older than the process a token may be.
	startLeeway = 5 * time.Second

	maxToken = 2048 // bytes; an honest one has about 500
)

// Registry is what of the store's registry a verification reads. One that is a
// [store.TokenMemory] also remembers the tokens, for all servers that share it.
type Registry interface {
	View(ctx context.Context, fn func(store.Reader) error) error
}

// DeviceVerifier decides which device calls. It is safe for concurrent use.
type DeviceVerifier struct {
	registry Registry
	serverID string
	replays  *replays
	shared   store.TokenMemory // nil: this process is the only server
	parser   *jwt.Parser

	mu      sync.Mutex
	started time.Time // by the wall clock
}

// NewDeviceVerifier returns a verifier for a server that started at the given
// time: older tokens are refused, because the process that saw them is gone.
func NewDeviceVerifier(registry Registry, serverID string, started time.Time) *DeviceVerifier {
	shared, _ := registry.(store.TokenMemory)
	return &DeviceVerifier{
		registry: registry, shared: shared, serverID: serverID, started: started.Round(0), replays: newReplays(),
		// The claims are judged in deviceClaims.judge, in the order that tells
		// a device most; signature, algorithm and encoding are the library's.
		parser: jwt.NewParser(jwt.WithValidMethods(methods()), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation()),
	}
}

// methods are the algorithms that a device may have been enrolled with.
func methods() []string {
	if ablate.Off(ablate.R06Algorithm) {
		return jwt.GetAlgorithms()
	}
	return []string{EdDSA, ES256}
}

// deviceClaims has whole seconds, so that no rounding decides.
type deviceClaims struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	IssuedAt *int64 `json:"iat"`
	Expires  *int64 `json:"exp"`
	ID       string `json:"jti"`
}

// The methods of jwt.Claims; the library's own validation is the second lock.
func (c *deviceClaims) GetExpirationTime() (*jwt.NumericDate, error) { return date(c.Expires), nil }
func (c *deviceClaims) GetIssuedAt() (*jwt.NumericDate, error)       { return date(c.IssuedAt), nil }
func (c *deviceClaims) GetNotBefore() (*jwt.NumericDate, error)      { return nil, nil } //nolint:nilnil // as the interface wants it
func (c *deviceClaims) GetIssuer() (string, error)                   { return c.Issuer, nil }
func (c *deviceClaims) GetSubject() (string, error)                  { return c.Subject, nil }
func (c *deviceClaims) GetAudience() (jwt.ClaimStrings, error) {
	return jwt.ClaimStrings{c.Audience}, nil
}

func date(seconds *int64) *jwt.NumericDate {
	if seconds == nil {
		return nil
	}
	return jwt.NewNumericDate(time.Unix(*seconds, 0))
}

// Caller is a device that was recognised.
type Caller struct {
	Device  store.Device
	Officer store.Officer
}

// Verify returns the device that made the token, at most once per token. Its
// errors are those of the package comment; for device_revoked the caller
// carries the device, whose wipe order may be due.
func (v *DeviceVerifier) Verify(ctx context.Context, token string, now time.Time) (Caller, error) {
	if len(token) > maxToken || !isToken(token) {
		return Caller{}, invalid("is longer than %d bytes or not of base64url", maxToken)
	}
	var claims deviceClaims
	found, err := v.parse(ctx, token, &claims)
	if err != nil {
		return Caller{}, err
	}
	if found.Device.RevokedAt != 0 {
		return found, syncproto.Errorf(syncproto.CodeDeviceRevoked, "the device was revoked")
	}
	if found.Officer.Disabled {
		return Caller{}, syncproto.Errorf(syncproto.CodeForbidden, "the device's officer is disabled")
	}
	if err := claims.judge(found.Device.ID, v.serverID, now); err != nil {
		return Caller{}, err
	}
	if err := v.second(&claims, now); err != nil {
		return Caller{}, err
	}
	if time.Unix(*claims.IssuedAt, 0).Before(v.begun(now).Add(-startLeeway)) {
		return Caller{}, syncproto.Errorf(syncproto.CodeTokenReplayed, "the token is older than this server process")
	}
	if err := v.use(ctx, found.Device.ID, &claims, now); err != nil {
		return Caller{}, err
	}
	return found, nil
}

// use records a token: first here, where it costs nothing and is not forgotten,
// then for the other servers.
func (v *DeviceVerifier) use(ctx context.Context, device string, c *deviceClaims, now time.Time) error {
	end := time.Unix(*c.Expires, 0).Add(expiryLeeway)
	if err := v.replays.use(device, c.ID, end, now); err != nil || v.shared == nil || ablate.Off(ablate.R15ReplayedJTI) {
		return err
	}
	fresh, err := v.shared.UseToken(ctx, device, c.ID, end.UnixMilli(), now.UnixMilli())
	if err != nil {
		return fmt.Errorf("use a token: %w", err)
	}
	if !fresh {
		return used()
	}
	return nil
}

// begun returns when this process started. If the clock was set back since, it
// is when that was first seen, by the new clock: every device that has a right
// clock would be shut out until the time of the start came again.
func (v *DeviceVerifier) begun(now time.Time) time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	if now = now.Round(0); now.Before(v.started) {
		v.started = now
	}
	return v.started
}

// parse reads a token's claims and returns the device whose key signed them.
func (v *DeviceVerifier) parse(ctx context.Context, token string, claims *deviceClaims) (found Caller, err error) {
	var refused error
	keyOf := func(t *jwt.Token) (any, error) {
		var key any
		found, key, refused = v.key(ctx, t)
		return key, refused
	}
	if ablate.Off(ablate.R05Signature) {
		if t, _, bad := v.parser.ParseUnverified(token, claims); bad == nil {
			_, err = keyOf(t)
			return found, err
		}
	}
	_, err = v.parser.ParseWithClaims(token, claims, keyOf)
	switch {
	case refused != nil:
		return Caller{}, refused
	case err != nil:
		return Caller{}, invalid("has no form or signature that can be verified")
	}
	return found, nil
}

// key finds the device that the header names and returns its key, if the
// header has its algorithm.
func (v *DeviceVerifier) key(ctx context.Context, t *jwt.Token) (Caller, any, error) {
	kid, err := checkHeader(t, DeviceTokenType)
	if err != nil {
		return Caller{}, nil, err
	}
	if !isDeviceID(kid) {
		return Caller{}, nil, invalid("names no device")
	}
	var c Caller
	err = v.registry.View(ctx, func(r store.Reader) error {
		var err error
		if c.Device, err = r.Device(kid); err != nil {
			return err
		}
		c.Officer, err = r.Officer(c.Device.Officer)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return c, nil, syncproto.Errorf(syncproto.CodeDeviceUnknown, "no such device")
	}
	if err != nil {
		return c, nil, fmt.Errorf("look up a device: %w", err)
	}
	if ablate.Off(ablate.R06Algorithm) && t.Method.Alg() == jwt.SigningMethodHS256.Alg() {
		return c, c.Device.PublicKey, nil
	}
	if t.Method.Alg() != c.Device.Algorithm {
		return c, nil, invalid("is not signed with the algorithm that the device was enrolled with")
	}
	key, err := parseDeviceKey(c.Device.Algorithm, c.Device.PublicKey)
	if err != nil {
		return c, nil, fmt.Errorf("the registry's key of a device: %w", err)
	}
	return c, key, nil
}

// checkHeader returns the kid of a header that has exactly typ, alg and kid.
func checkHeader(t *jwt.Token, typ string) (string, error) {
	kid, ok := t.Header["kid"].(string)
	if got, _ := t.Header["typ"].(string); !ok || got != typ || len(t.Header) != 3 {
		return "", invalid("must have the header parameters alg, kid and typ (%s) alone", typ)
	}
	return kid, nil
}

// judge decides about the claims of a token whose signature is good.
func (c *deviceClaims) judge(device, serverID string, now time.Time) error {
	if ablate.Off(ablate.R08Audience) {
		c.Audience = serverID
	}
	if ablate.Off(ablate.R07Expiry) && c.Expires == nil {
		end := now.Unix() + 60
		c.Expires = &end
	}
	if c.Issuer != device || c.Subject != device {
		return invalid("is not issued by and for its own device")
	}
	if c.Audience != serverID {
		return syncproto.Errorf(syncproto.CodeWrongServer, "the token is not for this server")
	}
	if c.IssuedAt == nil || c.Expires == nil {
		return invalid("lacks iat or exp")
	}
	if !isJTI(c.ID) {
		return invalid("lacks a jti of 16 to 64 base64url characters")
	}
	return judgeTimes(*c.IssuedAt, *c.Expires, now)
}

func judgeTimes(iat, exp int64, now time.Time) error {
	n, ahead, behind := now.Unix(), int64(MaxAhead/time.Second), int64(MaxBehind/time.Second)
	switch {
	// Compared without subtracting what a token says: it may be any int64.
	case iat > n+ahead, iat < n-behind:
		return syncproto.Errorf(syncproto.CodeClockSkew, "the token was issued at another time than the server's")
	case exp <= iat, exp > iat+int64(MaxTokenLife/time.Second):
		return invalid("must be valid for 1 to %d seconds", MaxTokenLife/time.Second)
	case n >= exp+int64(expiryLeeway/time.Second):
		return syncproto.Errorf(syncproto.CodeTokenExpired, "the token has expired")
	}
	return nil
}

// second lets the library judge the same claims again, with all its strict
// options: an oversight in judge alone must not open a door.
func (v *DeviceVerifier) second(c *deviceClaims, now time.Time) error {
	err := jwt.NewValidator(
		jwt.WithAudience(v.serverID), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithIssuer(c.Subject), jwt.WithSubject(c.Issuer), jwt.WithLeeway(MaxAhead),
		jwt.WithTimeFunc(func() time.Time { return now }),
	).Validate(c)
	if err != nil {
		return invalid("has claims that do not fit")
	}
	return nil
}

func isJTI(s string) bool { return len(s) >= 16 && len(s) <= 64 && !strings.ContainsFunc(s, notBase64) }

// isToken reports whether a text has the characters of a JWT alone. Base64
// decoders skip line breaks, which would give one token several texts.
func isToken(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r != '.' && notBase64(r) })
}

func notBase64(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

func invalid(format string, args ...any) error {
	return syncproto.Errorf(syncproto.CodeTokenInvalid, "the token "+format, args...)
}
