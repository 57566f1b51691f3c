package mime_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"letterlock/internal/mime"
)

const searched = "Subject: =?utf-8?Q?caf=C3=A9?=\r\n folded\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
	"preamble\r\n" +
	"--b\r\nContent-Type: text/plain; charset=koi8-r\r\nContent-Transfer-Encoding: base64\r\n\r\n6dfBzg==\r\n" +
	"--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: x-odd\r\n\r\n<p>\xfc\r\n" +
	"--b\r\nContent-Type: image/png; name=x.png\r\n\r\nimage\r\n" +
	"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninside\r\n" +
	"--b--\r\nepilogue\r\n"

func passages(t testing.TB, letter string, scope mime.Scope) (all []string) {
	t.Helper()
	r := strings.NewReader(letter)
	sum, err := mime.Summarize(r)
	if err != nil {
		t.Fatal(err)
	}
	for p := range mime.Passages(sum, r, scope) {
		text, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%q", text))
	}
	return all
}

func TestPassagesOfALetter(t *testing.T) {
	body := []string{`"Иван"`, `"<p>ü"`, `"Subject: inner\n\n"`, `"inside"`}
	if got := passages(t, searched, mime.ScopeBody); strings.Join(got, "\n") != strings.Join(body, "\n") {
		t.Errorf("BODY: got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(body, "\n"))
	}
	text := []string{
		`"Subject: café folded\nContent-Type: multipart/mixed; boundary=b\n\n"`,
		`"Content-Type: text/plain; charset=koi8-r\nContent-Transfer-Encoding: base64\n\n"`, `"Иван"`,
		`"Content-Type: text/html\nContent-Transfer-Encoding: x-odd\n\n"`, `"<p>ü"`,
		`"Content-Type: image/png; name=x.png\n\n"`,
		`"Content-Type: message/rfc822\n\n"`, `"Subject: inner\n\n"`, `"inside"`,
	}
	if got := passages(t, searched, mime.ScopeText); strings.Join(got, "\n") != strings.Join(text, "\n") {
		t.Errorf("TEXT: got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(text, "\n"))
	}
}

// TestPassagesOfABounce: why a letter came back, and to whom it was, stands in the
// delivery status (RFC 3464 §2.3); who looks for the address finds it.
func TestPassagesOfABounce(t *testing.T) {
	letter := "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n" +
		"--b\r\n\r\nSorry.\r\n" +
		"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx\r\n\r\nFinal-Recipient: rfc822; bob@example.net\r\n" +
		"--b\r\nContent-Type: message/feedback-report\r\nContent-Transfer-Encoding: base64\r\n\r\nYWJ1c2U=\r\n" +
		"--b--\r\n"
	want := []string{`"Sorry."`, `"Reporting-MTA: dns; mx\r\n\r\nFinal-Recipient: rfc822; bob@example.net"`, `"abuse"`}
	if got := passages(t, letter, mime.ScopeBody); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestPassagesOfAMessageInBase64(t *testing.T) {
	letter := "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3ViamVjdDogaGlkZGVuDQoNCmluc2lkZQ0K"
	want := `"Subject: hidden\r\n\r\ninside\r\n"`
	if got := passages(t, letter, mime.ScopeBody); len(got) != 1 || got[0] != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAWalkOverPassagesMayStop(t *testing.T) {
	r := strings.NewReader(searched)
	sum := summarize(t, []byte(searched))
	for stop := 1; stop <= 9; stop++ {
		seen := 0
		for range mime.Passages(sum, r, mime.ScopeText) {
			if seen++; seen == stop {
				break
			}
		}
		if seen != stop {
			t.Errorf("stopped after %d, want %d", seen, stop)
		}
	}
}

func TestPassagesGiveTheReadersError(t *testing.T) {
	letter := []byte(searched)
	sum := summarize(t, letter)
	for _, good := range []int64{0, 50, 300} {
		var failed error
		for p := range mime.Passages(sum, failing{bytes.NewReader(letter), good}, mime.ScopeText) {
			if _, err := io.Copy(io.Discard, p); err != nil {
				failed = err
				break
			}
		}
		if !errors.Is(failed, errDisk) {
			t.Errorf("disk gone at %d: got %v, want %v", good, failed, errDisk)
		}
	}
}

func FuzzPassages(f *testing.F) {
	for _, letter := range letters(f) {
		f.Add(letter)
	}
	f.Fuzz(func(t *testing.T, letter []byte) {
		for _, scope := range []mime.Scope{mime.ScopeBody, mime.ScopeText} {
			for _, text := range passages(t, string(letter), scope) {
				if !utf8.ValidString(text) {
					t.Errorf("%q is not UTF-8", text)
				}
			}
		}
	})
}
