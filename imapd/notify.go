package imapd

import (
	"context"
	"maps"
	"slices"
	"strings"

	"letterlock/imapd/syntax"
	"letterlock/storage"

	"github.com/emersion/go-imap/v2"
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
	for _, g := range s.groups() {
		events |= g.Events & (syntax.EventMailboxMetadataChange | syntax.EventServerMetadataChange)
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

func (s *session) groups() []syntax.EventGroup {
	if s.notified == nil {
		return nil
	}
	return s.notified.groups
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
	if m.Lists {
		if err := s.listNews(ctx, n); err != nil {
			return err
		}
	}
	for _, box := range m.Mailboxes {
		if err := s.statusNews(ctx, n, box); err != nil {
			return err
		}
		n.known[box.ID] = box
	}
	if m.Subscriptions {
		if err := s.subscriptionNews(ctx, n); err != nil {
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
	was, known := n.known[box.ID]
	if !known && slices.Contains(s.own.made, box.Name) {
		was, known = box, true
		was.UIDNext, was.Messages, was.Unseen = 1, 0, 0
	}
	was = s.own.counted(was)
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

// listNews is the LIST responses for mailboxes that were made, deleted or got
// another name (RFC 5465 §5.4).
func (s *session) listNews(ctx context.Context, n *notified) error {
	nodes, err := s.hierarchy(ctx)
	if err != nil {
		return err
	}
	at := make(map[string]*node, len(nodes))
	for _, x := range nodes {
		at[x.name] = x
	}
	affected, renamed := s.listChanges(n, nodes)
	for _, was := range slices.Sorted(maps.Keys(renamed)) {
		now := renamed[was]
		if parent, moved := renamed[parentOf(was)]; moved && parent == parentOf(now) {
			continue // what lies below a mailbox goes with it without a word
		}
		if was == s.own.from && now == s.own.to {
			continue
		}
		s.listed(at[now], now, was)
	}
	slices.Sort(affected)
	for _, name := range slices.Compact(affected) {
		s.listed(at[name], name, "")
	}
	return nil
}

// parentOf is the level above a name, "" at the top.
func parentOf(name string) string {
	for parent := range above(name) {
		return parent
	}
	return ""
}

// listChanges takes what is known to the names there are now. It answers which
// names came or went, with the levels above them, and which old name became which
// new one, of those that the client wants to hear of.
func (s *session) listChanges(n *notified, nodes []*node) (affected []string, renamed map[string]string) {
	affect := func(box storage.Mailbox) {
		if s.eventsOf(n, box)&syntax.EventMailboxName == 0 {
			return
		}
		affected = append(affected, box.Name)
		if parent := parentOf(box.Name); parent != "" {
			affected = append(affected, parent)
		}
	}
	renamed = make(map[string]string)
	there := make(map[storage.MailboxID]bool)
	for _, x := range nodes {
		if x.box == nil {
			continue
		}
		there[x.box.ID] = true
		was, known := n.known[x.box.ID]
		switch {
		case !known && slices.Contains(s.own.made, x.name):
			continue
		case !known:
			affect(*x.box)
			continue
		case was.Name != x.name && (s.eventsOf(n, was)|s.eventsOf(n, *x.box))&syntax.EventMailboxName != 0:
			renamed[was.Name] = x.name
		}
		was.Name = x.name
		n.known[x.box.ID] = was
	}
	for id, box := range n.known {
		if there[id] {
			continue
		}
		if box.Name != s.own.removed {
			affect(box)
		}
		delete(n.known, id)
	}
	return affected, renamed
}

// listed is a LIST response that nobody asked for; x is nil for a name that is
// none any more.
func (s *session) listed(x *node, name, oldName string) {
	if x == nil {
		x = &node{name: name}
	}
	item := syntax.ListItem{Delim: delimiter, Mailbox: name, OldName: oldName, Attrs: x.attrs(imap.MailboxAttrNonExistent)}
	if x.subscribed {
		item.Attrs = append(item.Attrs, imap.MailboxAttrSubscribed)
	}
	s.put(syntax.AppendList(s.scratch[:0], &item, s.mode))
}

// subscriptionNews is RFC 5465 §5.5.
func (s *session) subscriptionNews(ctx context.Context, n *notified) error {
	nodes, err := s.hierarchy(ctx)
	if err != nil {
		return err
	}
	at := make(map[string]*node, len(nodes))
	for _, x := range nodes {
		at[x.name] = x
	}
	names, err := s.account.Subscriptions(ctx)
	if err != nil {
		return err
	}
	gone := slices.DeleteFunc(missingFrom(names, n.names), func(name string) bool { return name == s.own.unsubscribed })
	come := slices.DeleteFunc(missingFrom(n.names, names), func(name string) bool { return name == s.own.subscribed })
	changed := append(gone, come...)
	slices.Sort(changed)
	for _, name := range changed {
		box := storage.Mailbox{Name: name, Subscribed: true}
		if x := at[name]; x != nil && x.box != nil {
			box.ID = x.box.ID
		}
		if s.eventsOf(n, box)&syntax.EventSubscriptionChange != 0 {
			s.listed(at[name], name, "")
		}
	}
	n.names = names
	return nil
}

// missingFrom is what b has and a lacks.
func missingFrom(a, b []string) (missing []string) {
	for _, name := range b {
		if !slices.Contains(a, name) {
			missing = append(missing, name)
		}
	}
	return missing
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
	n.entries[id] = now
	if len(names) > 0 {
		slices.Sort(names)
		s.put(syntax.AppendMetadataNames(s.scratch[:0], box.Name, names, s.mode))
	}
	return nil
}
