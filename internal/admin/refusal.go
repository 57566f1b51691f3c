package admin

import (
	"errors"
	"fmt"
)

// Refusal is a no that an admin can do something about. It crosses the admin
// socket unchanged.
type Refusal struct {
	Text string `json:"error"`          // what is so: names the thing and the fact
	Way  string `json:"hint,omitempty"` // the way out; may be empty

	Diagnostics []Diagnostic `json:"diagnostics,omitempty"` // of a script that does not compile: the same as in Text

	err error // the cause, on this side of the socket; may be nil
}

// Diagnostic is one thing to say about a script.
type Diagnostic struct {
	Line     int    `json:"line"` // from 1
	Col      int    `json:"col"`  // from 1, in characters
	Severity string `json:"severity"`
	Text     string `json:"text"`
}

// The severities of a [Diagnostic].
const (
	SeverityError  = "error"  // the script does not compile
	SeverityRemark = "remark" // it does, but probably not as meant
)

func (r *Refusal) Error() string { return r.Text }

// Hint is the way out, for the line after the error.
func (r *Refusal) Hint() string { return r.Way }

// Unwrap gives the cause.
func (r *Refusal) Unwrap() error { return r.err }

func (r *Refusal) because(err error) *Refusal {
	r.err = err
	return r
}

// refuse says no; the first words of hint name a verb where one helps.
func refuse(hint, format string, args ...any) *Refusal {
	return &Refusal{Text: fmt.Sprintf(format, args...), Way: hint}
}

// refusalOf keeps a refusal and its hint, and makes one of any other error.
func refusalOf(err error) *Refusal {
	var r *Refusal
	if errors.As(err, &r) {
		return &Refusal{Text: err.Error(), Way: r.Way, Diagnostics: r.Diagnostics}
	}
	return &Refusal{Text: err.Error()}
}
