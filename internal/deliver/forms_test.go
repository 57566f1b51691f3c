package deliver_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"letterlock/internal/deliver"
	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage"
)

// forms files a message as it came, in two forms that it edits, sends it on, and
// answers it with a copy for its owner.
const forms = `require ["editheader", "fileinto", "mailbox", "copy", "vacation", "fcc"];
	fileinto :create "Came";
	redirect :copy "away@elsewhere.example";
	vacation :fcc "Answers" :create "Away.";
	addheader "X-Form" "one"; fileinto :create "One";
	addheader "X-Form" "two"; keep;`

const toAnn = "To: ann@example.org\r\n" + letter

// hasForms checks that ann has so many messages in each of these forms, and that
// so many left.
func (o *office) hasForms(letters string, left string) {
	o.Helper()
	o.lies("ann@example.org", letters)
	if got := o.whatLeft(); got != left {
		o.Errorf("left %q, want %q", got, left)
	}
}

// commits counts what the sorting room asks of the vault.
type commits struct {
	vault
	n *int
}

func (c commits) Commit(ctx context.Context, env *mail.Envelope, body mail.Body, sum *mail.Summary, plans []mail.Delivery) []error {
	*c.n++
	return c.vault.Commit(ctx, env, body, sum, plans)
}

func TestAllFormsOfALetterAreOneCommit(t *testing.T) {
	n := 0
	o := openOffice(t, unknown{}, func(opt *deliver.Options) { opt.Store = commits{opt.Store.(vault), &n} })
	o.person("bob@example.org")
	o.rule("ann@example.org", forms)
	o.rule("bob@example.org", `require "editheader"; addheader "X-Form" "one";`)
	o.usual(toAnn, "ann@example.org", "bob@example.org")
	if n != 1 {
		t.Errorf("%d commits, want 1", n)
	}
	o.hasForms("Answers 1, Came 1, INBOX 1, One 1", "redirect away, answer alice")
	for box, want := range map[string]string{"Came": toAnn, "One": "X-Form: one\r\n" + toAnn, "INBOX": "X-Form: two\r\nX-Form: one\r\n" + toAnn} {
		if got := o.latest("ann@example.org", box); !strings.HasPrefix(got, "Return-Path: <alice@sender.example>\r\nDelivered-To: ann@") || !strings.HasSuffix(got, "+0000\r\n"+want) {
			t.Errorf("%s has %q, want it to end with %q", box, got, want)
		}
	}
	if got := o.latest("bob@example.org", "INBOX"); !strings.HasSuffix(got, "+0000\r\nX-Form: one\r\n"+toAnn) {
		t.Errorf("bob has %q", got)
	}
	if got := o.latest("ann@example.org", "Answers"); !strings.HasPrefix(got, "Return-Path: <>\r\n") || !strings.Contains(got, "Away.") {
		t.Errorf("the copy of the answer is %q", got)
	}
	o.says("msg=filed", `mailboxes="[Came One INBOX]"`, `rules="[rules, line 2 rules, line 5 rules, line 6]"`)
}

// Where one of the forms finds no room there is none of them, nothing left, and
// the answer is not taken for given.
func TestLetterThatDoesNotFitInAllItsFormsIsNotThereAtAll(t *testing.T) {
	o := openOffice(t, unknown{})
	o.rule("ann@example.org", forms)
	ann := o.account("ann@example.org")
	for _, c := range []struct {
		limit         uint64
		fate, letters string
		left          string
	}{
		{1, "451 4.3.0 local error, try again later", "", ""},
		{3, "451 4.3.0 local error, try again later", "", ""},
		{4, "delivered", "Answers 1, Came 1, INBOX 1, One 1", "redirect away, answer alice"},
	} {
		if err := ann.SetLimits(t.Context(), storage.Usage{Messages: c.limit}); err != nil {
			t.Fatal(err)
		}
		o.wantFates(o.deliver(envelope(requiretls.Usual()), toAnn, "ann@example.org"), c.fate)
		o.hasForms(c.letters, c.left)
	}
}

// RFC 1047: where our answer was lost, the letter comes again. The rules edit it
// again, and nobody has it twice, in no form.
func TestLetterThatComesAgainIsInNoFormThereTwice(t *testing.T) {
	o := openOffice(t, unknown{})
	o.person("bob@example.org")
	o.rule("ann@example.org", forms)
	env := envelope(requiretls.Usual())
	o.usual(toAnn, "ann@example.org")
	if err := o.store.Unanswered(t.Context(), env, bytes.NewReader([]byte(toAnn)), []mail.Address{addr(t, "ann@example.org")}); err != nil {
		t.Fatal(err)
	}
	o.usual(toAnn, "ann@example.org", "bob@example.org")
	o.hasForms("Answers 1, Came 1, INBOX 1, One 1", "redirect away, answer alice")
	o.lies("bob@example.org", "INBOX 1")
}

// A script makes as many forms of a message as it may have actions, and the vault
// takes them all.
func TestAsManyFormsAsAScriptMayMakeAreKept(t *testing.T) {
	o := openOffice(t, nil)
	var b strings.Builder
	b.WriteString(`require ["editheader", "fileinto", "mailbox", "variables"];`)
	for range 32 {
		b.WriteString("addheader \"X-Form\" \"again\"; set \"n\" \"${n}i\"; fileinto :create \"Forms/${n}\";\n")
	}
	o.rule("ann@example.org", b.String())
	o.usual(letter, "ann@example.org")
	for n := 1; n <= 32; n++ {
		box := "Forms/" + strings.Repeat("i", n)
		if got := o.latest("ann@example.org", box); !strings.HasSuffix(got, "+0000\r\n"+strings.Repeat("X-Form: again\r\n", n)+letter) {
			t.Errorf("%s has %q, want it edited %d times", box, got, n)
		}
	}
}
