package managesieve_test

import (
	"encoding/base64"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"letterlock/internal/dialogue"
	"letterlock/sieve/managesieve"
)

// TestDialogues plays every file of testdata over real sockets against real
// files. A file reads as [dialogue.Player] says, with ... for anything, and:
//
//	@option scripts=2 size=100 total=… peruser=… idle=50ms logintime=50ms    first
//	@load NAME PATH                 octets of a file
//	@dial NAME tls|plain            a connection, its greeting unread
//	@connect NAME tls|plain         the same, past the greeting
//	@login NAME [LOGIN]             as ann@example.org
//	@starttls NAME                  the client's side of the handshake
//	@closed NAME                    nothing more comes
//	@note TEXT                      something ann's scripts could not do
//	@drain                          the server is told to stop
//
// The first connection is made by itself, and <plain AUTHZID LOGIN PASSWORD> is a
// response of PLAIN.
func TestDialogues(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dialogues: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			script, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			newStage(t).Play(script)
		})
	}
}

// stage is one dialogue being played.
type stage struct {
	dialogue.Player
	t       *testing.T
	house   *house
	options []func(*managesieve.Options)
	clients map[string]*client
}

func newStage(t *testing.T) *stage {
	s := &stage{t: t, clients: map[string]*client{}}
	s.Player = dialogue.Player{
		T: t, Anything: "...", Do: s.direct, Spell: spellPlain,
		Client: func(name string) *dialogue.Client { return s.client(name).Client },
		Fill:   func(n int) string { return strings.Repeat("#", n) },
	}
	return s
}

var plainForm = regexp.MustCompile(`<plain (\S*) (\S*) (\S*)>`)

func spellPlain(text string) string {
	return plainForm.ReplaceAllStringFunc(text, func(m string) string {
		parts := plainForm.FindStringSubmatch(m)
		return plain(strings.Trim(parts[1], "-"), parts[2], parts[3])
	})
}

func plain(authzid, login, password string) string {
	return base64.StdEncoding.EncodeToString([]byte(authzid + "\x00" + login + "\x00" + password))
}

func (s *stage) open() *house {
	if s.house == nil {
		s.house = openHouse(s.t, s.options...)
	}
	return s.house
}

func (s *stage) direct(directive, rest string) {
	words := append([]string{directive}, strings.Fields(rest)...)
	switch directive {
	case "@option":
		for _, w := range words[1:] {
			s.option(w)
		}
	case "@load":
		text, err := os.ReadFile(filepath.Join("testdata", words[2]))
		if err != nil {
			s.Fail("%v", err)
		}
		s.SetFile(words[1], string(text))
	case "@dial":
		s.clients[words[1]] = s.open().dial(words[2])
	case "@connect":
		s.clients[words[1]] = s.open().dial(words[2])
		s.clients[words[1]].answer()
	case "@login":
		login := "ann@example.org"
		if len(words) > 2 {
			login = words[2]
		}
		s.client(words[1]).ok(`AUTHENTICATE "PLAIN" "` + plain("", login, secret) + `"`)
	case "@starttls":
		s.client(words[1]).startTLS()
	case "@closed":
		if line, err := s.client(words[1]).TryLine(); !errors.Is(err, io.EOF) || line != "" {
			s.Fail("got %q, %v; want the connection closed", line, err)
		}
	case "@note":
		s.open().scripts.note(1, rest)
	case "@drain":
		go s.house.stop()
	default:
		s.Fail("cannot read %q", strings.Join(words, " "))
	}
}

func (s *stage) option(word string) {
	key, value, _ := strings.Cut(word, "=")
	number, _ := strconv.Atoi(value)
	wait, _ := time.ParseDuration(value)
	set, known := map[string]func(*managesieve.Options){
		"scripts":   func(o *managesieve.Options) { o.Quota.Scripts = number },
		"size":      func(o *managesieve.Options) { o.Quota.Size = int64(number) },
		"total":     func(o *managesieve.Options) { o.Quota.Total = int64(number) },
		"peruser":   func(o *managesieve.Options) { o.MaxPerUser = number },
		"idle":      func(o *managesieve.Options) { o.Idle = wait },
		"logintime": func(o *managesieve.Options) { o.LoginTime = wait },
		"allowed":   func(o *managesieve.Options) { o.Logins.Allowed = strings.Split(value, ",") },
	}[key]
	if !known {
		s.Fail("unknown option %s", word)
	}
	s.options = append(s.options, set)
}

// client is the connection of that name; the unnamed one is made and logged in
// when it is first used.
func (s *stage) client(name string) *client {
	if c := s.clients[name]; c != nil {
		return c
	}
	if name != "" {
		s.Fail("no connection %s", name)
	}
	c := s.open().dial("tls")
	c.answer()
	c.ok(`AUTHENTICATE "PLAIN" "` + plain("", "ann@example.org", secret) + `"`)
	s.clients[""] = c
	return c
}
