package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
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

// row is one line of the IMAP table.
type row struct {
	name    string
	command string
	lines   int    // untagged answers there must be; 0: any number
	needs   string // the capability without which the row is left out
}

// What Thunderbird asks of every letter of a folder it opens.
const thunderbird = "UID FETCH 1:* (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To)])"

// looks are the rows that change nothing.
func looks(n int) []row {
	half := firstDate.Add(time.Duration(n/2) * letterEvery).Format("2-Jan-2006")
	return []row{
		{"FETCH 1:* (UID FLAGS)", "FETCH 1:* (UID FLAGS)", n, ""},
		{"FETCH a list: dates, size, ENVELOPE", "FETCH 1:* (FLAGS UID INTERNALDATE RFC822.SIZE ENVELOPE)", n, ""},
		{"FETCH BODYSTRUCTURE", "FETCH 1:* (UID BODYSTRUCTURE)", n, ""},
		{"FETCH the header set of Thunderbird", thunderbird, n, ""},
		{"FETCH BODY.PEEK[]", "FETCH 1:* BODY.PEEK[]", n, ""},
		{"SEARCH TEXT, rare word", "SEARCH TEXT " + rareWord, 1, ""},
		{"SEARCH TEXT, common word", "SEARCH TEXT " + commonWord, 1, ""},
		{"SEARCH BODY, rare word", "SEARCH BODY " + rareWord, 1, ""},
		{"SEARCH SUBJECT, rare word", "SEARCH SUBJECT " + rareSubject, 1, ""},
		{"SEARCH FROM", "SEARCH FROM person77", 1, ""},
		{"SEARCH UNSEEN", "SEARCH UNSEEN", 1, ""},
		{"SEARCH SINCE, half", "SEARCH SINCE " + half, 1, ""},
		{"SORT (REVERSE DATE)", "SORT (REVERSE DATE) UTF-8 ALL", 1, "SORT"},
		{"SORT (SUBJECT)", "SORT (SUBJECT) UTF-8 ALL", 1, "SORT"},
		{"THREAD REFERENCES", "THREAD REFERENCES UTF-8 ALL", 1, "THREAD=REFERENCES"},
	}
}

// coldLooks are the rows worth a look with nothing in the page cache.
func coldLooks(n int) []row {
	all := looks(n)
	return append([]row{{"SELECT", "SELECT INBOX", 0, ""}}, all[:6]...)
}

// changes are the rows that leave the mailbox another; each is durable in a
// house that flushes.
func changes(n int) []row {
	return []row{
		{"STORE 1:* +FLAGS (\\Flagged)", `STORE 1:* +FLAGS (\Flagged)`, 0, ""},
		{"STORE 1:* -FLAGS.SILENT (\\Flagged)", `STORE 1:* -FLAGS.SILENT (\Flagged)`, 0, ""},
		{"COPY 1:*", "COPY 1:* Kept", 0, ""},
		{"MOVE 1:*", "MOVE 1:* Moved", n, "MOVE"},
		{"", "SELECT Moved", 0, ""},
		{"STORE 1:* +FLAGS.SILENT (\\Deleted)", `STORE 1:* +FLAGS.SILENT (\Deleted)`, 0, ""},
		{"EXPUNGE", "EXPUNGE", n, ""},
	}
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
	r.caps = caps.last
	for _, step := range []func() error{r.fill, r.first, r.warm, r.random, r.appends, r.change, r.logins} {
		if err := step(); err != nil {
			return fmt.Errorf("%s: %w", r.h.name, err)
		}
	}
	return nil
}

// timed runs fn so many times and notes the median and the CPU time of one.
func (r *reading) timed(name string, times int, fn func() error) error {
	before := r.h.tree().cpu()
	var all []time.Duration
	for range times {
		start := time.Now()
		if err := fn(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, time.Since(start))
	}
	r.rows.note(name, r.h.name, figure{value: median(all).Seconds() * 1000, cpu: (r.h.tree().cpu() - before) / time.Duration(times)})
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

func (r *reading) offered(w row) bool {
	return w.needs == "" || strings.Contains(r.caps+" ", " "+w.needs+" ")
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
	for _, w := range looks(len(r.letters))[:6] {
		if err := r.timed(w.name+", first", 1, func() error { return r.ask(w) }); err != nil {
			return err
		}
	}
	return nil
}

// warm is the median of five.
func (r *reading) warm() error {
	err := r.timed("SELECT, fresh connection", 5, func() (err error) {
		c, err := r.h.login(r.account)
		if err != nil {
			return err
		}
		defer c.conn.Close()
		start := time.Now()
		_, err = c.do("SELECT INBOX")
		r.rows.note("SELECT, warm", r.h.name, figure{value: time.Since(start).Seconds() * 1000})
		return err
	})
	if err != nil {
		return err
	}
	rows := append([]row{{"STATUS", "STATUS INBOX (MESSAGES UNSEEN UIDNEXT UIDVALIDITY)", 1, ""}}, looks(len(r.letters))...)
	for _, w := range rows {
		if !r.offered(w) {
			continue
		}
		if err := r.timed(w.name, 5, func() error { return r.ask(w) }); err != nil {
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
		c, err := r.h.loginAt(addr, secure, account)
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
	if err := errors.Join(c.appendAll("INBOX", r.letters, 32), c.conn.Close()); err != nil {
		return err
	}
	return r.coldRead(ctx)
}
