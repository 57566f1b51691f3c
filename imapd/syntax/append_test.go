package syntax

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// TestMultiAppendIsReadOneByOne: RFC 3502 §6.3.11, with flags and date of each.
func TestMultiAppendIsReadOneByOne(t *testing.T) {
	s := play("a APPEND x (\\Seen) {3+}\r\none \" 7-Feb-1994 22:43:04 -0800\" {3}\r\ntwo (\\Flagged) ~{5+}\r\nth\x00ee UTF8 (~{4}\r\nfour) CATENATE (TEXT {4}\r\nfive)\r\nz NOOP\r\n")
	cmd, err := s.Next()
	if err != nil {
		t.Fatal(err)
	}
	a := cmd.Args.(*Append)
	var flags [][]imap.Flag
	var story []string
	for more := true; more; {
		text := ""
		if a.Form == Catenated {
			part, err := a.Part()
			if err != nil {
				t.Fatal(err)
			}
			text, _ = readOne(a, part.Size)
		} else if text, err = readOne(a, a.Size); err != nil {
			t.Fatal(err)
		}
		flags = append(flags, a.Flags)
		story = append(story, fmt.Sprintf("%s %d %v", text, a.Form, a.Date.IsZero()))
		if more, err = a.Next(); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"one 0 true", "two 0 false", "th\x00ee 1 true", "four 2 true", "five 3 true"}
	if !reflect.DeepEqual(story, want) || s.asked != 3 {
		t.Errorf("%q, asked %d times; want %q and 3", story, s.asked, want)
	}
	if wantFlags := [][]imap.Flag{{imap.FlagSeen}, nil, {imap.FlagFlagged}, nil, nil}; !reflect.DeepEqual(flags, wantFlags) {
		t.Errorf("flags %v, want %v", flags, wantFlags)
	}
	if more, err := a.Next(); more || err != nil {
		t.Errorf("after the last: %v, %v", more, err)
	}
	if got := fmt.Sprint(s.rest()); got != "[z NOOP]" {
		t.Errorf("then %s", got)
	}
}

// TestOneMessageIsWantedAndTwoCome: Close takes exactly one.
func TestOneMessageIsWantedAndTwoCome(t *testing.T) {
	s := play("a APPEND x {3+}\r\none {3+}\r\ntwo\r\nz NOOP\r\n")
	cmd, _ := s.Next()
	a := cmd.Args.(*Append)
	if _, err := readOne(a, 3); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); fmt.Sprint(err) != "a BAD text after the end of the command" {
		t.Errorf("closed with %v", err)
	}
	if got := fmt.Sprint(s.rest()); got != "[z NOOP]" {
		t.Errorf("then %s", got)
	}
}

// TestCatenateIsReadPartByPart: RFC 4469 §5, RFC 6855 §4.
func TestCatenateIsReadPartByPart(t *testing.T) {
	s := play("a APPEND Drafts (\\Draft) CATENATE (URL \"/Drafts/;UID=20/;section=HEADER\" TEXT {5}\r\nhello URL {9+}\r\n/x/;UID=1 UTF8 (~{3+}\r\nyes) text {2+}\r\n!!)\r\nz NOOP\r\n")
	cmd, err := s.Next()
	if err != nil {
		t.Fatal(err)
	}
	messages, err := readAll(cmd.Args.(*Append))
	want := "[</Drafts/;UID=20/;section=HEADER>hello</x/;UID=1>yes!!]"
	if got := fmt.Sprint(messages); got != want || err != nil || s.asked != 1 {
		t.Errorf("%s, %v, asked %d times; want %s, once", got, err, s.asked, want)
	}
	if got := fmt.Sprint(s.rest()); got != "[z NOOP]" {
		t.Errorf("then %s", got)
	}
}

func TestBadCatenation(t *testing.T) {
	for in, want := range map[string]string{
		"()":                            "a BAD expected a word",
		"(TEXT \"x\")":                  "a BAD expected TEXT or URL",
		"(TEXT UTF8 (~{3+}\r\nabc))":    "a BAD TEXT takes a literal",
		"(URL x TEXT)":                  "a BAD expected a space",
		"(URL x)y":                      "a BAD expected a space",
		"(URL x {3+}\r\nabc)":           "a BAD expected a word",
		"(URL x BODY {3+}\r\nabc)":      "a BAD expected TEXT or URL",
		"(URL x":                        "a BAD the command ends too early",
		"(URL xTEXT {3+}\r\nabc":        "a BAD expected a word",
		"(TEXT {3+}\r\nabcURL x)":       "a BAD expected a space",
		"(TEXT {99999999+}\r\nabcURL x": "a NO [TOOBIG] message too big",
		"(" + strings.Repeat("URL x ", 1001) + ")": "a NO [LIMIT] too many parts in a message",
	} {
		s := play("a APPEND x CATENATE " + in + "\r\nz NOOP\r\n")
		cmd, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		_, err = readAll(cmd.Args.(*Append))
		if err == nil || err.Error() != want {
			t.Errorf("%.40q: %v, want %s", in, err, want)
		}
	}
}

// TestRefusedInTheMiddle: an APPEND that is given up between its messages or
// parts leaves the next command where it is.
func TestRefusedInTheMiddle(t *testing.T) {
	for _, in := range []string{
		"a APPEND x {3+}\r\none {3+}\r\ntwo {3+}\r\nsix\r\nz NOOP\r\n",
		"a APPEND x {3+}\r\none {3}\r\nz NOOP\r\n",
		"a APPEND x {3+}\r\none CATENATE (URL {3+}\r\nabc TEXT {3+}\r\ntwo)\r\nz NOOP\r\n",
		"a APPEND x {3+}\r\none CATENATE (URL {3}\r\nz NOOP\r\n",
		"a UID REPLACE 4 x CATENATE (URL x TEXT {3}\r\nz NOOP\r\n",
	} {
		for steps := range 4 {
			s := play(in)
			cmd, err := s.Next()
			if err != nil {
				t.Fatal(err)
			}
			a := appending(cmd.Args)
			for range steps {
				if a.Form == Catenated {
					part, err := a.Part()
					if err != nil || part == nil {
						break
					}
					if part.URL == "" && !a.asked {
						break // the client waits; it is not let
					}
				}
				if a.pending && !a.asked {
					break
				}
				if more, err := a.Next(); !more || err != nil {
					break
				}
			}
			if err := a.Refuse(); err != nil {
				t.Errorf("%.40q after %d: %v", in, steps, err)
			}
			if got := fmt.Sprint(s.rest()); got != "[z NOOP]" && !(steps > 0 && s.asked > 0) {
				t.Errorf("%.40q after %d: goes on with %s", in, steps, got)
			}
		}
	}
}

func TestTooManyMessages(t *testing.T) {
	s := play("a APPEND x" + strings.Repeat(" {1+}\r\nx", 1001) + "\r\nz NOOP\r\n")
	cmd, _ := s.Next()
	_, err := readAll(cmd.Args.(*Append))
	if err == nil || err.Error() != "a NO [LIMIT] too many messages in one APPEND" {
		t.Errorf("%v", err)
	}
	if got := fmt.Sprint(s.rest()); got != "[z NOOP]" {
		t.Errorf("then %s", got)
	}
}

func TestReplace(t *testing.T) { // RFC 8508 §3.2, §3.3, §4.2
	for _, c := range []struct {
		in   string
		uid  bool
		num  uint32
		text string
	}{
		{"a REPLACE 4 Drafts (\\Seen) {3+}\r\nnew", false, 4, "new"},
		{"a REPLACE * Drafts {3+}\r\nnew", false, Star, "new"},
		{"a UID REPLACE 3002 Drafts CATENATE (TEXT {3+}\r\nnew URL \"/Drafts/;UID=3002\")", true, 3002, "new</Drafts/;UID=3002>"},
	} {
		cmd := one(t, 0, c.in)
		r := cmd.Args.(*Replace)
		messages, err := readAll(r.Append)
		if r.UID != c.uid || r.Num != c.num || r.Mailbox != "Drafts" || fmt.Sprint(messages) != "["+c.text+"]" || err != nil {
			t.Errorf("%q: %+v, %q, %v", c.in, r, messages, err)
		}
	}
}

func TestStrangersAppendNothing(t *testing.T) {
	s := play("a APPEND x CATENATE (URL x)\r\nb REPLACE 1 x {3+}\r\nabc\r\nz NOOP\r\n")
	s.SetLimits(Stranger())
	if got := fmt.Sprint(s.rest()); got != "[a BAD b BAD z NOOP]" {
		t.Error(got)
	}
}

func TestLinkLostBetweenMessages(t *testing.T) {
	s := play("a APPEND x {3+}\r\none {3+}\r\nt")
	cmd, _ := s.Next()
	_, err := readAll(cmd.Args.(*Append))
	if err == nil || errors.As(err, new(*BadError)) {
		t.Errorf("%v", err)
	}
}
