package deliver

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"

	"letterlock/internal/mime"
	"letterlock/sieve"
)

// Filter says where the filter in front of us writes what it found out about a
// letter, and how: that is what spamtest and virustest read (RFC 5235). The zero
// value is a house without one, where nothing was tested.
//
// Of the fields of one name the first alone is read: a filter puts its own on top
// or takes strangers' away, what is further down may be the sender's (RFC 5235
// §4).
type Filter struct {
	Spam    []FilterField // the first that tells something counts
	SpamMax float64       // the score that is spam for certain; 0: 10
	Virus   []FilterField
	// VirusWords are the texts that a virus field may begin with, in lower case,
	// and what each says: 1 to 5 (RFC 5235 §3.3).
	VirusWords map[string]int
}

// FilterField is a field that the filter writes.
type FilterField struct {
	Name string
	// Pattern has one group, around what tells the verdict; nil: the whole value
	// does.
	Pattern *regexp.Regexp
}

// maxVerdict is how many octets of a field are looked at: filters that name all
// their tests write 4 KiB.
const maxVerdict = 8 << 10

func (f *Filter) tells() bool { return len(f.Spam)+len(f.Virus) > 0 }

// Verdicts reads what the filter found out from a letter's header.
func (f *Filter) Verdicts(h *mime.Header) (spam, virus sieve.Verdict) {
	return told(h, f.Spam, f.spam), told(h, f.Virus, f.virus)
}

// told is the first verdict that one of the fields tells.
func told(h *mime.Header, fields []FilterField, read func(text string) (float64, bool)) sieve.Verdict {
	for i := range fields {
		text, ok := fields[i].text(h)
		if !ok {
			continue
		}
		if score, ok := read(strings.ToLower(strings.TrimSpace(text))); ok {
			return sieve.Verdict{Tested: true, Score: score}
		}
	}
	return sieve.Verdict{}
}

// text is what the topmost field of that name tells by.
func (f *FilterField) text(h *mime.Header) (string, bool) {
	value, ok := h.Get(f.Name)
	value = value[:min(len(value), maxVerdict)]
	if !ok || f.Pattern == nil {
		return value, ok
	}
	groups := f.Pattern.FindStringSubmatchIndex(value)
	if groups == nil || groups[2] < 0 {
		return "", false
	}
	return value[groups[2]:groups[3]], true
}

// spam is how certain a text is, 0 to 1: a number, a row of characters, or yes
// or no.
func (f *Filter) spam(text string) (certain float64, ok bool) {
	switch word(text) {
	case "yes", "true", "spam":
		return 1, true
	case "no", "false", "ham":
		return 0, true
	}
	points, ok := number(text)
	if !ok {
		points, ok = row(text)
	}
	return min(1, max(0, points/cmp.Or(f.SpamMax, 10))), ok
}

// virus is what the longest of the words says that a text begins with.
func (f *Filter) virus(text string) (level float64, ok bool) {
	longest := -1
	for w, says := range f.VirusWords {
		if rest, begins := strings.CutPrefix(text, w); begins && len(w) > longest && !goesOn(rest) {
			longest, level = len(w), float64(says)
		}
	}
	return level, longest >= 0
}

// word is the letters that a text begins with.
func word(text string) string {
	for i := range len(text) {
		if !goesOn(text[i:]) {
			return text[:i]
		}
	}
	return text
}

// goesOn says whether a word goes on into rest.
func goesOn(rest string) bool {
	return rest != "" && (rest[0] >= 'a' && rest[0] <= 'z' || rest[0] >= '0' && rest[0] <= '9' || rest[0] >= 0x80)
}

var startsWithNumber = regexp.MustCompile(`^([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:[^0-9a-z]|$)`)

// number is the one that a text begins with: "5.3 (*****)".
func number(text string) (float64, bool) {
	found := startsWithNumber.FindStringSubmatch(text)
	if found == nil {
		return 0, false
	}
	n, _ := strconv.ParseFloat(found[1], 64) // one out of range is infinite, and still tells which end of it
	return n, true
}

// row is the points of a bar, one for each character: "*****" and "+++++" are
// five, "--" is two below zero, "/" and no character at all none.
func row(text string) (float64, bool) {
	if text == "" {
		return 0, true
	}
	if strings.Trim(text, text[:1]) != "" {
		return 0, false
	}
	switch points := float64(len(text)); text[0] {
	case '*', '+':
		return points, true
	case '-':
		return -points, true
	case '/':
		return 0, true
	}
	return 0, false
}
