package query_test

import (
	"encoding/base64"
	"fmt"
	"math"
	"math/rand/v2"
	"mime/quotedprintable"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"letterlock/imapd/query"
	"letterlock/imapd/syntax"
)

// The mailbox that is measured: 10,000 letters, or LETTERS, of 4 KiB in the
// middle; the same each time.
const (
	rareWord   = "quagswagging" // in 8 of 10,000
	commonWord = "letter"       // in most
)

func benchLetters(n int) []letter {
	w := &scribe{Rand: rand.New(rand.NewPCG(8689, 1))}
	for range 20_000 {
		w.words = append(w.words, w.word(2+w.IntN(9)))
	}
	letters := make([]letter, n)
	for i := range letters {
		letters[i] = w.letter(i)
	}
	return letters
}

// scribe writes letters.
type scribe struct {
	*rand.Rand
	words []string
	ids   []string // of recent letters, with their subjects
	subj  []string
}

func (w *scribe) word(n int) string {
	const often = "eeeeeeeeeeeeetttttttttaaaaaaaaooooooooiiiiiiinnnnnnnssssssrrrrrrhhhhhhhllllddddccccuuummmffppggwwyybbvk"
	b := make([]byte, n)
	for i := range b {
		b[i] = often[w.IntN(len(often))]
	}
	return string(b)
}

func (w *scribe) phrase(n int) string {
	words := make([]string, n)
	for i := range words {
		words[i] = w.words[int(float64(len(w.words))*w.Float64()*w.Float64()*w.Float64())]
	}
	return strings.Join(words, " ")
}

func (w *scribe) letter(i int) letter {
	var b strings.Builder
	date := firstDate.Add(time.Duration(i) * 53 * time.Minute)
	id, subject, refs := fmt.Sprintf("<%d.%08x@example.net>", i, w.Uint32()), w.phrase(3+w.IntN(5)), ""
	if len(w.ids) > 0 && w.IntN(2) == 0 {
		k := w.IntN(len(w.ids))
		subject, refs = "Re: "+w.subj[k], w.ids[k]
	}
	w.ids, w.subj = append(w.ids, strings.TrimSpace(refs+" "+id)), append(w.subj, strings.TrimPrefix(subject, "Re: "))
	if len(w.ids) > 40 {
		w.ids, w.subj = w.ids[1:], w.subj[1:]
	}
	for hop := range 3 {
		fmt.Fprintf(&b, "Received: from mx%d.example.net (mx%d.example.net [192.0.2.%d])\n\tby mail.bench.test with ESMTPS id %08X\n\tfor <u0@bench.test>; %s\n", hop, hop, hop, w.Uint32(), date.Format(time.RFC1123Z))
	}
	fmt.Fprintf(&b, "From: %s <person%d@example.net>\nTo: Somebody <u0@bench.test>\nSubject: %s\nDate: %s\nMessage-ID: %s\n", w.phrase(2), w.IntN(200), subject, date.Add(time.Duration(w.IntN(7200))*time.Second).Format(time.RFC1123Z), id)
	if refs != "" {
		fmt.Fprintf(&b, "References: %s\n", strings.ReplaceAll(refs, " ", "\n\t"))
	}
	w.body(&b, i)
	flags := ""
	if w.IntN(10) < 7 {
		flags = `\Seen`
	}
	return letter{text: b.String(), date: date, flags: flags}
}

func (w *scribe) body(b *strings.Builder, i int) {
	size := min(int(3000*math.Exp(w.NormFloat64()*0.7)), 60_000)
	var text strings.Builder
	if w.IntN(10) < 8 {
		text.WriteString("This is a " + commonWord + ".\n")
	}
	for text.Len() < size {
		text.WriteString(w.phrase(10) + "\n")
	}
	if i%1250 == 625 {
		text.WriteString(rareWord + "\n")
	}
	switch i % 4 {
	case 0:
		b.WriteString("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n")
		q := quotedprintable.NewWriter(b)
		_, _ = q.Write([]byte("Grüße\n" + text.String())) // to memory
		_ = q.Close()
	case 1:
		b.WriteString("Content-Type: text/html; charset=iso-8859-1\nContent-Transfer-Encoding: base64\n\n")
		coded := base64.StdEncoding.EncodeToString([]byte("<p>" + text.String()))
		for len(coded) > 76 {
			b.WriteString(coded[:76] + "\n")
			coded = coded[76:]
		}
		b.WriteString(coded + "\n")
	default:
		b.WriteString("\n" + text.String())
	}
}

func benchHouse(b *testing.B) *house {
	b.Helper()
	n := 10_000
	if more, err := strconv.Atoi(os.Getenv("LETTERS")); err == nil {
		n = more
	}
	h := openHouse(b, benchLetters(n)...)
	h.indexed()
	return h
}

func BenchmarkMailbox(b *testing.B) {
	h := benchHouse(b)
	for _, keys := range []string{"TEXT " + rareWord, "BODY " + rareWord, "TEXT " + commonWord, "TEXT eet", "SUBJECT " + rareWord, "SUBJECT eet", "FROM person17@", "HEADER Message-Id 4711.", "UNSEEN", "SINCE 1-Sep-2026", "FUZZY TEXT " + rareWord, "FUZZY TEXT " + commonWord} {
		b.Run("SEARCH "+keys, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h.searched(keys)
			}
		})
	}
	for _, by := range []string{"REVERSE DATE", "SUBJECT", "FROM SUBJECT", "SIZE"} {
		for _, first := range []string{"first", "warm"} {
			b.Run("SORT "+by+" "+first, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if first == "first" {
						h.cache = new(query.Cache)
					}
					if _, err := query.Sort(b.Context(), h.mailbox(), syntax.All{}, sortedBy(by)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
	for name, how := range map[string]syntax.ThreadAlgorithm{"REFERENCES": syntax.References, "ORDEREDSUBJECT": syntax.OrderedSubject, "REFS": syntax.Refs} {
		for _, first := range []string{"first", "warm"} {
			b.Run("THREAD "+name+" "+first, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if first == "first" {
						h.cache = new(query.Cache)
					}
					if _, err := query.Thread(b.Context(), h.mailbox(), &syntax.Thread{Algorithm: how, Keys: syntax.And{syntax.All{}}}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func (h *house) searched(keys string) {
	h.Helper()
	if _, err := query.Search(h.Context(), h.mailbox(), h.keys(keys)); err != nil {
		h.Fatal(err)
	}
}
