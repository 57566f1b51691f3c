package mime_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"letterlock/internal/mail"
	"letterlock/internal/mime"
)

func preview(t testing.TB, letter string) string {
	t.Helper()
	sum := summarize(t, []byte(strings.ReplaceAll(letter, "\n", "\r\n")))
	if sum.Has&mail.HasPreview == 0 {
		t.Error("the summary does not say that it has a preview")
	}
	return sum.Preview
}

const (
	alternatives = "Content-Type: multipart/alternative; boundary=b\n\n--b\n"
	htmlPart     = "Content-Type: text/html\n\n<html><head><title>no</title><style>p{}</style></head><body><p>Hi&nbsp;<b>bo</b>ld &amp; br<i>ight</i><p>next<br>line<!-- no --><script>no()</script></body></html>\n"
	plainPart    = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=C3=9Fe  aus=20=\n Wien\n"
)

// RFC 8970 §3.3: plain text in UTF-8, markup gone.
func TestPreviewIsTheStartOfWhatPeopleRead(t *testing.T) {
	for name, c := range map[string]struct{ letter, want string }{
		"plain":                     {"Subject: x\n\nHello\n\n\tworld \n", "Hello world"},
		"charset and encoding":      {plainPart, "Grüße aus Wien"},
		"HTML":                      {htmlPart, "Hi bold & bright next line"},
		"plain before HTML":         {alternatives + htmlPart + "--b\n" + plainPart + "--b--\n", "Grüße aus Wien"},
		"HTML after empty plain":    {alternatives + "\n \n--b\n" + htmlPart + "--b--\n", "Hi bold & bright next line"},
		"the first of mixed parts":  {strings.Replace(alternatives, "alternative", "mixed", 1) + htmlPart + "--b\n" + plainPart + "--b--\n", "Hi bold & bright next line"},
		"no attachment":             {strings.Replace(alternatives, "alternative", "mixed", 1) + "Content-Disposition: attachment\n\nnot this\n--b\n\nbut this\n--b--\n", "but this"},
		"a message inside":          {"Content-Type: message/rfc822\n\nSubject: inner\n\ninside\n", "inside"},
		"nothing for people":        {"Content-Type: image/png\n\nbinary\n", ""},
		"encrypted":                 {"Content-Type: text/plain\n\n-----BEGIN PGP MESSAGE-----\n\nhQEMA\n", ""},
		"quotes last":               {"\n> You wrote\n> this\n\nI answer\n-- \nAnn\n", "I answer"},
		"quotes where nothing else": {"\n> You wrote\n>> this\n", "You wrote this"},
		"what cannot be seen":       {"Content-Type: text/html; charset=utf-8\n\n<div>\u200b\u034f\u00ad\u200c&zwnj;\u202e</div>Seen\u200b it \U0001f469\u200d\U0001f680", "Seen it \U0001f469\u200d\U0001f680"},
		"empty":                     {"\n", ""},
	} {
		if got := preview(t, c.letter); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// RFC 8970 §3.3: at most 200 characters, whatever they take.
func TestPreviewIsAtMost200Characters(t *testing.T) {
	for _, text := range []string{strings.Repeat("x", 9000), strings.Repeat("ü ", 300), strings.Repeat("\U0001f600", 5000), strings.Repeat("x ", 99) + "xy z", "<p>" + strings.Repeat("ab<br>", 5000)} {
		for _, kind := range []string{"plain", "html"} {
			got := preview(t, "Content-Type: text/"+kind+"; charset=utf-8\n\n"+text)
			if n := utf8.RuneCountInString(got); n > 200 || n < 198 || strings.HasSuffix(got, " ") {
				t.Errorf("%.20q as %s: %d characters", text, kind, n)
			}
		}
	}
}

// What is read of a part ends somewhere, in the midst of a character, too.
func TestPreviewHasWholeCharactersAlone(t *testing.T) {
	for cut := range utf8.UTFMax {
		text := "> " + strings.Repeat("q", 220+cut) + "\n" + strings.Repeat("\U0001f600", 250)
		if got := preview(t, "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n"+text); strings.ContainsRune(got, utf8.RuneError) || got == "" {
			t.Errorf("%d octets in front: got %q", 222+cut, got)
		}
	}
}

func TestPreviewPassesOnTheReadersError(t *testing.T) {
	broken := errors.New("disk gone")
	for _, letter := range []string{plainPart, htmlPart} {
		sum := summarize(t, []byte(letter))
		r := unreadable{broken}
		if _, err := mime.Preview(sum, r); !errors.Is(err, broken) {
			t.Errorf("got %v, want %v", err, broken)
		}
	}
}

// unreadable is a message that cannot be read.
type unreadable struct{ err error }

func (u unreadable) ReadAt([]byte, int64) (int, error) { return 0, u.err }

func FuzzPreview(f *testing.F) {
	for _, letter := range []string{plainPart, htmlPart, alternatives + htmlPart + "--b\n" + plainPart + "--b--\n", "Content-Type: text/html\n\n<<<p <!-- <style>", "Content-Type: text/html\n\n&#xd800;&#1114112;\x00"} {
		f.Add(strings.ReplaceAll(letter, "\n", "\r\n"))
	}
	f.Fuzz(func(t *testing.T, letter string) {
		got := summarize(t, []byte(letter)).Preview
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > 200 || strings.ContainsAny(got, "\r\n\t\x00") || strings.TrimSpace(got) != got {
			t.Errorf("got %q", got)
		}
	})
}
