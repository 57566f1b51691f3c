package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"unicode/utf8"
)

// maxNames bounds how many names of one certificate are looked up.
const maxNames = 8

// external is SASL EXTERNAL (RFC 4422 appendix A) by the client's certificate:
// one of the e-mail addresses in it (RFC 5280 §4.2.1.6) is the login.
type external struct {
	checker *Checker
	facts   Facts
	login   string
}

func beginExternal(c *Checker, f Facts) Exchange { return &external{checker: c, facts: f} }

func (e *external) Login() string { return e.login }

func (e *external) Next(ctx context.Context, response []byte) ([]byte, *Outcome, error) {
	if len(response) > maxPart || !utf8.Valid(response) || bytes.IndexByte(response, 0) >= 0 {
		return nil, nil, ErrMalformed
	}
	authzid := string(response)
	var first *Outcome
	for _, name := range e.facts.names() {
		if e.login == "" {
			e.login = name
		}
		account, _, err := e.checker.users.Credentials(ctx, name)
		if errors.Is(err, ErrNoUser) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("look up %q: %w", name, err)
		}
		who := &Outcome{Account: account, Login: name, Bound: true}
		err = e.checker.actFor(ctx, who, authzid)
		if err == nil {
			e.login = name
			return nil, who, nil
		}
		if !errors.Is(err, ErrForeign) {
			return nil, nil, err
		}
		first = who
	}
	if first != nil {
		e.login = first.Login
		return nil, nil, ErrForeign
	}
	return nil, nil, ErrRefused
}

// names are the e-mail addresses that a CA of ours has certified the client to
// be.
func (f Facts) names() []string {
	if f.TLS == nil || len(f.TLS.VerifiedChains) == 0 || len(f.TLS.VerifiedChains[0]) == 0 {
		return nil
	}
	names := f.TLS.VerifiedChains[0][0].EmailAddresses
	return names[:min(len(names), maxNames)]
}

// certified says whether the client has shown a certificate with a name that
// could be a login.
func (f Facts) certified() bool { return len(f.names()) > 0 }

// certifies says whether the client's certificate names the account. One that
// names somebody else proves nothing: whoever sits in the middle may have one
// of their own.
func (c *Checker) certifies(ctx context.Context, f Facts, account uint64) bool {
	for _, name := range f.names() {
		if id, _, err := c.users.Credentials(ctx, name); err == nil && id == account {
			return true
		}
	}
	return false
}
