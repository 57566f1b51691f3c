package auth

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/xdg-go/stringprep"
)

// maxScram bounds a message of the client.
const maxScram = 8 << 10

// scramFirst is the client's first message (RFC 5802 §7).
type scramFirst struct {
	gs2     string // the header of the message, as it came
	binding string // the channel binding type to be used; empty: none
	unheard bool   // the client could bind and thinks that we cannot: flag "y"
	authzid string
	bare    string // the rest, as it came
	login   string // prepared
	nonce   string
}

// parseScramFirst reads gs2-cbind-flag "," [authzid] "," [reserved-mext ","]
// username "," nonce ["," extensions].
func parseScramFirst(message []byte) (f scramFirst, err error) {
	if len(message) > maxScram || !utf8.Valid(message) || bytes.IndexByte(message, 0) >= 0 {
		return f, ErrMalformed
	}
	flag, rest, ok := strings.Cut(string(message), ",")
	authzid, bare, ok2 := strings.Cut(rest, ",")
	if !ok || !ok2 {
		return f, ErrMalformed
	}
	f.gs2, f.bare = string(message[:len(flag)+len(authzid)+2]), bare
	if err := f.readHeader(flag, authzid); err != nil {
		return scramFirst{}, err
	}
	parts := strings.Split(bare, ",")
	// "m=" in front is an extension that must be understood, and is not (§5.1).
	if len(parts) < 2 || !attributes(parts[2:]) {
		return scramFirst{}, ErrMalformed
	}
	if f.login, ok = saslName(parts[0], "n="); !ok {
		return scramFirst{}, ErrMalformed
	}
	if f.nonce, ok = strings.CutPrefix(parts[1], "r="); !ok || !printable(f.nonce) {
		return scramFirst{}, ErrMalformed
	}
	return f, nil
}

func (f *scramFirst) readHeader(flag, authzid string) (err error) {
	kind, binds := strings.CutPrefix(flag, "p=")
	switch {
	case binds && bindingName(kind):
		f.binding = kind
	case flag == "y":
		f.unheard = true
	case flag != "n":
		return ErrMalformed
	}
	if authzid == "" {
		return nil
	}
	ok := false
	if f.authzid, ok = saslName(authzid, "a="); !ok {
		return ErrMalformed
	}
	return nil
}

// scramFinal is the client's last message.
type scramFinal struct {
	channel      []byte // GS2 header and channel binding data
	nonce        string
	proof        []byte
	withoutProof string // all before ",p="
}

// parseScramFinal reads channel-binding "," nonce ["," extensions] "," proof.
func parseScramFinal(message []byte) (f scramFinal, err error) {
	if len(message) > maxScram || !utf8.Valid(message) || bytes.IndexByte(message, 0) >= 0 {
		return f, ErrMalformed
	}
	text := string(message)
	at := strings.LastIndex(text, ",p=")
	if at < 0 {
		return f, ErrMalformed
	}
	f.withoutProof = text[:at]
	parts := strings.Split(f.withoutProof, ",")
	if len(parts) < 2 || !attributes(parts[2:]) {
		return scramFinal{}, ErrMalformed
	}
	channel, ok := strings.CutPrefix(parts[0], "c=")
	nonce, ok2 := strings.CutPrefix(parts[1], "r=")
	if !ok || !ok2 || !printable(nonce) || strings.ContainsAny(text, "\r\n") { // the decoder passes over these
		return scramFinal{}, ErrMalformed
	}
	f.nonce = nonce
	strict := base64.StdEncoding.Strict()
	f.channel, err = strict.DecodeString(channel)
	if err == nil {
		f.proof, err = strict.DecodeString(text[at+len(",p="):])
	}
	if err != nil {
		return scramFinal{}, ErrMalformed
	}
	return f, nil
}

// attributes says whether these are extensions that may be ignored: letter,
// "=", value.
func attributes(parts []string) bool {
	for _, p := range parts {
		if len(p) < 3 || p[1] != '=' || !isLetter(p[0]) || p[0] == 'm' {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// printable is what a nonce is made of (RFC 5802 §7).
func printable(nonce string) bool {
	if nonce == "" {
		return false
	}
	for i := range len(nonce) {
		if nonce[i] < 0x21 || nonce[i] > 0x7e || nonce[i] == ',' {
			return false
		}
	}
	return true
}

func bindingName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isLetter(c) && (c < '0' || c > '9') && c != '.' && c != '-' {
			return false
		}
	}
	return s != ""
}

// saslName reads an attribute that is a name, with "=2C" for a comma and "=3D"
// for "=", and prepares it (RFC 5802 §5.1).
func saslName(s, attribute string) (string, bool) {
	s, ok := strings.CutPrefix(s, attribute)
	if !ok || len(s) > 3*maxPart {
		return "", false
	}
	var name strings.Builder
	for {
		plain, rest, escaped := strings.Cut(s, "=")
		name.WriteString(plain)
		if !escaped {
			break
		}
		switch {
		case strings.HasPrefix(rest, "2C"):
			name.WriteByte(',')
		case strings.HasPrefix(rest, "3D"):
			name.WriteByte('=')
		default:
			return "", false
		}
		s = rest[2:]
	}
	prepared, err := prepareName(name.String())
	return prepared, err == nil && prepared != "" && len(prepared) <= maxPart
}

// prepareName is SASLprep for a query (RFC 5802 §5.1): characters younger than
// Unicode 3.2 are let through.
func prepareName(name string) (string, error) {
	query := stringprep.SASLprep
	query.Prohibits = query.Prohibits[1:] // all but table A.1, unassigned code points
	return query.Prepare(name)
}

// parseScramKey reads ITERATIONS:SALT$STOREDKEY:SERVERKEY (RFC 5803 §2).
func parseScramKey(text string, size int) (k scramKey, err error) {
	parameters, keys, ok := strings.Cut(text, "$")
	iterations, salt, ok2 := strings.Cut(parameters, ":")
	stored, server, ok3 := strings.Cut(keys, ":")
	if !ok || !ok2 || !ok3 {
		return k, errors.New("stored SCRAM keys: not in the form of RFC 5803")
	}
	if k.iterations, err = strconv.Atoi(iterations); err != nil {
		return k, fmt.Errorf("stored SCRAM iterations: %w", err)
	}
	for _, field := range []struct {
		to   *[]byte
		from string
	}{{&k.salt, salt}, {&k.stored, stored}, {&k.server, server}} {
		if *field.to, err = base64.StdEncoding.DecodeString(field.from); err != nil {
			return k, fmt.Errorf("stored SCRAM keys: %w", err)
		}
	}
	if k.iterations < 1 || len(k.salt) == 0 || len(k.stored) != size || len(k.server) != size {
		return k, errors.New("stored SCRAM keys are out of bounds")
	}
	return k, nil
}
