package imapd

import (
	"cmp"
	"context"
	"fmt"
	"math"

	"letterlock/imapd/syntax"
	"letterlock/storage"
)

// selectMailbox is SELECT and EXAMINE (RFC 9051 §6.3.2, §6.3.3). The mailbox
// selected before is left first, whether or not the new one can be opened.
func (s *session) selectMailbox(ctx context.Context, a *syntax.Select) (answer, error) {
	if a.QResync != nil && !s.qresync {
		return answer{}, errNoQResync
	}
	s.leaveMailbox("Previous mailbox is now closed")
	if a.CondStore || a.QResync != nil {
		s.beAware()
	}
	found, err := s.account.Mailbox(ctx, a.Mailbox)
	if err != nil {
		return answer{}, err
	}
	if s.gate.refuses(s.srv.opt.Insecure, found) {
		s.srv.opt.MailLog.Withheld(s.conn.Peer(), s.login, found.Name, s.verb, int(found.Required))
		return answer{}, errHolds
	}
	box := &mailbox{id: found.ID, name: found.Name, readOnly: a.Access == syntax.ReadOnly}
	box.moved, box.unwatch = s.account.Watch(found.ID)
	s.box = box
	if err := s.open(ctx); err != nil {
		s.deselect()
		return answer{}, err
	}
	s.describe(cmp.Or(a.Written, a.Mailbox))
	if a.QResync != nil {
		if err := s.resync(ctx, a.QResync); err != nil {
			s.deselect()
			return answer{}, err
		}
	}
	if box.readOnly {
		return answer{"READ-ONLY", "EXAMINE completed"}, nil
	}
	return answer{"READ-WRITE", "SELECT completed"}, nil
}

// errNoQResync: RFC 7162 §3.2.3.
var errNoQResync = bad("ENABLE QRESYNC first")

// open takes the first view of the mailbox.
func (s *session) open(ctx context.Context) error {
	view, err := s.account.View(ctx, s.box.id)
	if err != nil {
		return err
	}
	s.box.view = view
	s.box.keywords, s.box.told = view.Mailbox().Keywords, view.Mailbox().Highest
	if s.rev2 {
		return nil
	}
	return s.claimRecent(ctx, view, 0)
}

// describe writes what SELECT must tell: RFC 9051 §6.3.2 for rev2, RFC 3501
// §6.3.1 otherwise. written is the name that the client gave.
func (s *session) describe(written string) {
	box, now := s.box, s.box.view.Mailbox()
	s.flagsResponses()
	s.numbered(box.view.Len(), " EXISTS\r\n")
	if !s.rev2 {
		s.numbered(s.recentCount(), " RECENT\r\n")
		if first := firstUnseen(box.view, int(now.Unseen)); first > 0 {
			s.putString(fmt.Sprintf("* OK [UNSEEN %d] First unseen message\r\n", first))
		}
	}
	s.putString(fmt.Sprintf("* OK [UIDVALIDITY %d] UIDs are valid for ever\r\n", now.UIDValidity))
	s.putString(fmt.Sprintf("* OK [UIDNEXT %d] Predicted next UID\r\n", now.UIDNext))
	s.highestModSeq(now.Highest)
	s.putString("* OK [" + mailboxCode(now) + "] Ok\r\n")
	if s.rev2 {
		item := syntax.ListItem{Delim: delimiter, Mailbox: box.name, Attrs: specialUse(now)}
		if written != box.name {
			item.OldName = written
		}
		s.put(syntax.AppendList(s.scratch[:0], &item, s.mode))
	}
	s.putString(s.gate.notice(s.srv.opt.Notice, now))
}

// firstUnseen is the number of the first message without \Seen, 0 without one.
func firstUnseen(v *storage.View, unseen int) int {
	if unseen == 0 {
		return 0
	}
	for i, e := range v.All(0, v.Len()) {
		if e.Flags&storage.Seen == 0 {
			return i + 1
		}
	}
	return 0
}

// leaveMailbox deselects, and says so where the client did not ask for it
// (RFC 9051 §7.1, CLOSED).
func (s *session) leaveMailbox(text string) {
	if s.box != nil {
		s.putString("* OK [CLOSED] " + text + "\r\n")
	}
	s.deselect()
}

func (s *session) deselect() {
	if s.box != nil {
		s.box.unwatch()
		s.box = nil
	}
}

// close is CLOSE (RFC 9051 §6.4.1): expunge without a word, and leave.
func (s *session) close(ctx context.Context) (answer, error) {
	box := s.box
	defer s.deselect()
	if box.readOnly {
		return answer{}, nil
	}
	now, err := s.look(ctx, sendExpunges)
	if err != nil {
		return answer{}, err
	}
	deleted, _ := s.deletable(now, nil)
	if len(deleted) == 0 {
		return answer{}, nil
	}
	return answer{}, s.remove(ctx, deleted)
}

// expunge is EXPUNGE and UID EXPUNGE (RFC 9051 §6.4.3, §6.4.9). What the gate
// withholds stays.
func (s *session) expunge(ctx context.Context, a *syntax.Expunge) (answer, error) {
	if s.box.readOnly {
		return answer{}, errReadOnly
	}
	if err := s.sync(ctx, sendExpunges); err != nil {
		return answer{}, err
	}
	var within []syntax.Range
	if a.UID {
		within = s.uidRanges(a.Set)
	}
	deleted, held := s.deletable(s.box.view, within)
	if len(deleted) > 0 {
		if err := s.remove(ctx, deleted); err != nil {
			return answer{}, err
		}
	}
	var done answer
	if held > 0 {
		s.logWithheld(held)
		done = answer{"PRIVACYREQUIRED", counted(held, "message", "messages") + " kept: an encrypted connection is needed"}
	}
	if len(deleted) == 0 || !s.qresync {
		return done, nil
	}
	if err := s.sync(ctx, sendExpunges); err != nil {
		return answer{}, err
	}
	return s.withHighest(done), nil
}

// remove expunges messages of the selected mailbox.
func (s *session) remove(ctx context.Context, uids []storage.UID) error {
	return s.progressing(ctx, func(ctx context.Context) error { return s.account.Expunge(ctx, s.box.id, uids) })
}

// withHighest puts HIGHESTMODSEQ into the tagged answer of a command that
// expunged (RFC 7162 §3.2.7); a code that was there is told before it.
func (s *session) withHighest(done answer) answer {
	if done.code != "" {
		s.tellCodes([]answer{done})
	}
	return answer{codeHighest, s.verb + " completed"}
}

// deletable is the UIDs of v that are marked \Deleted and that the session may
// remove, and how many more it may not. within limits them to UIDs; nil is all.
func (s *session) deletable(v *storage.View, within []syntax.Range) (uids []storage.UID, held int) {
	if within == nil {
		within = []syntax.Range{{First: 1, Last: math.MaxUint32}}
	}
	for _, r := range within {
		from, _ := v.Find(storage.UID(r.First))
		for _, e := range v.All(from, v.Len()) {
			switch {
			case uint32(e.UID) > r.Last:
			case e.Flags&storage.Deleted == 0:
			case s.gate.withholds(e.Flags):
				held++
			default:
				uids = append(uids, e.UID)
			}
			if uint32(e.UID) >= r.Last {
				break
			}
		}
	}
	return uids, held
}

func (s *session) logWithheld(n int) {
	s.srv.opt.MailLog.Withheld(s.conn.Peer(), s.login, s.box.name, s.verb, n)
}
