package admin

import (
	"errors"
	"path/filepath"
	"testing"

	"letterlock/internal/requiretls"
	"letterlock/storage"
	"letterlock/storage/seal"
)

func TestStoreInClearSaysSoAndIsNotSealedWithoutAKey(t *testing.T) {
	of := newOffice(t, nil)
	of.forward(t, "e1", requiretls.Usual())
	for _, o := range []Operations{of.Desk, of.over(t)} {
		s, err := o.Keys(t.Context())
		if err != nil || s.Sealing || len(s.Keys) > 0 || s.Clear.Log == 0 || s.Clear.Index == 0 {
			t.Errorf("the keys are %+v, %v; want all of it in clear", s, err)
		}
		err = o.Seal(t.Context(), SealOrder{}, func(Steps) {})
		if r, ok := errors.AsType[*Refusal](err); !ok || r.Hint() == "" {
			t.Errorf("sealing without a key: %v, want a refusal with a way out", err)
		}
	}
}

func TestStoreIsSealedWhileItIsUsed(t *testing.T) {
	of := newOffice(t, nil)
	of.forward(t, "e1", requiretls.Usual(), "one.example")
	if err := of.opt.Store.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "mail.keys")
	if _, err := seal.NewKeyFile(name); err != nil {
		t.Fatal(err)
	}
	keys, err := seal.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	if of.opt.Store, err = storage.Open(of.dir, storage.Options{Log: silent, Keys: keys}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { of.opt.Store.Close() })
	over := of.over(t)
	if s, err := over.Keys(t.Context()); err != nil || !s.Sealing || len(s.Keys) != 1 || s.Clear.Log == 0 {
		t.Errorf("before: %+v, %v", s, err)
	}
	var last Steps
	if err := over.Seal(t.Context(), SealOrder{}, func(s Steps) { last = s }); err != nil || last.Done != last.Total || last.Total == 0 {
		t.Errorf("sealed up to %+v, %v", last, err)
	}
	s, err := over.Keys(t.Context())
	if err != nil || s.Clear.Octets() != 0 || !s.Keys[0].Current || s.Keys[0].ID != keys.Current().String() || s.Keys[0].Octets() == 0 {
		t.Errorf("after: %+v, %v; want nothing in clear", s, err)
	}
	of.check(t, over, "<bob@one.example> queued")
}
