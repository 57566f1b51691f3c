package mime_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"strings"
	"testing"

	"letterlock/internal/mime"
)

// typical is a letter of about 4 KiB as people send them: a header with the
// traces of its way, text and HTML.
var typical = []byte(strings.ReplaceAll(`Received: from mx.example.net (mx.example.net [192.0.2.7])
	by mail.example.org (Postfix) with ESMTPS id 4T3xyz1234
	for <bob@example.org>; Tue,  2 Jan 2024 10:00:02 +0100 (CET)
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.net; s=k1;
	h=from:to:subject:date:message-id:mime-version:content-type; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;
	b=dzdVyOfAKCdLXdJOc9G2q8LoXSlEniSbav+yuU4zGeeruD00lszZVoG4ZHRNiYzR0123456789abcdefghijklmnopqrstuvwxyz
Authentication-Results: mail.example.org; dkim=pass header.d=example.net; spf=pass smtp.mailfrom=ann@example.net
From: "Lee, Ann" <ann@example.net>
To: Bob Ray <bob@example.org>, "Carol O'Neil" <carol@example.org>,
	=?utf-8?Q?J=C3=B6rg_M=C3=BCller?= <joerg@example.org>
Cc: team@example.org
Subject: =?utf-8?B?UmU6IERhcyBUcmVmZmVuIGFtIERpZW5zdGFn?=
Date: Tue, 2 Jan 2024 10:00:00 +0100
Message-ID: <20240102100000.4711@mail.example.net>
In-Reply-To: <20240101090000.4710@mail.example.org>
References: <20231231080000.4709@mail.example.net> <20240101090000.4710@mail.example.org>
User-Agent: Mozilla Thunderbird
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="------------0123456789abcdef01234567"
Content-Language: en-GB

This is a multi-part message in MIME format.
--------------0123456789abcdef01234567
Content-Type: text/plain; charset=UTF-8; format=flowed
Content-Transfer-Encoding: 7bit

`+strings.Repeat("The quick brown fox jumps over the lazy dog, and nobody minds.\n", 15)+`
--------------0123456789abcdef01234567
Content-Type: text/html; charset=UTF-8
Content-Transfer-Encoding: quoted-printable

`+strings.Repeat("<p style=3D\"margin:0\">The quick brown fox jumps over the lazy dog.</p>\n", 18)+`
--------------0123456789abcdef01234567--
`, "\n", "\r\n"))

// big is a letter of 16 MiB whose body is an attachment in base64.
func big() []byte {
	var b bytes.Buffer
	b.WriteString("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	b.WriteString(strings.Repeat(strings.Repeat("QUJD", 19)+"\r\n", 16<<20/78))
	b.WriteString("--b--\r\n")
	return b.Bytes()
}

func benchmarkSummarize(b *testing.B, letter []byte) {
	r := bytes.NewReader(letter)
	b.SetBytes(int64(len(letter)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := mime.Summarize(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSummarizeLetter(b *testing.B) { benchmarkSummarize(b, typical) }
func BenchmarkSummarizeBig(b *testing.B)    { benchmarkSummarize(b, big()) }
func BenchmarkSummarizeText(b *testing.B) {
	benchmarkSummarize(b, []byte("Subject: x\r\n\r\n"+strings.Repeat("one line of a long text\r\n", 1<<18)))
}
func BenchmarkSummarizeDashes(b *testing.B) {
	benchmarkSummarize(b, []byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n"+strings.Repeat("--\r\n", 1<<20)))
}

func BenchmarkTLSRequired(b *testing.B) {
	header := typical[:bytes.Index(typical, []byte("\r\n\r\n"))+4]
	b.ReportAllocs()
	for b.Loop() {
		mime.TLSRequiredNo(header)
	}
}

func BenchmarkFilter(b *testing.B) {
	header := typical[:bytes.Index(typical, []byte("\r\n\r\n"))+4]
	f := mime.Keep("Date", "From", "To", "Subject", "Message-ID")
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = f.Append(dst[:0], header)
	}
}

func BenchmarkPassages(b *testing.B) {
	r := bytes.NewReader(typical)
	sum := summarize(b, typical)
	b.SetBytes(int64(len(typical)))
	b.ReportAllocs()
	for b.Loop() {
		for p := range mime.Passages(sum, r, mime.ScopeText) {
			if _, err := io.Copy(io.Discard, p); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	plain := bytes.Repeat([]byte("Grüße aus Köln, the quick brown fox jumps over the lazy dog.\r\n"), 1<<14)
	wrapped := base64.StdEncoding.EncodeToString(plain)
	for _, c := range []struct{ encoding, content string }{
		{"base64", strings.Join(chunks(wrapped, 76), "\r\n")},
		{"quoted-printable", strings.ReplaceAll(strings.ReplaceAll(string(plain), "ü", "=C3=BC"), "ö", "=C3=B6")},
		{"8bit", string(plain)},
	} {
		b.Run(c.encoding, func(b *testing.B) {
			b.SetBytes(int64(len(c.content)))
			b.ReportAllocs()
			for b.Loop() {
				r, err := mime.Text(strings.NewReader(c.content), c.encoding, "utf-8")
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func chunks(s string, n int) (all []string) {
	for len(s) > n {
		all, s = append(all, s[:n]), s[n:]
	}
	return append(all, s)
}
