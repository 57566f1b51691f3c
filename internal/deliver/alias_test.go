package deliver_test

import (
	"testing"

	"letterlock/internal/requiretls"
	"letterlock/storage"
)

// An alias is one recipient with one answer: where one of its targets has no
// room, the sender tries again, and the others must not get a copy each time.
func TestAliasIsOneFateForAllItsTargets(t *testing.T) {
	h := open(t)
	h.person("ann@example.org")
	h.person("bob@example.org")
	h.alias("team@example.org", "ann@example.org", "bob@example.org")
	bob, err := h.store.Person(t.Context(), addr(t, "bob@example.org"))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.store.Account(bob.ID).SetLimits(t.Context(), storage.Usage{Messages: 1}); err != nil {
		t.Fatal(err)
	}
	h.wantFates(h.deliver(envelope(requiretls.Usual()), letter, "bob@example.org"), "delivered")
	if letters, _ := h.inbox("bob@example.org"); len(letters) != 1 { // and the count of his letters is up to date
		t.Fatalf("bob has %d letters", len(letters))
	}
	for range 3 {
		if fates := h.deliver(envelope(requiretls.Usual()), letter, "team@example.org"); fates[0] == "delivered" {
			t.Errorf("delivered to a team whose bob has no room")
		}
	}
	if letters, _ := h.inbox("ann@example.org"); len(letters) != 0 {
		t.Errorf("ann has %d copies of a letter that was refused three times", len(letters))
	}
	if err := h.store.Account(bob.ID).SetLimits(t.Context(), storage.Usage{}); err != nil {
		t.Fatal(err)
	}
	h.wantFates(h.deliver(envelope(requiretls.Usual()), letter, "team@example.org"), "delivered")
	if letters, _ := h.inbox("ann@example.org"); len(letters) != 1 {
		t.Errorf("ann has %d copies, want 1", len(letters))
	}
}
