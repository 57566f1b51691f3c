package sieve_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"letterlock/sieve"
)

// rules is a script of n rules of five kinds, none of which matches letter.
func rules(n int) []byte {
	var b strings.Builder
	b.WriteString("require [\"fileinto\", \"envelope\", \"subaddress\", \"imap4flags\"];\r\n")
	for i := range n {
		switch i % 5 {
		case 0:
			fmt.Fprintf(&b, "if header :contains \"list-id\" \"project-%d.lists.example.org\" {\r\n  fileinto \"Lists/project-%d\";\r\n  stop;\r\n}\r\n", i, i)
		case 1:
			fmt.Fprintf(&b, "if address :domain :is [\"from\", \"sender\"] [\"shop-%d.example.com\", \"news-%d.example.net\"] {\r\n  fileinto \"Shops\";\r\n  stop;\r\n}\r\n", i, i)
		case 2:
			fmt.Fprintf(&b, "if allof (header :contains \"subject\" [\"invoice %d\", \"receipt %d\"], not header :contains \"from\" \"boss\") {\r\n  addflag \"\\\\Flagged\";\r\n  fileinto \"Money\";\r\n  stop;\r\n}\r\n", i, i)
		case 3:
			fmt.Fprintf(&b, "if envelope :detail \"to\" \"detail%d\" {\r\n  fileinto \"Details/%d\";\r\n  stop;\r\n}\r\n", i, i)
		case 4:
			fmt.Fprintf(&b, "if anyof (header :matches \"x-spam-status\" \"Yes, score=%d*\", header :matches \"received\" \"*from spammer%d.example*\") {\r\n  discard;\r\n  stop;\r\n}\r\n", i, i)
		}
	}
	return []byte(b.String())
}

// letter is a usual message: 16 header fields of 1.4 KB, a body of 5.5 KB.
var letter = func() string {
	header := strings.Join([]string{
		"Return-Path: <ann.sender@mail.example.net>",
		"Delivered-To: bob@example.org",
		"Received: from mx1.example.org (mx1.example.org [192.0.2.10])\r\n\tby mail.example.org with LMTPS id AbCdEfGhIjKl\r\n\tfor <bob+inbox@example.org>; Sat, 21 Nov 2026 20:30:01 +0000",
		"Received: from out.mail.example.net (out.mail.example.net [198.51.100.7])\r\n\tby mx1.example.org (Postfix) with ESMTPS id 4XyZ0123456789\r\n\tfor <bob+inbox@example.org>; Sat, 21 Nov 2026 20:30:00 +0000 (UTC)",
		"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=mail.example.net; s=s1;\r\n\tt=1795293000; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\r\n\th=From:To:Subject:Date:Message-ID;\r\n\tb=" + strings.Repeat("dGhpcyBpcyBub3QgYSBzaWduYXR1cmU", 4),
		"From: \"Ann Sender\" <ann.sender@mail.example.net>",
		"To: Bob Receiver <bob@example.org>, Carol <carol@example.org>",
		"Cc: dave@example.org",
		"Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe_und_die_Pl=C3=A4ne?= for the next quarter",
		"Date: Sat, 21 Nov 2026 20:29:58 +0000",
		"Message-ID: <5f1c0b1e-7a55-4c8e-9c55-1b7d3c8a9e11@mail.example.net>",
		"MIME-Version: 1.0",
		"Content-Type: text/plain; charset=utf-8",
		"Content-Transfer-Encoding: 8bit",
		"X-Mailer: Example Mailer 12.3",
		"X-Spam-Status: No, score=-1.2 required=5.0 tests=DKIM_SIGNED,DKIM_VALID,SPF_PASS\r\n\tautolearn=ham version=4.0.0",
	}, "\r\n")
	return header + "\r\n\r\n" + strings.Repeat("The quick brown fox jumps over the lazy dog and thinks about lunch.\r\n", 80)
}()

func compiled(b testing.TB, src []byte) *sieve.Script {
	b.Helper()
	s, err := engine(b).Compile("", src)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func benchmarkCompile(b *testing.B, n int) {
	e, src := engine(b), rules(n)
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Compile("", src); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkRun(b *testing.B, src []byte) {
	s := compiled(b, src)
	in := &sieve.Input{Envelope: sieve.Envelope{From: "ann.sender@mail.example.net", To: "bob+inbox@example.org"}, Owner: "bob@example.org"}
	msg := strings.NewReader(letter)
	b.ReportAllocs()
	for b.Loop() {
		if r := s.Run(context.Background(), msg, in); r.Err != nil || len(r.Actions) != 1 {
			b.Fatal(r.Err, plan(r))
		}
	}
}

func BenchmarkCompile50(b *testing.B)  { benchmarkCompile(b, 50) }
func BenchmarkCompile500(b *testing.B) { benchmarkCompile(b, 500) }
func BenchmarkRun50(b *testing.B)      { benchmarkRun(b, rules(50)) }
func BenchmarkRun500(b *testing.B)     { benchmarkRun(b, rules(500)) }
func BenchmarkKeep(b *testing.B)       { benchmarkRun(b, []byte("keep;")) }

func BenchmarkRun50Parallel(b *testing.B) {
	s := compiled(b, rules(50))
	in := &sieve.Input{Envelope: sieve.Envelope{From: "a@example.net", To: "bob@example.org"}}
	msg := strings.NewReader(letter)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.Run(context.Background(), msg, in)
		}
	})
}

func benchmarkBody(b *testing.B, script, message string) {
	s := compiled(b, []byte("require \"body\";\n"+script))
	msg := strings.NewReader(message)
	b.SetBytes(msg.Size())
	b.ReportAllocs()
	for b.Loop() {
		if r := s.Run(context.Background(), msg, nil); r.Err != nil || !r.Kept {
			b.Fatal(r.Err)
		}
	}
}

var long = "Subject: long\r\n\r\n" + strings.Repeat("The quick brown fox jumps over the lazy dog and thinks about lunch.\r\n", 25<<20/69)

func BenchmarkBodyRaw(b *testing.B) {
	benchmarkBody(b, `if body :raw :contains "make money fast" { discard; }`, long)
}

func BenchmarkBodyText(b *testing.B) {
	benchmarkBody(b, `if body :contains "make money fast" { discard; }`, long)
}

// A long message costs no more than a short one where nobody reads the body.
func BenchmarkRunLongMessage(b *testing.B) {
	s := compiled(b, rules(50))
	msg := strings.NewReader(letter + long)
	for b.Loop() {
		s.Run(context.Background(), msg, nil)
	}
}

// Memory of cached scripts: 10,000 of 50 rules must stay below 500 MB.
func BenchmarkCached(b *testing.B) {
	e, src := engine(b), rules(50)
	const n = 1000
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		scripts := make([]*sieve.Script, n)
		for i := range scripts {
			s, err := e.Compile("", bytes.Clone(src))
			if err != nil {
				b.Fatal(err)
			}
			scripts[i] = s
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/script")
		runtime.KeepAlive(scripts)
	}
}
