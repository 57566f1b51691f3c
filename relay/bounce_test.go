package relay

import (
	"bytes"
	"io"
	"mime/quotedprintable"
	"net/netip"
	"strings"
	"testing"

	"letterlock/internal/mail"
	"letterlock/internal/mime"
	"letterlock/internal/reply"
	"letterlock/internal/requiretls"
	"letterlock/internal/testnet"
)

// structure is the types of a message's parts.
func structure(p *mail.Part) string {
	s := strings.ToLower(p.Type + "/" + p.Subtype)
	if len(p.Parts) == 0 {
		return s
	}
	var inner []string
	for i := range p.Parts {
		inner = append(inner, structure(&p.Parts[i]))
	}
	return s + "(" + strings.Join(inner, " ") + ")"
}

func TestReportsAreMultipartReport(t *testing.T) { // RFC 6522 §3, RFC 3464 §2, RFC 6533 §6
	utf8 := mail.Address{Local: "jürgen", Domain: "to.test"}
	for name, c := range map[string]struct {
		demand   string
		to       mail.Address
		ret      mail.Return
		full     string
		redacted string
	}{
		"usual":      {"usual", carl, 0, "multipart/report(text/plain message/delivery-status text/rfc822-headers)", ""},
		"whole":      {"usual", carl, mail.ReturnFull, "multipart/report(text/plain message/delivery-status message/rfc822)", ""},
		"required":   {"required", carl, mail.ReturnFull, "multipart/report(text/plain message/delivery-status text/rfc822-headers)", "multipart/report(text/plain message/delivery-status)"},
		"UTF-8":      {"usual", utf8, 0, "multipart/report(text/plain message/global-delivery-status message/global-headers)", ""},
		"UTF-8 full": {"usual", utf8, mail.ReturnFull, "multipart/report(text/plain message/global-delivery-status message/global)", ""},
	} {
		w := newWorld(t)
		w.start()
		env := &mail.Envelope{ID: "k1", From: bob, Demand: demandWords[c.demand], Received: w.now}
		o := env.Redirect(mail.Redirect{To: c.to, Prefix: []byte("Received: by us\r\n"), DSN: mail.DSN{Return: c.ret, EnvID: "e1", ORcptType: "rfc822", ORcpt: "old@to.test"}})
		b := report(w.r.opt, &Letter{Outbound: o, Body: strings.NewReader(testBody)}, notice{action: actionFailed, status: "5.1.1", err: noHost, now: w.now})
		if b == nil {
			t.Fatalf("%s: no report", name)
		}
		for form, want := range map[mail.Form]string{mail.FullForm: c.full, mail.RedactedForm: c.redacted} {
			if want == "" {
				continue
			}
			r, _ := b.Reader(strings.NewReader(testBody), form)
			text, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			sum, err := mime.Summarize(bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			if got := structure(&sum.Root); got != want {
				t.Errorf("%s: %s, want %s:\n%s", name, got, want, text)
			}
			for _, field := range []string{"Reporting-MTA: dns; mail.ours.test\r\n", "Original-Envelope-Id: e1\r\n", "Original-Recipient: rfc822;old@to.test\r\n", "Action: failed\r\n", "Status: 5.1.1\r\n", "Auto-Submitted: auto-replied\r\n"} {
				if !bytes.Contains(text, []byte(field)) {
					t.Errorf("%s: no %q in\n%s", name, field, text)
				}
			}
			if leaks := bytes.Contains(text, []byte("secret")) || bytes.Contains(text, []byte("X-Private")); form == mail.RedactedForm && leaks {
				t.Errorf("%s: the redacted form leaks:\n%s", name, text)
			}
		}
	}
}

func TestSNIIsTheTLSABaseDomain(t *testing.T) { // RFC 7672 §8.1
	w := newWorld(t)
	w.zone([]string{"secure"})
	w.host("a", "-", "- tlsa=right")
	w.net.Record("to.test. MX 10 alias.mx.test.")
	w.net.Record("alias.mx.test. CNAME a.mx.test.")
	w.send([]string{"usual"})
	if got := w.hosts["a"].Got(); len(got) != 1 || got[0].SNI != "a.mx.test" {
		t.Errorf("arrived %+v; log:\n%s", got, w.log)
	}
}

func TestStrangersDoNotLeadUsToThisMachine(t *testing.T) {
	for ip, want := range map[string]bool{"127.0.0.1": true, "::1": true, "0.0.0.0": true, "169.254.1.1": true, "224.0.0.1": true, "192.0.2.1": false, "10.0.0.1": false, "2001:db8::1": false} {
		if got := ofThisMachine(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s: %v, want %v", ip, got, want)
		}
	}
	n := testnet.New(t)
	n.Record("to.test. MX 10 evil.test.")
	n.Record("evil.test. A 127.0.0.1")
	r := New(Options{Outbox: newBoltBox(t, nil), Resolver: resolver(n), Hostname: "mail.ours.test"})
	way := r.Route(t.Context(), "to.test", demandWords["usual"])
	if way.Err == nil || way.Err.Enhanced() != "5.4.4" {
		t.Errorf("%s", way)
	}
}

func TestDeliveredIsReportedToWhoeverAskedForIt(t *testing.T) { // RFC 3461 §5.2.3
	w := newWorld(t)
	w.start()
	ann := mail.Address{Local: "ann", Domain: "ours.test"}
	for name, c := range map[string]struct {
		demand requiretls.Demand
		from   mail.Address
		notify mail.Notify
		want   bool
	}{
		"asked":                     {requiretls.Usual(), bob, mail.NotifySuccess | mail.NotifyFailure, true},
		"asked, required":           {requiretls.Required(), bob, mail.NotifySuccess, true},
		"asked, waived":             {requiretls.Waived(), bob, mail.NotifySuccess, true},
		"nothing said":              {requiretls.Usual(), bob, 0, false},
		"failures alone":            {requiretls.Usual(), bob, mail.NotifyFailure, false},
		"never":                     {requiretls.Usual(), bob, mail.NotifyNever, false},
		"asked by the null address": {requiretls.Usual(), mail.Address{}, mail.NotifySuccess, false},
	} {
		env := &mail.Envelope{ID: "k1", From: c.from, Demand: c.demand, Received: w.now, DSN: map[mail.Address]mail.DSN{
			ann: {Notify: c.notify, Return: mail.ReturnFull, EnvID: "QQ1", ORcptType: "utf-8", ORcpt: "änn@ours.test"},
		}}
		o := w.r.Delivered(env, ann, strings.NewReader(testBody))
		if (o != nil) != c.want {
			t.Errorf("%s: report %v, want one: %v", name, o, c.want)
		}
		if o == nil {
			continue
		}
		if !o.From.IsNull() || o.To != bob || o.Kind != mail.Bounced || o.Source != mail.Own || o.Demand() != c.demand {
			t.Errorf("%s: the report goes from %s to %s, %v, %v, demands %v", name, o.From.Path(), o.To, o.Kind, o.Source, o.Demand())
		}
		text := string(o.Prefix)
		for _, words := range []string{"Action: delivered\r\n", "Status: 2.0.0\r\n", "Original-Envelope-Id: QQ1\r\n", `Original-Recipient: utf-8;\x{E4}nn@ours.test`, "Final-Recipient: rfc822; ann@ours.test\r\n", "Subject: The secret subject"} {
			if !strings.Contains(text, words) {
				t.Errorf("%s: no %q in\n%s", name, words, text)
			}
		}
		if strings.Contains(text, "A body of two lines") {
			t.Errorf("%s: the body comes back", name)
		}
		if c.demand.IsRequired() && (len(o.Redacted) == 0 || strings.Contains(string(o.Redacted), "secret")) {
			t.Errorf("%s: redacted it is\n%s", name, o.Redacted)
		}
	}
}

func TestOriginalRecipientTravelsInItsEncoding(t *testing.T) {
	for _, c := range []struct {
		dsn  mail.DSN
		utf8 bool
		want string
	}{
		{mail.DSN{ORcptType: "rfc822", ORcpt: "a+b=c d@x"}, false, "a+2Bb+3Dc+20d@x"},
		{mail.DSN{ORcptType: "utf-8", ORcpt: `rémi \+@x`}, false, `r\x{E9}mi\x{20}\x{5C}\x{2B}@x`},
		{mail.DSN{ORcptType: "UTF-8", ORcpt: `rémi \+@x`}, true, `rémi\x{20}\x{5C}\x{2B}@x`},
	} {
		if got := originalRecipient(c.dsn, c.utf8); got != c.want {
			t.Errorf("%+v, SMTPUTF8 %v: %s, want %s", c.dsn, c.utf8, got, c.want)
		}
	}
}

// A bounce fits where the letter did: a header that a rule has made long is not
// returned with the whole message.
func TestBounceOfAVeryLongHeaderReturnsTheHeaderAlone(t *testing.T) {
	env := &mail.Envelope{ID: "k1", From: bob, Demand: requiretls.Usual()}
	for _, c := range []struct {
		octets int
		want   mail.Source
	}{{1 << 10, mail.FromBody}, {1 << 20, mail.Own}} {
		o := env.Redirect(mail.Redirect{
			To: carl, DSN: mail.DSN{Return: mail.ReturnFull},
			Prefix: []byte(strings.Repeat("X-Long: "+strings.Repeat("x", 54)+"\r\n", c.octets/64)),
		})
		b := report(Options{}.filled(), &Letter{Outbound: o, Body: strings.NewReader(testBody)}, notice{action: actionFailed, status: "5.1.1"})
		if b.Source != c.want || len(b.Prefix)+len(b.Suffix) > 256<<10 {
			t.Errorf("%d octets of header: source %v, want %v; %d octets of our own", c.octets, b.Source, c.want, len(b.Prefix)+len(b.Suffix))
		}
	}
}

// Everything goes through one smarthost. What it does not take as it is comes back
// to its sender through it all the same.
func TestABounceFitsWhereTheLetterDidNot(t *testing.T) { // RFC 6152 §3, RFC 1870 §6.1, RFC 6522 §4
	for name, c := range map[string]struct {
		offers []string
		body   string
		ret    mail.Return
	}{
		"too big":                {[]string{"SIZE 5000", "8BITMIME"}, testBody + strings.Repeat("text\r\n", 1000), mail.ReturnFull},
		"no 8BITMIME":            {nil, strings.Replace(testBody, "A body", "Ein Körper", 1), mail.ReturnFull},
		"no 8BITMIME for fields": {nil, strings.Replace(testBody, "X-Private: a", "X-Größe: à", 1), mail.ReturnNotStated},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.host("a", "-", "- bare")
			w.smarthost([]string{"a"}, "")
			w.hosts["a"].Change(func(h *testnet.Host) { h.InTLS = c.offers })
			o := w.letter(demandWords["usual"], carl)
			o.DSN.Return = c.ret
			w.box.add(t, o, c.body, w.now)
			stop := w.run()
			w.awaitEnd()
			stop()
			got := w.hosts["a"].Got()
			if len(got) != 1 || got[0].To != bob.Path() {
				t.Fatalf("arrived: %+v; log:\n%s", got, w.log)
			}
			if c.offers == nil && hasEightBit([]byte(got[0].Data)) {
				t.Errorf("8 bits were sent:\n%s", got[0].Data)
			}
			_, header, _ := strings.Cut(got[0].Data, "Content-Type: text/rfc822-headers")
			encoding, header, _ := strings.Cut(header, "\r\n\r\n")
			var text io.Reader = strings.NewReader(header)
			if strings.Contains(encoding, "quoted-printable") {
				text = quotedprintable.NewReader(text)
			}
			returned, _ := io.ReadAll(text)
			want, _, _ := strings.Cut(c.body, "\r\n\r\n")
			if !strings.HasPrefix(string(returned), "Received: by us\r\n"+want+"\r\n\r\n--") {
				t.Errorf("returned is\n%q\nwant the header\n%q", returned, want)
			}
		})
	}
}

// RFC 3464 §2.1: the fields for machines are 7bit, whatever a host says.
func TestWhatAHostSaysInItsOwnLanguageIsASCIIForMachines(t *testing.T) {
	w := newWorld(t)
	w.start()
	no := reply.Perm(50, "1.1", "Empfänger unbekannt")
	b := report(w.r.opt, &Letter{Outbound: w.letter(demandWords["usual"], carl), Body: strings.NewReader(testBody)},
		notice{action: actionFailed, status: "5.1.1", err: no, host: "mx.to.test", remote: true, now: w.now})
	if !strings.Contains(string(b.Prefix), "Diagnostic-Code: smtp; 550 5.1.1 Empf?nger unbekannt\r\n") || hasEightBit(b.Prefix) {
		t.Errorf("the report:\n%s", b.Prefix)
	}
	if !strings.Contains(string(b.Prefix), "Empf=C3=A4nger unbekannt") {
		t.Errorf("people do not read what it said:\n%s", b.Prefix)
	}
}

// RFC 6531 §3.2, RFC 5890 §2.3.2.1: an internationalized domain has a spelling that
// every host reads. The header of a report is in that one, or raw UTF-8 would make it
// mail that a host without SMTPUTF8 does not take.
func TestReportsOfInternationalizedDomainsPassEveryHost(t *testing.T) {
	w := newWorld(t)
	w.host("a", "-", "- bare")
	w.smarthost([]string{"a"}, "")
	w.opt.Postmaster = mail.Address{Local: "postmaster", Domain: "bücher.test"}
	env := &mail.Envelope{ID: "k1", From: mail.Address{Local: "ann", Domain: "straße.test"}, SMTPUTF8: true, Demand: demandWords["usual"], Received: w.now}
	w.box.add(t, env.Redirect(mail.Redirect{To: carl}), strings.Replace(testBody, "Bob", "Bøb", 1), w.now)
	stop := w.run()
	w.awaitEnd()
	stop()
	got := w.hosts["a"].Got()
	if len(got) != 1 || got[0].To != "<ann@xn--strae-oqa.test>" {
		t.Fatalf("arrived: %+v; log:\n%s", got, w.log)
	}
	header, _, _ := strings.Cut(got[0].Data, "\r\n\r\n")
	if hasEightBit([]byte(got[0].Data)) || !strings.Contains(got[0].Data, "B=C3=B8b") {
		t.Errorf("it reads\n%s", got[0].Data)
	}
	if !strings.Contains(header, "<postmaster@xn--bcher-kva.test>\r\nTo: <ann@xn--strae-oqa.test>\r\n") {
		t.Errorf("its header is\n%s", header)
	}
}
