package auth

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
)

// scramVariant is one of the SCRAM mechanisms.
type scramVariant struct {
	base  string // as the credentials name it
	hash  func() hash.Hash
	binds bool // the -PLUS form: channel binding is used (RFC 5802 §6)
}

var (
	scramSHA1   = scramVariant{base: "SCRAM-SHA-1", hash: sha1.New}     // RFC 5802
	scramSHA256 = scramVariant{base: "SCRAM-SHA-256", hash: sha256.New} // RFC 7677
)

func (v scramVariant) plus() scramVariant {
	v.binds = true
	return v
}

func (v scramVariant) name() string {
	if v.binds {
		return v.base + "-PLUS"
	}
	return v.base
}

func (v scramVariant) begin(c *Checker, f Facts) Exchange {
	return &scramExchange{scramVariant: v, checker: c, facts: f, serverNonce: rand.Text}
}

// scramExchange is an exchange of SCRAM (RFC 5802 §5).
type scramExchange struct {
	scramVariant
	checker     *Checker
	facts       Facts
	serverNonce func() string

	asked   bool // the first message has come
	first   scramFirst
	account uint64
	unknown bool // nobody has this name; the client does not hear so
	keys    scramKey
	nonce   string
	server  string // our first message
}

func (s *scramExchange) Login() string { return s.first.login }

func (s *scramExchange) Next(ctx context.Context, response []byte) ([]byte, *Outcome, error) {
	if !s.asked {
		s.asked = true
		challenge, err := s.challenge(ctx, response)
		return challenge, nil, err
	}
	return s.prove(ctx, response)
}

// challenge answers the client's first message with salt and nonce.
func (s *scramExchange) challenge(ctx context.Context, response []byte) (_ []byte, err error) {
	if s.first, err = parseScramFirst(response); err != nil {
		return nil, err
	}
	if err := s.checkFlag(); err != nil {
		return nil, err
	}
	if err := s.lookUp(ctx); err != nil {
		return nil, err
	}
	s.nonce = s.first.nonce + s.serverNonce()
	s.server = fmt.Sprintf("r=%s,s=%s,i=%d", s.nonce, base64.StdEncoding.EncodeToString(s.keys.salt), s.keys.iterations)
	return []byte(s.server), nil
}

// checkFlag compares what the client says of channel binding with what is
// (RFC 5802 §6).
func (s *scramExchange) checkFlag() error {
	offered := s.facts.bindable() && s.checker.may(mechanismOf(s.plus()), s.facts) == nil
	switch {
	case s.first.binding != "" != s.binds:
		return ErrMalformed
	case s.binds && s.facts.binding(s.first.binding) == nil:
		return fmt.Errorf("%w: it has no %s", ErrIntercepted, s.first.binding)
	case s.first.unheard && offered: // somebody took -PLUS off the list
		return fmt.Errorf("%w: it was told that there is none", ErrIntercepted)
	}
	return nil
}

func mechanismOf(v scramVariant) mechanism {
	return mechanism{name: v.name(), fits: always}
}

// lookUp finds the keys. Whoever is not there, or has none of this kind, gets
// made up ones, always the same, which nothing proves.
func (s *scramExchange) lookUp(ctx context.Context) error {
	account, stored, err := s.checker.users.Credentials(ctx, s.first.login)
	if err != nil && !errors.Is(err, ErrNoUser) {
		return fmt.Errorf("look up %q: %w", s.first.login, err)
	}
	s.account, s.unknown = account, err != nil
	decoy := s.checker.decoy(s.scramVariant, s.first.login)
	if s.unknown {
		s.keys = decoy
		return nil
	}
	keys, there, err := storedScram(stored, s.scramVariant)
	if err != nil {
		return fmt.Errorf("credentials of %q: %w", s.first.login, err)
	}
	if !there {
		s.unknown, keys = true, decoy
	}
	s.keys = keys
	return nil
}

// prove checks the client's proof and gives ours (RFC 5802 §3).
func (s *scramExchange) prove(ctx context.Context, response []byte) ([]byte, *Outcome, error) {
	final, err := parseScramFinal(response)
	if err != nil {
		return nil, nil, err
	}
	if final.nonce != s.nonce {
		return nil, nil, ErrMalformed
	}
	bound := append([]byte(s.first.gs2), s.channel()...)
	if !hmac.Equal(final.channel, bound) {
		return nil, nil, ErrIntercepted
	}
	message := s.first.bare + "," + s.server + "," + final.withoutProof
	err = s.checker.slowly(ctx, s.facts, s.first.login, "", func() error {
		if !s.keys.proves(s.hash, final.proof, message) || s.unknown {
			return ErrRefused
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	who := &Outcome{Account: s.account, Login: s.first.login}
	if err := s.checker.actFor(ctx, who, s.first.authzid); err != nil {
		return nil, nil, err
	}
	who.Bound = s.binds || s.checker.certifies(ctx, s.facts, s.account)
	signature := mac(s.hash, s.keys.server, message)
	return []byte("v=" + base64.StdEncoding.EncodeToString(signature)), who, nil
}

func (s *scramExchange) channel() []byte {
	if !s.binds {
		return nil
	}
	return s.facts.binding(s.first.binding)
}

// scramKey is what a server keeps for one user.
type scramKey struct {
	iterations           int
	salt, stored, server []byte
}

// proves says whether the proof was made by one who knows the password:
// H(ClientProof XOR HMAC(StoredKey, AuthMessage)) = StoredKey.
func (k scramKey) proves(h func() hash.Hash, proof []byte, message string) bool {
	if len(proof) != h().Size() {
		return false
	}
	clientKey := make([]byte, len(proof))
	subtle.XORBytes(clientKey, proof, mac(h, k.stored, message))
	digest := h()
	digest.Write(clientKey)
	return hmac.Equal(digest.Sum(nil), k.stored)
}

// decoy makes up the keys of somebody who is not there.
func (c *Checker) decoy(v scramVariant, login string) scramKey {
	secret := c.Secret
	if secret == nil {
		secret = c.random
	}
	name := v.base + "\x00" + c.canonical(login)
	return scramKey{
		iterations: scramIterations,
		salt:       mac(sha256.New, secret, "salt\x00"+name)[:saltSize],
		stored:     mac(v.hash, secret, "stored\x00"+name),
		server:     mac(v.hash, secret, "server\x00"+name),
	}
}

// storedScram finds the keys of one mechanism in stored credentials.
func storedScram(stored []byte, v scramVariant) (k scramKey, there bool, err error) {
	version, rest, _ := bytes.Cut(stored, []byte("\n"))
	if string(version) != credentialsV1 {
		return k, false, errors.New("the stored form is not known")
	}
	for line := range bytes.Lines(rest) {
		if line, ok := bytes.CutPrefix(line, []byte(v.base+"$")); ok {
			k, err = parseScramKey(string(bytes.TrimSuffix(line, []byte("\n"))), v.hash().Size())
			return k, err == nil, err
		}
	}
	return k, false, nil
}
