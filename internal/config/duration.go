package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

var spans = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}

// parseDuration reads "90s", "5m", "4h" and "5d".
func parseDuration(s string) (time.Duration, bool) {
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	n, err := strconv.ParseInt(s[:digits], 10, 64)
	unit, ok := spans[strings.TrimSpace(s[digits:])]
	if err == nil && n == 0 && s == "0" {
		return 0, true
	}
	if err != nil || !ok || n > math.MaxInt64/int64(unit) {
		return 0, false
	}
	return time.Duration(n) * unit, true
}

// duration is a time, with its unit.
func duration(at func(*reading) *time.Duration, fit func(time.Duration) *Error) setting {
	return func(r *reading, _ string, value any) *Error {
		if n, ok := value.(int64); ok && n == 0 {
			value = "0"
		}
		s, e := asText(value)
		if e != nil {
			return wrong(`write a number and a unit, in quotes: "30s", "5m", "4h" or "5d"`, "%s", e.Fact)
		}
		d, ok := parseDuration(s)
		if !ok {
			return wrong(`write a number and a unit: "30s", "5m", "4h" or "5d"`, "%s is no time", quote(s))
		}
		if e := fit(d); e != nil {
			return e
		}
		*at(r) = d
		return nil
	}
}

func between(least, most time.Duration) func(time.Duration) *Error {
	return func(d time.Duration) *Error {
		if d < least || d > most {
			return wrong(fmt.Sprintf("anything from %s to %s", span(least), span(most)), "%s is out of bounds", span(d))
		}
		return nil
	}
}

// span is a time as the file has it.
func span(d time.Duration) string {
	for _, unit := range []string{"d", "h", "m"} {
		if d >= spans[unit] && d%spans[unit] == 0 {
			return strconv.FormatInt(int64(d/spans[unit]), 10) + unit
		}
	}
	return strconv.FormatInt(int64(d/time.Second), 10) + "s"
}

func within(least, most int64) func(int64) *Error {
	return func(n int64) *Error {
		if n < least || n > most {
			return wrong(fmt.Sprintf("anything from %d to %d", least, most), "%d is out of bounds", n)
		}
		return nil
	}
}
