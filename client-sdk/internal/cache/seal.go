package cache

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/sambang-id/sambang/internal/ablate"
)

// A row's stored value starts with the schema that wrote it, so that a later schema can read rows of an earlier one.
//
//	sealed:   schema (1) | nonce (24) | ciphertext | Poly1305 tag (16)
//	unsealed: schema (1) | value | HMAC-SHA256 tag, cut (8)
//
// Both authenticate store id | schema | bucket | key, so a row moved to another key, bucket or store does not verify.
const (
	nonceSize    = chacha20poly1305.NonceSizeX // random nonces need 192 bits to be safe without a counter
	rawTagSize   = 8                           // finds damage; it is not a signature: who can write the file can delete rows too
	sealOverhead = 1 + nonceSize + chacha20poly1305.Overhead
	rawOverhead  = 1 + rawTagSize
)

var (
	errShort  = errors.New("row too short")
	errTag    = errors.New("row does not verify")
	errSchema = errors.New("row of another schema")
)

// codec seals and opens rows. It has scratch space, so one transaction uses it at a time.
type codec struct {
	keys *keyring
	mac  hash.Hash
	aad  []byte
	sum  [sha256.Size]byte
}

func newCodec(k *keyring) *codec {
	return &codec{keys: k, mac: hmac.New(sha256.New, k.raw), aad: make([]byte, 0, 128)}
}

// size is the stored length of a value of n bytes.
func (c *codec) size(b Bucket, n int) int {
	if c.seals(b) {
		return n + sealOverhead
	}
	return n + rawOverhead
}

func (c *codec) seals(b Bucket) bool { return b.sealed && !c.keys.plain }

// encode appends the stored form of value to dst. nonce is used by sealed rows only.
func (c *codec) encode(dst []byte, b Bucket, key, value, nonce []byte) []byte {
	c.bind(b, key)
	dst = append(dst, schemaVersion)
	if c.seals(b) {
		dst = append(dst, nonce...)
		return c.keys.aead.Seal(dst, nonce, value, c.aad)
	}
	dst = append(dst, value...)
	return append(dst, c.tag(value)...)
}

// decode appends the value of a stored row to dst.
func (c *codec) decode(dst []byte, b Bucket, key, stored []byte) ([]byte, error) {
	if len(stored) < c.size(b, 0) {
		return nil, errShort
	}
	if stored[0] != schemaVersion {
		return nil, errSchema
	}
	c.bind(b, key)
	stored = stored[1:]
	if c.seals(b) {
		out, err := c.keys.aead.Open(dst, stored[:nonceSize], stored[nonceSize:], c.aad)
		if err != nil {
			return nil, errTag
		}
		return out, nil
	}
	value, tag := stored[:len(stored)-rawTagSize], stored[len(stored)-rawTagSize:]
	if !hmac.Equal(tag, c.tag(value)) {
		return nil, errTag
	}
	return append(dst, value...), nil
}

func (c *codec) bind(b Bucket, key []byte) {
	if ablate.Off(ablate.R12AAD) {
		c.aad = c.aad[:0]
		return
	}
	c.aad = append(c.aad[:0], c.keys.store[:]...)
	c.aad = append(c.aad, schemaVersion, byte(len(b.name)))
	c.aad = append(c.aad, b.name...)
	c.aad = append(c.aad, key...)
}

func (c *codec) tag(value []byte) []byte {
	c.mac.Reset()
	c.mac.Write(c.aad)
	c.mac.Write(value)
	return c.mac.Sum(c.sum[:0])[:rawTagSize]
}

// nonces draws random nonces in blocks, because a system call for each row would cost more than sealing it.
// Only the writer uses it. No nonce is given out twice.
type nonces struct {
	from  io.Reader
	block [128 * nonceSize]byte
	left  []byte
}

func (n *nonces) next() ([]byte, error) {
	if len(n.left) == 0 {
		if _, err := io.ReadFull(n.from, n.block[:]); err != nil {
			return nil, fmt.Errorf("draw nonces: %w", err)
		}
		n.left = n.block[:]
	}
	nonce := n.left[:nonceSize]
	if ablate.Off(ablate.R11Nonce) {
		return nonce, nil
	}
	n.left = n.left[nonceSize:]
	return nonce, nil
}

// arena holds the stored form of the rows that one Update puts: bbolt keeps pointing at them until the commit. Its memory is
// used again by the next Update.
type arena struct {
	blocks [][]byte
	at     int
}

const (
	arenaBlock = 64 << 10
	arenaKept  = 16 // blocks kept between Updates: 1 MiB, one request's worth of rows
)

// space returns an empty slice with room for n bytes.
func (a *arena) space(n int) []byte {
	if n > arenaBlock/4 {
		return make([]byte, 0, n)
	}
	for {
		if a.at == len(a.blocks) {
			a.blocks = append(a.blocks, make([]byte, 0, arenaBlock))
		}
		block := a.blocks[a.at]
		if from := len(block); from+n <= cap(block) {
			a.blocks[a.at] = block[:from+n]
			return block[from : from : from+n]
		}
		a.at++
	}
}

func (a *arena) reset() {
	if len(a.blocks) > arenaKept {
		clear(a.blocks[arenaKept:])
		a.blocks = a.blocks[:arenaKept]
	}
	for i := range a.blocks {
		a.blocks[i] = a.blocks[i][:0]
	}
	a.at = 0
}
