package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"strings"
)

// scene is what the acts of the demo play with.
type scene struct {
	*page
	user, password    string
	away              string // whose mail is sent on
	hop               *nextHop
	lmtp, imap, imaps string // addresses bound
	trust             *x509.CertPool
}

// play runs the acts in order; the first that cannot go on ends it.
func (s *scene) play(ctx context.Context) error {
	for _, act := range []struct {
		title string
		run   func(context.Context) error
	}{
		{"1. Two letters come in", s.deliver},
		{"2. A sealed letter will not travel in the open", s.refuse},
		{"3. Over TLS, both are there", s.read},
		{"4. Without TLS, the sealed one stays shut", s.withhold},
		{"5. On the way out, too", s.sendOn},
	} {
		s.act(act.title)
		if err := act.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", act.title, err)
		}
	}
	return nil
}

const (
	postcard = "From: Bob <bob@example.net>\nTo: Ann <%[1]s>\nSubject: A postcard\nDate: Sat, 21 Nov 2026 10:00:00 +0000\nMessage-ID: <postcard@example.net>\n\nLovely weather. Anybody may read this.\n"
	sealed   = "From: Carol <carol@example.net>\nTo: Ann <%[1]s>\nSubject: A sealed letter\nDate: Sat, 21 Nov 2026 10:01:00 +0000\nMessage-ID: <sealed@example.net>\n\nFor your eyes alone: the roses are under the third window.\n"
	subject  = "A sealed letter"
	secret   = "roses"
)

func (s *scene) deliver(context.Context) error {
	s.prose("The MTA comes over LMTP. REQUIRETLS (RFC 8689) is on offer inside TLS alone:\n")
	d := s.call(s.lmtp)
	d.reply()
	d.say("LHLO mx.example.net")
	before := d.reply("STARTTLS")
	d.ask("STARTTLS")
	d.secure(s.trust)
	d.say("LHLO mx.example.net")
	after := d.reply("REQUIRETLS")
	s.holds(!strings.Contains(before, "REQUIRETLS") && strings.Contains(after, "REQUIRETLS"), "offered after STARTTLS, not before\n")

	first := s.post(d, "MAIL FROM:<bob@example.net>", s.user, postcard)
	s.holds(strings.HasPrefix(first, "250"), "the postcard is on disk\n")
	second := s.post(d, "MAIL FROM:<carol@example.net> REQUIRETLS", s.user, sealed)
	s.holds(strings.HasPrefix(second, "250"), "the sealed letter is on disk, and its seal with it")
	d.ask("QUIT")
	return d.hangUp()
}

// post hands one letter over and answers what became of it.
func (s *scene) post(d *dialogue, from, to, letter string) string {
	d.ask("%s", from)
	d.ask("RCPT TO:<%s>", to)
	d.ask("DATA")
	for line := range strings.Lines(fmt.Sprintf(letter, to)) {
		line = strings.TrimRight(line, "\n")
		d.send(line)
		if strings.HasPrefix(line, "Subject:") {
			d.page.client(line)
			d.page.between("…")
		}
	}
	return d.ask(".")
}

func (s *scene) refuse(context.Context) error {
	s.prose("Another MTA forgets STARTTLS:\n")
	d := s.call(s.lmtp)
	d.reply()
	d.say("LHLO careless.example.net")
	d.reply("STARTTLS")
	refused := d.ask("MAIL FROM:<carol@example.net> REQUIRETLS")
	s.holds(strings.HasPrefix(refused, "523 5.7.10"), "refused for good: the sender hears of it, nobody else does")
	d.send("QUIT")
	return d.hangUp()
}

const headers = "BODY.PEEK[HEADER.FIELDS (SUBJECT)]"

func (s *scene) read(context.Context) error {
	s.prose("Ann reads her mail over IMAPS:\n")
	d := s.callTLS(s.imaps, s.trust)
	d.page.server(d.line())
	in := d.login(s.user, s.password)
	d.imap([]string{"EXISTS"}, "SELECT INBOX")
	both := d.imap(nil, "FETCH 1:2 (FLAGS %s)", headers)
	s.holds(in.ok() && both.has("A postcard") && both.has("A sealed letter"), "both letters open")
	s.holds(both.has("A sealed letter", "$RequireTLS") && !both.has("A postcard", "$RequireTLS"), "the sealed one shows its seal, the postcard has none\n")

	copied := d.imap(nil, "COPY 2 Archive")
	d.imap([]string{"EXISTS"}, "SELECT Archive")
	copies := d.imap(nil, "FETCH 1 (FLAGS %s)", headers)
	s.holds(copied.ok() && copies.has("A sealed letter", "$RequireTLS"), "a copy is as sealed as the letter\n")
	off := d.imap(nil, `STORE 1 -FLAGS ($RequireTLS)`)
	still := d.imap(nil, "FETCH 1 (FLAGS)")
	s.holds(d.err == nil && !off.has("FETCH", "FLAGS ()") && still.has("$RequireTLS"), "and nobody breaks the seal by hand")
	d.send("bye LOGOUT")
	return d.hangUp()
}

func (s *scene) withhold(context.Context) error {
	s.prose("An old device on the same machine speaks no TLS. By default it could not even log in;\nthis demo opened a listener in clear (cleartext_auth = \"local\") to show what it would get:\n")
	d := s.call(s.imap)
	d.page.server(d.line())
	in := d.login(s.user, s.password)
	inbox := d.imap([]string{"EXISTS", "PRIVACYREQUIRED"}, "SELECT INBOX")
	s.holds(in.ok() && inbox.ok() && inbox.has("* 2 EXISTS"), "both letters are counted, none is hidden")
	s.holds(inbox.has("NO [PRIVACYREQUIRED]"), "and it is told that one needs an encrypted connection\n")

	both := d.imap([]string{"FETCH"}, "FETCH 1:2 BODY.PEEK[]")
	s.holds(both.ok() && both.has("Lovely weather"), "the postcard opens")
	s.holds(d.err == nil && !both.has(secret), "of the sealed letter not one word\n")
	alone := d.imap(nil, "FETCH 2 (ENVELOPE BODYSTRUCTURE BODY.PEEK[TEXT])")
	s.holds(alone.no("PRIVACYREQUIRED") && !alone.has(secret), "asked for alone, it is refused")
	found := d.imap([]string{"SEARCH"}, "SEARCH BODY %s", secret)
	s.holds(found.ok() && !found.has(" 2"), "searching does not look inside either")
	moved := d.imap(nil, "COPY 2 Drafts")
	s.holds(moved.no("PRIVACYREQUIRED"), "and it cannot be carried away\n")

	archive := d.imap([]string{"EXISTS", "PRIVACYREQUIRED"}, "SELECT Archive")
	copies := d.imap(nil, "FETCH 1 BODY.PEEK[]")
	s.holds(archive.has("* 1 EXISTS") && copies.no("PRIVACYREQUIRED") && !copies.has(secret), "the copy made over TLS is withheld alike")
	d.send("bye LOGOUT")
	return d.hangUp()
}

func (s *scene) sendOn(ctx context.Context) error {
	s.prose("Ben has his mail sent on to another server. That one has TLS, a certificate that is proven,\nand offers REQUIRETLS:\n")
	s.hop.honours.Store(true)
	d := s.call(s.lmtp)
	d.quietly("LHLO mx.example.net", "STARTTLS")
	d.secure(s.trust)
	d.quietly("LHLO mx.example.net")
	taken := s.sealedTo(d, s.away)
	first, err := s.hop.next(ctx)
	if err != nil {
		return err
	}
	s.prose("\nAnd Letterlock to the next server:\n")
	first.show(s.page, "MAIL", "REQUIRETLS", "taken")
	s.holds(strings.HasPrefix(taken, "250") && first.secure && strings.Contains(first.mail(), " REQUIRETLS") && strings.Contains(first.text, secret),
		"it goes on as it came: sealed\n")

	s.prose("After an update that server offers REQUIRETLS no more:\n")
	s.hop.honours.Store(false)
	taken = s.sealedTo(d, s.away)
	second, err := s.hop.next(ctx)
	if err != nil {
		return err
	}
	bounce, err := s.hop.next(ctx)
	if err != nil {
		return err
	}
	if second.mail() != "" { // the ends of the two visits may pass each other
		second, bounce = bounce, second
	}
	s.prose("\nAnd Letterlock to the next server:\n")
	second.show(s.page, "EHLO", "STARTTLS", "250 SMTPUTF8", "QUIT")
	s.holds(strings.HasPrefix(taken, "250") && second.mail() == "" && second.text == "", "not one word of it leaves\n")
	bounce.show(s.page, "MAIL", "taken")
	s.holds(strings.Contains(bounce.mail(), "<>") && strings.Contains(bounce.text, "5.7.30") && !strings.Contains(bounce.text, secret) && !strings.Contains(bounce.text, subject),
		"Carol hears why, in a note that tells neither its subject nor its text\n")
	refused := s.sealedTo(d, s.away)
	s.holds(strings.HasPrefix(refused, "550 5.7.30"), "and the next one is refused at the door: now it is known")
	d.send("QUIT")
	return d.hangUp()
}

// sealedTo posts the sealed letter once more and shows its end alone.
func (s *scene) sealedTo(d *dialogue, to string) string {
	d.quietly("MAIL FROM:<carol@example.net> REQUIRETLS", "RCPT TO:<"+to+">", "DATA")
	for line := range strings.Lines(fmt.Sprintf(sealed, to)) {
		d.send(strings.TrimRight(line, "\n"))
	}
	d.page.client("MAIL FROM:<carol@example.net> REQUIRETLS")
	d.page.between("…")
	return d.ask(".")
}
