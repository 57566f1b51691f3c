package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/rogpeppe/go-internal/testscript"
)

// TestIMAPPeers plays the stories of people who read their mail with the
// programs of Debian's packages, over IMAPS, against the real server. It runs
// where LETTERLOCK_PEERS is set, as `make peers` sets it; a story whose program
// is not installed is skipped. Beside what TestScripts has there are:
//
//	house                     letterlock serve with ann@example.org, until ready; $HOST, $PORT and $CA say where;
//	                          every file named *.rc is filled
//	letter SUBJECT            somebody sends ann a letter
//	another BOX COMMAND ARG…  another client of hers: flag SET FLAG, unflag SET FLAG, delete SET, copy SET TO, move SET TO
//	counts BOX N CRITERION…   a search in her mailbox finds N: all, seen, unseen, flagged, answered, draft, deleted, subject=TEXT,
//	                          keyword=FLAG
//	comes BOX N CRITERION…    waits until it does
//	terminal FILE             runs the command line in FILE at a terminal
func TestIMAPPeers(t *testing.T) {
	if os.Getenv("LETTERLOCK_PEERS") == "" {
		t.Skip("skipped: LETTERLOCK_PEERS is not set")
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/peers_imap",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Values[stageKey{}] = &stage{dir: env.WorkDir, lines: map[string]*line{}}
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("NO_COLOR", "1")
			env.Defer(env.Values[stageKey{}].(*stage).clear)
			return os.Chmod(env.WorkDir, 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"house":    onStage((*stage).house),
			"letter":   onStage((*stage).letter),
			"another":  onStage((*stage).another),
			"counts":   onStage((*stage).counts),
			"comes":    onStage((*stage).comes),
			"terminal": onStage((*stage).terminal),
			"logged":   onStage((*stage).logged),
		},
	})
}

const peerConfig = `hostname = "localhost"
[address]
domain = "example.org"
[lmtp]
listen = ["127.0.0.1:0"]
[imap]
listen = ["127.0.0.1:0", "tls:127.0.0.1:0"]
[managesieve]
listen = ["127.0.0.1:0"]
[admin]
listen = ["127.0.0.1:0"]
`

const peerPassword = "correct horse"

func (s *stage) house(ts *testscript.TestScript, _ []string) error {
	if err := os.WriteFile(filepath.Join(s.dir, "letterlock.toml"), []byte(peerConfig), 0o600); err != nil {
		return err
	}
	add := exec.Command("letterlock", "user", "add", "ann", "--password-stdin")
	add.Dir, add.Stdin = s.dir, strings.NewReader(peerPassword+"\n")
	if out, err := add.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	if err := s.serve(ts, nil); err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(s.server.imaps)
	if err != nil {
		return err
	}
	ts.Setenv("HOST", "localhost")
	ts.Setenv("PORT", port)
	ts.Setenv("CA", filepath.Join(s.dir, "data/tls/ca.pem"))
	files, err := filepath.Glob(filepath.Join(s.dir, "*.rc"))
	for _, file := range files {
		err = errors.Join(err, s.fill(ts, []string{filepath.Base(file)}), os.Chmod(file, 0o600)) // passwords are in them
	}
	return err
}

// letter delivers over LMTP, and waits until it is answered for.
func (s *stage) letter(_ *testscript.TestScript, args []string) error {
	conn, err := net.Dial("tcp", s.server.lmtp)
	if err != nil {
		return err
	}
	defer conn.Close()
	l, err := newLine(conn)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("From: Bob <bob@example.net>\r\nTo: ann@example.org\r\nSubject: %s\r\nMessage-ID: <%d@example.net>\r\nDate: %s\r\n\r\nThe text of %s.\r\n.\r\n",
		args[0], time.Now().UnixNano(), time.Now().Format(time.RFC1123Z), args[0])
	for _, step := range []struct{ say, hear string }{
		{"", "^220 "}, {"LHLO mx.example.net\r\n", "^250 "}, {"MAIL FROM:<bob@example.net>\r\n", "^250 "},
		{"RCPT TO:<ann@example.org>\r\n", "^250 "}, {"DATA\r\n", "^354 "}, {text, "^250 "},
	} {
		if _, err := io.WriteString(conn, step.say); err != nil {
			return err
		}
		if err := l.expect(step.hear); err != nil {
			return fmt.Errorf("after %q: %w", step.say, err)
		}
	}
	return nil
}

// logIn is one more client of ann's.
func (s *stage) logIn(box string) (*imapclient.Client, error) {
	ca, err := os.ReadFile(filepath.Join(s.dir, "data/tls/ca.pem"))
	if err != nil {
		return nil, err
	}
	trust := x509.NewCertPool()
	trust.AppendCertsFromPEM(ca)
	c, err := imapclient.DialTLS(s.server.imaps, &imapclient.Options{TLSConfig: &tls.Config{RootCAs: trust, ServerName: "localhost"}})
	if err != nil {
		return nil, err
	}
	if err = c.Login("ann@example.org", peerPassword).Wait(); err == nil {
		_, err = c.Select(box, nil).Wait()
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (s *stage) another(_ *testscript.TestScript, args []string) error {
	c, err := s.logIn(args[0])
	if err != nil {
		return err
	}
	defer c.Close()
	var set imap.SeqSet
	for number := range strings.SplitSeq(args[2], ",") {
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return err
		}
		set.AddNum(uint32(n))
	}
	switch args[1] {
	case "flag":
		return c.Store(set, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.Flag(args[3])}}, nil).Close()
	case "unflag":
		return c.Store(set, &imap.StoreFlags{Op: imap.StoreFlagsDel, Flags: []imap.Flag{imap.Flag(args[3])}}, nil).Close()
	case "copy":
		_, err := c.Copy(set, args[3]).Wait()
		return err
	case "move":
		_, err := c.Move(set, args[3]).Wait()
		return err
	case "delete":
		if err := c.Store(set, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close(); err != nil {
			return err
		}
		return c.Expunge().Close()
	}
	return fmt.Errorf("another client does not %s", args[1])
}

func (s *stage) counts(_ *testscript.TestScript, args []string) error {
	c, err := s.logIn(args[0])
	if err != nil {
		return err
	}
	defer c.Close()
	criteria := &imap.SearchCriteria{}
	for _, word := range args[2:] {
		if err := narrow(criteria, word); err != nil {
			return err
		}
	}
	found, err := c.Search(criteria, nil).Wait()
	if err != nil {
		return err
	}
	if got := strconv.Itoa(len(found.AllSeqNums())); got != args[1] {
		return fmt.Errorf("%s has %s of %v, want %s", args[0], got, args[2:], args[1])
	}
	return nil
}

func (s *stage) comes(ts *testscript.TestScript, args []string) error {
	over := time.After(patience)
	for {
		err := s.counts(ts, args)
		if err == nil {
			return nil
		}
		select {
		case <-over:
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func narrow(c *imap.SearchCriteria, word string) error {
	flags := map[string]imap.Flag{"seen": imap.FlagSeen, "flagged": imap.FlagFlagged, "answered": imap.FlagAnswered, "draft": imap.FlagDraft, "deleted": imap.FlagDeleted}
	subject, isSubject := strings.CutPrefix(word, "subject=")
	keyword, isKeyword := strings.CutPrefix(word, "keyword=")
	switch {
	case word == "all":
	case isSubject:
		c.Header = append(c.Header, imap.SearchCriteriaHeaderField{Key: "Subject", Value: subject})
	case isKeyword:
		c.Flag = append(c.Flag, imap.Flag(keyword))
	case flags[word] != "":
		c.Flag = append(c.Flag, flags[word])
	case flags[strings.TrimPrefix(word, "un")] != "":
		c.NotFlag = append(c.NotFlag, flags[strings.TrimPrefix(word, "un")])
	default:
		return fmt.Errorf("no criterion %s", word)
	}
	return nil
}

// terminal runs a program that insists on one, and shows what it showed where
// it fails.
func (s *stage) terminal(ts *testscript.TestScript, args []string) error {
	command := strings.TrimSpace(os.Expand(ts.ReadFile(args[0]), ts.Getenv))
	run := exec.Command("timeout", "60", "script", "-qec", command, "/dev/null")
	run.Dir = s.dir
	run.Env = append(os.Environ(), "HOME="+s.dir, "TERM=xterm", "COLUMNS=120", "LINES=40")
	out, err := run.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%q", command, err, bytes.TrimSpace(out))
	}
	return nil
}
