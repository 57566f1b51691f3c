package seal

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// Box seals the parts of one thing under a key made for it alone.
type Box struct {
	secret [chacha20poly1305.KeySize]byte
	aead   cipher.AEAD
}

// SecretSize is the octets of a box's key.
const SecretSize = chacha20poly1305.KeySize

// Tag is how many octets longer a sealed part is.
const Tag = chacha20poly1305.Overhead

// NewBox makes a box with a fresh key.
func NewBox() *Box {
	b := new(Box)
	_, _ = rand.Read(b.secret[:]) // never fails (crypto/rand)
	b.aead = newAEAD(b.secret[:])
	return b
}

// OpenBox is the box of a key that was kept.
func OpenBox(secret []byte) (*Box, error) {
	if len(secret) != SecretSize {
		return nil, fmt.Errorf("a key of %d octets: %w", len(secret), ErrDamaged)
	}
	b := &Box{secret: [SecretSize]byte(secret)}
	b.aead = newAEAD(b.secret[:])
	return b, nil
}

// Secret is the box's key, to be wrapped.
func (b *Box) Secret() []byte { return b.secret[:] }

// Part says which part of a box it is. No two that are sealed in one box may
// be the same.
type Part struct {
	Kind byte   // the caller's own
	At   uint64 // which one of its kind
	End  End
}

// End says whether a part is the last of its kind, so that none can be cut off.
type End byte

const (
	MoreFollow End = iota
	Last
)

func (p Part) nonce() (n [chacha20poly1305.NonceSizeX]byte) {
	n[0], n[1] = p.Kind, byte(p.End)
	binary.BigEndian.PutUint64(n[16:], p.At)
	return n
}

// Seal appends plain to dst, sealed: [Tag] octets longer. It may be sealed in
// place: dst = plain[:0].
func (b *Box) Seal(dst, plain []byte, p Part) []byte {
	n := p.nonce()
	return b.aead.Seal(dst, n[:], plain, nil)
}

// Open appends to dst what Seal sealed as the same part: [ErrDamaged]. It may
// be opened in place: dst = sealed[:0].
func (b *Box) Open(dst, sealed []byte, p Part) ([]byte, error) {
	n := p.nonce()
	out, err := b.aead.Open(dst, n[:], sealed, nil)
	if err != nil {
		return nil, ErrDamaged
	}
	return out, nil
}
