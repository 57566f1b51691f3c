package imapd_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"letterlock/imapd"
	"letterlock/internal/dialogue"
	"letterlock/internal/requiretls"
	"letterlock/internal/serve"
	"letterlock/storage"
)

// Every word of content of the tagged letter has this in it, plain or in
// base64 at any alignment.
const marker = "quagga"

var traces = []string{marker, "cXVhZ2dh", "F1YWdnY", "xdWFnZ2"}

const taggedLetter = "Date: Tue, 3 Feb 1987 10:11:12 +0000\r\n" +
	"From: Quagga <quagga@quagga.example>\r\nTo: Quagga <to@quagga.example>\r\nCc: cc@quagga.example\r\nBcc: bcc@quagga.example\r\n" +
	"Subject: the quagga\r\nMessage-ID: <quagga@id.example>\r\nIn-Reply-To: <before@quagga.example>\r\nX-Quagga: quagga\r\n" +
	"Content-Type: multipart/mixed; boundary=quagga\r\n\r\n" +
	"quagga preamble\r\n--quagga\r\nContent-Type: text/plain; name=quagga\r\nContent-Description: quagga\r\n\r\nquagga text\r\n" +
	"--quagga\r\nContent-Type: application/x-quagga; name=quagga.bin\r\nContent-Transfer-Encoding: base64\r\n\r\ncXVhZ2dhIHF1YWdnYQ==\r\n" +
	"--quagga\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner quagga\r\n\r\ninner quagga body\r\n--quagga--\r\n"

const openLetter = "Date: Wed, 4 Feb 1987 10:11:12 +0000\r\nFrom: bob@example.org\r\nSubject: open\r\n\r\nan open letter\r\n"

// contentItems is every FETCH item that shows content or something made of it.
var contentItems = []string{
	"ENVELOPE", "BODY", "BODYSTRUCTURE", "BODY[]", "BODY.PEEK[]", "BODY.PEEK[]<5.20>", "BODY[HEADER]", "BODY.PEEK[HEADER.FIELDS (SUBJECT FROM)]",
	"BODY.PEEK[HEADER.FIELDS.NOT (DATE)]", "BODY[TEXT]", "BODY[1]", "BODY.PEEK[1.MIME]", "BODY[2]", "BODY.PEEK[3.HEADER]", "BODY[3.TEXT]", "BODY.PEEK[3.1]",
	"BINARY[1]", "BINARY.PEEK[2]", "BINARY.PEEK[2]<2.4>", "BINARY.SIZE[2]", "RFC822", "RFC822.HEADER", "RFC822.TEXT", "ALL", "FULL",
	"PREVIEW", "PREVIEW (LAZY)", "THREADID",
}

// contentKeys is every SEARCH key on content, with a value that the tagged
// letter matches and one that it does not.
var contentKeys = [][2]string{
	{"FROM quagga", "FROM zebra"}, {"TO quagga", "TO zebra"}, {"CC quagga", "CC zebra"}, {"BCC quagga", "BCC zebra"},
	{"SUBJECT quagga", "SUBJECT zebra"}, {"BODY quagga", "BODY zebra"}, {"TEXT quagga", "TEXT zebra"}, {`HEADER X-Quagga ""`, `HEADER X-Zebra ""`},
	{"HEADER Message-ID quagga", "HEADER Message-ID zebra"}, {"SENTON 3-Feb-1987", "SENTON 5-Feb-1987"},
	{"SENTBEFORE 4-Feb-1987", "SENTBEFORE 1-Feb-1987"}, {"SENTSINCE 2-Feb-1987", "SENTSINCE 9-Feb-1987"},
}

// wrappings put a key where an answer could leak a bit of it.
var wrappings = []string{
	"%s", "NOT %s", "NOT NOT %s", "OR %s FLAGGED", "OR NOT %s FLAGGED", "NOT OR %s FLAGGED", "(%s) UNDELETED", "NOT (%[1]s %[1]s)", "RETURN (COUNT MIN MAX ALL) NOT %s", "RETURN (PARTIAL 1:9) NOT %s", "FUZZY %s",
}

// searches is every command that answers which messages match.
var searches = []string{"SEARCH ", "UID SEARCH ", "ESEARCH IN (PERSONAL) ", "SORT (ARRIVAL) UTF-8 "}

// class is one kind of session.
type class struct {
	name   string
	how    string // as dial has it, or whose client certificate is shown
	policy requiretls.Policy
	may    bool // read REQUIRETLS mail
}

var classes = []class{
	{"local under tls", "plain", requiretls.PolicyTLS, false},
	{"local under bound", "plain", requiretls.PolicyBound, false},
	{"local under local", "plain", requiretls.PolicyLocal, true},
	{"tls under tls", "tls", requiretls.PolicyTLS, true},
	{"tls under bound", "tls", requiretls.PolicyBound, false},
	{"tls under local", "tls", requiretls.PolicyLocal, true},
	{"bound under bound", "ann@example.org", requiretls.PolicyBound, true},
	{"bound under tls", "ann@example.org", requiretls.PolicyTLS, true},
	{"proxied under tls", "proxied", requiretls.PolicyTLS, true},
	{"proxied under bound", "proxied", requiretls.PolicyBound, false},
	{"clear under tls", "clear", requiretls.PolicyTLS, false},
	{"clear under local", "clear", requiretls.PolicyLocal, false},
	{"somebody else's certificate under bound", "bob@example.org", requiretls.PolicyBound, false},
}

// TestRequireTLSContentStaysInUnprotectedSessions walks the commands that show
// content or change messages through every class of session (RFC 8689 §4.4), and
// says how each is answered. That nothing leaks and nothing changes is asked of
// all there are, and of more mail, by package releasetest.
func TestRequireTLSContentStaysInUnprotectedSessions(t *testing.T) {
	for _, cl := range classes {
		t.Run(cl.name, func(t *testing.T) {
			t.Parallel()
			w := newWalk(t, cl)
			w.fetchEverything()
			w.searchEverything()
			w.changeEverything()
		})
	}
}

// walk is one session under test beside one that may see everything, by way of
// the store.
type walk struct {
	t *testing.T
	class
	h   *house
	c   *client
	id  storage.MailboxID
	tag storage.UID // the tagged letter
}

func newWalk(t *testing.T, cl class) *walk {
	h := openHouse(t, func(o *imapd.Options) {
		o.Cleartext.Local, o.Release, o.MaxPerUser = true, cl.policy, 1000
		o.Cleartext.Networks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	})
	w := &walk{t: t, class: cl, h: h}
	h.deliver(letter{mailbox: "INBOX", text: openLetter})
	w.tag = h.deliver(letter{mailbox: "INBOX", text: taggedLetter, demand: requiretls.Required(), flags: []string{`\Deleted`, "work"}})
	h.deliver(letter{mailbox: "INBOX", text: openLetter, demand: requiretls.Waived()})
	box, err := h.account("ann").Mailbox(context.Background(), "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	w.id = box.ID
	switch {
	case strings.Contains(cl.how, "@"):
		w.c = h.withCertificate("w", cl.how)
	case cl.how == "proxied" || cl.how == "clear":
		w.c = h.throughProxy("w", cl.how)
	default:
		w.c = h.loggedIn("w", cl.how)
	}
	w.c.ok("SELECT INBOX")
	return w
}

// ask gives a command and looks for what must not leave.
func (w *walk) ask(command string) []string {
	w.t.Helper()
	lines := w.c.do(command)
	if w.may {
		return lines
	}
	said := strings.ToLower(strings.Join(lines, "\n"))
	for _, trace := range traces {
		if strings.Contains(said, strings.ToLower(trace)) && !strings.Contains(strings.ToLower(command), marker) || strings.Contains(said, "the "+marker) {
			w.t.Errorf("%s\nlet content out: %s", command, said)
		}
	}
	return lines
}

func (w *walk) fetchEverything() {
	for _, item := range contentItems {
		for _, form := range []string{"FETCH 2 %s", "FETCH 1:* %s", "UID FETCH 2 %s", "UID FETCH 1:* (UID FLAGS %s)", "FETCH 2:3 (RFC822.SIZE %s)"} {
			if (item == "ALL" || item == "FULL") && strings.Contains(form, "(") {
				continue
			}
			w.fetchOne(fmt.Sprintf(form, item), item)
		}
	}
	w.agrees()
}

func (w *walk) fetchOne(command, item string) {
	before := w.state()
	lines := w.ask(command)
	last := lines[len(lines)-1]
	alone := strings.Contains(command, "FETCH 2 ")
	switch {
	case w.may:
		if !strings.HasPrefix(last, "OK") && !strings.Contains(command, "1:* ") && !strings.Contains(command, "2:3") {
			w.t.Errorf("%s: got %s in a session that may read", command, last)
		}
		return
	case alone && !strings.HasPrefix(last, "NO [PRIVACYREQUIRED]"),
		!alone && !strings.HasPrefix(last, "OK [PRIVACYREQUIRED] 1 withheld"):
		w.t.Errorf("%s: got %s", command, last)
	}
	if after := w.state(); after != before {
		w.t.Errorf("%s changed the withheld letter: %s, was %s", command, after, before)
	}
}

// searchEverything proves that an answer is the same whether or not the
// withheld letter matches.
func (w *walk) searchEverything() {
	differ := 0
	for _, key := range contentKeys {
		for _, wrapping := range wrappings {
			for _, verb := range searches {
				if strings.HasPrefix(verb, "SORT") && strings.HasPrefix(wrapping, "RETURN") {
					continue // its options stand elsewhere
				}
				matching := w.has(verb + fmt.Sprintf(wrapping, key[0]))
				other := w.has(verb + fmt.Sprintf(wrapping, key[1]))
				if matching != other {
					differ++
				}
				if matching != other && !w.may {
					w.t.Errorf("%s%s tells of the withheld letter: %v, and %v for %s", verb, fmt.Sprintf(wrapping, key[0]), matching, other, key[1])
				}
			}
		}
	}
	if w.may && differ < len(contentKeys) {
		w.t.Errorf("a session that may read found differences for %d keys of %d", differ, len(contentKeys))
	}
}

// has says whether the second letter is in the answer.
func (w *walk) has(command string) bool {
	w.t.Helper()
	lines := w.ask(command)
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "OK") {
		w.t.Fatalf("%s: got %s", command, last)
	}
	answer := lines[0]
	if len(lines) == 1 { // ESEARCH found nothing
		return false
	}
	if _, page, ok := strings.Cut(answer, " PARTIAL (1:9 "); ok {
		return slices.Contains([]string{"2)", "1:2)", "1:3)", "2:3)", "2,3)"}, page)
	}
	if _, all, ok := strings.Cut(answer, " ALL "); ok {
		all, _, _ = strings.Cut(all, " ")
		return slices.Contains([]string{"2", "1:2", "1:3", "2:3", "2,3"}, all)
	}
	return slices.Contains(strings.Fields(answer), "2")
}

// changeEverything tries to change, copy and remove the withheld letter.
func (w *walk) changeEverything() {
	w.c.ok("CREATE Target")
	if w.may {
		w.inherits()
		return
	}
	for _, command := range []string{
		`STORE %s +FLAGS (\Seen)`, `STORE %s -FLAGS.SILENT (\Deleted)`, `STORE %s FLAGS ()`, `STORE %s FLAGS (\Seen other $RequireTLS)`, `STORE %s +FLAGS.SILENT (work2)`,
		`STORE %s (UNCHANGEDSINCE 999999) +FLAGS (\Seen)`, `STORE %s (UNCHANGEDSINCE 999999) -FLAGS.SILENT (work)`,
		"COPY %s Target", "MOVE %s Target", "COPY %s INBOX", "MOVE %s INBOX",
	} {
		for _, form := range []string{"", "UID "} {
			for _, set := range []string{"2", "1:*", "2:*"} {
				w.refused(form + fmt.Sprintf(command, set))
			}
		}
	}
	for _, command := range replacing {
		w.refused(command)
	}
	w.tellsNothing()
	for _, command := range []string{"EXPUNGE", "UID EXPUNGE 2", "UID EXPUNGE 1:*", "CLOSE"} {
		w.allowedAround(command)
	}
	w.refused("RENAME INBOX Kept")
}

// replacing is the commands that make a message of the withheld one.
var replacing = []string{
	`APPEND Target CATENATE (URL "/INBOX/;UID=2")`, `APPEND Target CATENATE (URL ";UID=2/;SECTION=TEXT")`,
	`APPEND Target CATENATE (URL "/INBOX/;UID=2/;SECTION=HEADER.FIELDS%20(SUBJECT)/;PARTIAL=3.2")`, `APPEND Target CATENATE (URL "/INBOX/;UID=1" URL "/INBOX/;UID=2/;SECTION=1.MIME")`,
	"REPLACE 2 Target {12+}\r\nA: b\r\n\r\nhi\r\n", "UID REPLACE 2 INBOX {12+}\r\nA: b\r\n\r\nhi\r\n",
	`REPLACE 1 Target CATENATE (URL "/INBOX/;UID=2")`, `UID REPLACE 2 Target CATENATE (URL "/INBOX/;UID=1")`,
}

// inherits: in a session that may read, what is made of a required letter is
// required (RFC 8689 §4.4).
func (w *walk) inherits() {
	w.t.Helper()
	for i, command := range replacing[:5] {
		if lines := w.c.do(command); !strings.HasPrefix(lines[len(lines)-1], "OK") {
			w.t.Errorf("%s: got %s", command, lines)
		}
		box, err := w.h.account("ann").Mailbox(context.Background(), "Target")
		if err != nil || int(box.Messages) != i+1 || int(box.Required) != i+1 {
			w.t.Errorf("after %s: %d messages, %d of them required, %v; want %d", command, box.Messages, box.Required, err, i+1)
		}
	}
}

// tellsNothing: what comes without being asked for shows no content either (RFC
// 5465 §5.2, §7).
func (w *walk) tellsNothing() {
	w.t.Helper()
	w.c.ok("NOTIFY SET (SELECTED (MessageNew (UID ENVELOPE PREVIEW BODY.PEEK[]) MessageExpunge FlagChange)) (PERSONAL (MessageNew MessageExpunge FlagChange))")
	w.c.ok("UID SEARCH RETURN (UPDATE (ENVELOPE BODY.PEEK[TEXT])) ALL")
	w.h.deliver(letter{mailbox: "INBOX", text: taggedLetter, demand: requiretls.Required(), flags: []string{`\Deleted`}})
	told := strings.Join(w.ask("NOOP"), "\n")
	for !strings.Contains(told, "FETCH (UID") {
		told += strings.Join(w.ask("NOOP"), "\n")
	}
	if strings.Contains(told, "ENVELOPE") || !strings.Contains(told, " ADDTO (0 ") {
		w.t.Errorf("a withheld letter came in and was told of as %s", told)
	}
	w.c.ok("NOTIFY SET (SELECTED (MessageNew MessageExpunge FlagChange))")
	w.agrees()
}

// refused gives a command that must end in NO and leave the letter as it is.
func (w *walk) refused(command string) {
	w.t.Helper()
	before := w.state()
	lines := w.ask(command)
	renames := strings.HasPrefix(command, "RENAME")
	if last := lines[len(lines)-1]; !renames && !strings.HasPrefix(last, "NO [PRIVACYREQUIRED]") {
		w.t.Errorf("%s: got %s", command, last)
	}
	if renames {
		w.moved(before)
		return
	}
	if after := w.state(); after != before {
		w.t.Errorf("%s changed the withheld letter: %s, was %s", command, after, before)
	}
	w.agrees()
}

// allowedAround gives a command that passes the letter over.
func (w *walk) allowedAround(command string) {
	w.t.Helper()
	before := w.state()
	w.ask(command)
	if after := w.state(); after != before {
		w.t.Errorf("%s changed the withheld letter: %s, was %s", command, after, before)
	}
	if command != "CLOSE" {
		w.agrees()
	}
}

// moved: RENAME is allowed, the tag goes along, and the new mailbox cannot be
// deleted in this session.
func (w *walk) moved(before string) {
	w.t.Helper()
	account := w.h.account("ann")
	box, err := account.Mailbox(context.Background(), "Kept")
	if err != nil || box.Required != 2 { // with the one that came in meanwhile
		w.t.Errorf("after RENAME: %+v, %v; want the tagged letters in Kept, which was %s", box, err, before)
	}
	if lines := w.ask("DELETE Kept"); !strings.HasPrefix(lines[len(lines)-1], "NO [PRIVACYREQUIRED]") {
		w.t.Errorf("DELETE of its mailbox: got %s", lines)
	}
}

// state is what the store says of the tagged letter.
func (w *walk) state() string {
	w.t.Helper()
	v, err := w.h.account("ann").View(context.Background(), w.id)
	if err != nil {
		w.t.Fatal(err)
	}
	i, found := v.Find(w.tag)
	if !found {
		return "gone"
	}
	e := v.At(i)
	return fmt.Sprintf("uid %d flags %b keywords %v", e.UID, e.Flags, v.Mailbox().Keywords[:1])
}

// agrees compares numbers and UIDs with those of a protected session.
func (w *walk) agrees() {
	w.t.Helper()
	w.c.ok("NOOP")
	v, err := w.h.account("ann").View(context.Background(), w.id)
	if err != nil {
		w.t.Fatal(err)
	}
	var want []string
	for i, e := range v.All(0, v.Len()) {
		want = append(want, fmt.Sprintf("* %d FETCH (UID %d)", i+1, e.UID))
	}
	got := w.ask("FETCH 1:* (UID)")
	if got = got[:len(got)-1]; !slices.Equal(got, want) {
		w.t.Errorf("this session sees %q, a protected one %q", got, want)
	}
}

// withCertificate is a session of ann's over TLS with a client certificate that
// names somebody: class bound if it is she.
func (h *house) withCertificate(name, whose string) *client {
	h.t.Helper()
	cert, ca := dialogue.ClientCertificate(h.t, whose)
	id := dialogue.NewIdentity(h.t, "localhost")
	srv, err := serve.Listen(serve.Options{Name: "imap", TLS: id.Certs, Handle: h.imap.Handle,
		Endpoints: []serve.Endpoint{{Network: "tcp", Address: "127.0.0.1:0", ImplicitTLS: true, ClientCA: ca}}})
	if err != nil {
		h.t.Fatal(err)
	}
	h.alsoRun(srv)
	conn, err := net.Dial("tcp", srv.Addrs()[0].String())
	if err != nil {
		h.t.Fatal(err)
	}
	c := &client{t: h.t, h: h, name: name}
	c.use(tls.Client(conn, id.Client(cert)))
	h.t.Cleanup(func() { c.conn.Close() })
	c.line()
	c.ok("LOGIN ann@example.org " + secret)
	return c
}

// throughProxy is a session of ann's behind a proxy: one that says that its client
// came over TLS 1.3, or one that cannot say, so that it is in clear.
func (h *house) throughProxy(name, how string) *client {
	h.t.Helper()
	c, _ := h.greetedThroughProxy(name, how)
	c.ok("LOGIN ann@example.org " + secret)
	return c
}

// greetedThroughProxy is the same before login, with the greeting.
func (h *house) greetedThroughProxy(name, how string) (c *client, greeting string) {
	h.t.Helper()
	return h.comeThrough(h.behindProxies(0), name, how)
}

// behindProxies is a server that lets so many strangers of one address in.
func (h *house) behindProxies(strangers int) *serve.Server {
	h.t.Helper()
	certs, err := serve.LoadCertificates(filepath.Join(h.dir, "tls", "cert.pem"), filepath.Join(h.dir, "tls", "key.pem"), nil)
	if err != nil {
		h.t.Fatal(err)
	}
	srv, err := serve.Listen(serve.Options{Name: "imap", Handle: h.imap.Handle, TLS: certs, MaxPerAddr: strangers, TooMany: imapd.TooManyConnections, Proxies: serve.Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Endpoints: []serve.Endpoint{{Network: "tcp", Address: "127.0.0.1:0", Proxy: true}}})
	if err != nil {
		h.t.Fatal(err)
	}
	h.alsoRun(srv)
	return srv
}

func (h *house) comeThrough(srv *serve.Server, name, how string) (c *client, greeting string) {
	h.t.Helper()
	conn, err := net.Dial("tcp", srv.Addrs()[0].String())
	if err != nil {
		h.t.Fatal(err)
	}
	c = &client{t: h.t, h: h, name: name}
	c.use(conn)
	h.t.Cleanup(func() { c.conn.Close() })
	header := "PROXY TCP4 192.0.2.7 192.0.2.1 5555 143\r\n"
	if how == "proxied" {
		ssl := "\x01\x00\x00\x00\x00" + "\x21\x00\x07TLSv1.3"
		fields := "\xc0\x00\x02\x07\xc0\x00\x02\x01\x15\xb3\x00\x8f" + "\x20\x00" + string(rune(len(ssl))) + ssl
		header = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00" + string(rune(len(fields))) + fields
	}
	c.send(header)
	return c, c.line()
}

// alsoRun runs another server until the house stops.
func (h *house) alsoRun(srv *serve.Server) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	stop := h.stop
	h.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			h.t.Errorf("another server: %v", err)
		}
		stop()
	}
}

// TestRequireTLSContentOrdersNothing: where a session may not read two letters,
// their place in SORT and THREAD does not tell what is in them (RFC 8689 §4.4).
func TestRequireTLSContentOrdersNothing(t *testing.T) {
	t.Parallel()
	h := openHouse(t, func(o *imapd.Options) { o.Cleartext.Local = true })
	h.deliver(letter{mailbox: "INBOX", text: "Message-ID: <open@x.example>\r\nSubject: mmm\r\n\r\nopen\r\n"})
	for _, l := range []string{
		"Message-ID: <z@x.example>\r\nReferences: <open@x.example>\r\nDate: 9 Feb 2026 10:00:00 +0000\r\nFrom: zzz@x.example\r\nTo: zzz@x.example\r\nCc: zzz@x.example\r\nSubject: zzz\r\n\r\nx\r\n",
		"Message-ID: <a@x.example>\r\nReferences: <z@x.example>\r\nDate: 1 Feb 2026 10:00:00 +0000\r\nFrom: aaa@x.example\r\nTo: aaa@x.example\r\nCc: aaa@x.example\r\nSubject: aaa\r\n\r\nx\r\n",
	} {
		h.deliver(letter{mailbox: "INBOX", text: l, demand: requiretls.Required()})
	}
	held, open := h.loggedIn("a", "plain"), h.loggedIn("b", "tls")
	held.ok("EXAMINE INBOX")
	open.ok("EXAMINE INBOX")
	differ := 0
	for _, by := range []string{"SUBJECT", "FROM", "TO", "CC", "DISPLAYFROM", "DISPLAYTO", "DATE"} {
		for _, form := range []string{"SORT (%s) UTF-8 2:3", "SORT (REVERSE %s) UTF-8 2:3", "UID SORT RETURN (ALL) (%s) UTF-8 2:3"} {
			command := fmt.Sprintf(form, by)
			got := held.ok(command)[0]
			if !strings.Contains(got, "2 3") && !strings.Contains(got, "2:3") {
				t.Errorf("%s: got %s, want the order of the mailbox", command, got)
			}
			if got := open.ok(command)[0]; !strings.Contains(got, "2 3") && !strings.Contains(got, "2:3") {
				differ++
			}
		}
	}
	if differ < 7 {
		t.Errorf("a session that may read got another order %d times", differ)
	}
	for _, algorithm := range []string{"REFERENCES", "REFS", "ORDEREDSUBJECT"} {
		got := held.ok("THREAD " + algorithm + " UTF-8 ALL")[0]
		if !strings.Contains(got, "(2)") || !strings.Contains(got, "(3)") {
			t.Errorf("THREAD %s: got %s, want each withheld letter alone", algorithm, got)
		}
	}
	if got := open.ok("THREAD REFERENCES UTF-8 ALL")[0]; got != "* THREAD (1 2 3)" {
		t.Errorf("a session that may read got %s", got)
	}
}
