package deliver_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"letterlock/internal/deliver"
	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
)

var errDisk = errors.New("input/output error")

// sick is a vault that can be made to answer one kind of question no more.
type sick struct {
	deliver.Rules
	organ string
}

func (s *sick) fails(organ string) error {
	if s.organ == organ {
		return errDisk
	}
	return nil
}

func (s *sick) Script(ctx context.Context, account uint64, name string, known deliver.Known) (deliver.Script, bool, error) {
	if err := s.fails("script " + name); err != nil {
		return deliver.Script{}, false, err
	}
	return s.Rules.Script(ctx, account, name, known)
}

func (s *sick) Mailboxes(ctx context.Context, account uint64) ([]deliver.Mailbox, error) {
	if err := s.fails("mailboxes"); err != nil {
		return nil, err
	}
	return s.Rules.Mailboxes(ctx, account)
}

func (s *sick) Annotation(ctx context.Context, account uint64, mailbox, name string) (string, bool, error) {
	if err := s.fails("annotation"); err != nil {
		return "", false, err
	}
	return s.Rules.Annotation(ctx, account, mailbox, name)
}

func (s *sick) Remembered(ctx context.Context, account uint64, key [32]byte) (time.Time, bool, error) {
	if err := s.fails("remembered"); err != nil {
		return time.Time{}, false, err
	}
	return s.Rules.Remembered(ctx, account, key)
}

// What the rules ask and nobody can answer now is no fault of theirs: nothing is
// filed by half of them, and the letter comes again.
func TestRulesThatGetNoAnswerFileNothing(t *testing.T) {
	for _, c := range []struct{ organ, rule string }{
		{"remembered", `require "duplicate"; if duplicate :header "subject" { discard; }`},
		{"mailboxes", `require ["mailbox", "fileinto"]; if mailboxexists "Lists" { fileinto "Lists"; }`},
		{"mailboxes", `require ["special-use", "fileinto"]; fileinto :specialuse "\\Junk" "Junk";`},
		{"mailboxes", `require ["mailboxid"]; if mailboxidexists "F1" { discard; }`},
		{"annotation", `require ["mboxmetadata", "fileinto"]; if metadata "INBOX" "/private/comment" "x" { discard; }`},
		{"annotation", `require ["servermetadata"]; if servermetadataexists "/private/comment" { discard; }`},
		{"script more", `require ["include", "fileinto"]; fileinto "Lists"; include :optional "more";`},
		{"script more", `require ["include", "copy"]; redirect :copy "carl@elsewhere.example"; include "more";`},
	} {
		t.Run(c.organ, func(t *testing.T) {
			vault := &sick{}
			o := openOffice(t, unknown{}, func(opt *deliver.Options) { vault.Rules, opt.Rules = opt.Rules, vault })
			o.put(o.account("ann@example.org"), "more", "keep;")
			o.rule("ann@example.org", c.rule)
			o.person("bob@example.org")
			vault.organ = c.organ
			o.wantFates(o.deliver(envelope(requiretls.Usual()), letter, "ann@example.org", "bob@example.org"), "451 4.3.0 local error, try again later", "delivered")
			o.lies("ann@example.org", "")
			if out, _ := o.left(); len(out) != 0 {
				t.Errorf("%d letters left", len(out))
			}
			vault.organ = ""
			o.usual(letter, "ann@example.org")
			if strings.Contains(o.log.String(), "script broke") {
				t.Errorf("the script is blamed:\n%s", o.log.String())
			}
		})
	}
}

// spoilt is a letter on a disk that cannot be read from an octet on.
type spoilt struct {
	*bytes.Reader
	from int64
}

func (s *spoilt) ReadAt(p []byte, off int64) (int, error) {
	if s.from > 0 && off+int64(len(p)) > s.from {
		return 0, errDisk
	}
	return s.Reader.ReadAt(p, off)
}

// rotten goes bad under the hands of whoever sorts it: it was read whole before.
type rotten struct {
	deliver.Rules
	letter *spoilt
}

func (r *rotten) Owner(ctx context.Context, account uint64) (mail.Address, error) {
	r.letter.from = 9000
	return r.Rules.Owner(ctx, account)
}

func TestLetterThatCannotBeReadIsNoFaultOfTheRules(t *testing.T) {
	text := "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + strings.Repeat("word and word\r\n", 2000) + "spam\r\n"
	for _, rule := range []string{
		`require "body"; if body :contains "spam" { discard; }`,
		`require "body"; if body :raw :contains "spam" { discard; }`,
		`require "body"; if body :text :regex "spam$" { discard; }`,
		`require ["mime", "foreverypart", "extracttext", "variables"]; foreverypart { extracttext "t"; if string :contains "${t}" "spam" { discard; } }`,
	} {
		body := &spoilt{Reader: bytes.NewReader([]byte(text))}
		o := openOffice(t, nil, func(opt *deliver.Options) { opt.Rules = &rotten{opt.Rules, body} })
		o.rule("ann@example.org", `require "regex"; `+rule)
		err := o.sorter.Deliver(t.Context(), envelope(requiretls.Usual()), body, []mail.Address{addr(t, "ann@example.org")})[0]
		o.wantFates([]string{fateOf(err)}, "451 4.3.0 local error, try again later")
		if !errors.Is(err, errDisk) {
			t.Errorf("%s: %v does not say why", rule, err)
		}
		o.lies("ann@example.org", "")
		if strings.Contains(o.log.String(), "script broke") {
			t.Errorf("the script is blamed:\n%s", o.log.String())
		}
	}
}
