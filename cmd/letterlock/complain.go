package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// errArguments says that a verb got more or fewer arguments than it takes.
var errArguments = errors.New("wrong number of arguments")

// errSaid ends a verb with exit code 1 after it has told the reason itself.
var errSaid = errors.New("no")

// usageError is a question that was wrong: exit code 2.
type usageError struct{ text, hint string }

func (e *usageError) Error() string { return e.text }
func (e *usageError) Hint() string  { return e.hint }

// hinted adds the way out to an error.
type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }
func (h *hinted) Hint() string  { return h.hint }

// withHint adds a hint where err has none of its own.
func withHint(err error, format string, args ...any) error {
	if err == nil || hintOf(err) != "" {
		return err
	}
	return &hinted{err, fmt.Sprintf(format, args...)}
}

// hintOf is the way out an error knows; "" where it knows none.
func hintOf(err error) string {
	var way interface{ Hint() string }
	if errors.As(err, &way) {
		return way.Hint()
	}
	return ""
}

// complain says what went wrong and what to do, and answers the exit code.
func complain(w io.Writer, err error) int {
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errSaid):
		return exitNo
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(w, "error: interrupted")
		return exitNo
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(w, "error: %s\n", strings.TrimRight(line, "\n"))
	}
	if hint := hintOf(err); hint != "" {
		fmt.Fprintf(w, "hint: %s\n", hint)
	}
	var usage *usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitNo
}
