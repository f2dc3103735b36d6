package cache

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// keyring holds a store's derived keys. It is immutable, so every transaction may share it.
type keyring struct {
	plain bool
	store [storeIDSize]byte
	aead  cipher.AEAD // values of sealed buckets
	raw   []byte      // tags of unsealed rows
	index []byte
	mark  []byte
	check []byte // proves at open that the key is the right one; tells nothing about the others
}

// plainSecret stands in for the app's key in a plain store, where tags guard against damage only.
const plainSecret = "sambang-cache plain store: no secret"

func newKeyring(key []byte, plain bool, store [storeIDSize]byte) (*keyring, error) {
	secret := key
	if plain {
		secret = []byte(plainSecret)
	}
	derive := func(purpose string) ([]byte, error) {
		return hkdf.Key(sha256.New, secret, store[:], "sambang-cache/"+purpose, KeySize)
	}
	k := &keyring{plain: plain, store: store}
	for purpose, to := range map[string]*[]byte{"raw": &k.raw, "index": &k.index, "mark": &k.mark, "check": &k.check} {
		var err error
		if *to, err = derive(purpose); err != nil {
			return nil, fmt.Errorf("derive %s key: %w", purpose, err)
		}
	}
	if plain {
		return k, nil
	}
	values, err := derive("values")
	if err != nil {
		return nil, fmt.Errorf("derive values key: %w", err)
	}
	if k.aead, err = chacha20poly1305.NewX(values); err != nil {
		return nil, fmt.Errorf("values cipher: %w", err)
	}
	return k, nil
}

// IndexKeySize is the length of an IndexKey in bytes: 128 bits, so that two texts of one store never meet by chance.
const IndexKeySize = 16

// IndexKey is the key under which a natural key (a plate, a passport number) may stand in a bucket: HMAC-SHA256 of purpose
// and text with a key of this store, cut to IndexKeySize bytes. The same text has another IndexKey in another store and for
// another purpose. The caller brings text into its one normal form first. Safe for concurrent use, also after Close.
func (db *DB) IndexKey(purpose, text string) [IndexKeySize]byte {
	mac := hmac.New(sha256.New, db.keys.index)
	mac.Write(appendLengthAndText(nil, purpose))
	mac.Write([]byte(text))
	return [IndexKeySize]byte(mac.Sum(nil)[:IndexKeySize])
}

// appendLengthAndText makes the concatenation of several texts unambiguous.
func appendLengthAndText(to []byte, text string) []byte {
	n := uint32(len(text))
	return append(append(to, byte(n>>24), byte(n>>16), byte(n>>8), byte(n)), text...)
}
