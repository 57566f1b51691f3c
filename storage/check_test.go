package storage

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"letterlock/internal/requiretls"
	"letterlock/storage/kv"
	"letterlock/storage/seal"
)

// findings is what Check says.
func findings(t testing.TB, s *Store) (all []string) {
	t.Helper()
	if err := s.Check(context.Background(), func(f Finding) { all = append(all, f.String()) }); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestCheckFindsNothingInAHealthyStore(t *testing.T) {
	ctx := context.Background()
	s, a := grown(t, 700)
	if _, err := a.Copy(ctx, inboxID, []UID{1, 2, 600}, "Trash"); err != nil {
		t.Fatal(err)
	}
	if err := a.Expunge(ctx, inboxID, []UID{2, 3, 4, 600}); err != nil {
		t.Fatal(err)
	}
	if got := findings(t, s); len(got) > 0 {
		t.Errorf("%q", got)
	}
	if err := s.reap(ctx); err != nil {
		t.Fatal(err)
	}
	if got := findings(t, s); len(got) > 0 {
		t.Errorf("after the dead are forgotten: %q", got)
	}
}

// rot changes the first octet of a text in the first segment.
func rot(t *testing.T, s *Store, text string) {
	t.Helper()
	rotFile(t, s.log.Segments()[0].Name, text)
}

// rotIn damages text in the first segment of a store that is closed.
func rotIn(t *testing.T, dir, text string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, segmentDir, "*.seg"))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	rotFile(t, names[0], text)
}

func rotFile(t *testing.T, name, text string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{text[0] ^ 2}, int64(strings.Index(string(b), text))); err != nil {
		t.Fatal(err)
	}
}

func TestCheckNamesTheMessageWhoseOctetsRotted(t *testing.T) {
	ctx := context.Background()
	s, a := grown(t, 0)
	for _, subject := range []string{"one", "two", "three"} {
		deliver(t, s, subject, requiretls.Required(), a.id)
	}
	rot(t, s, "Hello two")
	got := findings(t, s)
	if len(got) != 1 || !strings.Contains(got[0], "INBOX, UID 2: ") {
		t.Errorf("said %q, want UID 2 named", got)
	}
	m, err := a.Message(ctx, inboxID, 2, release(t, requiretls.Required()))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if n, err := m.ReadAt(make([]byte, m.Size()), 0); err == nil {
		t.Errorf("%d octets of a rotten letter were served", n)
	}
}

func TestCheckFindsWrongCountersAndDemands(t *testing.T) {
	ctx := context.Background()
	s, a := grown(t, 2)
	err := a.change(ctx, func(tx *txn, c *account) error {
		b, err := tx.mustBox(a.id, inboxID)
		if err != nil {
			return err
		}
		b.Unseen++
		c.bytes++
		return tx.misflag(b, func(f Flags) Flags { return f | required })
	})
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(findings(t, s), "\n")
	for _, want := range []string{"UID 1: its row says usual, its flags say required", "INBOX: it counts 2 messages, 3 unseen", "the quota counts"} {
		if !strings.Contains(got, want) {
			t.Errorf("said %q, want %q in it", got, want)
		}
	}
}

// What is of no account can rot as well: people, aliases, the outbox.
func TestCheckReadsWhatIsOfNoAccount(t *testing.T) {
	keys, _ := newKeys(t)
	for name, keys := range map[string]*seal.Keys{"in clear": nil, "sealed": keys} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, t.TempDir(), Options{Shards: 1, Keys: keys})
			ann := addPerson(t, s, "ann")
			send(t, s, ann.ID, "news", requiretls.Required(), inInbox, "carl")
			k := outKey(due(t, s)[0].ID)
			err := s.journal.Update(context.Background(), 0, func(tx kv.Tx) error { // below the seal
				v := slices.Clone(tx.Get(k))
				v[len(v)-1] ^= 1
				tx.Put(k, v)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := findings(t, s); len(got) != 1 || !strings.Contains(got[0], "damaged") {
				t.Errorf("said %q, want the row named", got)
			}
		})
	}
}
