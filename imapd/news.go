package imapd

import (
	"context"
	"errors"
	"slices"

	"letterlock/imapd/syntax"
	"letterlock/storage"
)

// unasked tells what happened while no command was in progress.
func (s *session) unasked(ctx context.Context) error {
	if s.notified == nil || s.notified.ended == nil {
		return nil
	}
	s.own = own{}
	if s.tells(syntax.EventMessageNew) {
		exp := sendExpunges
		if s.notified.ofSelected().Kind == syntax.FilterSelectedDelayed {
			exp = holdExpunges // RFC 5465 §6.1.2
		}
		if err := s.sync(ctx, exp); err != nil {
			return err
		}
		s.settled("")
	}
	return s.news(ctx)
}

// news tells what happened to the account beside the selected mailbox.
func (s *session) news(ctx context.Context) error {
	n := s.notified
	if n == nil || len(n.groups) == 0 {
		return nil
	}
	m, err := s.account.Moved(ctx, n.turn)
	if err != nil || m.Turn == n.turn {
		return err
	}
	if err = s.tell(ctx, n, m); errors.Is(err, errOverflow) {
		s.overflow()
		return nil
	}
	return err
}

// tell tells what has moved.
func (s *session) tell(ctx context.Context, n *notified, m storage.Moved) error {
	names, err := n.names, error(nil)
	if m.Subscriptions {
		if names, err = s.account.Subscriptions(ctx); err != nil {
			return err
		}
		if err := s.subscribe(ctx, n, names); err != nil {
			return err
		}
	}
	if m.Lists {
		if err := s.listNews(ctx, n); err != nil {
			return err
		}
	}
	for _, box := range m.Mailboxes {
		if err := s.statusNews(ctx, n, box); err != nil {
			return err
		}
	}
	if m.Subscriptions {
		if err := s.subscriptionNews(ctx, n, names); err != nil {
			return err
		}
	}
	for _, id := range m.Annotated {
		if err := s.metadataNews(ctx, n, id); err != nil {
			return err
		}
	}
	n.turn = m.Turn
	return nil
}

// statusNews is a STATUS response for a mailbox that is not selected (RFC 5465
// §5.1, §5.2, §5.3).
func (s *session) statusNews(ctx context.Context, n *notified, box storage.Mailbox) error {
	box, err := s.watched(ctx, n, box)
	if errors.Is(err, storage.ErrNotFound) {
		return nil // deleted meanwhile
	}
	if err == nil {
		err = s.statusChange(ctx, n, box)
	}
	if err == nil {
		n.know(box)
	}
	return err
}

// statusChange tells how a mailbox stands where that is not what is known of it.
func (s *session) statusChange(ctx context.Context, n *notified, box storage.Mailbox) error {
	was, known := n.known[box.ID]
	if !known && slices.Contains(s.own.made, box.Name) {
		was, known = box, true
		was.UIDNext, was.Messages, was.Unseen = 1, 0, 0
	}
	was = s.own.counted(was, box)
	events := s.eventsOf(n, box) & syntax.MessageEvents
	if events == 0 || s.box != nil && s.box.id == box.ID {
		return nil
	}
	var items syntax.StatusItems
	if known && was.UIDValidity != box.UIDValidity {
		items |= syntax.StatusUIDValidity
	}
	if was.UIDNext != box.UIDNext || was.Messages != box.Messages {
		items |= syntax.StatusUIDNext | syntax.StatusMessages
	}
	if events&syntax.EventFlagChange != 0 && was.Highest != box.Highest {
		if was.Unseen != box.Unseen {
			items |= syntax.StatusUIDValidity | syntax.StatusUnseen
		}
		if s.aware {
			items |= syntax.StatusUIDValidity
		}
	}
	if items == 0 {
		return nil
	}
	if s.aware {
		items |= syntax.StatusHighestModSeq
	}
	return s.statusResponse(ctx, box, items)
}

// metadataNews is the METADATA responses, names alone (RFC 5465 §5.6, §5.7; RFC
// 5464 §4.4.2).
func (s *session) metadataNews(ctx context.Context, n *notified, id storage.MailboxID) error {
	box, known := n.known[id]
	switch {
	case id == 0 && !n.wants(syntax.EventServerMetadataChange),
		id != 0 && (!known || s.eventsOf(n, box)&syntax.EventMailboxMetadataChange == 0):
		return nil
	}
	now, err := s.entriesOf(ctx, id)
	if err != nil {
		return err
	}
	var names []string
	for name, sum := range now {
		if n.entries[id][name] != sum && !s.own.annotatedSo(id, name, sum) {
			names = append(names, name)
		}
	}
	for name := range n.entries[id] {
		if now[name] == 0 && !s.own.annotatedSo(id, name, 0) {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		slices.Sort(names)
		s.put(syntax.AppendMetadataNames(s.scratch[:0], box.Name, names, s.mode))
	}
	return n.knowEntries(id, now)
}
