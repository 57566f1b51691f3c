package sieve

import (
	"strings"
	"testing"
	"time"
)

// A search is charged by the clock. Where the machine was busy with others
// meanwhile, or asleep, no script breaks for it: that would file mail where it
// does not belong.
func TestSearchOnABusyMachineIsNotTheScriptsFault(t *testing.T) {
	e, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	rt := NewRuntime(t.Context(), e, strings.NewReader("\r\n"), nil)
	hourAgo := time.Now().Add(-time.Hour)
	const subjects = 1000 // of 100 octets, each searched for an expression of 50 instructions
	for range subjects {
		if err := rt.clocked(hourAgo, 100*50); err != nil {
			t.Fatal(err)
		}
	}
	rt = NewRuntime(t.Context(), e, strings.NewReader("\r\n"), nil)
	w := watch(rt, 50, strings.Repeat("tea ", 64<<10/4))
	for range w.s {
		w.since = hourAgo
		if _, _, err := w.ReadRune(); err != nil {
			t.Fatal(err)
		}
	}
}
