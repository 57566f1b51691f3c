package storage

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// inbox is the one mailbox that every account has, under every spelling of its
// name (RFC 9051 §5.1).
const (
	inbox             = "INBOX"
	inboxID MailboxID = 1
)

// Bounds of a mailbox name.
const (
	maxName  = 1000 // octets
	maxDepth = 32   // levels
)

// cleanName brings a name to the form in which it is kept: normal form C, and
// INBOX in capitals where it is the first level.
func cleanName(name string) (string, error) {
	if !utf8.ValidString(name) {
		return "", fmt.Errorf("not UTF-8: %w", ErrBadName)
	}
	name = norm.NFC.String(name)
	levels := strings.Split(name, "/")
	if len(name) > maxName || len(levels) > maxDepth {
		return "", fmt.Errorf("too long: %w", ErrBadName)
	}
	for _, level := range levels {
		if level == "" || strings.ContainsFunc(level, unicode.IsControl) {
			return "", fmt.Errorf("%q: %w", name, ErrBadName)
		}
	}
	if strings.EqualFold(levels[0], inbox) {
		levels[0] = inbox
	}
	return strings.Join(levels, "/"), nil
}

// parents are the names above name, the highest first.
func parents(name string) (above []string) {
	for i := range len(name) {
		if name[i] == '/' {
			above = append(above, name[:i])
		}
	}
	return above
}
