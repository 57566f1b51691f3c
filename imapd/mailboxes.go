package imapd

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"letterlock/imapd/syntax"
	"letterlock/storage"

	"github.com/emersion/go-imap/v2"
)

const (
	delimiter = '/'
	inbox     = "INBOX"
)

// uses is the special uses a mailbox can be created with (RFC 6154 §2): \All
// and \Flagged would be virtual, and we have none.
var uses = []imap.MailboxAttr{
	imap.MailboxAttrArchive, imap.MailboxAttrDrafts, imap.MailboxAttrJunk, imap.MailboxAttrSent, imap.MailboxAttrTrash,
}

// create is CREATE (RFC 9051 §6.3.4; RFC 6154 §3). A delimiter at the end is
// the declaration of a parent, which we do not need.
func (s *session) create(ctx context.Context, a *syntax.Create) (answer, error) {
	use, err := specialUseOf(a.Use)
	if err != nil {
		return answer{}, err
	}
	box, err := s.account.Create(ctx, strings.TrimSuffix(a.Mailbox, string(delimiter)), use)
	if err != nil {
		return answer{}, err
	}
	s.own.makes(box.Name)
	s.normalized(box.Name, strings.TrimSuffix(cmp.Or(a.Written, a.Mailbox), string(delimiter)), specialUse(box))
	return answer{mailboxCode(box), "CREATE completed"}, nil
}

// normalized tells a client of IMAP4rev2 which name stands for the one that it
// wrote, where that is not in the normal form (RFC 9051 §6.3.9.7).
func (s *session) normalized(name, written string, attrs []imap.MailboxAttr) {
	if s.rev2 && written != name {
		item := syntax.ListItem{Delim: delimiter, Mailbox: name, OldName: written, Attrs: attrs}
		s.put(syntax.AppendList(s.scratch[:0], &item, s.mode))
	}
}

// specialUseOf is the one use a mailbox can have here.
func specialUseOf(asked []imap.MailboxAttr) (string, error) {
	if len(asked) == 0 {
		return "", nil
	}
	for _, use := range uses {
		if len(asked) == 1 && strings.EqualFold(string(asked[0]), string(use)) {
			return string(use), nil
		}
	}
	return "", no("USEATTR", "A mailbox can have one use here, of \\Archive \\Drafts \\Junk \\Sent \\Trash")
}

// delete is DELETE (RFC 9051 §6.3.5). A mailbox that holds withheld messages
// stays: this session may not destroy what it may not read.
func (s *session) delete(ctx context.Context, a *syntax.Delete) (answer, error) {
	if a.Mailbox == inbox {
		return answer{}, no("CANNOT", "INBOX cannot be deleted")
	}
	var gone storage.Mailbox
	err := s.account.DeleteUnless(ctx, a.Mailbox, func(box storage.Mailbox) error {
		if gone = box; s.gate.holds(box) {
			return s.gate.spared()
		}
		return nil
	})
	if errors.Is(err, s.gate.spared()) {
		s.srv.opt.MailLog.Withheld(s.conn.Peer(), s.login, gone.Name, s.verb, int(gone.Required))
	}
	if err != nil {
		return answer{}, err
	}
	s.own.removed = gone.Name
	s.normalized(gone.Name, cmp.Or(a.Written, a.Mailbox), []imap.MailboxAttr{imap.MailboxAttrNonExistent})
	if s.box != nil && s.box.id == gone.ID {
		s.leaveMailbox("The selected mailbox is deleted")
	}
	return answer{}, nil
}

var errBelowItself = no("CANNOT", "A mailbox cannot be moved below itself")

// rename is RENAME (RFC 9051 §6.3.6).
func (s *session) rename(ctx context.Context, a *syntax.Rename) (answer, error) {
	to := strings.TrimSuffix(a.To, string(delimiter))
	if rest, isBelow := below(to, a.From); isBelow && rest != "" && a.From != inbox {
		return answer{}, errBelowItself
	}
	if err := s.account.Rename(ctx, a.From, to); err != nil {
		return answer{}, err
	}
	s.own.from, s.own.to = a.From, to
	s.own.makes(to)
	if a.Written != "" {
		s.normalized(to, a.Written, nil)
	}
	if a.From == inbox && s.notified != nil {
		s.own.empties(s.notified.called(inbox), to)
	}
	if s.box != nil && a.From != inbox {
		if below, moved := below(s.box.name, a.From); moved {
			s.box.name = to + below
		}
	}
	return answer{}, nil
}

// below is what comes behind a level in a name, "" where it is the level itself.
func below(name, level string) (rest string, isBelow bool) {
	rest, isBelow = strings.CutPrefix(name, level)
	return rest, isBelow && (rest == "" || rest[0] == delimiter)
}

// offered is the status items we have an extension for.
const offered = syntax.StatusMessages | syntax.StatusUIDNext | syntax.StatusUIDValidity | syntax.StatusUnseen |
	syntax.StatusDeleted | syntax.StatusSize | syntax.StatusRecent | syntax.StatusAppendLimit |
	syntax.StatusHighestModSeq | syntax.StatusMailboxID | syntax.StatusDeletedStorage

var errStatusItem = bad("Status item not offered")

// status is STATUS (RFC 9051 §6.3.11).
func (s *session) status(ctx context.Context, a *syntax.Status) (answer, error) {
	if a.Items&^offered != 0 {
		return answer{}, errStatusItem
	}
	box, err := s.account.Mailbox(ctx, a.Mailbox)
	if err != nil {
		return answer{}, err
	}
	if a.Items&syntax.StatusHighestModSeq != 0 {
		s.beAware()
	}
	return answer{}, s.statusResponse(ctx, box, a.Items)
}

// statusResponse says how a mailbox stands. Withheld messages count.
func (s *session) statusResponse(ctx context.Context, box storage.Mailbox, items syntax.StatusItems) error {
	data := syntax.StatusData{
		Mailbox:     box.Name,
		Items:       items,
		Messages:    box.Messages,
		UIDNext:     uint32(box.UIDNext),
		UIDValidity: box.UIDValidity,
		Unseen:      box.Unseen,
		Deleted:     box.Deleted,
		AppendLimit: s.srv.opt.MaxMessage,

		HighestModSeq: uint64(box.Highest),
		MailboxID:     box.ObjectID.String(),
	}
	recent := int64(0)
	for _, costly := range []struct {
		item  syntax.StatusItems
		value *int64
		count func(context.Context, storage.Mailbox) (int64, error)
	}{
		{syntax.StatusSize, &data.Size, s.account.size},
		{syntax.StatusDeletedStorage, &data.DeletedSize, s.deletedStorage},
		{syntax.StatusRecent, &recent, s.recentIn},
	} {
		if items&costly.item == 0 {
			continue
		}
		var err error
		if *costly.value, err = costly.count(ctx, box); err != nil {
			return err
		}
	}
	data.Recent = uint32(recent)
	s.put(syntax.AppendStatus(s.scratch[:0], &data, s.mode))
	return nil
}

// recentIn is how many messages no read-write session was told of.
func (s *session) recentIn(ctx context.Context, box storage.Mailbox) (int64, error) {
	first, err := s.account.ClaimRecent(ctx, box.ID, 0)
	if err != nil {
		return 0, err
	}
	view, err := s.account.View(ctx, box.ID)
	if err != nil {
		return 0, err
	}
	i, _ := view.Find(first)
	return int64(view.Len() - i), nil
}
