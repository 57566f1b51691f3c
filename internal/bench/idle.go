package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"
)

// wakes measures how soon a session in IDLE hears of a letter: from the first
// octet of the letter's delivery to the EXISTS line.
func wakes(h *house, account, times int, rows *table) (err error) {
	c, err := h.login(account)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	if _, err := c.do("SELECT INBOX"); err != nil {
		return err
	}
	if err := c.idle(); err != nil {
		return err
	}
	post, err := dialLMTP(h.lmtp)
	if err != nil {
		return err
	}
	defer post.conn.Close()
	text := letterOfSize(4 << 10)
	l := load{}
	for i := range times {
		start := time.Now()
		if err := post.send(user(account), i, text); err != nil {
			return err
		}
		if err := c.awaitExists(); err != nil {
			return err
		}
		l.waits = append(l.waits, time.Since(start))
	}
	if err := c.done(); err != nil {
		return err
	}
	if l, err = sum([]load{l}, 0); err != nil {
		return err
	}
	rows.note("new letter until EXISTS in IDLE, p50", h.name, figure{value: l.percentile(50).Seconds() * 1000})
	rows.note("new letter until EXISTS in IDLE, p99", h.name, figure{value: l.percentile(99).Seconds() * 1000})
	return nil
}

// crowd is sessions in IDLE, spread over so many accounts.
type crowd struct {
	name     string // of the row
	sessions int
	accounts int
	secure   *tls.Config   // nil: in clear
	letters  []letter      // in every INBOX
	settle   time.Duration // how long to leave it alone first
}

// measure notes what one session of the crowd costs in memory.
func (w crowd) measure(ctx context.Context, h *house, rows *table) (err error) {
	if err := h.wipe(ctx); err != nil {
		return err
	}
	if err := w.fill(ctx, h); err != nil {
		return err
	}
	before := h.settled(min(w.settle, time.Second))
	conns := make([]*imapConn, w.sessions)
	defer func() {
		for _, c := range conns {
			if c != nil {
				err = errors.Join(err, c.conn.Close())
			}
		}
	}()
	err = together(8, func(first int) (err error) {
		for i := first; i < w.sessions && err == nil; i += 8 {
			if conns[i], err = w.join(h, i%w.accounts); err != nil {
				err = fmt.Errorf("session %d: %w", i, err)
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	rows.note(w.name, h.name, figure{value: float64(h.settled(w.settle)-before) / float64(w.sessions) / 1024})
	return nil
}

// fill puts the letters where they are wanted, and starts the house anew: what
// the filling took is not the sessions'.
func (w crowd) fill(ctx context.Context, h *house) error {
	if len(w.letters) == 0 {
		return nil
	}
	for account := range w.accounts {
		c, err := h.login(account)
		if err != nil {
			return err
		}
		if err := errors.Join(c.appendAll("INBOX", w.letters, 32), c.conn.Close()); err != nil {
			return err
		}
	}
	if err := h.stop(); err != nil {
		return err
	}
	return h.start(ctx)
}

// join is one more session in IDLE.
func (w crowd) join(h *house, account int) (*imapConn, error) {
	addr := h.imap
	if w.secure != nil {
		addr = h.imaps
	}
	c, err := h.loginAt(addr, w.secure, account, readLittle)
	if err != nil {
		return nil, err
	}
	if _, err = c.do("SELECT INBOX"); err == nil {
		err = c.idle()
	}
	if err != nil {
		return nil, errors.Join(err, c.conn.Close())
	}
	return c, nil
}

// settled waits until the house's memory has not shrunk for five seconds, and
// for so long at least, and answers what it is then. At most it waits two minutes
// more; where least is 0, not at all.
func (h *house) settled(least time.Duration) int64 {
	if least == 0 {
		return h.tree().memory()
	}
	again := time.NewTicker(time.Second)
	defer again.Stop()
	smallest, since, begun := h.tree().memory(), 0, time.Now()
	for time.Since(begun) < least+2*time.Minute {
		<-again.C
		now := h.tree().memory()
		if since++; now < smallest-smallest/200 {
			since = 0
		}
		if smallest = min(smallest, now); since >= 5 && time.Since(begun) >= least {
			break
		}
	}
	return smallest
}
