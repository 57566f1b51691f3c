package imapd

import (
	"context"
	"slices"
	"sync"
	"weak"

	"letterlock/internal/requiretls"
	"letterlock/storage"
)

// account is somebody's mail as a session sees it. At a listener that hides
// ([Options.Hide]) that is a view of its own, in which mail that needs TLS (RFC
// 8689 §4.4) never was: the counters, the messages, the UIDVALIDITY and the
// MAILBOXID are the view's in everything this type answers, so no command asks
// whether it is in such a view.
//
// What is hidden depends on the message alone: neither on the session nor on the
// policy of server or account. So nothing can come into the view that was there
// before with a UID below UIDNEXT, which a client would never ask for. To the
// client a hidden message is at most one that came and was expunged at once,
// which RFC 9051 §2.3.1.1 provides for: UIDs have gaps, and HIGHESTMODSEQ grows
// with it. The quota is the account's and counts everything.
type account struct {
	*storage.Account
	id    storage.AccountID
	views *openViews // nil: everything is shown
}

// hidden says whether messages with these flags are not in the view: whatever a
// session in clear may not read under the most lenient policy.
func hidden(f storage.Flags) bool {
	_, err := f.Demand().Release(requiretls.Reader{}, requiretls.PolicyLocal)
	return err != nil
}

// openValidity is how much greater the UIDVALIDITY of the view is than the
// mailbox's own. A client that meets both under one name, of this mailbox or of
// one that had the name before, must never take the one for the other, and the
// view's has to grow where the mailbox's does (RFC 9051 §2.3.1.1). The vault gives
// the time in seconds, or one more than it gave the account last. The sum grows
// with that and is the same whenever it is asked for; it is never 0 and fits into
// 32 bits until 2072. What the vault gives comes up to it 34 years later, and is
// equal only if the name is given again in that very second.
const openValidity = 1 << 30

// open is how the view calls a mailbox.
func open(box storage.Mailbox) storage.Mailbox {
	box.UIDValidity += openValidity
	box.ObjectID = ^box.ObjectID // RFC 8474 §4: another mailbox; the vault's ids are odd
	return box
}

// shown is the record of a mailbox as it is shown.
func (a *account) shown(ctx context.Context, box storage.Mailbox) (storage.Mailbox, error) {
	switch {
	case a.views == nil:
		return box, nil
	case box.Required == 0:
		return open(box), nil
	}
	view, err := a.View(ctx, box.ID)
	if err != nil {
		return storage.Mailbox{}, err
	}
	return view.Mailbox(), nil
}

// named is the record of a mailbox without what only the view can say: no view need
// be made to list names.
func (a *account) named(box storage.Mailbox) storage.Mailbox {
	if a.views == nil {
		return box
	}
	box = open(box)
	return storage.Mailbox{
		ID: box.ID, ObjectID: box.ObjectID, Name: box.Name, SpecialUse: box.SpecialUse, Subscribed: box.Subscribed, UIDValidity: box.UIDValidity,
	}
}

// counted is a mailbox of which perhaps the name alone is known, with its counters:
// [storage.ErrNotFound] where it is gone.
func (a *account) counted(ctx context.Context, box storage.Mailbox) (storage.Mailbox, error) {
	if a.views == nil {
		return box, nil
	}
	now, err := a.Mailbox(ctx, box.Name)
	if err == nil && now.ID != box.ID {
		err = storage.ErrNotFound
	}
	return now, err
}

// validity is the UIDVALIDITY as it is shown.
func (a *account) validity(v uint32) uint32 {
	if a.views == nil {
		return v
	}
	return open(storage.Mailbox{UIDValidity: v}).UIDValidity
}

func (a *account) View(ctx context.Context, id storage.MailboxID) (*storage.View, error) {
	view, err := a.Account.View(ctx, id)
	if err != nil || a.views == nil {
		return view, err
	}
	return a.views.of(boxKey{a.id, id}, view), nil
}

func (a *account) Mailbox(ctx context.Context, name string) (storage.Mailbox, error) {
	box, err := a.Account.Mailbox(ctx, name)
	if err != nil {
		return box, err
	}
	return a.shown(ctx, box)
}

// Mailboxes is all of them; see [account.counted] for how they stand.
func (a *account) Mailboxes(ctx context.Context) ([]storage.Mailbox, error) {
	boxes, err := a.Account.Mailboxes(ctx)
	for i := range boxes {
		boxes[i] = a.named(boxes[i])
	}
	return boxes, err
}

// Moved is what has moved; see [account.counted] for how mailboxes stand.
func (a *account) Moved(ctx context.Context, since storage.Turn) (storage.Moved, error) {
	m, err := a.Account.Moved(ctx, since)
	for i := range m.Mailboxes {
		m.Mailboxes[i] = a.named(m.Mailboxes[i])
	}
	return m, err
}

func (a *account) Create(ctx context.Context, name, use string) (storage.Mailbox, error) {
	box, err := a.Account.Create(ctx, name, use)
	if err != nil {
		return box, err
	}
	return a.shown(ctx, box)
}

// Rename: of INBOX the messages move (RFC 9051 §6.3.6). Hidden ones may not, so
// it is refused where there are some, and what moves is the view.
func (a *account) Rename(ctx context.Context, from, to string) error {
	if a.views == nil || from != inbox {
		return a.Account.Rename(ctx, from, to)
	}
	box, err := a.Account.Mailbox(ctx, inbox)
	if err != nil {
		return err
	}
	if box.Required > 0 {
		return errHidden
	}
	if _, err := a.Account.CreateForInbox(ctx, to); err != nil {
		return err
	}
	for {
		view, err := a.View(ctx, box.ID)
		if err != nil || view.Len() == 0 {
			return err
		}
		if _, err := a.Account.Move(ctx, box.ID, uidsWith(view, func(storage.Flags) bool { return true }), to); err != nil {
			return err
		}
	}
}

func (a *account) Append(ctx context.Context, mailbox string, letters []storage.Letter) (uint32, []storage.UID, error) {
	v, uids, err := a.Account.Append(ctx, mailbox, letters)
	return a.validity(v), uids, err
}

func (a *account) Replace(ctx context.Context, id storage.MailboxID, uid storage.UID, to string, l storage.Letter) (uint32, storage.UID, error) {
	v, added, err := a.Account.Replace(ctx, id, uid, to, l)
	return a.validity(v), added, err
}

func (a *account) Copy(ctx context.Context, id storage.MailboxID, uids []storage.UID, to string) (storage.Copied, error) {
	c, err := a.Account.Copy(ctx, id, uids, to)
	c.UIDValidity = a.validity(c.UIDValidity)
	return c, err
}

func (a *account) Move(ctx context.Context, id storage.MailboxID, uids []storage.UID, to string) (storage.Copied, error) {
	c, err := a.Account.Move(ctx, id, uids, to)
	c.UIDValidity = a.validity(c.UIDValidity)
	return c, err
}

// ClaimRecent leaves the mark where it is as long as a hidden message lies behind
// it: nobody was told of that one.
func (a *account) ClaimRecent(ctx context.Context, id storage.MailboxID, told storage.UID) (storage.UID, error) {
	if a.views == nil || told == 0 {
		return a.Account.ClaimRecent(ctx, id, told)
	}
	first, err := a.Account.ClaimRecent(ctx, id, 0)
	if err != nil {
		return 0, err
	}
	all, err := a.Account.View(ctx, id)
	if err != nil {
		return 0, err
	}
	from, _ := all.Find(first)
	for _, e := range all.All(from, all.Len()) {
		if hidden(e.Flags) {
			return first, nil
		}
	}
	return a.Account.ClaimRecent(ctx, id, told)
}

// size is the octets of all messages of a mailbox that are shown. One that is
// expunged meanwhile may count: no more is promised (RFC 8438 §2).
func (a *account) size(ctx context.Context, box storage.Mailbox) (int64, error) {
	if a.views == nil {
		return int64(box.Size), nil
	}
	all, err := a.Account.View(ctx, box.ID)
	if err != nil {
		return 0, err
	}
	unshown, err := a.octets(ctx, box.ID, all, hidden)
	return max(0, int64(all.Mailbox().Size)-unshown), err
}

// octets is the size of those messages of a view whose flags count.
func (a *account) octets(ctx context.Context, id storage.MailboxID, view *storage.View, counts func(storage.Flags) bool) (n int64, err error) {
	for some := range slices.Chunk(uidsWith(view, counts), fetchBatch) {
		rows, err := a.Rows(ctx, id, some)
		if err != nil {
			return 0, err
		}
		for i := range rows {
			n += rows[i].Size
		}
	}
	return n, nil
}

// uidsWith is the UIDs of those messages of a view whose flags count.
func uidsWith(view *storage.View, counts func(storage.Flags) bool) (uids []storage.UID) {
	for _, e := range view.All(0, view.Len()) {
		if counts(e.Flags) {
			uids = append(uids, e.UID)
		}
	}
	return uids
}

// openViews is the views without what is hidden, of all accounts, each as long
// as a session looks at it: the sessions of one mailbox share it, and it shares
// with the whole one whatever loses nothing.
type openViews struct {
	mu    sync.Mutex // guards all below
	views map[boxKey]openView
	sweep int // how many entries make a look for dead ones worth while
}

type boxKey struct {
	account storage.AccountID
	mailbox storage.MailboxID
}

// openView is what was made of a whole view.
type openView struct{ whole, open weak.Pointer[storage.View] }

// of is the view of what is not hidden; the same as long as the whole is.
func (o *openViews) of(key boxKey, whole *storage.View) *storage.View {
	if v := o.made(key, whole); v != nil {
		return v
	}
	v := whole.Without(hidden, func(left storage.Mailbox) storage.Mailbox {
		left.UIDNext, left.Keywords = openNext(whole), openKeywords(whole)
		return open(left)
	})
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.views == nil {
		o.views = make(map[boxKey]openView)
	}
	o.views[key] = openView{weak.Make(whole), weak.Make(v)}
	o.tidy()
	return v
}

// made is the view that was made of the whole one, if it is still there.
func (o *openViews) made(key boxKey, whole *storage.View) *storage.View {
	o.mu.Lock()
	defer o.mu.Unlock()
	if made := o.views[key]; made.whole.Value() == whole {
		return made.open.Value()
	}
	return nil
}

// openNext is the UIDNEXT of the view: behind the greatest UID that is not a
// hidden message's. It grows as that does, when something comes that is shown, or
// a hidden message goes.
func openNext(whole *storage.View) storage.UID {
	next := whole.Mailbox().UIDNext
	for i := whole.Len() - 1; i >= 0; i-- {
		e := whole.At(i)
		if e.UID != next-1 || !hidden(e.Flags) {
			break
		}
		next = e.UID
	}
	return next
}

// openKeywords is the keywords in their places, those without a name that no
// message of the view has: only hidden ones may have them.
func openKeywords(whole *storage.View) []string {
	used := storage.Flags(0)
	for _, e := range whole.All(0, whole.Len()) {
		if !hidden(e.Flags) {
			used |= e.Flags
		}
	}
	names := slices.Clone(whole.Mailbox().Keywords)
	for i := range names {
		if used&storage.Keyword(i) == 0 {
			names[i] = ""
		}
	}
	return names
}

// tidy forgets views that nobody looks at any more; mu is held.
func (o *openViews) tidy() {
	if len(o.views) <= o.sweep {
		return
	}
	for key, made := range o.views {
		if made.open.Value() == nil {
			delete(o.views, key)
		}
	}
	o.sweep = 2*len(o.views) + 64
}
