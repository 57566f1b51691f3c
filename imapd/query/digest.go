package query

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"strings"
	"sync"

	"letterlock/internal/mail"
	"letterlock/internal/mime"
	"letterlock/internal/requiretls"
	"letterlock/internal/search"
	"letterlock/storage"
)

// column is one text that messages are sorted by.
type column uint8

const (
	byBaseSubject column = iota
	byFrom
	byTo
	byCc
	byDisplayFrom
	byDisplayTo
	columns
)

// Bounds of what one message takes in a digest.
const (
	maxSortText   = 1000 // octets of a text that count: about a line (RFC 5322 §2.1.1)
	maxReferences = 100  // of its references, the last ones
)

// digests is what messages of one mailbox are sorted and threaded by, made of
// their envelopes: about 150 octets for each. What is in it never changes; ranks
// are added.
type digests struct {
	uids    []storage.UID // ascending; the columns below are in their order
	demands []requiretls.Demand
	arrival []int64 // internal date, Unix seconds
	sent    []int64 // sent date, or the internal one where it cannot be determined (RFC 5256 §2.2)
	size    []int64
	state   []state
	ends    []uint32 // of the texts, message by message
	texts   []byte   // sort keys (RFC 5051)
	ids     []uint64 // hash of the Message-ID; 0: none
	refEnds []uint32
	refs    []uint64 // hashes of the references, oldest first

	mu       sync.Mutex // guards ranks, extended
	ranks    [columns][]uint32
	extended bool // others have been made of these, in the memory behind them
}

// state is what else is known of a message.
type state uint8

const (
	bare  state = 1 << iota // nothing of its content could be had: it may be had another time, or by others
	again                   // its subject is that of a reply or forward (RFC 5256 §3)
)

func (d *digests) len() int { return len(d.uids) }

// octets is roughly what they take.
func (d *digests) octets() int {
	return d.len()*64 + len(d.ends)*4 + len(d.texts) + len(d.refs)*8 + int(columns)*4*d.len()
}

func (d *digests) text(k int, c column) []byte {
	at := k*int(columns) + int(c)
	from := uint32(0)
	if at > 0 {
		from = d.ends[at-1]
	}
	return d.texts[from:d.ends[at]]
}

func (d *digests) references(k int) []uint64 {
	from := uint32(0)
	if k > 0 {
		from = d.refEnds[k-1]
	}
	return d.refs[from:d.refEnds[k]]
}

// rank is where a message's text stands among all of a column: equal texts have
// one rank, empty ones have 0.
func (d *digests) rank(c column) []uint32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ranks[c] == nil {
		d.ranks[c] = d.order(c)
	}
	return d.ranks[c]
}

func (d *digests) order(c column) []uint32 {
	order := make([]textAt, 0, d.len())
	for k := range d.len() {
		if text := d.text(k, c); len(text) > 0 {
			order = append(order, textAt{front(text), uint32(k)})
		}
	}
	slices.SortFunc(order, func(a, b textAt) int { return d.compare(a, b, c) })
	ranks := make([]uint32, d.len())
	rank := uint32(0)
	for i, t := range order {
		if i == 0 || d.compare(order[i-1], t, c) != 0 {
			rank++
		}
		ranks[t.k] = rank
	}
	return ranks
}

// textAt is a text by its first octets and its message's place.
type textAt struct {
	front uint64
	k     uint32
}

// front is the first eight octets as a number that compares as they do.
func front(text []byte) (n uint64) {
	var octets [8]byte
	copy(octets[:], text)
	for _, c := range octets {
		n = n<<8 | uint64(c)
	}
	return n
}

func (d *digests) compare(a, b textAt, c column) int {
	switch {
	case a.front < b.front:
		return -1
	case a.front > b.front:
		return 1
	}
	return slices.Compare(d.text(int(a.k), c), d.text(int(b.k), c))
}

// add takes a message. Without a summary, nothing is known of its content, and
// it is as if its header were empty.
func (d *digests) add(row *storage.Row, sum *mail.Summary) {
	d.uids = append(d.uids, row.UID)
	d.demands = append(d.demands, row.Demand)
	d.arrival = append(d.arrival, row.InternalDate.Unix())
	d.size = append(d.size, row.Size)
	known := state(0)
	if sum == nil {
		sum, known = &mail.Summary{}, bare
	}
	d.sent = append(d.sent, sentDate(row, sum))
	base, reply := mime.BaseSubject(sum.Subject)
	if reply {
		known |= again
	}
	d.state = append(d.state, known)
	d.addText(base)
	for _, list := range [][]mail.Addr{sum.From, sum.To, sum.Cc} {
		d.addText(firstMailbox(list))
	}
	d.addText(displayed(sum.From))
	d.addText(displayed(sum.To))
	d.addReferences(sum)
}

func (d *digests) addText(s string) {
	if len(s) > maxSortText {
		s = strings.ToValidUTF8(s[:maxSortText], "")
	}
	d.texts = search.AppendSortKey(d.texts, s)
	d.ends = append(d.ends, uint32(len(d.texts)))
}

func sentDate(row *storage.Row, sum *mail.Summary) int64 {
	if sum.Sent.IsZero() {
		return row.InternalDate.Unix()
	}
	return sum.Sent.Unix()
}

// firstMailbox is addr-mailbox of the first address in ENVELOPE; a group starts
// with one, too (RFC 9051 §7.5.2).
func firstMailbox(list []mail.Addr) string {
	if len(list) == 0 {
		return ""
	}
	return mime.DecodeHeader(list[0].Mailbox)
}

// displayed is the DISPLAY sort value (RFC 5957 §3).
func displayed(list []mail.Addr) string {
	if len(list) == 0 {
		return ""
	}
	a := &list[0]
	if name := mime.DecodeHeader(a.Name); name != "" {
		return name
	}
	if a.Host == "" {
		return mime.DecodeHeader(a.Mailbox)
	}
	return mime.DecodeHeader(a.Mailbox) + "@" + a.Host
}

// addReferences takes the ids that RFC 5256 §3 threads a message by: those of
// References, or else the first of In-Reply-To.
func (d *digests) addReferences(sum *mail.Summary) {
	id, _ := cutID(sum.MessageID)
	d.ids = append(d.ids, hashID(id))
	refs := sum.References[max(0, len(sum.References)-maxReferences):]
	before := len(d.refs)
	for _, ref := range refs {
		if id, ok := cutID(ref); ok {
			d.refs = append(d.refs, hashID(id))
		}
	}
	if id, ok := cutID(sum.InReplyTo); ok && len(d.refs) == before {
		d.refs = append(d.refs, hashID(id))
	}
	d.refEnds = append(d.refEnds, uint32(len(d.refs)))
}

// cutID is the first msg-id in a field, without its angle brackets and
// normalized: a quoted local part is the same as one that needs no quotes (RFC
// 5256 §3).
func cutID(s string) (id string, ok bool) {
	for {
		start := strings.IndexByte(s, '<')
		if start < 0 {
			return "", false
		}
		s = s[start+1:]
		end := strings.IndexByte(s, '>')
		if end < 0 {
			return "", false
		}
		if next := strings.IndexByte(s, '<'); next >= 0 && next < end {
			continue
		}
		if id := s[:end]; id != "" {
			return unquoted(id), true
		}
		s = s[end:]
	}
}

func unquoted(id string) string {
	if !strings.ContainsAny(id, "\"\\ \t\r\n") {
		return id
	}
	b := make([]byte, 0, len(id))
	for i := 0; i < len(id); i++ {
		switch c := id[i]; {
		case c == '\\' && i+1 < len(id):
			i++
			b = append(b, id[i])
		case c != '"' && c != ' ' && c != '\t' && c != '\r' && c != '\n':
			b = append(b, c)
		}
	}
	return string(b)
}

// seed makes hashes that no sender can foresee; they live as long as we do.
var seed = maphash.MakeSeed()

// hashID is 0 for no id.
func hashID(id string) uint64 {
	if id == "" {
		return 0
	}
	return maphash.String(seed, id) | 1
}

// append takes a message of other.
func (d *digests) append(other *digests, k int) {
	d.uids = append(d.uids, other.uids[k])
	d.demands = append(d.demands, other.demands[k])
	d.arrival = append(d.arrival, other.arrival[k])
	d.sent = append(d.sent, other.sent[k])
	d.size = append(d.size, other.size[k])
	d.state = append(d.state, other.state[k])
	for c := range columns {
		d.texts = append(d.texts, other.text(k, c)...)
		d.ends = append(d.ends, uint32(len(d.texts)))
	}
	d.ids = append(d.ids, other.ids[k])
	d.refs = append(d.refs, other.references(k)...)
	d.refEnds = append(d.refEnds, uint32(len(d.refs)))
}

// merged is the messages of both; where both have one, that of fresh.
func merged(old, fresh *digests) *digests {
	switch {
	case old == nil || old.len() == 0:
		return fresh
	case fresh.len() == 0:
		return old
	case old.uids[old.len()-1] < fresh.uids[0]:
		return old.extend(fresh)
	}
	d := &digests{}
	for i, j := 0, 0; i < old.len() || j < fresh.len(); {
		switch {
		case j == fresh.len() || i < old.len() && old.uids[i] < fresh.uids[j]:
			d.append(old, i)
			i++
		default:
			if i < old.len() && old.uids[i] == fresh.uids[j] {
				i++
			}
			d.append(fresh, j)
			j++
		}
	}
	return d
}

// extend is the messages of d and, behind them, those of fresh: new mail. The
// first time it writes them behind d's own, which whoever reads d does not see.
func (d *digests) extend(fresh *digests) *digests {
	d.mu.Lock()
	first := !d.extended
	d.extended = true
	d.mu.Unlock()
	return &digests{
		uids: behind(d.uids, fresh.uids, first), demands: behind(d.demands, fresh.demands, first),
		arrival: behind(d.arrival, fresh.arrival, first), sent: behind(d.sent, fresh.sent, first), size: behind(d.size, fresh.size, first),
		state: behind(d.state, fresh.state, first),
		ends:  behind(d.ends, shifted(fresh.ends, len(d.texts)), first), texts: behind(d.texts, fresh.texts, first),
		ids: behind(d.ids, fresh.ids, first), refEnds: behind(d.refEnds, shifted(fresh.refEnds, len(d.refs)), first), refs: behind(d.refs, fresh.refs, first),
	}
}

func behind[T any](s, more []T, first bool) []T {
	if !first {
		s = slices.Clip(s)
	}
	return append(s, more...)
}

func shifted(ends []uint32, by int) []uint32 {
	all := make([]uint32, len(ends))
	for i, end := range ends {
		all[i] = end + uint32(by)
	}
	return all
}

// digested answers digests that have all of the messages at those ascending
// indices of the view, but those that are gone.
func (m *Mailbox) digested(ctx context.Context, indices []uint32) (*digests, error) {
	old := m.Cache.get(m)
	var missing []storage.UID
	k := 0
	for _, i := range indices {
		e := m.View.At(int(i))
		k = old.find(e.UID, k)
		if k < old.len() && old.uids[k] == e.UID && (old.state[k]&bare == 0 || m.withholds(e.Flags)) {
			continue
		}
		missing = append(missing, e.UID)
	}
	if len(missing) == 0 {
		return old, nil
	}
	fresh := &digests{}
	for one, err := range m.Account.Envelopes(ctx, m.ID, missing, m.Gate) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		if one.Err != nil && !errors.Is(one.Err, requiretls.ErrWithheld) {
			m.trouble(one.Row.UID, one.Err)
		}
		fresh.add(&one.Row, one.Summary)
	}
	all := merged(old, fresh)
	m.Cache.put(m, all)
	return all, nil
}

// find is the place of a UID, or of the first greater one, from k on.
func (d *digests) find(uid storage.UID, k int) int {
	if k < len(d.uids) && d.uids[k] == uid { // nearly always the next
		return k
	}
	n, _ := slices.BinarySearch(d.uids[k:], uid)
	return k + n
}

func (m *Mailbox) held(d requiretls.Demand) bool {
	_, err := m.Gate(d)
	return err != nil
}
