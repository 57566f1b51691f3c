package seal

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

// What callers tell apart.
var (
	// ErrNoKey says that something is sealed under a key that is not there: a
	// wrong key file, one from before a rotation, or none.
	ErrNoKey = errors.New("sealed under a key that is not there")
	// ErrDamaged says that sealed octets do not open under their key: they, or
	// what they are bound to, are not what was sealed.
	ErrDamaged = errors.New("sealed octets are damaged")
	// ErrKeyFile says that a key file cannot be read for what it is.
	ErrKeyFile = errors.New("not a whole key file")
	// ErrLoose says that others may read or change a key file.
	ErrLoose = errors.New("the key file is open to others")
	// ErrInUse says that a key cannot be retired.
	ErrInUse = errors.New("the key is in use")
)

// ID names a key. It is made of the key and its date, so that a key cannot
// stand under another's name. The zero ID names none: what bears it is in clear.
type ID [8]byte

// String is the ID as the key file spells it.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID is the reverse of String.
func ParseID(s string) (id ID, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) {
		return id, fmt.Errorf("%q is not the id of a key", s)
	}
	return ID(b), nil
}

// Key is what may be told of a key.
type Key struct {
	ID   ID
	Made time.Time // to the second, UTC
}

// Keys is the content of a key file, newest first. It never changes: a
// rotation is seen by the next [Open]. A nil *Keys holds none. All methods are
// for use by many goroutines at once.
type Keys struct {
	name string
	keys []serverKey
}

type serverKey struct {
	Key
	secret [chacha20poly1305.KeySize]byte
	aead   cipher.AEAD
}

func newKey(made time.Time, secret [chacha20poly1305.KeySize]byte) serverKey {
	k := serverKey{secret: secret, aead: newAEAD(secret[:])}
	k.Made = made.UTC().Truncate(time.Second)
	mac := hmac.New(sha256.New, secret[:])
	fmt.Fprintf(mac, "letterlock key of %s", k.Made.Format(time.RFC3339))
	copy(k.ID[:], mac.Sum(nil))
	return k
}

func newAEAD(key []byte) cipher.AEAD {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		panic("seal: a key of " + fmt.Sprint(len(key)) + " octets")
	}
	return aead
}

// Sealing says whether there is a key to seal with.
func (k *Keys) Sealing() bool { return k != nil && len(k.keys) > 0 }

// Current is the key that seals what is new; the zero ID when there is none.
func (k *Keys) Current() ID {
	if !k.Sealing() {
		return ID{}
	}
	return k.keys[0].ID
}

// All lists the keys, newest first.
func (k *Keys) All() []Key {
	var all []Key
	if k != nil {
		for i := range k.keys {
			all = append(all, k.keys[i].Key)
		}
	}
	return all
}

// Has says whether the key is there.
func (k *Keys) Has(id ID) bool { return k.find(id) != nil }

// Missing is [ErrNoKey] with what an admin needs to know.
func (k *Keys) Missing(id ID) error {
	if k == nil {
		return fmt.Errorf("%w: key %s, and no key file is given", ErrNoKey, id)
	}
	return fmt.Errorf("%w: key %s, which %s does not hold", ErrNoKey, id, k.name)
}

func (k *Keys) find(id ID) *serverKey {
	if k == nil {
		return nil
	}
	for i := range k.keys {
		if k.keys[i].ID == id {
			return &k.keys[i]
		}
	}
	return nil
}

// Overhead is how many octets longer than the secret what Wrap makes is: the
// key's id, the nonce, the tag.
const Overhead = len(ID{}) + chacha20poly1305.NonceSizeX + chacha20poly1305.Overhead

// Wrap appends secret to dst, sealed under the current key and bound to the
// octets of bound, which whoever unwraps it has to know. It panics without a
// key: ask [Keys.Sealing] first.
func (k *Keys) Wrap(dst, secret, bound []byte) []byte {
	key := &k.keys[0]
	dst = append(dst, key.ID[:]...)
	var nonce [chacha20poly1305.NonceSizeX]byte
	_, _ = rand.Read(nonce[:]) // never fails (crypto/rand)
	dst = append(dst, nonce[:]...)
	return key.aead.Seal(dst, nonce[:], secret, bound)
}

// Unwrap appends to dst what Wrap sealed: [ErrNoKey], [ErrDamaged].
func (k *Keys) Unwrap(dst, wrapped, bound []byte) ([]byte, error) {
	if len(wrapped) < Overhead {
		return nil, fmt.Errorf("%d octets: %w", len(wrapped), ErrDamaged)
	}
	id := ID(wrapped)
	key := k.find(id)
	if key == nil {
		return nil, k.Missing(id)
	}
	rest := wrapped[len(id):]
	out, err := key.aead.Open(dst, rest[:chacha20poly1305.NonceSizeX], rest[chacha20poly1305.NonceSizeX:], bound)
	if err != nil {
		return nil, fmt.Errorf("under key %s: %w", id, ErrDamaged)
	}
	return out, nil
}
