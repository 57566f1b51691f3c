package syntax

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzLiteralsAreNeverCommands: a line that announces a literal, whatever else
// is in it, keeps the literal's octets from being read as commands (RFC 7888 §3).
func FuzzLiteralsAreNeverCommands(f *testing.F) {
	for _, s := range []string{"a SEARCH TEXT ", "a APPEND x ", `a APPEND x "bad" `, "a XX ~", `a LOGIN "`, "", "a APPEND x UTF8 (~", "a FETCH 1 BODY[HEADER.FIELDS (", "a IDLE ",
		"a APPEND x CATENATE (TEXT ", "a APPEND x CATENATE (URL ", "a APPEND x CATENATE (URL y UTF8 (~", "a REPLACE 1 x ", "a SETMETADATA x (/a ", "a SETMETADATA x (/a ~", "a NOTIFY SET (mailboxes ", "a SORT (DATE) "} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, line string, accept bool) {
		if strings.Contains(line, "\n") {
			return
		}
		s := play(line + announce(inject+inject) + "\r\nz NOOP\r\n")
		if accept {
			s.SetMode(Rev2)
		}
		story := s.rest()
		if len(story) != 2 || story[1] != "z NOOP" {
			t.Errorf("%q: %q", line, story)
		}
	})
}

// FuzzCommands: any input has exactly as many answers as commands, counted by
// RFC 7888 §3 alone, and ends.
func FuzzCommands(f *testing.F) {
	for _, s := range []string{
		"a LOGIN {3+}\r\njoe {1}\r\nx\r\nb NOOP\r\n",
		"a APPEND x (\\Seen) \" 1-Jan-2020 00:00:00 +0000\" {3+}\r\nabc {2+}\r\nxx\r\n",
		"a UID FETCH 1:*,$ (FLAGS BODY.PEEK[1.HEADER.FIELDS (a \"b\")]<1.2>) (CHANGEDSINCE 1 VANISHED)\r\n",
		"a SEARCH RETURN (SAVE) CHARSET UTF-8 OR (NOT ON 1-Jan-2020) (LARGER 1 1:3,*)\r\n",
		"a LIST (SUBSCRIBED) \"\" (% a*) RETURN (STATUS (MESSAGES))\r\n",
		"a STORE 1 (UNCHANGEDSINCE 1) +FLAGS.SILENT (\\Seen x)\r\nb ID (\"a\" NIL)\r\n\r\n",
		"a SELECT x (QRESYNC (1 2 3:4 (5 6)))\r\nc CREATE y (USE (\\Sent))\r\n",
		"a APPEND x UTF8 (~{1+}\r\n\x00)\r\nd SELECT &U,BTFw-\r\n",
		"a APPEND x {1+}\r\na (\\Seen) CATENATE (URL \"/x/;UID=1\" TEXT {1+}\r\nb UTF8 (~{1+}\r\nc) URL {1+}\r\nd) ~{1+}\r\ne\r\n",
		"a UID REPLACE * x CATENATE (URL y TEXT {1+}\r\nb)\r\nb REPLACE 4 x {1+}\r\nb\r\n",
		"a UID SORT RETURN (PARTIAL -1:-5 UPDATE(UID) RELEVANCY) (REVERSE DATE CC) UTF-8 FUZZY FILTER x SAVEDATESUPPORTED\r\n",
		"a THREAD REFS UTF-8 OR EMAILID a_- THREADID b\r\nb CANCELUPDATE \"a\" \"b\"\r\n",
		"a ESEARCH IN (selected subtree-one (a b)) RETURN (MIN) CHARSET UTF-8 ALL\r\n",
		"a NOTIFY SET STATUS (selected (MessageNew (UID) MessageExpunge)) (mailboxes (a \"b\") (MailboxName X))\r\nb NOTIFY NONE\r\n",
		"a SETMETADATA \"\" (/private/a ~{1+}\r\n\x00 /b NIL)\r\nb GETMETADATA (MAXSIZE 1 DEPTH infinity) x (/a /b)\r\n",
		"a SETQUOTA \"\" (STORAGE 1 MESSAGE 2)\r\nb GETQUOTAROOT x\r\nc COMPRESS DEFLATE\r\nd UNAUTHENTICATE\r\n",
		"a UID FETCH 1:* (PREVIEW (LAZY) MODSEQ SAVEDATE EMAILID) (PARTIAL 1:2 CHANGEDSINCE 3)\r\n",
	} {
		f.Add([]byte(s), uint8(0))
		f.Add([]byte(s), uint8(3))
		f.Add([]byte(s), uint8(4))
	}
	f.Fuzz(func(t *testing.T, input []byte, mode uint8) {
		s := play(string(input))
		s.SetMode(Mode(mode % 4))
		n := 0
		for ; ; n++ {
			cmd, err := s.Next()
			var bad *BadError
			if err != nil && !errors.As(err, &bad) {
				if err != io.EOF && err != io.ErrUnexpectedEOF {
					t.Fatal(err)
				}
				break
			}
			if bad != nil && (bad.Text == "" || strings.ContainsAny(bad.Error(), "\r\n")) {
				t.Errorf("%q", bad.Error())
			}
			if bad != nil && bad.Close {
				return
			}
			if cmd == nil {
				continue
			}
			checkAgain(t, cmd)
			if a := appending(cmd.Args); a != nil && mode&4 != 0 {
				if _, err := readAll(a); errors.As(err, &bad) && bad.Close {
					return
				}
			}
		}
		if want, ok := countCommands(input); ok && n != want {
			t.Errorf("%d answers to %d commands", n, want)
		}
	})
}

// FuzzURL: a URL that is read names a message, by a mailbox name that could be
// written; its section means the same when FETCH is asked for it.
func FuzzURL(f *testing.F) {
	for _, s := range []string{"/Drafts;UIDVALIDITY=385759045/;UID=20/;section=1.MIME", "imap://joe@h:1/b%C3%BCr/;UID=3/;PARTIAL=0.1024", ";UID=1/;SECTION=HEADER.FIELDS%20(a%20%22b%22)", "x/;uid=4;URLAUTH=y"} {
		f.Add(s, "a/b")
	}
	f.Fuzz(func(t *testing.T, text, selected string) {
		u, err := ParseURL(text, selected)
		if err != nil || !utf8.ValidString(selected) || strings.IndexFunc(selected, isForbidden) >= 0 {
			return
		}
		if u.UID == 0 || u.Mailbox == "" || !utf8.ValidString(u.Mailbox) || strings.IndexFunc(u.Mailbox, isForbidden) >= 0 {
			t.Errorf("%q: %+v", text, u)
		}
		item := FetchItem{Kind: FetchBodySection, Section: u.Section}
		asked := string(AppendFetchItem(nil, &item, Rev2))
		if strings.Contains(asked, "{") {
			return // a field that only a literal can name
		}
		if again := one(t, Rev2, "a FETCH 1 "+asked).Args.(*Fetch).Items[0]; !reflect.DeepEqual(again, item) {
			t.Errorf("%q: %+v is written %s, which is %+v", text, item, asked, again)
		}
		if line := string(AppendBadURL(nil, text)); strings.ContainsAny(line, "]\r\n\x00") {
			t.Errorf("%q", line)
		}
	})
}

// FuzzFilter: what is stored as a filter is read or refused, and means what it
// means in a SEARCH.
func FuzzFilter(f *testing.F) {
	for _, s := range []string{`OR FROM "ann" NOT SUBJECT "b"`, "FILTER x FUZZY (ALL 1:*)", "BODY {3+}", "(", "SAVEDON 1-Feb-2020 LARGER 5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := ParseKeys(text)
		if err != nil {
			return
		}
		if s := one(t, Rev2, "a SEARCH ALL "+text).Args.(*Search); !reflect.DeepEqual(s.Keys[1:], keys) {
			t.Errorf("%q: %+v, in a SEARCH %+v", text, keys, s.Keys[1:])
		}
	})
}

// FuzzThread: threads are written so that they can be read back.
func FuzzThread(f *testing.F) {
	f.Add([]byte{1, 0, 2, 1, 3, 3, 0})
	f.Add([]byte{0, 0, 2, 5, 5, 5, 1, 2, 9})
	f.Fuzz(func(t *testing.T, shape []byte) {
		threads := plant(shape)
		text, ok := strings.CutPrefix(string(AppendThread(nil, threads)), "* THREAD")
		text = strings.TrimSuffix(text, "\r\n")
		again, rest := readThreads(strings.TrimPrefix(text, " "))
		if !ok || rest != "" || !reflect.DeepEqual(again, threads) {
			t.Errorf("%+v is written %q, which is %+v and %q", threads, text, again, rest)
		}
	})
}

// plant grows threads: each octet says how many levels to go up before the next
// message is put down.
func plant(shape []byte) []ThreadNode {
	root, depth := ThreadNode{}, 0
	for i, up := range shape[:min(len(shape), 2000)] {
		depth = max(0, depth-int(up%8))
		at := &root
		for range depth {
			at = &at.Replies[len(at.Replies)-1]
		}
		at.Replies = append(at.Replies, ThreadNode{Num: uint32(i + 1)})
		depth++
	}
	return root.Replies
}

// readThreads reads RFC 5256 §5, 1*thread-list.
func readThreads(text string) (threads []ThreadNode, rest string) {
	for strings.HasPrefix(text, "(") {
		var top []ThreadNode
		at := &top
		text = text[1:]
		for text != "" && text[0] != ')' {
			if text[0] == '(' {
				*at, text = readThreads(text)
				break
			}
			digits := strings.IndexAny(text, " ()")
			n, _ := strconv.Atoi(text[:digits])
			*at = []ThreadNode{{Num: uint32(n)}}
			at = &(*at)[0].Replies
			text = strings.TrimPrefix(text[digits:], " ")
		}
		threads = append(threads, top...)
		text = strings.TrimPrefix(text, ")")
	}
	return threads, text
}

// checkAgain prints what a command names by a set or an item, and reads it again.
func checkAgain(t *testing.T, cmd *Command) {
	fetch, ok := cmd.Args.(*Fetch)
	if !ok || fetch.Set.Saved {
		return
	}
	text := string(AppendSet(nil, fetch.Set.Ranges))
	again := one(t, 0, "a FETCH "+text+" FLAGS").Args.(*Fetch)
	if !reflect.DeepEqual(again.Set, fetch.Set) {
		t.Errorf("%+v is written %s, which is %+v", fetch.Set, text, again.Set)
	}
	resolved := fetch.Set.Resolve(1000)
	for i, r := range resolved {
		if r.First > r.Last || i > 0 && r.First <= resolved[i-1].Last+1 {
			t.Errorf("%s resolves to %v", text, resolved)
		}
	}
}

var synchronizing = regexp.MustCompile(`\{\d+\}\r\n`)

// countCommands counts lines and swallows the literals they announce. Where
// that depends on more (a literal that waits for leave, a bare LF, an end in the
// middle) it does not know.
func countCommands(input []byte) (n int, ok bool) {
	if synchronizing.Match(input) {
		return 0, false
	}
	for len(input) > 0 {
		line, rest, found := bytes.Cut(input, []byte("\r\n"))
		if !found || bytes.Contains(line, []byte("\n")) || len(line) > 60<<10 {
			return 0, false
		}
		input = rest
		if size, isLiteral := trailingLiteral(line); isLiteral {
			if size > len(input) {
				return 0, false
			}
			input = input[size:]
			if len(input) == 0 {
				return 0, false
			}
			continue
		}
		n++
	}
	return n, true
}

var nonSynchronizing = regexp.MustCompile(`\{(\d+)\+\}$`)

func trailingLiteral(line []byte) (size int, ok bool) {
	m := nonSynchronizing.FindSubmatch(line)
	if m == nil {
		return 0, false
	}
	size, err := strconv.Atoi(string(m[1]))
	if err != nil {
		size = 1 << 62
	}
	return size, true
}

// No command makes a connection hold more than 1 MiB.
func TestNoCommandHoldsAMebibyte(t *testing.T) {
	const most = 72<<10 - 64
	fill := func(text string) string { return strings.Repeat(text, most/len(text)) }
	for name, in := range map[string]string{
		"numbers":         "a FETCH " + fill("1,") + "1 FLAGS",
		"search keys":     "a SEARCH " + fill("1 ") + "ALL",
		"search texts":    "a SEARCH " + fill("BODY x ") + "ALL",
		"nested keys":     "a SEARCH " + strings.Repeat("(", 499) + "ALL" + strings.Repeat(")", 499),
		"nested OR":       "a SEARCH " + strings.Repeat("OR 1 ", 499) + "ALL",
		"items":           "a FETCH 1 (" + fill("BODY[1] ") + "UID)",
		"part numbers":    "a FETCH 1 BODY[" + fill("1.") + "1]",
		"header fields":   "a FETCH 1 BODY[HEADER.FIELDS (" + fill("a ") + "a)]",
		"many fields":     "a FETCH 1 (" + strings.Repeat("BODY[HEADER.FIELDS (a b c d e f g h i j k l m n o p q r s t u v w x y z a b c d e f g h i j k l m n o p q r s t u v w x y z a b c d e f g h i j k l m n o p q r s t u v w x y z a b c d e f g h)] ", 255) + "UID)",
		"flags":           "a STORE 1 FLAGS (" + fill("a ") + "a)",
		"bare flags":      "a STORE 1 FLAGS " + fill("a ") + "a",
		"patterns":        `a LIST "" (` + fill("a ") + "a)",
		"capabilities":    "a ENABLE " + fill("a ") + "a",
		"filter names":    "a NOTIFY SET " + strings.Repeat("(mailboxes ("+strings.Repeat("a ", 255)+"a) NONE) ", 30) + "(inboxes NONE)",
		"items of events": "a NOTIFY SET " + strings.Repeat("(selected (MessageNew ("+strings.Repeat("UID ", 200)+"UID) MessageExpunge)) ", 30) + "(inboxes NONE)",
		"sources":         "a ESEARCH IN (" + strings.Repeat("mailboxes ("+strings.Repeat("a ", 255)+"a) ", 60) + "personal) ALL",
		"entries":         "a GETMETADATA x (" + strings.Repeat("/a ", 255) + "/a)",
		"values":          "a SETMETADATA x (" + strings.Repeat("/a {1+}\r\nx ", 255) + "/a NIL)",
		"tags":            "a CANCELUPDATE" + strings.Repeat(` "a"`, 64),
		"updates":         "a SEARCH RETURN (" + strings.Repeat("UPDATE("+strings.Repeat("UID ", 200)+"UID) ", 60) + "ALL) ALL",
		"fuzzy keys":      "a SEARCH " + strings.Repeat("FUZZY ", 499) + "ALL",
		"literals":        "a SEARCH " + strings.Repeat("TEXT {1+}\r\nx ", 3000) + "ALL",
		"a long literal":  "a LOGIN joe " + announce(strings.Repeat("x", 64<<10)),
		"a long name":     `a SELECT "` + fill("&-") + `"`,
		"a long string":   `a LOGIN "` + fill(`\"`) + `" ""`,
	} {
		s := play(in + "\r\n")
		before := inUse()
		cmd, err := s.Next()
		if held := int64(inUse()) - int64(before); held > 1<<20 {
			t.Errorf("%s: %d octets held (%v)", name, held, err)
		}
		runtime.KeepAlive(cmd)
		runtime.KeepAlive(s)
		if strings.HasPrefix(fmt.Sprint(err), "unexpected") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// inUse is heap and stacks after a collection.
func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
