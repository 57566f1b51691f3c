package lmtp

import (
	"sync/atomic"
	"time"
)

// idSource makes envelope ids: thirteen characters, unique, and sorted as text
// they stand in the order they were made.
type idSource struct{ last atomic.Int64 }

const idDigits = "0123456789abcdefghijklmnopqrstuv" // RFC 4648 §7, lower case: keeps the order

// next is the microsecond, or the one after the last id's where that is later.
// 13 digits of 5 bits hold every int64.
func (s *idSource) next(now time.Time) string {
	us := now.UnixMicro()
	for {
		last := s.last.Load()
		us = max(us, last+1)
		if s.last.CompareAndSwap(last, us) {
			break
		}
	}
	var id [13]byte
	for i := len(id) - 1; i >= 0; i-- {
		id[i] = idDigits[us&31]
		us >>= 5
	}
	return string(id[:])
}
