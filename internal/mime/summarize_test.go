package mime_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"letterlock/internal/mail"
	"letterlock/internal/mime"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestLettersReadAsTheyAre scans every letter in testdata/letters and compares
// the summary with the file of the same name that ends in .want.
func TestLettersReadAsTheyAre(t *testing.T) {
	for name, letter := range letters(t) {
		t.Run(name, func(t *testing.T) {
			sum := summarize(t, letter)
			checkSummary(t, sum, letter)
			got := written(sum, letter)
			golden := filepath.Join("testdata", "letters", strings.TrimSuffix(name, ".eml")+".want")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func letters(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("testdata/letters/*.eml")
	if err != nil || len(names) == 0 {
		t.Fatalf("no letters: %v", err)
	}
	all := map[string][]byte{}
	for _, name := range names {
		letter, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(name)] = letter
	}
	return all
}

func summarize(t testing.TB, letter []byte) *mail.Summary {
	t.Helper()
	sum, err := mime.Summarize(bytes.NewReader(letter))
	if err != nil {
		t.Fatalf("%q: %v", letter, err)
	}
	return sum
}

// written is a summary as a person reads it: a line for each thing said, and
// for each part its borders and how its body starts and ends.
func written(sum *mail.Summary, letter []byte) string {
	var b strings.Builder
	writeMessage(&b, "", sum, letter)
	return b.String()
}

func writeMessage(b *strings.Builder, indent string, sum *mail.Summary, letter []byte) {
	line := func(name string, has bool, format string, args ...any) {
		if has {
			fmt.Fprintf(b, "%s%s: %s\n", indent, name, fmt.Sprintf(format, args...))
		}
	}
	line("date", sum.Has&mail.HasDate != 0, "%q = %s", sum.Date, sum.Sent.Format("2006-01-02 15:04:05 -0700"))
	line("subject", sum.Has&mail.HasSubject != 0, "%q", sum.Subject)
	for _, list := range []struct {
		name  string
		addrs []mail.Addr
	}{{"from", sum.From}, {"sender", sum.Sender}, {"reply-to", sum.ReplyTo}, {"to", sum.To}, {"cc", sum.Cc}, {"bcc", sum.Bcc}} {
		for _, a := range list.addrs {
			line(list.name, true, "%s", writtenAddr(a))
		}
	}
	line("in-reply-to", sum.Has&mail.HasInReplyTo != 0, "%q", sum.InReplyTo)
	line("message-id", sum.Has&mail.HasMessageID != 0, "%q", sum.MessageID)
	line("references", sum.References != nil, "%q", sum.References)
	writePart(b, indent, "1", &sum.Root, letter)
}

func writtenAddr(a mail.Addr) string {
	switch a.Group {
	case mail.GroupStart:
		return fmt.Sprintf("group %q", a.Mailbox)
	case mail.GroupEnd:
		return "end of group"
	}
	s := fmt.Sprintf("%q %q @ %q", a.Name, a.Mailbox, a.Host)
	if a.Route != "" {
		s += fmt.Sprintf(" by %q", a.Route)
	}
	return s
}

func writePart(b *strings.Builder, indent, number string, p *mail.Part, letter []byte) {
	fmt.Fprintf(b, "%s[%s] %s/%s %s %d-%d-%d, %d lines", indent, number, p.Type, p.Subtype, p.Encoding, p.Header, p.Body, p.End, p.Lines)
	for _, d := range []struct{ name, value string }{{"id", p.ID}, {"description", p.Description}, {"md5", p.MD5}, {"location", p.Location}} {
		if d.value != "" {
			fmt.Fprintf(b, ", %s %q", d.name, d.value)
		}
	}
	if p.Language != nil {
		fmt.Fprintf(b, ", language %q", p.Language)
	}
	b.WriteString(writtenParams(p.Params))
	if p.Disposition != "" {
		fmt.Fprintf(b, ", disposition %s%s", p.Disposition, writtenParams(p.DispParams))
	}
	if body := letter[p.Body:p.End]; p.Parts == nil && p.Message == nil {
		fmt.Fprintf(b, "\n%s  %q", indent, excerpt(body))
	}
	b.WriteByte('\n')
	for i := range p.Parts {
		writePart(b, indent+"  ", fmt.Sprintf("%s.%d", number, i+1), &p.Parts[i], letter)
	}
	if p.Message != nil {
		writeMessage(b, indent+"  | ", p.Message, letter)
	}
}

func writtenParams(params []mail.Param) (s string) {
	for _, p := range params {
		s += fmt.Sprintf("; %s=%q", p.Name, p.Value)
	}
	return s
}

func excerpt(body []byte) []byte {
	if len(body) <= 60 {
		return body
	}
	return append(append(append([]byte{}, body[:28]...), " .. "...), body[len(body)-28:]...)
}

// checkSummary holds a summary against what Summarize promises for any input.
func checkSummary(t testing.TB, sum *mail.Summary, letter []byte) {
	t.Helper()
	if sum.Root.Header != 0 || sum.Root.End != int64(len(letter)) {
		t.Errorf("the root spans %d-%d of %d octets", sum.Root.Header, sum.Root.End, len(letter))
	}
	if size := weight(sum); size > 3<<19 {
		t.Errorf("the summary takes %d octets", size)
	} else if said := mime.Octets(sum); said < size || said > 2*size+1024 {
		t.Errorf("the summary is said to take %d octets, and takes %d", said, size)
	}
	checkMessage(t, sum, 0, int64(len(letter)), letter, 0)
}

func checkMessage(t testing.TB, sum *mail.Summary, from, to int64, letter []byte, depth int) {
	t.Helper()
	for _, list := range [][]mail.Addr{sum.From, sum.Sender, sum.ReplyTo, sum.To, sum.Cc, sum.Bcc} {
		grouped := false
		for _, a := range list {
			switch {
			case a.Group == mail.NoGroup && (a.Mailbox == "" || a.Host == ""):
				t.Errorf("an address without a half: %+v", a)
			case a.Group == mail.GroupStart && (grouped || a.Mailbox == "" || a.Host != ""):
				t.Errorf("bad start of a group: %+v", list)
			case a.Group == mail.GroupEnd && (!grouped || a != mail.Addr{Group: mail.GroupEnd}):
				t.Errorf("bad end of a group: %+v", list)
			}
			grouped = a.Group == mail.GroupStart || grouped && a.Group != mail.GroupEnd
		}
		if grouped {
			t.Errorf("a group without an end: %+v", list)
		}
	}
	checkPart(t, &sum.Root, from, to, letter, depth)
}

func checkPart(t testing.TB, p *mail.Part, from, to int64, letter []byte, depth int) {
	t.Helper()
	if p.Header < from || p.Body < p.Header || p.End < p.Body || p.End > to {
		t.Fatalf("part at %d-%d-%d leaves %d-%d", p.Header, p.Body, p.End, from, to)
	}
	if n := int64(bytes.Count(letter[p.Body:p.End], []byte("\n"))); n != p.Lines {
		t.Errorf("part at %d-%d has %d lines, counted %d", p.Body, p.End, n, p.Lines)
	}
	if p.Type == "" || p.Subtype == "" || p.Encoding == "" {
		t.Errorf("part without a type or an encoding: %+v", p)
	}
	if strings.EqualFold(p.Type, "multipart") != (len(p.Parts) > 0) {
		t.Errorf("%s/%s with %d parts", p.Type, p.Subtype, len(p.Parts))
	}
	message := strings.EqualFold(p.Type, "message") && (strings.EqualFold(p.Subtype, "rfc822") || strings.EqualFold(p.Subtype, "global"))
	if message != (p.Message != nil) {
		t.Errorf("%s/%s with message %v", p.Type, p.Subtype, p.Message)
	}
	if depth > 33 {
		t.Fatalf("%d levels deep", depth)
	}
	at := p.Body
	for i := range p.Parts {
		checkPart(t, &p.Parts[i], at, p.End, letter, depth+1)
		at = p.Parts[i].End
	}
	if p.Message != nil {
		if p.Message.Root.Header != p.Body || p.Message.Root.End != p.End {
			t.Errorf("message of %d-%d in a part of %d-%d", p.Message.Root.Header, p.Message.Root.End, p.Body, p.End)
		}
		checkMessage(t, p.Message, p.Body, p.End, letter, depth+1)
	}
}

// weight is the octets of memory behind v.
func weight(sum *mail.Summary) int { return int(unsafe.Sizeof(*sum)) + hanging(reflect.ValueOf(*sum)) }

func hanging(v reflect.Value) (n int) {
	switch v.Kind() {
	case reflect.String:
		return v.Len()
	case reflect.Slice:
		for i := range v.Len() {
			n += int(v.Type().Elem().Size()) + hanging(v.Index(i))
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[mail.Summary]() || v.Type().PkgPath() == "letterlock/internal/mail" {
			for i := range v.NumField() {
				n += hanging(v.Field(i))
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			n = int(v.Type().Elem().Size()) + hanging(v.Elem())
		}
	}
	return n
}

// grudging gives a message a few octets at a time.
type grudging struct {
	*bytes.Reader
	most int
}

func (g grudging) ReadAt(p []byte, off int64) (int, error) {
	n, err := g.Reader.ReadAt(p[:min(len(p), g.most)], off)
	if n > 0 {
		err = nil
	}
	return n, err
}

func FuzzSummarize(f *testing.F) {
	for _, letter := range letters(f) {
		f.Add(letter, 7)
	}
	f.Fuzz(func(t *testing.T, letter []byte, most int) {
		sum := summarize(t, letter)
		checkSummary(t, sum, letter)
		slow, err := mime.Summarize(grudging{bytes.NewReader(letter), 1 + most&0x3ff})
		if err != nil || !reflect.DeepEqual(sum, slow) {
			t.Errorf("read in pieces: %v\ngot\n%s\nwant\n%s", err, written(slow, letter), written(sum, letter))
		}
		shifted := sum.Shift(9)
		if shifted.Root.End != sum.Root.End+9 || shifted.Root.Header != 0 {
			t.Errorf("shifted root at %d-%d", shifted.Root.Header, shifted.Root.End)
		}
	})
}

var errDisk = errors.New("disk gone")

// failing is a message whose disk breaks.
type failing struct {
	*bytes.Reader
	good int64
}

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off >= f.good {
		return 0, errDisk
	}
	n, _ := f.Reader.ReadAt(p[:min(int64(len(p)), f.good-off)], off)
	return n, errDisk
}

func TestOnlyTheReadersErrorsComeBack(t *testing.T) {
	letter := bytes.Repeat([]byte("Subject: x\r\n"), 20000)
	for _, good := range []int64{0, 1, 100, 70000, 200000} {
		if sum, err := mime.Summarize(failing{bytes.NewReader(letter), good}); !errors.Is(err, errDisk) {
			t.Errorf("disk gone at %d: %v, %v; want %v", good, sum, err, errDisk)
		}
	}
	if _, err := mime.Summarize(short{bytes.NewReader(letter)}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a message shorter than it says: %v", err)
	}
}

type short struct{ *bytes.Reader }

func (s short) Size() int64 { return s.Reader.Size() + 1 }
