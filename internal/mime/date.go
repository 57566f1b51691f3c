package mime

import (
	"strings"
	"time"
)

// ParseDate reads a date-time as RFC 5322 §3.3 and §4.3 write it and as people
// do: weekday or none, comments, two-digit years, names of zones, asctime, ISO
// 8601. The zone is kept; an unknown one is UTC (§4.3: "-0000"). What cannot be
// read is the zero time.
func ParseDate(s string) time.Time {
	s = s[:min(len(s), maxDate)]
	d := dateReader{day: -1, year: -1, hour: -1}
	for i := 0; ; {
		var word string
		if word, i = dateWord(s, i); word == "" {
			return d.time()
		}
		d.word(word)
	}
}

// dateWord takes the next word at or after s[i]. White space and comments may
// stand around the colons in a time (RFC 5322 A.6.3).
func dateWord(s string, i int) (word string, next int) {
	for i = skipCFWS(s, i); i < len(s) && s[i] == ','; i = skipCFWS(s, i) {
		i++
	}
	start := i
	for i < len(s) && !isSpace(s[i]) && s[i] != ',' && s[i] != '(' {
		i++
	}
	word = s[start:i]
	after := skipCFWS(s, i)
	if after > i && after < len(s) && word != "" && (s[after] == ':' || word[len(word)-1] == ':') {
		var rest string
		rest, i = dateWord(s, after)
		word += rest
	}
	return word, i
}

// maxDate is where the date must have been said.
const maxDate = 256

// dateReader gathers the pieces of a date in whatever order they come.
type dateReader struct {
	day, month, year  int
	hour, minute, sec int
	offset            int // seconds east
	zoned             bool
	bad               bool
}

func (d *dateReader) word(w string) {
	c := w[0]
	switch {
	case d.hour >= 0 && (c == '+' || c == '-'):
		d.zone(w)
	case isDigit(c) && strings.IndexByte(w, ':') > 0 && strings.IndexByte(w, '-') < 0:
		d.clock(w)
	case isDigit(c) && strings.IndexByte(w, '-') > 0:
		d.dashed(w)
	case isDigit(c):
		d.number(w)
	default:
		d.name(w)
	}
}

// clock reads "15:04:05", with what may stick to it: a fraction, a zone.
func (d *dateReader) clock(w string) {
	if i := strings.IndexAny(w, "+-Zz"); i > 0 {
		defer d.zone(w[i:])
		w = w[:i]
	}
	w, _, _ = strings.Cut(w, ".")
	h, rest, _ := strings.Cut(w, ":")
	m, sec, ok := strings.Cut(rest, ":")
	d.hour, d.minute = atoi(h), atoi(m)
	if ok {
		d.sec = atoi(sec)
	}
	d.bad = d.bad || d.hour < 0 || d.hour > 24 || d.minute < 0 || d.minute > 59 || d.sec < 0 || d.sec > 60
}

// dashed reads "2-Jan-2006" and "2006-01-02T15:04:05+01:00".
func (d *dateReader) dashed(w string) {
	a, rest, _ := strings.Cut(w, "-")
	b, c, ok := strings.Cut(rest, "-")
	if !ok || b == "" {
		d.bad = true
		return
	}
	if len(a) != 4 {
		d.number(a)
		d.name(b)
		d.number(c)
		return
	}
	d.setYear(a)
	d.month = atoi(b)
	day, clock, ok := cutAny(c, "Tt")
	d.day = atoi(day)
	if ok && clock != "" {
		d.clock(clock)
	}
}

func cutAny(s, chars string) (before, after string, found bool) {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

func (d *dateReader) number(w string) {
	switch {
	case d.day < 0 && len(w) <= 2:
		d.day = atoi(w)
	case d.year < 0 && len(w) >= 2:
		d.setYear(w)
	}
}

// setYear reads a year; RFC 5322 §4.3 says what fewer than four digits mean.
func (d *dateReader) setYear(w string) {
	y := atoi(w)
	switch {
	case y < 0 || len(w) > 4:
		d.bad = true
	case len(w) == 2 && y < 50:
		y += 2000
	case len(w) <= 3:
		y += 1900
	}
	d.year = y
}

var months = [...]string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}

// name reads the name of a month or of a zone, and passes over all others.
func (d *dateReader) name(w string) {
	if d.month == 0 && len(w) >= 3 {
		for i, m := range months {
			if is(w[:3], m) {
				d.month = i + 1
				return
			}
		}
	}
	if d.hour >= 0 && !d.zoned {
		d.zone(w)
	}
}

// namedZones are those of RFC 5322 §4.3 and the commonest others, in hours.
var namedZones = map[string]int{
	"UT": 0, "UTC": 0, "GMT": 0, "Z": 0,
	"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
	"CET": 1, "CEST": 2, "MET": 1, "MEST": 2, "BST": 1, "WEST": 1, "EET": 2, "EEST": 3, "MSK": 3, "JST": 9, "KST": 9,
	"AKST": -9, "AKDT": -8, "HST": -10, "AST": -4, "ADT": -3, "NZST": 12, "NZDT": 13, "AEST": 10, "AEDT": 11,
}

// zone reads "+0100", "+01:00" or a name. Military letters mean nothing, since
// RFC 822 had them wrong (RFC 5322 §4.3).
func (d *dateReader) zone(w string) {
	if d.zoned {
		return
	}
	if len(w) > 3 && (is(w[:3], "GMT") || is(w[:3], "UTC")) {
		w = w[3:] // as JavaScript writes it: GMT+0100
	}
	if w[0] != '+' && w[0] != '-' {
		hours, known := namedZones[strings.ToUpper(w)]
		d.offset = hours * 3600
		d.zoned = known
		return
	}
	digits := strings.Replace(w[1:], ":", "", 1)
	if len(digits) == 2 {
		digits += "00"
	}
	if len(digits) < 4 {
		return
	}
	h, m := atoi(digits[:2]), atoi(digits[2:4])
	d.zoned = true
	if h < 0 || h > 23 || m < 0 || m > 59 {
		return
	}
	if d.offset = h*3600 + m*60; w[0] == '-' {
		d.offset = -d.offset
	}
}

func (d *dateReader) time() time.Time {
	if d.bad || d.day < 1 || d.month < 1 || d.month > 12 || d.year < 1 {
		return time.Time{}
	}
	zone := time.UTC
	if d.offset != 0 {
		zone = time.FixedZone("", d.offset)
	}
	t := time.Date(d.year, time.Month(d.month), d.day, max(d.hour, 0), d.minute, d.sec, 0, zone)
	if midnight := time.Date(d.year, time.Month(d.month), d.day, 0, 0, 0, 0, zone); midnight.Day() != d.day {
		return time.Time{} // 31 February
	}
	return t
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// atoi reads a number of up to six digits; anything else is -1.
func atoi(s string) int {
	if s == "" || len(s) > 6 {
		return -1
	}
	n := 0
	for i := range len(s) {
		if !isDigit(s[i]) {
			return -1
		}
		n = n*10 + int(s[i]-'0')
	}
	return n
}
