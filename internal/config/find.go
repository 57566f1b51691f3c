package config

import (
	"maps"
	"slices"
	"strings"
)

// lineOf finds the line a key stands in, 0 where it cannot be told: the parser
// does not say. nth counts the [[sections]] of the key's name, from 0. What is
// not written in the common way may be missed, which costs the line number and
// nothing else.
func lineOf(text, key string, nth int) int {
	section, passed := "", -1
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if name, ok := heading(line); ok {
			section = name
			if list := strings.HasPrefix(line, "[["); list && (name == key || strings.HasPrefix(key, name+".")) {
				passed++
			}
			if name == key && passed <= nth && (passed < 0 || passed == nth) {
				return i + 1
			}
			continue
		}
		name, _, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		name = bare(name)
		if section != "" {
			name = section + "." + name
		}
		if (name == key || strings.HasPrefix(name, key+".")) && (passed < 0 || passed == nth) {
			return i + 1
		}
	}
	return 0
}

// heading is the name in [name] or [[name]].
func heading(line string) (string, bool) {
	if !strings.HasPrefix(line, "[") {
		return "", false
	}
	line, _, _ = strings.Cut(line, "#")
	inner := strings.Trim(strings.TrimSpace(line), "[]")
	return bare(inner), inner != ""
}

// bare is a key without the spaces and quotes it may be written with.
func bare(key string) string {
	parts := strings.Split(key, ".")
	for i, p := range parts {
		parts[i] = strings.Trim(strings.TrimSpace(p), `"'`)
	}
	return strings.Join(parts, ".")
}

// nearest is the known key that looks most like the one given. A key that is
// right and stands in the wrong section is nearest to itself in the right one.
func nearest(key string) string {
	key = strings.ToLower(key)
	if len(key) > 100 {
		key = key[:100]
	}
	best, least := "", 0
	for _, k := range slices.Sorted(maps.Keys(settings())) {
		d := min(distance(key, k), distance(last(key), last(k))+1)
		if best == "" || d < least {
			best, least = k, d
		}
	}
	return best
}

func last(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }

// distance is how many octets to add, drop or change to make b of a
// (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
