package sealed

import (
	"bytes"
	"context"
	"encoding/binary"
	"testing"

	"letterlock/storage/kv"
	"letterlock/storage/seal"
)

// BenchmarkUpdate puts what one delivery puts into the index: rows of 90 and a
// summary of 700 octets, 256 deliveries in one transaction. The ratio of the
// two is what sealing costs.
func BenchmarkUpdate(b *testing.B) { each(b, deliveries) }

// BenchmarkView walks 1,000 rows.
func BenchmarkView(b *testing.B) {
	each(b, func(b *testing.B, e kv.Engine) {
		for batch := range uint64(4) {
			deliver(b, e, 256*batch)
		}
		for b.Loop() {
			err := e.View(context.Background(), 0, func(r kv.Reader) error {
				for range r.Range([]byte("m"), []byte("n"), kv.Options{Limit: 1000}) {
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

func each(b *testing.B, fn func(*testing.B, kv.Engine)) {
	for name, keys := range map[string]*seal.Keys{"clear": nil, "sealed": openKeys(b, keyFile(b))} {
		b.Run(name, func(b *testing.B) {
			e := open(b, b.TempDir(), keys, func(k []byte) int {
				if len(k) > 0 && k[0] == 'n' {
					return 1
				}
				return 0
			})
			defer closeEngine(b, e)
			fn(b, e)
		})
	}
}

func deliveries(b *testing.B, e kv.Engine) {
	for n := uint64(0); b.Loop(); n += 256 {
		deliver(b, e, n)
	}
}

// deliver puts 256 of them.
func deliver(b *testing.B, e kv.Engine, first uint64) {
	row, summary := bytes.Repeat([]byte("r"), 90), bytes.Repeat([]byte("s"), 700)
	err := e.Update(context.Background(), 0, func(tx kv.Tx) error {
		for n := first; n < first+256; n++ {
			tx.Put(binary.BigEndian.AppendUint64([]byte("m"), n), row)
			tx.Put(binary.BigEndian.AppendUint64([]byte("e"), n), summary)
			tx.Put([]byte("c"), row)
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
