package storage

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// Annotation is an entry of RFC 5464: a name below /private or /shared, kept in
// lower case since names are told apart without it (§3.1), and a value.
type Annotation struct {
	Name  string
	Value []byte // any octets; nil takes the entry away
}

// Depth says which entries below a name are meant too (RFC 5464 §4.2.2).
type Depth uint8

// The depths.
const (
	DepthZero Depth = iota // none
	DepthOne               // those one level below
	DepthInfinity
)

// UseEntry is the special use of a mailbox as an entry of its own (RFC 6154 §4). It
// is tied to [Mailbox].SpecialUse: whoever sets it checks that there is such a use,
// and another mailbox that had it has it no more.
const UseEntry = "/private/specialuse"

// MaxAnnotation is the octets of one value.
const MaxAnnotation = 64 << 10

// Bounds of annotations, beside that of one value.
const (
	maxNoteName    = 400      // octets
	maxNotes       = 1000     // of one mailbox
	maxNoteOctets  = 1 << 20  // of one mailbox, names included
	maxNotesOfAll  = 16 << 20 // octets of one account, as the index holds them
	maxNotesAtOnce = 1000     // of one change
	notePart       = 60 << 10 // octets of a value that share a key
)

// What is too much of annotations; both are an [ErrLimit], too.
var (
	ErrAnnotationSize  = fmt.Errorf("the value is too long: %w", ErrLimit)      // RFC 5464 §4.3: MAXSIZE
	ErrAnnotationCount = fmt.Errorf("there are too many entries: %w", ErrLimit) // TOOMANY
)

// cleanNote brings the name of an entry to the form in which it is kept
// (RFC 5464 §3.1).
func cleanNote(name string) (string, error) {
	bad := strings.ContainsFunc(name, func(r rune) bool { return r <= 0x19 || r >= 0x7f || r == '*' || r == '%' })
	name = strings.ToLower(name)
	top, rest, below := strings.Cut(strings.TrimPrefix(name, "/"), "/")
	switch {
	case bad, len(name) > maxNoteName, strings.Contains(name, "//"), strings.HasSuffix(name, "/"),
		!strings.HasPrefix(name, "/"), top != "private" && top != "shared", below && rest == "":
		return "", fmt.Errorf("entry %q: %w", name, ErrBadName)
	}
	return name, nil
}

// Annotations reads the entries of a mailbox, or with id 0 those of the account
// itself: each of names with what lies below it as deep as asked, or all where
// names is nil; by name, each once. Those of the server, for everybody, are the
// ones of account 0. [ErrNotFound] where the mailbox is not there, [ErrBadName].
func (a *Account) Annotations(ctx context.Context, id MailboxID, names []string, depth Depth) (list []Annotation, err error) {
	wanted := make([]string, len(names))
	for i, name := range names {
		if wanted[i], err = cleanNote(name); err != nil {
			return nil, err
		}
	}
	means := func(name string) bool { return names == nil || depth.reaches(wanted, name) }
	err = a.read(ctx, func(r kv.Reader) error {
		if err := a.checkBox(r, id); err != nil {
			return err
		}
		list, err = notes(r, a.id, id, means)
		if err == nil && id != 0 && means(UseEntry) {
			list, err = withUse(r, a.id, id, list)
		}
		return err
	})
	return list, err
}

// withUse puts the special use of a mailbox among its entries, by name. What was kept
// under that name before the two were tied counts no more.
func withUse(r kv.Reader, a AccountID, id MailboxID, list []Annotation) ([]Annotation, error) {
	b, err := getBox(r, a, id)
	if b == nil || err != nil {
		return list, err
	}
	i, found := slices.BinarySearchFunc(list, UseEntry, func(e Annotation, name string) int { return strings.Compare(e.Name, name) })
	if found {
		list = slices.Delete(list, i, i+1)
	}
	if b.SpecialUse == "" {
		return list, nil
	}
	return slices.Insert(list, i, Annotation{UseEntry, []byte(b.SpecialUse)}), nil
}

// reaches says whether one of wanted means the entry of a name.
func (d Depth) reaches(wanted []string, name string) bool {
	return slices.ContainsFunc(wanted, func(w string) bool {
		below, ok := strings.CutPrefix(name, w)
		switch {
		case !ok || below != "" && below[0] != '/':
			return false
		case below == "" || d == DepthInfinity:
			return true
		}
		return d == DepthOne && !strings.Contains(below[1:], "/")
	})
}

// checkBox says whether a mailbox is there; 0 always is.
func (a *Account) checkBox(r kv.Reader, id MailboxID) error {
	if id == 0 {
		return nil
	}
	b, err := getBox(r, a.id, id)
	if b == nil && err == nil {
		err = absentBox(id)
	}
	return err
}

// notes reads the entries of a mailbox that are wanted, by name.
func notes(r kv.Reader, a AccountID, id MailboxID, wanted func(name string) bool) (list []Annotation, err error) {
	lo := notesKey(a, id)
	for k, v := range r.Range(lo, kv.After(lo), kv.Options{}) {
		name := string(k[len(lo) : len(k)-2])
		if !wanted(name) {
			continue
		}
		v, err := open(v)
		if err != nil {
			return nil, fmt.Errorf("key %x: %w", k, err)
		}
		if k[len(k)-1] == 0 {
			list = append(list, Annotation{name, []byte{}})
		}
		if len(list) == 0 || list[len(list)-1].Name != name {
			return nil, fmt.Errorf("key %x: its first part is missing: %w", k, segment.ErrDamaged)
		}
		last := &list[len(list)-1]
		last.Value = append(last.Value, v...)
	}
	return list, nil
}

// Annotate sets entries of a mailbox, or with id 0 of the account itself, all or
// none, durably; nil takes one away. [ErrNotFound] where the mailbox is not
// there, [ErrBadName], [ErrAnnotationSize] for a value of more than 64 KiB,
// [ErrAnnotationCount] for more than 1,000 entries or 1 MiB in a mailbox, whose
// modseq they move. They go with the mailbox when it is renamed or deleted.
// [UseEntry] changes the mailbox itself.
func (a *Account) Annotate(ctx context.Context, id MailboxID, entries []Annotation) error {
	clean := make([]Annotation, len(entries))
	for i, e := range entries {
		name, err := cleanNote(e.Name)
		if err == nil && strings.Count(name, "/") < 2 {
			err = fmt.Errorf("entry %q: %w", name, ErrBadName)
		}
		if err != nil {
			return err
		}
		if len(e.Value) > MaxAnnotation {
			return fmt.Errorf("entry %s, %d octets: %w", name, len(e.Value), ErrAnnotationSize)
		}
		clean[i] = Annotation{name, e.Value}
	}
	if len(clean) > maxNotesAtOnce {
		return fmt.Errorf("%d entries at once: %w", len(clean), ErrAnnotationCount)
	}
	change := func(t *txn, c *account) error { return t.annotate(c, a, id, clean) }
	if a.id == systemAccount {
		return a.changeSystem(ctx, change)
	}
	return a.change(ctx, change)
}

// changeSystem is [Account.change] for account 0, which has no mailboxes.
func (a *Account) changeSystem(ctx context.Context, fn func(*txn, *account) error) error {
	return a.store.system(ctx, func(tx kv.Tx) error {
		t := newTxn(tx, a.store)
		c, err := getAccount(tx, systemAccount)
		if err != nil {
			return err
		}
		if c == nil {
			c = &account{created: t.now}
		}
		t.accounts[systemAccount] = c
		if err := fn(t, c); err != nil {
			return err
		}
		t.finish()
		return nil
	})
}

func (t *txn) annotate(c *account, a *Account, id MailboxID, entries []Annotation) error {
	var b *openBox
	if id == 0 {
		c.annotated = c.stir()
	} else {
		var err error
		if b, err = t.mustBox(a.id, id); err != nil {
			return err
		}
		b.reannotated(c)
	}
	octets := 0
	for _, e := range entries {
		k := noteKey(a.id, id, e.Name)
		t.tx.DeleteRange(k, kv.After(k))
		if b != nil && e.Name == UseEntry {
			if err := t.assignUse(c, b, string(e.Value)); err != nil {
				return err
			}
			continue
		}
		if e.Value == nil {
			continue
		}
		if octets += len(e.Value); octets > maxNoteOctets {
			return fmt.Errorf("%d octets at once: %w", octets, ErrAnnotationCount)
		}
		t.putNote(a.id, id, e)
	}
	return t.countNotes(a.id, id)
}

// reannotated notes that entries of a mailbox change.
func (b *openBox) reannotated(c *account) {
	b.annotated = c.stir()
	b.bump() // RFC 7162 §3
}

// assignUse gives a special use to a mailbox, and takes it from any other that has
// it (RFC 6154 §5.4); "" takes it from the mailbox.
func (t *txn) assignUse(c *account, b *openBox, use string) error {
	boxes, err := allBoxes(t.tx, b.id.account)
	if err != nil {
		return err
	}
	for _, other := range boxes {
		if use == "" || other.SpecialUse != use || other.ID == b.ID {
			continue
		}
		o, err := t.mustBox(b.id.account, other.ID)
		if err != nil {
			return err
		}
		o.SpecialUse = ""
		o.reannotated(c)
	}
	b.SpecialUse = use
	return nil
}

// copyNotes gives a new mailbox the entries of another one, but for its use.
func (t *txn) copyNotes(c *account, from MailboxID, b *openBox) error {
	list, err := notes(t.tx, b.id.account, from, func(name string) bool { return name != UseEntry })
	if err != nil || len(list) == 0 {
		return err
	}
	b.reannotated(c)
	for _, e := range list {
		t.putNote(b.id.account, b.ID, e)
	}
	return t.countNotes(b.id.account, b.ID)
}

// putNote writes an entry that is not there.
func (t *txn) putNote(a AccountID, id MailboxID, e Annotation) {
	k := noteKey(a, id, e.Name)
	t.tx.Put(append(k, 0), sealValue(append(newValue(), e.Value[:min(len(e.Value), notePart)]...)))
	if len(e.Value) > notePart {
		t.tx.Put(append(k, 1), sealValue(append(newValue(), e.Value[notePart:]...)))
	}
}

// countNotes keeps the bounds of a mailbox and of its account.
func (t *txn) countNotes(a AccountID, id MailboxID) error {
	lo, all, own, n := key(a, keyNote), 0, 0, 0
	mine := string(notesKey(a, id))
	for k, v := range t.tx.Range(lo, kv.After(lo), kv.Options{}) {
		size := len(k) - len(mine) + len(v)
		all += size
		if string(k[:len(mine)]) != mine {
			continue
		}
		if own += size; k[len(k)-1] == 0 {
			n++
		}
	}
	if n > maxNotes || own > maxNoteOctets || all > maxNotesOfAll {
		return fmt.Errorf("%d entries of %d octets: %w", n, own, ErrAnnotationCount)
	}
	return nil
}

// strayNotes is the keys of annotations whose mailbox is not there.
func strayNotes(r kv.Reader, a AccountID, boxes []*box) (stray [][]byte) {
	there := map[MailboxID]bool{0: true}
	for _, b := range boxes {
		there[b.ID] = true
	}
	lo := key(a, keyNote)
	for k := range r.Range(lo, kv.After(lo), kv.Options{}) {
		if !there[MailboxID(tailUint32(k[:len(lo)+4]))] {
			stray = append(stray, append([]byte(nil), k...))
		}
	}
	return stray
}
