package imapd_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"letterlock/imapd"
	"letterlock/internal/auth"
	"letterlock/internal/dialogue"
	"letterlock/internal/mail"
)

// neighbours lets people leave out their domain, as an admin's rules may.
type neighbours struct{ dialogue.Users }

func (n neighbours) Credentials(ctx context.Context, login string) (uint64, []byte, error) {
	if !strings.Contains(login, "@") {
		login += "@example.org"
	}
	return n.Users.Credentials(ctx, login)
}

// TestALoginWithoutItsDomainLooksAtNobodyElse: who logs in as ann alone is found
// by number, and not among all who live here.
func TestALoginWithoutItsDomainLooksAtNobodyElse(t *testing.T) {
	const others = 300
	h := openHouse(t, func(opt *imapd.Options) {
		opt.Passwords = auth.NewChecker(neighbours{dialogue.Users{Store: opt.Store}}, 2)
	})
	for i := range others {
		if _, err := h.store.AddPerson(t.Context(), mail.Address{Local: fmt.Sprintf("u%03d", i), Domain: "example.org"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	cost := func(login string) uint64 {
		c := h.dial("c", "tls")
		c.ok("NOOP")
		before := allocated()
		c.ok("LOGIN " + login + " " + secret)
		return allocated() - before
	}
	cost("ann@example.org") // makes what all logins share
	whole, short := cost("ann@example.org"), cost("ann")
	if short > whole+others {
		t.Errorf("a login without domain made %d allocations, one with it %d: want about as many", short, whole)
	}
}
