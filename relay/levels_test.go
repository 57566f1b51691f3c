package relay

import "testing"

// What the admin demands of a domain holds in both of its spellings: a tagged
// letter must not leave by the weaker level of all others.
func TestLevelOfAnInternationalizedDomainHoldsInBothSpellings(t *testing.T) {
	for _, set := range []string{"bücher.test", "xn--bcher-kva.test"} {
		tagged := Options{RequireTLS: map[string]Level{"": Opportunistic, set: Enforce}}
		usual := Smarthost{Level: Opportunistic, Levels: map[string]Level{set: Enforce}}
		for _, to := range []string{"bücher.test", "xn--bcher-kva.test"} {
			if got := tagged.taggedLevel(to); got != Enforce {
				t.Errorf("set for %s: tagged mail to %s has level %v, want %v", set, to, got, Enforce)
			}
			if got := usual.levelFor(to); got != Enforce {
				t.Errorf("set for %s: mail to %s has level %v, want %v", set, to, got, Enforce)
			}
		}
		if got := tagged.taggedLevel("other.test"); got != Opportunistic {
			t.Errorf("set for %s: tagged mail to other.test has level %v", set, got)
		}
	}
}
