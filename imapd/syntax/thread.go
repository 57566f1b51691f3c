package syntax

import "slices"

// Thread is THREAD or UID THREAD (RFC 5256 §3).
type Thread struct {
	UID       bool // answers with UIDs
	Algorithm ThreadAlgorithm
	Keys      And // never empty
}

// ThreadAlgorithm says how messages are threaded.
type ThreadAlgorithm uint8

const (
	OrderedSubject ThreadAlgorithm = iota
	References
	Refs // as References, without subjects, threads by their newest message
)

var threadNames = []string{OrderedSubject: "ORDEREDSUBJECT", References: "REFERENCES", Refs: "REFS"}

// thread reads RFC 5256 §5, thread.
func (d *Decoder) thread() Args {
	t := &Thread{UID: d.byUID}
	d.sp()
	algorithm := slices.Index(threadNames, d.keyword())
	if algorithm < 0 {
		d.fail("unknown threading algorithm")
		return t
	}
	t.Algorithm = ThreadAlgorithm(algorithm)
	t.Keys = d.searchCriteria()
	return t
}

// ThreadNode is a message and the answers to it. Num is 0 where the message is
// not there and its answers belong together all the same.
type ThreadNode struct {
	Num     uint32
	Replies []ThreadNode
}

// AppendThread writes "* THREAD (2)(3 6 (4 23)(44 7 96))" CRLF (RFC 5256 §4).
// A node without a number has answers. However deep they nest, it takes no stack.
func AppendThread(dst []byte, threads []ThreadNode) []byte {
	dst = append(dst, "* THREAD"...)
	if len(threads) > 0 {
		dst = append(dst, ' ')
	}
	// open[i] is the nodes that stand beside each other at depth i and are to come.
	for open := [][]ThreadNode{threads}; len(open) > 0; {
		last := len(open) - 1
		if len(open[last]) == 0 {
			if open = open[:last]; last > 0 {
				dst = append(dst, ')')
			}
			continue
		}
		node := &open[last][0]
		open[last] = open[last][1:]
		var forked []ThreadNode
		dst, forked = appendThreadMembers(dst, node)
		open = append(open, forked)
	}
	return append(dst, "\r\n"...)
}

// appendThreadMembers opens a thread and writes it up to where it forks, or to
// its end.
func appendThreadMembers(dst []byte, node *ThreadNode) ([]byte, []ThreadNode) {
	dst = append(dst, '(')
	for first := true; ; node = &node.Replies[0] {
		if node.Num != 0 {
			if !first {
				dst = append(dst, ' ')
			}
			dst = appendNumber(dst, "", node.Num)
			first = false
		}
		if len(node.Replies) == 1 {
			continue
		}
		if len(node.Replies) > 1 && !first {
			dst = append(dst, ' ')
		}
		return dst, slices.Clip(node.Replies)
	}
}
