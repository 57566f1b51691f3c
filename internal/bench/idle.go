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

// crowd measures what n sessions in IDLE cost, spread over the accounts.
func crowd(ctx context.Context, h *house, n, accounts int, secure *tls.Config, rows *table) (err error) {
	addr, name := h.imap, "memory of a session in IDLE, KiB"
	if secure != nil {
		addr, name = h.imaps, "memory of a session in IDLE, TLS, KiB"
	}
	if err := h.wipe(ctx); err != nil {
		return err
	}
	before := h.tree().memory()
	conns := make([]*imapConn, n)
	defer func() {
		for _, c := range conns {
			if c != nil {
				err = errors.Join(err, c.conn.Close())
			}
		}
	}()
	err = together(8, func(w int) error {
		for i := w; i < n; i += 8 {
			c, err := h.loginAt(addr, secure, i%accounts)
			if err != nil {
				return fmt.Errorf("session %d: %w", i, err)
			}
			conns[i] = c
			if _, err := c.do("SELECT INBOX"); err != nil {
				return err
			}
			if err := c.idle(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	after := h.settled()
	rows.note(name, h.name, figure{value: float64(after-before) / float64(n) / 1024})
	return nil
}

// settled waits until the house's memory has not shrunk for five seconds, at
// most two minutes, and answers what it is then.
func (h *house) settled() int64 {
	again := time.NewTicker(time.Second)
	defer again.Stop()
	least, since := h.tree().memory(), 0
	for range 120 {
		<-again.C
		now := h.tree().memory()
		if since++; now < least-least/200 {
			since = 0
		}
		if least = min(least, now); since >= 5 {
			break
		}
	}
	return least
}
