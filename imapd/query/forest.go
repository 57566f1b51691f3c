package query

// forest is trees that are joined and cut, and that always know their roots: a
// link-cut tree (Sleator and Tarjan). Whatever a sender writes into his
// References, asking for a root costs about the logarithm of the tree, where
// walking up would cost its depth.
type forest struct {
	nodes []forestNode
}

// forestNode stands in a splay tree of the nodes of one path, by depth. up is the
// parent there, or the node in the path above to which this path is joined.
type forestNode struct {
	up, left, right int32
}

// none is no node.
const none = int32(-1)

// grow adds a tree of one node.
func (f *forest) grow() { f.nodes = append(f.nodes, forestNode{none, none, none}) }

// root is the root of x's tree.
func (f *forest) root(x int32) int32 {
	f.expose(x)
	for f.nodes[x].left != none {
		x = f.nodes[x].left
	}
	f.splay(x)
	return x
}

// join puts child, which is a root, below parent, which is of another tree.
func (f *forest) join(child, parent int32) {
	f.expose(child)
	f.nodes[child].up = parent
}

// cut makes x, which is no root, the root of its own tree.
func (f *forest) cut(x int32) {
	f.expose(x)
	above := f.nodes[x].left
	f.nodes[above].up = none
	f.nodes[x].left = none
}

// expose makes the path from the root to x one splay tree with x on top.
func (f *forest) expose(x int32) {
	below := none
	for y := x; y != none; y = f.nodes[y].up {
		f.splay(y)
		f.nodes[y].right = below
		below = y
	}
	f.splay(x)
}

// top says whether x is on top of its splay tree.
func (f *forest) top(x int32) bool {
	up := f.nodes[x].up
	return up == none || f.nodes[up].left != x && f.nodes[up].right != x
}

func (f *forest) splay(x int32) {
	for !f.top(x) {
		if up := f.nodes[x].up; !f.top(up) {
			if above := f.nodes[up].up; (f.nodes[above].left == up) == (f.nodes[up].left == x) {
				f.rotate(up)
			} else {
				f.rotate(x)
			}
		}
		f.rotate(x)
	}
}

// rotate puts x in the place of the node above it.
func (f *forest) rotate(x int32) {
	up := f.nodes[x].up
	above := f.nodes[up].up
	if !f.top(up) {
		if f.nodes[above].left == up {
			f.nodes[above].left = x
		} else {
			f.nodes[above].right = x
		}
	}
	var moved int32
	if f.nodes[up].left == x {
		moved = f.nodes[x].right
		f.nodes[up].left, f.nodes[x].right = moved, up
	} else {
		moved = f.nodes[x].left
		f.nodes[up].right, f.nodes[x].left = moved, up
	}
	if moved != none {
		f.nodes[moved].up = up
	}
	f.nodes[up].up, f.nodes[x].up = x, above
}
