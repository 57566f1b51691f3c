package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
)

// Whoever was told of a change of a person never hears of the old one again,
// however many ask meanwhile.
func TestAChangedPersonIsKnownAtOnce(t *testing.T) {
	ctx, s := context.Background(), openStore(t, t.TempDir(), Options{})
	ann := addPerson(t, s, "ann")
	done := make(chan struct{})
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					_, _ = s.Person(ctx, ann.Address) // what it says is asked below
				}
			}
		})
	}
	for i := range 50 {
		want := fmt.Sprint("secret ", i)
		if err := s.SetCredentials(ctx, ann.Address, []byte(want)); err != nil {
			t.Fatal(err)
		}
		if p, err := s.Person(ctx, ann.Address); err != nil || string(p.Credentials) != want {
			t.Fatalf("credentials %q, %v; want %q", p.Credentials, err, want)
		}
	}
	if err := s.SetRelease(ctx, ann.Address, requiretls.PolicyBound); err != nil {
		t.Fatal(err)
	}
	if p, err := s.Person(ctx, ann.Address); err != nil || !p.HasRelease {
		t.Errorf("%+v, %v; want a policy of her own", p, err)
	}
	if err := s.RemovePerson(ctx, ann.Address); err != nil {
		t.Fatal(err)
	}
	if p, err := s.Person(ctx, ann.Address); !errors.Is(err, ErrNotFound) {
		t.Errorf("%+v, %v; want ErrNotFound", p, err)
	}
	if again := addPerson(t, s, "ann"); again.ID == ann.ID {
		t.Errorf("account %d was given again", ann.ID)
	}
	close(done)
	asking.Wait()
}

// What the store remembers of people has a bound.
func TestPeopleAreRememberedToABound(t *testing.T) {
	var r recalled
	for i := range maxRecalled + 10 {
		r.put(mail.Address{Local: fmt.Sprint(i)}, Person{ID: AccountID(i)}, 0)
	}
	if len(r.people) != maxRecalled {
		t.Errorf("%d people, want %d", len(r.people), maxRecalled)
	}
	if p, found, _ := r.get(mail.Address{Local: fmt.Sprint(maxRecalled + 9)}); !found || p.ID != maxRecalled+9 {
		t.Errorf("%+v, %v: the last one is gone", p, found)
	}
}
