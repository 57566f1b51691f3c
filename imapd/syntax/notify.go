package syntax

import (
	"slices"
	"strings"
)

// Notify is NOTIFY (RFC 5465 §3).
type Notify struct {
	Groups []EventGroup // empty for NOTIFY NONE
	Status bool         // the STATUS indicator: tell of every mailbox at once
}

// EventGroup is events of some mailboxes.
type EventGroup struct {
	MailboxFilter
	Events Events      // 0: NONE
	Items  []FetchItem // of EventMessageNew in the selected mailbox: what to fetch; usually none
}

// Events is a set of events. Whoever does not offer one of those asked for
// answers NO with [AppendBadEvent].
type Events uint16

const (
	EventMessageNew Events = 1 << iota
	EventMessageExpunge
	EventFlagChange
	EventAnnotationChange
	EventMailboxName
	EventSubscriptionChange
	EventMailboxMetadataChange
	EventServerMetadataChange
	EventUnknown // any other (RFC 5465 §8, event-ext)
)

// MessageEvents is the events of messages.
const MessageEvents = EventMessageNew | EventMessageExpunge | EventFlagChange | EventAnnotationChange

// eventNames is the names from EventMessageNew on.
var eventNames = []string{"MessageNew", "MessageExpunge", "FlagChange", "AnnotationChange",
	"MailboxName", "SubscriptionChange", "MailboxMetadataChange", "ServerMetadataChange"}

// AppendBadEvent writes "BADEVENT (MessageNew …)", to stand in brackets, with
// the events that are offered (RFC 5465 §3.1).
func AppendBadEvent(dst []byte, offered Events) []byte {
	var names []string
	for i, name := range eventNames {
		if offered&(EventMessageNew<<i) != 0 {
			names = append(names, name)
		}
	}
	return appendList(append(dst, "BADEVENT "...), names, func(dst []byte, name string) []byte { return append(dst, name...) })
}

// MailboxFilter says which mailboxes are meant (RFC 5465 §6).
type MailboxFilter struct {
	Kind      FilterKind
	Mailboxes []string // of FilterSubtree, FilterSubtreeOne and FilterMailboxes
}

// FilterKind is the kind of a MailboxFilter.
type FilterKind uint8

const (
	FilterSelected        FilterKind = iota
	FilterSelectedDelayed            // of NOTIFY alone
	FilterInboxes
	FilterPersonal
	FilterSubscribed
	FilterSubtree
	FilterSubtreeOne // of ESEARCH alone (RFC 7377 §2.2)
	FilterMailboxes
)

var filterNames = []string{"SELECTED", "SELECTED-DELAYED", "INBOXES", "PERSONAL", "SUBSCRIBED", "SUBTREE", "SUBTREE-ONE", "MAILBOXES"}

const (
	maxGroups       = 32
	maxFilterNames  = 256
	maxFilterEvents = 64
)

// notify reads RFC 5465 §8, notify.
func (d *Decoder) notify() Args {
	n := &Notify{}
	d.sp()
	switch d.keyword() {
	case "NONE":
		return n
	case "SET":
	default:
		d.fail("expected SET or NONE")
	}
	if d.ahead(" STATUS") {
		n.Status = true
		d.pos += len(" STATUS")
	}
	for d.ok() && (len(n.Groups) == 0 || d.more()) {
		d.sp()
		n.Groups = append(n.Groups, d.eventGroup())
		if len(n.Groups) > maxGroups {
			d.exceeds("too many event groups")
		}
	}
	d.checkGroups(n.Groups)
	return n
}

// eventGroup reads a group. The examples of RFC 5465 §3.1 leave out the
// parentheses round the events, its grammar does not.
func (d *Decoder) eventGroup() (g EventGroup) {
	d.expect('(')
	g.MailboxFilter = d.mailboxFilter()
	d.sp()
	switch {
	case d.peek() == '(':
		d.list1(maxFilterEvents, func() { d.event(&g) })
	case d.ahead("NONE)"):
		d.pos += len("NONE")
	default:
		d.event(&g)
		for d.take(' ') {
			d.event(&g)
		}
	}
	d.expect(')')
	return g
}

func (d *Decoder) event(g *EventGroup) {
	name := d.atom()
	i := slices.IndexFunc(eventNames, func(known string) bool { return strings.EqualFold(known, name) })
	if i < 0 {
		g.Events |= EventUnknown
		return
	}
	event := EventMessageNew << i
	g.Events |= event
	if event == EventMessageNew && d.ahead(" (") {
		d.sp()
		d.list1(maxItems, func() { g.Items = append(g.Items, d.fetchItem(d.keyword())) })
	}
}

// mailboxFilter reads RFC 5465 §8, filter-mailboxes.
func (d *Decoder) mailboxFilter() (f MailboxFilter) {
	kind := slices.Index(filterNames, d.keyword())
	if kind < 0 {
		d.fail("unknown mailbox specifier")
		return f
	}
	f.Kind = FilterKind(kind)
	if f.Kind < FilterSubtree {
		return f
	}
	d.sp()
	if d.peek() == '(' {
		d.list1(maxFilterNames, func() { f.Mailboxes = append(f.Mailboxes, d.mailbox()) })
	} else {
		f.Mailboxes = []string{d.mailbox()}
	}
	return f
}

// checkGroups answers BAD where RFC 5465 §5, §6.1 and §8 say so.
func (d *Decoder) checkGroups(groups []EventGroup) {
	ofSelected := 0
	for i := range groups {
		g := &groups[i]
		const both = EventMessageNew | EventMessageExpunge
		if g.Events&MessageEvents != 0 && g.Events&both != both {
			d.fail("MessageNew and MessageExpunge go together, and with every other message event")
		}
		switch g.Kind {
		case FilterSelected, FilterSelectedDelayed:
			ofSelected++
			if g.Events&^(MessageEvents|EventUnknown) != 0 {
				d.fail("the selected mailbox has message events alone")
			}
		case FilterSubtreeOne:
			d.fail("unknown mailbox specifier")
		default:
			if len(g.Items) > 0 {
				d.fail("items to fetch are for the selected mailbox")
			}
		}
	}
	if ofSelected > 1 {
		d.fail("one specifier of the selected mailbox may be there")
	}
}
