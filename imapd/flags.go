package imapd

import (
	"errors"
	"fmt"
	"strings"

	"letterlock/storage"

	"github.com/emersion/go-imap/v2"
)

var (
	errKeyword  = no("CANNOT", "A keyword has at most 128 characters: letters, digits and signs other than ( ) { % * \" \\ ]")
	errKeywords = no("LIMIT", fmt.Sprintf("The mailbox has %d keywords, which is as many as it can have; no new one can be added", storage.MaxKeywords))
)

// settable is flags without \Recent, which is nobody's to set (RFC 3501
// §2.3.2). The keyword of REQUIRETLS is refused, and system flags that nobody
// defined (RFC 9051 §2.3.2).
func settable(flags []imap.Flag) ([]string, error) {
	out := make([]string, 0, len(flags))
	for _, f := range flags {
		name := string(f)
		switch {
		case strings.EqualFold(name, requireTLS):
			return nil, errRequireTLSFlag
		case strings.EqualFold(name, `\Recent`):
		case strings.HasPrefix(name, `\`) && !isSystemFlag(name):
			return nil, no("CANNOT", fmt.Sprintf("%.40s is not a system flag; those that can be set are %s", name, systemFlags))
		default:
			out = append(out, name)
		}
	}
	return out, nil
}

func isSystemFlag(name string) bool {
	_, known := flagBits(name, nil)
	return known
}

// keywordRefusal says what the vault has against flags: where messages are
// changed, a name or a limit it refuses is a keyword's.
func keywordRefusal(err error) error {
	if errors.Is(err, storage.ErrLimit) {
		return errKeywords
	}
	return badKeyword(err)
}

// badKeyword is keywordRefusal where messages are added: a keyword that finds no
// room is left out there, and the limit is another one.
func badKeyword(err error) error {
	if errors.Is(err, storage.ErrBadName) {
		return errKeyword
	}
	return err
}
