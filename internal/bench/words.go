package main

import (
	"bytes"
	"math/rand/v2"
	"strings"
)

// words makes text out of a vocabulary in which few words are common and most
// are rare, as in a language.
type words struct {
	rnd  *rand.Rand
	zipf *rand.Zipf
	all  []string
}

func newWords(rnd *rand.Rand) *words {
	w := &words{rnd: rnd, zipf: rand.NewZipf(rnd, 1.2, 8, 2999)}
	w.all = strings.Fields("the a of to and in is that it for you was with on as have be at this not are but from or an they which one we can will " + commonWord)
	syllables := strings.Fields("ba co di fu ge hi jo ka lu me no pi qua ro si ta ul ve wo xy za ent ing ous ter ion ble str nt th sh")
	for len(w.all) < 3000 {
		word := ""
		for range 2 + rnd.IntN(3) {
			word += syllables[rnd.IntN(len(syllables))]
		}
		w.all = append(w.all, word)
	}
	return w
}

func (w *words) one() string { return w.all[w.zipf.Uint64()] }

func (w *words) phrase(n int) string {
	var all []string
	for range n {
		all = append(all, w.one())
	}
	return strings.Join(all, " ")
}

// lines writes about size octets in lines of up to 72.
func (w *words) lines(b *bytes.Buffer, size int) { w.mixed(b, size, nil) }

// mixed does so with every third word out of more, where there is more.
func (w *words) mixed(b *bytes.Buffer, size int, more []string) {
	end, column := b.Len()+size, 0
	for b.Len() < end {
		word := w.one()
		if len(more) > 0 && w.rnd.IntN(3) == 0 {
			word = more[w.rnd.IntN(len(more))]
		}
		if column += len(word) + 1; column > 72 {
			b.WriteString("\r\n")
			column = len(word) + 1
		}
		b.WriteString(word)
		b.WriteByte(' ')
	}
	b.WriteString("\r\n")
}
