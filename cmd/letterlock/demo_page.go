package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// page is what the demo prints: prose, the lines that went over the wire, and
// whether each step held.
type page struct {
	w      io.Writer
	colour bool // a terminal that wants colour
	steps  int
	broken int
}

func newPage(w io.Writer) *page {
	_, tty := terminal(w)
	return &page{w: w, colour: tty && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// ink is how a line is coloured (ECMA-48 SGR).
type ink string

const (
	bold  ink = "1"
	dim   ink = "2"
	red   ink = "31"
	green ink = "32"
	blue  ink = "34"
)

// line prints one line, the empty lines around it without colour.
func (p *page) line(colour ink, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if words := strings.Trim(text, "\n"); p.colour {
		text = strings.Replace(text, words, "\x1b["+string(colour)+"m"+words+"\x1b[0m", 1)
	}
	fmt.Fprintln(p.w, text)
}

func (p *page) act(title string)                   { p.line(bold, "\n%s\n", title) }
func (p *page) prose(format string, args ...any)   { fmt.Fprintf(p.w, format+"\n", args...) }
func (p *page) client(line string)                 { p.line(blue, "    C: %s", shown(line)) }
func (p *page) server(line string)                 { p.line(dim, "    S: %s", shown(line)) }
func (p *page) between(format string, args ...any) { p.line(dim, "       "+format, args...) }

// holds notes whether one step held.
func (p *page) holds(ok bool, format string, args ...any) {
	p.steps++
	if ok {
		p.line(green, "  ✓ "+format, args...)
		return
	}
	p.broken++
	p.line(red, "  ✗ "+format, args...)
}

// verdict is the last line.
func (p *page) verdict() {
	if p.broken == 0 {
		p.line(green, "\n%d of %d steps held. What was sealed stayed sealed.", p.steps, p.steps)
		return
	}
	p.line(red, "\n%d of %d steps did not hold.", p.broken, p.steps)
}

// shown keeps a line of the wire on one line of the terminal and free of
// control octets.
func shown(line string) string {
	const width = 100
	line = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '·'
		}
		return r
	}, line)
	if cut := []rune(line); len(cut) > width {
		return string(cut[:width]) + " …"
	}
	return line
}
