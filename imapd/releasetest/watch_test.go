package releasetest

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"letterlock/internal/mime"
	"letterlock/internal/requiretls"
	"letterlock/storage"
)

// traces is what the content of tagged letters looks like on its way: the markers
// in lower case, their dates, and base64 at any alignment.
var traces = func() (list []string) {
	for _, m := range markers {
		list = append(list, m)
		for _, form := range []string{m, strings.ToUpper(m), strings.ToUpper(m[:1]) + m[1:]} {
			for _, front := range []string{"", "x", "xx"} {
				text := base64.StdEncoding.EncodeToString([]byte(front + form + "xx"))
				list = append(list, text[(len(front)*8+5)/6:(len(front)+len(form))*8/6])
			}
		}
	}
	return append(list, "feb 1987", "feb-1987", "may 1999", "may-1999")
}()

var (
	softBreak = regexp.MustCompile(`=[ \t]*\r?\n`)
	qpOctet   = regexp.MustCompile(`=([0-9A-Fa-f]{2})`)
)

// contentIn finds a trace in what came, as it stands or in any encoding.
func contentIn(answer string) string {
	forms := []string{answer, strings.ToLower(answer)}
	if strings.Contains(answer, "=") {
		forms = append(forms, strings.ToLower(decodeQP(answer)))
	}
	if strings.Contains(answer, "%") {
		if text, err := url.PathUnescape(regexp.MustCompile(`%[^0-9A-Fa-f]`).ReplaceAllString(answer, "")); err == nil {
			forms = append(forms, strings.ToLower(text))
		}
	}
	forms = append(forms, strings.NewReplacer("\r", "", "\n", "").Replace(answer))
	for _, form := range forms {
		for _, trace := range traces {
			if strings.Contains(form, trace) {
				return trace
			}
		}
	}
	return ""
}

func decodeQP(text string) string {
	text = softBreak.ReplaceAllString(text, "")
	return qpOctet.ReplaceAllStringFunc(text, func(m string) string {
		const digits = "0123456789ABCDEF"
		m = strings.ToUpper(m)
		return string([]byte{byte(strings.IndexByte(digits, m[1])<<4 | strings.IndexByte(digits, m[2]))})
	})
}

// file puts a letter into a twin's mailbox. Where tagged mail is hidden
// altogether, its size, date and flags hang on the twin too.
func (h *house) file(x *twin, l *letter, hidden bool) (storage.UID, error) {
	shift, date, flags := 0, noon, l.flags
	if hidden && l.tagged && x.number == 1 {
		shift, date, flags = 5000, noon.Add(-100*time.Hour), []string{`\Seen`, `\Draft`, "numbat"}
	}
	demand := requiretls.Usual()
	if l.tagged {
		demand = requiretls.Required()
	}
	body := bytes.NewReader([]byte(l.octetsOf(x.number, shift)))
	summary, err := mime.Summarize(body)
	if err != nil {
		return 0, err
	}
	_, uids, err := x.who.account.Append(context.Background(), l.mailbox, []storage.Letter{{Body: body, Summary: summary, Flags: flags, InternalDate: date, Demand: demand}})
	if err != nil {
		return 0, err
	}
	// Shown before the next one comes: mod-sequences tell what was filed together.
	_, err = x.who.account.Mailbox(context.Background(), l.mailbox)
	return uids[0], err
}

// restore puts back what commands have taken away or added, past the session: the
// names of the mailboxes with tagged letters, the open letters, the other
// mailboxes.
func (w *twins) restore() {
	w.t.Helper()
	w.inVault(func(x *twin) error {
		account, ctx := x.who.account, context.Background()
		boxes, err := account.Mailboxes(ctx)
		if err != nil {
			return err
		}
		for _, box := range boxes {
			for name, id := range x.boxes {
				if box.ID == id && box.Name != name {
					if err := w.makeWay(x, name); err != nil {
						return err
					}
					if err := account.Rename(ctx, box.Name, name); err != nil {
						return err
					}
				}
			}
		}
		return w.tidy(x)
	})
	for name := range w.each[0].boxes {
		w.refill(name)
	}
	w.note()
	w.ask("NOOP") // from here on the session has the numbers of the vault
}

// makeWay deletes what has a name that is wanted.
func (w *twins) makeWay(x *twin, name string) error {
	if _, err := x.who.account.Mailbox(context.Background(), name); err != nil {
		return nil
	}
	return x.who.account.Delete(context.Background(), name)
}

// tidy deletes mailboxes that were made, and makes those anew that were deleted.
func (w *twins) tidy(x *twin) error {
	account, ctx := x.who.account, context.Background()
	boxes, err := account.Mailboxes(ctx)
	if err != nil {
		return err
	}
	usual := []string{"INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash", "Vault", "Desk", "Harbour"}
	slices.SortFunc(boxes, func(a, b storage.Mailbox) int { return len(b.Name) - len(a.Name) }) // what is below others first
	there := map[string]bool{}
	for _, box := range boxes {
		if slices.Contains(usual, box.Name) || box.Name == "Target" && box.Messages == 0 || box.Required > 0 && !w.class.may {
			there[box.Name] = true
			continue
		}
		if err := account.Delete(ctx, box.Name); err != nil {
			return err
		}
	}
	for _, name := range []string{"Harbour", "Target"} {
		if there[name] {
			continue
		}
		made, err := account.Create(ctx, name, "")
		if err != nil {
			return err
		}
		if name == "Harbour" {
			x.boxes[name] = made.ID
		}
	}
	return nil
}

// refill makes the open letters of a mailbox those that were there at first,
// where they are not.
func (w *twins) refill(name string) {
	w.t.Helper()
	want := 0
	for i := range letters {
		if letters[i].mailbox == name && !letters[i].tagged {
			want++
		}
	}
	v := w.view(w.each[0], name)
	if v.Len()-int(v.Mailbox().Required) == want {
		return
	}
	w.inVault(func(x *twin) error {
		var open []storage.UID
		v := w.view(x, name)
		for _, e := range v.All(0, v.Len()) {
			if !e.Flags.Demand().IsRequired() {
				open = append(open, e.UID)
			}
		}
		if len(open) == 0 {
			return nil
		}
		return x.who.account.Expunge(context.Background(), v.Mailbox().ID, open)
	})
	for i := range letters {
		if letters[i].mailbox == name && !letters[i].tagged {
			w.deliver(w.anotherOf(&letters[i]))
		}
	}
}

const numbersAndSizes = "FETCH 1:* (UID FLAGS RFC822.SIZE INTERNALDATE EMAILID)"

// agrees compares numbers, flags, sizes and dates with those of a session over
// TLS: all of them, or, where tagged mail is hidden, those of what is not tagged.
func (w *twins) agrees() {
	w.t.Helper()
	w.ask("NOOP")
	for _, x := range w.each {
		x.c.send("agree " + numbersAndSizes + "\r\n")
		got := fetchLines(x.c.until(tagged("agree")))
		x.tls.do("t", "NOOP")
		want := fetchLines(x.tls.do("t", numbersAndSizes))
		if x.c.err != nil || x.tls.err != nil {
			w.t.Fatalf("%v, %v after %s", x.c.err, x.tls.err, w.lately())
		}
		if w.class.hides && !w.class.may {
			want = slices.DeleteFunc(want, func(line string) bool { return strings.Contains(line, "$RequireTLS") })
			for i := range want {
				want[i] = leadingNumber.ReplaceAllString(want[i], "* "+itoa(i+1))
			}
		}
		if !slices.Equal(got, want) {
			w.fail("twin %d sees\n%s\nand over TLS\n%s", x.number, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

var leadingNumber = regexp.MustCompile(`^\* \d+`)

// fetchLines is the FETCH responses of an answer, without \Recent, which is of a
// session, and in the order of numbers.
func fetchLines(answer string) (lines []string) {
	for line := range strings.SplitSeq(answer, "\r\n") {
		if strings.HasPrefix(line, "* ") && strings.Contains(line, " FETCH (") {
			line = strings.NewReplacer(` \Recent`, "", `\Recent `, "", `\Recent`, "").Replace(line)
			lines = append(lines, line)
		}
	}
	return lines
}

// sameOctets compares the tagged letters, as a session over TLS gets them, with
// those that were filed.
func (w *twins) sameOctets() {
	w.t.Helper()
	for _, x := range w.each {
		answer := ""
		for _, name := range []string{"INBOX", "Vault", "Desk", "Kept"} {
			x.tls.do("t", "EXAMINE "+name)
			answer += x.tls.do("t", "UID FETCH 1:* (FLAGS BODY.PEEK[])")
		}
		x.tls.do("t", "EXAMINE "+w.home)
		for i := range letters {
			l := &letters[i]
			shift := 0
			if w.class.hides && x.number == 1 {
				shift = 5000
			}
			if l.tagged && !strings.Contains(answer, l.octetsOf(x.number, shift)+")\r\n") {
				w.fail("letter %d of twin %d is not what it was, over TLS comes\n%s", i, x.number, answer)
			}
		}
	}
}

// told is a FETCH response with nothing in it but what is told of every message.
var told = regexp.MustCompile(`^\* \d+ FETCH \(((UID \d+|FLAGS \([^)]*\)|MODSEQ \(\d+\)|INTERNALDATE "[^"]*"|RFC822\.SIZE \d+|EMAILID \([0-9a-f]+\)|SAVEDATE "[^"]*")( |\)$))+$`)

var numbered = regexp.MustCompile(`^\* (\d+) FETCH \((?:UID (\d+))?`)

// reveals finds a FETCH response of a withheld letter that has an item of content
// in it, empty or not. Where the session hides such letters, any.
func (w *twins) reveals(x *twin, answer string) string {
	if x.boxes[w.at] == 0 {
		return "" // none of those with tagged letters
	}
	tagged, _ := w.numbers(w.view(x, w.at))
	for line := range strings.SplitSeq(answer, "\r\n") {
		m := numbered.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		for _, t := range tagged {
			its := m[2] == itoa(int(t.uid)) || m[2] == "" && m[1] == itoa(t.seq) && !w.hidden()
			if its && (w.hidden() || !told.MatchString(line)) {
				return line
			}
		}
	}
	return ""
}
