package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strings"
	"unicode/utf8"

	"github.com/xdg-go/stringprep"
	"golang.org/x/crypto/argon2"
	"golang.org/x/text/secure/precis"
)

// ErrUnfitPassword: the password is empty, longer than 1024 octets, or has
// characters that are not allowed in one (RFC 8265 §4.2).
var ErrUnfitPassword = errors.New("password not allowed")

const (
	maxPassword     = 1024
	saltSize        = 16
	keySize         = 32
	scramIterations = 15000 // RFC 7677 §4: at least 4096, better about 15000
	credentialsV1   = "letterlock credentials 1"
)

// What Argon2id costs now. It is kept with each key, so that old keys go on
// working when this changes.
var cost = argonCost{memory: 19 << 10, time: 2, threads: 1}

// NewCredentials derives the keys for a password that a store may keep: one of
// Argon2id, for clients that send the password, and those of SCRAM-SHA-256 and
// SCRAM-SHA-1, which cannot be made later. They are lines of text, the first
// the version, the rest in the usual forms ($argon2id$…, RFC 5803). Errors:
// [ErrUnfitPassword].
func NewCredentials(password string) ([]byte, error) {
	prepared, err := prepare(password)
	if err != nil {
		return nil, err
	}
	forSCRAM := prepareSCRAM(password, prepared)
	return []byte(strings.Join([]string{
		credentialsV1,
		cost.line(prepared, salt()),
		scramKeys("SCRAM-SHA-256", sha256.New, forSCRAM, salt(), scramIterations),
		scramKeys("SCRAM-SHA-1", sha1.New, forSCRAM, salt(), scramIterations),
		"",
	}, "\n")), nil
}

// impossible is credentials no password fits, which cost as much to check as
// any other.
func impossible() []byte {
	c := cost
	return []byte(credentialsV1 + "\n" + c.encode(salt(), make([]byte, keySize)) + "\n")
}

// matches says whether the password is the one. Errors are of what is stored.
func matches(stored []byte, password string) (bool, error) {
	key, err := storedArgon(stored)
	if err != nil {
		return false, err
	}
	prepared, unfit := prepare(password)
	if unfit != nil {
		prepared = "" // costs the same
	}
	same := subtle.ConstantTimeCompare(key.derive(prepared, key.salt), key.hash) == 1
	return same && unfit == nil, nil
}

// prepare makes equal what a person takes for the same password (RFC 8265 §4.2).
func prepare(password string) (string, error) {
	switch {
	case len(password) > maxPassword:
		return "", fmt.Errorf("%w: longer than %d octets", ErrUnfitPassword, maxPassword)
	case !utf8.ValidString(password): // precis lets it pass
		return "", fmt.Errorf("%w: not UTF-8", ErrUnfitPassword)
	}
	prepared, err := precis.OpaqueString.String(password)
	switch {
	case err != nil:
		return "", fmt.Errorf("%w: %w", ErrUnfitPassword, err)
	case prepared == "": // RFC 4616 §2: never verifies
		return "", fmt.Errorf("%w: empty", ErrUnfitPassword)
	}
	return prepared, nil
}

// prepareSCRAM does it as SCRAM clients do (RFC 5802 §2.2, RFC 4013). Of
// characters younger than SASLprep they make what they like; most leave them
// as they are.
func prepareSCRAM(password, prepared string) string {
	if s, err := stringprep.SASLprep.Prepare(password); err == nil {
		return s
	}
	return prepared
}

func salt() []byte {
	s := make([]byte, saltSize)
	rand.Read(s) // never fails
	return s
}

// argonCost is what one Argon2id hash takes (RFC 9106 §3.1).
type argonCost struct {
	memory  uint32 // KiB
	time    uint32 // passes
	threads uint8
}

func (c argonCost) derive(prepared string, salt []byte) []byte {
	return argon2.IDKey([]byte(prepared), salt, c.time, c.memory, c.threads, keySize)
}

func (c argonCost) line(prepared string, salt []byte) string {
	return c.encode(salt, c.derive(prepared, salt))
}

const argonForm = "$argon2id$v=19$m=%d,t=%d,p=%d"

func (c argonCost) encode(salt, key []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf(argonForm, c.memory, c.time, c.threads) + "$" + b64.EncodeToString(salt) + "$" + b64.EncodeToString(key)
}

type argonKey struct {
	argonCost
	salt, hash []byte
}

// storedArgon finds the Argon2id key in stored credentials.
func storedArgon(stored []byte) (argonKey, error) {
	version, rest, _ := bytes.Cut(stored, []byte("\n"))
	if string(version) != credentialsV1 {
		return argonKey{}, errors.New("the stored form is not known")
	}
	for line := range strings.Lines(string(rest)) {
		if strings.HasPrefix(line, "$argon2id$") {
			return parseArgon(strings.TrimSuffix(line, "\n"))
		}
	}
	return argonKey{}, errors.New("no argon2id key stored")
}

// parseArgon reads $argon2id$v=19$m=…,t=…,p=…$salt$key. Costs far beyond ours
// are refused: they would take the machine down.
func parseArgon(line string) (k argonKey, err error) {
	var parameters string
	if at := strings.LastIndexByte(line, '$'); at > 0 {
		if k.hash, err = base64.RawStdEncoding.DecodeString(line[at+1:]); err != nil {
			return k, fmt.Errorf("stored argon2id key: %w", err)
		}
		line = line[:at]
	}
	if at := strings.LastIndexByte(line, '$'); at > 0 {
		if k.salt, err = base64.RawStdEncoding.DecodeString(line[at+1:]); err != nil {
			return k, fmt.Errorf("stored argon2id salt: %w", err)
		}
		parameters = line[:at]
	}
	if _, err := fmt.Sscanf(parameters, argonForm, &k.memory, &k.time, &k.threads); err != nil {
		return k, fmt.Errorf("stored argon2id parameters: %w", err)
	}
	if k.memory > 256<<10 || k.time < 1 || k.time > 64 || k.threads < 1 || len(k.hash) != keySize {
		return k, errors.New("stored argon2id parameters are out of bounds")
	}
	return k, nil
}

// scramKeys derives what a SCRAM server keeps (RFC 5802 §3) in the form of RFC
// 5803 §2.
func scramKeys(mechanism string, h func() hash.Hash, prepared string, salt []byte, iterations int) string {
	stored, server := deriveSCRAM(h, prepared, salt, iterations)
	b64 := base64.StdEncoding
	return fmt.Sprintf("%s$%d:%s$%s:%s", mechanism, iterations,
		b64.EncodeToString(salt), b64.EncodeToString(stored), b64.EncodeToString(server))
}

func deriveSCRAM(h func() hash.Hash, prepared string, salt []byte, iterations int) (stored, server []byte) {
	salted, err := pbkdf2.Key(h, prepared, salt, iterations, h().Size())
	if err != nil {
		panic("auth: PBKDF2 with parameters of our own: " + err.Error())
	}
	digest := h()
	digest.Write(mac(h, salted, "Client Key"))
	return digest.Sum(nil), mac(h, salted, "Server Key")
}

func mac(h func() hash.Hash, key []byte, text string) []byte {
	m := hmac.New(h, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}
