package conformance

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Verdict is what became of one duty. The zero Verdict is [Unseen]: nobody
// passes by accident.
type Verdict uint8

const (
	Unseen     Verdict = iota // cannot be seen from outside, or not this time
	Pass                      // seen to be kept
	Fail                      // seen to be broken
	NotOffered                // the server does not claim what the duty is about
)

// String is the word for tables and JSON.
func (v Verdict) String() string {
	switch v {
	case Pass:
		return "pass"
	case Fail:
		return "FAIL"
	case NotOffered:
		return "not offered"
	}
	return "cannot be seen"
}

// MarshalText makes the verdict a word in JSON.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(strings.ToLower(v.String())), nil }

// Level is how firmly the RFC speaks.
type Level string

const (
	Must    Level = "MUST"
	Should  Level = "SHOULD"
	Defined Level = "def" // no key word of BCP 14: the extension is defined so, or it follows from a MUST
)

// Result is one duty and its verdict.
type Result struct {
	Row      string   `json:"row"`      // "R5": of the list of duties; several results may share one
	Name     string   `json:"name"`     // one of its kind: "refused-in-clear"
	Section  string   `json:"section"`  // "RFC 8689 §2"
	Level    Level    `json:"level"`    //
	Duty     string   `json:"duty"`     // in a line
	Sent     string   `json:"sent"`     // the words that decide
	Answered string   `json:"answered"` // what the server said to them
	Verdict  Verdict  `json:"verdict"`  //
	Note     string   `json:"note"`     // why, where the answer alone does not tell
	Dialogue []string `json:"dialogue"` // all of it: "C: " and "S: " lines; long ones are cut
}

// Report is what was learnt of one server.
type Report struct {
	Protocol string    `json:"protocol"` // "LMTP" or "SMTP"
	Address  string    `json:"address"`
	Greeting string    `json:"greeting"` // the server's first line
	TLS      string    `json:"tls"`      // the version that was negotiated; empty: none to be had
	Mailbox  string    `json:"mailbox"`  // the IMAP address; empty: none was given
	Began    time.Time `json:"began"`
	Results  []Result  `json:"results"`
}

// Count is how many duties have a verdict.
func (r *Report) Count(v Verdict) (n int) {
	for _, one := range r.Results {
		if one.Verdict == v {
			n++
		}
	}
	return n
}

// WriteJSON writes the report as one JSON object.
func (r *Report) WriteJSON(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(r)
}

// WriteTable writes the report for people: a line for each duty, then what was
// said where a duty was broken or could not be judged.
func (r *Report) WriteTable(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "RFC 8689, the receiving side, at %s %s\n%s\n\n", r.Protocol, r.Address, r.Greeting)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ROW\tSECTION\tLEVEL\tVERDICT\tDUTY\tANSWER")
	for _, one := range r.Results {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", one.Row, one.Section, one.Level, one.Verdict, one.Duty, clip(one.Answered, 48))
	}
	t.Flush()
	for _, one := range r.Results {
		if one.Verdict == Fail || one.Verdict == Unseen {
			fmt.Fprintf(&b, "\n%s %s: %s\n", one.Row, one.Name, one.Verdict)
			one.explain(&b)
		}
	}
	fmt.Fprintf(&b, "\n%d pass, %d fail, %d not offered, %d cannot be seen from outside\n",
		r.Count(Pass), r.Count(Fail), r.Count(NotOffered), r.Count(Unseen))
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Result) explain(b *strings.Builder) {
	if r.Sent != "" {
		fmt.Fprintf(b, "  sent      %s\n  answered  %s\n", clip(r.Sent, 100), clip(r.Answered, 100))
	}
	if r.Note != "" {
		fmt.Fprintf(b, "  %s\n", r.Note)
	}
}

// clip keeps a line short, and harmless on a terminal whatever a server said.
func clip(s string, octets int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) <= octets {
		return s
	}
	return strings.ToValidUTF8(s[:octets-3], "") + "..."
}
