//go:build linux

package powercut

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage"
)

// world is what the two accounts of one worker hold after some of its
// operations. Operation n is the same every time: the child carries it out, and
// who checks what is left of the disk knows what it did.
type world struct {
	seed    uint64
	rnd     *rand.Rand
	done    int
	folders [2]map[string]*folder
	again   int // how often the last letter's folder gets another one
	last    operation
}

type folder struct {
	next storage.UID
	held []held
}

// held is one message in a folder.
type held struct {
	uid    storage.UID
	text   string
	flags  storage.Flags
	demand requiretls.Demand
}

var folderNames = []string{"INBOX", "Archive", "Trash"}

func newWorld(seed uint64) *world {
	w := &world{seed: seed, rnd: rand.New(rand.NewPCG(seed, 3))}
	for i := range w.folders {
		w.folders[i] = make(map[string]*folder)
		for _, name := range folderNames {
			w.folders[i][name] = &folder{next: 1}
		}
	}
	return w
}

func (f *folder) add(h held) {
	h.uid = f.next
	f.next++
	f.held = append(f.held, h)
}

// split tells the messages of uids from the others.
func (f *folder) split(uids []storage.UID) (in, out []held) {
	for _, h := range f.held {
		if slices.Contains(uids, h.uid) {
			in = append(in, h)
		} else {
			out = append(out, h)
		}
	}
	return in, out
}

// kind is what an operation does.
type kind int

const (
	deliver      kind = iota
	deliverForms      // of one letter: with another header in one folder, as it came in the other
	file
	flag
	duplicate
	move
	expunge
)

// operation is one change of a worker.
type operation struct {
	kind     kind
	who      int // whose folders; deliveries go to both
	from, to string
	uids     []storage.UID
	text     string
	demand   requiretls.Demand
	uid      storage.UID // that a letter which is filed is answered with
}

// next decides on the next operation; it is taken by [world.take].
func (w *world) next() operation {
	kinds := []kind{deliver, deliver, deliver, deliver, deliverForms, deliverForms, file, flag, flag, duplicate, move, expunge}
	op := operation{
		kind: kinds[w.rnd.IntN(len(kinds))], who: w.rnd.IntN(2),
		from: folderNames[w.rnd.IntN(3)], to: folderNames[w.rnd.IntN(3)],
		demand: requiretls.Usual(),
	}
	for _, h := range w.folders[op.who][op.from].held {
		if len(op.uids) < 40 && w.rnd.IntN(3) == 0 {
			op.uids = append(op.uids, h.uid)
		}
	}
	op.text = w.text()
	if w.again > 0 { // an upload: nothing else changes the folder between two letters
		w.again--
		op.kind, op.who, op.to = file, w.last.who, w.last.to
	} else if op.kind == file {
		w.again = w.rnd.IntN(12)
	}
	op.uid = w.folders[op.who][op.to].next
	if op.kind == deliver || op.kind == deliverForms {
		op.demand = []requiretls.Demand{requiretls.Usual(), requiretls.Required(), requiretls.Waived()}[w.rnd.IntN(3)]
	}
	return op
}

// text is a small letter mostly, now and then one that gets a file of its own.
func (w *world) text() string {
	line := fmt.Sprintf("letter %d of %d\r\n", w.done, w.seed)
	size := 1 + w.rnd.IntN(200)
	if w.rnd.IntN(150) == 0 {
		size = 1_300_000 / len(line)
	}
	return fmt.Sprintf("Message-ID: <%d.%d@powercut>\r\n\r\n", w.seed, w.done) + strings.Repeat(line, size)
}

// prefix is a recipient's own header.
func prefix(who int) string { return fmt.Sprintf("Delivered-To: p%d\r\n", who) }

// edited is the letter with another header field, as a rule would have it.
func (op operation) edited() string { return strings.Replace(op.text, "\r\n", "\r\nX-Form: 1\r\n", 1) }

// take is what the operation does to the folders.
func (w *world) take(op operation) {
	w.done++
	w.last = op
	from, to := w.folders[op.who][op.from], w.folders[op.who][op.to]
	in, out := from.split(op.uids)
	switch op.kind {
	case deliver:
		for i := range w.folders {
			w.folders[i][op.to].add(held{text: prefix(i) + op.text, demand: op.demand})
		}
	case deliverForms:
		for i := range w.folders {
			w.folders[i][op.to].add(held{text: prefix(i) + op.edited(), demand: op.demand})
			w.folders[i][op.from].add(held{text: prefix(i) + op.text, demand: op.demand})
		}
	case file:
		to.add(held{text: op.text, demand: op.demand})
	case flag:
		for i := range from.held {
			if slices.Contains(op.uids, from.held[i].uid) {
				from.held[i].flags = storage.Flagged
			}
		}
	case expunge:
		from.held = out
	case move:
		from.held = out
		fallthrough
	case duplicate:
		for _, h := range in {
			to.add(h)
		}
	}
}

// carryOut does the operation to a store; nil means it is durable.
func (op operation) carryOut(ctx context.Context, s *storage.Store, people [2]storage.AccountID) error {
	a := s.Account(people[op.who])
	if op.kind == deliver || op.kind == deliverForms {
		copies := []mail.Copy{{Mailbox: op.to}}
		if op.kind == deliverForms {
			edited := &mail.Variant{Body: body(op.edited()), Summary: summary(op.edited())}
			copies = []mail.Copy{{Mailbox: op.to, Variant: edited}, {Mailbox: op.from}}
		}
		var plans []mail.Delivery
		for i, id := range people {
			plans = append(plans, mail.Delivery{Account: uint64(id), Prefix: []byte(prefix(i)), Copies: copies})
		}
		return errors.Join(s.Commit(ctx, &mail.Envelope{Demand: op.demand}, body(op.text), summary(op.text), plans)...)
	}
	if op.kind == file {
		_, uids, err := a.Append(ctx, op.to, []storage.Letter{{Body: body(op.text), Summary: summary(op.text), Demand: op.demand}})
		if err == nil && !slices.Equal(uids, []storage.UID{op.uid}) {
			err = fmt.Errorf("answered UIDs %v, want %d", uids, op.uid)
		}
		return err
	}
	box, err := a.Mailbox(ctx, op.from)
	if err != nil {
		return err
	}
	switch op.kind {
	case flag:
		_, err = a.StoreFlags(ctx, box.ID, op.uids, storage.AddFlags, []string{`\Flagged`}, 0)
	case duplicate:
		_, err = a.Copy(ctx, box.ID, op.uids, op.to)
	case move:
		_, err = a.Move(ctx, box.ID, op.uids, op.to)
	case expunge:
		err = a.Expunge(ctx, box.ID, op.uids)
	}
	return err
}

func body(text string) mail.Body { return strings.NewReader(text) }

func summary(text string) *mail.Summary {
	head, _, _ := strings.Cut(text, "\r\n\r\n")
	id, _, _ := strings.Cut(head, "\r\n")
	return &mail.Summary{MessageID: strings.TrimPrefix(id, "Message-ID: "), Root: mail.Part{Body: int64(len(head) + 4), End: int64(len(text))}}
}

// differs says how a store differs from the world; "" is not at all. An error
// is a store that cannot be read.
func (w *world) differs(s *storage.Store, people [2]storage.AccountID) (string, error) {
	ctx := context.Background()
	for i, id := range people {
		a := s.Account(id)
		var count storage.Usage
		for _, name := range folderNames {
			m, err := a.Mailbox(ctx, name)
			if err != nil {
				return "", err
			}
			count.Bytes, count.Messages = count.Bytes+m.Size, count.Messages+uint64(m.Messages)
			diff, err := w.folders[i][name].differs(ctx, a, m)
			if diff != "" || err != nil {
				return fmt.Sprintf("account %d, %s: %s", i, name, diff), err
			}
		}
		if u, err := a.Usage(ctx); err != nil || u != count {
			return fmt.Sprintf("account %d: usage %+v, recounted %+v", i, u, count), err
		}
	}
	return "", nil
}

func (f *folder) differs(ctx context.Context, a *storage.Account, m storage.Mailbox) (string, error) {
	v, err := a.View(ctx, m.ID)
	if err != nil {
		return "", err
	}
	if v.Len() != len(f.held) || m.UIDNext != f.next || int(m.Messages) != len(f.held) {
		return fmt.Sprintf("%d messages, counted %d, UIDNEXT %d; want %d and %d", v.Len(), m.Messages, m.UIDNext, len(f.held), f.next), nil
	}
	for i, e := range v.All(0, v.Len()) {
		want := f.held[i]
		if e.UID != want.uid || e.Flags&storage.Flagged != want.flags || e.Flags.Demand() != want.demand {
			return fmt.Sprintf("message %d is %+v, %v; want UID %d, %v, %v", i, e, e.Flags.Demand(), want.uid, want.flags, want.demand), nil
		}
		if diff, err := want.differs(ctx, a, m.ID); diff != "" || err != nil {
			return fmt.Sprintf("UID %d: %s", want.uid, diff), err
		}
	}
	return "", nil
}

// differs reads the message, which verifies its checksum, and looks at row and
// octets.
func (h held) differs(ctx context.Context, a *storage.Account, box storage.MailboxID) (string, error) {
	rows, err := a.Rows(ctx, box, []storage.UID{h.uid})
	if err != nil || len(rows) != 1 {
		return fmt.Sprintf("%d rows", len(rows)), err
	}
	if rows[0].Demand != h.demand {
		return fmt.Sprintf("demand %v, want %v", rows[0].Demand, h.demand), nil
	}
	release, err := h.demand.Release(requiretls.Reader{TLS: true}, requiretls.PolicyTLS)
	if err != nil {
		return "", err
	}
	msg, err := a.Message(ctx, box, h.uid, release)
	if err != nil {
		return "", err
	}
	defer msg.Close()
	text, err := io.ReadAll(io.NewSectionReader(msg, 0, msg.Size()))
	if err == nil && string(text) != h.text {
		return fmt.Sprintf("other octets: %d, want %d", len(text), len(h.text)), nil
	}
	return "", err
}
