package deliver_test

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"letterlock/internal/deliver"
	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage"
)

// forgetful is a vault that takes everything and keeps nothing: what is left is
// what the sorting room costs.
type forgetful struct{ vault }

func (forgetful) Commit(_ context.Context, _ *mail.Envelope, _ mail.Body, _ *mail.Summary, plans []mail.Delivery) []error {
	return make([]error, len(plans))
}

// usualHeader is that of a letter which came by two servers, 2 KiB of it.
const usualHeader = "Received: from mx.sender.example (mx.sender.example [192.0.2.25])\r\n\tby mta.example.org (Postfix) with ESMTPS id 4XyZ1a2b3c\r\n\tfor <ann@example.org>; Sat, 21 Nov 2026 11:59:58 +0000 (UTC)\r\n" +
	"Received: from desk.sender.example ([198.51.100.7])\r\n\tby mx.sender.example with ESMTPSA id deadbeef01\r\n\tfor <ann@example.org>; Sat, 21 Nov 2026 11:59:57 +0000\r\n" +
	"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=sender.example; s=s1;\r\n\tt=1795262397; h=from:to:subject:date:message-id; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\r\n\tb=" +
	"dzdVyOfAKCdLXdJOc9G2q8LoXSlEniSbav+yuU4zGeeruD00lszZVoG4ZHRNiYzRdzdVyOfAKCdLXdJOc9G2q8LoXSlEniSbav+yuU4zGeeruD00lszZVoG4ZHRNiYzR\r\n" +
	"Authentication-Results: mta.example.org; dkim=pass header.d=sender.example; spf=pass smtp.mailfrom=alice@sender.example\r\n" +
	"Date: Sat, 21 Nov 2026 11:59:56 +0000\r\nFrom: Alice Liddell <alice@sender.example>\r\nTo: Ann <ann@example.org>, Bob <bob@example.org>\r\n" +
	"Subject: =?UTF-8?Q?Tea_at_five=3F?=\r\nMessage-ID: <20261121115956.4711@sender.example>\r\nIn-Reply-To: <1@example.org>\r\nReferences: <0@example.org> <1@example.org>\r\n" +
	"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\nUser-Agent: Mozilla Thunderbird\r\n\r\n"

// BenchmarkSort sorts a letter of 4 KiB: without rules, for somebody who has none,
// and with those of somebody who has ten.
func BenchmarkSort(b *testing.B) {
	var ten strings.Builder
	ten.WriteString("require [\"fileinto\", \"mailbox\"];\n")
	for i := range 10 {
		fmt.Fprintf(&ten, "if anyof (header :contains \"Subject\" \"list %d\", address :is \"From\" \"p%d@far.example\") { fileinto :create \"Lists/%d\"; stop; }\n", i, i, i)
	}
	for _, c := range []struct{ name, script string }{{"nobody has rules", "-"}, {"no rules", ""}, {"ten rules", ten.String()}} {
		b.Run(c.name, func(b *testing.B) {
			store, err := storage.Open(filepath.Join(b.TempDir(), "store"), storage.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer store.Close()
			p, err := store.AddPerson(b.Context(), addr(b, "ann@example.org"), nil)
			if err != nil {
				b.Fatal(err)
			}
			opt := deliver.Options{
				Store: forgetful{vault{store}}, Hostname: "store.example.org",
				Addresses: deliver.Addresses{Domain: "example.org", Delimiter: "+", Fold: true},
			}
			read := 0
			if c.script != "-" {
				opt.Rules = shelf{store, &read}
			}
			if a := store.Account(p.ID); len(c.script) > 1 {
				if err := a.PutScript(b.Context(), "rules", []byte(c.script), nil); err != nil {
					b.Fatal(err)
				}
				if err := a.ActivateScript(b.Context(), "rules"); err != nil {
					b.Fatal(err)
				}
			}
			sorter, rcpts := deliver.New(opt), []mail.Address{addr(b, "ann@example.org")}
			text := []byte(usualHeader + strings.Repeat("a line of the letter, as long as such lines are\r\n", 50))
			env := envelope(requiretls.Usual())
			b.ReportAllocs()
			for b.Loop() {
				if err := sorter.Deliver(b.Context(), env, bytes.NewReader(text), rcpts)[0]; err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
