package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"
)

// reading is one house's run through the rows of the IMAP table.
type reading struct {
	h       *house
	letters []letter
	account int
	c       *imapConn
	caps    string
	rows    *table
}

// read goes through all rows once, with one account nobody used before.
func (r *reading) read(context.Context) (err error) {
	if r.c, err = r.h.login(r.account); err != nil {
		return err
	}
	defer func() { r.c.conn.Close() }()
	caps, err := r.c.do("CAPABILITY")
	if err != nil {
		return err
	}
	r.caps = strings.ToUpper(caps.last)
	for _, step := range []func() error{r.fill, r.first, r.warm, r.again, r.random, r.appends, r.change, r.logins} {
		if err := step(); err != nil {
			return fmt.Errorf("%s: %w", r.h.name, err)
		}
	}
	return nil
}

// timed runs fn so many times and notes the median and the CPU time of one.
func (r *reading) timed(name string, times int, fn func() error) error {
	return r.repeat(name, times, 0, fn)
}

// While what is quick is repeated, so that its CPU time, which comes in ticks,
// can be told.
const (
	warmTimes  = 5
	warmPeriod = 300 * time.Millisecond
)

// warmed is timed for a look that everybody has had before.
func (r *reading) warmed(name string, fn func() error) error {
	return r.repeat(name, warmTimes, warmPeriod, fn)
}

// repeat runs fn at least so many times and for so long.
func (r *reading) repeat(name string, times int, period time.Duration, fn func() error) error {
	before, begun := r.h.tree().cpu(), time.Now()
	var all []time.Duration
	for len(all) < times || time.Since(begun) < period {
		start := time.Now()
		if err := fn(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, time.Since(start))
	}
	r.rows.note(name, r.h.name, figure{value: median(all).Seconds() * 1000, cpu: (r.h.tree().cpu() - before) / time.Duration(len(all))})
	return nil
}

// ask runs one row and looks whether the answer can be right.
func (r *reading) ask(w row) error {
	a, err := r.c.do("%s", w.command)
	if err == nil && w.lines > 0 && a.untagged < w.lines {
		err = fmt.Errorf("%d untagged lines, want at least %d", a.untagged, w.lines)
	}
	if err == nil && strings.Contains(w.command, rareWord) && len(strings.Fields(a.last)) < 2+rareLetters {
		err = fmt.Errorf("%s, want %d letters", a.last, rareLetters)
	}
	return err
}

func (r *reading) offered(w row) bool { return w.needs == "" || r.offers(w.needs) }

func (r *reading) offers(capability string) bool {
	return strings.Contains(r.caps+" ", " "+capability+" ")
}

// fill appends the corpus.
func (r *reading) fill() error {
	return r.timed(fmt.Sprintf("APPEND all %d, 32 on the way", len(r.letters)), 1, func() error {
		return r.c.appendAll("INBOX", r.letters, 32)
	})
}

// first is every look for the first time: nobody has asked before.
func (r *reading) first() error {
	if err := r.timed("SELECT, first", 1, func() error { return r.ask(row{command: "SELECT INBOX"}) }); err != nil {
		return err
	}
	for _, w := range looks(len(r.letters))[:firstLooks] {
		if !r.offered(w) {
			continue
		}
		if err := r.timed(w.name+", first", 1, func() error { return r.ask(w) }); err != nil {
			return err
		}
	}
	return nil
}

// warm is every look when nothing is new any more.
func (r *reading) warm() error {
	if err := r.selects(); err != nil {
		return err
	}
	rows := append([]row{
		{"SELECT, once more in a session", "SELECT INBOX", 0, ""},
		{"STATUS", "STATUS INBOX (MESSAGES UNSEEN UIDNEXT UIDVALIDITY)", 1, ""},
	}, looks(len(r.letters))...)
	for _, w := range rows {
		if !r.offered(w) {
			continue
		}
		if err := r.warmed(w.name, func() error { return r.ask(w) }); err != nil {
			return err
		}
	}
	return nil
}

// selects is the first SELECT of sessions that have just logged in.
func (r *reading) selects() error {
	var all []time.Duration
	for range 4 * warmTimes {
		c, err := r.h.login(r.account)
		if err != nil {
			return err
		}
		start := time.Now()
		_, err = c.do("SELECT INBOX")
		all = append(all, time.Since(start))
		if err = errors.Join(err, c.conn.Close()); err != nil {
			return err
		}
	}
	r.rows.note("SELECT, fresh connection", r.h.name, figure{value: median(all).Seconds() * 1000})
	return nil
}

// again is a client that comes back and asks what has changed: one letter in a
// hundred (RFC 7162).
func (r *reading) again() error {
	if !r.offers("CONDSTORE") || !r.offers("QRESYNC") {
		return nil
	}
	c, err := r.h.login(r.account)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	if _, err := c.do("ENABLE QRESYNC"); err != nil {
		return err
	}
	status, err := c.do("STATUS INBOX (UIDVALIDITY HIGHESTMODSEQ)")
	if err != nil {
		return err
	}
	var validity, since uint64
	if _, err := fmt.Sscanf(status.last, "* STATUS INBOX (UIDVALIDITY %d HIGHESTMODSEQ %d)", &validity, &since); err != nil {
		return fmt.Errorf("%s: %w", status.last, err)
	}
	changed := 0
	var set []string
	for n := 1; n <= len(r.letters); n += 100 {
		set = append(set, strconv.Itoa(n))
		changed++
	}
	if _, err := r.c.do(`STORE %s +FLAGS.SILENT (\Draft)`, strings.Join(set, ",")); err != nil {
		return err
	}
	for _, w := range []row{
		{"SELECT (QRESYNC), 1 in 100 changed", fmt.Sprintf("SELECT INBOX (QRESYNC (%d %d))", validity, since), changed, ""},
		{"FETCH (CHANGEDSINCE), 1 in 100 changed", fmt.Sprintf("UID FETCH 1:* (FLAGS) (CHANGEDSINCE %d)", since), changed, ""},
	} {
		err := r.warmed(w.name, func() error {
			a, err := c.do("%s", w.command)
			if err == nil && a.untagged < w.lines {
				err = fmt.Errorf("%d untagged lines, want at least %d", a.untagged, w.lines)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// random opens a thousand letters here and there.
func (r *reading) random() error {
	rnd := rand.New(rand.NewPCG(3, uint64(r.account)))
	n := min(1000, len(r.letters))
	return r.timed(fmt.Sprintf("%d random FETCH BODY.PEEK[]", n), 1, func() error {
		for range n {
			if _, err := r.c.do("FETCH %d BODY.PEEK[]", 1+rnd.IntN(len(r.letters))); err != nil {
				return err
			}
		}
		return nil
	})
}

// appends files letters one by one, and over eight connections.
func (r *reading) appends() error {
	if _, err := r.c.do("CREATE Filed"); err != nil {
		return err
	}
	i, each := 0, min(125, len(r.letters)/8)
	err := r.timed("APPEND, one by one", each, func() error {
		i++
		return r.c.appendAll("Filed", r.some(i), 1)
	})
	if err != nil {
		return err
	}
	if r.offers("MULTIAPPEND") {
		batch := min(100, len(r.letters))
		err := r.timed(fmt.Sprintf("APPEND of %d at once", batch), 5, func() error {
			r.c.sendAppend("Filed", r.letters[:batch]...)
			if err := r.c.out.Flush(); err != nil {
				return err
			}
			_, err := r.c.answer()
			return err
		})
		if err != nil {
			return err
		}
	}
	conns := make([]*imapConn, 8)
	for i := range conns {
		if conns[i], err = r.h.login(r.account); err != nil {
			return err
		}
		defer conns[i].conn.Close()
	}
	return r.timed(fmt.Sprintf("APPEND %d over 8 connections", 8*each), 1, func() error {
		return together(8, func(i int) error {
			for k := range each {
				if err := conns[i].appendAll("Filed", r.some(i*each+k), 1); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// some is one letter.
func (r *reading) some(i int) []letter {
	i %= len(r.letters)
	return r.letters[i : i+1]
}

// together runs fn n times at once.
func together(n int, fn func(i int) error) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = fn(i) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// change runs the rows that change the whole mailbox.
func (r *reading) change() error {
	for _, name := range []string{"Kept", "Moved"} {
		if _, err := r.c.do("CREATE %s", name); err != nil {
			return err
		}
	}
	for _, w := range changes(len(r.letters)) {
		run := func() error { return r.ask(w) }
		err := error(nil)
		if w.name == "" {
			err = run()
		} else if r.offered(w) {
			err = r.timed(w.name, 1, run)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// logins comes and goes.
func (r *reading) logins() error {
	n := min(48, len(r.letters)/8)
	come := func(addr string, secure *tls.Config, account int) error {
		c, err := r.h.loginAt(addr, secure, account, readLittle)
		if err != nil {
			return err
		}
		defer c.conn.Close()
		_, err = c.do("LOGOUT")
		return err
	}
	if err := r.timed("connect, LOGIN, LOGOUT", n, func() error { return come(r.h.imap, nil, r.account) }); err != nil {
		return err
	}
	// Whose certificate it is does not matter on loopback, only what it costs.
	secure := &tls.Config{InsecureSkipVerify: true}
	if err := r.timed("connect, LOGIN, LOGOUT in TLS", n, func() error { return come(r.h.imaps, secure, r.account) }); err != nil {
		return err
	}
	return r.timed(fmt.Sprintf("%d logins, 8 at once", 4*n/8*8), 1, func() error {
		return together(8, func(i int) error {
			for range 4 * n / 8 {
				if err := come(r.h.imap, nil, r.account); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// coldRead runs the cold rows, each in a house that has just started with
// nothing in the page cache.
func (r *reading) coldRead(ctx context.Context) error {
	for _, w := range coldLooks(len(r.letters)) {
		if !r.offered(w) {
			continue
		}
		if err := r.h.cool(ctx); err != nil {
			return err
		}
		c, err := r.h.login(r.account)
		if err != nil {
			return err
		}
		r.c = c
		if w.command != "SELECT INBOX" {
			_, err = c.do("SELECT INBOX")
		}
		if err == nil {
			err = r.timed(w.name+", cold", 1, func() error { return r.ask(w) })
		}
		if err = errors.Join(err, c.conn.Close()); err != nil {
			return fmt.Errorf("%s: %w", r.h.name, err)
		}
	}
	return nil
}

// readCold fills a mailbox and runs the cold rows on it.
func (r *reading) readCold(ctx context.Context) error {
	c, err := r.h.login(r.account)
	if err != nil {
		return err
	}
	caps, err := c.do("CAPABILITY")
	r.caps = strings.ToUpper(caps.last)
	if err == nil {
		err = c.appendAll("INBOX", r.letters, 32)
	}
	if err = errors.Join(err, c.conn.Close()); err != nil {
		return err
	}
	return r.coldRead(ctx)
}
