package syntax

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

// inject is the text of a message whose lines are commands: none of them may
// ever be read as one.
const inject = "Subject: x\r\ni1 CREATE injected\r\n\r\ni2 DELETE INBOX\r\n"

func announce(text string) string { return fmt.Sprintf("{%d+}\r\n%s", len(text), text) }

// RFC 7888 §3: whatever is wrong with a command, the literal it announces is
// part of it.
func TestLiteralOctetsAreNeverCommands(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"search text", "a SEARCH TEXT " + announce(inject) + "\r\nz NOOP\r\n", "[a SEARCH z NOOP]"},
		{"search text over the limit", "a SEARCH TEXT " + announce(strings.Repeat(inject, 2000)) + "\r\nz NOOP\r\n", "[a NO z NOOP]"},
		{"append", "a APPEND x " + announce(inject) + "\r\nz NOOP\r\n", "[a APPEND z NOOP]"},
		{"append with a bad date", `a APPEND x "bad date" ` + announce(inject) + "\r\nz NOOP\r\n", "[a BAD z NOOP]"},
		{"append with a bad flag", `a APPEND x (\Se(en) ` + announce(inject) + "\r\nz NOOP\r\n", "[a BAD z NOOP]"},
		{"append to a bad name", "a APPEND &x " + announce(inject) + "\r\nz NOOP\r\n", "[a NO z NOOP]"},
		{"append of nothing announced", "a APPEND x\r\nz NOOP\r\n", "[a BAD z NOOP]"},
		{"two messages", "a APPEND x " + announce(inject) + " " + announce(inject) + "\r\nz NOOP\r\n", "[a APPEND z NOOP]"},
		{"three messages", "a APPEND x " + announce("") + " " + announce(inject) + " (\\Seen) " + announce(inject) + "\r\nz NOOP\r\n", "[a APPEND z NOOP]"},
		{"second message over the limit", "a APPEND x " + announce(inject) + " " + announce(strings.Repeat(inject, 30000)) + " " + announce(inject) + "\r\nz NOOP\r\n", "[a NO z NOOP]"},
		{"second message with a bad date", "a APPEND x " + announce(inject) + ` "bad" ` + announce(inject) + "\r\nz NOOP\r\n", "[a BAD z NOOP]"},
		{"replace of nothing named", "a REPLACE x " + announce(inject) + "\r\nz NOOP\r\n", "[a BAD z NOOP]"},
		{"replace by two messages", "a REPLACE 1 x " + announce(inject) + " " + announce(inject) + "\r\nz NOOP\r\n", "[a BAD z NOOP]"},
		{"catenated texts", "a APPEND x CATENATE (TEXT " + announce(inject) + " TEXT " + announce(inject) + ")\r\nz NOOP\r\n", "[a APPEND z NOOP]"},
		{"catenated URL as a literal", "a APPEND x CATENATE (URL " + announce(inject) + ")\r\nz NOOP\r\n", "[a APPEND z NOOP]"},
		{"catenated without its end", "a APPEND x CATENATE (TEXT " + announce(inject) + " " + announce(inject) + "\r\nz NOOP\r\n", "[a BAD z NOOP]"},
		{"catenated texts over the limit", "a APPEND x CATENATE (TEXT " + announce(strings.Repeat(inject, 12000)) + " TEXT " + announce(strings.Repeat(inject, 12000)) + ")\r\nz NOOP\r\n", "[a NO z NOOP]"},
		{"in a list of entries", "a SETMETADATA x (/private/comment " + announce(inject) + ")\r\nz NOOP\r\n", "[a SETMETADATA z NOOP]"},
		{"entry that is none", "a SETMETADATA x (comment " + announce(inject) + ")\r\nz NOOP\r\n", "[a BAD z NOOP]"},
		{"append over the limit", "a APPEND x " + announce(strings.Repeat(inject, 30000)) + "\r\nz NOOP\r\n", "[a NO z NOOP]"},
		{"append far over the limit", "a APPEND x {200000000+}\r\n" + inject, "[a NO close]"},
		{"append of more than can be counted", "a APPEND x {99999999999999999999999+}\r\n" + inject, "[a NO close]"},
		{"unknown command", "a XAPPEND x " + announce(inject) + "\r\nz NOOP\r\n", "[a BAD z NOOP]"},
		{"unknown command after UID", "a UID APPEND x " + announce(inject) + "\r\nz NOOP\r\n", "[a BAD z NOOP]"},
		{"no tag", announce(inject) + "\r\nz NOOP\r\n", "[* BAD z NOOP]"},
		{"bad tag", "+a NOOP " + announce(inject) + "\r\nz NOOP\r\n", "[* BAD z NOOP]"},
		{"no arguments wanted", "a NOOP " + announce(inject) + "\r\nz NOOP\r\n", "[a BAD z NOOP]"},
		{"no space in front", "a LOGIN joe x" + announce(inject) + "\r\nz NOOP\r\n", "[a BAD z NOOP]"},
		{"inside an open quotation", `a LOGIN "joe ` + announce(inject) + "\r\nz NOOP\r\n", "[a BAD z NOOP]"},
		{"8-bit in quotes before it", "a LOGIN \"j\xc3\xb6\" " + announce(inject) + "\r\nz NOOP\r\n", "[a BAD z NOOP]"},
		{"literals in a row", "a XX " + announce(inject) + announce(inject) + " (" + announce(inject) + ")\r\nz NOOP\r\n", "[a BAD z NOOP]"},
		{"wrong after a good literal", "a LOGIN " + announce("joe") + " (" + announce(inject) + "\r\nz NOOP\r\n", "[a BAD z NOOP]"},
		{"NUL inside", "a LOGIN joe " + announce("\x00"+inject) + " " + announce(inject) + "\r\nz NOOP\r\n", "[a BAD z NOOP]"},
		{"binary where none may be", "a LOGIN joe ~" + announce(inject) + "\r\nz NOOP\r\n", "[a BAD z NOOP]"},
		{"text after it", "a LOGIN joe " + announce(inject) + "x\r\nz NOOP\r\n", "[a BAD z NOOP]"},
		{"foreign charset", "a SEARCH CHARSET KOI8-R TEXT " + announce(inject) + "\r\nz NOOP\r\n", "[a NO z NOOP]"},
		{"in a list of fields", "a FETCH 1 BODY[HEADER.FIELDS (" + announce(inject) + ")]\r\nz NOOP\r\n", "[a FETCH z NOOP]"},
		{"command too long before it", "a LOGIN " + strings.Repeat("x", 80<<10) + " " + announce(inject) + "\r\nz NOOP\r\n", "[a BAD z NOOP]"},
		{"line too long before it", "a LOGIN " + strings.Repeat("x", 200<<10) + " " + announce(inject) + "\r\nz NOOP\r\n", "[* BAD close]"},
		{"line too long after one", "a XX " + announce("") + strings.Repeat("x", 200<<10) + announce(inject) + "\r\nz NOOP\r\n", "[a BAD close]"},
		{"utf8 message without its end", "a APPEND x UTF8 (~" + announce(inject) + " " + announce(inject) + "\r\nz NOOP\r\n", "[a BAD z NOOP]"},
		{"endless empty literals", "a XX " + strings.Repeat("{0+}\r\n", 1<<20), "[a BAD close]"},
		{"LF alone", "a APPEND x {5+}\n" + inject, "[* BAD close]"},
	} {
		if got := fmt.Sprint(play(c.in).rest()); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// RFC 9051 §4.3: a synchronizing literal is refused before it is sent, so what
// follows the refusal is the next command.
func TestSynchronizingLiteralIsRefusedUnasked(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"unknown command", "a BLURDYBLOOP {102856}\r\nz NOOP\r\n", "[a BAD z NOOP]"}, // RFC 9051 §8
		{"bad date", `a APPEND x "bad" {10}` + "\r\nz NOOP\r\n", "[a BAD z NOOP]"},
		{"append over the limit", "a APPEND x {200000000}\r\nz NOOP\r\n", "[a NO z NOOP]"},
		{"password over the limit", "a LOGIN joe {100000}\r\nz NOOP\r\n", "[a NO z NOOP]"},
		{"sum over the limit", "a LOGIN {40000+}\r\n" + strings.Repeat("x", 40000) + " {40000}\r\nz NOOP\r\n", "[a NO z NOOP]"},
	} {
		s := play(c.in)
		if got := fmt.Sprint(s.rest()); got != c.want || s.asked != 0 {
			t.Errorf("%s: %s, asked %d times; want %s, never", c.name, got, s.asked, c.want)
		}
	}
}

func TestMessageNotWanted(t *testing.T) {
	for _, c := range []struct{ name, in string }{
		{"sent unasked", "a APPEND x " + announce(inject) + "\r\nz NOOP\r\n"},
		{"sent unasked, with another", "a APPEND x " + announce(inject) + " " + announce(inject) + "\r\nz NOOP\r\n"},
		{"waiting to be asked", "a APPEND x {100}\r\nz NOOP\r\n"},
		{"waiting to be asked, UTF8", "a APPEND x UTF8 (~{100}\r\nz NOOP\r\n"},
	} {
		for _, refuse := range []func(*Append) error{(*Append).Refuse, func(*Append) error { return nil }} {
			s := play(c.in)
			cmd, err := s.Next()
			if err != nil {
				t.Fatal(err)
			}
			if err := refuse(cmd.Args.(*Append)); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			if got := fmt.Sprint(s.rest()); got != "[z NOOP]" || s.asked != 0 {
				t.Errorf("%s: %s, asked %d times; want [z NOOP], never", c.name, got, s.asked)
			}
		}
	}
}

func TestMessageRefusedHalfWay(t *testing.T) {
	s := play("a APPEND x {46}\r\n" + inject[:46] + "\r\nz NOOP\r\n")
	cmd, _ := s.Next()
	message, _ := cmd.Args.(*Append).Open()
	io.ReadFull(message, make([]byte, 5))
	if err := cmd.Args.(*Append).Refuse(); err != nil {
		t.Error(err)
	}
	if err := cmd.Args.(*Append).Close(); err != nil { // a second time: the next command stays
		t.Error(err)
	}
	if got := fmt.Sprint(s.rest()); got != "[z NOOP]" {
		t.Errorf("then %s", got)
	}
}

func TestLiteralMinusBoundsNonSynchronizingLiterals(t *testing.T) { // RFC 7888 §5
	limits := Known(1 << 20)
	limits.NonSync = 4096
	s := play("a APPEND x {5037+}\r\n" + (strings.Repeat(inject, 200))[:5037] + "\r\nb APPEND x {5037}\r\n" + strings.Repeat("x", 5037) + "\r\nz NOOP\r\n")
	s.SetLimits(limits)
	_, err := s.Next()
	if err == nil || err.Error() != "a BAD [TOOBIG] non-synchronizing literal too big" {
		t.Errorf("%v", err)
	}
	if got := fmt.Sprint(s.rest()); got != "[b APPEND z NOOP]" {
		t.Errorf("then %s", got)
	}
}

func TestStrangersMayHoldLittle(t *testing.T) {
	s := play("a LOGIN joe {5000+}\r\n" + strings.Repeat("x", 5000) + "\r\nb LOGIN joe " + strings.Repeat("x", 17000) + "\r\nc APPEND x {1}\r\nd LOGIN {100000+}\r\n" + strings.Repeat("x", 100000) + "\r\n")
	s.SetLimits(Stranger())
	if got := fmt.Sprint(s.rest()); got != "[a NO b BAD c BAD d NO close]" {
		t.Errorf("%s", got)
	}
}

func TestWhatIsWrongHasAnAnswer(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{``, `* BAD empty line`},
		{` `, `* BAD a command starts with a tag`},
		{`a`, `a BAD no command after the tag`},
		{`a `, `a BAD expected a word`},
		{`a  NOOP`, `a BAD expected a word`},
		{`+ NOOP`, `* BAD a command starts with a tag`},
		{`* NOOP`, `* BAD a command starts with a tag`},
		{"a\tNOOP", `* BAD a command starts with a tag`},
		{"\xff NOOP", `* BAD a command starts with a tag`},
		{strings.Repeat("a", 200) + ` NOOP`, `* BAD a command starts with a tag`},
		{`a NOOP `, `a BAD text after the end of the command`},
		{`a XYZZY`, `a BAD unknown command`},
		{`a UID NOOP`, `a BAD no such command after UID`},
		{`a UID`, `a BAD the command ends too early`},
		{`a LOGIN joe`, `a BAD the command ends too early`},
		{`a LOGIN joe `, `a BAD the command ends too early`},
		{`a LOGIN joe  pass`, `a BAD expected a string`},
		{`a LOGIN joe "pass`, `a BAD a quoted string does not end`},
		{`a LOGIN joe "pa\ss"`, `a BAD a backslash in a quoted string stands before " or \`},
		{"a LOGIN joe \"p\rass\"", `a BAD CR, LF or NUL in a quoted string`},
		{"a LOGIN joe \"p\x00ass\"", `a BAD CR, LF or NUL in a quoted string`},
		{"a LOGIN joe \"p\xc3\xa4ss\"", `a BAD 8-bit octets in a quoted string: send a literal, or enable UTF8=ACCEPT`},
		{`a LOGIN joe {5`, `a BAD a literal is announced at the end of a line`},
		{`a LOGIN joe {x}`, `a BAD a literal is announced at the end of a line`},
		{`a AUTHENTICATE PLAIN ?`, `a BAD initial response is not base64`},
		{`a AUTHENTICATE PLAIN `, `a BAD initial response is not base64`},
		{`a ENABLE`, `a BAD the command ends too early`},
		{`a ID ("a")`, `a BAD expected a space`},
		{`a ID (` + strings.Repeat(`"a" "b" `, 31) + `)`, `a BAD too many fields in ID`}, // RFC 2971 §3.3
		{`a SELECT x ()`, `a BAD empty list`},
		{`a SELECT x (BOGUS)`, `a BAD unknown parameter`},
		{`a SELECT x (QRESYNC (1 2 1:*))`, `a BAD no * may be in this set`}, // RFC 7162 §7
		{`a CREATE x (BOGUS)`, `a BAD unknown parameter of CREATE`},
		{`a SELECT &`, `a NO [CANNOT] mailbox name is not modified UTF-7`},
		{`a LIST (RECURSIVEMATCH) "" *`, `a BAD RECURSIVEMATCH needs another selection option`},        // RFC 5258 §3.1
		{`a LIST (REMOTE RECURSIVEMATCH) "" *`, `a BAD RECURSIVEMATCH needs another selection option`}, // RFC 9051 §9
		{`a LIST (BOGUS) "" *`, `a BAD unknown selection option of LIST`},
		{`a LIST "" * RETURN (BOGUS)`, `a BAD unknown return option of LIST`},
		{`a STATUS x ()`, `a BAD empty list`},
		{`a STATUS x (BOGUS)`, `a BAD unknown status item`},
		{`a APPEND x hello`, `a BAD expected a message as a literal`},
		{`a APPEND x "31-Feb-2020 00:00:00 +0000" {1}`, `a BAD not a date and time`},
		{`a APPEND x "1-Feb-2020 00:00:00 +0000" {1}`, `a BAD not a date and time`},
		{`a APPEND x UTF8 ({5}`, `a BAD UTF8 takes a binary literal`},
		{`a FETCH 1 BOGUS`, `a BAD unknown item to fetch`},
		{`a FETCH 1 (ALL)`, `a BAD unknown item to fetch`}, // RFC 9051 §6.4.5: macros stand alone
		{`a FETCH 1 ()`, `a BAD empty list`},
		{`a FETCH 1 BODY[1.MIME`, `a BAD expected ']'`},
		{`a FETCH 1 BODY[MIME]`, `a BAD MIME is of a part`},
		{`a FETCH 1 BODY[0]`, `a BAD a number may not start with 0 here`},
		{`a FETCH 1 BODY[1.]`, `a BAD expected a word`},
		{`a FETCH 1 BODY[]<0.0>`, `a BAD a partial fetch asks for at least one octet`},
		{`a FETCH 1 BODY[]<0.9223372036854775808>`, `a BAD number out of range`},
		{`a FETCH 1 BODY[HEADER.FIELDS ()]`, `a BAD empty list`},
		{`a FETCH 1 BINARY[1.MIME]`, `a BAD BINARY takes part numbers`},
		{`a FETCH 1 BODY[` + strings.Repeat("1.", 200) + `1]`, `a NO [LIMIT] parts nested too deep`},
		{`a FETCH 1 (` + strings.Repeat("UID ", 300) + `UID)`, `a NO [LIMIT] too many items in a list`}, // RFC 9051 §7.1
		{`a FETCH 1 BODY[HEADER.FIELDS (` + strings.Repeat("x ", 1000) + `x)]`, `a NO [LIMIT] too many items in a list`},
		{`a STORE 1 FLAGS (` + strings.Repeat("x ", 1000) + `x)`, `a NO [LIMIT] too many items in a list`},
		{`a STORE 1 FLAGS` + strings.Repeat(" x", 1001), `a NO [LIMIT] too many flags`},
		{`a LIST "" (` + strings.Repeat("x ", 256) + `x)`, `a NO [LIMIT] too many items in a list`},
		{`a ENABLE` + strings.Repeat(" x", 65), `a NO [LIMIT] too many capabilities`},
		{`a GETMETADATA "" (` + strings.Repeat("/private/x ", 256) + `/private/x)`, `a NO [LIMIT] too many items in a list`},
		{`a GETMETADATA ""` + strings.Repeat(" /private/x", 257), `a NO [LIMIT] too many entries`},
		{`a NOTIFY SET` + strings.Repeat(" (personal (MailboxName))", 33), `a NO [LIMIT] too many event groups`},
		{`a CANCELUPDATE` + strings.Repeat(` "x"`, 65), `a NO [LIMIT] too many tags`},
		{`a UID FETCH 1 FLAGS (CHANGEDSINCE 5 CHANGEDSINCE 6)`, `a BAD a modifier of FETCH is given twice`}, // RFC 4466 §6
		{`a UID FETCH 1 FLAGS (CHANGEDSINCE 5 VANISHED VANISHED)`, `a BAD a modifier of FETCH is given twice`},
		{`a UID FETCH 1 FLAGS (PARTIAL 1:2 partial 3:4)`, `a BAD a modifier of FETCH is given twice`},
		{`a SELECT x (QRESYNC (1 2) QRESYNC (1 2))`, `a BAD QRESYNC is given twice`},
		{`a FETCH 1 FLAGS (CHANGEDSINCE 5 VANISHED)`, `a BAD VANISHED goes with UID FETCH and CHANGEDSINCE`}, // RFC 7162 §3.2.6
		{`a FETCH 0 FLAGS`, `a BAD number out of range in a set`},
		{`a FETCH 4294967296 FLAGS`, `a BAD number out of range in a set`},
		{`a FETCH 1: FLAGS`, `a BAD expected a number in a set`},
		{`a FETCH 1,,2 FLAGS`, `a BAD expected a number in a set`},
		{`a FETCH ** FLAGS`, `a BAD expected a space`},
		{`a FETCH $,1 FLAGS`, `a BAD expected a space`},
		{`a FETCH 1 FLAGS (PARTIAL 1:2)`, `a BAD PARTIAL goes with UID FETCH`}, // RFC 9394 §3.3
		{`a UID FETCH 1 FLAGS (PARTIAL -1:2)`, `a BAD expected '-'`},
		{`a UID FETCH 1 FLAGS (PARTIAL 0:2)`, `a BAD a number may not start with 0 here`},
		{`a UID FETCH 1 FLAGS (CHANGEDSINCE 9223372036854775808)`, `a BAD number out of range`}, // RFC 7162 §7: 63 bits
		{`a FETCH 1 (PREVIEW (LAZY x))`, `a BAD unknown modifier of PREVIEW`},
		{`a STORE 1 BOGUS (x)`, `a BAD unknown item to store`},
		{`a STORE 1 FLAGS (\*)`, `a BAD expected an atom`},
		{`a STORE 1 FLAGS`, `a BAD the command ends too early`},
		{`a STORE 1 (UNCHANGEDSINCE 1 UNCHANGEDSINCE 2) FLAGS x`, `a BAD unknown modifier of STORE`},
		{`a SEARCH`, `a BAD the command ends too early`},
		{`a SEARCH BOGUS`, `a BAD unknown search key`},
		{`a SEARCH ()`, `a BAD expected a word`},
		{`a SEARCH (ALL`, `a BAD expected ')'`},
		{`a SEARCH NOT`, `a BAD the command ends too early`},
		{`a SEARCH OR ALL`, `a BAD the command ends too early`},
		{`a SEARCH ON 32-Jan-2020`, `a BAD not a date`},
		{`a SEARCH LARGER -1`, `a BAD expected a number`},
		{`a SEARCH YOUNGER 0`, `a BAD a number may not start with 0 here`},
		{`a SEARCH RETURN (ALL PARTIAL 1:2) ALL`, `a BAD one PARTIAL or ALL may be asked for`}, // RFC 9394 §3.1
		{`a SEARCH RETURN (PARTIAL 1:2 PARTIAL 3:4) ALL`, `a BAD one PARTIAL or ALL may be asked for`},
		{`a SEARCH RETURN (RELEVANCY) TEXT x`, `a BAD RELEVANCY goes with FUZZY`}, // RFC 6203 §4
		{`a SEARCH FILTER a/b`, `a BAD no / may be in the name of a filter`},
		{`a SEARCH EMAILID a.b`, `a BAD text after the end of the command`},
		{`a SEARCH EMAILID ` + strings.Repeat("x", 256), `a BAD not an object identifier`},
		{`a SORT () UTF-8 ALL`, `a BAD empty list`},
		{`a SORT (DATE REVERSE) UTF-8 ALL`, `a BAD expected a space`},
		{`a SORT (BOGUS) UTF-8 ALL`, `a BAD unknown sort criterion`},
		{`a SORT (DATE) ALL`, `a NO [BADCHARSET (US-ASCII UTF-8)] charset not supported`},
		{`a SORT (DATE) UTF-8`, `a BAD the command ends too early`},
		{`a SORT (RELEVANCY) UTF-8 TEXT x`, `a BAD RELEVANCY goes with FUZZY`}, // RFC 6203 §6
		{`a THREAD BOGUS UTF-8 ALL`, `a BAD unknown threading algorithm`},
		{`a ESEARCH IN (selected-delayed) ALL`, `a BAD SELECTED-DELAYED is for NOTIFY`},                  // RFC 7377 §2.2
		{`a ESEARCH IN (personal) RETURN (SAVE) ALL`, `a BAD SAVE goes with the selected mailbox alone`}, // §2.2
		{`a ESEARCH IN () ALL`, `a BAD empty list`},
		{`a ESEARCH IN (mailboxes ()) ALL`, `a BAD empty list`},
		{`a CANCELUPDATE`, `a BAD the command ends too early`},
		{`a CANCELUPDATE B01`, `a BAD expected '"'`},
		{`a NOTIFY SET`, `a BAD the command ends too early`},
		{`a NOTIFY BOGUS`, `a BAD expected SET or NONE`},
		{`a NOTIFY SET (bogus NONE)`, `a BAD unknown mailbox specifier`},
		{`a NOTIFY SET (subtree-one x NONE)`, `a BAD unknown mailbox specifier`},
		{`a NOTIFY SET (inboxes ())`, `a BAD empty list`},
		{`a NOTIFY SET (inboxes (MessageNew))`, `a BAD MessageNew and MessageExpunge go together, and with every other message event`}, // RFC 5465 §5
		{`a NOTIFY SET (inboxes (FlagChange))`, `a BAD MessageNew and MessageExpunge go together, and with every other message event`},
		{`a NOTIFY SET (selected (MailboxName))`, `a BAD the selected mailbox has message events alone`},                     // §6.1
		{`a NOTIFY SET (selected NONE) (selected-delayed NONE)`, `a BAD one specifier of the selected mailbox may be there`}, // §6.1
		{`a NOTIFY SET (inboxes (MessageNew (UID) MessageExpunge))`, `a BAD items to fetch are for the selected mailbox`},    // §8
		{`a COMPRESS`, `a BAD the command ends too early`},
		{`a SETQUOTA x (STORAGE)`, `a BAD expected a space`},
		{`a SETQUOTA x (STORAGE -1)`, `a BAD expected a number`},
		{`a GETMETADATA x comment`, `a BAD not the name of a metadata entry`}, // RFC 5464 §3.2
		{`a GETMETADATA x /a//b`, `a BAD not the name of a metadata entry`},
		{`a GETMETADATA x /a/`, `a BAD not the name of a metadata entry`},
		{`a GETMETADATA x "/a/*"`, `a BAD not the name of a metadata entry`},
		{`a GETMETADATA (DEPTH 2) x /a/b`, `a BAD unknown depth`},
		{`a GETMETADATA (BOGUS) x /a/b`, `a BAD unknown option of GETMETADATA`},
		{`a SETMETADATA x ()`, `a BAD empty list`},
		{`a SETMETADATA x (/a/b bogus)`, `a BAD expected a string or NIL`},
		{`a APPEND x CATENATE`, `a BAD the command ends too early`},
		{`a APPEND x CONCAT (`, `a BAD expected a message as a literal`},
		{`a REPLACE 0 x {3}`, `a BAD number out of range in a set`},
		{`a SEARCH RETURN (BOGUS) ALL`, `a BAD unknown result option of SEARCH`},
		{`a SEARCH CHARSET KOI8-R ALL`, `a NO [BADCHARSET (US-ASCII UTF-8)] charset not supported`},
		{`a SEARCH ` + strings.Repeat("(", 600) + `ALL`, `a NO [LIMIT] search keys nested too deep`},
		{`a SEARCH ` + strings.Repeat("NOT ", 600) + `ALL`, `a NO [LIMIT] search keys nested too deep`},
		{`a SEARCH ` + strings.Repeat("OR ALL ", 600) + `ALL`, `a NO [LIMIT] search keys nested too deep`},
		{`a SEARCH ` + strings.Repeat("ALL ", 5000) + `ALL`, `a NO [LIMIT] too many search keys`},
	} {
		if got := badOne(t, 0, c.in).Error(); got != c.want {
			t.Errorf("%.80q: %s\nwant %s", c.in, got, c.want)
		}
		if got := fmt.Sprint(play(c.in + "\r\n" + "z NOOP\r\n").rest()[1:]); got != "[z NOOP]" {
			t.Errorf("%.80q: goes on with %s", c.in, got)
		}
	}
}

// Clients write sets as long as their folders: a set of 64 KiB is answered like
// any other.
func TestSetOf64KiB(t *testing.T) {
	var in strings.Builder
	in.WriteString("a UID FETCH 1000001")
	n := 1
	for ; in.Len() < 64<<10; n++ {
		fmt.Fprintf(&in, ",%d", 1000001+2*n)
	}
	f := one(t, 0, in.String()+" FLAGS").Args.(*Fetch)
	if len(f.Set.Ranges) != n || cap(f.Set.Ranges) != n {
		t.Errorf("%d ranges in %d, want %d", len(f.Set.Ranges), cap(f.Set.Ranges), n)
	}
}

// RFC 9051 §6.4.4.4: NO to a SEARCH that saves empties "$", BAD does not.
func TestRefusedSearchEmptiesSavedResult(t *testing.T) {
	if bad := badOne(t, 0, "a SEARCH RETURN (SAVE) CHARSET KOI8-R TEXT x"); !bad.Unsave {
		t.Errorf("%+v", bad)
	}
	if bad := badOne(t, 0, "a SEARCH RETURN (SAVE) BOGUS"); bad.Unsave {
		t.Errorf("%+v", bad)
	}
	if bad := badOne(t, 0, "a SEARCH CHARSET KOI8-R TEXT x"); bad.Unsave {
		t.Errorf("%+v", bad)
	}
}

func TestQuotedStringsMayBeUTF8WhenEnabled(t *testing.T) { // RFC 6855 §3, RFC 9051 §4.3
	for _, mode := range []Mode{Rev2, UTF8Accept} {
		if l := one(t, mode, "a LOGIN joe \"p\u00e4ss\"").Args.(*Login); l.Password != "p\u00e4ss" {
			t.Errorf("%+v", l)
		}
		if bad := badOne(t, mode, "a LOGIN joe \"p\xe4ss\""); bad.Text != "a quoted string is not UTF-8" {
			t.Error(bad)
		}
	}
	if bad := badOne(t, UTF8Accept, "a SEARCH CHARSET UTF-8 ALL"); bad.Text != "no CHARSET after UTF8=ACCEPT" { // RFC 6855 §3
		t.Error(bad)
	}
}
