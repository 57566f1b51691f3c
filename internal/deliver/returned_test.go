package deliver_test

import (
	"errors"
	"strings"
	"testing"

	"letterlock/internal/deliver"
	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
)

// told writes the reports of a house that makes them.
type told struct{}

func (told) Delivered(env *mail.Envelope, rcpt mail.Address, _ mail.Body) *mail.Outbound {
	if !env.DSN[rcpt].Notify.Wants(mail.NotifySuccess) {
		return nil
	}
	report, _ := env.Redirect(mail.Redirect{To: rcpt}).Bounce(mail.Report{Text: []byte("arrived\r\n"), Redacted: []byte("arrived\r\n")})
	return report
}

func reporting(opt *deliver.Options) { opt.Reports = told{} }

// whatLeft is what leaves in short, and empties the outbox.
func (o *office) whatLeft() string {
	o.Helper()
	var got []string
	out, _ := o.left()
	for _, l := range out {
		asked := ""
		for i, word := range []string{"never", "success", "failure", "delay"} {
			if l.Kind == mail.Redirected && l.DSN.Notify&(1<<i) != 0 {
				asked += " " + word
			}
		}
		if l.DSN.EnvID != "" {
			asked += " " + l.DSN.EnvID
		}
		got = append(got, l.Kind.String()+" "+l.To.Local+asked)
		if err := o.store.DeleteOut(o.Context(), l.id); err != nil {
			o.Fatal(err)
		}
	}
	return strings.Join(got, ", ")
}

func asking(rcpt mail.Address, n mail.Notify) *mail.Envelope {
	env := envelope(requiretls.Usual())
	env.DSN = map[mail.Address]mail.DSN{rcpt: {Notify: n, EnvID: "q"}}
	return env
}

// RFC 3461 §5.2.3, §5.2.7: who asked is told once that the message arrived; one
// that is sent on and not kept takes the question with it, one that is kept too
// takes it without success.
func TestDSNSuccessIsToldOnce(t *testing.T) {
	o := openOffice(t, unknown{}, reporting)
	ann := addr(t, "ann@example.org")
	o.person("bob@example.org")
	o.alias("team@example.org", "ann@example.org", "bob@example.org")
	team := addr(t, "team@example.org")
	both := mail.NotifySuccess | mail.NotifyFailure
	for _, c := range []struct {
		rule, want string
		asked      mail.Notify
		rcpt       mail.Address
	}{
		{`keep;`, "bounce alice", both, ann},
		{`keep;`, "", mail.NotifyFailure, ann},
		{`keep;`, "", mail.NotifyNever, ann},
		{`discard;`, "bounce alice", both, ann},
		{`keep;`, "bounce alice", both, team},
		{`require "ereject"; ereject "no";`, "", both, ann},
		{`redirect "one@elsewhere.example";`, "redirect one success failure q", both, ann},
		{`redirect "one@elsewhere.example";`, "redirect one never q", mail.NotifyNever, ann},
		{`redirect "one@elsewhere.example";`, "redirect one failure q, bounce alice", both, team},
		{`redirect "one@elsewhere.example"; redirect "two@elsewhere.example";`, "redirect one success failure q, redirect two failure q", both, ann},
		{`redirect "one@elsewhere.example"; keep;`, "redirect one failure q, bounce alice", both, ann},
		{`redirect "one@elsewhere.example"; keep;`, "redirect one never q, bounce alice", mail.NotifySuccess, ann},
		{`require "redirect-dsn"; redirect :notify "DELAY" "one@elsewhere.example";`, "redirect one delay, bounce alice", both, ann},
	} {
		o.rule("ann@example.org", c.rule)
		o.deliver(asking(c.rcpt, c.asked), letter, c.rcpt.String())
		if got := o.whatLeft(); got != c.want {
			t.Errorf("%s, asked %v: left %q, want %q", c.rule, c.asked, got, c.want)
		}
	}
}

// RFC 3461 §5.2.7.4: what leaves in another name asks nothing in the first's.
func TestDSNOfARewrittenSenderStaysHere(t *testing.T) {
	o := openOffice(t, unknown{}, reporting, func(opt *deliver.Options) {
		opt.Sender = func(_, owner mail.Address) mail.Address { return owner }
	})
	o.rule("ann@example.org", `redirect "one@elsewhere.example";`)
	ann := addr(t, "ann@example.org")
	o.deliver(asking(ann, mail.NotifySuccess), letter, "ann@example.org")
	out, _ := o.left()
	if out[0].From != ann {
		t.Errorf("left from %v", out[0].From)
	}
	if got := o.whatLeft(); got != "redirect one, bounce alice" {
		t.Errorf("left %q", got)
	}
}

// A return path that leads back to the sender is his own in another form: who
// wanted no report gets none by way of us, and who wanted one gets one.
func TestDSNOfAReturnPathGoesAlong(t *testing.T) {
	o := openOffice(t, unknown{}, reporting, func(opt *deliver.Options) {
		opt.Sender = func(from, _ mail.Address) mail.Address {
			return mail.Address{Local: "SRS0=" + from.Local, Domain: "example.org"}
		}
		opt.Returned = func(a mail.Address) (mail.Address, error) {
			back := envelope(requiretls.Usual()).From
			if a.Local != "SRS0="+back.Local {
				return mail.Address{}, errors.New("forged")
			}
			return back, nil
		}
	})
	o.rule("ann@example.org", `redirect "one@elsewhere.example";`)
	ann := addr(t, "ann@example.org")
	for asked, want := range map[mail.Notify]string{
		mail.NotifyNever:   "redirect one never q",
		mail.NotifySuccess: "redirect one success q",
	} {
		o.deliver(asking(ann, asked), letter, "ann@example.org")
		if got := o.whatLeft(); got != want {
			t.Errorf("asked %v: left %q, want %q", asked, got, want)
		}
	}
}

// What rules throw away is said to be thrown away, also where its sender hears
// that it came.
func TestDroppedIsSaidBesideAReport(t *testing.T) {
	o := openOffice(t, unknown{}, reporting)
	o.rule("ann@example.org", `discard;`)
	ann := addr(t, "ann@example.org")
	o.deliver(asking(ann, mail.NotifySuccess), letter, "ann@example.org")
	if got := o.whatLeft(); got != "bounce alice" {
		t.Errorf("left %q", got)
	}
	o.says("msg=dropped", "line 1")
	o.rule("ann@example.org", `redirect "one@elsewhere.example"; discard;`)
	o.log.Reset()
	o.usual(letter, "ann@example.org")
	if strings.Contains(o.log.String(), "msg=dropped") {
		t.Errorf("what was sent on is said to be dropped:\n%s", o.log.String())
	}
}

// A report that comes back to a return path of ours goes on to the sender, and
// nothing else does.
func TestReturnPathOfOursComesBack(t *testing.T) {
	o := openOffice(t, unknown{}, func(opt *deliver.Options) {
		opt.Returned = func(a mail.Address) (mail.Address, error) {
			if a.Local == "SRS0=good" {
				return addr(t, "carol@far.example"), nil
			}
			return mail.Address{}, errors.New("forged")
		}
	})
	bounce := envelope(requiretls.Required())
	bounce.From = mail.Address{}
	for local, want := range map[string]string{"SRS0=good": "delivered", "srs0=bad": "550 5.1.1 this return address has expired, or was never made here"} {
		if err := o.sorter.Recipient(t.Context(), addr(t, local+"@example.org")); fateOf(err) != want {
			t.Errorf("RCPT %s: %v, want %q", local, err, want)
		}
	}
	o.wantFates(o.deliver(bounce, letter, "SRS0=good@example.org", "ann@example.org"), "delivered", "delivered")
	out, texts := o.left()
	if len(out) != 1 || out[0].To != addr(t, "carol@far.example") || !out[0].From.IsNull() || !out[0].Demand().IsRequired() ||
		!strings.HasPrefix(texts[0], "Received: ") || !strings.HasSuffix(texts[0], letter) {
		t.Errorf("left %+v: %q", out, texts)
	}
	o.lies("ann@example.org", "INBOX 1 required")
	o.wantFates(o.deliver(envelope(requiretls.Usual()), letter, "SRS0=good@example.org"), "550 5.7.1 only reports about mail are taken here")
}

// Scripts take effect with the next message, also the first ever.
func TestFirstScriptTakesEffectAtOnce(t *testing.T) {
	o := openOffice(t, nil)
	o.usual(letter, "ann@example.org")
	o.rule("ann@example.org", `discard;`)
	o.usual(letter, "ann@example.org")
	o.global(deliver.Before, `require ["fileinto", "mailbox"]; fileinto :create "All";`)
	o.usual(letter, "ann@example.org")
	o.lies("ann@example.org", "All 1, INBOX 1")
}

// RFC 6009 §4: what the sender asked to be told is in the envelope that rules read,
// and what was not asked is not.
func TestRulesReadWhatTheSenderAskedToBeTold(t *testing.T) {
	const rules = `require ["envelope", "envelope-dsn", "relational", "comparator-i;ascii-numeric", "fileinto", "mailbox", "variables", "vacation"];
set "v" "";
if envelope :matches "notify" "S*" { set "v" "${v} ${0}"; }
if envelope "notify" "DELAY" { set "v" "${v} DELAY"; }
if envelope :matches "orcpt" "*" { set "v" "${v} ${0}"; }
if envelope :matches "ret" "*" { set "v" "${v} ${0}"; }
if envelope :matches "envid" "*" { set "v" "${v} ${0}"; }
if envelope :count "eq" :comparator "i;ascii-numeric" "notify" "0" { set "v" "${v} nothing"; }
fileinto :create "asked${v}";
vacation "Gone";`
	o := openOffice(t, unknown{})
	o.rule("ann@example.org", rules)
	ann := addr(t, "ann@example.org")
	env := envelope(requiretls.Usual())
	env.DSN = map[mail.Address]mail.DSN{ann: {
		Notify: mail.NotifySuccess | mail.NotifyDelay, Return: mail.ReturnHeaders, EnvID: "QQ314159", ORcptType: "rfc822", ORcpt: "office@example.net",
	}}
	// The MTA knew her by another address, which she is answered at all the same
	// (RFC 5230 §4.5).
	o.wantFates(o.deliver(env, "To: office@example.net\r\n"+letter, "ann@example.org"), "delivered")
	o.usual(letter, "ann@example.org")
	o.lies("ann@example.org", "asked SUCCESS DELAY rfc822;office@example.net HDRS QQ314159 1, asked nothing 1")
	out, texts := o.left()
	if len(out) != 1 || !strings.Contains(texts[0], "From: ann@example.org\r\n") {
		t.Errorf("%d answers: %q", len(out), texts)
	}
}
