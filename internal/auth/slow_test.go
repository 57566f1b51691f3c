package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-sasl"
)

// guesser makes wrong guesses and says how long each took.
type guesser struct {
	t *testing.T
	c *Checker
	n int
}

func newGuesser(t *testing.T) *guesser {
	t.Helper()
	c := NewChecker(residents(t), 1)
	c.Penalty = &Penalty{}
	return &guesser{t: t, c: c}
}

func (g *guesser) try(peer, login, password string, want error) time.Duration {
	g.t.Helper()
	start := time.Now()
	_, err := g.c.LogIn(g.t.Context(), Facts{Peer: peer, Private: true}, login, password)
	if !errors.Is(err, want) || (err == nil) != (want == nil) {
		g.t.Errorf("%s from %s with %q: %v, want %v", login, peer, password, err, want)
	}
	return time.Since(start)
}

// wrong is a guess that was never made before.
func (g *guesser) wrong(peer, login string) time.Duration {
	g.t.Helper()
	g.n++
	return g.try(peer, login, "guess "+strconv.Itoa(g.n), ErrRefused)
}

func (g *guesser) took(what string, got, want time.Duration) {
	g.t.Helper()
	if got != want {
		g.t.Errorf("%s took %v, want %v", what, got, want)
	}
}

func TestGuessingGetsSlower(t *testing.T) {
	cheap(t)
	synctest.Test(t, func(t *testing.T) {
		g := newGuesser(t)
		for i, want := range []int{0, 0, 0, 0, 1, 2, 4, 8, 15, 15, 15} {
			login := fmt.Sprintf("user%d@example.org", i) // another one each time: it is the address that counts
			g.took(fmt.Sprintf("guess %d", i+1), g.wrong("192.0.2.1", login), time.Duration(want)*time.Second)
		}
		g.took("somebody else's guess", g.wrong("192.0.2.2", "ann@example.org"), 0)
		time.Sleep(24 * time.Hour) // in the bubble: no waiting
		g.took("a guess the next day", g.wrong("192.0.2.1", "ann@example.org"), 0)
	})
}

func TestOneHouseholdIsOneGuesser(t *testing.T) {
	cheap(t)
	synctest.Test(t, func(t *testing.T) {
		g := newGuesser(t)
		for i := range 4 {
			g.wrong(fmt.Sprintf("2001:db8::%d", i+1), fmt.Sprintf("u%d@example.org", i))
		}
		g.took("a guess from the same /64", g.wrong("2001:db8::ffff", "x@example.org"), time.Second)
		g.took("one from another", g.wrong("2001:db8:0:1::1", "y@example.org"), 0)
		for i := range 8 { // whole sites come from there
			g.took("a guess from ourselves", g.wrong("127.0.0.1", fmt.Sprintf("v%d@example.org", i)), 0)
		}
	})
}

func TestABurstIsPaidAfterwards(t *testing.T) {
	cheap(t)
	synctest.Test(t, func(t *testing.T) {
		g := newGuesser(t)
		g.c.begin(t.Context()) // nobody is served
		errs := make(chan error, 50)
		for i := range cap(errs) {
			go func() {
				_, err := g.c.LogIn(context.Background(), Facts{Peer: "192.0.2.1"}, fmt.Sprintf("u%d@example.org", i), "x"+strconv.Itoa(i))
				errs <- err
			}()
		}
		synctest.Wait()
		g.c.end()
		for range cap(errs) {
			if err := <-errs; !errors.Is(err, ErrRefused) {
				t.Errorf("%v, want %v", err, ErrRefused)
			}
		}
		g.try("192.0.2.1", "ann@example.org", "pencil", ErrSlowed)
		time.Sleep(longestDebt - longestWait)
		g.took("the next guess", g.wrong("192.0.2.1", "ann@example.org"), longestWait)
	})
}

// An attack on an account makes strangers wait a little, and its owner not at
// all: guessing cannot lock anybody out.
func TestNobodyIsLockedOutBySomebodyElsesGuessing(t *testing.T) {
	cheap(t)
	synctest.Test(t, func(t *testing.T) {
		g := newGuesser(t)
		g.took("ann at home", g.try("192.0.2.7", "ann@example.org", "pencil", nil), 0)
		for i := range 200 {
			g.wrong(fmt.Sprintf("198.51.100.%d", i), "ann@example.org")
		}
		g.took("ann at home", g.try("192.0.2.7", "ann@example.org", "pencil", nil), 0)
		g.took("ann on a journey", g.try("203.0.113.9", "Ann@example.org", "pencil", nil), accountStep)
		g.took("and then", g.try("203.0.113.9", "ann@example.org", "pencil", nil), 0)
		g.took("bob on a journey", g.try("203.0.113.9", "bob@example.org", "crayon", nil), 0)

		for i := range 20 { // a neighbour behind the same NAT
			g.wrong("192.0.2.7", fmt.Sprintf("u%d@example.org", i))
		}
		g.took("ann beside a guesser", g.try("192.0.2.7", "ann@example.org", "pencil", nil), 0)
		for range 7 { // who now tries it with ann
			g.wrong("192.0.2.7", "ann@example.org")
		}
		g.took("a guess in ann's own lane", g.wrong("192.0.2.7", "ann@example.org"), 8*time.Second)
	})
}

func TestATelephoneThatWasNotToldOfTheNewPasswordSlowsNobody(t *testing.T) {
	cheap(t)
	synctest.Test(t, func(t *testing.T) {
		g := newGuesser(t)
		for range 100 {
			g.took("the old password again", g.try("192.0.2.1", "ann@example.org", "the old one", ErrRefused), 0)
		}
		for range 3 {
			g.wrong("192.0.2.1", "ann@example.org")
		}
		g.took("a guess", g.wrong("192.0.2.1", "ann@example.org"), time.Second)
	})
}

func TestRightPasswordsCostNoTurn(t *testing.T) {
	cheap(t)
	synctest.Test(t, func(t *testing.T) {
		g := newGuesser(t)
		for range 5 {
			g.wrong("192.0.2.1", "eve@example.org")
		}
		g.took("bob's first login", g.try("192.0.2.1", "bob@example.org", "crayon", nil), 2*time.Second)
		g.took("bob's next one", g.try("192.0.2.1", "bob@example.org", "crayon", nil), 0)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := g.c.LogIn(ctx, Facts{Peer: "192.0.2.1"}, "eve@example.org", "x"); !errors.Is(err, context.Canceled) && !errors.Is(err, ErrRefused) {
			t.Errorf("who gave up: %v", err)
		}
		g.took("ann's first login", g.try("192.0.2.1", "ann@example.org", "pencil", nil), 0)
	})
}

func TestGuessingBySCRAMIsSlowedToo(t *testing.T) {
	cheap(t)
	synctest.Test(t, func(t *testing.T) {
		g := newGuesser(t)
		f := Facts{Peer: "192.0.2.1", Private: true}
		for range 5 {
			if _, err := talk(t, g.c, "SCRAM-SHA-256", f, xdg(t, "SCRAM-SHA-256", "ann@example.org", "crayon", "", nil)); !errors.Is(err, ErrRefused) {
				t.Fatal(err)
			}
		}
		start := time.Now()
		if _, err := talk(t, g.c, "PLAIN", f, emersion(sasl.NewPlainClient("", "ann@example.org", "pencil"))); err != nil {
			t.Fatal(err)
		}
		g.took("the login behind five guesses", time.Since(start), 2*time.Second)
	})
}

func TestAFloodOfGuessersCostsBoundedMemory(t *testing.T) {
	p := &Penalty{}
	addr := netip.MustParseAddr("2001:db8::")
	for i := range 3 * maxLanes {
		b := addr.As16()
		b[4], b[5], b[6], b[7] = byte(i>>24), byte(i>>16), byte(i>>8), byte(i)
		a, err := p.enter(netip.AddrFrom16(b).String(), strconv.Itoa(i))
		if err != nil {
			t.Fatal(err)
		}
		if a.failed("x"); i%2 == 0 {
			a.succeeded()
		}
	}
	if len(p.lanes) > maxLanes || len(p.known) > maxKnown {
		t.Errorf("%d lanes and %d known; want at most %d and %d", len(p.lanes), len(p.known), maxLanes, maxKnown)
	}
}

func TestAVerifiedPasswordCostsNoHashForAWhile(t *testing.T) {
	cheap(t)
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	users := residents(t)
	c := NewChecker(users, 1)
	c.Cache = &Cache{Now: func() time.Time { return now }}
	hashes := func(login, password string, want error) bool {
		t.Helper()
		if err := c.begin(t.Context()); err != nil { // the one worker is taken
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := c.Password(ctx, login, password)
		c.end()
		if err == nil {
			return false
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("%s: %v", login, err)
		}
		if _, err := c.Password(t.Context(), login, password); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("%s with %q: %v, want %v", login, password, err, want)
		}
		return true
	}
	const ann = "ann@example.org"
	for _, step := range []struct {
		what            string
		before          func()
		login, password string
		err             error
		hash            bool
	}{
		{"the first login", nil, ann, "pencil", nil, true},
		{"the next", nil, ann, "pencil", nil, false},
		{"by another name", nil, "alias@example.org", "pencil", nil, false},
		{"a wrong password", nil, ann, "crayon", ErrRefused, true},
		{"again", nil, ann, "crayon", ErrRefused, true},
		{"somebody else with it", nil, "bob@example.org", "pencil", ErrRefused, true},
		{"shortly before the end", func() { now = now.Add(cacheLife - time.Second) }, ann, "pencil", nil, false},
		{"at the end", func() { now = now.Add(time.Second) }, ann, "pencil", nil, true},
		{"and then", nil, ann, "pencil", nil, false},
		{"after a password change", func() { users[ann] = resident{1, users["bob@example.org"].credentials} }, ann, "pencil", ErrRefused, true},
		{"with the new one", nil, ann, "crayon", nil, true},
		{"and again", nil, ann, "crayon", nil, false},
	} {
		if step.before != nil {
			step.before()
		}
		if got := hashes(step.login, step.password, step.err); got != step.hash {
			t.Errorf("%s: a hash was made: %t, want %t", step.what, got, step.hash)
		}
	}
	for e := range c.Cache.verified {
		if strings.Contains(string(e[:]), "pencil") {
			t.Errorf("the password is in the cache: %q", e)
		}
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	c := &Cache{Size: 10}
	for i := range 100 {
		c.remember([]byte("credentials"), strconv.Itoa(i))
		if len(c.verified) > c.Size {
			t.Fatalf("%d entries, want at most %d", len(c.verified), c.Size)
		}
	}
	if !c.knows([]byte("credentials"), "99") {
		t.Error("the newest entry is not there")
	}
}
