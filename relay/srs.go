package relay

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"strings"
	"time"

	"letterlock/internal/mail"
)

// SRS rewrites the sender of what is sent on, so that the next host finds us
// allowed to send it (SPF), and finds the way back for a bounce that comes to
// the rewritten address: the Sender Rewriting Scheme of Shevek, with SRS0 for
// addresses as they are and SRS1 for those that somebody rewrote before.
//
//	ann@example.org        SRS0=HASH=DAY=example.org=ann@ours
//	SRS0=…@first.example   SRS1=HASH=first.example==…@ours
//
// Its zero value rewrites nothing and finds no way back.
type SRS struct {
	domain string
	secret []byte
	now    func() time.Time
}

// ErrNotSRS says that an address is none that we rewrote, or no longer one.
var ErrNotSRS = errors.New("no address of ours that leads back")

const (
	minSRSSecret = 16 // octets
	srsHashSize  = 6  // characters, 30 bits: what a guess has to hit
	srsLife      = 21 // days; mail is tried for five, and its bounce may wait as long
	srsDays      = 32 * 32
)

// The alphabet is without case: hosts on the way back may fold it.
var srsCode = base32.StdEncoding.WithPadding(base32.NoPadding)

// NewSRS rewrites into domain. The secret, of at least 16 octets, proves that an
// address was made here; whoever changes it loses the bounces on their way.
func NewSRS(domain string, secret []byte) (*SRS, error) {
	own, err := mail.ParseAddress("x@" + domain)
	if err != nil || domain == "" {
		return nil, errors.New("SRS: no domain: " + domain)
	}
	if len(secret) < minSRSSecret {
		return nil, errors.New("SRS: the secret is too short: at least 16 octets are needed")
	}
	return &SRS{domain: own.ALabels().Domain, secret: secret, now: time.Now}, nil
}

// Forward rewrites a sender. The null sender, one of our own domain and one that
// needs no rewriting stay; ok is false where the result would be longer than a
// local part can be (RFC 5321 §4.5.3.1.1), and the address comes back as it is.
func (s *SRS) Forward(from mail.Address) (rewritten mail.Address, ok bool) {
	if len(s.secret) == 0 || from.IsNull() || from.ALabels().Domain == s.domain || from.Domain == "" {
		return from, true
	}
	local := ""
	switch kind, rest := srsKind(from.Local); kind {
	case "SRS0":
		local = s.seal("SRS1", from.Domain+"="+rest)
	case "SRS1": // keeps the first one's host and what it said
		_, rest, found := strings.Cut(rest[1:], "=")
		if !found {
			return from, false
		}
		local = s.seal("SRS1", rest)
	default:
		local = s.seal("SRS0", s.day()+"="+from.Domain+"="+from.Local)
	}
	if len(local) > mail.MaxLocal || strings.HasPrefix(from.Domain, "[") {
		return from, false
	}
	return mail.Address{Local: local, Domain: s.domain}, true
}

// Reverse finds the address that a bounce belongs to. [ErrNotSRS] where the
// address was not made here, or is older than three weeks.
func (s *SRS) Reverse(to mail.Address) (mail.Address, error) {
	kind, rest := srsKind(to.Local)
	if len(s.secret) == 0 || kind == "" || to.ALabels().Domain != s.domain {
		return mail.Address{}, ErrNotSRS
	}
	hash, said, found := strings.Cut(rest[1:], "=")
	if !found || !hmac.Equal([]byte(strings.ToUpper(hash)), []byte(s.hash(kind, said))) {
		return mail.Address{}, ErrNotSRS
	}
	if kind == "SRS1" {
		domain, rest, found := strings.Cut(said, "=")
		if !found || rest == "" {
			return mail.Address{}, ErrNotSRS
		}
		return parsed("SRS0"+rest, domain)
	}
	day, said, _ := strings.Cut(said, "=")
	domain, local, found := strings.Cut(said, "=")
	if !found || !s.young(day) {
		return mail.Address{}, ErrNotSRS
	}
	return parsed(local, domain)
}

func parsed(local, domain string) (mail.Address, error) {
	a, err := mail.ParseAddress(mail.Address{Local: local, Domain: domain}.String())
	if err != nil || a.Domain == "" {
		return mail.Address{}, ErrNotSRS
	}
	return a, nil
}

// srsKind cuts the mark off a local part; what follows starts with a separator.
func srsKind(local string) (kind, rest string) {
	if len(local) < 6 || !strings.ContainsRune("=+-", rune(local[4])) {
		return "", ""
	}
	if kind = strings.ToUpper(local[:4]); kind != "SRS0" && kind != "SRS1" {
		return "", ""
	}
	return kind, local[4:]
}

func (s *SRS) seal(kind, said string) string {
	return kind + "=" + s.hash(kind, said) + "=" + said
}

// hash is over what cannot be changed on the way: case does not count.
func (s *SRS) hash(kind, said string) string {
	m := hmac.New(sha256.New, s.secret)
	m.Write([]byte(kind + "=" + strings.ToLower(said)))
	return srsCode.EncodeToString(m.Sum(nil))[:srsHashSize]
}

const srsDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

func (s *SRS) day() string {
	n := s.now().Unix() / 86400 % srsDays
	return string([]byte{srsDigits[n/32], srsDigits[n%32]})
}

func (s *SRS) young(day string) bool {
	day = strings.ToUpper(day)
	if len(day) != 2 {
		return false
	}
	high, low := strings.IndexByte(srsDigits, day[0]), strings.IndexByte(srsDigits, day[1])
	age := (s.now().Unix()/86400 - int64(high*32+low)) % srsDays
	return high >= 0 && low >= 0 && (age+srsDays)%srsDays <= srsLife
}
