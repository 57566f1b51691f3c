package main

import (
	"io"
	"log/slog"

	"letterlock/internal/maillog"
)

// newLog writes for people on a terminal and JSON for whoever collects it
// elsewhere.
func newLog(w io.Writer) *slog.Logger {
	if _, tty := terminal(w); !tty {
		return slog.New(maillog.NewJSONHandler(w))
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: forPeople}))
}

// forPeople shortens what a terminal shows: today is known.
func forPeople(groups []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey && len(groups) == 0 {
		return slog.String(slog.TimeKey, a.Value.Time().Format("15:04:05"))
	}
	return a
}
