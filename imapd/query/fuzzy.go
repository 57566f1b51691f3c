package query

import (
	"strings"

	"letterlock/internal/mail"
	"letterlock/internal/mime"
	"letterlock/internal/search"
)

// fuzzyKey is a text under FUZZY: its words are looked for (RFC 6203 §3). Keys
// under FUZZY that look for no text are asked exactly (§5).
type fuzzyKey struct {
	words *search.Words
	asks  []asks // of the index, for each of the words
	place place
	field string // lower case, with inField
	known bool   // the message at hand was looked through
	match *search.Match
	bonus int // to its score: it was found in the best place
}

// inSubject is what is added to the score of a text that the subject has; what
// is found elsewhere gets that much less.
const inSubject = 30

func (q *searching) fuzzyTest(in place, field, value string) (test, error) {
	k := &fuzzyKey{words: search.NewWords(value), place: in, field: field}
	for _, f := range k.words.Finders() {
		k.asks = append(k.asks, q.index.add(f))
	}
	q.fuzzy = append(q.fuzzy, k)
	q.contents = true
	if in == inField && envelopeField(field) != nil {
		q.envelopes = true
	}
	return func(c *candidate) verdict {
		switch {
		case c.held || c.level >= levelIndex && !q.mayHaveAll(k, c.i):
			return isNo
		case c.level < levelEnvelope || !k.lookUp(c):
			return unknown
		}
		return verdictOf(k.match.All())
	}, q.notTooMany()
}

func (q *searching) mayHaveAll(k *fuzzyKey, i int) bool {
	for _, a := range k.asks {
		if !q.index.may(a, i) {
			return false
		}
	}
	return true
}

// lookUp looks through an envelope's field, and says whether the message is
// looked through. What needs more than the envelope, or one that is not cut short,
// is done by lookThroughFuzzily.
func (k *fuzzyKey) lookUp(c *candidate) bool {
	if cached := envelopeField(k.field); !k.known && cached != nil {
		k.match = k.words.Match()
		k.words.String(k.match, cached(c.summary))
		k.bonus, k.known = inSubject, k.match.All() || c.summary.Has&mail.CutShort == 0
	}
	return k.known
}

// forgetFuzzy begins another message.
func (q *searching) forgetFuzzy() {
	for _, k := range q.fuzzy {
		k.known, k.match, k.bonus = false, nil, 0
	}
}

// lookThroughFuzzily looks for the words of each key that is not known yet.
func (q *searching) lookThroughFuzzily(c *candidate) error {
	for _, k := range q.fuzzy {
		if k.known {
			continue
		}
		if err := k.lookThrough(c); err != nil {
			return err
		}
		k.known = true
		if q.test(c) != unknown {
			return nil
		}
	}
	return nil
}

func (k *fuzzyKey) lookThrough(c *candidate) error {
	k.match = k.words.Match()
	if k.place == inField {
		return k.lookThroughFields(c)
	}
	if k.place == inMessage {
		if k.words.String(k.match, mime.DecodeHeader(c.summary.Subject)); k.match.All() {
			k.bonus = inSubject
			return nil
		}
	}
	for p := range mime.Passages(c.summary, c.octets, k.place.scope()) {
		if err := k.words.Reader(k.match, p); err != nil || k.match.All() {
			return err
		}
	}
	return nil
}

func (k *fuzzyKey) lookThroughFields(c *candidate) error {
	k.bonus = inSubject
	for field, err := range mime.FieldTexts(&c.summary.Root, c.octets) {
		if err != nil {
			return err
		}
		if strings.EqualFold(field.Name, k.field) {
			k.words.String(k.match, field.Text)
		}
	}
	return nil
}

// scoreOf is how relevant a message is that matches, from 1 to 100: the mean of
// its matches. Without any (FUZZY of a key without text, or another side of an
// OR) it is as relevant as can be.
func (q *searching) scoreOf(c *candidate) uint8 {
	if c.level < levelEnvelope || c.held {
		return 100
	}
	sum, n := 0, 0
	for _, k := range q.fuzzy {
		if k.known && k.match.All() {
			sum += k.match.Score()*(100-inSubject)/100 + k.bonus
			n++
		}
	}
	if n == 0 {
		return 100
	}
	return uint8(max(1, sum/n))
}
