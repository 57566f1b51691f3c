package sealed

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"letterlock/storage/kv"
	"letterlock/storage/seal"
)

// marker starts a sealed value; behind it stands what [seal.Keys.Wrap] makes.
// Sealed lies, for a hidden key, its tail (length in two octets) and the value,
// else the value alone. A clear value that starts with the same octets cannot
// be told from a sealed one: owners of a schema start theirs with a sum.
const (
	marker   = "\xf5LS\x01"
	tailSize = 2
	hashSize = 32
)

func isSealed(v []byte) bool {
	return len(v) >= len(marker)+seal.Overhead && string(v[:len(marker)]) == marker
}

// bound is what a value is bound to.
func bound(shard int, physical []byte) []byte {
	b := append(make([]byte, 0, 32+len(physical)), "letterlock index value"...)
	return append(binary.BigEndian.AppendUint16(b, uint16(shard)), physical...)
}

// sealValue is what is stored for key, whose first n octets are in clear where
// it is hidden.
func sealValue(keys *seal.Keys, shard int, physical, key []byte, n int, value []byte) []byte {
	plain := value
	if n > 0 {
		plain = binary.BigEndian.AppendUint16(make([]byte, 0, tailSize+len(key)-n+len(value)), uint16(len(key)-n))
		plain = append(append(plain, key[n:]...), value...)
	}
	out := append(make([]byte, 0, len(marker)+seal.Overhead+len(plain)), marker...)
	return keys.Wrap(out, plain, bound(shard, physical))
}

// openValue is the reverse: the key as its owner knows it, and the value.
func openValue(keys *seal.Keys, shard int, hide Hide, physical, v []byte) (key, value []byte, err error) {
	plain, err := keys.Unwrap(nil, v[len(marker):], bound(shard, physical))
	if err != nil {
		return nil, nil, fmt.Errorf("index value %x: %w", physical, err)
	}
	n := hide(physical)
	if n <= 0 || n >= len(physical) {
		return physical, notNil(plain), nil
	}
	if len(plain) < tailSize || tailSize+int(binary.BigEndian.Uint16(plain)) > len(plain) {
		return nil, nil, fmt.Errorf("index value %x: %w", physical, seal.ErrDamaged)
	}
	end := tailSize + int(binary.BigEndian.Uint16(plain))
	key = append(append(make([]byte, 0, n+end), physical[:n]...), plain[tailSize:end]...)
	return key, notNil(plain[end:]), nil
}

// notNil: nil is an absent value.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Decode reads one entry of a shard's image as its owner knows it, sealed or
// not: for checks of files that no engine has open. A nil key is an entry of
// this package's own.
func Decode(keys *seal.Keys, shard int, hide Hide, k, v []byte) (key, value []byte, err error) {
	if bytes.Equal(k, ringKey) {
		_, _, err := openRing(keys, shard, v)
		return nil, nil, err
	}
	if !isSealed(v) {
		return k, v, nil
	}
	if hide == nil {
		hide = func([]byte) int { return 0 }
	}
	return openValue(keys, shard, hide, k, v)
}

var _ kv.Reader = (*reader)(nil)
