package deliver_test

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"letterlock/internal/deliver"
	"letterlock/internal/mail"
	"letterlock/internal/reply"
	"letterlock/internal/requiretls"
)

// narrow is a way that tagged mail cannot take to one domain.
type narrow string

func (n narrow) Preflight(_ context.Context, o *mail.Outbound) error {
	if o.To.Domain == string(n) && o.Demand().IsRequired() && !o.From.IsNull() {
		return reply.NoRequireTLS.Because(context.Canceled)
	}
	if o.To.Domain == string(n) && o.Kind == mail.Answered && o.Demand().IsRequired() {
		return reply.NoVerifiedTLS
	}
	return nil
}

// RFC 8689 §4.2.1: what is to be sent on alone, where it is known that the next
// host cannot protect it, is refused at once: the sender's server bounces it.
func TestRedirectThatCannotBeProtectedIsRefusedInTheDialogue(t *testing.T) {
	o := openOffice(t, narrow("open.example"))
	o.rule("ann@example.org", `redirect "a@open.example";`)
	o.wantFates(o.deliver(envelope(requiretls.Required()), letter, "ann@example.org"),
		"550 5.7.30 REQUIRETLS support required and not offered by the next host")
	if out, _ := o.left(); len(out) != 0 {
		t.Errorf("%d messages left", len(out))
	}
	o.lies("ann@example.org", "")
	o.usual(letter, "ann@example.org")
	if out, _ := o.left(); len(out) != 1 {
		t.Errorf("an untagged one: %d messages left, want 1", len(out))
	}
}

// What was refused never came: nobody answers it, and the sender's next try is
// no duplicate of it.
func TestRefusedForwardIsNeitherAnsweredNorRemembered(t *testing.T) {
	o := openOffice(t, narrow("open.example"))
	o.rule("ann@example.org", `require ["vacation", "duplicate"];
		if duplicate { discard; stop; }
		vacation "Away.";
		redirect "a@open.example";`)
	text := "Message-ID: <1@far.example>\r\nTo: ann@example.org\r\n" + letter
	for range 2 {
		o.wantFates(o.deliver(envelope(requiretls.Required()), text, "ann@example.org"),
			"550 5.7.30 REQUIRETLS support required and not offered by the next host")
	}
	if got := o.whatLeft(); got != "" {
		t.Errorf("left %q", got)
	}
	o.usual(text, "ann@example.org")
	if got := o.whatLeft(); got != "answer alice, redirect a" {
		t.Errorf("an untagged one left %q", got)
	}
}

func TestRedirectThatCannotBeProtectedBesideAKeptCopyIsNoted(t *testing.T) {
	o := openOffice(t, narrow("open.example"))
	o.rule("ann@example.org", `require "copy"; redirect :copy "a@open.example";`)
	o.wantFates(o.deliver(envelope(requiretls.Required()), letter, "ann@example.org"), "delivered")
	if out, _ := o.left(); len(out) != 0 {
		t.Errorf("%d messages left", len(out))
	}
	o.lies("ann@example.org", "INBOX 2 required") // the letter and the notice
	if got := o.latest("ann@example.org", "INBOX"); !strings.Contains(got, "550 5.7.30") || !strings.Contains(got, "a@open.example") {
		t.Errorf("the notice is %q", got)
	}
}

// RFC 8689 §4.2.1: beside one that leaves, the other waits for its bounce.
func TestRedirectThatCannotBeProtectedBesideOneThatCan(t *testing.T) {
	o := openOffice(t, narrow("open.example"))
	o.rule("ann@example.org", `redirect "a@open.example"; redirect "b@safe.example";`)
	o.wantFates(o.deliver(envelope(requiretls.Required()), letter, "ann@example.org"), "delivered")
	if out, _ := o.left(); len(out) != 2 {
		t.Errorf("%d messages left, want 2", len(out))
	}
	o.lies("ann@example.org", "")
}

// A vacation answer to a required message is required and has a null sender: where the
// next hop does not offer REQUIRETLS only a notice of it goes on (RFC 8689 §5). What it
// says is not lost.
func TestRedirectOfARequiredMessageWithoutASenderIsKeptAsWell(t *testing.T) {
	o := openOffice(t, unknown{})
	o.rule("ann@example.org", `redirect "a@elsewhere.example";`)
	env := envelope(requiretls.Required())
	env.From = mail.Address{}
	o.wantFates(o.deliver(env, letter, "ann@example.org"), "delivered")
	if out, _ := o.left(); len(out) != 1 || !out[0].Demand().IsRequired() {
		t.Errorf("%d messages left, want the required one", len(out))
	}
	o.lies("ann@example.org", "INBOX 2 required") // the letter and the notice
	if got := o.latest("ann@example.org", "INBOX"); !strings.Contains(got, "a@elsewhere.example") || !strings.Contains(got, "It was kept") {
		t.Errorf("the notice is %q", got)
	}
	usual := envelope(requiretls.Usual())
	usual.From = mail.Address{}
	o.wantFates(o.deliver(usual, letter, "ann@example.org"), "delivered")
	o.lies("ann@example.org", "INBOX 2 required")
}

// Behind an alias there is one answer: who cannot be refused is kept and told.
func TestRedirectThatCannotBeProtectedBehindAnAlias(t *testing.T) {
	o := openOffice(t, narrow("open.example"))
	o.person("bob@example.org")
	o.alias("team@example.org", "ann@example.org", "bob@example.org")
	o.rule("ann@example.org", `redirect "a@open.example";`)
	o.wantFates(o.deliver(envelope(requiretls.Required()), letter, "team@example.org"), "delivered")
	o.lies("ann@example.org", "INBOX 2 required")
	o.lies("bob@example.org", "INBOX 1 required")
}

// A message that was sent on and came back without its marks is known by its
// Message-ID and our Received.
func TestRedirectInCirclesThatLostTheMark(t *testing.T) {
	o := openOffice(t, unknown{})
	o.rule("ann@example.org", `redirect "one@elsewhere.example";`)
	text := "Message-ID: <circle@sender.example>\r\n" + letter
	o.usual(text, "ann@example.org")
	_, texts := o.left()
	back := strings.Replace(texts[0], "X-Sieve-Redirected-From: ann@example.org\r\n", "", 1)
	o.usual(back, "ann@example.org")
	if out, _ := o.left(); len(out) != 1 {
		t.Errorf("%d messages left, want 1", len(out))
	}
	o.lies("ann@example.org", "INBOX 2")
}

// RFC 6009 §6.1: who asks to be told is the one who is told.
func TestRedirectWithDSNLeavesInTheOwnersName(t *testing.T) {
	o := openOffice(t, unknown{})
	o.rule("ann@example.org", `require "redirect-dsn"; redirect :notify "success" "one@elsewhere.example";`)
	o.usual(letter, "ann@example.org")
	if out, _ := o.left(); len(out) != 1 || out[0].From != addr(t, "ann@example.org") || out[0].DSN.Notify != mail.NotifySuccess {
		t.Errorf("left %+v", out)
	}
}

// RFC 5436 §2.7: auto-notified, from the owner, to all whom the URI names; RFC
// 8689 §6: with the demand, and without the subject of a required message.
func TestNotifyByMail(t *testing.T) {
	o := openOffice(t, unknown{})
	o.rule("ann@example.org", `require ["enotify", "fcc"];
		notify :importance "1" :fcc "INBOX" "mailto:pager@elsewhere.example?cc=two@elsewhere.example&body=Look%0D%0Ahere&X-Team=red&received=no";`)
	text := "Message-ID: <1@sender.example>\r\nSubject: Plans\r\n" + letter
	o.wantFates(o.deliver(envelope(requiretls.Required()), text, "ann@example.org"), "delivered")
	out, texts := o.left()
	if len(out) != 2 || out[0].To != addr(t, "pager@elsewhere.example") || out[1].To != addr(t, "two@elsewhere.example") {
		t.Fatalf("left %+v", out)
	}
	for _, n := range out {
		if !n.Demand().IsRequired() || n.From != addr(t, "ann@example.org") || n.DSN.Notify != mail.NotifyNever {
			t.Errorf("%v from %v, %v", n.Demand(), n.From, n.DSN)
		}
	}
	want := "From: ann@example.org\r\nTo: pager@elsewhere.example\r\nSubject: New mail\r\n" +
		"Date: Sat, 21 Nov 2026 12:00:00 +0000\r\nMessage-ID: <q1x2.1.notice0@store.example.org>\r\n" +
		"In-Reply-To: <1@sender.example>\r\nReferences: <1@sender.example>\r\n" +
		"Auto-Submitted: auto-notified; owner-email=\"ann@example.org\"\r\nCc: two@elsewhere.example\r\nImportance: high\r\nX-Team: red\r\n" +
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nLook\r\nhere\r\n"
	if texts[0] != want || texts[1] != want {
		t.Errorf("got %q, want %q", texts[0], want)
	}
	o.lies("ann@example.org", "INBOX 2 required")
}

// RFC 5436 §2.7: a null sender MUST be allowed, and MUST stay null.
func TestNotifyAboutABounceHasANullSender(t *testing.T) {
	o := openOffice(t, unknown{})
	o.rule("ann@example.org", `require "enotify"; notify :message "Hm" "mailto:pager@elsewhere.example";`)
	env := envelope(requiretls.Usual())
	env.From = mail.Address{}
	o.wantFates(o.deliver(env, letter, "ann@example.org"), "delivered")
	if out, texts := o.left(); len(out) != 1 || !out[0].From.IsNull() || !strings.Contains(texts[0], "Subject: Hm\r\n") {
		t.Errorf("left %+v", out)
	}
}

// RFC 8689 §6: an answer that cannot be protected is skipped, and logged.
func TestAnswersThatCannotBeProtectedAreSkipped(t *testing.T) {
	o := openOffice(t, narrow("sender.example"))
	o.rule("ann@example.org", `require ["vacation", "enotify"]; vacation "Gone"; notify "mailto:x@sender.example";`)
	text := "To: ann@example.org\r\n" + letter
	o.wantFates(o.deliver(envelope(requiretls.Required()), text, "ann@example.org"), "delivered")
	if out, _ := o.left(); len(out) != 0 {
		t.Errorf("%d messages left", len(out))
	}
	o.says("msg=noted", `what="answer not sent"`, "")
	o.says("msg=noted", `what="notification not sent"`, "")
	o.lies("ann@example.org", "INBOX 1 required") // no notice: nothing of hers was lost
	o.usual(text, "ann@example.org")
	if out, _ := o.left(); len(out) != 2 {
		t.Errorf("an untagged one: %d messages left, want 2", len(out))
	}
}

// RFC 5429 §2.2.1: a rejection by mail MUST be an MDN that says "deleted"; RFC
// 8098: from the owner, with a null sender; RFC 8689 §5: headers alone, and a
// form without them for where REQUIRETLS is not offered.
func TestRejectByMail(t *testing.T) {
	o := openOffice(t, unknown{})
	o.rule("ann@example.org", `require "reject"; reject "Kein Tee für mich";`)
	text := "Message-ID: <1@sender.example>\r\nSubject: Tea, secretly\r\n" + letter
	o.wantFates(o.deliver(envelope(requiretls.Required()), text, "ann@example.org"), "delivered")
	o.lies("ann@example.org", "")
	out, texts := o.left()
	if len(out) != 1 || out[0].Kind != mail.Bounced || !out[0].From.IsNull() || out[0].To != addr(t, "alice@sender.example") || !out[0].Demand().IsRequired() {
		t.Fatalf("left %+v", out)
	}
	for _, want := range []string{
		"From: ann@example.org\r\n", "Kein Tee f=C3=BCr mich\r\n", "report-type=disposition-notification", "\r\nFinal-Recipient: rfc822; ann@example.org\r\n",
		"\r\nOriginal-Message-ID: <1@sender.example>\r\n", "\r\nDisposition: automatic-action/MDN-sent-automatically; deleted\r\n", "\r\nSubject: Tea, secretly\r\n",
	} {
		if !strings.Contains(texts[0], want) {
			t.Errorf("the rejection lacks %q:\n%s", want, texts[0])
		}
	}
	redacted := string(out[0].Redacted)
	for _, secret := range []string{"Tea, secretly", "<1@sender.example>", "mich"} {
		if strings.Contains(redacted, secret) {
			t.Errorf("the redacted form has %q:\n%s", secret, redacted)
		}
	}
	if !strings.Contains(redacted, "\r\nDisposition: automatic-action/MDN-sent-automatically; deleted\r\n") {
		t.Errorf("the redacted form is %q", redacted)
	}
}

// RFC 5429 §2.2.1: none is sent to nobody.
func TestRejectByMailOfABounceIsKept(t *testing.T) {
	o := openOffice(t, unknown{})
	o.rule("ann@example.org", `require "reject"; reject "Kein Tee für mich";`)
	env := envelope(requiretls.Usual())
	env.From = mail.Address{}
	o.wantFates(o.deliver(env, letter, "ann@example.org"), "delivered")
	if out, _ := o.left(); len(out) != 0 {
		t.Errorf("%d messages left", len(out))
	}
	o.lies("ann@example.org", "INBOX 2")
}

// Behind an alias that others take, a no goes by mail.
func TestRejectBehindAnAliasGoesByMail(t *testing.T) {
	o := openOffice(t, unknown{})
	o.person("bob@example.org")
	o.alias("team@example.org", "ann@example.org", "bob@example.org")
	o.rule("ann@example.org", `require "reject"; reject "not me";`)
	o.usual(letter, "team@example.org")
	out, texts := o.left()
	if len(out) != 1 || !strings.Contains(texts[0], "not me") {
		t.Fatalf("left %+v", out)
	}
	// Who is behind the alias is nobody's to know (RFC 8098 §6.2).
	if !strings.Contains(texts[0], "From: team@example.org\r\n") || !strings.Contains(texts[0], "\r\nFinal-Recipient: rfc822; team@example.org\r\n") || strings.Contains(texts[0], "ann@") {
		t.Errorf("the rejection is %q", texts[0])
	}
	o.lies("ann@example.org", "")
	o.lies("bob@example.org", "INBOX 1")
}

// RFC 5429 §2.1 (MUST): where the dialogue cannot say no, ereject falls back to a DSN
// (§2.1.2), whole, and for who wants to hear of failures.
func TestErejectBehindAnAliasFallsBackToADSN(t *testing.T) {
	for _, c := range []struct {
		asked mail.Notify
		sent  int
		ann   string
	}{{0, 1, ""}, {mail.NotifyFailure, 1, ""}, {mail.NotifyNever, 0, "INBOX 2"}, {mail.NotifySuccess, 0, "INBOX 2"}} {
		o := openOffice(t, unknown{})
		o.person("bob@example.org")
		o.alias("team@example.org", "ann@example.org", "bob@example.org")
		o.rule("ann@example.org", `require "ereject"; ereject "Kein Tee für mich";`)
		env := envelope(requiretls.Usual())
		if c.asked != 0 {
			env.DSN = map[mail.Address]mail.DSN{addr(t, "team@example.org"): {Notify: c.asked, EnvID: "q77", ORcptType: "rfc822", ORcpt: "all@example.org"}}
		}
		o.wantFates(o.deliver(env, "Subject: tea\r\n"+letter, "team@example.org"), "delivered")
		o.lies("ann@example.org", c.ann)
		o.lies("bob@example.org", "INBOX 1")
		out, texts := o.left()
		if len(out) != c.sent {
			t.Fatalf("asked %v: left %+v, want %d", c.asked, out, c.sent)
		}
		want := []string{
			"From: team@example.org\r\n", "Kein Tee f=C3=BCr mich\r\n", "report-type=delivery-status", "Content-Type: message/delivery-status\r\n",
			"\r\n\r\nReporting-MTA: dns; store.example.org\r\n", "\r\nFinal-Recipient: rfc822; team@example.org\r\nAction: failed\r\nStatus: 5.7.1\r\n", "\r\nSubject: tea\r\n",
		}
		if c.asked != 0 {
			want = append(want, "store.example.org\r\nOriginal-Envelope-Id: q77\r\n\r\nOriginal-Recipient: rfc822; all@example.org\r\nFinal-Recipient")
		}
		for _, w := range want {
			if c.sent == 1 && (!strings.Contains(texts[0], w) || strings.Contains(texts[0], "ann@") || !out[0].From.IsNull()) {
				t.Errorf("asked %v: the report lacks %q, is not from <>, or tells who is behind the alias:\n%s", c.asked, w, texts[0])
			}
		}
	}
}

// What people who write no Sieve asked for runs ahead of their own script,
// whichever is active, and once.
func TestManagedScriptRunsAheadOfTheActiveOne(t *testing.T) {
	o := openOffice(t, unknown{})
	o.put(o.account("ann@example.org"), deliver.Managed, `require ["copy", "vacation"]; redirect :copy "one@elsewhere.example"; vacation "Gone";`)
	text := "To: ann@example.org\r\n" + letter
	left := func(want string) {
		t.Helper()
		var got []string
		out, _ := o.left()
		for _, l := range out {
			got = append(got, l.Kind.String()+" "+l.To.Local)
			if err := o.store.DeleteOut(t.Context(), l.id); err != nil {
				t.Fatal(err)
			}
		}
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("left %q, want %q", s, want)
		}
	}
	o.usual(text, "ann@example.org")
	left("redirect one, answer alice")
	o.rule("ann@example.org", `require ["fileinto", "vacation", "mailbox"]; fileinto :create "Tea"; vacation "Mine";`)
	o.usual(text, "ann@example.org")
	left("redirect one") // the managed answer stands in for the other, and was given
	o.rule("ann@example.org", `require "ereject"; ereject "no tea";`)
	o.wantFates(o.deliver(envelope(requiretls.Usual()), text, "ann@example.org"), "550 5.7.1 no tea")
	left("redirect one")
	if err := o.account("ann@example.org").ActivateScript(t.Context(), deliver.Managed); err != nil {
		t.Fatal(err)
	}
	o.usual(text, "ann@example.org")
	left("redirect one")
	o.lies("ann@example.org", "INBOX 2, Tea 1")
}

// Who forwards by command and writes a script beside it is not told of too many
// redirects that he did not write.
func TestForwardsOfOneScriptAreNotCountedInTheNext(t *testing.T) {
	o := openOffice(t, unknown{})
	o.put(o.account("ann@example.org"), deliver.Managed, `require "copy"; redirect :copy "a@elsewhere.example"; redirect :copy "b@elsewhere.example"; redirect :copy "c@elsewhere.example"; redirect :copy "d@elsewhere.example";`)
	o.rule("ann@example.org", `require ["copy", "fileinto"]; redirect :copy "a@elsewhere.example"; redirect :copy "e@elsewhere.example"; fileinto "Archive";`)
	o.usual(letter, "ann@example.org")
	o.lies("ann@example.org", "Archive 1")
	if out, _ := o.left(); len(out) != 5 {
		t.Errorf("%d letters left, want 5", len(out))
	}
}

// RFC 5322 §2.1.1: no line of ours is longer than 998 octets, however the owner
// wrote his; RFC 5230 §4.4: what he wrote as MIME leaves as he wrote it.
func TestAnswersHaveLinesThatPassEverywhere(t *testing.T) {
	o := openOffice(t, unknown{})
	o.rule("ann@example.org", `require "vacation"; vacation "`+strings.Repeat("ä", 3000)+`";`)
	o.usual("To: ann@example.org\r\n"+letter, "ann@example.org")
	_, texts := o.left()
	for line := range strings.SplitSeq(texts[0], "\r\n") {
		if len(line) > 78 || strings.ContainsFunc(line, func(r rune) bool { return r > 0x7f }) {
			t.Errorf("a line of %d octets: %.90q", len(line), line)
		}
	}
	if strings.Count(strings.ReplaceAll(texts[0], "=\r\n", ""), "=C3=A4") != 3000 {
		t.Errorf("the answer is %.900q", texts[0])
	}
	o = openOffice(t, unknown{})
	o.rule("ann@example.org", `require ["vacation", "enotify"];
vacation :from "Jörg Müller <ann@example.org>, \"Ann, too\" <ann+x@example.org>" :subject "`+strings.Repeat("我", 256)+`" "x";
notify :message "`+strings.Repeat("我", 256)+`" "mailto:pager@elsewhere.example?X-Team=gr%C3%BCn";`)
	o.usual("To: ann@example.org\r\n"+letter, "ann@example.org")
	_, texts = o.left()
	for _, text := range texts {
		for line := range strings.SplitSeq(text, "\r\n") {
			if len(line) > 100 || strings.ContainsFunc(line, func(r rune) bool { return r > 0x7f }) {
				t.Errorf("a line of %d octets: %.90q", len(line), line)
			}
		}
	}
	if want := "From: =?utf-8?b?SsO2cmcgTcO8bGxlcg==?= <ann@example.org>,\r\n \"Ann, too\" <ann+x@example.org>\r\n"; !strings.HasPrefix(texts[0], want) {
		t.Errorf("the answer is %.200q, want %q", texts[0], want)
	}
	if want := "\r\nX-Team: =?utf-8?b?Z3LDvG4=?=\r\n"; !strings.Contains(texts[1], want) {
		t.Errorf("the notification is %.1900q, want %q", texts[1], want)
	}
	o = openOffice(t, unknown{})
	o.rule("ann@example.org", "require \"vacation\"; vacation :mime text:\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Gone\r\n.\r\n;")
	o.usual("To: ann@example.org\r\n"+letter, "ann@example.org")
	if _, texts := o.left(); !strings.HasSuffix(texts[0], "\r\nMIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Gone\r\n") {
		t.Errorf("the answer is %q", texts[0])
	}
}

// RFC 2045 §4: a reply written as MIME may bring the version itself.
func TestAnswerWrittenAsMIMEHasOneVersion(t *testing.T) {
	o := openOffice(t, unknown{})
	o.rule("ann@example.org", "require \"vacation\"; vacation :mime text:\r\nContent-Type: text/plain; charset=utf-8\r\nMime-Version: 1.0\r\n\r\nGone\r\n.\r\n;")
	o.usual("To: ann@example.org\r\n"+letter, "ann@example.org")
	want := "\r\nX-Auto-Response-Suppress: All\r\nContent-Type: text/plain; charset=utf-8\r\nMime-Version: 1.0\r\n\r\nGone\r\n"
	if _, texts := o.left(); !strings.HasSuffix(texts[0], want) {
		t.Errorf("the answer is %q, want it to end in %q", texts[0], want)
	}
}

// RFC 5322 §2.1: an empty line separates the header from the body, also where the
// owner wrote a text and called it MIME.
func TestAnswerCalledMIMEThatIsTextStaysReadable(t *testing.T) {
	for _, reason := range []string{"I am away.", "Away: yes, I am", "Note this: away\n\nAnn", "\nI am away."} {
		o := openOffice(t, unknown{})
		o.rule("ann@example.org", "require \"vacation\"; vacation :mime \""+reason+"\";")
		o.usual("To: ann@example.org\r\n"+letter, "ann@example.org")
		_, texts := o.left()
		if len(texts) != 1 {
			t.Fatalf("%q: %d answers", reason, len(texts))
		}
		_, after, _ := strings.Cut(texts[0], "MIME-Version: 1.0\r\n")
		want := "\r\n" + strings.ReplaceAll(strings.TrimPrefix(reason, "\n"), "\n", "\r\n") + "\r\n"
		if strings.HasPrefix(reason, "Away:") { // may be a field, and is one then
			want = want[2:]
		}
		if after != want {
			t.Errorf("%q became %q, want %q", reason, after, want)
		}
	}
}

// RFC 5293 §7: what was sent on before the header was changed leaves as it came,
// though an edited copy is kept.
func TestRedirectBeforeAnEditLeavesAsItCame(t *testing.T) {
	o := openOffice(t, unknown{})
	o.rule("ann@example.org", `require ["copy", "editheader"]; redirect :copy "one@elsewhere.example"; addheader "X-Sorted" "yes";
		redirect :copy "two@elsewhere.example"; keep;`)
	o.usual(letter, "ann@example.org")
	_, texts := o.left()
	if strings.Contains(texts[0], "X-Sorted") || !strings.HasSuffix(texts[0], letter) {
		t.Errorf("one gets %q", texts[0])
	}
	if !strings.HasSuffix(texts[1], "X-Sorted: yes\r\n"+letter) {
		t.Errorf("two gets %q", texts[1])
	}
	if got := o.latest("ann@example.org", "INBOX"); !strings.HasSuffix(got, "X-Sorted: yes\r\n"+letter) {
		t.Errorf("ann has %q", got)
	}
}

// RFC 5890 §2.3.2.1: what leaves names internationalized domains as every host can
// read them; raw UTF-8 in a header is for hosts with SMTPUTF8 alone (RFC 6531 §3.2).
func TestWhatLeavesNamesInternationalizedDomainsInASCII(t *testing.T) {
	o := openOffice(t, unknown{})
	o.person("ann@bücher.example")
	o.rule("ann@bücher.example", `require ["vacation", "enotify", "copy"];
redirect :copy "carl@elsewhere.example"; vacation "Gone"; notify "mailto:pager@b%C3%BCro.example";`)
	o.usual("To: ann@bücher.example\r\n"+letter, "ann@bücher.example")
	out, texts := o.left()
	if len(out) != 3 {
		t.Fatalf("%d letters left, want 3", len(out))
	}
	for i, text := range texts {
		header, _, _ := strings.Cut(text, "\r\n\r\n")
		for line := range strings.SplitSeq(header, "\r\n") {
			theirs := strings.HasPrefix(line, "To: ann@") && out[i].Kind == mail.Redirected || strings.HasPrefix(line, "Received: ") || strings.HasPrefix(line, "\t")
			if !theirs && strings.ContainsFunc(line, func(r rune) bool { return r > 0x7f }) {
				t.Errorf("%v: %q", out[i].Kind, line)
			}
		}
	}
	o.usual("X-Sieve-Redirected-From: ann@bücher.example\r\nTo: ann@bücher.example\r\n"+letter, "ann@bücher.example")
	if out, _ := o.left(); slices.ContainsFunc(out[3:], func(o leaving) bool { return o.Kind == mail.Redirected }) {
		t.Error("a letter that came back was sent on again")
	}
}

// RFC 6531 §3.6: what has more than ASCII in its header goes to hosts with
// SMTPUTF8 alone. RFC 6533 §3: such an address has a type of its own in reports.
func TestOwnerBeyondASCIIAsksForSMTPUTF8(t *testing.T) {
	const jörg = "jörg@example.org"
	rules := func(o *office, text string) {
		o.person(jörg)
		o.alias("info@example.org", jörg)
		o.rule(jörg, text)
	}
	header := func(text string) string { h, _, _ := strings.Cut(text, "\r\n\r\n"); return h }
	answers := `require ["vacation", "enotify", "copy", "variables"]; redirect :copy "carl@elsewhere.example"; vacation "Gone";
notify "mailto:pager@elsewhere.example?cc=desk@b%C3%BCro.example";`
	t.Run("addressed as such", func(t *testing.T) {
		o := openOffice(t, unknown{})
		rules(o, answers)
		env := envelope(requiretls.Usual())
		env.SMTPUTF8 = true
		o.wantFates(o.deliver(env, "To: "+jörg+"\r\nMessage-ID: <zü@sender.example>\r\n"+letter, jörg), "delivered")
		out, texts := o.left()
		if len(out) != 4 || !strings.Contains(texts[1], "From: "+jörg+"\r\n") || !strings.Contains(texts[1], "In-Reply-To: <zü@sender.example>\r\n") {
			t.Fatalf("left %d:\n%s", len(out), strings.Join(texts, "\n"))
		}
		for i, l := range out {
			if !l.SMTPUTF8 {
				t.Errorf("%v to %v leaves without SMTPUTF8:\n%s", l.Kind, l.To, texts[i])
			}
		}
	})
	t.Run("behind an alias", func(t *testing.T) {
		o := openOffice(t, unknown{})
		rules(o, answers)
		o.usual("To: info@example.org\r\nMessage-ID: <zü@sender.example>\r\n"+letter, "info@example.org")
		out, texts := o.left()
		if len(out) != 4 || !strings.Contains(texts[1], "From: info@example.org\r\n") || !strings.Contains(texts[2], "Cc: desk@xn--bro-hoa.example\r\n") {
			t.Fatalf("left %d:\n%s", len(out), strings.Join(texts, "\n"))
		}
		for i, l := range out {
			text := strings.ReplaceAll(header(texts[i]), "Message-ID: <zü@sender.example>", "") // the sender's own
			if l.Kind == mail.Redirected && l.SMTPUTF8 || strings.ContainsFunc(text, func(r rune) bool { return r > 0x7f }) {
				t.Errorf("%v to %v does not pass everywhere:\n%s", l.Kind, l.To, text)
			}
		}
		o.usual(header(texts[0])+"\r\n\r\nAgain.\r\n", "info@example.org")
		if more, _ := o.left(); slices.ContainsFunc(more[4:], func(o leaving) bool { return o.Kind == mail.Redirected }) {
			t.Error("a letter that came back was sent on again")
		}
	})
	t.Run("refused", func(t *testing.T) {
		o := openOffice(t, unknown{})
		rules(o, `require "reject"; reject "Kein Tee für mich";`)
		env := envelope(requiretls.Usual())
		env.SMTPUTF8 = true
		o.wantFates(o.deliver(env, letter, jörg), "delivered")
		o.usual(letter, "info@example.org")
		out, texts := o.left()
		if len(out) != 2 || !out[0].SMTPUTF8 || !strings.Contains(texts[0], "\r\nFinal-Recipient: utf-8; j\\x{F6}rg@example.org\r\n") {
			t.Fatalf("left %d:\n%s", len(out), strings.Join(texts, "\n"))
		}
		if out[1].SMTPUTF8 || !strings.Contains(texts[1], "\r\nFinal-Recipient: rfc822; info@example.org\r\n") {
			t.Errorf("behind an alias:\n%s", texts[1])
		}
	})
}

// RFC 5890 §2.3.2.1: a letter written to one spelling of the domain is answered
// by whoever has the other.
func TestVacationKnowsBothSpellingsOfADomain(t *testing.T) {
	for _, to := range []string{"ann@bücher.example", "ann@xn--bcher-kva.example"} {
		for _, rcpt := range []string{"ann@bücher.example", "ann@xn--bcher-kva.example"} {
			o := openOffice(t, unknown{})
			o.person("ann@bücher.example")
			o.rule("ann@bücher.example", `require "vacation"; vacation "Gone";`)
			o.usual("To: "+to+"\r\n"+letter, rcpt)
			if out, _ := o.left(); len(out) != 1 {
				t.Errorf("to %s, in the envelope %s: %d answers", to, rcpt, len(out))
			}
		}
	}
}

// What was remembered while the clock was ahead holds no longer than it can: people
// are answered again, and what is no duplicate is none.
func TestClockThatWasAheadKeepsNobodyWaiting(t *testing.T) {
	o := openOffice(t, unknown{})
	o.rule("ann@example.org", `require ["vacation", "vacation-seconds", "duplicate", "fileinto"];
		vacation :days 30 "Away.";
		if duplicate :header "Subject" :seconds 604800 { fileinto "Trash"; stop; }
		fileinto "Gone";`)
	came := envelope(requiretls.Usual()).Received
	for _, c := range []struct {
		at      time.Time
		answers int
		lies    string
	}{
		{came.AddDate(5, 0, 0), 1, "INBOX 2"}, // and a word about the mailbox that is missing
		{came, 2, "INBOX 4"},
		{came.Add(-time.Hour), 2, "INBOX 4, Trash 1"}, // of two that come at once the older may be sorted last
		{came.Add(time.Hour), 2, "INBOX 4, Trash 2"},
	} {
		env := envelope(requiretls.Usual())
		env.Received = c.at
		o.wantFates(o.deliver(env, "From: alice@sender.example\r\nTo: ann@example.org\r\nSubject: tea\r\n\r\n", "ann@example.org"), "delivered")
		if out, _ := o.left(); len(out) != c.answers {
			t.Errorf("at %s: %d answers, want %d", c.at, len(out), c.answers)
		}
		o.lies("ann@example.org", c.lies)
	}
}

// RFC 5293 §7: what is said about a message is about it as the script left it.
func TestAnswersAreAboutTheEditedSubject(t *testing.T) {
	o := openOffice(t, unknown{})
	o.rule("ann@example.org", `require ["editheader", "vacation", "enotify"];
		notify "mailto:pager@elsewhere.example";
		deleteheader "Subject"; addheader "Subject" "[external] tea";
		vacation "Away.";
		notify "mailto:boss@elsewhere.example";
		deleteheader "Subject";
		notify "mailto:desk@elsewhere.example";`)
	o.usual("From: alice@sender.example\r\nTo: ann@example.org\r\nSubject: tea\r\n\r\n", "ann@example.org")
	out, texts := o.left()
	got := map[string]string{}
	for i, text := range texts {
		got[out[i].To.String()] = regexp.MustCompile("(?m)^Subject: (.*?)\r$").FindStringSubmatch(text)[1]
	}
	want := map[string]string{
		"pager@elsewhere.example": "tea", "alice@sender.example": "Auto: [external] tea",
		"boss@elsewhere.example": "[external] tea", "desk@elsewhere.example": "New mail",
	}
	if !maps.Equal(got, want) {
		t.Errorf("subjects %q, want %q", got, want)
	}
}
