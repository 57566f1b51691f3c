package imapd

import (
	"context"
	"errors"
	"slices"
	"strings"

	"letterlock/imapd/syntax"
	"letterlock/storage"
)

// offeredEvents is all but annotations of messages, which nobody has here.
const offeredEvents = syntax.EventMessageNew | syntax.EventMessageExpunge | syntax.EventFlagChange | syntax.EventMailboxName |
	syntax.EventSubscriptionChange | syntax.EventMailboxMetadataChange | syntax.EventServerMetadataChange

// notified is what a client wants to be told without asking (RFC 5465), and
// what it was told last: a signal of the vault has no data, so the difference is
// worked out here. It costs some hundred octets for each mailbox.
type notified struct {
	groups []syntax.EventGroup
	learned
	ended func() // ends the watch; nil: it is told with commands and in IDLE alone
}

// notify is NOTIFY (RFC 5465 §3.1).
func (s *session) notify(ctx context.Context, a *syntax.Notify) (answer, error) {
	for _, g := range a.Groups {
		if g.Events&^offeredEvents != 0 {
			return answer{}, no(string(syntax.AppendBadEvent(nil, offeredEvents)), "Event not offered")
		}
	}
	if len(a.Groups) == 0 {
		s.notifyNone()
		return answer{}, nil
	}
	was, n := s.notified, &notified{groups: a.Groups}
	s.notified = nil // as NOOP, whatever is to be told from now on
	if err := s.beginNotify(ctx, n, a); err != nil {
		s.notified = was
		return answer{}, err
	}
	s.notified = was
	s.endNotify()
	s.notified = n
	n.ended = s.wakeOnNews()
	return answer{}, nil
}

// beginNotify tells what has to be told before new groups count.
func (s *session) beginNotify(ctx context.Context, n *notified, a *syntax.Notify) error {
	if err := s.sync(ctx, sendExpunges); err != nil {
		return err
	}
	err := s.learn(ctx, n)
	if err != nil || !a.Status {
		return err
	}
	return s.statusOfAll(ctx, n)
}

// notifyNone is NOTIFY NONE: nothing is told that no command asked for.
func (s *session) notifyNone() {
	s.endNotify()
	s.notified = &notified{ended: func() {}}
}

// errOverflow refuses to watch as much as the client wants (RFC 5465 §3.1, §5.8).
var errOverflow = no("NOTIFICATIONOVERFLOW", "Too much to be watched; watch the metadata of fewer mailboxes")

// overflow ends notifying where what is watched has become too much (RFC 5465
// §5.8).
func (s *session) overflow() {
	if s.notified.ended == nil { // not by NOTIFY
		s.notified = nil
		return
	}
	s.notifyNone()
	s.putString("* OK [NOTIFICATIONOVERFLOW] Too much to be watched, nothing is any more\r\n")
}

func (s *session) endNotify() {
	if n := s.notified; n != nil && n.ended != nil {
		n.ended()
	}
	s.notified = nil
}

// enableMetadata begins to tell which entries others have set, as servers may for
// who enabled METADATA (RFC 5464 §4.1): beside what the client is told without it,
// and as that with commands and in IDLE. NOTIFY, before or later, is more exact.
func (s *session) enableMetadata(ctx context.Context, events syntax.Events) error {
	if events == 0 || s.notified != nil && s.notified.ended != nil {
		return nil
	}
	if s.notified != nil {
		events |= s.notified.groups[1].Events
	}
	n := &notified{groups: []syntax.EventGroup{
		{MailboxFilter: syntax.MailboxFilter{Kind: syntax.FilterSelected}, Events: syntax.MessageEvents},
		{MailboxFilter: syntax.MailboxFilter{Kind: syntax.FilterPersonal}, Events: events},
	}}
	switch err := s.learn(ctx, n); {
	case errors.Is(err, errOverflow): // then nobody is told (RFC 5464 §4.1)
		return nil
	case err != nil:
		return err
	}
	s.notified = n
	return nil
}

// wakeOnNews interrupts the session's wait whenever its account moves.
func (s *session) wakeOnNews() (ended func()) {
	moved, unwatch := s.account.WatchAll()
	stop := s.wakeOn(moved)
	return func() {
		stop()
		unwatch()
	}
}

func (n *notified) wants(event syntax.Events) bool {
	return slices.ContainsFunc(n.groups, func(g syntax.EventGroup) bool { return g.Events&event != 0 })
}

// eventsOf is the events of a mailbox that were asked for, whether or not it is
// selected; for those of messages see [session.ofSelected].
func (s *session) eventsOf(n *notified, box storage.Mailbox) (events syntax.Events) {
	for _, g := range n.groups {
		if g.Kind != syntax.FilterSelected && g.Kind != syntax.FilterSelectedDelayed && s.filterNames(g.MailboxFilter, box) {
			events |= g.Events
		}
	}
	return events
}

// ofSelected is the group of the selected mailbox (RFC 5465 §6.1): without one,
// none of its messages are told of.
func (n *notified) ofSelected() syntax.EventGroup {
	for _, g := range n.groups {
		if g.Kind == syntax.FilterSelected || g.Kind == syntax.FilterSelectedDelayed {
			return g
		}
	}
	return syntax.EventGroup{}
}

// tells says whether an event of the selected mailbox is told of.
func (s *session) tells(event syntax.Events) bool {
	return s.notified == nil || s.notified.ofSelected().Events&event != 0
}

// statusOfAll is the STATUS indicator (RFC 5465 §3.1).
func (s *session) statusOfAll(ctx context.Context, n *notified) error {
	boxes := make([]storage.Mailbox, 0, len(n.known))
	for _, box := range n.known {
		boxes = append(boxes, box)
	}
	slices.SortFunc(boxes, func(a, b storage.Mailbox) int { return strings.Compare(a.Name, b.Name) })
	for _, box := range boxes {
		events := s.eventsOf(n, box) & syntax.MessageEvents
		if events == 0 || s.box != nil && s.box.id == box.ID {
			continue
		}
		items := syntax.StatusMessages | syntax.StatusUIDNext | syntax.StatusUIDValidity
		if events&syntax.EventFlagChange != 0 {
			items |= syntax.StatusHighestModSeq
		}
		if err := s.statusResponse(ctx, box, items); err != nil {
			return err
		}
	}
	return nil
}
