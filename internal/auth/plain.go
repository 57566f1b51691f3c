package auth

import (
	"bytes"
	"context"
	"unicode/utf8"
)

// ErrMalformed: the response is not what the mechanism's grammar allows.
var ErrMalformed error = refusal("malformed authentication response")

// maxPart bounds each part of a response; RFC 4616 §2 asks for 255 octets at
// least.
const maxPart = maxPassword

// Plain parses the response of SASL PLAIN (RFC 4616 §2), already decoded from
// base64: [authzid] NUL login NUL password. authzid is empty where the client
// acts for nobody else. Errors: [ErrMalformed].
func Plain(response []byte) (authzid, login, password string, err error) {
	parts := bytes.Split(response[:min(len(response), 3*maxPart+2)], []byte{0})
	if len(parts) != 3 || len(response) > 3*maxPart+2 || !utf8.Valid(response) {
		return "", "", "", ErrMalformed
	}
	for i, part := range parts {
		if len(part) > maxPart || i > 0 && len(part) == 0 {
			return "", "", "", ErrMalformed
		}
	}
	return string(parts[0]), string(parts[1]), string(parts[2]), nil
}

// plain is an exchange of PLAIN.
type plain struct {
	checker *Checker
	facts   Facts
	login   string
}

func beginPlain(c *Checker, f Facts) Exchange { return &plain{checker: c, facts: f} }

func (p *plain) Login() string { return p.login }

func (p *plain) Next(ctx context.Context, response []byte) ([]byte, *Outcome, error) {
	authzid, login, password, err := Plain(response)
	if err != nil {
		return nil, nil, err
	}
	p.login = login
	who, err := p.checker.LogIn(ctx, p.facts, login, password)
	if err != nil {
		return nil, nil, err
	}
	if err := p.checker.actFor(ctx, &who, authzid); err != nil {
		return nil, nil, err
	}
	return nil, &who, nil
}
