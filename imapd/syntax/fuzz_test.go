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
)

// FuzzLiteralsAreNeverCommands: a line that announces a literal, whatever else
// is in it, keeps the literal's octets from being read as commands (RFC 7888 §3).
func FuzzLiteralsAreNeverCommands(f *testing.F) {
	for _, s := range []string{"a SEARCH TEXT ", "a APPEND x ", `a APPEND x "bad" `, "a XX ~", `a LOGIN "`, "", "a APPEND x UTF8 (~", "a FETCH 1 BODY[HEADER.FIELDS (", "a IDLE "} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, line string, utf8 bool) {
		if strings.Contains(line, "\n") {
			return
		}
		s := play(line + announce(inject+inject) + "\r\nz NOOP\r\n")
		if utf8 {
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
	} {
		f.Add([]byte(s), uint8(0))
		f.Add([]byte(s), uint8(3))
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
			if cmd != nil {
				checkAgain(t, cmd)
			}
		}
		if want, ok := countCommands(input); ok && n != want {
			t.Errorf("%d answers to %d commands", n, want)
		}
	})
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
		"numbers":        "a FETCH " + fill("1,") + "1 FLAGS",
		"search keys":    "a SEARCH " + fill("1 ") + "ALL",
		"search texts":   "a SEARCH " + fill("BODY x ") + "ALL",
		"nested keys":    "a SEARCH " + strings.Repeat("(", 499) + "ALL" + strings.Repeat(")", 499),
		"nested OR":      "a SEARCH " + strings.Repeat("OR 1 ", 499) + "ALL",
		"items":          "a FETCH 1 (" + fill("BODY[1] ") + "UID)",
		"part numbers":   "a FETCH 1 BODY[" + fill("1.") + "1]",
		"header fields":  "a FETCH 1 BODY[HEADER.FIELDS (" + fill("a ") + "a)]",
		"many fields":    "a FETCH 1 (" + strings.Repeat("BODY[HEADER.FIELDS (a b c d e f g h i j k l m n o p q r s t u v w x y z a b c d e f g h i j k l m n o p q r s t u v w x y z a b c d e f g h i j k l m n o p q r s t u v w x y z a b c d e f g h)] ", 255) + "UID)",
		"flags":          "a STORE 1 FLAGS (" + fill("a ") + "a)",
		"bare flags":     "a STORE 1 FLAGS " + fill("a ") + "a",
		"patterns":       `a LIST "" (` + fill("a ") + "a)",
		"capabilities":   "a ENABLE " + fill("a ") + "a",
		"literals":       "a SEARCH " + strings.Repeat("TEXT {1+}\r\nx ", 3000) + "ALL",
		"a long literal": "a LOGIN joe " + announce(strings.Repeat("x", 64<<10)),
		"a long name":    `a SELECT "` + fill("&-") + `"`,
		"a long string":  `a LOGIN "` + fill(`\"`) + `" ""`,
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
