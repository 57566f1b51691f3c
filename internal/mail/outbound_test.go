package mail_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
)

var (
	ann  = mail.Address{Local: "ann", Domain: "example.org"}
	bob  = mail.Address{Local: "bob", Domain: "example.net"}
	carl = mail.Address{Local: "carl", Domain: "example.com"}
)

func envelope(d requiretls.Demand) *mail.Envelope {
	return &mail.Envelope{ID: "k1", From: bob, Demand: d, Received: time.Unix(1_700_000_000, 0)}
}

func text(t *testing.T, o *mail.Outbound, body mail.Body, form mail.Form) string {
	t.Helper()
	r, size := o.Reader(body, form)
	b, err := io.ReadAll(r)
	if err != nil || int64(len(b)) != size {
		t.Fatalf("read %d octets of %d: %v", len(b), size, err)
	}
	return string(b)
}

func TestOutboundMailInheritsTheDemand(t *testing.T) {
	for _, d := range []requiretls.Demand{requiretls.Usual(), requiretls.Required(), requiretls.Waived()} {
		e := envelope(d)
		redirect := e.Redirect(mail.Redirect{To: carl})
		answer := e.Answer(mail.Answer{Kind: mail.Answered, To: bob, Text: []byte("Subject: away\r\n\r\nAway.\r\n")})
		bounce, ok := redirect.Bounce(mail.Report{Text: []byte("Subject: undelivered\r\n\r\n"), Redacted: []byte("\r\n")})
		if !ok {
			t.Fatalf("%v: no bounce", d)
		}
		for name, o := range map[string]*mail.Outbound{"redirect": redirect, "answer": answer, "bounce": bounce} {
			if o.Demand() != d {
				t.Errorf("%s of %v mail demands %v", name, d, o.Demand())
			}
			own := strings.HasPrefix(text(t, o, bytes.NewReader(nil), mail.FullForm), "TLS-Required: No\r\n")
			if want := d.IsWaived() && name != "redirect"; own != want { // RFC 8689 §6
				t.Errorf("%s of %v mail: TLS-Required written: %v, want %v", name, d, own, want)
			}
			o.Raise()
			if !o.Demand().IsRequired() {
				t.Errorf("%s of %v mail raised demands %v", name, d, o.Demand())
			}
		}
	}
}

func TestOutboundMadeByHandDemandsNothingAnybodyMaySend(t *testing.T) {
	o := &mail.Outbound{Slip: mail.Slip{From: bob, To: carl}}
	hop := &requiretls.Hop{Encrypted: requiretls.Yes, CertProven: requiretls.Yes, MXProven: requiretls.Yes, Offered: requiretls.Yes}
	if c, err := o.Demand().Clear(hop); err == nil || c.For(hop) {
		t.Error("mail without an envelope was cleared")
	}
	if o.Raise(); o.Demand().Stated() {
		t.Error("raising stated a demand nobody made")
	}
}

func TestNullSenderStaysNullOnRedirect(t *testing.T) { // RFC 5228 §4.2
	e := envelope(requiretls.Usual())
	e.From = mail.Address{}
	if o := e.Redirect(mail.Redirect{To: carl, From: ann}); !o.From.IsNull() {
		t.Errorf("the null sender became %s", o.From)
	}
	if o := envelope(requiretls.Usual()).Redirect(mail.Redirect{To: carl, From: ann}); o.From != ann {
		t.Errorf("the rewritten sender is %s, want %s", o.From, ann)
	}
}

func TestBounceOfRequiredMailReturnsNoBody(t *testing.T) { // RFC 8689 §5
	e := envelope(requiretls.Required())
	o := e.Redirect(mail.Redirect{To: carl, DSN: mail.DSN{Return: mail.ReturnFull}})
	if o.DSN.Return == mail.ReturnFull {
		t.Error("RET=FULL was not disregarded")
	}
	if _, ok := o.Bounce(mail.Report{Text: []byte("x"), Whole: mail.WholeMessage, Redacted: []byte("y")}); ok {
		t.Error("a required message was returned whole")
	}
	if _, ok := o.Bounce(mail.Report{Text: []byte("x")}); ok {
		t.Error("a bounce of a required message has no redacted form")
	}
}

func TestNoBounceOfABounce(t *testing.T) { // RFC 5321 §4.5.5
	bounce, ok := envelope(requiretls.Usual()).Redirect(mail.Redirect{To: carl}).Bounce(mail.Report{Text: []byte("x")})
	if !ok || !bounce.From.IsNull() || bounce.To != bob {
		t.Fatalf("the bounce goes from %q to %q", bounce.From.Path(), bounce.To.Path())
	}
	if _, ok := bounce.Bounce(mail.Report{Text: []byte("x")}); ok {
		t.Error("a bounce was bounced")
	}
}

func TestOutboundReadsWhatLeaves(t *testing.T) {
	body := bytes.NewReader([]byte("Subject: old\r\n\r\nHello\r\n"))
	edited := envelope(requiretls.Usual()).Redirect(mail.Redirect{To: carl, Prefix: []byte("Subject: new\r\n"), Skip: 14})
	if got, want := text(t, edited, body, mail.FullForm), "Subject: new\r\n\r\nHello\r\n"; got != want {
		t.Errorf("edited message: %q, want %q", got, want)
	}
	whole, _ := edited.Bounce(mail.Report{Text: []byte("A\r\n"), Suffix: []byte("Z\r\n"), Whole: mail.WholeMessage})
	if got, want := text(t, whole, body, mail.FullForm), "A\r\n\r\nHello\r\nZ\r\n"; got != want {
		t.Errorf("report with the message: %q, want %q", got, want)
	}
	req, _ := envelope(requiretls.Required()).Redirect(mail.Redirect{To: carl}).Bounce(mail.Report{Text: []byte("full"), Redacted: []byte("short")})
	if got := text(t, req, nil, mail.RedactedForm); got != "short" {
		t.Errorf("redacted form: %q", got)
	}
}

func TestUnreadableDemandIsParked(t *testing.T) {
	for _, d := range []requiretls.Demand{requiretls.Usual(), requiretls.Required(), requiretls.Waived()} {
		o := envelope(d).Redirect(mail.Redirect{To: carl, Prefix: []byte("Received: x\r\n"), DSN: mail.DSN{EnvID: "e", Notify: mail.NotifyDelay}})
		slip, demand := o.Plain()
		disk, err := json.Marshal(slip)
		if err != nil {
			t.Fatal(err)
		}
		var back mail.Slip
		if err := json.Unmarshal(disk, &back); err != nil {
			t.Fatal(err)
		}
		got, err := back.Outbound(demand)
		if err != nil || got.Demand() != d || got.To != carl || !reflect.DeepEqual(got.DSN, o.DSN) {
			t.Errorf("%v mail came back as %+v, %v", d, got, err)
		}
		parked, err := back.Outbound(0xee)
		if !errors.Is(err, mail.ErrParked) || parked.Demand().Stated() || parked.To != carl {
			t.Errorf("an unreadable demand became %v, %v", parked.Demand(), err)
		}
	}
}

func TestNotifyWants(t *testing.T) { // RFC 3461 §4.1
	for _, c := range []struct {
		asked, event mail.Notify
		want         bool
	}{
		{0, mail.NotifyFailure, true}, {0, mail.NotifyDelay, true}, {0, mail.NotifySuccess, false},
		{mail.NotifyNever, mail.NotifyFailure, false},
		{mail.NotifySuccess, mail.NotifySuccess, true}, {mail.NotifySuccess, mail.NotifyFailure, false},
		{mail.NotifyFailure | mail.NotifyDelay, mail.NotifyDelay, true},
	} {
		if got := c.asked.Wants(c.event); got != c.want {
			t.Errorf("asked %04b, event %04b: %v, want %v", c.asked, c.event, got, c.want)
		}
	}
}
