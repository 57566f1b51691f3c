package segment

import (
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Bodies are written raw when they arrive, since the flush must not wait for
// the CPU, and compressed when their segment is collected.

// encoder and decoder work on whole blocks and hold no state between them.
var (
	encoder = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
		if err != nil {
			panic("zstd: " + err.Error()) // the options are constants
		}
		return e
	})
	decoder = sync.OnceValue(func() *zstd.Decoder {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(4*BlockSize))
		if err != nil {
			panic("zstd: " + err.Error())
		}
		return d
	})
)

// worth is the share of a block, in sixteenths, that compression must leave to
// be kept: reading it costs time ever after.
const worth = 15

// appendFrame appends a block as it is to be stored: shorter where it pays.
func appendFrame(b, block []byte, codec Codec) []byte {
	if codec == Raw {
		return append(b, block...)
	}
	start := len(b)
	b = encoder().EncodeAll(block, b)
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
