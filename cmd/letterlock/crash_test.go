package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const password = "correct horse"

const testConfig = `hostname = "localhost"
[address]
domain = "example.org"
[lmtp]
listen = ["127.0.0.1:0"]
[imap]
listen = ["127.0.0.1:0", "tls:127.0.0.1:0"]
[managesieve]
listen = []
[admin]
listen = ["127.0.0.1:0"]
`

// town is a server with people, in a folder that outlives its crashes.
type town struct {
	*child
	t      *testing.T
	dir    string
	people []string
	trust  *x509.CertPool
}

func newTown(t *testing.T, people ...string) *town {
	t.Helper()
	return newTownWith(t, testConfig, people...)
}

func newTownWith(t *testing.T, config string, people ...string) *town {
	t.Helper()
	w := &town{t: t, dir: t.TempDir(), people: people, trust: x509.NewCertPool()}
	if err := os.WriteFile(filepath.Join(w.dir, "letterlock.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, who := range people {
		add := exec.Command("letterlock", "user", "add", who, "--password-stdin")
		add.Dir, add.Stdin = w.dir, strings.NewReader(password+"\n")
		if out, err := add.CombinedOutput(); err != nil {
			t.Fatalf("user add: %v\n%s", err, out)
		}
	}
	w.start()
	ca, err := os.ReadFile(filepath.Join(w.dir, "data/tls/ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	w.trust.AppendCertsFromPEM(ca)
	return w
}

func (w *town) start(args ...string) {
	w.t.Helper()
	c, err := startServer(w.dir, os.Environ(), args...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.kill)
	w.child = c
}

// crash kills the server as it stands and starts it again.
func (w *town) crash() {
	w.t.Helper()
	if err := w.signal(syscall.SIGKILL); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.end(); err != nil {
		w.t.Fatal(err)
	}
	w.start()
}

// mta opens an LMTP session.
func (w *town) mta() (*line, error) {
	conn, err := net.Dial("tcp", w.lmtp)
	if err != nil {
		return nil, err
	}
	l, err := newLine(conn)
	return l, errors.Join(err, l.expect("^220 "), l.ask("LHLO test.example", "^250 "))
}

// ask sends a line and waits for a reply that fits.
func (l *line) ask(text, pattern string) error {
	if _, err := fmt.Fprintf(l.conn, "%s\r\n", text); err != nil {
		return err
	}
	return l.expect(pattern)
}

// post hands one letter over; nil is its 250.
func (l *line) post(to, subject string) error {
	for _, step := range [][2]string{
		{"MAIL FROM:<bob@example.net>", "^250 "},
		{"RCPT TO:<" + to + "@example.org>", "^250 "},
		{"DATA", "^354 "},
		{"Subject: " + subject + "\r\n\r\nHello.\r\n.", "^250 "},
	} {
		if err := l.ask(step[0], step[1]); err != nil {
			return fmt.Errorf("after %q: %w", step[0], err)
		}
	}
	return nil
}

// subjects reads how often each subject lies in somebody's inbox.
func (w *town) subjects(who string) map[string]int {
	w.t.Helper()
	conn, err := tls.Dial("tcp", w.imaps, &tls.Config{RootCAs: w.trust, ServerName: "localhost"})
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "a LOGIN %s %q\r\nb EXAMINE INBOX\r\nc UID FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]\r\n", who, password)
	found := map[string]int{}
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		text := lines.Text()
		if subject, ok := strings.CutPrefix(text, "Subject: "); ok {
			found[subject]++
		}
		if _, answer, tagged := strings.Cut(text, " "); tagged && len(text) > 1 && text[1] == ' ' && strings.Contains("abc", text[:1]) {
			if !strings.HasPrefix(answer, "OK") {
				w.t.Fatalf("%s reads: %s", who, text)
			}
			if text[0] == 'c' {
				return found
			}
		}
	}
	w.t.Fatalf("%s gets no answer", who)
	return nil
}

// rounds is how often a test crashes the server. LETTERLOCK_CRASH_ROUNDS says
// how often in the long form, which make crash runs.
func rounds(t *testing.T, short int) int {
	t.Helper()
	s := os.Getenv("LETTERLOCK_CRASH_ROUNDS")
	if s == "" {
		return short
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The server dies the moment the 250 is read.
func TestKilledRightAfter250LosesNothing(t *testing.T) {
	w := newTown(t, "ann")
	for round := range rounds(t, 10) {
		l, err := w.mta()
		if err != nil {
			t.Fatal(err)
		}
		if err := l.post("ann", strconv.Itoa(round)); err != nil {
			t.Fatal(err)
		}
		w.crash()
		l.conn.Close()
		found := w.subjects("ann")
		for i := range round + 1 {
			if got := found[strconv.Itoa(i)]; got != 1 {
				t.Fatalf("after crash %d letter %d is there %d times, want once", round, i, got)
			}
		}
	}
}

// The server dies while four MTAs deliver to three people: what was answered
// 250 is there once, what was not is there at most once.
func TestKilledUnderLoadKeepsEachLetterOnce(t *testing.T) {
	w := newTown(t, "ann", "ben", "cid")
	acknowledged := map[string]map[string]bool{}
	for _, who := range w.people {
		acknowledged[who] = map[string]bool{}
	}
	for round := range rounds(t, 4) {
		l := load{town: w, round: round, acknowledged: acknowledged, enough: make(chan struct{})}
		l.run(20 + 7*(round%9))
		for _, who := range w.people {
			found := w.subjects(who)
			for subject, n := range found {
				if n != 1 {
					t.Errorf("after crash %d %s has letter %s %d times", round, who, subject, n)
				}
			}
			for subject := range acknowledged[who] {
				if found[subject] == 0 {
					t.Errorf("after crash %d %s lost letter %s", round, who, subject)
				}
			}
		}
		if t.Failed() {
			return
		}
	}
}

// load is four MTAs until the server dies.
type load struct {
	*town
	round  int
	enough chan struct{} // closed when the server may die

	mu           sync.Mutex // guards all below
	acknowledged map[string]map[string]bool
	letters      int
	until        int
}

// run crashes the server when that many letters were acknowledged.
func (l *load) run(letters int) {
	l.until = letters
	var mtas sync.WaitGroup
	for n := range 4 {
		conn, err := l.mta()
		if err != nil {
			l.t.Fatal(err)
		}
		mtas.Go(func() { l.deliver(n, conn) })
	}
	select {
	case <-l.enough:
	case <-time.After(patience):
		l.t.Error("the load did not come about")
	}
	l.crash()
	mtas.Wait()
}

// deliver posts until the server is gone.
func (l *load) deliver(mta int, conn *line) {
	defer conn.conn.Close()
	for n := 0; ; n++ {
		who := l.people[(mta+n)%len(l.people)]
		subject := fmt.Sprintf("%d-%d-%d", l.round, mta, n)
		if conn.post(who, subject) != nil {
			return
		}
		l.note(who, subject)
	}
}

func (l *load) note(who, subject string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acknowledged[who][subject] = true
	if l.letters++; l.letters == l.until {
		close(l.enough)
	}
}
