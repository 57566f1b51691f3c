package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math"
	"math/rand/v2"
	"mime"
	"mime/quotedprintable"
	"strings"
	"time"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// What SEARCH looks for.
const (
	rareWord     = "quagswagging" // in the text of rareLetters letters
	rareLetters  = 8
	rareSubject  = "hobbledehoy" // in the subject of rareSubjects letters
	rareSubjects = 10
	commonWord   = "letter" // in the text of many
)

// letter is one of the corpus, as it is appended.
type letter struct {
	flags string // between the parentheses
	date  time.Time
	text  []byte
}

// firstDate is when the oldest letter came.
var firstDate = time.Date(2025, 11, 21, 8, 0, 0, 0, time.UTC)

// between is the time from one of n letters to the next: 53 minutes, or less
// where more than 10,000 would not fit into a year.
func between(n int) time.Duration { return 53 * time.Minute * 10000 / time.Duration(max(n, 10000)) }

// corpus makes n letters, the same every time: threads, nine charsets, all
// transfer encodings, alternatives, attachments, letters in letters; their
// median is 4 KiB.
func corpus(n int) []letter {
	w := newWriterOfLetters(rand.New(rand.NewPCG(8689, 1)))
	w.between = between(n)
	letters := make([]letter, n)
	for i := range letters {
		letters[i] = w.letter(i, oneIn(i, n/rareLetters), oneIn(i, n/rareSubjects))
	}
	return letters
}

// oneIn says whether letter i is the middle one of its k.
func oneIn(i, k int) bool { return i%max(k, 1) == k/2 }

// tongue is text of one language in one charset.
type tongue struct {
	charset  string
	encoding encoding.Encoding // nil: as it is
	transfer string
	words    []string
}

var tongues = []tongue{
	{"us-ascii", nil, "7bit", nil},
	{"utf-8", nil, "quoted-printable", strings.Fields("Grüße Übung größer Straße café naïve déjà señor mañana façade und oder aber nicht wenn weil")},
	{"iso-8859-1", charmap.ISO8859_1, "quoted-printable", strings.Fields("über Mädchen schön Fräulein garçon élève être où même après und der die das")},
	{"iso-8859-15", charmap.ISO8859_15, "8bit", strings.Fields("œuvre cœur prix 100€ été hiver forêt là-bas très bien")},
	{"windows-1252", charmap.Windows1252, "quoted-printable", strings.Fields("“quoted” — it’s naïve… résumé touché")},
	{"koi8-r", charmap.KOI8R, "base64", strings.Fields("письмо почта привет завтра сегодня работа дорогой друг спасибо")},
	{"iso-2022-jp", japanese.ISO2022JP, "7bit", strings.Fields("手紙 郵便 こんにちは 明日 今日 仕事 ありがとう よろしく")},
	{"gb2312", simplifiedchinese.GBK, "base64", strings.Fields("信件 邮局 你好 明天 今天 工作 谢谢")},
	{"euc-kr", korean.EUCKR, "base64", strings.Fields("편지 우체국 안녕 내일 오늘 감사")},
}

// writerOfLetters is the one who writes them all.
type writerOfLetters struct {
	rnd      *rand.Rand
	words    *words
	between  time.Duration
	threads  []string // the last Message-IDs, for answers
	subjects []string
}

func newWriterOfLetters(rnd *rand.Rand) *writerOfLetters {
	return &writerOfLetters{rnd: rnd, words: newWords(rnd)}
}

func (w *writerOfLetters) letter(i int, rare, rareSubj bool) letter {
	date := firstDate.Add(time.Duration(i) * w.between)
	var b bytes.Buffer
	w.header(&b, i, date, rareSubj)
	size := int(3000 * math.Exp(w.rnd.NormFloat64()*0.7)) // of the text: log-normal, as mail is
	w.body(&b, min(size, 60000), rare)
	return letter{flags: w.flags(), date: date, text: b.Bytes()}
}

func (w *writerOfLetters) flags() string {
	var flags []string
	for _, f := range []struct {
		name string
		of10 int
	}{{`\Seen`, 7}, {`\Answered`, 1}, {`\Flagged`, 1}, {"$Forwarded", 1}} {
		if w.rnd.IntN(10) < f.of10 {
			flags = append(flags, f.name)
		}
	}
	return strings.Join(flags, " ")
}

// header writes what a letter carries after some hops, and the fields of its
// thread.
func (w *writerOfLetters) header(b *bytes.Buffer, i int, date time.Time, rareSubj bool) {
	who := w.rnd.IntN(200)
	stamp := date.Format(time.RFC1123Z)
	fmt.Fprintf(b, "Return-Path: <person%d@example.net>\r\n", who)
	for hop := range 2 + w.rnd.IntN(3) {
		fmt.Fprintf(b, "Received: from mx%d.example.net (mx%d.example.net [192.0.2.%d])\r\n\tby mail.bench.test with ESMTPS id %08X\r\n\tfor <u0@bench.test>; %s\r\n", hop, hop, hop+1, w.rnd.Uint32(), stamp)
	}
	fmt.Fprintf(b, "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.net; s=mail;\r\n\th=from:to:subject:date:message-id; b=%s\r\n", base64.StdEncoding.EncodeToString(w.octets(120)))
	id := fmt.Sprintf("<%d.%08x@example.net>", i, w.rnd.Uint32())
	subject := w.words.phrase(3 + w.rnd.IntN(5))
	if rareSubj {
		subject += " " + rareSubject
	}
	if len(w.threads) > 0 && w.rnd.IntN(2) == 0 {
		k := w.rnd.IntN(len(w.threads))
		fmt.Fprintf(b, "In-Reply-To: %s\r\nReferences: %s\r\n", lastWord(w.threads[k]), strings.ReplaceAll(w.threads[k], " ", "\r\n\t"))
		if !rareSubj {
			subject = "Re: " + strings.TrimPrefix(w.subjects[k], "Re: ")
		}
		id = w.follow(k, id, subject)
	} else {
		w.begin(id, subject)
	}
	name := w.words.one()
	if i%7 == 0 {
		name = mime.QEncoding.Encode("utf-8", name+" Müller")
		subject = mime.BEncoding.Encode("utf-8", subject+" ü")
	}
	fmt.Fprintf(b, "From: %s <person%d@example.net>\r\nTo: Somebody <u0@bench.test>, other%d@example.org\r\n", name, who, who%17)
	if w.rnd.IntN(3) == 0 {
		fmt.Fprintf(b, "Cc: list%d@lists.example.org\r\n", who%5)
	}
	fmt.Fprintf(b, "Subject: %s\r\nDate: %s\r\nMessage-ID: %s\r\nMIME-Version: 1.0\r\nUser-Agent: Bench 1.0\r\n", subject, stamp, id)
}

// begin starts a thread; only the last forty go on.
func (w *writerOfLetters) begin(id, subject string) {
	w.threads, w.subjects = append(w.threads, id), append(w.subjects, subject)
	if len(w.threads) > 40 {
		w.threads, w.subjects = w.threads[1:], w.subjects[1:]
	}
}

// follow makes id the newest letter of thread k.
func (w *writerOfLetters) follow(k int, id, subject string) string {
	refs := strings.Fields(w.threads[k] + " " + id)
	w.threads[k], w.subjects[k] = strings.Join(refs[max(0, len(refs)-8):], " "), subject
	return id
}

func lastWord(s string) string { return s[strings.LastIndexByte(s, ' ')+1:] }

func (w *writerOfLetters) octets(n int) []byte {
	octets := make([]byte, n)
	for i := range octets {
		octets[i] = byte(w.rnd.Uint32())
	}
	return octets
}

// body writes the rest: Content-Type, the empty line and the parts.
func (w *writerOfLetters) body(b *bytes.Buffer, size int, rare bool) {
	boundary := fmt.Sprintf("part-%08x", w.rnd.Uint32())
	multipart := func(kind string, parts ...func()) {
		fmt.Fprintf(b, "Content-Type: multipart/%s; boundary=\"%s\"\r\n\r\n", kind, boundary)
		for _, part := range parts {
			fmt.Fprintf(b, "--%s\r\n", boundary)
			part()
			b.WriteString("\r\n")
		}
		fmt.Fprintf(b, "--%s--\r\n", boundary)
	}
	text := func() { w.text(b, "plain", size/2, rare) }
	switch k := w.rnd.IntN(20); {
	case k < 10:
		w.text(b, "plain", size, rare)
	case k < 15:
		multipart("alternative", text, func() { w.text(b, "html", size/2, false) })
	case k < 19:
		multipart("mixed", text, func() { w.attachment(b, size/2) })
	default:
		multipart("mixed", text, func() {
			b.WriteString("Content-Type: message/rfc822\r\n\r\nFrom: inner@example.net\r\nTo: u0@bench.test\r\nSubject: inside\r\nMIME-Version: 1.0\r\n")
			w.text(b, "plain", size/2, false)
		})
	}
}

func (w *writerOfLetters) attachment(b *bytes.Buffer, size int) {
	fmt.Fprintf(b, "Content-Type: image/png; name=\"picture-%d.png\"\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment;\r\n\tfilename=\"picture.png\"\r\n\r\n", w.rnd.IntN(1000))
	base64Lines(b, w.octets(size*57/78))
}

// text writes one text part, with its own header.
func (w *writerOfLetters) text(b *bytes.Buffer, kind string, size int, rare bool) {
	t := &tongues[0]
	if w.rnd.IntN(2) == 0 {
		t = &tongues[w.rnd.IntN(len(tongues))]
	}
	fmt.Fprintf(b, "Content-Type: text/%s; charset=%s\r\nContent-Transfer-Encoding: %s\r\n\r\n", kind, t.charset, t.transfer)
	var plain bytes.Buffer
	if kind == "html" {
		plain.WriteString("<html><body><p>\r\n")
	}
	if rare {
		fmt.Fprintf(&plain, "What a %s sight.\r\n", rareWord)
	}
	w.words.mixed(&plain, size, t.words)
	octets := plain.Bytes()
	if t.encoding != nil {
		encoded, err := encoding.ReplaceUnsupported(t.encoding.NewEncoder()).Bytes(octets)
		if err != nil {
			panic("a tongue cannot be said in its charset: " + err.Error())
		}
		octets = encoded
	}
	transfer(b, t.transfer, octets)
}

// transfer writes octets in a transfer encoding (RFC 2045 §6).
func transfer(b *bytes.Buffer, how string, octets []byte) {
	switch how {
	case "base64":
		base64Lines(b, octets)
	case "quoted-printable":
		q := quotedprintable.NewWriter(b)
		_, _ = q.Write(octets) // to memory
		_ = q.Close()
		b.WriteString("\r\n")
	default:
		b.Write(octets)
	}
}
