package auth_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"letterlock/internal/auth"
)

// people are users in a map.
type people map[string][]byte

func (p people) Credentials(_ context.Context, login string) (uint64, []byte, error) {
	if login == "trouble" {
		return 0, nil, errTrouble
	}
	c, ok := p[login]
	if !ok {
		return 0, nil, auth.ErrNoUser
	}
	return uint64(len(login)), c, nil
}

var errTrouble = errors.New("disk on fire")

func with(t *testing.T, login, password string) people {
	t.Helper()
	c, err := auth.NewCredentials(password)
	if err != nil {
		t.Fatal(err)
	}
	return people{login: c}
}

func TestPasswords(t *testing.T) {
	c := auth.NewChecker(with(t, "ann", "correct horse"), 0)
	for name, try := range map[string]struct {
		login, password string
		want            error
	}{
		"right":           {"ann", "correct horse", nil},
		"wrong":           {"ann", "correct horsf", auth.ErrRefused},
		"empty":           {"ann", "", auth.ErrRefused},
		"case":            {"ann", "Correct horse", auth.ErrRefused},
		"unknown user":    {"bob", "correct horse", auth.ErrRefused},
		"endless":         {"ann", strings.Repeat("x", 1<<20), auth.ErrRefused},
		"not UTF-8":       {"ann", "\xff\xfe", auth.ErrRefused},
		"control":         {"ann", "correct horse\x01", auth.ErrRefused},
		"our own trouble": {"trouble", "x", errTrouble},
	} {
		account, err := c.Password(t.Context(), try.login, try.password)
		if !errors.Is(err, try.want) || (err == nil) != (account == 3) {
			t.Errorf("%s: %d, %v; want %v", name, account, err, try.want)
		}
		if errors.Is(err, auth.ErrNoUser) {
			t.Errorf("%s: the answer tells that there is no such user", name)
		}
	}
}

// By this method the mail log tells a client to ban from trouble of our own.
func TestRefusalsAreTheClientsDoing(t *testing.T) {
	var refusal interface{ Refused() bool }
	for _, err := range []error{auth.ErrRefused, auth.ErrMalformed} {
		if !errors.As(err, &refusal) || !refusal.Refused() {
			t.Errorf("%v is not said to be a refusal", err)
		}
	}
	for _, err := range []error{auth.ErrBusy, auth.ErrNoUser} {
		if errors.As(err, &refusal) {
			t.Errorf("%v is said to be a refusal", err)
		}
	}
}

func TestPasswordsThatLookTheSameAreTheSame(t *testing.T) { // RFC 8265 §4.2
	for name, c := range map[string]struct{ set, typed string }{
		"composed and not": {"Passw\u00f6rt", "Passwo\u0308rt"},
		"no-break space":   {"a b", "a\u00a0b"},
		"emoji":            {"🔒letter🔒", "🔒letter🔒"},
		"other scripts":    {"пароль密码", "пароль密码"},
	} {
		checker := auth.NewChecker(with(t, "ann", c.set), 1)
		if _, err := checker.Password(t.Context(), "ann", c.typed); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnfitPasswordsCannotBeSet(t *testing.T) {
	for _, p := range []string{"", strings.Repeat("x", 1025), "a\x00b", "a\nb", "\xff"} {
		if c, err := auth.NewCredentials(p); !errors.Is(err, auth.ErrUnfitPassword) {
			t.Errorf("%.20q: %d octets, %v; want %v", p, len(c), err, auth.ErrUnfitPassword)
		}
	}
}

func TestCredentialsDoNotHoldThePassword(t *testing.T) {
	if c := with(t, "ann", "correct horse")["ann"]; bytes.Contains(c, []byte("correct")) {
		t.Errorf("%s", c)
	}
}

func TestPLAIN(t *testing.T) { // RFC 4616
	for name, c := range map[string]struct{ in, authzid, login, password string }{
		"§4, first":       {"\x00tim\x00tanstaaftanstaaf", "", "tim", "tanstaaftanstaaf"},
		"§4, second":      {"Ursel\x00Kurt\x00xipj3plmq", "Ursel", "Kurt", "xipj3plmq"},
		"255 octets each": {strings.Repeat("a", 255) + "\x00" + strings.Repeat("b", 255) + "\x00" + strings.Repeat("c", 255), strings.Repeat("a", 255), strings.Repeat("b", 255), strings.Repeat("c", 255)},
		"UTF-8":           {"\x00änn\x00пароль", "", "änn", "пароль"},
	} {
		authzid, login, password, err := auth.Plain([]byte(c.in))
		if err != nil || authzid != c.authzid || login != c.login || password != c.password {
			t.Errorf("%s: %q, %q, %q, %v", name, authzid, login, password, err)
		}
	}
	for name, in := range map[string]string{
		"empty":         "",
		"one part":      "tim",
		"two parts":     "tim\x00pw",
		"four parts":    "\x00tim\x00pw\x00",
		"no login":      "\x00\x00pw",
		"no password":   "\x00tim\x00",
		"not UTF-8":     "\x00tim\x00\xff",
		"endless":       "\x00tim\x00" + strings.Repeat("x", 1<<20),
		"endless login": "\x00" + strings.Repeat("x", 1025) + "\x00pw",
		"endless NULs":  strings.Repeat("\x00", 1<<20),
	} {
		if authzid, login, password, err := auth.Plain([]byte(in)); !errors.Is(err, auth.ErrMalformed) || authzid+login+password != "" {
			t.Errorf("%s: %q, %q, %q, %v", name, authzid, login, password, err)
		}
	}
}

func FuzzPlain(f *testing.F) {
	f.Add([]byte("\x00tim\x00tanstaaftanstaaf"))
	f.Add([]byte("Ursel\x00Kurt\x00xipj3plmq"))
	f.Add([]byte("\x00\x00\x00\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		authzid, login, password, err := auth.Plain(in)
		if err != nil {
			return
		}
		if back := authzid + "\x00" + login + "\x00" + password; back != string(in) || login == "" || password == "" || !utf8.ValidString(back) {
			t.Errorf("%q was read as %q, %q, %q", in, authzid, login, password)
		}
	})
}

func BenchmarkPassword(b *testing.B) {
	credentials, err := auth.NewCredentials("correct horse")
	if err != nil {
		b.Fatal(err)
	}
	c := auth.NewChecker(people{"ann": credentials}, 1)
	for b.Loop() {
		if _, err := c.Password(b.Context(), "ann", "correct horse"); err != nil {
			b.Fatal(err)
		}
	}
}
