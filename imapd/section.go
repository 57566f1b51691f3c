package imapd

import "letterlock/internal/mail"

// extent is a run of octets of a message.
type extent struct{ start, end int64 }

func (x extent) size() int64 { return max(0, x.end-x.start) }

// cut is the partial <offset.count> of x (RFC 9051 §6.4.5): beyond the end it
// is empty, over the end it is shortened.
func (x extent) cut(offset, count int64) extent {
	start := min(x.start+min(offset, x.size()), x.end)
	return extent{start, start + min(count, x.end-start)}
}

// findPart walks part numbers from the root of a message (RFC 9051 §6.4.5.1);
// nil where there is no such part. A message that is not multipart has a part
// 1, its body; so has the message inside a message/rfc822 part.
func findPart(root *mail.Part, path []uint32) *mail.Part {
	part, top := root, true
	for _, n := range path {
		if !top && part.Message != nil {
			part, top = &part.Message.Root, true
		}
		switch {
		case part.Parts != nil && 1 <= n && int(n) <= len(part.Parts):
			part = &part.Parts[n-1]
		case part.Parts == nil && top && n == 1: // the body itself
		default:
			return nil
		}
		top = false
	}
	return part
}

// errNotLeaf: BINARY is for parts with an encoding of their own (RFC 9051 §6.4.5).
var errNotLeaf = no("CANNOT", "BINARY is for parts that have a transfer encoding of their own")

func isLeaf(p *mail.Part) bool { return p.Parts == nil && p.Message == nil }
