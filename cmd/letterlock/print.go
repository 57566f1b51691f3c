package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"unicode"

	"golang.org/x/term"

	"letterlock/internal/config"
)

func jsonFlag(f *flag.FlagSet) *bool {
	return f.Bool("json", false, "answer in JSON, for scripts")
}

func configFlag(f *flag.FlagSet) *string {
	return f.String("config", "", "the config `FILE`; without it "+strings.Join(config.Places, ", then "))
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// printable is what a stranger wrote, harmless on a terminal: what moves cursors
// or cannot be seen is spelt out.
func printable(s string) string {
	var b strings.Builder
	for _, c := range s {
		switch {
		case c == '\t':
			b.WriteByte(' ')
		case unicode.IsPrint(c):
			b.WriteRune(c)
		default:
			fmt.Fprintf(&b, `\u%04x`, c)
		}
	}
	return b.String()
}

// columns lines up what is written with tabs between.
func columns(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }

// terminal answers the file behind a stream that is a terminal.
func terminal(stream any) (*os.File, bool) {
	f, ok := stream.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

// octets is a size as people read it.
func octets(n uint64) string {
	const step = 1000
	if n < step {
		return fmt.Sprintf("%d B", n)
	}
	div, unit := uint64(step), 0
	for m := n / step; m >= step; m /= step {
		div *= step
		unit++
	}
	return fmt.Sprintf("%.1f %cB", float64(n)/float64(div), "kMGTPE"[unit])
}
