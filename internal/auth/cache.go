package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"
)

const (
	cacheLife = 15 * time.Minute
	cacheSize = 10000
)

// Cache remembers passwords that were right, so that a client that comes again
// costs no hash. It holds no password: only a MAC of it and of the credentials
// it was right for, under a key that dies with the process. So an entry is of
// no use once the password was changed. The zero value is ready for use; nil
// remembers nothing.
type Cache struct {
	Now  func() time.Time // nil: time.Now
	Life time.Duration    // how long an entry lives, not prolonged by use; 0: 15 minutes
	Size int              // entries at most; 0: 10000

	mu       sync.Mutex // guards key and verified
	key      []byte
	verified map[verified]time.Time // when it ends
}

// verified stands for a password and the credentials it fits.
type verified [sha256.Size]byte

// knows says whether the password was right for these credentials a while ago.
func (c *Cache) knows(stored []byte, password string) bool {
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	end, there := c.verified[c.entry(stored, password)]
	return there && c.now().Before(end)
}

// remember keeps a password that was right.
func (c *Cache) remember(stored []byte, password string) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.verified == nil {
		c.verified = make(map[verified]time.Time)
	}
	c.makeRoom()
	life := c.Life
	if life <= 0 {
		life = cacheLife
	}
	c.verified[c.entry(stored, password)] = c.now().Add(life)
}

// makeRoom drops what has ended once the cache is full, and where that is
// nothing, anything.
func (c *Cache) makeRoom() {
	size := c.Size
	if size <= 0 {
		size = cacheSize
	}
	if len(c.verified) < size {
		return
	}
	now := c.now()
	for e, end := range c.verified {
		if !now.Before(end) {
			delete(c.verified, e)
		}
	}
	for e := range c.verified {
		if len(c.verified) < size {
			return
		}
		delete(c.verified, e)
	}
}

// entry is the MAC; the caller holds mu.
func (c *Cache) entry(stored []byte, password string) (e verified) {
	if c.key == nil {
		c.key = make([]byte, sha256.BlockSize)
		rand.Read(c.key) // never fails
	}
	m := hmac.New(sha256.New, c.key)
	m.Write(binary.BigEndian.AppendUint64(nil, uint64(len(stored))))
	m.Write(stored)
	m.Write([]byte(password))
	m.Sum(e[:0])
	return e
}

func (c *Cache) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}
