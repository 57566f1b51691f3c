package storage

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage/kv"
)

// strictly wraps the index so that misuse of it shows.
func strictly(e kv.Engine) kv.Engine {
	return kv.Strict(e, func(key []byte) int {
		if keyAccountOf(key) == systemAccount {
			switch key[8] {
			case keyMark, keyDeadBytes, keyReap, keyOut, keyOutText, keyDue, keyNextOut:
				return -1
			}
		}
		return placeAccount(keyAccountOf(key), e.Shards())
	})
}

// plain is the model: an account as lists.
type plain struct {
	boxes map[string]*plainBox
}

type plainBox struct {
	id       MailboxID
	validity uint32
	uidnext  UID
	highest  ModSeq
	messages []plainMessage
	notes    map[string]string
}

type plainMessage struct {
	uid    UID
	text   string
	demand requiretls.Demand
	flags  []string // sorted
	email  ObjectID // 0: not asked yet
}

func (p *plain) names() (names []string) {
	for name := range p.boxes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// machine drives a store and the model side by side.
type machine struct {
	dir    string
	store  *Store
	person Person
	model  plain
	n      int // letters made

	scripts  map[string]string
	active   string
	leaving  map[string]bool // as outbox shows it
	memories map[byte]bool
	shown    map[string]shownAs
}

// shownAs is the UIDVALIDITY a name showed last, and of which mailbox.
type shownAs struct {
	validity uint32
	id       MailboxID
}

func (m *machine) open(t *rapid.T) {
	var err error
	if m.store, err = Open(m.dir, Options{Shards: 2, SegmentSize: 1 << 20, wrap: strictly}); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) account() *Account { return m.store.Account(m.person.ID) }

func (m *machine) demand(t *rapid.T) requiretls.Demand {
	return rapid.SampledFrom([]requiretls.Demand{requiretls.Usual(), requiretls.Required(), requiretls.Waived()}).Draw(t, "demand")
}

func (m *machine) flags(t *rapid.T) []string {
	flags := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{`\Seen`, `\Deleted`, `\Flagged`, "$Junk", "work"}), 0, 3, rapid.ID).Draw(t, "flags")
	slices.Sort(flags)
	return flags
}

func (m *machine) pickBox(t *rapid.T, label string) (string, *plainBox) {
	name := rapid.SampledFrom(m.model.names()).Draw(t, label)
	return name, m.model.boxes[name]
}

func (m *machine) pickUIDs(t *rapid.T, b *plainBox) []UID {
	uids := rapid.SliceOfNDistinct(rapid.UintRange(1, uint(b.uidnext)+2), 0, 8, rapid.ID).Draw(t, "uids")
	var all []UID
	for _, u := range uids {
		all = append(all, UID(u))
	}
	slices.Sort(all)
	return all
}

func (b *plainBox) add(p plainMessage) UID {
	p.uid = b.uidnext
	b.uidnext++
	b.messages = append(b.messages, p)
	return p.uid
}

func (b *plainBox) split(uids []UID) (in, out []plainMessage) {
	for _, p := range b.messages {
		if slices.Contains(uids, p.uid) {
			in = append(in, p)
		} else {
			out = append(out, p)
		}
	}
	return in, out
}

func (m *machine) letter() (mail.Body, *mail.Summary, string) {
	m.n++
	b, sum := letter(fmt.Sprint("letter", m.n))
	var text bytes.Buffer
	if _, err := text.ReadFrom(b.(body)); err != nil {
		panic(err)
	}
	return newBody(text.String()), sum, text.String()
}

func (m *machine) Deliver(t *rapid.T) {
	name, box := m.pickBox(t, "into")
	d, flags := m.demand(t), m.flags(t)
	b, sum, text := m.letter()
	plans := plansFor(name, m.person.ID)
	plans[0].Copies[0].Flags = flags
	if errs := m.store.Commit(context.Background(), &mail.Envelope{Demand: d}, b, sum, plans); errs[0] != nil {
		t.Fatal(errs[0])
	}
	box.add(plainMessage{text: string(plans[0].Prefix) + text, demand: d, flags: flags})
}

// Send is a delivery of which something leaves, with a copy or without.
func (m *machine) Send(t *rapid.T) {
	name, box := m.pickBox(t, "into")
	d, filed := m.demand(t), rapid.Bool().Draw(t, "filed")
	b, sum, text := m.letter()
	env := &mail.Envelope{ID: "x", From: elsewhere("sender"), Demand: d}
	to := fmt.Sprint("to", m.n)
	o := env.Redirect(mail.Redirect{To: elsewhere(to), Prefix: []byte("X: y\r\n")})
	if rapid.Bool().Draw(t, "raised") {
		o.Raise()
	}
	plans := plansFor(name, m.person.ID)
	plans[0].Remember = []mail.Memory{{Key: [32]byte{byte(m.n)}, Until: far}}
	if !filed {
		plans[0].Copies = nil
	}
	plans[0].Outbound = []*mail.Outbound{o}
	if errs := m.store.Commit(context.Background(), env, b, sum, plans); errs[0] != nil {
		t.Fatal(errs[0])
	}
	m.memories[byte(m.n)] = true
	m.leaving[fmt.Sprintf("%s %s X: y\r\n%s", to, o.Demand(), text)] = true
	if filed {
		box.add(plainMessage{text: string(plans[0].Prefix) + text, demand: d})
	}
}

// Settle ends a row.
func (m *machine) Settle(t *rapid.T) {
	rows := m.due(t)
	if len(rows) == 0 {
		return
	}
	row := rapid.SampledFrom(rows).Draw(t, "row")
	what := m.leaves(t, row.ID)
	if err := m.store.SettleOut(context.Background(), row.ID, OutSettlement{End: Ended}); err != nil {
		t.Fatal(err)
	}
	if !m.leaving[what] {
		t.Fatalf("%q left and is not in the model", what)
	}
	delete(m.leaving, what)
}

func (m *machine) due(t *rapid.T) []OutRow {
	for _, sh := range m.store.shards {
		if err := sh.drain(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	rows, _, err := m.store.DueOut(context.Background(), far, 1<<20, all)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func (m *machine) leaves(t *rapid.T, id OutID) string {
	l, err := m.store.OpenOut(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r, _ := l.Reader(l.Body, mail.FullForm)
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s %s %s", l.To.Local, l.Outbound.Demand(), text)
}

// Script changes a script in one of four ways.
func (m *machine) Script(t *rapid.T) {
	ctx, a := context.Background(), m.account()
	names := rapid.SampledFrom([]string{"one", "two", "three"})
	name, other := names.Draw(t, "name"), names.Draw(t, "other")
	_, there := m.scripts[name]
	_, taken := m.scripts[other]
	want := error(nil)
	if !there {
		want = ErrNotFound
	}
	var err error
	switch rapid.SampledFrom([]string{"put", "activate", "delete", "rename", "none"}).Draw(t, "how") {
	case "put":
		m.n++
		text := strings.Repeat(fmt.Sprint(m.n, "\n"), 1+m.n%3*15000)
		err, want = a.PutScript(ctx, name, []byte(text), nil), nil
		m.scripts[name] = text
	case "activate":
		if err = a.ActivateScript(ctx, name); there {
			m.active = name
		}
	case "delete":
		if err = a.DeleteScript(ctx, name); there && name == m.active {
			want = ErrActive
		} else {
			delete(m.scripts, name)
		}
	case "rename":
		err = a.RenameScript(ctx, name, other)
		switch {
		case !there || name == other:
		case taken:
			want = ErrExists
		default:
			m.scripts[other] = m.scripts[name]
			delete(m.scripts, name)
			if m.active == name {
				m.active = other
			}
		}
	case "none":
		err, want, m.active = a.ActivateScript(ctx, ""), nil, ""
	}
	if !errors.Is(err, want) {
		t.Fatalf("script %s: %v, want %v", name, err, want)
	}
}

func (m *machine) checkRest(t *rapid.T) {
	ctx, a := context.Background(), m.account()
	list, err := a.Scripts(ctx)
	if err != nil || len(list) != len(m.scripts) {
		t.Fatalf("scripts %+v, %v, want %d", list, err, len(m.scripts))
	}
	for _, s := range list {
		_, text, err := a.Script(ctx, s.Name, nil)
		if want, there := m.scripts[s.Name]; err != nil || !there || string(text) != want || s.Active != (s.Name == m.active) {
			t.Fatalf("script %+v with %d octets, %v; %q is active", s, len(text), err, m.active)
		}
	}
	rows := m.due(t)
	for _, row := range rows {
		if what := m.leaves(t, row.ID); !m.leaving[what] {
			t.Fatalf("%q leaves and is not in the model", what)
		}
	}
	if len(rows) != len(m.leaving) {
		t.Fatalf("%d rows, want %d", len(rows), len(m.leaving))
	}
	for n := range m.memories {
		if _, ok, err := a.Remembered(ctx, [32]byte{n}); !ok || err != nil {
			t.Fatalf("memory %d: %v, %v", n, ok, err)
		}
	}
}

func (m *machine) Append(t *rapid.T) {
	name, box := m.pickBox(t, "into")
	flags := m.flags(t)
	var letters []Letter
	var want []UID
	for range rapid.IntRange(1, 3).Draw(t, "letters") {
		b, sum, text := m.letter()
		letters = append(letters, Letter{Body: b, Summary: sum, Flags: flags, Demand: requiretls.Usual()})
		want = append(want, box.add(plainMessage{text: text, demand: requiretls.Usual(), flags: flags}))
	}
	validity, uids, err := m.account().Append(context.Background(), name, letters)
	if err != nil || !slices.Equal(uids, want) || validity != box.validity {
		t.Fatalf("append answered %v of %d, %v, want %v of %d", uids, validity, err, want, box.validity)
	}
}

// Replace puts a letter in the place of a message, or hears that it has gone.
func (m *machine) Replace(t *rapid.T) {
	_, from := m.pickBox(t, "from")
	name, to := m.pickBox(t, "into")
	uid := UID(rapid.UintRange(1, uint(from.uidnext)).Draw(t, "uid"))
	b, sum, text := m.letter()
	validity, got, err := m.account().Replace(context.Background(), from.id, uid, name, Letter{Body: b, Summary: sum, Demand: requiretls.Usual()})
	in, rest := from.split([]UID{uid})
	if len(in) == 0 {
		if !errors.Is(err, ErrExpunged) {
			t.Fatalf("replaced UID %d, which is not there: %v", uid, err)
		}
		return
	}
	demand := requiretls.Usual()
	if in[0].demand.IsRequired() {
		demand = in[0].demand
	}
	from.messages = rest
	if want := to.add(plainMessage{text: text, demand: demand}); err != nil || got != want || validity != to.validity {
		t.Fatalf("replaced as UID %d of %d, %v, want %d of %d", got, validity, err, want, to.validity)
	}
}

// Annotate sets an annotation, or takes it away.
func (m *machine) Annotate(t *rapid.T) {
	_, box := m.pickBox(t, "of")
	name := rapid.SampledFrom([]string{"/private/a", "/private/a/b", "/shared/c"}).Draw(t, "entry")
	var value []byte
	if rapid.Bool().Draw(t, "set") {
		value = bytes.Repeat([]byte{'x'}, rapid.SampledFrom([]int{0, 1, notePart, notePart + 1, MaxAnnotation}).Draw(t, "octets"))
	}
	if err := m.account().Annotate(context.Background(), box.id, []Annotation{{name, value}}); err != nil {
		t.Fatal(err)
	}
	if box.notes == nil {
		box.notes = make(map[string]string)
	}
	if box.notes[name] = string(value); value == nil {
		delete(box.notes, name)
	}
}

func (m *machine) Store(t *rapid.T) {
	_, box := m.pickBox(t, "in")
	uids, flags := m.pickUIDs(t, box), m.flags(t)
	op := rapid.SampledFrom([]FlagOp{AddFlags, RemoveFlags, ReplaceFlags}).Draw(t, "op")
	if _, err := m.account().StoreFlags(context.Background(), box.id, uids, op, flags, 0); err != nil {
		t.Fatal(err)
	}
	for i := range box.messages {
		p := &box.messages[i]
		if !slices.Contains(uids, p.uid) {
			continue
		}
		switch op {
		case AddFlags:
			p.flags = slices.Concat(p.flags, flags)
		case RemoveFlags:
			p.flags = slices.DeleteFunc(slices.Clone(p.flags), func(f string) bool { return slices.Contains(flags, f) })
		case ReplaceFlags:
			p.flags = flags
		}
		p.flags = slices.Clone(p.flags)
		slices.Sort(p.flags)
		p.flags = slices.Compact(p.flags)
	}
}

func (m *machine) Expunge(t *rapid.T) {
	_, box := m.pickBox(t, "in")
	uids := m.pickUIDs(t, box)
	if err := m.account().Expunge(context.Background(), box.id, uids); err != nil {
		t.Fatal(err)
	}
	_, box.messages = box.split(uids)
}

func (m *machine) transfer(t *rapid.T, move func(context.Context, MailboxID, []UID, string) (Copied, error)) (gone []UID, from *plainBox) {
	_, from = m.pickBox(t, "from")
	name, to := m.pickBox(t, "to")
	uids := m.pickUIDs(t, from)
	done, err := move(context.Background(), from.id, uids, name)
	if err != nil {
		t.Fatal(err)
	}
	in, _ := from.split(uids)
	want := Copied{UIDValidity: to.validity}
	for _, p := range in {
		want.From = append(want.From, p.uid)
		want.To = append(want.To, to.add(p))
	}
	if fmt.Sprint(done) != fmt.Sprint(want) {
		t.Fatalf("answered %+v, want %+v", done, want)
	}
	return want.From, from
}

func (m *machine) Copy(t *rapid.T) { m.transfer(t, m.account().Copy) }

func (m *machine) Move(t *rapid.T) {
	gone, from := m.transfer(t, m.account().Move)
	_, from.messages = from.split(gone)
}

func (m *machine) Create(t *rapid.T) {
	name := rapid.SampledFrom([]string{"A", "B", "A/C"}).Draw(t, "name")
	_, err := m.account().Create(context.Background(), name, "")
	if _, there := m.model.boxes[name]; there != errors.Is(err, ErrExists) || !there && err != nil {
		t.Fatalf("create %s: %v", name, err)
	}
	m.learn(t)
}

// learn takes over ids of mailboxes the model does not have.
func (m *machine) learn(t *rapid.T) {
	all, err := m.account().Mailboxes(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range all {
		if m.model.boxes[b.Name] == nil {
			m.model.boxes[b.Name] = &plainBox{id: b.ID, validity: b.UIDValidity, uidnext: b.UIDNext, highest: b.Highest}
		}
	}
}

// outgrown takes over a UIDVALIDITY that grew with the name.
func (m *machine) outgrown(t *rapid.T) {
	all, err := m.account().Mailboxes(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range all {
		if want := m.model.boxes[b.Name]; b.UIDValidity > want.validity {
			want.validity = b.UIDValidity
		}
	}
}

func (m *machine) Delete(t *rapid.T) {
	name, _ := m.pickBox(t, "which")
	err := m.account().Delete(context.Background(), name)
	if (name == inbox) != errors.Is(err, ErrBadName) || name != inbox && err != nil {
		t.Fatalf("delete %s: %v", name, err)
	}
	if name != inbox {
		delete(m.model.boxes, name)
	}
}

func (m *machine) Rename(t *rapid.T) {
	from, _ := m.pickBox(t, "from")
	to := rapid.SampledFrom([]string{"A", "D", "E/F"}).Draw(t, "to")
	taken := strings.HasPrefix(to, from+"/")
	for name := range m.model.boxes {
		if rest, ok := strings.CutPrefix(name, from); ok && (rest == "" || rest[0] == '/') {
			taken = taken || m.model.boxes[to+rest] != nil
		}
	}
	if from == inbox || taken {
		return // told by tests of their own
	}
	if err := m.account().Rename(context.Background(), from, to); err != nil {
		t.Fatalf("rename %s to %s: %v", from, to, err)
	}
	next := make(map[string]*plainBox)
	for name, b := range m.model.boxes {
		if rest, ok := strings.CutPrefix(name, from); ok && (rest == "" || rest[0] == '/') {
			name = to + rest
		}
		next[name] = b
	}
	m.model.boxes = next
	m.learn(t)
	m.outgrown(t)
}

func (m *machine) Reopen(t *rapid.T) {
	if err := m.store.Close(); err != nil {
		t.Fatal(err)
	}
	m.open(t)
}

func (m *machine) Reap(t *rapid.T) {
	if err := errors.Join(m.store.reap(context.Background()), m.store.collect(context.Background(), 1, 1<<30)); err != nil {
		t.Fatal(err)
	}
}

// Check compares everything a client can see.
func (m *machine) Check(t *rapid.T) {
	ctx, a := context.Background(), m.account()
	all, err := a.Mailboxes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	var total Usage
	for _, b := range all {
		names = append(names, b.Name)
		m.checkBox(t, b)
		total.Bytes += b.Size
		total.Messages += uint64(b.Messages)
	}
	if !slices.Equal(names, m.model.names()) {
		t.Fatalf("mailboxes %q, want %q", names, m.model.names())
	}
	m.checkRest(t)
	for name, want := range m.model.boxes {
		list, err := a.Annotations(ctx, want.id, nil, DepthZero)
		list = besideUse(list)
		if err != nil || len(list) != len(want.notes) {
			t.Fatalf("%s: %d annotations, %v, want %d", name, len(list), err, len(want.notes))
		}
		for _, e := range list {
			if value, there := want.notes[e.Name]; !there || value != string(e.Value) {
				t.Fatalf("%s: annotation %s has %d octets, want %d", name, e.Name, len(e.Value), len(value))
			}
		}
	}
	if u, err := a.Usage(ctx); err != nil || u != total {
		t.Fatalf("usage %+v, %v, the mailboxes hold %+v", u, err, total)
	}
}

func (m *machine) checkBox(t *rapid.T, b Mailbox) {
	ctx, a, want := context.Background(), m.account(), m.model.boxes[b.Name]
	if want == nil {
		t.Fatalf("mailbox %s is not in the model", b.Name)
	}
	if b.ID != want.id || b.UIDValidity != want.validity || b.UIDNext != want.uidnext || b.Highest < want.highest {
		t.Fatalf("mailbox %+v, want %+v", b, want)
	}
	want.highest = b.Highest
	// RFC 9051 §2.3.1.1: under one name another mailbox shows a greater one.
	if was, ok := m.shown[b.Name]; ok && was.id != b.ID && b.UIDValidity <= was.validity {
		t.Fatalf("%s showed UIDVALIDITY %d of mailbox %d, and now %d of mailbox %d", b.Name, was.validity, was.id, b.UIDValidity, b.ID)
	}
	m.shown[b.Name] = shownAs{b.UIDValidity, b.ID}
	v, err := a.View(ctx, b.ID)
	if err != nil || v.Len() != len(want.messages) {
		t.Fatalf("%s: %d messages, %v, want %d", b.Name, v.Len(), err, len(want.messages))
	}
	rows, err := a.Rows(ctx, b.ID, uidsOf(v))
	if err != nil || len(rows) != v.Len() {
		t.Fatalf("%s: %d rows of %d, %v", b.Name, len(rows), v.Len(), err)
	}
	recount := Mailbox{ID: b.ID}
	for i, e := range v.All(0, v.Len()) {
		p := &want.messages[i]
		flags := (&box{Mailbox: b}).wordsOf(e.Flags)
		for name, bit := range systemFlagNames {
			if e.Flags&bit != 0 {
				flags = append(flags, `\`+strings.ToUpper(name[1:2])+name[2:])
			}
		}
		slices.Sort(flags)
		if e.UID != p.uid || !slices.Equal(flags, p.flags) || rows[i].Demand != p.demand || e.ModSeq > b.Highest {
			t.Fatalf("%s, message %d: %+v, flags %q, demand %v, want %+v", b.Name, i, e, flags, rows[i].Demand, p)
		}
		if p.email == 0 {
			p.email = rows[i].EmailID
		}
		if p.email != rows[i].EmailID {
			t.Fatalf("%s, message %d: another EMAILID", b.Name, i)
		}
		counted := box{Mailbox: recount}
		counted.count(&entry{flags: e.Flags, size: uint64(rows[i].Size)}, 1)
		recount = counted.Mailbox
	}
	if recount.Messages != b.Messages || recount.Unseen != b.Unseen || recount.Deleted != b.Deleted || recount.Size != b.Size || recount.Required != b.Required {
		t.Fatalf("%s: counters %+v, a recount says %+v", b.Name, b, recount)
	}
	if n := len(want.messages); n > 0 {
		m.checkText(t, b, want.messages[m.n%n])
	}
}

func (m *machine) checkText(t *rapid.T, b Mailbox, p plainMessage) {
	rel, err := p.demand.Release(requiretls.Reader{TLS: true}, requiretls.PolicyTLS)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := m.account().Message(context.Background(), b.ID, p.uid, rel)
	if err != nil {
		t.Fatalf("%s, UID %d: %v", b.Name, p.uid, err)
	}
	defer msg.Close()
	text := make([]byte, msg.Size())
	if _, err := msg.ReadAt(text, 0); err != nil || string(text) != p.text {
		t.Fatalf("%s, UID %d: %q, %v, want %q", b.Name, p.uid, text, err, p.text)
	}
}

func TestRandomOperationsAgainstAPlainModel(t *testing.T) {
	// Twenty runs in a plain test; -rapid.checks says otherwise.
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		if err := f.Value.Set("20"); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		m := &machine{
			dir: t.TempDir(), model: plain{make(map[string]*plainBox)},
			scripts: make(map[string]string), leaving: make(map[string]bool), memories: make(map[byte]bool), shown: make(map[string]shownAs),
		}
		m.open(rt)
		defer func() {
			if err := m.store.Close(); err != nil {
				rt.Fatal(err)
			}
		}()
		var err error
		if m.person, err = m.store.AddPerson(context.Background(), mail.Address{Local: "ann", Domain: "example.org"}, nil); err != nil {
			rt.Fatal(err)
		}
		m.learn(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"deliver": m.Deliver, "append": m.Append, "store": m.Store, "expunge": m.Expunge, "copy": m.Copy,
			"move": m.Move, "create": m.Create, "delete": m.Delete, "rename": m.Rename, "reopen": m.Reopen,
			"reap": m.Reap, "send": m.Send, "settle": m.Settle, "script": m.Script,
			"replace": m.Replace, "annotate": m.Annotate, "": m.Check,
		})
	})
}
