package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// How long the doors may take to close. Together, with a second for each of the
// admin's, they stay below the 10 seconds in which a stop is promised.
const (
	lmtpGrace  = 5 * time.Second
	relayGrace = 5 * time.Second // beside lmtp's
	rulesGrace = time.Second
	imapGrace  = 2 * time.Second
)

// wayOut is the door that mail leaves by.
const wayOut = "relay"

// run serves until ctx ends, then stops in reverse: no new mail, what is in
// DATA finished; the relay between two letters; a BYE to readers and whoever edits rules; the admin's own ways in; the vault.
// started is called once everybody is served.
func (h *house) run(ctx context.Context, started func()) error {
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	var doors []*door
	for _, d := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"certificate", func(ctx context.Context) error { return h.renewDaily(ctx, minute.C) }},
		{"admin socket", h.socket.Run},
		{"admin listener", h.web.Run},
		{"imap", h.imap.Run},
		{"managesieve", h.rules.Run},
		{wayOut, h.sendOn},
		{"lmtp", h.lmtp.Run},
	} {
		doors = append(doors, open(d.name, d.run))
	}
	started()
	err := firstEnd(ctx, doors)
	h.draining.Store(true)
	for _, d := range doors {
		if d.name == wayOut {
			d.stop() // it may take as long as the mail that still comes in
		}
	}
	for i := len(doors) - 1; i >= 0; i-- {
		err = errors.Join(err, doors[i].shut())
	}
	if e := h.store.Close(); e != nil {
		err = errors.Join(err, fmt.Errorf("close the vault: %w", e))
	}
	return err
}

// door is one server while it runs.
type door struct {
	name  string
	stop  context.CancelFunc
	ended chan struct{} // closed when it has ended
	err   error         // set before ended is closed
}

func open(name string, run func(context.Context) error) *door {
	ctx, stop := context.WithCancel(context.Background())
	d := &door{name: name, stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(d.ended)
		d.err = run(ctx)
	}()
	return d
}

// shut ends the server and waits for it.
func (d *door) shut() error {
	d.stop()
	<-d.ended
	if d.err != nil {
		return fmt.Errorf("%s: %w", d.name, d.err)
	}
	return nil
}

// firstEnd waits for the signal to stop, or for a server that ends by itself.
func firstEnd(ctx context.Context, doors []*door) error {
	broken := make(chan string, len(doors))
	for _, d := range doors {
		go func() {
			<-d.ended
			broken <- d.name
		}()
	}
	select {
	case <-ctx.Done():
		return nil
	case name := <-broken:
		return fmt.Errorf("%s ended by itself", name)
	}
}
