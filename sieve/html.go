package sieve

import (
	"html"
	"strings"
)

// stripTags is the text of HTML: tags, comments, scripts and styles removed,
// entities resolved. It is made for finding words, not for showing them.
func stripTags(s string) string {
	h := stripper{}
	h.out.Grow(len(s) / 2)
	for {
		i := strings.IndexByte(s, '<')
		if i < 0 || h.open {
			h.out.WriteString(s)
			break
		}
		h.out.WriteString(s[:i])
		s = s[i:]
		n := h.tag(s)
		if n == 0 {
			h.out.WriteByte('<')
			n = 1
		} else if breaks(s[1:n]) {
			h.out.WriteByte('\n')
		}
		s = s[n:]
	}
	return html.UnescapeString(h.out.String())
}

// stripper remembers what is not to come any more, so that nothing is looked
// for twice.
type stripper struct {
	out    strings.Builder
	open   bool            // no > follows
	closed map[string]bool // elements whose end does not follow
}

// unseen are elements whose text nobody sees.
var unseen = []string{"script", "style", "title"}

// tag is the length of the tag that s starts with, or of the whole element if
// nobody sees its text; 0 where the < is just one.
func (h *stripper) tag(s string) int {
	switch {
	case strings.HasPrefix(s, "<!--"):
		if end := strings.Index(s, "-->"); end >= 0 {
			return end + len("-->")
		}
		return len(s)
	case len(s) < 2 || !isLetter(s[1]) && s[1] != '/' && s[1] != '!' && s[1] != '?':
		return 0
	}
	end := strings.IndexByte(s, '>')
	if end < 0 {
		h.open = true
		return 0
	}
	for _, name := range unseen {
		if hasFoldedPrefix(s[1:], name) && !h.closed[name] {
			end += h.element(s[end:], name)
		}
	}
	return end + 1
}

// element is where the closing tag of name ends.
func (h *stripper) element(s, name string) int {
	if n := indexFolded(s, "</"+name); n >= 0 {
		if more := strings.IndexByte(s[n:], '>'); more >= 0 {
			return n + more
		}
	}
	if h.closed == nil {
		h.closed = map[string]bool{}
	}
	h.closed[name] = true
	return 0
}

func hasFoldedPrefix(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// indexFolded finds a closing tag; each < is looked at once.
func indexFolded(s, tag string) int {
	for at := 0; ; at++ {
		i := strings.IndexByte(s[at:], '<')
		if i < 0 {
			return -1
		}
		if at += i; hasFoldedPrefix(s[at:], tag) {
			return at
		}
	}
}

// breaks says whether a tag starts a new line: words on both sides of it are
// two. Those of <b> and the like are one.
func breaks(tag string) bool {
	name := strings.TrimPrefix(tag, "/")
	n := 0
	for n < len(name) && (isLetter(name[n]) || isDigit(name[n])) {
		n++
	}
	switch foldASCII(name[:n]) {
	case "br", "p", "div", "td", "th", "tr", "table", "li", "ul", "ol", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "hr", "pre":
		return true
	}
	return false
}
