package managed

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Rules is what a person wants done with all mail. The zero value is nothing.
type Rules struct {
	Keep     bool // what is forwarded stays here too
	Forwards []Forward
	Vacation *Vacation
}

// Forward sends all mail on to an address.
type Forward struct {
	To         string // local@domain
	RequireTLS bool   // asks REQUIRETLS for the forwarded copy
}

// Vacation answers, once to each sender in so many days.
type Vacation struct {
	Subject     string // one line; empty: made of the message's own
	Text        string // lines end in LF, the last one has none
	From, Until string // first and last day, "2026-12-24"; empty: no bound
	Days        int    // between two answers to one sender; 0: as the language has it
	Addresses   []string
}

// DateForm is how days are written.
const DateForm = time.DateOnly

// MaxText is how many octets the text of an answer may have.
const MaxText = 64 << 10

// Errors of [Parse].
var (
	ErrForeign = errors.New("the script has no block written by letterlock")
	ErrChanged = errors.New("the block written by letterlock was changed by hand")
)

// Script is rules with the text that its owner wrote around them. The zero
// value is an empty script.
type Script struct {
	Rules
	head, tail []byte // ahead of the block, up to a line end, and behind it
}

// Empty says that there is nothing to keep: no rules and no text around them.
func (s *Script) Empty() bool {
	return len(s.Forwards) == 0 && s.Vacation == nil && len(s.head) == 0 && len(s.tail) == 0
}

// Own is what stands around the block.
func (s *Script) Own() (head, tail []byte) { return s.head, s.tail }

// Check says what cannot be written, or would not mean what it says.
func (r *Rules) Check() error {
	for _, f := range r.Forwards {
		if err := oneLine("the address", f.To); err != nil || f.To == "" {
			return errors.Join(err, fmt.Errorf("%q is no address to forward to", f.To))
		}
	}
	if r.Vacation == nil {
		return nil
	}
	return r.Vacation.check()
}

func (v *Vacation) check() error {
	switch {
	case strings.TrimSpace(v.Text) == "":
		return errors.New("the answer has no text")
	case len(v.Text) > MaxText:
		return fmt.Errorf("the text has %d octets, %d are allowed", len(v.Text), MaxText)
	case !utf8.ValidString(v.Text) || strings.ContainsAny(v.Text, "\r\x00"):
		return errors.New("the text is not lines of UTF-8")
	case v.Days < 0:
		return errors.New("the days between two answers cannot be negative")
	}
	for _, day := range []string{v.From, v.Until} {
		if _, err := time.Parse(DateForm, day); err != nil && day != "" {
			return fmt.Errorf("%q is no day: write it as 2026-12-24", day)
		}
	}
	if v.From != "" && v.Until != "" && v.Until < v.From {
		return fmt.Errorf("the last day, %s, is before the first, %s", v.Until, v.From)
	}
	for _, s := range append([]string{v.Subject}, v.Addresses...) {
		if err := oneLine("it", s); err != nil {
			return err
		}
	}
	return nil
}

func oneLine(what, s string) error {
	if !utf8.ValidString(s) || strings.ContainsAny(s, "\r\n\x00") {
		return fmt.Errorf("%q: %s must be one line of UTF-8", s, what)
	}
	return nil
}

// The marks. A script is known by the start of the first line and the whole of
// the last.
const (
	begin     = "# >>> letterlock"
	beginLine = begin + ": forwards and vacation, written by its commands. Changes between these two lines are lost."
	endLine   = "# <<< letterlock"
)

// Text is the script: the owner's own text as it was, and the block anew. It is
// empty where there is nothing to keep. Lines of the block end in CRLF (RFC 5228
// §8.1). The rules must be in order: [Rules.Check].
func (s *Script) Text() []byte {
	if s.Empty() {
		return nil
	}
	var b bytes.Buffer
	b.Write(s.head)
	b.WriteString(strings.ReplaceAll(s.block(), "\n", "\r\n"))
	b.Write(s.tail)
	return b.Bytes()
}

func (s *Script) block() string {
	var b strings.Builder
	b.WriteString(beginLine + "\n")
	if names := s.require(); len(names) > 0 {
		fmt.Fprintf(&b, "require %s;\n", list(names))
	}
	if s.Vacation != nil {
		b.WriteString("\n# vacation\n")
		s.Vacation.write(&b)
	}
	if len(s.Forwards) > 0 {
		b.WriteString("\n# forward\n")
	}
	for _, f := range s.Forwards {
		b.WriteString("redirect ")
		if s.Keep {
			b.WriteString(":copy ")
		}
		if f.RequireTLS {
			b.WriteString(":requiretls ")
		}
		b.WriteString(quote(f.To) + ";\n")
	}
	b.WriteString(endLine + "\n")
	return b.String()
}

// require names the extensions that the block is written in, and no others.
func (s *Script) require() (names []string) {
	if len(s.Forwards) > 0 && s.Keep {
		names = append(names, "copy")
	}
	if v := s.Vacation; v != nil {
		if names = append(names, "vacation"); v.From+v.Until != "" {
			names = append(names, "date", "relational")
		}
	}
	if slices.ContainsFunc(s.Forwards, func(f Forward) bool { return f.RequireTLS }) {
		names = append(names, "vnd.letterlock.redirect-requiretls")
	}
	slices.Sort(names)
	return names
}

// write writes the command, within the days where there are some (RFC 5260 §5:
// days as text are ordered as days are).
func (v *Vacation) write(b *strings.Builder) {
	var days []string
	if v.From != "" {
		days = append(days, `currentdate :value "ge" "date" `+quote(v.From))
	}
	if v.Until != "" {
		days = append(days, `currentdate :value "le" "date" `+quote(v.Until))
	}
	if len(days) > 0 {
		fmt.Fprintf(b, "if allof (%s) {\n", strings.Join(days, ", "))
	}
	b.WriteString("vacation")
	if v.Days > 0 {
		fmt.Fprintf(b, " :days %d", v.Days)
	}
	if v.Subject != "" {
		b.WriteString(" :subject " + quote(v.Subject))
	}
	if len(v.Addresses) > 0 {
		b.WriteString(" :addresses " + list(v.Addresses))
	}
	b.WriteString(" text:\n")
	for line := range strings.SplitSeq(v.Text, "\n") {
		if strings.HasPrefix(line, ".") { // RFC 5228 §2.4.2: dot-stuffed, as SMTP has it
			line = "." + line
		}
		b.WriteString(line + "\n")
	}
	b.WriteString(".\n;\n")
	if len(days) > 0 {
		b.WriteString("}\n")
	}
}

// quote is a quoted string (RFC 5228 §2.4.2).
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

func list(all []string) string {
	quoted := make([]string, len(all))
	for i, s := range all {
		quoted[i] = quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
