package imapd

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"letterlock/internal/mail"
)

// TestSearchFindsTextWhereverItLies: at every place around the borders of the
// pieces in which a text is read, in any case, beyond ASCII too.
func TestSearchFindsTextWhereverItLies(t *testing.T) {
	for _, c := range []struct{ written, sought string }{
		{"Needle", "nEEDLE"}, {"GRÜSSE aus Köln", "grüsse AUS KÖLN"}, {"猫", "猫"}, {"x", "X"}, {"ΣΊΣΥΦΟΣ", "σίσυφοσ"},
	} {
		for shift := range 40 {
			text := strings.Repeat("é", (16<<10)/2-20) + strings.Repeat("a", shift) + c.written + strings.Repeat("ü", 100)
			for name, r := range map[string]io.Reader{"at once": strings.NewReader(text), "by octets": iotest.OneByteReader(strings.NewReader(text))} {
				if ns := sought(c.sought, "?"); ns.look(r) != nil || ns.open() != 1 || ns[1].found {
					t.Errorf("%s not found %d octets from the border, read %s", c.sought, shift-40, name)
				}
			}
			if ns := sought(c.sought + "?"); ns.look(strings.NewReader(text)) != nil || ns.open() != 1 {
				t.Errorf("%s? found", c.sought)
			}
		}
	}
}

func sought(texts ...string) (ns needles) {
	for _, text := range texts {
		ns = append(ns, &needle{want: []byte(fold(text))})
	}
	return ns
}

// TestDecodedTextEndsItsLinesInCRLF: RFC 9051 §7.5.2, BINARY.
func TestDecodedTextEndsItsLinesInCRLF(t *testing.T) {
	const in, want = "a\nb\r\nc\r\r\n\n\rd\n", "a\r\nb\r\nc\r\r\n\r\n\rd\r\n"
	for size := 1; size <= len(in); size++ {
		var out bytes.Buffer
		w := &crlfWriter{w: &out}
		for rest := in; rest != ""; {
			n := min(size, len(rest))
			if _, err := io.WriteString(w, rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if out.String() != want {
			t.Errorf("in pieces of %d: %q, want %q", size, out.String(), want)
		}
	}
}

// TestPartialBeyondTheEndIsEmpty: RFC 9051 §6.4.5.
func TestPartialBeyondTheEndIsEmpty(t *testing.T) {
	for _, c := range []struct {
		offset, count int64
		want          extent
	}{
		{0, 5, extent{10, 15}}, {0, 99, extent{10, 20}}, {8, 5, extent{18, 20}}, {10, 5, extent{20, 20}}, {1 << 62, 1 << 62, extent{20, 20}},
	} {
		if got := (extent{10, 20}).cut(c.offset, c.count); got != c.want {
			t.Errorf("<%d.%d>: %v, want %v", c.offset, c.count, got, c.want)
		}
	}
}

// TestPartNumbersNestAsTheRFCSays: RFC 9051 §6.4.5.1.
func TestPartNumbersNestAsTheRFCSays(t *testing.T) {
	leaf := func(id string) mail.Part { return mail.Part{Type: "text", Subtype: "plain", ID: id} }
	enclosed := func(id string, root mail.Part) mail.Part {
		return mail.Part{Type: "message", Subtype: "rfc822", ID: id, Message: &mail.Summary{Root: root}}
	}
	multi := func(id string, parts ...mail.Part) mail.Part {
		return mail.Part{Type: "multipart", ID: id, Parts: parts}
	}
	example := multi("", leaf("1"), leaf("2"), enclosed("3", multi("3 inside", leaf("3.1"), leaf("3.2"))),
		multi("4", leaf("4.1"), enclosed("4.2", multi("4.2 inside", leaf("4.2.1"), multi("4.2.2", leaf("4.2.2.1"), leaf("4.2.2.2"))))))
	single := leaf("1")
	letterInLetter := enclosed("1", leaf("1.1"))
	for _, c := range []struct {
		root *mail.Part
		path []uint32
		want string // ID; empty: there is no such part
	}{
		{&example, []uint32{1}, "1"}, {&example, []uint32{3}, "3"}, {&example, []uint32{3, 2}, "3.2"}, {&example, []uint32{4, 1}, "4.1"},
		{&example, []uint32{4, 2, 2, 2}, "4.2.2.2"}, {&example, []uint32{5}, ""}, {&example, []uint32{1, 1}, ""}, {&example, []uint32{4, 2, 3}, ""},
		{&single, []uint32{1}, "1"}, {&single, []uint32{2}, ""}, {&single, []uint32{1, 1}, ""},
		{&letterInLetter, []uint32{1}, "1"}, {&letterInLetter, []uint32{1, 1}, "1.1"}, {&letterInLetter, []uint32{1, 1, 1}, ""}, {&letterInLetter, []uint32{1, 2}, ""},
	} {
		got := ""
		if p := findPart(c.root, c.path); p != nil {
			got = p.ID
		}
		if got != c.want {
			t.Errorf("part %v is %q, want %q", c.path, got, c.want)
		}
	}
}

// FuzzHeaderFields: the walk over a header that SEARCH does holds on to no more
// than a field's share, and finds the first field whatever follows.
func FuzzHeaderFields(f *testing.F) {
	f.Add([]byte("Subject: a\r\n b\r\nX: y\r\n\r\n"))
	f.Add([]byte(" no field\r\n:\r\n\n\xff:"))
	f.Fuzz(func(t *testing.T, rest []byte) {
		found := anyField(bufio.NewReader(bytes.NewReader(append([]byte("First: one\r\n two\r\nSecond:x\r\n"), rest...))), func(name, value string) bool {
			if len(name)+len(value) > maxField {
				t.Errorf("a field of %d octets", len(name)+len(value))
			}
			return name == "First" && value == "one two"
		})
		if !found {
			t.Error("the first field was not found")
		}
	})
}
