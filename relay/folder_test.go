package relay

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"letterlock/internal/requiretls"
)

func folder(t *testing.T, dir string) *PolicyFolder {
	t.Helper()
	f, err := NewPolicyFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestPoliciesOutliveTheProcess(t *testing.T) {
	ctx, dir := t.Context(), filepath.Join(t.TempDir(), "policies")
	f := folder(t, dir)
	for key, value := range map[string]string{"sts/b.test": "two", "sts/a.test": "one", "tlsrpt/2026-11-21/a.test": "counts"} {
		if err := f.Put(ctx, key, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, halfWritten+"x"), []byte("cut"), 0o600); err != nil {
		t.Fatal(err)
	}
	f = folder(t, dir)
	if keys, err := f.Keys(ctx, "sts/", "", 10); err != nil || !slices.Equal(keys, []string{"sts/a.test", "sts/b.test"}) {
		t.Errorf("keys: %q, %v", keys, err)
	}
	if keys, _ := f.Keys(ctx, "sts/", "sts/a.test", 10); !slices.Equal(keys, []string{"sts/b.test"}) {
		t.Errorf("after the first: %q", keys)
	}
	if v, err := f.Get(ctx, "tlsrpt/2026-11-21/a.test"); string(v) != "counts" || err != nil {
		t.Errorf("got %q, %v", v, err)
	}
	if err := f.Put(ctx, "sts/a.test", nil); err != nil {
		t.Error(err)
	}
	if v, err := f.Get(ctx, "sts/a.test"); v != nil || err != nil {
		t.Errorf("what was removed is %q, %v", v, err)
	}
	files, _ := os.ReadDir(dir)
	if len(files) != 2 {
		t.Errorf("%d files are left: %v", len(files), files)
	}
	for _, file := range files {
		if info, err := file.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", file.Name(), info.Mode(), err)
		}
	}
}

func TestNoKeyLeavesTheFolder(t *testing.T) {
	f := folder(t, t.TempDir())
	for _, key := range []string{"", ".", "..", "../x", ".new-x", "sts/" + strings.Repeat("a", 300)} {
		if err := f.Put(t.Context(), key, []byte("x")); err == nil {
			t.Errorf("%q was taken", key)
		}
		if _, err := f.Get(t.Context(), key); err == nil {
			t.Errorf("%q was looked for", key)
		}
	}
	if err := f.Put(t.Context(), "sts/../../etc/passwd", []byte("x")); err != nil {
		t.Error(err)
	}
	if keys, _ := f.Keys(t.Context(), "sts/", "", 9); !slices.Equal(keys, []string{"sts/../../etc/passwd"}) {
		t.Errorf("keys: %q", keys)
	}
}

func TestAFullFolderKeepsWhatItHas(t *testing.T) {
	f := folder(t, t.TempDir())
	if err := f.Put(t.Context(), "sts/old.test", []byte("old")); err != nil {
		t.Fatal(err)
	}
	f.total = maxFolderOctets
	if err := f.Put(t.Context(), "sts/new.test", []byte("new")); err == nil {
		t.Error("a full folder took a new key")
	}
	if v, err := f.Get(t.Context(), "sts/old.test"); string(v) != "old" || err != nil {
		t.Errorf("the old one is %q, %v", v, err)
	}
	if err := f.Put(t.Context(), "sts/old.test", []byte("up")); err != nil {
		t.Errorf("a smaller value in its place: %v", err)
	}
	if files, _ := os.ReadDir(f.dir); len(files) != 1 {
		t.Errorf("half written files are left: %v", files)
	}
}

// A policy that was learnt before a restart binds after it, also where its
// server and its record are gone (RFC 8461 §3.3, §10.2).
func TestAnEnforcedPolicyBindsAfterARestart(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t)
	w.opt.Policies = folder(t, dir)
	w.zone([]string{"insecure"})
	w.sts([]string{"enforce", "mx=a.mx.test"})
	w.host("a", "10", "10 requiretls")
	w.send([]string{"required"})
	w.net.Forget("_mta-sts.to.test")
	w.opt.Policies = folder(t, dir)
	w.start()
	w.send([]string{"required"})
	if got := w.hosts["a"].Got(); len(got) != 2 || !got[1].Has("REQUIRETLS") {
		t.Errorf("arrived: %+v", got)
	}
	way := w.r.Route(context.Background(), "to.test", requiretls.Required())
	if !strings.HasPrefix(way.STS, "enforce") {
		t.Errorf("the policy is %q", way.STS)
	}
}

// Counts for TLS reports are not lost with the process (RFC 8460 §4.2).
func TestTLSReportCountsOutliveARestart(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t)
	w.opt.Policies = folder(t, dir)
	w.host("a", "10", "10")
	w.send([]string{"usual"})
	w.r.tally.flush(t.Context())
	w.opt.Policies = folder(t, dir)
	w.start()
	w.send([]string{"usual"})
	w.r.tally.flush(t.Context())
	day, err := w.r.tally.load(t.Context(), tallyKey+w.now.UTC().Format(dayFormat)+"/to.test")
	if err != nil || len(day.Policies) != 1 || day.Policies[0].Summary.Success != 2 {
		t.Errorf("counted: %+v, %v", day, err)
	}
}

// A domain may have 253 octets (RFC 1035 §2.3.4): its policy is kept as any other.
func TestAPolicyOfAVeryLongDomainIsKept(t *testing.T) {
	dir := t.TempDir()
	domain := strings.Repeat(strings.Repeat("a", 49)+".", 5) + "abc"
	keys := []string{stsKey + domain, tallyKey + "2026-11-22/" + domain}
	for _, key := range keys {
		f, err := NewPolicyFolder(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Put(t.Context(), key, []byte("value")); err != nil {
			t.Fatal(err)
		}
	}
	f, err := NewPolicyFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, key := range keys {
		if value, err := f.Get(t.Context(), key); string(value) != "value" || err != nil {
			t.Errorf("%q, %v", value, err)
		}
		if got, err := f.Keys(t.Context(), []string{stsKey, tallyKey}[i], "", 10); len(got) != 1 || got[0] != key || err != nil {
			t.Errorf("keys %q, %v; want %q", got, err, key)
		}
		if err := f.Put(t.Context(), key, nil); err != nil {
			t.Error(err)
		}
	}
	if left, err := os.ReadDir(dir); len(left) != 0 || err != nil {
		t.Errorf("left: %v, %v", left, err)
	}
}
