package imapd_test

import (
	"bytes"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"letterlock/imapd"
	"letterlock/internal/mime"
	"letterlock/internal/requiretls"
	"letterlock/storage"
)

// BenchmarkFetch measures the server: its client looks for the end of the
// answer and at nothing else. What one letter of a mixed mailbox costs stands
// in us/letter and allocs/letter.
func BenchmarkFetch(b *testing.B) {
	const letters = 2000
	h := openHouse(b, func(o *imapd.Options) { o.Cleartext.Local = true })
	h.fillMixed(letters)
	c := h.hasty()
	c.do(b, "LOGIN ann@example.org "+secret)
	c.do(b, "SELECT INBOX")
	var oneByOne []string
	for i := range letters {
		oneByOne = append(oneByOne, fmt.Sprintf("FETCH %d BODY.PEEK[]", i*7919%letters+1))
	}
	for _, row := range []struct {
		name     string
		commands []string
	}{
		{"flags", []string{"FETCH 1:* (UID FLAGS)"}},
		{"list", []string{"FETCH 1:* (FLAGS UID INTERNALDATE RFC822.SIZE ENVELOPE)"}},
		{"bodystructure-anew", []string{"FETCH 1:* (INTERNALDATE BODYSTRUCTURE)"}}, // which is not remembered
		{"bodystructure", []string{"FETCH 1:* (UID BODYSTRUCTURE)"}},
		{"headers", []string{"UID FETCH 1:* (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To)])"}},
		{"body", []string{"FETCH 1:* BODY.PEEK[]"}},
		{"one-by-one", oneByOne},
	} {
		b.Run(row.name, func(b *testing.B) {
			c.do(b, row.commands[0])
			before := allocated()
			for b.Loop() {
				for _, command := range row.commands {
					c.do(b, command)
				}
			}
			per := float64(b.N) * letters
			b.ReportMetric(float64(allocated()-before)/per, "allocs/letter")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/1e3/per, "us/letter")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// hasty is a client that reads an answer without looking into it.
type hasty struct {
	conn net.Conn
	buf  []byte
}

func (h *house) hasty() *hasty {
	h.t.Helper()
	conn, err := net.Dial("tcp", h.addrs["plain"])
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	c := &hasty{conn, make([]byte, 1<<20)}
	if _, err := conn.Read(c.buf); err != nil { // the greeting
		h.t.Fatal(err)
	}
	return c
}

// do sends one command and waits for its OK, the last line of what comes.
func (c *hasty) do(b *testing.B, command string) {
	b.Helper()
	if _, err := c.conn.Write([]byte("h " + command + "\r\n")); err != nil {
		b.Fatal(err)
	}
	c.conn.SetDeadline(time.Now().Add(time.Minute))
	kept := 0
	for {
		n, err := c.conn.Read(c.buf[kept:])
		if err != nil {
			b.Fatal(err)
		}
		got := c.buf[:kept+n]
		last := got[max(0, len(got)-4096):]
		if i := bytes.LastIndex(last, []byte("\r\nh ")); i >= 0 {
			last = last[i+2:]
		}
		if bytes.HasPrefix(last, []byte("h ")) && bytes.HasSuffix(last, []byte("\r\n")) {
			if !bytes.HasPrefix(last, []byte("h OK ")) {
				b.Fatalf("%s: got %s", command, last)
			}
			return
		}
		kept = copy(c.buf, last)
	}
}

// fillMixed appends n letters: short ones, alternatives, attachments.
func (h *house) fillMixed(n int) {
	h.t.Helper()
	header := "Received: from mx.example.net by mail.example.org with ESMTPS; Mon, 7 Feb 1994 21:52:26 -0800\r\n" +
		"From: Bob Example <bob@example.org>\r\nTo: Ann <ann@example.org>, carol@example.net\r\nSubject: number %d\r\n" +
		"Date: Mon, 7 Feb 1994 21:52:25 -0800\r\nMessage-ID: <%d@example.org>\r\nReferences: <1@example.org> <2@example.org>\r\n" +
		"DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=one;\r\n\tb=" + strings.Repeat("aGVsbG8gd29ybGQ", 16) + "\r\nMIME-Version: 1.0\r\n"
	line := "Some text that fills a line of a letter rather well.\r\n"
	leaf := "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + strings.Repeat(line, 40)
	html := "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + strings.Repeat(line, 20)
	file := "Content-Type: application/pdf; name=\"report.pdf\"\r\nContent-Disposition: attachment; filename=\"report.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat("aGVsbG8gd29ybGQ\r\n", 200)
	multi := func(kind, boundary string, parts ...string) string {
		sep := "\r\n--" + boundary + "\r\n"
		return "Content-Type: multipart/" + kind + "; boundary=\"" + boundary + "\"\r\n\r\n" + sep + strings.Join(parts, sep) + "\r\n--" + boundary + "--\r\n"
	}
	both := multi("alternative", "alt", leaf, html)
	kinds := []string{leaf, both, multi("mixed", "mix", both, file)}
	var letters []storage.Letter
	for i := range n {
		body := bytes.NewReader([]byte(fmt.Sprintf(header, i, i) + kinds[i%len(kinds)]))
		sum, err := mime.Summarize(body)
		if err != nil {
			h.t.Fatal(err)
		}
		letters = append(letters, storage.Letter{Body: body, Summary: sum, InternalDate: time.Now(), Demand: requiretls.Usual()})
	}
	for some := range slices.Chunk(letters, 500) {
		if _, _, err := h.account("ann").Append(h.t.Context(), "INBOX", some); err != nil {
			h.t.Fatal(err)
		}
	}
}
