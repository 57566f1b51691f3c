package lmtp

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"letterlock/internal/mail"
	"letterlock/internal/reply"
)

// dsnOffer says whether DSN is offered: the four parameters are unknown where
// it is not.
type dsnOffer bool

// Limits of RFC 3461 §4.2 and §4.4, §5.4: characters as they are sent.
const (
	maxEnvID = 100
	maxORcpt = 500
)

// ofMail takes RET (RFC 3461 §4.3) or ENVID (§4.4).
func (offered dsnOffer) ofMail(d *mail.DSN, p param) *reply.Error {
	switch value := strings.ToUpper(p.value); {
	case !bool(offered):
		return p.unknown()
	case p.key == "ENVID":
		text, ok := xtext(p.value)
		if !ok || text == "" || len(p.value) > maxEnvID {
			return reply.BadArguments.Saying("ENVID wants xtext of at most %d characters", maxEnvID)
		}
		d.EnvID = strings.Clone(text)
	case value == "FULL":
		d.Return = mail.ReturnFull
	case value == "HDRS":
		d.Return = mail.ReturnHeaders
	default:
		return reply.BadArguments.Saying("RET is FULL or HDRS")
	}
	return nil
}

// ofRcpt takes NOTIFY (RFC 3461 §4.1) or ORCPT (§4.2, RFC 6533 §3).
func (offered dsnOffer) ofRcpt(d *mail.DSN, p param, utf8 bool) (e *reply.Error) {
	switch {
	case !bool(offered):
		return p.unknown()
	case p.key == "NOTIFY":
		var ok bool
		if d.Notify, ok = notify(p.value); !ok {
			return reply.BadArguments.Saying("NOTIFY is NEVER, or a list of SUCCESS, FAILURE, DELAY")
		}
		return nil
	case p.key == "ORCPT":
		kind, value, ok := strings.Cut(p.value, ";")
		text, good := originalRecipient(kind, value, utf8)
		if !ok || !good || len(p.value) > maxORcpt {
			return reply.BadArguments.Saying("ORCPT wants TYPE;xtext of at most %d characters", maxORcpt)
		}
		d.ORcptType, d.ORcpt = strings.Clone(kind), strings.Clone(text)
		return nil
	}
	return p.unknown()
}

var notifyWords = map[string]mail.Notify{"SUCCESS": mail.NotifySuccess, "FAILURE": mail.NotifyFailure, "DELAY": mail.NotifyDelay}

// notify reads a list of events; NEVER stands alone.
func notify(value string) (n mail.Notify, ok bool) {
	if strings.EqualFold(value, "NEVER") {
		return mail.NotifyNever, true
	}
	for word := range strings.SplitSeq(strings.ToUpper(value), ",") {
		event, known := notifyWords[word]
		if !known || n&event != 0 {
			return 0, false
		}
		n |= event
	}
	return n, true
}

// originalRecipient reads the address behind an address type, out of its
// encoding.
func originalRecipient(kind, value string, smtputf8 bool) (text string, ok bool) {
	if kind == "" || strings.ContainsFunc(kind, notAtom) || value == "" {
		return "", false
	}
	if strings.EqualFold(kind, "utf-8") {
		return unitext(value, smtputf8)
	}
	text, ok = xtext(value)
	return text, ok && text != ""
}

func notAtom(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>[]:;@\,".`, r)
}

// xtext is RFC 3461 §4: "+" and two upper-case hexadecimal digits stand for what
// is not printable ASCII, "+" and "=" among it. What it stands for has to be
// printable too (§4.2, §4.4).
func xtext(s string) (text string, ok bool) {
	if strings.IndexByte(s, '+') < 0 {
		return s, !strings.ContainsFunc(s, func(r rune) bool { return r < '!' || r > '~' || r == '=' })
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '+' {
			if i+2 >= len(s) || !isUpperHex(s[i+1]) || !isUpperHex(s[i+2]) {
				return "", false
			}
			n, _ := strconv.ParseUint(s[i+1:i+3], 16, 8) // two hexadecimal digits
			if n < ' ' || n > '~' {
				return "", false
			}
			b.WriteByte(byte(n))
			i += 2
			continue
		}
		if c < '!' || c > '~' || c == '=' {
			return "", false
		}
		b.WriteByte(c)
	}
	return b.String(), true
}

func isUpperHex(c byte) bool { return '0' <= c && c <= '9' || 'A' <= c && c <= 'F' }

// unitext is the UTF-8 address type (RFC 6533 §3): \x{HEX} stands for a
// character, and characters beyond ASCII may stand for themselves where
// SMTPUTF8 was said.
func unitext(s string, smtputf8 bool) (text string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1, r >= utf8.RuneSelf && !smtputf8:
			return "", false
		case r == '\\':
			hex, _, closed := strings.Cut(strings.TrimPrefix(s[i:], `\x{`), "}")
			n, err := strconv.ParseUint(hex, 16, 32)
			if !strings.HasPrefix(s[i:], `\x{`) || !closed || err != nil || len(hex) < 2 || len(hex) > 6 || !utf8.ValidRune(rune(n)) {
				return "", false
			}
			r, size = rune(n), len(`\x{}`)+len(hex)
			if r < ' ' || r == 0x7f { // no control can be in an address, nor in a report
				return "", false
			}
		case r < '!' || r == '+' || r == '=' || r == 0x7f:
			return "", false
		}
		b.WriteRune(r)
		i += size
	}
	return b.String(), true
}

// ask writes down what is to be told of a recipient. One that is named twice
// gets one copy, and all that was asked for it.
func (tx *transaction) ask(rcpt mail.Address, d mail.DSN) {
	old, twice := tx.asked[rcpt]
	switch {
	case d == (mail.DSN{}) && !twice:
		return
	case twice:
		d = both(old, d)
	case tx.asked == nil:
		tx.asked = map[mail.Address]mail.DSN{}
	}
	tx.asked[rcpt] = d
}

// both joins what was asked about one recipient in two RCPTs.
func both(a, b mail.DSN) mail.DSN {
	switch {
	case a.Notify == b.Notify, b.Notify == mail.NotifyNever:
	case a.Notify == mail.NotifyNever:
		a.Notify = b.Notify
	default:
		a.Notify = stated(a.Notify) | stated(b.Notify)
	}
	if a.ORcptType == "" {
		a.ORcptType, a.ORcpt = b.ORcptType, b.ORcpt
	}
	return a
}

// stated is what holds where nothing was said (RFC 3461 §4.1).
func stated(n mail.Notify) mail.Notify {
	if n == 0 {
		return mail.NotifyFailure | mail.NotifyDelay
	}
	return n
}
