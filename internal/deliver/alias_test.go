package deliver_test

import (
	"fmt"
	"testing"

	"letterlock/internal/deliver"
	"letterlock/internal/reply"
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

// Aliases of aliases reach whole companies. Nobody of these is left out and
// called delivered to; where there are more than can be, the sender tries again.
func TestNobodyBehindABigAliasIsLeftOut(t *testing.T) {
	h := open(t)
	h.person("last@example.org")
	const each = 100
	departments := func(all string, n int) {
		var names []string
		for d := range n {
			name := fmt.Sprintf("%s%d@example.org", all, d)
			var members []string
			for m := range each - 1 { // who is gone takes room, too
				members = append(members, fmt.Sprintf("%s%d-%d@example.org", all, d, m))
			}
			if d == n-1 {
				members = append(members, "last@example.org")
			}
			h.alias(name, members...)
			names = append(names, name)
		}
		h.alias(all+"@example.org", names...)
	}
	departments("all", 20)
	h.wantFates(h.deliver(envelope(requiretls.Usual()), letter, "all@example.org"), "delivered")
	if letters, _ := h.inbox("last@example.org"); len(letters) != 1 {
		t.Errorf("the last of 2000 has %d letters, want 1", len(letters))
	}
	departments("world", 110)
	if err := h.sorter.Recipient(t.Context(), addr(t, "world@example.org")); reply.From(err).Class != reply.Temporary {
		t.Errorf("RCPT of an alias of 11000 says %v, want a temporary refusal", err)
	}
}

// RFC 5233 §4 (MUST): rules part a detail where the house does, by any of its
// delimiters.
func TestRulesKnowEveryDelimiterOfTheHouse(t *testing.T) {
	o := openOffice(t, nil, func(opt *deliver.Options) { opt.Addresses.Delimiter = "+-" })
	o.rule("ann@example.org", `require ["envelope", "subaddress", "fileinto", "mailbox", "variables"];
		if envelope :matches :detail "to" "*" { fileinto :create "${1}"; }`)
	for _, rcpt := range []string{"ann+tea@example.org", "ann-work@example.org", "ann-a+b@example.org", "ann@example.org"} {
		o.usual(letter, rcpt)
	}
	o.lies("ann@example.org", "INBOX 1, a+b 1, tea 1, work 1")
}
