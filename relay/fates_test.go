package relay

import (
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/internal/testnet"
)

// world is a small Internet with a relay in it.
type world struct {
	t     *testing.T
	net   *testnet.Net
	opt   Options
	hosts map[string]*testnet.Host
	order []string
	log   *strings.Builder
	box   *boltBox
	r     *Runner
	now   time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, net: testnet.New(t), hosts: map[string]*testnet.Host{}, log: &strings.Builder{}, now: time.Now()}
	w.opt = Options{
		Resolver: &DNS{Server: w.net.Resolver(), Timeout: time.Second}, Hostname: "mail.ours.test", Roots: w.net.CA.Pool,
		Dial: w.net.Dial, Log: slog.New(slog.NewTextHandler(w.log, nil)), Now: func() time.Time { return w.now },
	}
	w.box = newBoltBox(t, w.opt.Now)
	w.opt.Outbox = w.box
	w.net.Zone("to.test", testnet.Insecure)
	return w
}

func (w *world) start() {
	w.r = New(w.opt)
	w.t.Cleanup(w.r.pool.close)
}

const testBody = "From: Bob <bob@from.test>\r\nTo: Carl <carl@to.test>\r\nSubject: The secret subject\r\nX-Private: a private field\r\n\r\n.A body of two lines,\r\nthe second.\r\n"

var (
	bob  = mail.Address{Local: "bob", Domain: "from.test"}
	carl = mail.Address{Local: "carl", Domain: "to.test"}
)

var demandWords = map[string]requiretls.Demand{"usual": requiretls.Usual(), "required": requiretls.Required(), "waived": requiretls.Waived()}

// The table: what was sent where, and the fate. See the head of the file.
func TestFates(t *testing.T) {
	text, err := os.ReadFile("testdata/fates.txt")
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, block := range strings.Split(string(text), "\n== ")[1:] {
		title, body, _ := strings.Cut(block, "\n")
		ran++
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.story(body)
		})
	}
	if ran < 100 {
		t.Errorf("the table has %d rows", ran)
	}
}

// Every duty of RFC 8689 is shown somewhere, and that somewhere is still there.
func TestEveryDutyIsShown(t *testing.T) {
	text, err := os.ReadFile("testdata/duties.txt")
	if err != nil {
		t.Fatal(err)
	}
	titles := ""
	fates, err := os.ReadFile("testdata/fates.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(fates)) {
		if strings.HasPrefix(line, "== ") {
			titles += " " + strings.TrimSpace(line) + " "
		}
	}
	shown := map[string]bool{"R43": true, "R44": true} // not ours to show
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] == "#" {
			continue
		}
		shown[words[0]] = true
		there, err := os.ReadFile("../" + words[1])
		if err != nil {
			t.Errorf("%s: %v", words[0], err)
		}
		_, phrase, _ := strings.Cut(line, words[1])
		if phrase = strings.TrimSpace(phrase); phrase == "" && !strings.Contains(titles, " "+words[0]+" ") {
			t.Errorf("%s is no row of fates.txt", words[0])
		}
		if !strings.Contains(string(there), phrase) {
			t.Errorf("%s: no %q in %s", words[0], phrase, words[1])
		}
	}
	for n := 1; n <= 45; n++ {
		if !shown[fmt.Sprintf("R%d", n)] {
			t.Errorf("R%d is shown nowhere", n)
		}
	}
	for n := 1; n <= 10; n++ {
		if !shown[fmt.Sprintf("A.4.%d", n)] {
			t.Errorf("A.4.%d is shown nowhere", n)
		}
	}
}

// story reads one block: first what the world is like, then what happens.
func (w *world) story(block string) {
	var got []string
	var ended Settlement
	var row RowID
	for _, line := range strings.Split(block, "\n") {
		line = strings.TrimSpace(line)
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		rest := strings.TrimSpace(strings.TrimPrefix(line, words[0]))
		switch words[0] {
		case "zone":
			w.zone(words[1:])
		case "record":
			w.net.Record(rest)
		case "sts":
			w.sts(words[1:])
		case "host":
			w.host(words[1], words[2], rest)
		case "tagged": // tagged LEVEL [DOMAIN]: what required mail wants of the way
			w.tagged(append(words[1:], "")[0], append(words[1:], "", "")[1])
		case "smarthost":
			w.smarthost(words[1:], rest)
		case "send":
			row = w.send(words[1:])
			var ok bool
			if ended, ok = w.box.fate(row); !ok {
				w.t.Fatalf("the row has no fate; log:\n%s", w.log)
			}
			got = w.got()
		case "got":
			if len(got) == 0 {
				got = []string{"nothing"}
			}
			if got[0] != rest {
				w.t.Errorf("arrived: %q, want %q; log:\n%s", got[0], rest, w.log)
			}
			got = got[1:]
		case "fate":
			w.fate(ended, row, words[1:])
			if len(got) > 0 && got[0] != "nothing" {
				w.t.Errorf("arrived too: %q", got)
			}
		case "report":
			w.report(ended, rest)
		case "heard":
			if !strings.Contains(strings.Join(w.hosts[words[1]].Words(), " "), strings.Join(words[2:], " ")) {
				w.t.Errorf("%s heard %q, want %q among it", words[1], w.hosts[words[1]].Words(), words[2:])
			}
		case "visits":
			if n := w.hosts[words[1]].Connections(); fmt.Sprint(n) != words[2] {
				w.t.Errorf("%s was visited %d times, want %s", words[1], n, words[2])
			}
		case "unvisited":
			if n := w.hosts[words[1]].Connections(); n > 0 {
				w.t.Errorf("%s was visited %d times", words[1], n)
			}
		default:
			w.t.Fatalf("line %q", line)
		}
	}
}

var statuses = map[string]testnet.Status{"insecure": testnet.Insecure, "secure": testnet.Secure, "bogus": testnet.Bogus, "silent": testnet.Silent}

func (w *world) zone(words []string) {
	name := "to.test"
	if len(words) > 1 {
		name = words[1]
	}
	w.net.Zone(name, statuses[words[0]])
}

// sts publishes a policy of to.test: a mode, then mx=a,b and what is wrong with it.
func (w *world) sts(words []string) {
	text := "version: STSv1\r\nmode: " + words[0] + "\r\nmax_age: 86400\r\n"
	p := testnet.Page{}
	for _, word := range words[1:] {
		k, v, _ := strings.Cut(word, "=")
		switch k {
		case "mx":
			for m := range strings.SplitSeq(v, ",") {
				text += "mx: " + m + "\r\n"
			}
		case "status":
			fmt.Sscan(v, &p.Status)
		case "type":
			p.Type = v
		case "cert":
			p.CertName = v
		case "expired":
			p.CertLife = testnet.Expired
		case "redirect":
			p.Status, p.Location = 301, "https://mta-sts.to.test/elsewhere"
			w.net.Page("mta-sts.to.test", "/elsewhere", testnet.Page{Body: text})
		case "big":
			text += strings.Repeat("x: y\r\n", 12000)
		case "domain":
			defer func(p *testnet.Page) { w.net.Policy(v, "1", *p) }(&p)
			p.Body = text
			return
		default:
			w.t.Fatalf("sts %q", word)
		}
	}
	p.Body = text
	w.net.Policy("to.test", "1", p)
}

// host adds an mx host: preference, then how it behaves.
func (w *world) host(name, pref, rest string) {
	fqdn := name + ".mx.test"
	var tlsa []string
	down := false
	h := w.net.Host(fqdn, func(h *testnet.Host) {
		_, rest, _ = strings.Cut(rest, pref)
		for _, word := range strings.Fields(rest) {
			k, v, _ := strings.Cut(word, "=")
			switch k {
			case "clear":
				h.NoTLS = true
			case "requiretls":
				h.InTLS = append(h.InTLS, "REQUIRETLS")
			case "Requiretls": // RFC 5321 §2.4: in any case
				h.InTLS = append(h.InTLS, "requireTLS")
			case "requiretls-in-clear":
				h.InClear = append(h.InClear, "REQUIRETLS")
			case "dsn":
				h.InTLS, h.InClear = append(h.InTLS, "DSN"), append(h.InClear, "DSN")
			case "bare":
				h.InTLS, h.InClear = nil, nil
			case "cert":
				life, names := testnet.Valid, []string{fqdn}
				ca := w.net.CA
				switch v {
				case "expired":
					life = testnet.Expired
				case "unknown":
					ca = testnet.NewCA(w.t, "Nobody")
				default:
					names = []string{v}
				}
				cert, err := ca.Issue(life, names...)
				if err != nil {
					w.t.Fatal(err)
				}
				h.Cert = cert
			case "needs-tls":
				h.NeedsTLS = true
			case "asks-cert":
				h.AsksCert = true
			case "old-tls":
				h.MaxTLS = 0x0302
			case "cut":
				h.Cut = v
			case "answer":
				step, code, _ := strings.Cut(v, ":")
				h.Answers[step] = strings.ReplaceAll(code, "_", " ")
			case "down":
				down = true
			case "tlsa":
				tlsa = append(tlsa, v)
			default:
				w.t.Fatalf("host %q", word)
			}
		}
	})
	w.hosts[name], w.order = h, append(w.order, name)
	addr := h.Addr
	if down {
		addr = w.net.Addr()
	}
	w.net.Zone("mx.test", testnet.Secure)
	w.net.Record(fqdn + ". A " + addr.String())
	if pref != "-" {
		w.net.Record("to.test. MX " + pref + " " + fqdn + ".")
	}
	for _, kind := range tlsa {
		w.tlsa(h, "_25._tcp."+fqdn, kind)
	}
}

func (w *world) tlsa(h *testnet.Host, name, kind string) {
	switch kind {
	case "right":
		w.net.Record(name + ". TLSA 3 1 1 " + h.TLSA())
	case "ca":
		w.net.Record(name + ". TLSA 2 0 1 " + testnet.TLSA201(w.net.CA.Cert))
	case "wrong":
		w.net.Record(name + ". TLSA 3 1 1 " + strings.Repeat("ab", 32))
	case "unusable":
		w.net.Record(name + ". TLSA 1 1 1 " + h.TLSA())
	case "servfail":
		w.net.Name(name, testnet.Bogus)
	case "insecure":
		w.net.Record(name + ". TLSA 3 1 1 " + strings.Repeat("ab", 32))
		w.net.Name(name, testnet.Insecure)
	default:
		w.t.Fatalf("tlsa=%s", kind)
	}
}

func (w *world) tagged(level, domain string) {
	if w.opt.RequireTLS == nil {
		w.opt.RequireTLS = map[string]Level{}
	}
	for _, l := range []Level{Enforce, OpportunisticStartTLS, Opportunistic} {
		if l.String() == level {
			w.opt.RequireTLS[domain] = l
		}
	}
}

// smarthost leads everything through a host that stands in the table before.
func (w *world) smarthost(words []string, rest string) {
	h := w.hosts[words[0]]
	s := &Smarthost{Host: h.Name}
	w.opt.Smarthost = s
	for _, word := range words[1:] {
		k, v, _ := strings.Cut(word, "=")
		switch k {
		case "pin-key":
			sum := sha256.Sum256(h.Cert.Leaf.RawSubjectPublicKeyInfo)
			s.Pins = append(s.Pins, sum[:])
		case "pin-cert":
			sum := sha256.Sum256(h.Cert.Leaf.Raw)
			s.Pins = append(s.Pins, sum[:])
		case "pin-other":
			s.Pins = append(s.Pins, make([]byte, 32))
		case "level":
			for _, l := range []Level{Enforce, OpportunisticStartTLS, Opportunistic} {
				if l.String() == v {
					s.Level = l
				}
			}
		case "user":
			s.User, s.Password = "relay", "open sesame"
			h.Change(func(h *testnet.Host) { h.User, h.Password = s.User, s.Password })
		case "nowhere":
			s.Host = "nowhere.mx.test"
		case "implicit":
			s.Port = "465"
			h.Change(func(h *testnet.Host) { h.Implicit = true })
		case "tlsa":
			w.tlsa(h, "_587._tcp."+h.Name, v)
		default:
			w.t.Fatalf("smarthost %q", rest)
		}
	}
}

// send makes a letter, puts it into the outbox and carries it once.
func (w *world) send(words []string) RowID {
	if w.r == nil {
		w.start()
	}
	env := &mail.Envelope{ID: "k1", From: bob, Demand: demandWords[words[0]], Received: w.now.Add(-time.Minute)}
	kind, to, dsn := "redirect", carl, mail.DSN{}
	body := testBody
	for _, word := range words[1:] {
		k, v, _ := strings.Cut(word, "=")
		switch k {
		case "null":
			env.From = mail.Address{}
		case "answer", "bounce":
			kind = word
		case "to":
			a, err := mail.ParseAddress(v)
			if err != nil {
				w.t.Fatal(err)
			}
			to = a
		case "late":
			env.Received = w.now.Add(-6 * 24 * time.Hour)
		case "delayed":
			env.Received = w.now.Add(-5 * time.Hour)
		case "full":
			dsn.Return = mail.ReturnFull
		case "envid":
			dsn.EnvID = v
		case "never":
			dsn.Notify = mail.NotifyNever
		case "success":
			dsn.Notify = mail.NotifySuccess
		case "orcpt":
			dsn.ORcptType, dsn.ORcpt = "rfc822", v
		case "utf8":
			env.SMTPUTF8, body = true, strings.Replace(body, "Bob", "Bøb", 1)
		case "header-no": // RFC 8689 §4.1: ignored beside the option, and stays
			body = "TLS-Required: No\r\n" + body
		case "8bit":
			body += "Grüße\r\n"
		default:
			w.t.Fatalf("send %q", word)
		}
	}
	var o *mail.Outbound
	switch kind {
	case "redirect":
		o = env.Redirect(mail.Redirect{To: to, Prefix: []byte("Received: by us\r\n"), DSN: dsn})
	case "answer":
		o = env.Answer(mail.Answer{Kind: mail.Answered, To: to, Text: []byte("From: ann@ours.test\r\nSubject: away\r\n\r\nAway.\r\n")})
	case "bounce":
		env.From = to
		o = report(w.r.opt, &Letter{Outbound: env.Redirect(mail.Redirect{To: bob}), Body: strings.NewReader(testBody)},
			notice{action: actionFailed, status: "5.1.1", now: env.Received})
	}
	id := w.box.add(w.t, o, body, w.now)
	if _, err := w.r.carry(w.t.Context(), id, &place{}); err != nil {
		w.t.Fatalf("carry: %v; log:\n%s", err, w.log)
	}
	return id
}

// got is what arrived, a line for each.
func (w *world) got() (all []string) {
	for _, name := range w.order {
		for _, m := range w.hosts[name].Got() {
			all = append(all, w.describe(name, m))
		}
	}
	return all
}

func (w *world) describe(name string, m testnet.Received) string {
	words := []string{name, "clear"}
	if m.TLS {
		words[1] = "tls"
	}
	if m.Login != "" {
		words = append(words, "login")
	}
	for _, p := range append(m.MailParams, m.RcptParams...) {
		if !strings.HasPrefix(p, "SIZE=") {
			words = append(words, p)
		}
	}
	if m.From == "<>" {
		words = append(words, "null")
	}
	if strings.Contains(m.Data, "TLS-Required: No\r\n") {
		words = append(words, "no")
	}
	switch {
	case strings.HasSuffix(m.Data, testBody) && strings.HasPrefix(m.Data, "Received: by us\r\n"):
		words = append(words, "whole")
	case strings.Contains(m.Data, "The secret subject"):
		words = append(words, "header")
	case strings.Contains(m.Data, "private") || strings.Contains(m.Data, "X-Private"):
		words = append(words, "leaking")
	case m.From == "<>" && strings.Contains(m.Data, "travels without it"), strings.Contains(m.Data, "Only\r\nthis notice is sent"):
		words = append(words, "redacted")
	case strings.Contains(m.Data, "Away."):
		words = append(words, "answer")
	default:
		words = append(words, "other")
	}
	return strings.Join(words, " ")
}

func (w *world) fate(s Settlement, id RowID, want []string) {
	w.t.Helper()
	got := []string{s.Fate.String()}
	if s.Fate == Deferred {
		got = append(got, enhanced(s.History.Error))
	}
	for _, b := range s.Reports {
		r, _ := b.Reader(strings.NewReader(testBody), mail.FullForm)
		text, err := io.ReadAll(r)
		if err != nil {
			w.t.Fatal(err)
		}
		_, status, _ := strings.Cut(string(text), "\r\nStatus: ")
		status, _, _ = strings.Cut(status, "\r\n")
		got = append(got, status)
	}
	if g := strings.Join(got, " "); g != strings.Join(want, " ") {
		w.t.Errorf("fate of row %d: %s, want %s; log:\n%s", id, g, strings.Join(want, " "), w.log)
	}
}

func enhanced(line string) string {
	words := strings.Fields(line)
	if len(words) > 1 && strings.Count(words[1], ".") == 2 {
		return words[1]
	}
	return ""
}

// report checks the report that was made: its demand, and words that are in it
// (or, with "-", are not).
func (w *world) report(s Settlement, want string) {
	w.t.Helper()
	if want == "none" {
		if len(s.Reports) > 0 {
			w.t.Errorf("%d reports were made", len(s.Reports))
		}
		return
	}
	if len(s.Reports) != 1 {
		w.t.Fatalf("%d reports, want 1; log:\n%s", len(s.Reports), w.log)
	}
	b := s.Reports[0]
	r, _ := b.Reader(strings.NewReader(testBody), mail.FullForm)
	raw, err := io.ReadAll(r)
	if err != nil {
		w.t.Fatal(err)
	}
	text := string(raw)
	demand, rest, _ := strings.Cut(want, " ")
	if b.Demand().String() != demand || !b.From.IsNull() {
		w.t.Errorf("the report demands %v from %s, want %s from <>", b.Demand(), b.From.Path(), demand)
	}
	for phrase := range strings.SplitSeq(rest, ";") {
		phrase = strings.TrimSpace(phrase)
		in := text
		if after, ok := strings.CutPrefix(phrase, "redacted "); ok {
			in, phrase = string(b.Redacted), after
		}
		absent, not := strings.CutPrefix(phrase, "- ")
		if phrase == "" {
			continue
		}
		if strings.Contains(in, absent) == not {
			w.t.Errorf("%q in the report: %v, want %v:\n%s", absent, !not == false, !not, in)
		}
	}
}
