package query_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"letterlock/imapd/query"
	"letterlock/imapd/syntax"
	"letterlock/internal/requiretls"
)

// manyLetters are made of few words, so that many of them match.
func manyLetters(n int, rnd *rand.Rand) (letters []letter) {
	words := []string{"alpha", "beta", "Gärten", "delta", "epsilon", "straße", "会議室", "eta", "theta", "iota", "kappa-lambda", "mu"}
	word := func() string { return words[rnd.IntN(len(words))] }
	for i := range n {
		demand := requiretls.Usual()
		if rnd.IntN(8) == 0 {
			demand = requiretls.Required()
		}
		charset := ""
		if rnd.IntN(3) == 0 {
			charset = "Content-Type: text/plain; charset=utf-8\n"
		}
		text := fmt.Sprintf("From: %s <%s@example.org>\nTo: =?utf-8?Q?G=C3=A4rten?= <x@example.org>\nSubject: %s %s\nX-Word: %s\n%s\n%s %s %d\n",
			word(), "p"+fmt.Sprint(rnd.IntN(5)), word(), word(), word(), charset, word(), word(), i)
		letters = append(letters, letter{text: text, demand: demand})
	}
	return letters
}

var aText = rapid.SampledFrom([]string{
	"alpha", "beta", "GÄRTEN", "ärt", "delta", "STRASSE", "会議", "会議室", "eta", "kappa", "a-l", "mu", "zzzz", "", "p1@exam", "<x@example.org>, ", "Gärten <x@", "epsilon delta", "9\r\n", "word: ",
})

// aKey draws a key, with others inside it.
func aKey(depth int) *rapid.Generator[syntax.Key] {
	return rapid.Custom(func(t *rapid.T) syntax.Key {
		text := aText.Draw(t, "text")
		field := rapid.SampledFrom([]string{"Subject", "from", "To", "cc", "X-Word", "X-None"}).Draw(t, "field")
		kinds := 8
		if depth == 0 {
			kinds = 5
		}
		switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
		case 0:
			return syntax.Text{Value: text}
		case 1:
			return syntax.Body{Value: text}
		case 2:
			return syntax.Header{Field: field, Value: text}
		case 3:
			return syntax.UIDs{Set: syntax.Set{Ranges: []syntax.Range{{First: 20, Last: 90}}}}
		case 4:
			return syntax.Fuzzy{Key: syntax.Text{Value: text}}
		case 5:
			return syntax.Not{Key: aKey(depth-1).Draw(t, "not")}
		case 6:
			return syntax.Or{Left: aKey(depth-1).Draw(t, "left"), Right: aKey(depth-1).Draw(t, "right")}
		}
		return syntax.And{aKey(depth-1).Draw(t, "first"), aKey(depth-1).Draw(t, "second")}
	})
}

// plainly finds what a search finds one message at a time: too few for the index
// to be asked.
func (h *house) plainly(key syntax.Key) string {
	h.Helper()
	m := h.mailbox()
	var found []string
	for i := range m.View.Len() {
		n := uint32(i + 1)
		r, err := query.Search(h.Context(), m, syntax.And{syntax.Seqs{Set: syntax.Set{Ranges: []syntax.Range{{First: n, Last: n}}}}, key})
		if err != nil {
			h.Fatal(err)
		}
		if len(r.Found) > 0 {
			found = append(found, fmt.Sprint(n))
		}
	}
	return strings.Join(found, " ")
}

func TestIndexAnswersAreThoseOfTheMessages(t *testing.T) {
	rnd := rand.New(rand.NewPCG(8689, 2))
	h := openHouse(t, manyLetters(150, rnd)...)
	h.indexed()
	h.deliver(manyLetters(20, rnd)...) // which the index does not know
	houses := []*house{h, h.as(inClear)}
	rapid.Check(t, func(t *rapid.T) {
		key := aKey(2).Draw(t, "key")
		h := rapid.SampledFrom(houses).Draw(t, "session")
		r, err := query.Search(h.Context(), h.mailbox(), key)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := numbers(r), h.plainly(key); got != want {
			t.Errorf("%#v\ngot  %s\nwant %s", key, got, want)
		}
	})
}

// The index says which messages may match, and nobody who may not read them gets
// to know.
func TestTheIndexIsNotBelievedAboutWithheldMessages(t *testing.T) {
	letters := manyLetters(100, rand.New(rand.NewPCG(1, 1)))
	letters[40] = letter{text: "Subject: tulips\n\nmerger\n", demand: requiretls.Required()}
	h := openHouse(t, letters...)
	h.indexed()
	h.finds(map[string]string{"TEXT merger": "41", "NOT TEXT merger 40:42": "40 42", "SUBJECT tulips": "41"})
	h.as(inClear).finds(map[string]string{"TEXT merger": "", "NOT TEXT merger 40:42": "40 41 42", "SUBJECT tulips": "", "NOT TEXT absent 40:42": "40 41 42"})
}

// A field beyond what a passage has of a header is found all the same.
func TestFieldsOfAHugeHeaderAreFound(t *testing.T) {
	letters := manyLetters(100, rand.New(rand.NewPCG(1, 1)))
	letters[7] = letter{text: "Subject: huge\n" + strings.Repeat("X-Filler: "+strings.Repeat("x", 900)+"\n", 400) + "X-Last: needle\nFrom: last@example.org\n\nbody\n"}
	h := openHouse(t, letters...)
	h.indexed()
	h.finds(map[string]string{"HEADER X-Last needle": "8", "FROM last@": "8", "BODY needle": ""})
}
