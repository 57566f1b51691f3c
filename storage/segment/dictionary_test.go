package segment

import (
	"bytes"
	"os"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// TestTrainDictionary writes a new dictionary into the file named by
// LETTERLOCK_TRAIN_DICTIONARY. One that was ever released is never replaced: a
// better one gets the next number, and is embedded beside it.
func TestTrainDictionary(t *testing.T) {
	name := os.Getenv("LETTERLOCK_TRAIN_DICTIONARY")
	if name == "" {
		t.Skip("LETTERLOCK_TRAIN_DICTIONARY names no file")
	}
	letters := sampleLetters(1, 500)
	b, err := zstd.BuildDict(zstd.BuildDictOptions{
		ID: dictionaryID, Contents: letters, History: cover(letters, 16<<10), Offsets: [3]int{1, 4, 8}, Level: zstd.SpeedBetterCompression,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d octets", len(b))
}

func sampleLetters(seed uint64, n int) (letters [][]byte) {
	s := newScribe(seed)
	for range n {
		letters = append(letters, []byte(s.letter()))
	}
	return letters
}

// cover picks from letters the stretches that have the most in common with all
// the others (Liao, Petri, Moffat and Wirth, 2016): what many letters hold
// counts by how many, and once. The best comes last, nearest to what is
// compressed.
func cover(letters [][]byte, size int) []byte {
	const gram, stretch = 8, 128
	holds := make(map[string]int) // how many letters hold a gram
	for _, l := range letters {
		seen := make(map[string]bool)
		for i := 0; i+gram <= len(l); i++ {
			if g := string(l[i : i+gram]); !seen[g] {
				seen[g] = true
				holds[g]++
			}
		}
	}
	var picked []byte
	epochs := size / stretch
	for epoch := 0; len(picked) < size; epoch = (epoch + 1) % epochs {
		best, from := 0, []byte(nil)
		for _, l := range letters[epoch*len(letters)/epochs : (epoch+1)*len(letters)/epochs] {
			for i := 0; i+stretch <= len(l); i += gram {
				score, seen := 0, make(map[string]bool)
				for j := i; j+gram <= i+stretch; j++ {
					if n := holds[string(l[j:j+gram])]; n > len(letters)/50 && !seen[string(l[j:j+gram])] {
						seen[string(l[j:j+gram])] = true
						score += n
					}
				}
				if score > best {
					best, from = score, l[i:i+stretch]
				}
			}
		}
		if from == nil {
			break
		}
		for j := 0; j+gram <= len(from); j++ {
			delete(holds, string(from[j:j+gram]))
		}
		picked = append(bytes.Clone(from), picked...)
	}
	return picked
}
