package imapd

import (
	"hash/maphash"
	"slices"
	"strings"

	"letterlock/storage"
)

// own is what the command in progress has done itself. Its client is not
// notified of that (RFC 5465 §5). It is as exact as the answer to the command, so
// what others did meanwhile is told.
type own struct {
	made     []string // mailboxes, and levels above them
	removed  string   // a mailbox
	from, to string   // a mailbox that got another name

	emptied storage.Mailbox // INBOX as it was when its messages went
	filled  string          // into this mailbox, which was made for them

	subscribed   string
	unsubscribed string

	target storage.MailboxID // got messages:
	uids   []storage.UID     // these, ascending,
	unseen uint32            // so many of them without \Seen

	annotated storage.MailboxID // got entries; 0: the account
	entries   map[string]uint64 // these, by name in small letters, with their digests; 0: taken away
}

// makes notes a mailbox that was made; levels above it may have been, too.
func (o *own) makes(name string) {
	o.made = slices.AppendSeq(append(o.made, name), above(name))
}

// puts notes messages that were put into a mailbox.
func (o *own) puts(into storage.MailboxID, uids []storage.UID, unseen int) {
	o.target, o.uids, o.unseen = into, uids, uint32(unseen)
}

// has says whether a new message of a mailbox is one that the command put there.
func (o *own) has(in storage.MailboxID, uid storage.UID) bool {
	_, found := slices.BinarySearch(o.uids, uid)
	return found && o.target == in
}

// empties notes that all messages of INBOX, as the client knows it, went into a
// mailbox that was made for them (RFC 9051 §6.3.6).
func (o *own) empties(known storage.Mailbox, into string) {
	o.emptied, o.filled = known, into
}

// counted is how a mailbox that stood as was stands after what the command did;
// now is how it stands.
func (o *own) counted(was, now storage.Mailbox) storage.Mailbox {
	switch {
	case was.ID == o.target && len(o.uids) > 0 && o.uids[0] >= was.UIDNext:
		was.UIDNext = o.uids[len(o.uids)-1] + 1
		was.Messages += uint32(len(o.uids))
		was.Unseen += o.unseen
	case o.annotated != 0 && was.ID == o.annotated && now.Highest == was.Highest+1: // that moves its modseq (RFC 7162 §3)
		was.Highest = now.Highest
	case o.filled == "":
	case was.ID == o.emptied.ID:
		if was.Messages, was.Unseen = 0, 0; now.Messages == 0 {
			was.Highest = now.Highest
		}
	case was.Name == o.filled:
		was.UIDNext, was.Messages, was.Unseen = storage.UID(o.emptied.Messages)+1, o.emptied.Messages, o.emptied.Unseen
	}
	return was
}

// annotates notes entries that were set.
func (o *own) annotates(id storage.MailboxID, entries []storage.Annotation) {
	o.annotated, o.entries = id, make(map[string]uint64, len(entries))
	for _, e := range entries {
		sum := uint64(0)
		if e.Value != nil {
			sum = digest(e.Value)
		}
		o.entries[strings.ToLower(e.Name)] = sum
	}
}

// annotatedSo says whether the command left an entry as it is; 0: it is not there.
func (o *own) annotatedSo(id storage.MailboxID, name string, sum uint64) bool {
	set, found := o.entries[name]
	return found && o.annotated == id && set == sum
}

var entrySeed = maphash.MakeSeed()

// digest is of the value of an entry, never 0.
func digest(value []byte) uint64 { return max(maphash.Bytes(entrySeed, value), 1) }

// withoutSeen counts the letters of an APPEND that are unseen then.
func withoutSeen(letters []storage.Letter) (n int) {
	for _, l := range letters {
		if !slices.ContainsFunc(l.Flags, func(f string) bool { return strings.EqualFold(f, `\Seen`) }) {
			n++
		}
	}
	return n
}
