package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage/seal"
)

func newKeys(t *testing.T) (*seal.Keys, string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "key")
	if _, err := seal.NewKeyFile(name); err != nil {
		t.Fatal(err)
	}
	return openKeys(t, name), name
}

func openKeys(t *testing.T, name string) *seal.Keys {
	t.Helper()
	keys, err := seal.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// secrets is words of which none may be found on the disk; whatever is written
// below has some.
var secrets = []string{
	"xyzzybody", "xyzzysubject", "xyzzysender", "xyzzyrcpt", "xyzzybox", "xyzzyscript", "xyzzynote", "xyzzyentry",
	"xyzzyleaves", "xyzzyprefix", "xyzzybig", "xyzzykeyword", "xyzzydraft", "xyzzyspool", "xyzzyalias", "xyzzyid", "xyzzytext", "xyzzypass",
}

// confide writes all the secrets there are. The spool stays open.
func confide(t *testing.T, s *Store) (AccountID, SpoolFile) {
	t.Helper()
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	p, err := s.AddPerson(ctx, mail.Address{Local: "xyzzyrcpt", Domain: "xyzzyrcpt.test"}, []byte("xyzzypass"))
	must(err)
	must(s.SetAlias(ctx, Alias{From: mail.Address{Local: "xyzzyalias", Domain: "x.test"}, To: []mail.Address{p.Address}}))
	a := s.Account(p.ID)
	_, err = a.Create(ctx, "xyzzybox/xyzzybox", "")
	must(err)
	must(a.Subscribe(ctx, "xyzzybox"))
	must(a.Annotate(ctx, mailbox(t, a, "xyzzybox").ID, []Annotation{{"/private/xyzzyentry", []byte("xyzzynote")}}))
	must(a.PutScript(ctx, "xyzzyscript", []byte("# xyzzytext\r\n"), nil))
	for _, text := range []string{"xyzzybody\r\n", strings.Repeat("xyzzybig\r\n", 200000)} {
		head := "Subject: xyzzysubject\r\nMessage-ID: <xyzzyid@x>\r\n\r\n"
		sum := &mail.Summary{Subject: "xyzzysubject", MessageID: "<xyzzyid@x>", From: []mail.Addr{{Mailbox: "xyzzysender", Host: "x"}}, Root: mail.Part{Body: int64(len(head)), End: int64(len(head) + len(text))}}
		env := &mail.Envelope{ID: "x", From: mail.Address{Local: "xyzzysender", Domain: "x.test"}, Demand: requiretls.Required()}
		plan := mail.Delivery{Account: uint64(p.ID), Rcpt: p.Address, Prefix: []byte("Delivered-To: xyzzyprefix\r\n"),
			Copies:   []mail.Copy{{Mailbox: "xyzzybox/xyzzybox", Flags: []string{"xyzzykeyword"}}, {Mailbox: inbox}},
			Outbound: []*mail.Outbound{env.Redirect(mail.Redirect{To: mail.Address{Local: "xyzzyleaves", Domain: "xyzzyleaves.test"}, Prefix: []byte("X: xyzzyleaves\r\n")})},
		}
		must(s.Commit(ctx, env, newBody(head+text), sum, []mail.Delivery{plan})[0])
	}
	_, _, err = a.Append(ctx, "Drafts", []Letter{replacement("xyzzydraft", requiretls.Usual())})
	must(err)
	sp, err := s.Spool()
	must(err)
	_, err = sp.Write(bytes.Repeat([]byte("xyzzyspool"), 50000))
	must(err)
	return p.ID, sp
}

// told is the secrets that some file below dir shows.
func told(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		for _, word := range secrets {
			if bytes.Contains(b, []byte(word)) {
				all = append(all, fmt.Sprint(word, " in ", name))
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// stillThere reads back what confide wrote.
func stillThere(t *testing.T, s *Store, id AccountID) {
	t.Helper()
	a := s.Account(id)
	box := mailbox(t, a, "xyzzybox/xyzzybox").ID
	for uid, word := range map[UID]string{1: "xyzzybody", 2: "xyzzybig"} {
		if text := readAll(t, a, box, uid, requiretls.Required()); !strings.Contains(text, word) {
			t.Errorf("UID %d has %d octets and no %s", uid, len(text), word)
		}
	}
	_, script, err := a.Script(context.Background(), "xyzzyscript", nil)
	if err != nil || string(script) != "# xyzzytext\r\n" {
		t.Errorf("the script is %q, %v", script, err)
	}
	want(t, "annotations", annotated(t, a, mailbox(t, a, "xyzzybox").ID, DepthZero), "/private/xyzzyentry=xyzzynote")
	if rows, _, err := s.DueOut(context.Background(), far, 10, all); err != nil || len(rows) != 2 || rows[0].Domain != "xyzzyleaves.test" {
		t.Errorf("due: %v, %v", rows, err)
	}
	if all := findings(t, s); len(all) > 0 {
		t.Errorf("check found %q", all)
	}
}

func TestSealedStoreShowsNothingToTheDisk(t *testing.T) {
	ctx, dir, dest := context.Background(), filepath.Join(t.TempDir(), "store"), filepath.Join(t.TempDir(), "backup")
	keys, _ := newKeys(t)
	opt := withFilters(Options{Keys: keys, wrap: strictly})
	s, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	id, sp := confide(t, s)
	if err := errors.Join(s.IndexIdle(ctx), s.Checkpoint(ctx), s.Backup(ctx, dest)); err != nil {
		t.Fatal(err)
	}
	stillThere(t, s, id)
	crashed := crashImage(t, dir)
	if err := errors.Join(sp.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	for what, dir := range map[string]string{"running": crashed, "closed": dir, "backup": dest} {
		if all := told(t, dir); len(all) > 0 {
			t.Errorf("%s: %q", what, all)
		}
	}

	// Without its key, or with another, nothing opens and nothing is harmed.
	other, _ := newKeys(t)
	for what, keys := range map[string]*seal.Keys{"no": nil, "another": other} {
		for _, dir := range []string{dir, crashed} {
			if s, err := Open(dir, Options{Keys: keys}); !errors.Is(err, seal.ErrNoKey) {
				t.Errorf("with %s key: %v, %v, want ErrNoKey", what, s, err)
			}
			if err := Repair(ctx, dir, Options{Keys: keys}, func(string) {}); !errors.Is(err, seal.ErrNoKey) {
				t.Errorf("repair with %s key: %v, want ErrNoKey", what, err)
			}
		}
	}
	stillThere(t, openStore(t, crashed, opt), id)
	restored := filepath.Join(t.TempDir(), "restored")
	if err := Restore(ctx, dest, restored); err != nil {
		t.Fatal(err)
	}
	again := openStore(t, restored, opt)
	if text := readAll(t, again.Account(id), inboxID, 1, requiretls.Required()); !strings.Contains(text, "xyzzybody") {
		t.Errorf("after the restore: %q", text)
	}
}

// The index of a sealed store is repaired from its sealed checkpoint.
func TestSealedIndexIsRepaired(t *testing.T) {
	ctx, dir := context.Background(), filepath.Join(t.TempDir(), "store")
	keys, _ := newKeys(t)
	s, err := Open(dir, Options{Keys: keys, Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	id, sp := confide(t, s)
	if err := errors.Join(s.Checkpoint(ctx), sp.Close()); err != nil {
		t.Fatal(err)
	}
	deliver(t, s, "later", requiretls.Usual(), id)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, indexDir, "00.db"), bytes.Repeat([]byte{7}, 1<<16), 0o600); err != nil {
		t.Fatal(err)
	}
	var said []string
	if err := Repair(ctx, dir, Options{Keys: keys}, func(line string) { said = append(said, line) }); err != nil {
		t.Fatalf("%v: %q", err, said)
	}
	again := openStore(t, dir, Options{Keys: keys})
	if v := view(t, again.Account(id), inbox); v.Len() != 3 {
		t.Errorf("%d messages, want 3: %q", v.Len(), said)
	}
	if !slices.ContainsFunc(said, func(line string) bool { return strings.Contains(line, "checkpoint") }) {
		t.Errorf("it said %q", said)
	}
}

// Sealing is turned on for a store that was written in clear, and later the key
// is changed: nothing is left in clear, and nothing under the old key.
func TestSealingIsTurnedOnLaterAndTheKeyIsRotated(t *testing.T) {
	ctx, dir := context.Background(), filepath.Join(t.TempDir(), "store")
	s, err := Open(dir, Options{SegmentSize: 64 << 10, Shards: 2})
	if err != nil {
		t.Fatal(err)
	}
	id, sp := confide(t, s)
	if err := errors.Join(s.Checkpoint(ctx), sp.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if len(told(t, dir)) == 0 {
		t.Fatal("a store in clear shows nothing: the test looks at the wrong place")
	}
	_, name := newKeys(t)
	seals := func(keys *seal.Keys, what string) {
		t.Helper()
		s, err := Open(dir, Options{SegmentSize: 64 << 10, Keys: keys})
		if err != nil {
			t.Fatal(err)
		}
		last, total := -1, 0
		if err := s.SealAll(ctx, 0, func(done, all int) { last, total = done, all }); err != nil || last != total || total == 0 {
			t.Fatalf("%s: %v, %d of %d segments", what, err, last, total)
		}
		stillThere(t, s, id)
		use, err := s.Keys(ctx)
		if err != nil || use.Clear.Log+use.Clear.Index > 0 {
			t.Errorf("%s: in clear there is still %+v, %v", what, use.Clear, err)
		}
		for _, k := range use.Keys {
			if used := k.Log+k.Index > 0; used != k.Current || k.Missing {
				t.Errorf("%s: key %+v", what, k)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	seals(openKeys(t, name), "turned on")
	if all := told(t, dir); len(all) > 0 {
		t.Errorf("after it was turned on: %q", all)
	}
	old := openKeys(t, name).Current()
	if _, err := seal.Rotate(name); err != nil {
		t.Fatal(err)
	}
	seals(openKeys(t, name), "rotated")
	if err := seal.Retire(name, old); err != nil {
		t.Fatal(err)
	}
	again := openStore(t, dir, Options{Keys: openKeys(t, name)})
	stillThere(t, again, id)
}

// A seal that is cut short leaves the checkpoint under the older key: it is still
// needed then, to repair with.
func TestKeyOfTheCheckpointIsNeeded(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	keys, file := newKeys(t)
	old := keys.Current()
	s := openStore(t, dir, Options{Keys: keys})
	deliver(t, s, "one", requiretls.Usual(), addPerson(t, s, "ann").ID)
	if err := errors.Join(s.Checkpoint(ctx), s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.Rotate(file); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, Options{Keys: openKeys(t, file)})
	octets := func() int64 {
		t.Helper()
		all, err := s.Keys(ctx)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(all.Keys, func(k KeyUse) bool { return k.ID == old.String() })
		return all.Keys[i].Log + all.Keys[i].Index
	}
	if err := errors.Join(s.sealIndex(ctx, 0), s.sealLog(ctx, 0, func(int, int) {})); err != nil { // no further
		t.Fatal(err)
	}
	if n := octets(); n == 0 {
		t.Error("the checkpoint is sealed with a key that nothing needs")
	}
	if err := s.SealAll(ctx, 0, func(int, int) {}); err != nil {
		t.Fatal(err)
	}
	if n := octets(); n != 0 {
		t.Errorf("%d octets are under the older key when all was sealed", n)
	}
}

// Whether a backup can be read is known before it is restored.
func TestBackupIsCheckedForItsKeys(t *testing.T) {
	ctx, dest := context.Background(), filepath.Join(t.TempDir(), "backup")
	keys, _ := newKeys(t)
	other, _ := newKeys(t)
	s := openStore(t, t.TempDir(), Options{Keys: keys})
	deliver(t, s, "one", requiretls.Usual(), addPerson(t, s, "ann").ID)
	if err := CheckBackup(ctx, dest, keys); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no backup: %v", err)
	}
	if err := s.Backup(ctx, dest); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		keys *seal.Keys
		want error
	}{"its": {keys, nil}, "another": {other, seal.ErrNoKey}, "no": {nil, seal.ErrNoKey}} {
		if err := CheckBackup(ctx, dest, c.keys); !errors.Is(err, c.want) {
			t.Errorf("with %s key: %v, want %v", what, err, c.want)
		}
	}
}
