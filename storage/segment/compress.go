package segment

import (
	_ "embed"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Bodies are written raw when they arrive, since the flush must not wait for
// the CPU, and compressed when their segment is collected. Package doc.go has
// the figures.

// dictionaryID is that of the dictionary new frames use: the private range of
// RFC 8878 §3.1.1.1.3. A frame names its own, so dictionaries only ever get
// more.
const dictionaryID = 0x4c4c0001

// dictionary1 knows header fields and the phrases of small text messages; made
// by TestTrainDictionary.
//
//go:embed dictionary/1.zstd
var dictionary1 []byte

// plain and trained compress a block without and with the newest dictionary;
// decoder knows them all. They hold no state between blocks.
var (
	plain   = sync.OnceValue(func() *zstd.Encoder { return newEncoder(zstd.WithEncoderLevel(zstd.SpeedDefault)) })
	trained = sync.OnceValue(func() *zstd.Encoder {
		// A faster level leaves two more of a hundred octets, at a quarter of the cost.
		return newEncoder(zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderDict(dictionary1))
	})
	decoder = sync.OnceValue(func() *zstd.Decoder {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(4*BlockSize), zstd.WithDecoderDicts(dictionary1))
		if err != nil {
			panic("zstd: " + err.Error())
		}
		return d
	})
)

func newEncoder(own ...zstd.EOption) *zstd.Encoder {
	e, err := zstd.NewWriter(nil, append(own, zstd.WithEncoderConcurrency(2), zstd.WithEncoderCRC(false), zstd.WithWindowSize(BlockSize))...)
	if err != nil {
		panic("zstd: " + err.Error()) // the options are constants
	}
	return e
}

// worth is the share of a block, in sixteenths, that compression must leave to
// be kept: reading it costs time ever after.
const worth = 15

// appendFrame appends block i of a body as it is to be stored: shorter where it
// pays. The first block has the header, and all of a small message: it is what
// the dictionary knows.
func appendFrame(b, block []byte, i int, codec Codec) []byte {
	if codec == Raw {
		return append(b, block...)
	}
	start, e := len(b), plain
	if i == 0 {
		e = trained
	}
	b = e().EncodeAll(block, b)
	if len(b)-start >= len(block)*worth/16 {
		b = append(b[:start], block...)
	}
	return b
}

// expand is the reverse for one block.
func expand(p, frame []byte) error {
	got, err := decoder().DecodeAll(frame, p[:0])
	if err != nil || len(got) != len(p) || &got[0] != &p[0] {
		return fmt.Errorf("compressed block: %w", ErrDamaged)
	}
	return nil
}

// places is where each block starts.
func (t *Table) places() []int64 {
	at := make([]int64, len(t.Blocks))
	for i := 1; i < len(at); i++ {
		at[i] = at[i-1] + int64(t.Blocks[i-1].Stored)
	}
	return at
}
