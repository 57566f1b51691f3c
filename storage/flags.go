package storage

import (
	"fmt"
	"strings"

	"letterlock/internal/requiretls"
)

// Flags are the bits of one message: five system flags, two bits of demand,
// the rest the mailbox's keywords in order of Mailbox.Keywords.
type Flags uint64

// The bits. Those of the demand are read through [Flags.Demand].
const (
	Seen Flags = 1 << iota
	Answered
	Flagged
	Deleted
	Draft
	required
	waived
	firstKeyword
)

const (
	systemFlags = Seen | Answered | Flagged | Deleted | Draft
	demandBits  = required | waived
)

// MaxKeywords is how many keywords one mailbox can have.
const MaxKeywords = 57

// maxKeyword is the length of a keyword in octets.
const maxKeyword = 128

// requireTLSKeyword is shown by the reading room and stored by nobody: the
// demand itself is what it stands for.
const requireTLSKeyword = "$RequireTLS"

// Demand reads the two bits; both at once, which nobody writes, is required.
func (f Flags) Demand() requiretls.Demand {
	switch f & demandBits {
	case 0:
		return requiretls.Usual()
	case waived:
		return requiretls.Waived()
	}
	return requiretls.Required()
}

// Keyword is the bit of Mailbox.Keywords[i].
func Keyword(i int) Flags { return firstKeyword << i }

// bitsOf is the demand as it stands beside the flags. One that is not stated
// has no bits of its own and is treated as required.
func bitsOf(d requiretls.Demand) Flags {
	switch {
	case d.IsWaived():
		return waived
	case d == requiretls.Usual():
		return 0
	}
	return required
}

// FlagOp is what StoreFlags does with the flags it is given.
type FlagOp uint8

// What [Account.StoreFlags] can do.
const (
	AddFlags FlagOp = iota
	RemoveFlags
	ReplaceFlags
)

// apply changes everything but the demand, which no operation reaches.
func (op FlagOp) apply(old, arg Flags) Flags {
	arg &^= demandBits
	switch op {
	case AddFlags:
		return old | arg
	case RemoveFlags:
		return old &^ arg
	}
	return arg | old&demandBits
}

var systemFlagNames = map[string]Flags{
	`\seen`: Seen, `\answered`: Answered, `\flagged`: Flagged, `\deleted`: Deleted, `\draft`: Draft,
}

// splitFlags sorts names into system flags and keywords, and drops repeats.
// \Recent, $RequireTLS and system flags nobody defined are [ErrReadOnlyFlag];
// a keyword that is not an atom of at most 128 octets is [ErrBadName].
func splitFlags(names []string) (system Flags, keywords []string, err error) {
	for _, name := range names {
		if strings.HasPrefix(name, `\`) {
			f, ok := systemFlagNames[strings.ToLower(name)]
			if !ok {
				return 0, nil, fmt.Errorf("%s: %w", name, ErrReadOnlyFlag)
			}
			system |= f
			continue
		}
		if strings.EqualFold(name, requireTLSKeyword) {
			return 0, nil, fmt.Errorf("%s: %w", name, ErrReadOnlyFlag)
		}
		if !isKeyword(name) {
			return 0, nil, fmt.Errorf("keyword: %w", ErrBadName)
		}
		if indexFold(keywords, name) < 0 {
			keywords = append(keywords, name)
		}
	}
	return system, keywords, nil
}

// isKeyword: flag-keyword is an atom (RFC 9051 §9).
func isKeyword(s string) bool {
	if s == "" || len(s) > maxKeyword {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`(){%*"\]`, r)
	}) < 0
}

// indexFold finds a keyword whatever its case (RFC 9051 §2.3.2).
func indexFold(list []string, name string) int {
	for i, k := range list {
		if strings.EqualFold(k, name) {
			return i
		}
	}
	return -1
}
