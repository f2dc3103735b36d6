package mobile

import (
	"crypto"
	"crypto/x509"
	"io"

	"github.com/sambang-id/sambang/syncproto"
)

// signer makes a crypto.Signer of the app's key.
type signer struct {
	app    Signer
	public crypto.PublicKey
}

func newSigner(app Signer) (*signer, error) {
	der, err := app.PublicKey()
	if err != nil {
		return nil, err
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, syncproto.Errorf(syncproto.CodeMalformed, "the signer's public key is not a PKIX key")
	}
	return &signer{app, public}, nil
}

func (s *signer) Public() crypto.PublicKey { return s.public }

func (s *signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts.HashFunc() != crypto.SHA256 {
		return nil, syncproto.Errorf(syncproto.CodeMalformed, "only P-256 keys can be the app's")
	}
	return s.app.SignDigest(digest)
}
