package syntax

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"letterlock/internal/wire"

	"github.com/emersion/go-imap/v2"
)

// tape is the client's side of a connection, recorded.
type tape struct {
	net.Conn
	*strings.Reader
}

func (t tape) Read(p []byte) (int, error)      { return t.Reader.Read(p) }
func (t tape) SetReadDeadline(time.Time) error { return nil }

// session is a Decoder reading a tape, and how often it has asked for a literal.
type session struct {
	*Decoder
	asked int
}

func play(input string) *session {
	s := &session{}
	s.Decoder = NewDecoder(wire.NewReader(tape{Reader: strings.NewReader(input)}, time.Minute), func() error {
		s.asked++
		return nil
	})
	s.SetLimits(Known(1 << 20))
	return s
}

// rest reads all commands that are left and shows each in one word: its tag and
// name, or its tag and status; an APPEND that can be read is read.
func (s *session) rest() (story []string) {
	for {
		cmd, err := s.Next()
		var bad *BadError
		switch {
		case err == io.EOF:
			return story
		case errors.As(err, &bad):
			word := bad.Tag + " " + string(bad.Status)
			if bad.Close {
				return append(story, word+" close")
			}
			story = append(story, word)
		case err != nil:
			return append(story, err.Error())
		default:
			if a := appending(cmd.Args); a != nil {
				if _, err := readAll(a); errors.As(err, &bad) {
					story = append(story, bad.Tag+" "+string(bad.Status))
					continue
				}
			}
			story = append(story, cmd.Tag+" "+cmd.Name)
		}
	}
}

// readAll reads all messages of an APPEND: their octets, with <url> where a URL
// is to be catenated.
func readAll(a *Append) (messages []string, err error) {
	for more := true; more && err == nil; more, err = a.Next() {
		text := ""
		if a.Form != Catenated {
			if text, err = readOne(a, a.Size); err != nil {
				return nil, err
			}
		}
		for p, err := a.Part(); p != nil || err != nil; p, err = a.Part() {
			switch {
			case err != nil:
				return nil, err
			case p.URL != "":
				text += "<" + p.URL + ">"
			default:
				octets, err := readOne(a, p.Size)
				if err != nil {
					return nil, err
				}
				text += octets
			}
		}
		messages = append(messages, text)
	}
	return messages, err
}

func readOne(a *Append, size int64) (string, error) {
	r, err := a.Open()
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(r)
	if err == nil && int64(len(text)) != size {
		err = fmt.Errorf("%d octets of %d", len(text), size)
	}
	return string(text), err
}

// one reads the only command of a tape.
func one(t *testing.T, mode Mode, input string) *Command {
	t.Helper()
	s := play(input + "\r\n")
	s.SetMode(mode)
	cmd, err := s.Next()
	if err != nil {
		t.Fatalf("%q: %v", input, err)
	}
	return cmd
}

// badOne is the answer to the only command of a tape, which is wrong.
func badOne(t *testing.T, mode Mode, input string) *BadError {
	t.Helper()
	s := play(input + "\r\n")
	s.SetMode(mode)
	cmd, err := s.Next()
	var bad *BadError
	if !errors.As(err, &bad) {
		t.Fatalf("%q passed as %+v, %v", input, cmd, err)
	}
	return bad
}

func TestEveryExampleOfTheRFCsIsRead(t *testing.T) {
	f, err := os.Open("testdata/examples.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var input strings.Builder
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "C: "); ok {
			input.WriteString(text + "\r\n")
		}
	}
	s := play(input.String())
	n := 0
	for ; ; n++ {
		cmd, err := s.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Errorf("after %d commands: %v", n, err)
		} else if cmd.Args == nil {
			t.Errorf("%s %s has no arguments", cmd.Tag, cmd.Name)
		}
	}
	if n < 210 || s.asked != 3 {
		t.Errorf("%d commands, asked for %d literals; want at least 210 and 3", n, s.asked)
	}
}

func set(ranges ...Range) Set { return Set{Ranges: ranges} }

func TestCommandsAsTheyAreMeant(t *testing.T) {
	since := uint64(96)
	for _, c := range []struct {
		in   string
		name string
		want Args
	}{
		{`a noop`, "NOOP", &Noop{}},
		{`a Login joe "pass \"word\\"`, "LOGIN", &Login{"joe", `pass "word\`}},
		{`a LOGIN "" ""`, "LOGIN", &Login{}},
		{`a AUTHENTICATE plain AGEAYg==`, "AUTHENTICATE", &Authenticate{"PLAIN", []byte("\x00a\x00b")}},
		{`a AUTHENTICATE external =`, "AUTHENTICATE", &Authenticate{"EXTERNAL", []byte{}}},
		{`a AUTHENTICATE SCRAM-SHA-256`, "AUTHENTICATE", &Authenticate{"SCRAM-SHA-256", nil}},
		{`a ID nil`, "ID", &ID{}},
		{`a ID ()`, "ID", &ID{}},
		{`a ID ("name" "sodr" "version" NIL)`, "ID", &ID{[]IDParam{{"name", "sodr"}, {"version", ""}}}}, // RFC 2971 §3.1
		{`a ENABLE condstore X-GOOD`, "ENABLE", &Enable{[]imap.Cap{"CONDSTORE", "X-GOOD"}}},
		{`a SELECT inBox`, "SELECT", &Select{Mailbox: "INBOX", Written: "inBox"}},
		{`a EXAMINE "a b"`, "EXAMINE", &Select{Mailbox: "a b", Access: ReadOnly}},
		{`a SELECT x (CONDSTORE QRESYNC (7 9 1:3 (1,2 4,5)))`, "SELECT", &Select{Mailbox: "x", CondStore: true, // RFC 7162 §3.2.5.2
			QResync: &QResync{7, 9, set(Range{1, 3}), set(Range{1, 1}, Range{2, 2}), set(Range{4, 4}, Range{5, 5})}}},
		{`a SELECT x (QRESYNC (7 9 (1 4)))`, "SELECT", &Select{Mailbox: "x", QResync: &QResync{UIDValidity: 7, ModSeq: 9, MatchSeqs: set(Range{1, 1}), MatchUIDs: set(Range{4, 4})}}},
		{`a CREATE x (USE (\drafts \X))`, "CREATE", &Create{Mailbox: "x", Use: []imap.MailboxAttr{`\Drafts`, `\X`}}},
		{`a CREATE x/`, "CREATE", &Create{Mailbox: "x/"}},
		{`a RENAME a "b c"`, "RENAME", &Rename{From: "a", To: "b c"}},
		{`a CREATE Ma&Awg-rz`, "CREATE", &Create{Mailbox: "M\u00e4rz", Written: "Ma\u0308rz"}},
		{`a DELETE Ma&Awg-rz`, "DELETE", &Delete{Mailbox: "M\u00e4rz", Written: "Ma\u0308rz"}},
		{`a RENAME A&Awg- a`, "RENAME", &Rename{From: "\u00c4", To: "a", Written: "A\u0308"}},
		{`a RENAME a A&Awg-`, "RENAME", &Rename{From: "a", To: "\u00c4", Written: "a"}},
		{`a LIST "" (% "x*") RETURN (SUBSCRIBED STATUS (MESSAGES size) SPECIAL-USE)`, "LIST",
			&List{Patterns: []string{"%", "x*"}, Return: ReturnSubscribed | ReturnStatus | ReturnSpecialUse, Status: StatusMessages | StatusSize, Extended: true}},
		{`a LIST (SPECIAL-USE RECURSIVEMATCH) ref ""`, "LIST", &List{Select: SelectSpecialUse | SelectRecursiveMatch, Reference: "ref", Patterns: []string{""}, Extended: true}},
		{`a LIST "" [x]%*`, "LIST", &List{Patterns: []string{"[x]%*"}}},
		{`a STATUS x (UNSEEN RECENT APPENDLIMIT)`, "STATUS", &Status{"x", StatusUnseen | StatusRecent | StatusAppendLimit}},
		{`a UID COPY *:4,5 x`, "UID COPY", &Copy{true, set(Range{Star, 4}, Range{5, 5}), "x"}},
		{`a MOVE $ x`, "MOVE", &Move{false, Set{Saved: true}, "x"}},
		{`a EXPUNGE`, "EXPUNGE", &Expunge{}},
		{`a UID EXPUNGE 4294967295`, "UID EXPUNGE", &Expunge{true, set(Range{4294967295, 4294967295})}},
		{`a STORE 1 FLAGS ()`, "STORE", &Store{Set: set(Range{1, 1}), Flags: []imap.Flag{}}},
		{`a UID STORE 1 (UNCHANGEDSINCE 96) -flags.silent \seen $Junk`, "UID STORE",
			&Store{UID: true, Set: set(Range{1, 1}), Op: RemoveFlags, Silent: true, Flags: []imap.Flag{imap.FlagSeen, "$Junk"}, UnchangedSince: &since}},
		{`a UNAUTHENTICATE`, "UNAUTHENTICATE", &Unauthenticate{}}, // RFC 8437 §2
		{`a compress deflate`, "COMPRESS", &Compress{"DEFLATE"}},  // RFC 4978 §3
		{`a STATUS x (DELETED DELETED-STORAGE HIGHESTMODSEQ MAILBOXID)`, "STATUS", &Status{"x", StatusDeleted | StatusDeletedStorage | StatusHighestModSeq | StatusMailboxID}},
		{`a GETQUOTA "!partition/sda4"`, "GETQUOTA", &GetQuota{"!partition/sda4"}}, // RFC 9208 §4.1
		{`a GETQUOTAROOT inbox`, "GETQUOTAROOT", &GetQuotaRoot{"INBOX"}},
		{`a SETQUOTA "#user/alice" (storage 510 Message 9223372036854775807)`, "SETQUOTA", &SetQuota{"#user/alice", []QuotaLimit{{"STORAGE", 510}, {"MESSAGE", 1<<63 - 1}}}},
		{`a SETQUOTA "" ()`, "SETQUOTA", &SetQuota{}},
		{`a CANCELUPDATE "B01" "B0\"2"`, "CANCELUPDATE", &CancelUpdate{[]string{"B01", `B0"2`}}}, // RFC 5267 §4.3.5
		{`a UID FETCH 25900:26600 (UID FLAGS) (PARTIAL -3:-1 CHANGEDSINCE 98305)`, "UID FETCH", // RFC 9394 §3.3
			&Fetch{UID: true, Set: set(Range{25900, 26600}), Items: []FetchItem{{Kind: FetchUID}, {Kind: FetchFlags}}, ChangedSince: 98305, Partial: Paging{3, 1, true}}},
	} {
		cmd := one(t, 0, c.in)
		if cmd.Tag != "a" || cmd.Name != c.name || !reflect.DeepEqual(cmd.Args, c.want) {
			t.Errorf("%s: %s %s %+v\nwant %s %+v", c.in, cmd.Tag, cmd.Name, cmd.Args, c.name, c.want)
		}
	}
}

func TestFetchItems(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []FetchItem
	}{
		{`FAST`, macros["FAST"]},
		{`(UID modseq)`, []FetchItem{{Kind: FetchUID}, {Kind: FetchModSeq}}},
		{`BODY`, []FetchItem{{Kind: FetchBody}}},
		{`BODY[]<0.10>`, []FetchItem{{Kind: FetchBodySection, Partial: &Partial{0, 10}}}},
		{`body.peek[1.2.header.fields.not (Date "x y")]`, []FetchItem{{Kind: FetchBodySection, Peek: true,
			Section: Section{Part: []uint32{1, 2}, Text: HeaderFieldsNot, Fields: []string{"Date", "x y"}}}}},
		{`(BODY[3.MIME] BODY[TEXT] BODY[1])`, []FetchItem{{Kind: FetchBodySection, Section: Section{Part: []uint32{3}, Text: MIMEText}},
			{Kind: FetchBodySection, Section: Section{Text: BodyText}}, {Kind: FetchBodySection, Section: Section{Part: []uint32{1}}}}},
		{`(BINARY[1]<5.7> BINARY.PEEK[] BINARY.SIZE[1.2])`, []FetchItem{{Kind: FetchBinary, Section: Section{Part: []uint32{1}}, Partial: &Partial{5, 7}},
			{Kind: FetchBinary, Peek: true}, {Kind: FetchBinarySize, Peek: true, Section: Section{Part: []uint32{1, 2}}}}},
		{`(EMAILID THREADID SAVEDATE preview (lazy) UID)`, []FetchItem{{Kind: FetchEmailID}, {Kind: FetchThreadID}, {Kind: FetchSaveDate},
			{Kind: FetchPreview, Lazy: true}, {Kind: FetchUID}}}, // RFC 8474 §5, 8514 §4.2, 8970 §3.1
		{`PREVIEW (LAZY)`, []FetchItem{{Kind: FetchPreview, Lazy: true}}},
		{`PREVIEW (CHANGEDSINCE 5)`, []FetchItem{{Kind: FetchPreview}}},
		{`(RFC822 RFC822.HEADER RFC822.TEXT RFC822.SIZE)`, []FetchItem{{Kind: FetchRFC822}, {Kind: FetchRFC822Header}, {Kind: FetchRFC822Text}, {Kind: FetchRFC822Size}}},
	} {
		f := one(t, 0, "a FETCH 1 "+c.in).Args.(*Fetch)
		if !reflect.DeepEqual(f.Items, c.want) {
			t.Errorf("%s: %+v, want %+v", c.in, f.Items, c.want)
		}
	}
	f := one(t, 0, "a UID FETCH 1:* FLAGS (CHANGEDSINCE 12 VANISHED)").Args.(*Fetch) // RFC 7162 §3.2.6
	if !f.UID || f.ChangedSince != 12 || !f.Vanished {
		t.Errorf("%+v", f)
	}
}

func TestSearchKeys(t *testing.T) {
	day := time.Date(1994, 2, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		in   string
		want And
	}{
		{`ALL`, And{All{}}},
		{`UNSEEN NEW`, And{Not{HasFlag{imap.FlagSeen}}, And{Recent{}, Not{HasFlag{imap.FlagSeen}}}}},
		{`since 1-Feb-1994 NOT from "Smith"`, And{Date{InternalDate, Since, day}, Not{Header{"FROM", "Smith"}}}},
		{`SENTON "01-feb-1994"`, And{Date{SentDate, On, day}}},
		{`OR (1:3 UID 5) (TEXT x)`, And{Or{And{Seqs{set(Range{1, 3})}, UIDs{set(Range{5, 5})}}, Text{"x"}}}},
		{`HEADER Message-ID "" KEYWORD $Junk UNKEYWORD x`, And{Header{"Message-ID", ""}, HasFlag{"$Junk"}, Not{HasFlag{"x"}}}},
		{`SMALLER 0 LARGER 9223372036854775807`, And{Size{Smaller, 0}, Size{Larger, 1<<63 - 1}}},
		{`YOUNGER 100 OLDER 5`, And{Within{Younger, 100}, Within{Older, 5}}}, // RFC 5032
		{`MODSEQ "/flags/\\draft" all 62`, And{ModSeq{`\draft`, 62}}},
		{`SAVEDON 1-Feb-1994 SAVEDATESUPPORTED`, And{Date{SaveDate, On, day}, SaveDateSupported{}}},                              // RFC 8514 §4.3
		{`EMAILID M6d99ac3275bb4e THREADID a_-9`, And{EmailID{"M6d99ac3275bb4e"}, ThreadID{"a_-9"}}},                             // RFC 8474 §6
		{`filter on-the-road FUZZY (SUBJECT x ALL)`, And{NamedFilter{"on-the-road"}, Fuzzy{And{Header{"SUBJECT", "x"}, All{}}}}}, // RFC 5466 §3.1, 6203 §3
		{`MODSEQ 9223372036854775807`, And{ModSeq{Value: 1<<63 - 1}}},                                                            // RFC 7162 §1: 63 bits
		{`CHARSET utf-8 BODY x`, And{Body{"x"}}},
		{`BCC a CC b TO c SUBJECT d`, And{Header{"BCC", "a"}, Header{"CC", "b"}, Header{"TO", "c"}, Header{"SUBJECT", "d"}}},
	} {
		s := one(t, 0, "a SEARCH "+c.in).Args.(*Search)
		if !reflect.DeepEqual(s.Keys, c.want) || s.Return != 0 {
			t.Errorf("%s: %#v\nwant %#v", c.in, s.Keys, c.want)
		}
	}
	for in, want := range map[string]SearchReturn{
		`RETURN () ALL`:                      ReturnExtended | ReturnAll, // RFC 9051 §6.4.4.1
		`RETURN (MIN count) ALL`:             ReturnExtended | ReturnMin | ReturnCount,
		`RETURN (SAVE) CHARSET US-ASCII ALL`: ReturnExtended | ReturnSave,
		`RETURN (ALL all) ALL`:               ReturnExtended | ReturnAll,
		`RETURN (UPDATE CONTEXT COUNT) ALL`:  ReturnExtended | ReturnUpdate | ReturnContext | ReturnCount, // RFC 5267 §4
		`RETURN (PARTIAL 1:5 MIN) ALL`:       ReturnExtended | ReturnPartial | ReturnMin,
		`RETURN (RELEVANCY ALL) FUZZY ALL`:   ReturnExtended | ReturnRelevancy | ReturnAll, // RFC 6203 §4
	} {
		if s := one(t, 0, "a UID SEARCH "+in).Args.(*Search); s.Return != want || !s.UID {
			t.Errorf("%s: %+v, want %b", in, s, want)
		}
	}
}

func TestAppendArguments(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Append
	}{
		{`a APPEND x {3+}`, Append{Mailbox: "x", Size: 3}},
		{`a APPEND "x y" (\seen $Junk) "17-Jul-1996 02:44:25 -0700" {0}`, Append{Mailbox: "x y", Flags: []imap.Flag{imap.FlagSeen, "$Junk"},
			Date: time.Date(1996, 7, 17, 2, 44, 25, 0, time.FixedZone("", -7*3600))}},
		{`a APPEND x " 1-jan-2020 00:00:00 +0530" ~{12+}`, Append{Mailbox: "x", Date: time.Date(2020, 1, 1, 0, 0, 0, 0, time.FixedZone("", 19800)), Size: 12, Form: BinaryLiteral}},
		{`a APPEND x utf8 (~{5}`, Append{Mailbox: "x", Size: 5, Form: UTF8Literal}},
	} {
		a := one(t, 0, c.in).Args.(*Append)
		_, gotZone := a.Date.Zone()
		_, wantZone := c.want.Date.Zone()
		if a.Mailbox != c.want.Mailbox || !reflect.DeepEqual(a.Flags, c.want.Flags) || a.Size != c.want.Size || a.Form != c.want.Form ||
			!a.Date.Equal(c.want.Date) || gotZone != wantZone {
			t.Errorf("%s: %+v, want %+v", c.in, *a, c.want)
		}
	}
}

func TestMessageIsStreamed(t *testing.T) {
	s := play("a APPEND x UTF8 (~{9}\r\nb NOOP\r\n\x00)\r\nc NOOP\r\n")
	cmd, err := s.Next()
	if err != nil {
		t.Fatal(err)
	}
	a := cmd.Args.(*Append)
	if s.asked != 0 {
		t.Error("the literal was asked for before the caller wanted it")
	}
	message, err := a.Open()
	if err != nil || s.asked != 1 {
		t.Fatalf("%v, asked %d times", err, s.asked)
	}
	if got, err := io.ReadAll(message); err != nil || string(got) != "b NOOP\r\n\x00" {
		t.Errorf("%q, %v", got, err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if got := s.rest(); fmt.Sprint(got) != "[c NOOP]" {
		t.Errorf("then %q", got)
	}
}

func TestMessageCutShort(t *testing.T) {
	s := play("a APPEND x {9+}\r\nabc")
	cmd, _ := s.Next()
	message, _ := cmd.Args.(*Append).Open()
	if got, err := io.ReadAll(message); err != io.ErrUnexpectedEOF || string(got) != "abc" {
		t.Errorf("%q, %v", got, err)
	}
	if err := cmd.Args.(*Append).Close(); err != io.ErrUnexpectedEOF {
		t.Errorf("closed with %v", err)
	}
	if _, err := s.Next(); err != io.ErrUnexpectedEOF {
		t.Errorf("went on with %v", err)
	}
}

func TestClientLeaves(t *testing.T) {
	for in, want := range map[string]error{
		"a NOOP\r\n":               io.EOF,
		"a NOOP\r\nb NO":           io.ErrUnexpectedEOF,
		"a LOGIN {5+}\r\nab":       io.ErrUnexpectedEOF,
		"a LOGIN {5+}\r\nabcde":    io.ErrUnexpectedEOF,
		"a XX {5+}\r\nabcde":       io.ErrUnexpectedEOF,
		"a XX {5+}\r\nab":          io.ErrUnexpectedEOF,
		"a APPEND x {5+}\r\nabcde": io.ErrUnexpectedEOF,
	} {
		s := play(in)
		err := error(nil)
		for err == nil {
			_, err = s.Next()
		}
		if err != want {
			t.Errorf("%q: %v, want %v", in, err, want)
		}
		if _, again := s.Next(); again != err {
			t.Errorf("%q: then %v", in, again)
		}
	}
}

func TestSASLLines(t *testing.T) {
	s := play("a AUTHENTICATE PLAIN\r\nAGEAYg==\r\nb AUTHENTICATE PLAIN\r\n*\r\nc AUTHENTICATE PLAIN\r\n?\r\n\r\nd NOOP\r\n")
	for _, want := range []string{"\x00a\x00b", "b BAD authentication cancelled", "c BAD response is not base64"} {
		if _, err := s.Next(); err != nil {
			t.Fatal(err)
		}
		got, err := s.SASL(1000)
		if err != nil {
			got = []byte(err.Error())
		}
		if string(got) != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got, err := s.SASL(1000); err != nil || len(got) != 0 {
		t.Errorf("an empty line is %q, %v", got, err)
	}
	if got := s.rest(); fmt.Sprint(got) != "[d NOOP]" {
		t.Errorf("then %q", got)
	}
}

func TestIdleEndsWithDone(t *testing.T) {
	s := play("a IDLE\r\ndone\r\nb IDLE\r\nx LOGIN {10+}\r\ny LOGOUT\r\n\r\nc NOOP\r\n")
	s.Next()
	if err := s.Done(); err != nil {
		t.Error(err)
	}
	s.Next()
	if err := s.Done(); err == nil || err.Error() != "b BAD IDLE ends with DONE" {
		t.Errorf("%v", err)
	}
	if got := s.rest(); fmt.Sprint(got) != "[c NOOP]" {
		t.Errorf("then %q", got)
	}
}
