package storage

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"testing"
)

// askedOften is a context that ends when it was asked so often whether it has.
type askedOften struct {
	context.Context // never ends
	left            int
}

func (c *askedOften) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// A repair that is cut short between any two of its changes, and runs again, leaves
// what one leaves that was not.
func TestRepairCutShortBetweenTwoChangesLosesNoValue(t *testing.T) {
	ctx, opt := context.Background(), withFilters(Options{Shards: 1})
	whole := filepath.Join(t.TempDir(), "whole")
	ann, _ := lived(t, whole, opt)
	for _, k := range kindsIn(t, whole, opt, ann.ID) {
		if bytes.IndexByte([]byte{keyAlias, keyPerson, keyOut, keyName, keyActive, keyText, keySending}, k[keyHead-1]) < 0 {
			continue
		}
		t.Run(fmt.Sprintf("%c of %d", k[keyHead-1], keyAccountOf(k)), func(t *testing.T) {
			dir := crashImage(t, whole)
			s, err := Open(dir, opt)
			if err != nil {
				t.Fatal(err)
			}
			rotOne(t, s, k)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			all := &askedOften{ctx, 1 << 30}
			if _, err := repairIndex(all, crashImage(t, dir), &opt, func(string) {}); err != nil {
				t.Fatal(err)
			}
			asked := 1<<30 - all.left
			for cut := asked - 1; cut > asked-5; cut-- {
				dir := crashImage(t, dir)
				if _, err := repairIndex(&askedOften{ctx, cut}, dir, &opt, func(string) {}); err == nil {
					t.Fatalf("not cut short at %d of %d", cut, asked)
				}
				if err := Repair(ctx, dir, opt, func(string) {}); err != nil {
					t.Fatal(err)
				}
				s, err := Open(dir, opt)
				if err != nil {
					t.Fatal(err)
				}
				if p, err := s.Person(ctx, ann.Address); err != nil || string(p.Credentials) != "secret" {
					t.Errorf("cut short at %d of %d: ann is %+v, %v", cut, asked, p, err)
				}
				if _, err := s.Alias(ctx, elsewhere("sales")); err != nil {
					t.Errorf("cut short at %d of %d: %v", cut, asked, err)
				}
				if _, _, err := s.Account(ann.ID).ActiveScript(ctx, nil); err != nil {
					t.Errorf("cut short at %d of %d: %v", cut, asked, err)
				}
				equal(t, "to leave", waiting(t, s), "leaves")
				if got := findings(t, s); len(got) > 0 {
					t.Errorf("cut short at %d of %d: %q", cut, asked, got)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
