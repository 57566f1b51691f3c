package storage

import (
	"context"
	"strconv"
	"testing"

	"letterlock/internal/requiretls"
)

// Whoever waits for a change of many messages can see how far it is, and that it
// is through in the end; messages that are gone meanwhile count as done.
func TestProgressOfAChangeEndsWithAllOfIt(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	a := s.Account(addPerson(t, s, "ann").ID)
	for i := range 20 {
		deliver(t, s, strconv.Itoa(i), requiretls.Usual(), a.id)
	}
	uids := uidsOf(view(t, a, inbox))
	if err := a.Expunge(context.Background(), inboxID, uids[3:5]); err != nil {
		t.Fatal(err)
	}
	for _, change := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"flags", func(ctx context.Context) error {
			_, err := a.StoreFlags(ctx, inboxID, uids, AddFlags, []string{`\Seen`}, 0)
			return err
		}},
		{"copy", func(ctx context.Context) error { _, err := a.Copy(ctx, inboxID, uids, "Archive"); return err }},
		{"move", func(ctx context.Context) error { _, err := a.Move(ctx, inboxID, uids[:10], "Archive"); return err }},
		{"expunge", func(ctx context.Context) error { return a.Expunge(ctx, inboxID, uids[10:]) }},
	} {
		var p Progress
		if err := change.do(WithProgress(context.Background(), &p)); err != nil {
			t.Fatalf("%s: %v", change.name, err)
		}
		if done, total := p.Load(); done != total || total < 10 {
			t.Errorf("%s: %d of %d done", change.name, done, total)
		}
	}
}
