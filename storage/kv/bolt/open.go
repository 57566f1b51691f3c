package bolt

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"runtime"
)

// readThrough reads a file whose free list was not written (a crash) from
// front to back, so that bbolt's walk over all its pages meets the page cache
// instead of the disk: seconds instead of half a minute per GiB. Then it follows the
// pages: a walk of bbolt's that stumbles over one takes the whole process along.
func readThrough(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	unclean := !clean(f)
	if unclean {
		_, err = io.CopyBuffer(io.Discard, struct{ io.Reader }{f}, make([]byte, 1<<20))
	}
	if err = errors.Join(err, f.Close()); err != nil || !unclean {
		return err
	}
	sum := byte(0)
	err = Walk(name, func(k, v []byte) error {
		for _, b := range [][]byte{k, v} { // where they lie behind the end of the file it is seen here
			if n := len(b); n > 0 {
				sum ^= b[0] ^ b[n-1]
			}
		}
		return nil
	})
	runtime.KeepAlive(sum)
	return err
}

// Where bbolt's two meta pages say what we ask: behind a page header of 16
// octets stand magic, version, page size, flags (4 each), root (16), free list
// (8), page count (8), transaction (8).
const (
	metaFreelist = 16 + 32
	metaTxid     = metaFreelist + 16
	noFreelist   = ^uint64(0)
)

// clean says whether the newest meta page names a free list.
func clean(f io.ReaderAt) bool {
	var newest, freelist uint64 = 0, noFreelist
	for page := range 2 {
		var b [metaTxid + 8]byte
		if _, err := f.ReadAt(b[:], int64(page*os.Getpagesize())); err != nil {
			return false
		}
		if txid := binary.NativeEndian.Uint64(b[metaTxid:]); txid >= newest {
			newest, freelist = txid, binary.NativeEndian.Uint64(b[metaFreelist:])
		}
	}
	return freelist != noFreelist
}
