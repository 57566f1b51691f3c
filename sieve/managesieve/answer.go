package managesieve

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"letterlock/sieve"
)

// answer is the line that ends a command (RFC 5804 §1.2, §1.3). The zero answer
// is OK.
type answer struct {
	word string // "NO", "BYE"; empty: OK
	code string // what stands in parentheses; empty: nothing does
	text string // for people; lines end in \n
}

func done(text string) answer      { return answer{text: text} }
func no(code, text string) answer  { return answer{"NO", code, text} }
func bye(code, text string) answer { return answer{"BYE", code, text} }

func (a answer) ends() bool    { return a.word == "BYE" }
func (a answer) Error() string { return a.text }

// badCommand is the error of a command that is none, or not now; too many in a
// row end the session.
type badCommand string

func (b badCommand) Error() string { return string(b) }

var (
	noSuchScript = no("NONEXISTENT", "There is no script by that name")
	noTrouble    = no("TRYLATER", "Something went wrong here; try again later")
)

// refuse is the answer to an error.
func (s *session) refuse(err error) answer {
	var known answer
	var elsewhere *Elsewhere
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &elsewhere):
		return bye("REFERRAL "+elsewhere.URL, "The scripts are kept by another server")
	case errors.Is(err, ErrNotFound):
		return noSuchScript
	case errors.Is(err, ErrExists):
		return no("ALREADYEXISTS", "There is a script of that name already")
	case errors.Is(err, ErrActive):
		return no("ACTIVE", "The active script cannot be deleted; deactivate it first")
	case errors.Is(err, ErrTooBig):
		return s.tooBig()
	case errors.Is(err, ErrTooMany):
		return no("QUOTA/MAXSCRIPTS", fmt.Sprintf("No more than %d scripts can be kept; delete one first", s.srv.opt.Quota.Scripts))
	case errors.Is(err, ErrNoSpace):
		return no("QUOTA", fmt.Sprintf("All scripts together may have %d octets; delete one first", s.srv.opt.Quota.Total))
	}
	s.log.Error("command failed", "command", s.verb, "err", err)
	return noTrouble
}

func (s *session) tooBig() answer {
	return no("QUOTA/MAXSIZE", fmt.Sprintf("The script is too big; one may have %d octets", s.srv.opt.Quota.Size))
}

// sentence is an error as a person reads it.
func sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}

// mistakes is the answer to a script that does not compile: all of it, a line
// for each, and nothing else in the text, so that a client may show it as it is.
func mistakes(errs sieve.Errors) answer {
	return no("", lines(errs))
}

// remarks is the answer to a script that does, with what is to be said of it.
func remarks(list []sieve.Diagnostic, text string) answer {
	if len(list) == 0 {
		return done(text)
	}
	return answer{code: "WARNINGS", text: lines(list)}
}

func lines(list []sieve.Diagnostic) string {
	text := make([]string, len(list))
	for i, d := range list {
		text[i] = d.Error()
	}
	return strings.Join(text, "\n")
}

// say writes the line that ends a command. Code and the beginning of the text
// are always on one line.
func (s *session) say(a answer) {
	if a.word == "" {
		a.word = "OK"
	}
	s.put(a.word)
	if a.code != "" {
		s.put(" (" + a.code + ")")
	}
	if a.text != "" {
		s.put(" " + quote(strings.ReplaceAll(a.text, "\n", "\r\n")))
	}
	s.put("\r\n")
}

// put writes. An error stays in the writer and ends the session at the next
// flush.
func (s *session) put(text string) { _, _ = s.w.WriteString(text) }

// maxQuoted is what may stand between quotes (RFC 5804 §4).
const maxQuoted = 1024

// quote makes a string: quoted where no client can misread it, which is short,
// on one line and without a quote or backslash in it, and a literal otherwise.
func quote(text string) string {
	if len(text) <= maxQuoted && utf8.ValidString(text) && !strings.ContainsAny(text, "\"\\\r\n\x00") {
		return `"` + text + `"`
	}
	return literal(text)
}

func literal(text string) string {
	return "{" + strconv.Itoa(len(text)) + "}\r\n" + text
}
