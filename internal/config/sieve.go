package config

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
)

// Sieve is what [sieve] says: where the filter in front of us writes its verdicts.
type Sieve struct {
	SpamHeader  []HeaderField // none: no letter was tested
	SpamMax     float64       // the score that is spam for certain
	VirusHeader []HeaderField
	VirusWords  map[string]int // in lower case: what a text begins with, and what of RFC 5235 §3.3 it says, 1 to 5
}

// HeaderField is a header field that somebody writes for us to read.
type HeaderField struct {
	Name    string
	Pattern string // a regular expression with one group, around what is to be read; "": the whole value is
}

// Regexp is the pattern, in which upper and lower case are the same; nil where
// there is none.
func (f HeaderField) Regexp() *regexp.Regexp {
	if f.Pattern == "" {
		return nil
	}
	return regexp.MustCompile("(?i)" + f.Pattern)
}

func defaultSieve() Sieve {
	return Sieve{SpamMax: 10, VirusWords: map[string]int{"clean": 1, "replaced": 2, "cured": 3, "suspicious": 4, "infected": 5}}
}

// sieveSettings are the keys of [sieve].
func sieveSettings() map[string]setting {
	return map[string]setting{
		"sieve":              table,
		"sieve.spam_header":  headerFields(func(r *reading) *[]HeaderField { return &r.cfg.Sieve.SpamHeader }),
		"sieve.spam_max":     spamMax,
		"sieve.virus_header": headerFields(func(r *reading) *[]HeaderField { return &r.cfg.Sieve.VirusHeader }),
		"sieve.virus_words":  virusWords,
	}
}

// headerFields is a list of fields, "NAME" or "NAME: REGULAR EXPRESSION".
func headerFields(at func(*reading) *[]HeaderField) setting {
	return func(r *reading, _ string, value any) *Error {
		list, e := asList(value)
		var fields []HeaderField
		for _, s := range list {
			f, e := headerField(s)
			if e != nil {
				return e
			}
			fields = append(fields, f)
		}
		if e == nil {
			*at(r) = fields
		}
		return e
	}
}

func headerField(s string) (f HeaderField, e *Error) {
	name, pattern, behind := strings.Cut(s, ":")
	f = HeaderField{strings.TrimSpace(name), strings.TrimSpace(pattern)}
	if f.Name == "" || strings.ContainsFunc(f.Name, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return f, wrong(`write the field's name, such as "X-Spam-Score"; a regular expression goes behind a colon: 'X-Spam-Status: score=(-?[0-9.]+)'`, "%s names no header field", quote(s))
	}
	if !behind {
		return f, nil
	}
	re, err := regexp.Compile("(?i)" + f.Pattern)
	switch {
	case f.Pattern == "":
		return f, wrong(fmt.Sprintf("write %q", f.Name), "no regular expression behind the colon of %s", quote(s))
	case err != nil:
		return f, wrong("the syntax is that of Go's regexp and RE2; in 'single quotes' a backslash is written once", "%s: %s", quote(s), oneLine(err.Error()))
	case re.NumSubexp() != 1:
		return f, wrong("put (parentheses) around what tells the verdict; others are written (?:…)", "%s has %d groups, and not one", quote(s), re.NumSubexp())
	}
	return f, nil
}

func spamMax(r *reading, _ string, value any) *Error {
	score, ok := value.(float64)
	if n, whole := value.(int64); whole {
		score, ok = float64(n), true
	}
	switch {
	case !ok:
		return wrong("write it in digits, without quotes", "%s where a number belongs", kind(value))
	case !(score > 0) || math.IsInf(score, 0):
		return wrong("write the score that is spam for certain, such as 10", "%v is not above zero", score)
	}
	r.cfg.Sieve.SpamMax = score
	return nil
}

// virusWords are texts, each with its level.
func virusWords(r *reading, _ string, value any) *Error {
	const way = "write the words with what RFC 5235 says by 1 to 5: { clean = 1, replaced = 2, cured = 3, suspicious = 4, infected = 5 }"
	given, ok := value.(map[string]any)
	if !ok {
		return wrong(way, "%s where words belong", kind(value))
	}
	if len(given) == 0 {
		return wrong(way, "no words")
	}
	words := map[string]int{}
	for _, w := range slices.Sorted(maps.Keys(given)) {
		says := given[w]
		n, ok := says.(int64)
		switch folded := strings.ToLower(strings.TrimSpace(w)); {
		case folded == "":
			return wrong(way, "an empty word")
		case !ok:
			return wrong(way, "%s: %s where a number belongs", quote(w), kind(says))
		case n < 1 || n > 5:
			return wrong(way, "%s: %d is out of bounds", quote(w), n)
		default:
			words[folded] = int(n)
		}
	}
	r.cfg.Sieve.VirusWords = words
	return nil
}
