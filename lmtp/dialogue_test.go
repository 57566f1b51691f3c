package lmtp_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/serve"
	"letterlock/lmtp"
)

// TestDialogues plays testdata/*.txt and testdata/defects/*.txt over TCP and over a UNIX socket, each with
// a server of its own. A line is one of
//
//	C: text          the client sends text and CRLF; lines in a row are one write
//	C* "text"        the same with Go's escapes and without CRLF
//	S: text          the server's next line; * stands for anything
//	CONNECT name     a new connection; ON name goes back to another one
//	TLS              the client shakes hands
//	CLOSED           the server has hung up and said nothing more
//	CUT              the client hangs up
//	GOT from to rcpt, demand, with PROTOCOL
//	ASKED address: notify, return, "envid", type;"original"   of the letter GOT last
//	BODY "text"      of the letter GOT last, with Go's escapes
//	NOTHING          no letter was delivered that GOT has not named
//	OPTION name [value]   max_size, idle, trust_header, dsn; before all else
//
// A first connection is there from the start.
func TestDialogues(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txt")
	defects, _ := filepath.Glob("testdata/defects/*.txt")
	if len(files) == 0 || len(defects) == 0 {
		t.Fatal("no dialogues")
	}
	files = append(files, defects...)
	for _, file := range files {
		script, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, network := range []string{"tcp", "unix"} {
			t.Run(strings.TrimPrefix(file, "testdata/")+"/"+network, func(t *testing.T) {
				t.Parallel()
				play(t, network, string(script))
			})
		}
	}
}

// stage is where a dialogue is played.
type stage struct {
	network string
	door    *door
	clients map[string]*client
	on      *client
	pending string // said and not sent yet
	got     int    // letters GOT has named
}

func play(t *testing.T, network, script string) {
	s := &stage{network: network, clients: map[string]*client{}}
	var settings []setting
	for i, line := range strings.Split(script, "\n") {
		word, rest, _ := strings.Cut(line, " ")
		if word == "OPTION" {
			settings = append(settings, option(t, rest))
			continue
		}
		if line == "" || word == "#" {
			continue
		}
		if s.door == nil {
			s.door = openDoor(t, settings...)
			s.connect(t, "first")
		}
		if !s.act(t, word, rest) || t.Failed() {
			t.Fatalf("line %d: %s", i+1, line)
		}
	}
}

func option(t *testing.T, s string) setting {
	name, value, _ := strings.Cut(s, " ")
	switch name {
	case "max_size":
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return maxSize(n)
	case "idle":
		d, err := time.ParseDuration(value)
		if err != nil {
			t.Fatal(err)
		}
		return func(o *lmtp.Options, _ *serve.Options) { o.Idle = d }
	case "dsn":
		return offerDSN
	case "trust_header":
		return func(o *lmtp.Options, _ *serve.Options) {
			o.RequireTLSHeader = requireTLSField
			o.TrustHeader = func(e serve.Endpoint) bool { return !e.ImplicitTLS }
		}
	}
	t.Fatalf("option %s", s)
	return nil
}

func (s *stage) connect(t *testing.T, name string) {
	s.on = s.door.dial(t, s.network)
	s.clients[name] = s.on
}

func (s *stage) flush() {
	if s.pending != "" {
		s.on.send(s.pending)
		s.pending = ""
	}
}

// act plays one line; false says that it went wrong.
func (s *stage) act(t *testing.T, word, rest string) bool {
	if word != "C:" && word != "C*" {
		s.flush()
	}
	switch word {
	case "C:":
		s.pending += rest + "\r\n"
	case "C*":
		s.pending += unquote(t, rest)
	case "S:":
		got := s.on.line()
		if !matches(rest, got) {
			t.Errorf("got S: %s", got)
		}
	case "CONNECT":
		s.connect(t, rest)
	case "ON":
		s.on = s.clients[rest]
	case "TLS":
		s.on.handshake()
	case "CLOSED":
		s.on.closed()
	case "CUT":
		s.on.cut()
	case "GOT":
		letters := s.door.box.taken()
		if s.got >= len(letters) {
			t.Error("nothing was delivered")
			return false
		}
		if got := letters[s.got].String(); !matches(rest, got) {
			t.Errorf("got %s", got)
		}
		s.got++
	case "ASKED":
		if got := asked(s.door.box.taken()[s.got-1].env.DSN, rest); got != rest {
			t.Errorf("got %s", got)
		}
	case "BODY":
		if got, want := s.door.box.taken()[s.got-1].body, unquote(t, rest); got != want {
			t.Errorf("got %q", got)
		}
	case "NOTHING":
		if more := s.door.box.taken()[s.got:]; len(more) > 0 {
			t.Errorf("delivered %v", more)
		}
	default:
		t.Errorf("no such line")
	}
	return !t.Failed()
}

func unquote(t *testing.T, s string) string {
	u, err := strconv.Unquote(s)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return u
}

func offerDSN(o *lmtp.Options, _ *serve.Options) { o.DSN = true }

// asked is what an envelope says of one of its recipients, in the words of
// ASKED.
func asked(all map[mail.Address]mail.DSN, line string) string {
	name, _, _ := strings.Cut(line, ": ")
	for rcpt, d := range all {
		if rcpt.String() == name {
			return fmt.Sprintf("%s: %04b, %d, %q, %s;%q", name, d.Notify, d.Return, d.EnvID, d.ORcptType, d.ORcpt)
		}
	}
	return name + ": nothing"
}
