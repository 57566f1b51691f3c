package storage

import (
	"slices"
	"testing"

	"letterlock/internal/requiretls"
)

// TestViewWithoutSomeMessages: what is left keeps its UIDs, the counters are of
// it, chunks that lose nothing are shared, and one that loses everything is no
// more.
func TestViewWithoutSomeMessages(t *testing.T) {
	_, a := grown(t, 600)
	for range 400 {
		deliver(t, a.store, "tagged", requiretls.Required(), a.id)
	}
	if _, err := a.StoreFlags(t.Context(), inboxID, []UID{1, 601, 602}, AddFlags, []string{`\Seen`, `\Deleted`}, 0); err != nil {
		t.Fatal(err)
	}
	whole := view(t, a, inbox)
	v := whole.Without(func(f Flags) bool { return f.Demand().IsRequired() }, func(m Mailbox) Mailbox {
		m.UIDValidity++
		return m
	})
	if got, want := uidsOf(v), uidsOf(whole)[:600]; !slices.Equal(got, want) {
		t.Errorf("got UIDs up to %d, %d of them, want 1 to 600", got[len(got)-1], len(got))
	}
	m, all := v.Mailbox(), whole.Mailbox()
	if m.Messages != 600 || m.Unseen != 599 || m.Deleted != 1 || m.Required != 0 || m.UIDValidity != all.UIDValidity+1 || m.Highest != all.Highest {
		t.Errorf("got %+v of %+v", m, all)
	}
	if v.chunks[0] != whole.chunks[0] || v.chunks[1] != whole.chunks[1] || len(v.chunks) != 3 {
		t.Errorf("%d chunks of %d, want the first two as they were and a third", len(v.chunks), len(whole.chunks))
	}
	for c := range Diff(v, whole) {
		if c.Kind != Added || c.Entry.UID <= 600 {
			t.Fatalf("the whole differs by %+v", c)
		}
	}
}
