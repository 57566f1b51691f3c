package query_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"letterlock/imapd/query"
	"letterlock/imapd/syntax"
)

// plainNode is a message or a dummy (num 0) in a plain telling of RFC 5256 §3,
// steps 1 to 4, with pointers, and without any thought of speed.
type plainNode struct {
	num      int
	date     int
	parent   *plainNode
	children []*plainNode
}

func (n *plainNode) below(other *plainNode) bool {
	for ; n != nil; n = n.parent {
		if n == other {
			return true
		}
	}
	return false
}

func (n *plainNode) leave() {
	if n.parent != nil {
		n.parent.children = slices.DeleteFunc(n.parent.children, func(c *plainNode) bool { return c == n })
		n.parent = nil
	}
}

func (n *plainNode) enter(parent *plainNode) {
	if !parent.below(n) {
		n.parent = parent
		parent.children = append(parent.children, n)
	}
}

func (n *plainNode) when() int {
	if n.num != 0 {
		return n.date
	}
	return n.children[0].date
}

// pruned is what stands in the place of n (step 3), its children sorted.
func (n *plainNode) pruned(top bool) (list []*plainNode) {
	var children []*plainNode
	for _, c := range n.children {
		children = append(children, c.pruned(false)...)
	}
	n.children = children
	sortPlainly(n.children)
	if n.num == 0 && (!top || len(children) < 2) {
		return children
	}
	return []*plainNode{n}
}

func sortPlainly(list []*plainNode) {
	slices.SortFunc(list, func(a, b *plainNode) int {
		if a.when() != b.when() {
			return a.when() - b.when()
		}
		return a.number() - b.number()
	})
}

func (n *plainNode) number() int {
	if n.num == 0 {
		return n.children[0].num
	}
	return n.num
}

func (n *plainNode) String() string {
	var b strings.Builder
	b.WriteByte('(')
	for ; n != nil; n = n.children[0] {
		if n.num != 0 {
			if b.Len() > 1 {
				b.WriteByte(' ')
			}
			fmt.Fprint(&b, n.num)
		}
		if len(n.children) != 1 {
			if len(n.children) > 0 && n.num != 0 {
				b.WriteByte(' ')
			}
			for _, c := range n.children {
				b.WriteString(c.String())
			}
			break
		}
	}
	b.WriteByte(')')
	return b.String()
}

// plainly threads messages: their hour, id and references.
func threadPlainly(hours []int, ids []string, refs [][]string) string {
	nodes, byID := make([]*plainNode, len(ids)), map[string]*plainNode{}
	for i, id := range ids {
		nodes[i] = &plainNode{num: i + 1, date: hours[i]}
		if byID[id] == nil {
			byID[id] = nodes[i]
		}
	}
	for i, n := range nodes {
		var last *plainNode
		for _, id := range refs[i] {
			r := byID[id]
			if r == nil {
				r = &plainNode{}
				byID[id] = r
			}
			if last != nil && r.parent == nil {
				r.enter(last)
			}
			last = r
		}
		n.leave()
		if last != nil {
			n.enter(last)
		}
	}
	var roots []*plainNode
	for _, n := range nodes {
		for n.parent != nil {
			n = n.parent
		}
		if !slices.Contains(roots, n) {
			roots = append(roots, n)
		}
	}
	var top []*plainNode
	for _, n := range roots {
		top = append(top, n.pruned(true)...)
	}
	sortPlainly(top)
	var b strings.Builder
	for _, n := range top {
		b.WriteString(n.String())
	}
	return b.String()
}

// Subjects differ, so that step 5 joins nothing; what it does stands in
// TestThreadReferences.
func TestThreadsAreThoseOfAPlainTelling(t *testing.T) {
	rnd := rand.New(rand.NewPCG(8689, 3))
	for round := range 12 {
		var letters []letter
		var hours []int
		var ids []string
		var refs [][]string
		n := 10 + rnd.IntN(50)
		for i := range n {
			hour, id := rnd.IntN(100), fmt.Sprint(i)
			if rnd.IntN(10) == 0 {
				id = fmt.Sprint(rnd.IntN(n))
			}
			var to []string
			for range rnd.IntN(5) {
				to = append(to, fmt.Sprint(rnd.IntN(n+5)))
			}
			letters = append(letters, inThread(fmt.Sprint("s", i), hour, id, to...))
			hours, ids, refs = append(hours, hour), append(ids, id), append(refs, to)
		}
		if got, want := openHouse(t, letters...).thread(syntax.References), threadPlainly(hours, ids, refs); got != want {
			t.Fatalf("round %d: ids %v, references %v, hours %v\ngot  %s\nwant %s", round, ids, refs, hours, got, want)
		}
	}
}

// Whoever wrote the references: a thread as deep as the mailbox is long, that
// comes apart and together again at each message, costs no more than others.
func TestDeepThreadsTakeNoLongerThanOthers(t *testing.T) {
	const n = 4000
	var letters []letter
	for i := range n {
		next := fmt.Sprint(i + 1)
		letters = append(letters, inThread(fmt.Sprint("s", i), 1, fmt.Sprint(i), next, fmt.Sprint("x", i), fmt.Sprint(i-1)))
	}
	h := openHouse(t, letters...)
	threads, err := query.Thread(t.Context(), h.mailbox(), &syntax.Thread{Algorithm: syntax.References, Keys: syntax.And{syntax.All{}}})
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for open := [][]syntax.ThreadNode{threads.Roots}; len(open) > 0; {
		nodes := open[len(open)-1]
		open = open[:len(open)-1]
		for _, node := range nodes {
			if node.Num != 0 {
				found++
			}
			open = append(open, node.Replies)
		}
	}
	if found != n {
		t.Errorf("%d messages are in the threads, want %d", found, n)
	}
}
