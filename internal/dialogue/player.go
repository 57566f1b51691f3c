package dialogue

import (
	"bufio"
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Player plays one file. Its lines are
//
//	# a comment
//	@file NAME … @end     octets, CRLF between the lines; @fill N has Fill add so many
//	C: text     the client sends a line     C-: text   without CRLF
//	C* "text"   it sends octets, with Go's escapes
//	C<: NAME    it sends a file             S<: NAME   it reads exactly the file
//	S: text     it reads a line; Anything stands for anything
//	S*: text    it reads lines up to this one
//	NAME C: …   the same on another connection
//
// and whatever else Do knows. {NAME} and {NAME+} are a literal's announcement with
// the file's size, and <0xHH> is an octet. %NAME% in an S: line takes down what
// stands there, and is that from then on.
type Player struct {
	T        testing.TB
	Anything string // "..." or "*"
	Together bool   // client's lines in a row are one write
	// Client is the connection of that name, "" for lines that name none. It
	// fails the test where there is none.
	Client func(name string) *Client
	// Do plays a line that is none of the above, by its first word and the rest.
	Do func(word, rest string)
	// Fill is what @fill N adds to a file; nil: no such line.
	Fill func(n int) string
	// Spell is what text of the file stands for, beyond the above; nil: itself.
	Spell func(text string) string

	files   map[string]string
	taken   map[string]string // by %NAME%
	number  int               // of the line
	waiting string            // said and not sent yet
	speaker *Client           // by whom
}

// Play plays the lines of a script.
func (p *Player) Play(script []byte) {
	p.T.Helper()
	lines := bufio.NewScanner(bytes.NewReader(script))
	for lines.Scan() {
		p.number++
		line := lines.Text()
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case word == "@file":
			p.file(rest, lines)
		case spoken.MatchString(line):
			p.speak(spoken.FindStringSubmatch(line))
		default:
			p.flush()
			p.Do(word, rest)
		}
	}
	p.flush()
}

// Fail ends the test at the line that is being played.
func (p *Player) Fail(format string, args ...any) {
	p.T.Helper()
	p.T.Fatalf("line %d: %s", p.number, fmt.Sprintf(format, args...))
}

// File is a file of the script.
func (p *Player) File(name string) string {
	p.T.Helper()
	text, there := p.files[name]
	if !there {
		p.Fail("no file %s", name)
	}
	return text
}

// SetFile makes a file of octets that stand elsewhere.
func (p *Player) SetFile(name, octets string) {
	if p.files == nil {
		p.files = map[string]string{}
	}
	p.files[name] = octets
}

func (p *Player) file(name string, lines *bufio.Scanner) {
	var text strings.Builder
	for lines.Scan() {
		p.number++
		line := lines.Text()
		if line == "@end" {
			p.SetFile(name, p.spell(text.String()))
			return
		}
		if n, ok := strings.CutPrefix(line, "@fill "); ok && p.Fill != nil {
			count, err := strconv.Atoi(n)
			if err != nil {
				p.Fail("%v", err)
			}
			text.WriteString(p.Fill(count))
			continue
		}
		text.WriteString(line + "\r\n")
	}
	p.Fail("@file %s has no @end", name)
}

var octetForm = regexp.MustCompile(`<0x([0-9A-Fa-f]{2})>`)

// spell puts in the octets that a text names.
func (p *Player) spell(text string) string {
	text = octetForm.ReplaceAllStringFunc(text, func(m string) string {
		n, _ := strconv.ParseUint(m[3:5], 16, 8)
		return string([]byte{byte(n)})
	})
	if p.Spell != nil {
		text = p.Spell(text)
	}
	return text
}

var (
	spoken      = regexp.MustCompile(`^(?:(\w+) )?(C:|C-:|C\*|C<:|S:|S\*:|S<:)(?: (.*))?$`)
	takenForm   = regexp.MustCompile(`%[a-z]+%`)
	takenValue  = regexp.MustCompile(`^[^\s()\[\]]+`)
	literalForm = regexp.MustCompile(`\{([a-z][a-z0-9-]*)(\+?)\}`)
)

// speak plays a line that one side says: its connection, its kind, its text.
func (p *Player) speak(m []string) {
	p.T.Helper()
	c, kind := p.Client(m[1]), m[2]
	if kind[0] != 'C' || p.speaker != c {
		p.flush()
	}
	switch kind {
	case "C:":
		p.say(c, p.text(m[3])+"\r\n")
	case "C-:":
		p.say(c, p.text(m[3]))
	case "C*":
		octets, err := strconv.Unquote(m[3])
		if err != nil {
			p.Fail("%s: %v", m[3], err)
		}
		p.say(c, octets)
	case "C<:":
		p.say(c, p.File(m[3]))
	case "S<:":
		want := p.File(m[3])
		if got, err := c.Exactly(want); err != nil || got != want {
			p.Fail("%v\n got %q\nwant %q", err, got, want)
		}
	case "S:":
		if got, want := p.hear(c, m[3]); !Like(got, want, p.Anything) {
			p.Fail("\n got %s\nwant %s", got, want)
		}
	case "S*:":
		for got, want := p.hear(c, m[3]); !Like(got, want, p.Anything); {
			got, want = p.hear(c, m[3])
		}
	}
}

// text is what a line of the script stands for.
func (p *Player) text(line string) string {
	line = p.spell(literalForm.ReplaceAllStringFunc(line, p.announce))
	return takenForm.ReplaceAllStringFunc(line, func(name string) string {
		if value, known := p.taken[name]; known {
			return value
		}
		return name
	})
}

func (p *Player) announce(m string) string {
	parts := literalForm.FindStringSubmatch(m)
	return fmt.Sprintf("{%d%s}", len(p.File(parts[1])), parts[2])
}

func (p *Player) say(c *Client, octets string) {
	p.speaker = c
	p.waiting += octets
	if !p.Together {
		p.flush()
	}
}

func (p *Player) flush() {
	if p.waiting == "" {
		return
	}
	octets := p.waiting
	p.waiting = ""
	p.speaker.Send(octets)
}

// hear reads a line, and what it should be.
func (p *Player) hear(c *Client, line string) (got, want string) {
	p.T.Helper()
	want = p.text(line)
	got, err := c.TryLine()
	if err != nil {
		p.Fail("got %q, %v\nwant %s", got, err, want)
	}
	return got, p.takeDown(got, want)
}

// takeDown notes what stands in got where want has a %NAME%, and fills it in.
func (p *Player) takeDown(got, want string) string {
	for name := takenForm.FindString(want); name != ""; name = takenForm.FindString(want) {
		before, _, _ := strings.Cut(want, name)
		pieces := strings.Split(before, p.Anything)
		_, after, found := strings.Cut(got, pieces[len(pieces)-1])
		value := takenValue.FindString(after)
		if !found || value == "" {
			return want
		}
		if p.taken == nil {
			p.taken = map[string]string{}
		}
		p.taken[name] = value
		want = strings.ReplaceAll(want, name, value)
	}
	return want
}

// Like says whether got is want, where anything stands for any octets.
func Like(got, want, anything string) bool {
	parts := strings.Split(want, anything)
	if len(parts) == 1 {
		return got == want
	}
	rest, ok := strings.CutPrefix(got, parts[0])
	if !ok {
		return false
	}
	last := parts[len(parts)-1]
	for _, p := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(rest, p)
		if !found {
			return false
		}
		rest = after
	}
	return strings.HasSuffix(rest, last)
}
