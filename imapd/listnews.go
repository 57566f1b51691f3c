package imapd

import (
	"context"
	"maps"
	"slices"

	"letterlock/imapd/syntax"
	"letterlock/storage"

	"github.com/emersion/go-imap/v2"
)

// listNews is the LIST responses for mailboxes that were made, deleted or got
// another name (RFC 5465 §5.4).
func (s *session) listNews(ctx context.Context, n *notified) error {
	nodes, at, err := s.hierarchy(ctx)
	if err != nil {
		return err
	}
	affected, renamed := s.listChanges(n, nodes)
	for _, was := range slices.Sorted(maps.Keys(renamed)) {
		now := renamed[was]
		if carried(renamed, was, now) {
			continue // what lies below a mailbox goes with it without a word
		}
		if rest, moved := below(was, s.own.from); moved && now == s.own.to+rest {
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

// carried says whether a mailbox has another name because one above it has; between
// them there may be levels that are no mailboxes.
func carried(renamed map[string]string, was, now string) bool {
	for level := range above(was) {
		if to, moved := renamed[level]; moved {
			return now == to+was[len(level):]
		}
	}
	return false
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
		n.forgetEntries(id)
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
func (s *session) subscriptionNews(ctx context.Context, n *notified, names []string) error {
	_, at, err := s.hierarchy(ctx)
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
