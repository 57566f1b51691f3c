package lmtp_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"letterlock/internal/dialogue"
	"letterlock/internal/mail"
	"letterlock/internal/serve"
	"letterlock/lmtp"
)

// TestDialogues plays testdata/*.txt and testdata/defects/*.txt over TCP and over a UNIX socket, each with
// a server of its own. A file reads as [dialogue.Player] says, with * for anything
// and client's lines in a row as one write, and:
//
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
				newStage(t, network).Play(script)
			})
		}
	}
}

// stage is where a dialogue is played.
type stage struct {
	dialogue.Player
	t        *testing.T
	network  string
	settings []setting
	door     *door
	clients  map[string]*client
	on       *client
	got      int // letters GOT has named
}

func newStage(t *testing.T, network string) *stage {
	s := &stage{t: t, network: network, clients: map[string]*client{}}
	s.Player = dialogue.Player{T: t, Anything: "*", Together: true, Do: s.act, Client: s.speaking}
	return s
}

// speaking is the connection whose turn it is: no line names one.
func (s *stage) speaking(name string) *dialogue.Client {
	if name != "" {
		s.Fail("a line cannot name a connection: ON %s", name)
	}
	return s.current().Client
}

// current is that connection, or the first.
func (s *stage) current() *client {
	if s.door == nil {
		s.door = openDoor(s.t, s.settings...)
		s.connect("first")
	}
	return s.on
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

func (s *stage) connect(name string) {
	s.on = s.door.dial(s.t, s.network)
	s.clients[name] = s.on
}

// act plays a line that is not said by either side.
func (s *stage) act(word, rest string) {
	if word == "OPTION" {
		if s.door != nil {
			s.Fail("an option comes first")
		}
		s.settings = append(s.settings, option(s.t, rest))
		return
	}
	on := s.current()
	switch word {
	case "CONNECT":
		s.connect(rest)
	case "ON":
		if s.on = s.clients[rest]; s.on == nil {
			s.Fail("no connection %s", rest)
		}
	case "TLS":
		on.handshake()
	case "CLOSED":
		on.closed()
	case "CUT":
		on.cut()
	case "GOT":
		letters := s.door.box.taken()
		if s.got >= len(letters) {
			s.Fail("nothing was delivered; want %s", rest)
		}
		if got := letters[s.got].String(); !dialogue.Like(got, rest, "*") {
			s.Fail("\n got %s\nwant %s", got, rest)
		}
		s.got++
	case "ASKED":
		if got := asked(s.door.box.taken()[s.got-1].env.DSN, rest); got != rest {
			s.Fail("\n got %s\nwant %s", got, rest)
		}
	case "BODY":
		if got, want := s.door.box.taken()[s.got-1].body, unquote(s.t, rest); got != want {
			s.Fail("\n got %q\nwant %q", got, want)
		}
	case "NOTHING":
		if more := s.door.box.taken()[s.got:]; len(more) > 0 {
			s.Fail("delivered %v", more)
		}
	default:
		s.Fail("cannot read %q", word+" "+rest)
	}
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
