package lmtp_test

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// exchange sends octets over one connection, hangs up the sending half, and
// answers all replies and letters that came of it.
func (d *door) exchange(t *testing.T, octets string) (replies string, letters []letter) {
	t.Helper()
	cl := d.dial(t, "unix")
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		io.WriteString(cl.Raw, octets) // the server may hang up first
		cl.Raw.(interface{ CloseWrite() error }).CloseWrite()
	}()
	said, _ := io.ReadAll(cl.Raw) // a server that hangs up on unread octets resets
	cl.Raw.Close()
	<-sent
	d.gone.Wait()
	d.box.mu.Lock()
	defer d.box.mu.Unlock()
	letters, d.box.letters = d.box.letters, nil
	return string(said), letters
}

var replyLine = regexp.MustCompile(`^[2345][0-9][0-9][ -][\t -~]{0,506}$`)

// sane checks what holds whatever a stranger says: every reply is one, and only
// a 250 that says so accepts mail.
func sane(t *testing.T, replies string, letters []letter) {
	t.Helper()
	for l := range strings.Lines(replies) {
		l, whole := strings.CutSuffix(l, "\r\n")
		if !whole || !replyLine.MatchString(l) {
			t.Errorf("reply %q", l)
		}
	}
	for _, l := range letters {
		if !l.env.Demand.Stated() || l.env.ID == "" || len(l.rcpts) == 0 {
			t.Errorf("letter without its envelope: %+v", l)
		}
		if l.env.Demand.IsRequired() {
			t.Errorf("REQUIRETLS was taken in clear: %v", l)
		}
		if strings.ContainsRune(l.body, 0) || strings.Contains(strings.ReplaceAll(l.body, "\r\n", ""), "\n") {
			t.Errorf("body was not mended: %q", l.body)
		}
	}
}

// FuzzDSN: whatever is asked, what is kept of it can stand in a report: no
// control characters, within its limits.
func FuzzDSN(f *testing.F) {
	d := openDoor(f, offerDSN)
	for _, s := range [][2]string{
		{"RET=HDRS ENVID=QQ314159", "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob@Example.COM"},
		{"SMTPUTF8 ENVID=a+2Bb", `ORCPT=utf-8;r\x{E9}mi@x NOTIFY=NEVER`},
		{"RET=FULL", "ORCPT=x400;+2F+3D"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, ofMail, ofRcpt string) {
		replies, letters := d.exchange(t, "LHLO c\r\nMAIL FROM:<a@b.example> "+ofMail+"\r\nRCPT TO:<ann@example.org> "+ofRcpt+"\r\nDATA\r\n.\r\n")
		sane(t, replies, letters)
		for _, l := range letters {
			for _, dsn := range l.env.DSN {
				texts := dsn.EnvID + dsn.ORcptType + dsn.ORcpt
				if strings.ContainsFunc(texts, unicode.IsControl) || !utf8.ValidString(texts) || len(dsn.EnvID) > 100 || len(dsn.ORcpt) > 500 {
					t.Errorf("kept %+v", dsn)
				}
			}
		}
	})
}

// FuzzCommands: whatever is said, every reply is a reply, and no letter is
// delivered without an envelope.
func FuzzCommands(f *testing.F) {
	d := openDoor(f, maxSize(1000))
	const hello = "LHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<ann@example.org>\r\n"
	for _, s := range []string{
		"LHLO c\r\nNOOP\r\nVRFY x\r\nHELP\r\nEXPN x\r\nQUIT\r\n",
		hello + "DATA\r\nhi\r\n.\r\nRSET\r\n",
		hello + "BDAT 4\r\nhi\r\nBDAT 0 LAST\r\n",
		hello + "BDAT 2000 LAST\r\n",
		"LHLO c\r\nMAIL FROM:<\"a>b\"@x> SIZE=3 BODY=8BITMIME SMTPUTF8 REQUIRETLS\r\n",
		"STARTTLS\r\n\x16\x03\x01\x00\x05hello",
		"LHLO c\r\nMAIL FROM:<> SMTPUTF8\r\nRCPT TO:<r\xc3\xa9mi@x> NOTIFY=NEVER\r\nDATA\r\n\n.\n\x00\r\n.\r\n",
		"NOOP\nNOOP\r\n\r\n\x00\r\nBDAT\r\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		replies, letters := d.exchange(t, s)
		sane(t, replies, letters)
	})
}

// FuzzData: what follows DATA is delivered exactly as the plain model has it,
// and only if it has an end.
func FuzzData(f *testing.F) {
	d := openDoor(f)
	for _, s := range []string{
		"hi\r\n.\r\n", ".\r\n", "..\r\n.\r\n", "a\nb\x00c\r\n.\r\n", "text\r\r\n.\r\n", "\n.\n\r\n.\n.\r\n.\r", ".\rx\r\n.\r\n.\r\n.\r\n", "never ends",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		replies, letters := d.exchange(t, "LHLO c\r\n"+oneLetter+s)
		sane(t, replies, letters)
		want, ok := modelData(s)
		switch {
		case !ok && len(letters) > 0:
			t.Errorf("%q has no end and became %q", s, letters[0].body)
		case ok && (len(letters) == 0 || letters[0].body != want):
			t.Errorf("%q became %v, want %q", s, letters, want)
		}
	})
}

// FuzzBdat: chunks are the message whatever is in them and however it is cut;
// a stream that ends early, by even one octet, is no message.
func FuzzBdat(f *testing.F) {
	d := openDoor(f)
	f.Add("..x\r\n.\r\n\r\n", []byte{1, 0, 3}, uint16(0))
	f.Add("a\nb\x00\r", []byte{2, 1}, uint16(1))
	f.Add("QUIT\r\nRSET\r\n", []byte{6}, uint16(300))
	f.Add("", []byte{}, uint16(5))
	f.Fuzz(func(t *testing.T, text string, cuts []byte, missing uint16) {
		stream := "LHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<ann@example.org>\r\n" + inChunks(text, cuts)
		whole := len(stream)
		stream = stream[:max(0, whole-int(missing))]
		replies, letters := d.exchange(t, stream)
		sane(t, replies, letters)
		switch {
		case len(stream) < whole && len(letters) > 0:
			t.Errorf("%d octets are missing, and %q was delivered", missing, letters[0].body)
		case len(stream) == whole && (len(letters) != 1 || letters[0].body != modelMend(text)):
			t.Errorf("delivered %v, want %q", letters, modelMend(text))
		}
	})
}

// inChunks writes text as BDAT commands, cut where cuts say.
func inChunks(text string, cuts []byte) string {
	var b bytes.Buffer
	for _, c := range cuts {
		n := min(int(c), len(text))
		fmt.Fprintf(&b, "BDAT %d\r\n%s", n, text[:n])
		text = text[n:]
	}
	fmt.Fprintf(&b, "BDAT %d LAST\r\n%s", len(text), text)
	return b.String()
}
