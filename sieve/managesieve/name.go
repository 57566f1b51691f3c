package managesieve

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxName is how many characters a name may have (RFC 5804 §1.6: at least 128
// must be allowed).
const maxName = 128

// maxNameOctets is the same in octets, before it was normalized.
const maxNameOctets = 4 * maxName

// Name checks the name of a script and gives it in the form to keep it by: one
// to 128 characters of Net-Unicode (RFC 5804 §1.6, RFC 5198 §2), composed, so
// that what looks the same is the same.
func Name(name string) (string, error) {
	if name == "" {
		return "", errors.New("a script needs a name")
	}
	if !utf8.ValidString(name) {
		return "", errors.New("the name is not UTF-8")
	}
	if len(name) > maxNameOctets {
		return "", errLongName
	}
	name = norm.NFC.String(name)
	if utf8.RuneCountInString(name) > maxName {
		return "", errLongName
	}
	for _, r := range name {
		if r < 0x20 || 0x7f <= r && r <= 0x9f || r == 0x2028 || r == 0x2029 || r == 0xfeff {
			return "", fmt.Errorf("the name has a character that is not allowed in one: %U", r)
		}
	}
	return name, nil
}

var errLongName = fmt.Errorf("the name is longer than %d characters", maxName)
