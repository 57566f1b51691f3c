package imapd

import (
	"context"
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
	groups  []syntax.EventGroup
	turn    storage.Turn
	known   map[storage.MailboxID]storage.Mailbox
	names   []string                                // subscribed
	entries map[storage.MailboxID]map[string]uint64 // digests of metadata, by name, where it is watched; 0: the server's
	ended   func()                                  // ends the watch; nil: it is told with commands and in IDLE alone
}

// notify is NOTIFY (RFC 5465 §3.1).
func (s *session) notify(ctx context.Context, a *syntax.Notify) (answer, error) {
	for _, g := range a.Groups {
		if g.Events&^offeredEvents != 0 {
			return answer{}, no(string(syntax.AppendBadEvent(nil, offeredEvents)), "Event not offered")
		}
	}
	s.endNotify()
	n := &notified{groups: a.Groups, ended: func() {}}
	if len(a.Groups) == 0 {
		s.notified = n
		return answer{}, nil
	}
	if err := s.sync(ctx, sendExpunges); err != nil { // as NOOP, whatever is to be told from now on
		return answer{}, err
	}
	if err := s.learn(ctx, n); err != nil {
		return answer{}, err
	}
	if a.Status {
		if err := s.statusOfAll(ctx, n); err != nil {
			return answer{}, err
		}
	}
	s.notified = n
	n.ended = s.wakeOnNews()
	return answer{}, nil
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
	if err := s.learn(ctx, n); err != nil {
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

// learn notes how everything stands.
func (s *session) learn(ctx context.Context, n *notified) error {
	m, err := s.account.Moved(ctx, 0)
	if err != nil {
		return err
	}
	n.turn = m.Turn
	n.known = make(map[storage.MailboxID]storage.Mailbox)
	for _, box := range m.Mailboxes {
		n.known[box.ID] = box
	}
	if n.names, err = s.account.Subscriptions(ctx); err != nil {
		return err
	}
	n.entries = make(map[storage.MailboxID]map[string]uint64)
	if n.wants(syntax.EventServerMetadataChange) {
		if n.entries[0], err = s.entriesOf(ctx, 0); err != nil {
			return err
		}
	}
	for id, box := range n.known {
		if s.eventsOf(n, box)&syntax.EventMailboxMetadataChange == 0 {
			continue
		}
		if n.entries[id], err = s.entriesOf(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// called is what is known of the mailbox of a name.
func (n *notified) called(name string) storage.Mailbox {
	for _, box := range n.known {
		if box.Name == name {
			return box
		}
	}
	return storage.Mailbox{}
}

func (n *notified) wants(event syntax.Events) bool {
	return slices.ContainsFunc(n.groups, func(g syntax.EventGroup) bool { return g.Events&event != 0 })
}

// entriesOf is a digest of each entry.
func (s *session) entriesOf(ctx context.Context, id storage.MailboxID) (map[string]uint64, error) {
	list, err := s.account.Annotations(ctx, id, nil, storage.DepthInfinity)
	if err != nil {
		return nil, err
	}
	sums := make(map[string]uint64, len(list))
	for _, e := range list {
		sums[e.Name] = digest(e.Value)
	}
	return sums, nil
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
