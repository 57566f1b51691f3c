package sieve

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"letterlock/internal/mime"
)

// dateExt is RFC 5260 §4 and §5.
var dateExt = Extension{
	Name: "date",
	Tests: []Spec{
		{
			Name: "date", Groups: MatchTags, Test: compileDate,
			Args: []Param{{Name: "header field", Kind: StringArg}, datePart, {Name: "keys", Kind: StringList}},
			Tags: []Tag{zoneTag, {Name: "originalzone", Class: "zone"}},
		},
		{
			Name: "currentdate", Groups: MatchTags, Test: compileCurrentdate,
			Args: []Param{datePart, {Name: "keys", Kind: StringList}}, Tags: []Tag{zoneTag},
		},
	},
}

var (
	datePart = Param{Name: "part of the date", Kind: StringArg}
	zoneTag  = Tag{Name: "zone", Class: "zone", Arg: StringArg, Check: checkZone}
)

// indexExt is RFC 5260 §6.
var indexExt = Extension{
	Name: "index",
	Tags: []TagFor{
		{"header", indexTag}, {"header", lastTag},
		{"address", indexTag}, {"address", lastTag},
		{"date", indexTag}, {"date", lastTag},
	},
}

var (
	indexTag = Tag{Name: "index", Arg: NumberArg, Check: func(c *Call, t *TagValue) error {
		if t.Number == 0 {
			return c.Fail(t.Pos, "`:index` counts from 1")
		}
		return nil
	}}
	lastTag = Tag{Name: "last", With: []string{"index"}}
)

// parseZone reads +hhmm or -hhmm (RFC 5260 §4.1).
func parseZone(s string) (*time.Location, bool) {
	if len(s) != 5 || s[0] != '+' && s[0] != '-' || !isNumber(s[1:]) {
		return nil, false
	}
	n, _ := strconv.Atoi(s[1:])
	if n%100 > 59 {
		return nil, false
	}
	offset := (n/100*60 + n%100) * 60
	if s[0] == '-' {
		offset = -offset
	}
	return time.FixedZone("", offset), true
}

func checkZone(c *Call, t *TagValue) error {
	if s, ok := t.String.Const(); ok {
		if _, ok := parseZone(s); !ok {
			return c.Fail(t.Pos, "%s is no zone; write its distance from UTC as \"+0100\"", quote(s))
		}
	}
	return nil
}

// zoneOf says how a call wants to see times: the zone to shift to, or nil to
// leave it.
func zoneOf(c *Call) func(*Runtime) (*time.Location, error) {
	server := c.Config().Zone
	t := c.Tag("zone")
	if t == nil {
		if c.Has("originalzone") {
			server = nil
		}
		return func(*Runtime) (*time.Location, error) { return server, nil }
	}
	s := t.String
	return func(rt *Runtime) (*time.Location, error) {
		text, err := s.Eval(rt)
		if err != nil {
			return nil, err
		}
		zone, ok := parseZone(text)
		if !ok {
			return nil, fmt.Errorf("%s is no zone; write its distance from UTC as \"+0100\"", quote(text))
		}
		return zone, nil
	}
}

// partsOf resolves the date-part argument.
func partOf(c *Call, i int) (func(*Runtime) (func(time.Time) string, error), error) {
	s := c.String(i)
	if text, ok := s.Const(); ok {
		part := dateParts[foldASCII(text)]
		if part == nil {
			return nil, c.Fail(s.pos, "%s is no part of a date; there are year, month, day, date, julian, hour, minute, second, time, iso8601, std11, zone and weekday", quote(text))
		}
		return func(*Runtime) (func(time.Time) string, error) { return part, nil }, nil
	}
	return func(rt *Runtime) (func(time.Time) string, error) {
		text, err := s.Eval(rt)
		if err != nil {
			return nil, err
		}
		if part := dateParts[foldASCII(text)]; part != nil {
			return part, nil
		}
		return nil, fmt.Errorf("%s is no part of a date", quote(text))
	}, nil
}

// dateParts are those of RFC 5260 §4.2.
var dateParts = map[string]func(time.Time) string{
	"year":    func(t time.Time) string { return fmt.Sprintf("%04d", t.Year()) },
	"month":   func(t time.Time) string { return t.Format("01") },
	"day":     func(t time.Time) string { return t.Format("02") },
	"date":    func(t time.Time) string { return t.Format("2006-01-02") },
	"julian":  julian,
	"hour":    func(t time.Time) string { return t.Format("15") },
	"minute":  func(t time.Time) string { return t.Format("04") },
	"second":  func(t time.Time) string { return t.Format("05") },
	"time":    func(t time.Time) string { return t.Format("15:04:05") },
	"iso8601": func(t time.Time) string { return t.Format("2006-01-02T15:04:05Z07:00") },
	"std11":   func(t time.Time) string { return t.Format("Mon, 2 Jan 2006 15:04:05 -0700") },
	"zone":    func(t time.Time) string { return t.Format("-0700") },
	"weekday": func(t time.Time) string { return strconv.Itoa(int(t.Weekday())) },
}

// julian is the Modified Julian Day of the date as it is in its zone.
func julian(t time.Time) string {
	year, month, day := t.Date()
	days := time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() / 86400
	return strconv.FormatInt(days+40587, 10)
}

// dateIn finds the date in a field's value: the whole, or what stands behind
// the last semicolon (RFC 5260 §4).
func dateIn(value string) (time.Time, bool) {
	if i := strings.LastIndexByte(value, ';'); i >= 0 {
		value = value[i+1:]
	}
	t := mime.ParseDate(trimSpace(value))
	return t, !t.IsZero()
}

func compileDate(c *Call) (Predicate, error) {
	fields, err := c.Fields(0)
	if err != nil {
		return nil, err
	}
	if fields.index == 0 {
		fields.index = 1 // RFC 5260 §4: the first field counts
	}
	part, err := partOf(c, 1)
	if err != nil {
		return nil, err
	}
	zone := zoneOf(c)
	m, err := c.Matcher(c.Strings(2))
	if err != nil {
		return nil, err
	}
	return func(rt *Runtime) (bool, error) {
		w, err := fields.walk(rt)
		if err != nil {
			return false, err
		}
		when, found, err := w.date()
		if err != nil || !found && !m.typ.Count {
			return false, err
		}
		if m.typ.Count {
			n := 0
			if found {
				n = 1
			}
			return m.Number(rt, n)
		}
		return matchDate(rt, m, when, zone, part)
	}, nil
}

// date is that of the next field.
func (w *walk) date() (when time.Time, found bool, err error) {
	f, err := w.next()
	if f == nil || err != nil {
		return when, false, err
	}
	v, err := f.text(w.rt)
	if err != nil {
		return when, false, err
	}
	when, found = dateIn(v.Text)
	return when, found, w.rt.Scan(512 + 2*len(v.Text))
}

func compileCurrentdate(c *Call) (Predicate, error) {
	part, err := partOf(c, 0)
	if err != nil {
		return nil, err
	}
	zone := zoneOf(c)
	m, err := c.Matcher(c.Strings(1))
	if err != nil {
		return nil, err
	}
	return func(rt *Runtime) (bool, error) {
		if m.typ.Count {
			return m.Number(rt, 1)
		}
		return matchDate(rt, m, rt.now, zone, part)
	}, nil
}

func matchDate(rt *Runtime, m *Matcher, when time.Time, zone func(*Runtime) (*time.Location, error), part func(*Runtime) (func(time.Time) string, error)) (bool, error) {
	loc, err := zone(rt)
	if err != nil {
		return false, err
	}
	if loc != nil {
		when = when.In(loc)
	}
	format, err := part(rt)
	if err != nil {
		return false, err
	}
	v := Value{Text: format(when)}
	return m.Value(rt, &v)
}
