package auth

import (
	"fmt"
	"io"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sambang-id/sambang/syncproto"
)

// PersonTokenType is the typ of a token for a person at headquarters.
const PersonTokenType = "sambang-hq+jwt"

// MaxPersonLife is the longest that such a token may be valid. There is no
// list of revoked ones: a short life is what ends them.
const MaxPersonLife = 90 * 24 * time.Hour

// Person is somebody at headquarters.
type Person struct {
	Subject string
	Role    Role
	Agency  string
	Regions []syncproto.Region
	Classes []syncproto.Class
	// Expires is the token's end, in Unix seconds.
	Expires int64
}

// Grants returns what the person may read.
func (p Person) Grants() syncproto.Grants {
	var g syncproto.Grants
	for _, r := range p.Regions {
		g = append(g, syncproto.Grant{Region: r, Classes: p.Classes})
	}
	return g
}

func (p Person) check() error {
	if p.Subject == "" || len(p.Subject) > 64 {
		return syncproto.Errorf(syncproto.CodeMalformed, "a person needs a name of 1 to 64 bytes")
	}
	if !p.Role.known() {
		return syncproto.Errorf(syncproto.CodeMalformed, "role must be one of %v", Roles())
	}
	return CheckGrants(p.Grants())
}

type personClaims struct {
	jwt.RegisteredClaims
	Role    Role               `json:"role"`
	Agency  string             `json:"agency,omitempty"`
	Regions []syncproto.Region `json:"regions"`
	Classes []syncproto.Class  `json:"classes"`
}

// IssuePersonToken signs a token for p that is valid for life.
func (id *Identity) IssuePersonToken(p Person, life time.Duration, now time.Time, random io.Reader) (string, error) {
	if life <= 0 || life > MaxPersonLife {
		return "", syncproto.Errorf(syncproto.CodeMalformed, "a token lives at most %s", MaxPersonLife)
	}
	if err := p.check(); err != nil {
		return "", err
	}
	var jti [16]byte
	if _, err := io.ReadFull(random, jti[:]); err != nil {
		return "", fmt.Errorf("draw a token id: %w", err)
	}
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, personClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: id.ServerID, Subject: p.Subject, Audience: jwt.ClaimStrings{id.ServerID},
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(life)), ID: b64.EncodeToString(jti[:]),
		},
		Role: p.Role, Agency: p.Agency, Regions: p.Regions, Classes: p.Classes,
	})
	t.Header["typ"], t.Header["kid"] = PersonTokenType, id.TokenKeyID
	return t.SignedString(id.TokenKey)
}

// VerifyPerson returns the person whom a token names. Errors: token_invalid,
// token_expired, wrong_server.
func (id *Identity) VerifyPerson(token string, now time.Time) (Person, error) {
	if len(token) > 2*maxToken || !isToken(token) {
		return Person{}, invalid("is longer than %d bytes or not of base64url", 2*maxToken)
	}
	var c personClaims
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{EdDSA}), jwt.WithStrictDecoding(), jwt.WithAudience(id.ServerID), jwt.WithIssuer(id.ServerID),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(30*time.Second), jwt.WithTimeFunc(func() time.Time { return now }),
	)
	_, err := parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		kid, err := checkHeader(t, PersonTokenType)
		if err != nil {
			return nil, err
		}
		if kid != id.TokenKeyID {
			return nil, invalid("is not signed by this server's key")
		}
		return id.TokenKey.Public(), nil
	})
	if err != nil {
		return Person{}, personError(err)
	}
	p := Person{Subject: c.Subject, Role: c.Role, Agency: c.Agency, Regions: c.Regions, Classes: c.Classes, Expires: c.ExpiresAt.Unix()}
	if err := p.check(); err != nil {
		return Person{}, invalid("names no role or region that this server knows")
	}
	return p, nil
}
