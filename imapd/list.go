package imapd

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"letterlock/imapd/syntax"
	"letterlock/storage"

	"github.com/emersion/go-imap/v2"
)

// node is one name of the hierarchy: a mailbox, a subscribed name that is none,
// or a level above one of these.
type node struct {
	name       string
	box        *storage.Mailbox // nil: \NonExistent
	subscribed bool
	children   bool // a mailbox lies below
}

// hierarchy is every name of the account, INBOX first.
func (s *session) hierarchy(ctx context.Context) (nodes []*node, byName map[string]*node, err error) {
	boxes, err := s.account.Mailboxes(ctx)
	if err != nil {
		return nil, nil, err
	}
	subscriptions, err := s.account.Subscriptions(ctx)
	if err != nil {
		return nil, nil, err
	}
	byName = make(map[string]*node, len(boxes))
	at := func(name string) *node {
		if byName[name] == nil {
			byName[name] = &node{name: name}
		}
		return byName[name]
	}
	for i := range boxes {
		at(boxes[i].Name).box = &boxes[i]
		for parent := range above(boxes[i].Name) {
			at(parent).children = true
		}
	}
	for _, name := range subscriptions {
		at(name).subscribed = true
		for parent := range above(name) {
			at(parent)
		}
	}
	nodes = make([]*node, 0, len(byName))
	for _, n := range byName {
		nodes = append(nodes, n)
	}
	slices.SortFunc(nodes, func(a, b *node) int {
		if (a.name == inbox) != (b.name == inbox) {
			if a.name == inbox {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.name, b.name)
	})
	return nodes, byName, nil
}

// above yields the levels above a name, the nearest first.
func above(name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for {
			i := strings.LastIndexByte(name, delimiter)
			if i <= 0 {
				return
			}
			if name = name[:i]; !yield(name) {
				return
			}
		}
	}
}

// attrs is the name attributes every LIST tells (RFC 9051 §7.3.1, RFC 3348).
func (n *node) attrs(missing imap.MailboxAttr) []imap.MailboxAttr {
	var attrs []imap.MailboxAttr
	if n.box == nil {
		attrs = append(attrs, missing)
	}
	if n.children {
		attrs = append(attrs, imap.MailboxAttrHasChildren)
	} else {
		attrs = append(attrs, imap.MailboxAttrHasNoChildren)
	}
	if n.box != nil {
		attrs = append(attrs, specialUse(*n.box)...)
	}
	return attrs
}

func specialUse(box storage.Mailbox) []imap.MailboxAttr {
	if box.SpecialUse == "" {
		return nil
	}
	return []imap.MailboxAttr{imap.MailboxAttr(box.SpecialUse)}
}

// list is LIST, basic and extended (RFC 9051 §6.3.9, RFC 5258).
func (s *session) list(ctx context.Context, a *syntax.List) (answer, error) {
	if a.Return&syntax.ReturnStatus != 0 && a.Status&^offered != 0 {
		return answer{}, errStatusItem
	}
	if !a.Extended && len(a.Patterns) == 1 && a.Patterns[0] == "" {
		s.listRoot(syntax.AppendList)
		return answer{}, nil
	}
	if a.Status&syntax.StatusHighestModSeq != 0 {
		s.beAware()
	}
	nodes, _, err := s.hierarchy(ctx)
	if err != nil {
		return answer{}, err
	}
	q := newListing(a, nodes)
	if !a.Extended && !s.rev2 {
		q.missing = imap.MailboxAttrNoSelect // all that RFC 3501 clients know
	}
	for _, n := range nodes {
		item, wanted := q.item(n)
		if !wanted {
			continue
		}
		s.put(syntax.AppendList(s.scratch[:0], item, s.mode))
		if a.Return&syntax.ReturnStatus != 0 && n.box != nil && q.selects(n) {
			if err := s.listStatus(ctx, *n.box, a.Status); err != nil {
				return answer{}, err
			}
		}
	}
	return answer{}, nil
}

// listStatus is the STATUS response behind a LIST response (RFC 5819 §2).
func (s *session) listStatus(ctx context.Context, box storage.Mailbox, items syntax.StatusItems) error {
	box, err := s.account.counted(ctx, box)
	if errors.Is(err, storage.ErrNotFound) { // deleted meanwhile
		return nil
	}
	if err != nil {
		return err
	}
	return s.statusResponse(ctx, box, items)
}

// listRoot answers an empty pattern: the delimiter and the root's name
// (RFC 9051 §6.3.9).
func (s *session) listRoot(appendItem func([]byte, *syntax.ListItem, syntax.Mode) []byte) {
	root := syntax.ListItem{Attrs: []imap.MailboxAttr{imap.MailboxAttrNoSelect}, Delim: delimiter}
	s.put(appendItem(s.scratch[:0], &root, s.mode))
}

// listing is one LIST command over one hierarchy.
type listing struct {
	*syntax.List
	patterns []string         // reference and pattern joined
	missing  imap.MailboxAttr // of a name that is no mailbox
	below    map[string]bool  // levels with something below that meets the criteria
	hidden   map[string]bool  // and where that is not listed itself
}

// newListing works out, for RECURSIVEMATCH, below which levels the criteria
// are met (RFC 9051 §6.3.9.6).
func newListing(a *syntax.List, nodes []*node) *listing {
	q := &listing{List: a, missing: imap.MailboxAttrNonExistent, below: make(map[string]bool), hidden: make(map[string]bool)}
	for _, p := range a.Patterns {
		if p != "" {
			q.patterns = append(q.patterns, a.Reference+p)
		}
	}
	if a.Select&syntax.SelectRecursiveMatch == 0 {
		return q
	}
	for _, n := range nodes {
		if !q.selects(n) {
			continue
		}
		shown := q.matches(n.name)
		for parent := range above(n.name) {
			q.below[parent] = true
			q.hidden[parent] = q.hidden[parent] || !shown
		}
	}
	return q
}

func (q *listing) matches(name string) bool {
	return slices.ContainsFunc(q.patterns, func(p string) bool { return syntax.Match(p, name, delimiter) })
}

// selects says whether a name meets the selection options. Without any, what
// exists does.
func (q *listing) selects(n *node) bool {
	criteria := q.Select & (syntax.SelectSubscribed | syntax.SelectSpecialUse)
	if criteria == 0 {
		return n.box != nil
	}
	if criteria&syntax.SelectSubscribed != 0 && !n.subscribed {
		return false
	}
	return criteria&syntax.SelectSpecialUse == 0 || n.box != nil && n.box.SpecialUse != ""
}

// item is the LIST response for a name, if it is to be listed.
func (q *listing) item(n *node) (item *syntax.ListItem, wanted bool) {
	if !q.matches(n.name) || !q.selects(n) && !q.hidden[n.name] && !q.isLevel(n) {
		return nil, false
	}
	item = &syntax.ListItem{Delim: delimiter, Mailbox: n.name, Attrs: n.attrs(q.missing)}
	if q.Select&syntax.SelectSubscribed != 0 || q.Return&syntax.ReturnSubscribed != 0 {
		if n.subscribed {
			item.Attrs = append(item.Attrs, imap.MailboxAttrSubscribed)
		}
	}
	if q.below[n.name] {
		item.ChildInfo = q.criteria()
	}
	return item, true
}

// isLevel says whether a name that is no mailbox is listed because a pattern
// that ends in % asks for levels of the hierarchy (RFC 9051 §6.3.9).
func (q *listing) isLevel(n *node) bool {
	if n.box != nil || !n.children || q.Select&(syntax.SelectSubscribed|syntax.SelectSpecialUse) != 0 {
		return false
	}
	return slices.ContainsFunc(q.patterns, func(p string) bool {
		return strings.HasSuffix(p, "%") && syntax.Match(p, n.name, delimiter)
	})
}

// criteria names the selection options for CHILDINFO (RFC 5258 §3.5).
func (q *listing) criteria() []string {
	var names []string
	if q.Select&syntax.SelectSubscribed != 0 {
		names = append(names, "SUBSCRIBED")
	}
	if q.Select&syntax.SelectSpecialUse != 0 {
		names = append(names, "SPECIAL-USE")
	}
	return names
}

// lsub is LSUB (RFC 3501 §6.3.9): subscribed names, and with a % at the end the
// levels above those that it does not reach.
func (s *session) lsub(ctx context.Context, a *syntax.Lsub) (answer, error) {
	if a.Pattern == "" {
		s.listRoot(syntax.AppendLsub)
		return answer{}, nil
	}
	nodes, _, err := s.hierarchy(ctx)
	if err != nil {
		return answer{}, err
	}
	pattern := a.Reference + a.Pattern
	levels := make(map[string]bool)
	if strings.HasSuffix(pattern, "%") {
		for _, n := range nodes {
			if n.subscribed && !syntax.Match(pattern, n.name, delimiter) {
				for parent := range above(n.name) {
					levels[parent] = true
				}
			}
		}
	}
	for _, n := range nodes {
		if !n.subscribed && !levels[n.name] || !syntax.Match(pattern, n.name, delimiter) {
			continue
		}
		item := syntax.ListItem{Delim: delimiter, Mailbox: n.name}
		if !n.subscribed || n.box == nil {
			item.Attrs = []imap.MailboxAttr{imap.MailboxAttrNoSelect}
		}
		s.put(syntax.AppendLsub(s.scratch[:0], &item, s.mode))
	}
	return answer{}, nil
}
