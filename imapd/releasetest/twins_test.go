package releasetest

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"letterlock/imapd"
	"letterlock/internal/requiretls"
	"letterlock/storage"
)

// twin is one account, with a session under test and one over TLS beside it.
type twin struct {
	number int
	who    *resident
	c      *client
	tls    *client
	boxes  map[string]storage.MailboxID // the mailboxes that tagged letters are in, by the names they had at first
	ids    map[string]string            // object identifiers met so far
	before string                       // what the vault says of tagged letters
}

// twins are two accounts that differ in the content of their tagged mail alone.
// Each command is given by both.
type twins struct {
	t       *testing.T
	h       *house
	class   class
	home    string // the mailbox that is selected
	at      string // but for a moment, where it is another one
	mode    mode
	each    [2]*twin
	tag     int
	said    []string // the last commands
	came    int      // open letters that came in since
	bad     int      // failures so far
	differs int      // commands to which the answers differed, in a session that may read
	leaked  int      // answers with content in them
	ok      map[string]int
}

const maxFailures = 8

// mode is what a session has made of its connection.
type mode struct {
	name     string
	compress bool
	enable   string
}

// modes is the states of a connection.
var modes = []mode{{name: "plain"}, {name: "compressed", compress: true}, {name: "enabled", enable: "IMAP4rev2 CONDSTORE QRESYNC UTF8=ACCEPT"}, {name: "quick", enable: "QRESYNC", compress: true}}

func newTwins(t *testing.T, h *house, cl class) *twins {
	t.Helper()
	w := &twins{t: t, h: h, class: cl, home: cl.home(), at: cl.home(), ok: map[string]int{}}
	for i := range w.each {
		w.each[i] = &twin{number: i, who: h.moveIn(cl.own), boxes: map[string]storage.MailboxID{}, ids: map[string]string{}}
	}
	for _, name := range []string{"Vault", "Desk", "Harbour", "Target"} {
		w.inVault(func(x *twin) error { _, err := x.who.account.Create(context.Background(), name, ""); return err })
	}
	for i := range letters {
		w.deliver(&letters[i])
	}
	for _, f := range [][2]string{{"wet", "OR SUBJECT boat TEXT quagga"}, {"dry", "NOT TEXT quagga"}} {
		w.inVault(func(x *twin) error {
			return x.who.account.Annotate(context.Background(), 0, []storage.Annotation{{Name: "/private/filters/values/" + f[0], Value: []byte(f[1])}})
		})
	}
	w.both(func(x *twin) error {
		for _, name := range []string{"INBOX", "Vault", "Desk", "Harbour"} {
			box, err := x.who.account.Mailbox(context.Background(), name)
			if err != nil {
				return err
			}
			x.boxes[name] = box.ID
		}
		conn, err := h.dial(h.open(cl.setup), "bound", x.who)
		if err != nil {
			return err
		}
		x.tls = newClient(conn)
		x.tls.line()
		x.tls.do("t", "LOGIN "+x.who.addr.String()+" "+secret)
		x.tls.do("t", "EXAMINE "+w.home)
		return x.tls.err
	})
	t.Cleanup(w.close)
	w.note()
	return w
}

// both does something to each twin past the session under test.
func (w *twins) both(do func(x *twin) error) {
	w.t.Helper()
	for _, x := range w.each {
		if err := do(x); err != nil {
			w.t.Fatalf("twin %d: %v\nafter %s", x.number, err, w.lately())
		}
	}
}

// inVault does something to each twin's mail at once: they wait for one flush.
func (w *twins) inVault(do func(x *twin) error) {
	w.t.Helper()
	var errs [2]error
	var done sync.WaitGroup
	for i, x := range w.each {
		done.Go(func() { errs[i] = do(x) })
	}
	done.Wait()
	w.both(func(x *twin) error { return errs[x.number] })
}

// enter begins a session of each twin.
func (w *twins) enter(m mode) {
	w.t.Helper()
	w.mode = m
	w.both(func(x *twin) error {
		if x.c != nil {
			x.c.close()
		}
		conn, err := w.h.dial(w.h.open(w.class.setup), w.class.door, x.who)
		if err != nil {
			return err
		}
		x.c = newClient(conn)
		x.c.line()
		return x.c.err
	})
	w.logIn("LOGIN <me> " + secret)
}

func (w *twins) close() {
	for _, x := range w.each {
		if x.c != nil {
			x.c.close()
		}
		x.tls.close()
	}
}

// logIn is what a new session begins with.
func (w *twins) logIn(command string) {
	w.t.Helper()
	w.must(command)
	if w.mode.compress {
		w.must("COMPRESS DEFLATE")
		w.both(func(x *twin) error { x.c.compress(); return x.c.err })
	}
	if w.mode.enable != "" {
		w.must("ENABLE " + w.mode.enable)
	}
	w.must("SELECT " + w.home)
}

// must gives a command to which nothing but OK will do.
func (w *twins) must(command string) {
	w.t.Helper()
	if status := w.ask(command)[0]; status != "OK" {
		w.t.Fatalf("%s: got %s, want OK", command, status)
	}
}

// ask gives commands, sent at once, and looks at the answers. It gives the status
// of each.
func (w *twins) ask(commands ...string) (status []string) {
	w.t.Helper()
	tags := make([]string, len(commands))
	var sent [2]strings.Builder
	for i, command := range commands {
		w.tag++
		tags[i] = fmt.Sprintf("a%d", w.tag)
		w.say(tags[i] + " " + command)
		for k, x := range w.each {
			sent[k].WriteString(tags[i] + " " + w.spell(x, command) + "\r\n")
		}
	}
	w.both(func(x *twin) error { x.c.send(sent[x.number].String()); return x.c.err })
	for i, command := range commands {
		var answers [2]string
		w.both(func(x *twin) error { answers[x.number] = x.c.until(tagged(tags[i])); return x.c.err })
		status = append(status, statusOf(answers[0], tags[i]))
		w.judge(command, answers)
		if status[i] == "OK" {
			w.ok[nameOf(command)]++
		}
	}
	return status
}

// statusOf is OK, NO or BAD.
func statusOf(answer, tag string) string {
	_, last, _ := strings.Cut("\r\n"+answer, "\r\n"+tag+" ")
	status, _, _ := strings.Cut(last, " ")
	return status
}

// nameOf is a command's name, without UID.
func nameOf(command string) string {
	words := strings.Fields(strings.ToUpper(command))
	if words[0] == "UID" {
		return words[1]
	}
	return words[0]
}

// judge looks at what came: nothing of content in it, nothing made of content.
func (w *twins) judge(command string, answers [2]string) {
	w.t.Helper()
	var plain [2]string
	for k, x := range w.each {
		plain[k] = x.plain(answers[k])
		if w.hidden() { // whoever is to be told whether there is room has to be told what is taken
			plain[k] = usage.ReplaceAllString(plain[k], "(STORAGE n ")
		}
		if found := contentIn(answers[k]); found != "" {
			if w.leaked++; !w.class.may {
				w.fail("%s\nlet content out, %s of twin %d:\n%s", command, found, k, answers[k])
			}
		}
	}
	if slices.Contains(looking, nameOf(command)) && !w.class.may {
		for k, x := range w.each {
			if line := w.reveals(x, answers[k]); line != "" {
				w.fail("%s\nshowed twin %d of a withheld letter more than is told of it:\n%s", command, k, line)
			}
		}
	}
	if plain[0] == plain[1] {
		return
	}
	if w.differs++; !w.class.may {
		w.fail("%s\nanswers tell of the content of withheld mail: the twins got\n%s\nand\n%s", command, plain[0], plain[1])
	}
}

func (w *twins) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Errorf("in a session that is %s, %s: %s\nthe commands before: %s", w.class.name, w.mode.name, fmt.Sprintf(format, args...), w.lately())
	if w.bad++; w.bad >= maxFailures {
		w.t.FailNow()
	}
}

// say notes what was said, for a failure to tell the end of it.
func (w *twins) say(command string) {
	if w.said = append(w.said, command); len(w.said) > 2*lastSaid {
		w.said = slices.Clone(w.said[lastSaid:])
	}
}

const lastSaid = 12

// lately is the last commands.
func (w *twins) lately() string { return strings.Join(w.said[max(0, len(w.said)-lastSaid):], "\n\t") }

var (
	objectID = regexp.MustCompile(`\b[0-9a-f]{16}\b`)
	validity = regexp.MustCompile(`\b[12]\d{9}\b`)
	saveDate = regexp.MustCompile(`SAVEDATE "[^"]*"`)
	usage    = regexp.MustCompile(`\((STORAGE \d+ )`)
)

// plain is an answer without what is different for every account: address,
// UIDVALIDITY, SAVEDATE, and object identifiers, which become the names under
// which they were met first.
func (x *twin) plain(answer string) string {
	answer = strings.ReplaceAll(answer, x.who.addr.Local, "me")
	answer = validity.ReplaceAllString(answer, "VALIDITY")
	answer = saveDate.ReplaceAllString(answer, "SAVEDATE")
	return objectID.ReplaceAllStringFunc(answer, func(id string) string {
		name, known := x.ids[id]
		if !known {
			name = fmt.Sprintf("id%d", len(x.ids))
			x.ids[id] = name
		}
		return name
	})
}

// spell puts in what hangs on the account; see commands.
func (w *twins) spell(x *twin, command string) string {
	if !strings.Contains(command, "<") {
		return command
	}
	v := w.view(x, w.home)
	tagged, open := w.numbers(v)
	shown := len(tagged) + len(open)
	if w.hidden() {
		shown = len(open)
	}
	t, o := pickNumber(tagged, w.tag), pickNumber(open, w.tag)
	inbox, _ := w.numbers(w.view(x, "INBOX"))
	vault, _ := w.numbers(w.view(x, "Vault"))
	text := strings.NewReplacer("<me>", x.who.addr.String(), "<validity>", fmt.Sprint(v.Mailbox().UIDValidity), "<modseq>", fmt.Sprint(max(v.Mailbox().Highest, 4)-3),
		"<seq>", fmt.Sprint(max(min(t.seq, shown), 1)), "<oseq>", fmt.Sprint(o.seq), "<uid>", fmt.Sprint(t.uid), "<ouid>", fmt.Sprint(o.uid),
		"<inbox>", fmt.Sprint(pickNumber(inbox, w.tag).uid), "<vault>", fmt.Sprint(pickNumber(vault, 0).uid)).Replace(command)
	if !strings.Contains(text, "<") {
		return text
	}
	// The first of INBOX is by its identifiers in no thread of an open letter.
	email, thread := w.identifiers(x, "INBOX", pickNumber(inbox, 0).uid)
	oemail, othread := w.identifiers(x, w.home, o.uid)
	return strings.NewReplacer("<email>", email, "<thread>", thread, "<oemail>", oemail, "<othread>", othread).Replace(text)
}

// numbers is the tagged and the open letters of a mailbox, as the session under
// test numbers them.
func (w *twins) numbers(v *storage.View) (tagged, open []number) {
	hidden := 0
	for i, e := range v.All(0, v.Len()) {
		if !e.Flags.Demand().IsRequired() {
			open = append(open, number{i + 1 - hidden, e.UID})
			continue
		}
		tagged = append(tagged, number{i + 1, e.UID})
		if w.hidden() {
			hidden++
		}
	}
	return tagged, open
}

// identifiers is EMAILID and THREADID of a letter.
func (w *twins) identifiers(x *twin, mailbox string, uid storage.UID) (email, thread string) {
	rows, err := x.who.account.Rows(context.Background(), x.boxes[mailbox], []storage.UID{uid})
	if err != nil || len(rows) != 1 {
		w.t.Fatalf("UID %d in %s of twin %d: %d rows, %v\nafter %s", uid, mailbox, x.number, len(rows), err, w.lately())
	}
	return rows[0].EmailID.String(), rows[0].ThreadID.String()
}

// number names a message both ways.
type number struct {
	seq int
	uid storage.UID
}

func pickNumber(list []number, n int) number {
	if len(list) == 0 {
		return number{1, 1}
	}
	return list[n/3%len(list)]
}

// warm has the session beside make the server keep whatever it keeps of content:
// of that, a session that may not read it must get nothing either.
func (w *twins) warm() {
	w.t.Helper()
	w.both(func(x *twin) error {
		for _, command := range []string{"NOOP", "SORT (SUBJECT FROM TO CC DISPLAYFROM DISPLAYTO DATE) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL", "SEARCH TEXT quagga", "ESEARCH IN (PERSONAL) BODY quagga"} {
			x.tls.do("t", command)
		}
		return x.tls.err
	})
}

// view is a mailbox as the vault has it.
func (w *twins) view(x *twin, name string) *storage.View {
	w.t.Helper()
	v, err := x.who.account.View(context.Background(), x.boxes[name])
	if err != nil {
		w.t.Fatalf("%s of twin %d: %v\nafter %s", name, x.number, err, w.lately())
	}
	return v
}

// tagged is what the vault says of a twin's tagged letters: where they are, by
// which numbers, with which flags.
func (w *twins) tagged(x *twin) string {
	w.t.Helper()
	boxes, err := x.who.account.Mailboxes(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	slices.SortFunc(boxes, func(a, b storage.Mailbox) int { return int(a.ID) - int(b.ID) }) // whatever they are called
	var all strings.Builder
	for _, box := range boxes {
		if box.Required == 0 {
			continue
		}
		v, err := x.who.account.View(context.Background(), box.ID)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range v.All(0, v.Len()) {
			if e.Flags.Demand().IsRequired() {
				fmt.Fprintf(&all, "mailbox %d uid %d modseq %d flags %b", box.ID, e.UID, e.ModSeq, e.Flags)
				for k, name := range v.Mailbox().Keywords {
					if e.Flags&storage.Keyword(k) != 0 {
						all.WriteString(" " + name)
					}
				}
				all.WriteString("\n")
			}
		}
	}
	return all.String()
}

// note takes down how the tagged letters are, after the tester itself has
// changed something.
func (w *twins) note() {
	for _, x := range w.each {
		x.before = w.tagged(x)
	}
}

// unchanged looks whether the tagged letters are as they were.
func (w *twins) unchanged() {
	w.t.Helper()
	if w.class.may {
		return
	}
	for _, x := range w.each {
		if now := w.tagged(x); now != x.before {
			w.fail("the withheld letters of twin %d changed: they were\n%sand are\n%s", x.number, x.before, now)
			x.before = now
		}
	}
}

// deliver files a letter of each twin's.
func (w *twins) deliver(l *letter) (uids [2]storage.UID) {
	w.t.Helper()
	w.inVault(func(x *twin) error {
		uid, err := w.h.file(x, l, w.class.hides)
		uids[x.number] = uid
		return err
	})
	if uids[0] != uids[1] {
		w.t.Fatalf("a letter to %s got UID %d and %d", l.mailbox, uids[0], uids[1])
	}
	return uids
}

// class is a kind of session under a policy.
type class struct {
	name string
	door string
	setup
	own *requiretls.Policy // the account's
	may bool               // read tagged mail
}

// home is the mailbox to be selected: INBOX, or, where that is refused, one
// without tagged letters.
func (c *class) home() string {
	if c.insecure == imapd.InsecureRefuse && !c.may {
		return "Desk"
	}
	return "INBOX"
}
