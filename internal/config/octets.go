package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

var units = map[string]uint64{
	"": 1, "B": 1,
	"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
	"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40,
}

var errNoSize = errors.New(`write a number and a unit: "50MB" (50 000 000 octets) or "48MiB"`)

// ParseOctets reads a size as the config file and flags have it: 50000000,
// "50MB", "48 MiB". The error says what to write.
func ParseOctets(s string) (uint64, error) {
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	n, err := strconv.ParseUint(s[:digits], 10, 64)
	unit, ok := units[strings.ToUpper(strings.TrimSpace(s[digits:]))]
	if err != nil || !ok || n > math.MaxInt64/unit {
		return 0, errNoSize
	}
	return n * unit, nil
}
