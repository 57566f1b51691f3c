package deliver_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"letterlock/internal/deliver"
	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage"
)

// unknown is a way of which nothing is known that speaks against it.
type unknown struct{}

func (unknown) Preflight(context.Context, *mail.Outbound) error { return nil }

// leaving is a row of the store's outbox.
type leaving struct {
	*mail.Outbound
	id storage.OutID
}

// left is what leaves, with its text, as the store's outbox has it.
func (o *office) left() (out []leaving, text []string) {
	o.Helper()
	for q, err := range o.store.Outbox(o.Context()) {
		if err != nil {
			o.Fatal(err)
		}
		l, err := o.store.OpenOut(o.Context(), q.ID)
		if err != nil {
			o.Fatal(err)
		}
		defer l.Close()
		r, _ := l.Outbound.Reader(l.Body, mail.FullForm)
		octets, err := io.ReadAll(r)
		if err != nil {
			o.Fatal(err)
		}
		out, text = append(out, leaving{l.Outbound, q.ID}), append(text, string(octets))
	}
	return out, text
}

// RFC 8689 §6: what is sent on demands what came, or more.
func TestRedirectLeavesWithTheDemand(t *testing.T) {
	o := openOffice(t, unknown{})
	o.rule("ann@example.org", `require ["vnd.letterlock.redirect-requiretls", "copy", "editheader"];
		redirect "one@elsewhere.example";
		addheader "X-Sorted" "yes";
		redirect :copy :requiretls "two@elsewhere.example";`)
	for _, c := range []struct {
		came requiretls.Demand
		want string
	}{
		{requiretls.Usual(), "one usual, two required"},
		{requiretls.Waived(), "one waived, two required"},
		{requiretls.Required(), "one required, two required"},
	} {
		o.wantFates(o.deliver(envelope(c.came), letter, "ann@example.org"), "delivered")
		var got []string
		out, _ := o.left()
		for _, out := range out[len(out)-2:] {
			got = append(got, out.To.Local+" "+out.Demand().String())
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%v: %q leaves, want %q", c.came, s, c.want)
		}
	}
	o.lies("ann@example.org", "")                                       // redirect cancels the implicit keep
	o.says("msg=leaves", "kind=redirect", "to=<one@elsewhere.example>") // RFC 5228 §10: it SHOULD be logged
	_, text := o.left()
	if text := text[len(text)-2]; !strings.HasPrefix(text, "Received: ") || !strings.HasSuffix(text, "\r\nX-Sieve-Redirected-From: ann@example.org\r\n"+letter) {
		t.Errorf("one gets %q", text)
	}
	if text := text[len(text)-1]; !strings.HasSuffix(text, "\r\nX-Sorted: yes\r\n"+letter) { // the edited message (RFC 5293 §7)
		t.Errorf("two gets %q", text)
	}
}

// RFC 5228 §10: a message that comes back is kept, and not sent again.
func TestRedirectInCirclesIsKept(t *testing.T) {
	o := openOffice(t, unknown{})
	o.rule("ann@example.org", `redirect "one@elsewhere.example";`)
	o.usual(letter, "ann@example.org")
	o.lies("ann@example.org", "")
	_, text := o.left()
	o.usual(text[0], "ann@example.org")
	if out, _ := o.left(); len(out) != 1 {
		t.Errorf("%d messages left, want 1", len(out))
	}
	o.lies("ann@example.org", "INBOX 2")
	o.says("msg=noted", `what="redirect not sent"`)
}

func TestLanguageHasWhatTheStoreHasGroundFor(t *testing.T) {
	words := deliver.NewEngine(deliver.Language{Delimiter: "+"}).Capabilities()
	for word, want := range map[string]bool{
		"vnd.letterlock.redirect-requiretls": true, "subaddress": true, "special-use": true, "mailboxid": true, "duplicate": true,
		"mboxmetadata": true, "servermetadata": true,
	} {
		if slices.Contains(words, word) != want {
			t.Errorf("%s is offered: %v, want %v", word, !want, want)
		}
	}
	if slices.Contains(deliver.NewEngine(deliver.Language{}).Capabilities(), "subaddress") {
		t.Error("subaddress is offered where addresses have no detail")
	}
	if e := deliver.NewEngine(deliver.Language{Delimiter: "-+"}); e.Config().Delimiter != "-+" {
		t.Errorf("delimiter %q", e.Config().Delimiter)
	}
	if _, err := deliver.NewEngine(deliver.Language{}).Compile("", []byte(`redirect :requiretls "a@b.example";`)); err == nil {
		t.Error(":requiretls needs no require")
	}
}

// RFC 5260 §4.1: without :zone the server's own counts. What came at noon in
// Greenwich came at one here.
func TestDatesAreReadInTheServersZone(t *testing.T) {
	greenwich := time.Local
	t.Cleanup(func() { time.Local = greenwich })
	time.Local = time.FixedZone("", 60*60)
	o := openOffice(t, nil)
	o.rule("ann@example.org", `require ["date", "fileinto", "mailbox", "variables"];
if allof (currentdate :matches "hour" "*", date :is "Date" "zone" "+0100") { fileinto :create "${1} o'clock"; }`)
	o.usual("Date: Sat, 21 Nov 2026 11:59:00 +0000\r\n"+letter, "ann@example.org")
	o.lies("ann@example.org", "13 o'clock 1")
}

// RFC 5230 §4.2, §5: one answer to each sender, from nobody, about the message
// it answers; RFC 8580: its copy is filed where it was sent.
func TestVacationAnswersOnce(t *testing.T) {
	o := openOffice(t, unknown{})
	o.rule("ann@example.org", `require ["vacation", "fcc", "mailbox"]; vacation :fcc "Answers" :create text:
Gone
fishing
.
;`)
	text := "To: ann@example.org\r\nMessage-ID: <1@sender.example>\r\n" + letter
	o.wantFates(o.deliver(envelope(requiretls.Required()), text, "ann@example.org"), "delivered")
	o.usual(text, "ann@example.org")
	out, texts := o.left()
	if len(out) != 1 {
		t.Fatalf("%d answers, want 1", len(out))
	}
	a := out[0]
	if a.Kind != mail.Answered || !a.From.IsNull() || a.To != addr(t, "alice@sender.example") || !a.Demand().IsRequired() {
		t.Errorf("answer %v from %q to %q, %v", a.Kind, a.From, a.To, a.Demand())
	}
	want := "From: ann@example.org\r\nTo: <alice@sender.example>\r\nSubject: Automated reply\r\n" +
		"Date: Sat, 21 Nov 2026 12:00:00 +0000\r\nMessage-ID: <q1x2.1.answer@store.example.org>\r\n" +
		"In-Reply-To: <1@sender.example>\r\nReferences: <1@sender.example>\r\n" +
		"Auto-Submitted: auto-replied (vacation)\r\nPrecedence: bulk\r\nX-Auto-Response-Suppress: All\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGone\r\nfishing\r\n"
	if texts[0] != want {
		t.Errorf("got %q, want %q", texts[0], want)
	}
	o.says("msg=skipped", "what=answer", `rule="rules, line 1"`, `why="the sender had it before, and has it once in 168h0m0s"`)
	o.usual(letter, "ann@example.org")
	o.says("msg=skipped", "what=answer", "no address of the owner is in To, Cc or Bcc")
	o.lies("ann@example.org", "Answers 1 required, INBOX 3")
	if got := o.latest("ann@example.org", "Answers"); !strings.HasSuffix(got, want) {
		t.Errorf("the copy is %q", got)
	}
}

// RFC 5230 §4.2, RFC 7352 §3: a letter that comes to one person by two addresses
// at once is answered once, and the second is a duplicate.
func TestLetterToTwoAddressesOfOnePersonIsAnsweredOnce(t *testing.T) {
	o := openOffice(t, unknown{})
	o.alias("sales@example.org", "ann@example.org")
	o.rule("ann@example.org", `require ["vacation", "duplicate", "fileinto", "mailbox"];
vacation :addresses "sales@example.org" "Gone";
if duplicate { fileinto :create "Twice"; }`)
	o.usual("To: ann@example.org, sales@example.org\r\nMessage-ID: <1@sender.example>\r\n"+letter, "ann@example.org", "sales@example.org")
	if out, _ := o.left(); len(out) != 1 {
		t.Errorf("%d answers, want 1", len(out))
	}
	o.lies("ann@example.org", "INBOX 1, Twice 1")
}

// What was refused for one address is not taken for what came by the other.
func TestLetterRefusedForOneAddressIsNoDuplicateForTheOther(t *testing.T) {
	o := openOffice(t, unknown{})
	o.alias("sales@example.org", "ann@example.org")
	o.rule("ann@example.org", `require ["duplicate", "envelope", "ereject"];
if duplicate { discard; stop; }
if envelope "to" "sales@example.org" { ereject "no sales"; }`)
	text := "Message-ID: <1@sender.example>\r\n" + letter
	o.wantFates(o.deliver(envelope(requiretls.Usual()), text, "sales@example.org", "ann@example.org"), "550 5.7.1 no sales", "delivered")
	o.lies("ann@example.org", "INBOX 1")
}

func TestVacationWithoutRelayIsNoted(t *testing.T) {
	o := openOffice(t, nil)
	o.rule("ann@example.org", `require "vacation"; vacation "Gone";`)
	o.usual("To: ann@example.org\r\n"+letter, "ann@example.org")
	o.lies("ann@example.org", "INBOX 2")
	o.says("msg=noted", `what="answer not sent"`)
}

// A header that a rule has made longer than what may leave with a message goes
// nowhere, and the message is kept.
func TestRedirectTooLongToLeaveIsKept(t *testing.T) {
	o := openOffice(t, unknown{})
	o.rule("ann@example.org", `require "editheader"; addheader "X-Mark" "1"; redirect "one@elsewhere.example";`)
	var long strings.Builder
	for i := range 8_000 {
		fmt.Fprintf(&long, "X-Long-%d: %s\r\n", i, strings.Repeat("x", 70))
	}
	o.usual(long.String()+letter, "ann@example.org")
	if got := o.whatLeft(); got != "" {
		t.Errorf("left %q", got)
	}
	o.says("msg=noted", "redirect not sent")
	o.says("msg=filed", "INBOX")
}
