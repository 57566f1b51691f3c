package managesieve_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"letterlock/sieve/managesieve"
)

// TestDialogues plays every file of testdata over real sockets against real
// files. A file reads:
//
//	# a comment
//	@option scripts=2 size=100 total=… peruser=… idle=50ms logintime=50ms    first
//	@file NAME … @end               octets, CRLF between its lines; @fill N adds so many
//	@load NAME PATH                 octets of a file
//	@dial NAME tls|plain            a connection, its greeting unread
//	@connect NAME tls|plain         the same, past the greeting
//	@login NAME [LOGIN]             as ann@example.org
//	@starttls NAME                  the client's side of the handshake
//	@closed NAME                    nothing more comes
//	@note TEXT                      something ann's scripts could not do
//	@drain                          the server is told to stop
//	C: text     the client sends a line     C-: text   without CRLF
//	C<: NAME    it sends a file             S<: NAME   it reads exactly the file
//	S: text     it reads a line; ... stands for anything
//	S*: text    it reads lines up to this one
//	NAME C: …   the same on another connection; the first is made by itself
//
// {NAME+} and {NAME} are a literal's announcement with the file's size, <0xHH>
// is an octet, and <plain AUTHZID LOGIN PASSWORD> a response of PLAIN.
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
			(&stage{t: t, files: map[string]string{}, clients: map[string]*client{}}).play(script)
		})
	}
}

// stage is one dialogue being played.
type stage struct {
	t       *testing.T
	house   *house
	options []func(*managesieve.Options)
	files   map[string]string
	clients map[string]*client
	number  int
}

func (s *stage) play(script []byte) {
	lines := bufio.NewScanner(bytes.NewReader(script))
	for lines.Scan() {
		s.number++
		line := lines.Text()
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "@file "):
			s.file(strings.TrimPrefix(line, "@file "), lines)
		case strings.HasPrefix(line, "@"):
			s.direct(strings.Fields(line))
		default:
			s.speak(line)
		}
	}
}

func (s *stage) fail(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("line %d: %s", s.number, fmt.Sprintf(format, args...))
}

func (s *stage) file(name string, lines *bufio.Scanner) {
	var text strings.Builder
	for lines.Scan() {
		s.number++
		if lines.Text() == "@end" {
			s.files[name] = octets(text.String())
			return
		}
		if n, ok := strings.CutPrefix(lines.Text(), "@fill "); ok {
			count, _ := strconv.Atoi(n)
			text.WriteString(strings.Repeat("#", count))
			continue
		}
		text.WriteString(lines.Text() + "\r\n")
	}
	s.fail("@file %s has no @end", name)
}

var (
	octetForm = regexp.MustCompile(`<0x([0-9A-Fa-f]{2})>`)
	plainForm = regexp.MustCompile(`<plain (\S*) (\S*) (\S*)>`)
)

func octets(text string) string {
	text = octetForm.ReplaceAllStringFunc(text, func(m string) string {
		n, _ := strconv.ParseUint(m[3:5], 16, 8)
		return string([]byte{byte(n)})
	})
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

func (s *stage) direct(words []string) {
	switch words[0] {
	case "@option":
		for _, w := range words[1:] {
			s.option(w)
		}
	case "@load":
		text, err := os.ReadFile(filepath.Join("testdata", words[2]))
		if err != nil {
			s.fail("%v", err)
		}
		s.files[words[1]] = string(text)
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
		if line, err := s.client(words[1]).line(); !errors.Is(err, io.EOF) || line != "" {
			s.fail("got %q, %v; want the connection closed", line, err)
		}
	case "@note":
		s.open().scripts.note(1, strings.Join(words[1:], " "))
	case "@drain":
		go s.house.stop()
	default:
		s.fail("unknown directive %s", words[0])
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
		s.fail("unknown option %s", word)
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
		s.fail("no connection %s", name)
	}
	c := s.open().dial("tls")
	c.answer()
	c.ok(`AUTHENTICATE "PLAIN" "` + plain("", "ann@example.org", secret) + `"`)
	s.clients[""] = c
	return c
}

var (
	spoken      = regexp.MustCompile(`^(?:(\w+) )?(C:|C-:|C<:|S:|S\*:|S<:)(?: (.*))?$`)
	literalForm = regexp.MustCompile(`\{([a-z][a-z0-9-]*)(\+?)\}`)
)

func (s *stage) speak(line string) {
	m := spoken.FindStringSubmatch(line)
	if m == nil {
		s.fail("cannot read %q", line)
	}
	c, text := s.client(m[1]), octets(literalForm.ReplaceAllStringFunc(m[3], s.announce))
	switch m[2] {
	case "C:":
		c.send(text + "\r\n")
	case "C-:":
		c.send(text)
	case "C<:":
		c.send(s.files[m[3]])
	case "S<:":
		s.expectFile(c, s.files[m[3]])
	case "S:":
		got, err := c.line()
		if err != nil {
			s.fail("got %q, %v\nwant %s", got, err, text)
		}
		if !like(got, text) {
			s.fail("\n got %s\nwant %s", got, text)
		}
	case "S*:":
		for {
			got, err := c.line()
			if err != nil {
				s.fail("got %q, %v\nwant %s", got, err, text)
			}
			if like(got, text) {
				return
			}
		}
	}
}

func (s *stage) announce(m string) string {
	parts := literalForm.FindStringSubmatch(m)
	text, ok := s.files[parts[1]]
	if !ok {
		s.fail("no file %s", parts[1])
	}
	return fmt.Sprintf("{%d%s}", len(text), parts[2])
}

func (s *stage) expectFile(c *client, want string) {
	got := make([]byte, len(want))
	n, err := io.ReadFull(c.r, got)
	if err != nil || string(got) != want {
		s.fail("%v\n got %q\nwant %q", err, got[:n], want)
	}
}

// like says whether got is want, where ... stands for anything.
func like(got, want string) bool {
	parts := strings.Split(want, "...")
	if len(parts) == 1 {
		return got == want
	}
	rest, ok := strings.CutPrefix(got, parts[0])
	if !ok {
		return false
	}
	last := parts[len(parts)-1]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, p)
		if i < 0 {
			return false
		}
		rest = rest[i+len(p):]
	}
	return strings.HasSuffix(rest, last) && len(rest) >= len(last)
}
