package releasetest

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// Two words, each in everything that can be made from the content of a tagged
// letter: one twin's letters have the first, the other's the second.
var markers = [2]string{"quagga", "numbat"}

// sentDates is when the twins' tagged letters say they were sent.
var sentDates = [2]string{"Tue, 3 Feb 1987 10:11:12 +0000", "Sat, 8 May 1999 01:02:03 +0200"}

// letter is a message to be filed. Its text hangs on the twin where it is tagged.
type letter struct {
	mailbox string
	tagged  bool
	flags   []string
	text    func(twin int) string
}

// octetsOf is the text of a letter with the size that both twins' have. shift
// makes it another size: where even that is hidden.
func (l *letter) octetsOf(twin, shift int) string {
	text := l.text(twin)
	if !l.tagged {
		return text
	}
	size := max(len(l.text(0)), len(l.text(1))) + 80 + shift
	return text + strings.Repeat("-", size-len(text)-2) + "\r\n"
}

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.FixedZone("", 3600))

func open(text string) func(int) string { return func(int) string { return text } }

// letters is what lies in each twin's mailboxes. The open letters meet the tagged
// ones in all by which mail is put together: references, subjects, identifiers,
// addresses, words.
var letters = []letter{
	{"INBOX", false, nil, open("Date: Wed, 4 Feb 2026 10:11:12 +0000\r\nFrom: Bob <bob@example.org>\r\nTo: me@example.org\r\nMessage-ID: <first@open.example>\r\n" +
		"Subject: an open letter\r\n\r\nThe first of the open letters, with a boat in it.\r\n")},
	{"INBOX", true, []string{`\Deleted`, "work"}, manyParts},
	{"INBOX", false, []string{`\Flagged`}, open("Date: Thu, 5 Feb 2026 10:11:12 +0000\r\nFrom: Carl <carl@example.org>\r\nTo: me@example.org\r\nCc: dora@example.org\r\n" +
		"Message-ID: <second@open.example>\r\nSubject: mmm in the middle\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=limit\r\n\r\n" +
		"--limit\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na caf=C3=A9 by the lake\r\n" +
		"--limit\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\nAAECAwQF\r\n--limit--\r\n")},
	{"INBOX", true, []string{`\Answered`}, theReply},
	{"INBOX", false, nil, open("Date: Fri, 6 Feb 2026 10:11:12 +0000\r\nFrom: Bob <bob@example.org>\r\nTo: me@example.org\r\nMessage-ID: <third@open.example>\r\n" +
		"In-Reply-To: <link@between.example>\r\nReferences: <link@between.example>\r\nSubject: something else\r\n\r\nAn answer to what was withheld.\r\n")},
	{"INBOX", true, nil, sameAsOpen},
	{"INBOX", false, []string{`\Deleted`}, open("Date: Sat, 7 Feb 2026 10:11:12 +0000\r\nFrom: Emil <emil@example.org>\r\nTo: me@example.org\r\nMessage-ID: <fourth@open.example>\r\n" +
		"Subject: to be deleted\r\n\r\nDeleted soon.\r\n")},
	{"INBOX", true, []string{`\Seen`, `\Flagged`, `\Draft`}, inWords},
	{"INBOX", false, nil, open("Subject: the last\r\nFrom: last@example.org\r\n\r\nNot much, a boat.\r\n")},
	{"Vault", false, nil, open("Subject: in the vault\r\nFrom: bob@example.org\r\nMessage-ID: <vault@open.example>\r\n\r\nan open boat in the vault\r\n")},
	{"Vault", true, []string{`\Deleted`}, manyParts},
	{"Vault", true, nil, inWords},
	{"Harbour", false, nil, open("Subject: at the harbour\r\nFrom: bob@example.org\r\n\r\na boat at the harbour\r\n")},
	{"Desk", false, nil, open("Date: Wed, 4 Feb 2026 10:11:12 +0000\r\nSubject: on the desk\r\nFrom: bob@example.org\r\nMessage-ID: <desk@open.example>\r\n\r\na boat on the desk\r\n")},
	{"Desk", false, []string{`\Deleted`}, open("Date: Tue, 3 Feb 2026 10:11:12 +0000\r\nSubject: the second\r\nFrom: carl@example.org\r\nReferences: <desk@open.example>\r\n\r\nand no more\r\n")},
	{"Desk", false, []string{`\Flagged`}, open("Subject: the third\r\nFrom: emil@example.org\r\nMIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n<p>a boat</p>\r\n")},
	{"Harbour", false, []string{`\Deleted`}, open("Subject: at the harbour\r\nFrom: carl@example.org\r\n\r\nanother boat\r\n")},
}

// manyParts has the marker wherever the structure of a message shows. The other
// twin has one part, of another type.
func manyParts(twin int) string {
	m, date := markers[twin], sentDates[twin]
	header := fmt.Sprintf("Date: %[2]s\r\nFrom: %[1]s <%[1]s@%[1]s.example>\r\nSender: sender@%[1]s.example\r\nReply-To: reply@%[1]s.example\r\n"+
		"To: %[1]s <to@%[1]s.example>\r\nCc: cc@%[1]s.example\r\nBcc: bcc@%[1]s.example\r\nSubject: the %[1]s\r\nMessage-ID: <%[1]s@id.example>\r\n"+
		"In-Reply-To: <before@%[1]s.example>\r\nX-%[1]s: there\r\nX-Okapi: %[1]s\r\nMIME-Version: 1.0\r\n", m, date)
	if twin == 1 {
		return header + "Content-Type: text/x-numbat; charset=x-numbat\r\nContent-Language: x-numbat\r\n\r\na numbat, all alone\r\n"
	}
	return header + fmt.Sprintf("Content-Type: multipart/mixed; boundary=%[1]s\r\n\r\n"+
		"%[1]s preamble\r\n--%[1]s\r\nContent-Type: text/plain; name=%[1]s; charset=x-%[1]s\r\nContent-Description: %[1]s\r\nContent-ID: <%[1]s@cid.example>\r\n"+
		"Content-Language: x-%[1]s\r\nContent-Location: %[1]s\r\nContent-MD5: %[1]s\r\n\r\n%[1]s text\r\n%[2]s"+
		"--%[1]s\r\nContent-Type: application/x-%[1]s; name=%[1]s.bin\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: x-%[1]s; filename=%[1]s.bin\r\n\r\n%[3]s\r\n"+
		"--%[1]s\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner %[1]s\r\nDate: %[4]s\r\n\r\ninner %[1]s body\r\n--%[1]s--\r\n",
		m, strings.Repeat(m+" line\r\n", 37), base64.StdEncoding.EncodeToString([]byte(strings.Repeat(m+" ", 9))), date)
}

// theReply joins two open letters into one thread; the other twin's does not.
func theReply(twin int) string {
	if twin == 1 {
		return "Date: Sat, 8 May 1999 04:00:00 +0000\r\nFrom: zzz@numbat.example\r\nTo: zzz@numbat.example\r\nCc: zzz@numbat.example\r\nMessage-ID: <numbat@else.example>\r\nSubject: zzz numbat\r\n\r\nzzz numbat\r\n"
	}
	return "Date: Tue, 3 Feb 1987 09:00:00 +0000\r\nFrom: aaa@quagga.example\r\nTo: aaa@quagga.example\r\nCc: aaa@quagga.example\r\nMessage-ID: <link@between.example>\r\n" +
		"In-Reply-To: <first@open.example>\r\nReferences: <first@open.example>\r\nSubject: Re: an open letter\r\n\r\nboat quagga boat boat boat quagga boat\r\n"
}

// sameAsOpen is the open letter <second@open.example> once more, as far as its
// identifiers say; the other twin's is not.
func sameAsOpen(twin int) string {
	if twin == 1 {
		return "Date: Sat, 8 May 1999 05:00:00 +0000\r\nFrom: yyy@numbat.example\r\nMessage-ID: <yyy@numbat.example>\r\nReferences: <third@open.example>\r\nSubject: at the harbour\r\n\r\nnumbat\r\n"
	}
	return "Date: Tue, 3 Feb 1987 08:00:00 +0000\r\nFrom: bbb@quagga.example\r\nMessage-ID: <second@open.example>\r\nReferences: <fourth@open.example>\r\nSubject: mmm in the middle\r\n\r\nquagga\r\n"
}

// inWords has its words encoded: in the header, in parameters, in the body.
func inWords(twin int) string {
	m := markers[twin]
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	if twin == 1 {
		return fmt.Sprintf("Date: %[1]s\r\nSubject: =?utf-8?q?=6Eumbat_ment?=\r\nFrom: =?utf-8?b?%[2]s?= <n@numbat.example>\r\nMIME-Version: 1.0\r\n"+
			"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>a num=\r\nbat with a boat</p>\r\n", sentDates[1], b64("the Numbat"))
	}
	return fmt.Sprintf("Date: %[1]s\r\nSubject: =?utf-8?b?%[2]s?=\r\nFrom: =?utf-8?q?=51uagga?= <q@quagga.example>\r\nReferences: <vault@open.example>\r\nMIME-Version: 1.0\r\n"+
		"Content-Type: text/plain; charset=utf-8; name*=utf-8''%%71uagga%%20file\r\nContent-Transfer-Encoding: base64\r\n\r\n%[3]s\r\n",
		sentDates[0], b64("a Quagga again"), b64("all about the quagga, and "+m+"\r\n"))
}
