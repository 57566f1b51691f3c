package query

import (
	"cmp"
	"context"
	"math"
	"slices"

	"letterlock/imapd/syntax"
)

// references is REFERENCES (RFC 5256 §3), and REFS, which ends before threads
// are joined by their subjects and puts the one with the newest message last.
func (h *threading) references(ctx context.Context, algorithm syntax.ThreadAlgorithm) error {
	l := &linking{threading: h, ids: make(map[uint64]int32, len(h.messages))}
	if err := l.link(ctx); err != nil {
		return err
	}
	l.prune()
	h.dummy = int32(len(l.parent))
	for _, c := range h.children {
		h.sortByDate(c)
	}
	if algorithm == syntax.Refs {
		h.sortByNewest()
		return nil
	}
	h.sortByDate(h.roots) // step 4
	h.joinSubjects()
	h.sortByDate(h.roots) // step 6: below them, joinSubjects has done it
	return nil
}

// linking is steps 1 to 3: who answers whom.
type linking struct {
	*threading
	ids    map[uint64]int32 // nodes by their Message-ID
	parent []int32
	forest forest
}

// link is step 1.
func (l *linking) link(ctx context.Context) error {
	for at := range l.messages {
		l.add()
		if id := l.messages[at].id; id != 0 {
			if _, taken := l.ids[id]; !taken { // of several with one id it is the first one's
				l.ids[id] = int32(at)
			}
		}
	}
	for at := range l.messages {
		if at%4096 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		l.linkReferences(int32(at))
	}
	return nil
}

func (l *linking) add() int32 {
	l.parent = append(l.parent, none)
	l.forest.grow()
	return int32(len(l.parent) - 1)
}

// linkReferences links what a message refers to among each other (1.A), and the
// last of them to the message (1.B).
func (l *linking) linkReferences(at int32) {
	last := none
	for _, id := range l.messages[at].refs {
		node, known := l.ids[id]
		if !known {
			node = l.add()
			l.ids[id] = node
		}
		if last != none && l.parent[node] == none {
			l.join(node, last)
		}
		last = node
	}
	if l.parent[at] == last {
		return
	}
	if l.parent[at] != none { // the references that said so were cut short
		l.forest.cut(at)
		l.parent[at] = none
	}
	if last != none {
		l.join(at, last)
	}
}

// join makes child, which has no parent, a child of parent, unless that would
// make a loop.
func (l *linking) join(child, parent int32) {
	if l.forest.root(parent) != child {
		l.forest.join(child, parent)
		l.parent[child] = parent
	}
}

// prune is steps 2 and 3: a dummy gives its children to the message above it;
// where there is none, it stays if it has several.
func (l *linking) prune() {
	for at := range l.messages {
		above := l.above(int32(at))
		if above == none {
			l.roots = append(l.roots, int32(at))
			continue
		}
		if l.isDummy(above) && len(l.children[above]) == 0 {
			l.roots = append(l.roots, above)
		}
		l.children[above] = append(l.children[above], int32(at))
	}
	for i, node := range l.roots {
		if c := l.children[node]; l.isDummy(node) && len(c) == 1 {
			l.roots[i] = c[0]
			delete(l.children, node)
		}
	}
}

// above is the next message above a node, or the highest dummy where there is
// none. What is found is remembered, so that each dummy is passed once.
func (l *linking) above(at int32) int32 {
	node := l.parent[at]
	for node != none && l.isDummy(node) && l.parent[node] != none {
		node = l.parent[node]
	}
	for step := at; step != node && l.parent[step] != node && l.parent[step] != none; {
		step, l.parent[step] = l.parent[step], node
	}
	return node
}

// sortByNewest puts the thread with the newest message last.
func (h *threading) sortByNewest() {
	newest := make(map[int32]int64, len(h.roots))
	for _, root := range h.roots {
		newest[root] = h.newestOf(root)
	}
	slices.SortFunc(h.roots, func(a, b int32) int {
		return cmp.Or(cmp.Compare(newest[a], newest[b]), cmp.Compare(h.first(a), h.first(b)))
	})
}

func (h *threading) newestOf(root int32) (newest int64) {
	newest = math.MinInt64
	for open := []int32{root}; len(open) > 0; {
		node := open[len(open)-1]
		open = append(open[:len(open)-1], h.children[node]...)
		if !h.isDummy(node) {
			newest = max(newest, h.messages[node].date)
		}
	}
	return newest
}

// joinSubjects is step 5: threads of one base subject are one.
func (h *threading) joinSubjects() {
	table := make(map[uint32]int32, len(h.roots)) // 5.A
	for _, node := range h.roots {                // 5.B
		subject := h.subject(node)
		if subject == 0 {
			continue
		}
		if there, taken := table[subject]; !taken || h.better(node, there) {
			table[subject] = node
		}
	}
	j := &joining{threading: h, moved: make(map[int32]bool)}
	for _, node := range slices.Clone(h.roots) { // 5.C
		there, ok := table[h.subject(node)]
		if ok && there != node && !j.moved[node] {
			table[h.subject(node)] = j.join(there, node)
		}
	}
	h.roots = slices.DeleteFunc(h.roots, func(node int32) bool { return j.moved[node] })
	for _, node := range j.joined {
		h.sortByDate(h.children[node])
	}
}

func (h *threading) subject(root int32) uint32 { return h.messages[h.first(root)].subject }

// again says whether a root is a reply or forward; a dummy is none.
func (h *threading) again(root int32) bool { return !h.isDummy(root) && h.messages[root].again }

// better is step 5.B.iv: a dummy rather than a message, a message that is no
// reply rather than one.
func (h *threading) better(node, than int32) bool {
	return !h.isDummy(than) && (h.isDummy(node) || h.again(than) && !h.again(node))
}

// joining is step 5.C.
type joining struct {
	*threading
	moved  map[int32]bool // no longer roots
	joined []int32        // what got children
}

// join puts the thread of node to that of there, which has its subject, and
// answers its root.
func (j *joining) join(there, node int32) int32 {
	j.moved[node] = true
	switch {
	case j.isDummy(there) && j.isDummy(node):
		j.adopt(there, j.children[node]...)
		delete(j.children, node)
	case j.isDummy(there), j.again(node) && !j.again(there):
		j.adopt(there, node)
	default:
		j.moved[there] = true
		dummy := j.dummy
		j.dummy++
		j.adopt(dummy, there, node)
		j.roots = append(j.roots, dummy)
		return dummy
	}
	return there
}

func (j *joining) adopt(node int32, children ...int32) {
	j.children[node] = append(j.children[node], children...)
	j.joined = append(j.joined, node)
}
