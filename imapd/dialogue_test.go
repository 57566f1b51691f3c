package imapd_test

import (
	"bufio"
	"bytes"
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

	"letterlock/imapd"
	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
)

// TestDialogues plays every file of testdata over real sockets against a real
// store. A file reads:
//
//	# a comment
//	@option cleartext=local             how the server is set up; first
//	@file NAME … @end                   a message, CRLF between its lines; @fill N adds so many octets
//	@store MAILBOX FILE [required] [\Seen …]    a message that is there
//	@connect NAME tls|plain             another connection, its greeting read; hiding and hiding-tls are
//	                                    to the address that hides REQUIRETLS mail
//	@dial NAME tls|plain                the same, its greeting unread
//	@login NAME                         as ann
//	@starttls NAME                      the client's side of the handshake
//	@closed NAME                        nothing more comes
//	@drain                              the server is told to stop
//	C: text     the client sends a line     C-: text   without CRLF
//	C<: NAME    it sends a file             S<: NAME   it reads exactly the file
//	S: text     it reads a line; ... stands for anything
//	NAME C: …   the same on another connection; the first is made by itself
//
// {NAME} and {NAME+} are a literal's announcement with the file's size, and
// <0xHH> is an octet. %NAME% in an S: line takes down what stands there, and is
// that from then on.
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
	options []func(*imapd.Options)
	files   map[string]string
	clients map[string]*client
	taken   map[string]string // by %NAME%
	line    int
}

func (s *stage) play(script []byte) {
	lines := bufio.NewScanner(bytes.NewReader(script))
	for lines.Scan() {
		s.line++
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
	s.t.Fatalf("line %d: %s", s.line, fmt.Sprintf(format, args...))
}

func (s *stage) file(name string, lines *bufio.Scanner) {
	var text strings.Builder
	for lines.Scan() {
		s.line++
		if lines.Text() == "@end" {
			s.files[name] = octets(text.String())
			return
		}
		if n, ok := strings.CutPrefix(lines.Text(), "@fill "); ok {
			octets, _ := strconv.Atoi(n)
			text.WriteString(strings.Repeat(strings.Repeat("x", 78)+"\r\n", octets/80))
			continue
		}
		text.WriteString(lines.Text() + "\r\n")
	}
	s.fail("@file %s has no @end", name)
}

var octetForm = regexp.MustCompile(`<0x([0-9A-Fa-f]{2})>`)

func octets(text string) string {
	return octetForm.ReplaceAllStringFunc(text, func(m string) string {
		n, _ := strconv.ParseUint(m[3:5], 16, 8)
		return string([]byte{byte(n)})
	})
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
	case "@store":
		s.store(words[1:])
	case "@connect":
		s.dial(words[1], words[2]).line()
	case "@dial":
		s.dial(words[1], words[2])
	case "@login":
		s.client(words[1]).ok("LOGIN ann@example.org " + secret)
	case "@starttls":
		s.client(words[1]).startTLS()
	case "@compress":
		s.client(words[1]).compress()
	case "@uncompress":
		s.client(words[1]).uncompress()
	case "@closed":
		if line, err := s.client(words[1]).tryLine(); !errors.Is(err, io.EOF) || line != "" {
			s.fail("got %q, %v; want the connection closed", line, err)
		}
	case "@drain":
		go s.house.stop()
	default:
		s.fail("unknown directive %s", words[0])
	}
}

func (s *stage) option(word string) {
	key, value, _ := strings.Cut(word, "=")
	number, _ := strconv.Atoi(value)
	set, known := map[string]func(*imapd.Options){
		"cleartext": func(o *imapd.Options) { o.Cleartext.Local = value == "local" },
		"release": func(o *imapd.Options) {
			o.Release = map[string]requiretls.Policy{"tls": requiretls.PolicyTLS, "bound": requiretls.PolicyBound, "local": requiretls.PolicyLocal}[value]
		},
		"notice": func(o *imapd.Options) {
			o.Notice = map[string]imapd.Notice{"count": imapd.NoticeCount, "generic": imapd.NoticeGeneric, "off": imapd.NoticeOff}[value]
		},
		"max":     func(o *imapd.Options) { o.MaxMessage = int64(number) },
		"peruser": func(o *imapd.Options) { o.MaxPerUser = number },
		"autologout": func(o *imapd.Options) {
			o.Autologout = time.Duration(number) * time.Millisecond
		},
		"insecure": func(o *imapd.Options) {
			o.Insecure = map[string]imapd.Insecure{"withhold": imapd.InsecureWithhold, "refuse": imapd.InsecureRefuse}[value]
		},
		"quotaadmin": func(o *imapd.Options) {
			o.QuotaAdmin = func(a mail.Address) bool { return a.Local == "bob" }
		},
		"unauthenticate": func(o *imapd.Options) { o.NoUnauthenticate = value == "off" },
		"logintime":      func(o *imapd.Options) { o.LoginTime = time.Duration(number) * time.Millisecond },
	}[key]
	if !known {
		s.fail("unknown option %s", word)
	}
	s.options = append(s.options, set)
}

func (s *stage) store(words []string) {
	l := letter{mailbox: words[0], text: s.files[words[1]]}
	if l.text == "" {
		s.fail("no file %s", words[1])
	}
	for _, w := range words[2:] {
		switch w {
		case "required":
			l.demand = requiretls.Required()
		case "waived":
			l.demand = requiretls.Waived()
		default:
			if date, err := time.Parse(time.RFC3339, w); err == nil {
				l.date = date
				continue
			}
			l.flags = append(l.flags, w)
		}
	}
	s.open().deliver(l)
}

func (s *stage) dial(name, how string) *client {
	c := s.open().dial(name, how)
	s.clients[name] = c
	return c
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
	s.clients[""] = s.open().loggedIn("", "tls")
	return s.clients[""]
}

var (
	spoken      = regexp.MustCompile(`^(?:(\w+) )?(C:|C-:|C<:|S:|S<:)(?: (.*))?$`)
	takenForm   = regexp.MustCompile(`%[a-z]+%`)
	takenValue  = regexp.MustCompile(`^[^\s()\[\]]+`)
	literalForm = regexp.MustCompile(`\{([a-z][a-z0-9-]*)(\+?)\}`)
)

func (s *stage) speak(line string) {
	m := spoken.FindStringSubmatch(line)
	if m == nil {
		s.fail("cannot read %q", line)
	}
	c, text := s.client(m[1]), octets(literalForm.ReplaceAllStringFunc(m[3], s.announce))
	text = takenForm.ReplaceAllStringFunc(text, func(name string) string {
		if value, known := s.taken[name]; known {
			return value
		}
		return name
	})
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
		got, err := c.tryLine()
		if err != nil {
			s.fail("got %q, %v\nwant %s", got, err, text)
		}
		if text = s.takeDown(got, text); !like(got, text) {
			s.fail("\n got %s\nwant %s", got, text)
		}
	}
}

// takeDown notes what stands in got where want has a %NAME%, and fills it in.
func (s *stage) takeDown(got, want string) string {
	for name := takenForm.FindString(want); name != ""; name = takenForm.FindString(want) {
		before, _, _ := strings.Cut(want, name)
		pieces := strings.Split(before, "...")
		_, after, found := strings.Cut(got, pieces[len(pieces)-1])
		value := takenValue.FindString(after)
		if !found || value == "" {
			return want
		}
		if s.taken == nil {
			s.taken = map[string]string{}
		}
		s.taken[name] = value
		want = strings.ReplaceAll(want, name, value)
	}
	return want
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
