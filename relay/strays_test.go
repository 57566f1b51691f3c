package relay

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"letterlock/internal/mail"
)

func TestStrayCRAndLFLeaveAsSpaces(t *testing.T) { // RFC 5321 §2.3.8
	for message, want := range map[string]string{
		"":                     "",
		"a\r\nb\r\n":           "a\r\nb\r\n",
		"a\r.\r\nMAIL\r\n":     "a .\r\nMAIL\r\n",
		"a\n.\nMAIL\n":         "a . MAIL ",
		"\r\r\n\n\r\r":         " \r\n   ",
		"\n\r\na\r":            " \r\na ",
		"a\r\n.\rMAIL\r\n.\r":  "a\r\n. MAIL\r\n. ",
		"\r\n\r\n.\r\n\r\n.\n": "\r\n\r\n.\r\n\r\n. ",
	} {
		for name, by := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "by octets": iotest.OneByteReader, "end with the octets": iotest.DataErrReader,
		} {
			got, err := io.ReadAll(withoutStrays(by(strings.NewReader(message))))
			if err != nil || string(got) != want {
				t.Errorf("%q %s: %q, %v, want %q", message, name, got, err, want)
			}
		}
	}
	if got, err := io.ReadAll(withoutStrays(iotest.TimeoutReader(strings.NewReader(strings.Repeat("a\r", 40_000))))); err != iotest.ErrTimeout {
		t.Errorf("%d octets, %v: a body that cannot be read looks whole", len(got), err)
	}
}

// A message that hides a second one behind a CR is one message to every host,
// whatever ends a line there.
func TestNothingIsSmuggledToTheNextHost(t *testing.T) { // RFC 5321 §2.3.8
	w := newWorld(t)
	w.zone([]string{"secure"})
	w.host("a", "10", "10")
	w.start()
	body := "Subject: one\r\n\r\nhello\r\n.\rMAIL FROM:<ceo@from.test>\r\rhello\r.\r\nMAIL FROM:<ceo@from.test>\r\n"
	defer w.run()()
	w.box.add(t, w.letter(demandWords["usual"], carl), body, w.now)
	w.await(Sent, 1)
	got := w.hosts["a"].Got()
	if len(got) != 1 {
		t.Fatalf("%d letters arrived", len(got))
	}
	if rest := strings.ReplaceAll(got[0].Data, "\r\n", ""); strings.ContainsAny(rest, "\r\n") {
		t.Errorf("a bare CR or LF was sent: %q", got[0].Data)
	}
	if !strings.Contains(got[0].Data, "hello\r\n. MAIL FROM:<ceo@from.test>  hello .\r\nMAIL FROM") {
		t.Errorf("it reads %q", got[0].Data)
	}
}

func FuzzStraysLeaveAsSpaces(f *testing.F) {
	f.Add("a\r.\r\n.\n")
	f.Add("\r\r\n\r")
	f.Fuzz(func(t *testing.T, message string) {
		l := &Letter{Outbound: &mail.Outbound{Slip: mail.Slip{Source: mail.Own, Prefix: []byte(message)}}}
		r, size := l.octets(mail.FullForm)
		got, err := io.ReadAll(iotest.HalfReader(r))
		if err != nil || int64(len(got)) != size {
			t.Fatalf("%d octets of %d, %v", len(got), size, err)
		}
		lines := strings.Split(message, "\r\n")
		for i, line := range lines {
			lines[i] = strings.NewReplacer("\r", " ", "\n", " ").Replace(line)
		}
		if want := strings.Join(lines, "\r\n"); string(got) != want {
			t.Errorf("%q left as %q, want %q", message, got, want)
		}
	})
}
