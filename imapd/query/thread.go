package query

import (
	"cmp"
	"context"
	"slices"

	"letterlock/imapd/syntax"
)

// Threads is what was found, in threads.
type Threads struct {
	Roots   []syntax.ThreadNode // numbers or UIDs, as the command asked
	Gone    int                 // as in Result
	Damaged int
}

// Thread finds what [Search] finds, and threads it (RFC 5256 §3). REFS threads by
// references alone and sorts threads by the sent date of their newest message. A
// withheld message is a thread of its own (RFC 8689 §4.4).
func Thread(ctx context.Context, m *Mailbox, t *syntax.Thread) (*Threads, error) {
	r, err := Search(ctx, m, t.Keys)
	if err != nil {
		return nil, err
	}
	d, err := m.digested(ctx, r.Found)
	if err != nil {
		return nil, err
	}
	h := newThreading(m, d, r)
	if t.Algorithm == syntax.OrderedSubject {
		h.orderedSubject()
	} else if err := h.references(ctx, t.Algorithm); err != nil {
		return nil, err
	}
	nums := r.Numbers(NumberingOf(t.UID))
	return &Threads{Roots: h.nodes(nums), Gone: r.Gone, Damaged: r.Damaged}, nil
}

// threading is messages that are put into threads. A node is a message by its
// place in the result, or, from len(messages) on, a dummy.
type threading struct {
	messages []threaded
	roots    []int32
	children map[int32][]int32
	dummy    int32 // the next one
}

// threaded is what a message is threaded by.
type threaded struct {
	date    int64  // sent date (RFC 5256 §2.2); of what is withheld the internal one
	subject uint32 // rank of its base subject; 0: none
	again   bool   // its subject is that of a reply or forward
	held    bool
	id      uint64
	refs    []uint64
}

func newThreading(m *Mailbox, d *digests, r *Result) *threading {
	places := r.places(m, d)
	h := &threading{messages: make([]threaded, len(places)), children: make(map[int32][]int32)}
	subjects := d.rank(byBaseSubject)
	for at, p := range places {
		x := threaded{date: d.arrival[p.k], held: p.held}
		if !p.held {
			x.subject, x.again = subjects[p.k], d.state[p.k]&again != 0
			x.date, x.id, x.refs = d.sent[p.k], d.ids[p.k], d.references(int(p.k))
		}
		h.messages[at] = x
	}
	return h
}

// orderedSubject is ORDEREDSUBJECT: of the messages with one base subject the
// first is the root, and the others its children.
func (h *threading) orderedSubject() {
	order := make([]int32, len(h.messages))
	for at := range order {
		order[at] = int32(at)
	}
	slices.SortStableFunc(order, func(a, b int32) int {
		x, y := &h.messages[a], &h.messages[b]
		return cmp.Or(cmp.Compare(x.subject, y.subject), cmp.Compare(x.date, y.date))
	})
	first := none
	for _, at := range order {
		x := &h.messages[at]
		if first != none && !x.held && h.messages[first].subject == x.subject {
			h.children[first] = append(h.children[first], at)
			continue
		}
		h.roots = append(h.roots, at)
		if !x.held {
			first = at
		}
	}
	h.sortByDate(h.roots)
}

// sortByDate sorts siblings by date, and by the mailbox's order where that is the
// same (RFC 5256 §2.2). A dummy has the date of its first child.
func (h *threading) sortByDate(siblings []int32) {
	slices.SortFunc(siblings, func(a, b int32) int {
		a, b = h.first(a), h.first(b)
		return cmp.Or(cmp.Compare(h.messages[a].date, h.messages[b].date), cmp.Compare(a, b))
	})
}

// first is the message at the start of a thread: the node itself, or a dummy's
// first child.
func (h *threading) first(node int32) int32 {
	if int(node) < len(h.messages) {
		return node
	}
	return h.children[node][0]
}

func (h *threading) isDummy(node int32) bool { return int(node) >= len(h.messages) }

// nodes is the threads as they are written, all in one piece of memory.
func (h *threading) nodes(nums []uint32) []syntax.ThreadNode {
	total := len(h.roots)
	for _, c := range h.children {
		total += len(c)
	}
	all := make([]syntax.ThreadNode, 0, total)
	which := make([]int32, 0, total)
	add := func(siblings []int32) []syntax.ThreadNode {
		from := len(all)
		for _, node := range siblings {
			n := syntax.ThreadNode{}
			if !h.isDummy(node) {
				n.Num = nums[node]
			}
			all = append(all, n)
			which = append(which, node)
		}
		return all[from:len(all):len(all)]
	}
	roots := add(h.roots)
	for i := 0; i < len(all); i++ {
		if c := h.children[which[i]]; len(c) > 0 {
			all[i].Replies = add(c)
		}
	}
	return roots
}
