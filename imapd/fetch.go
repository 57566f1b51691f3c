package imapd

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"

	"letterlock/imapd/syntax"
	"letterlock/internal/mail"
	"letterlock/internal/mime"
	"letterlock/internal/requiretls"
	"letterlock/storage"
)

// fetchBatch is how many messages are looked up, and marked \Seen, at once.
const fetchBatch = 128

// fetching is one FETCH command.
type fetching struct {
	s        *session
	items    []syntax.FetchItem // all that is asked for
	harmless []syntax.FetchItem // and without what shows content
	needs    need               // of all items together
	filters  map[*syntax.FetchItem]mime.Filter

	held       int  // messages whose content was withheld
	gone       int  // messages that somebody else has expunged
	damaged    int  // messages that could not be read
	unknownCTE bool // BINARY met an encoding nobody knows
}

// need is what has to be looked up for an item.
type need uint8

const (
	needRow     need = 1 << iota // dates and sizes
	needSummary                  // envelope and structure, from the cache
	needOctets                   // the message itself
	needRelease                  // it shows content (the release rule)
	setsSeen
)

// needsOf is what an item needs.
func needsOf(item *syntax.FetchItem) need {
	switch item.Kind {
	case syntax.FetchInternalDate, syntax.FetchRFC822Size:
		return needRow
	case syntax.FetchEnvelope, syntax.FetchBody, syntax.FetchBodyStructure:
		return needRelease | needSummary
	case syntax.FetchRFC822Header:
		return needRelease | needOctets | needRow
	case syntax.FetchRFC822, syntax.FetchRFC822Text:
		return needRelease | needOctets | needRow | setsSeen
	case syntax.FetchBodySection, syntax.FetchBinary, syntax.FetchBinarySize:
		n := needRelease | needOctets | needRow
		if len(item.Section.Part) > 0 {
			n |= needSummary
		}
		if !item.Peek && item.Kind != syntax.FetchBinarySize {
			n |= setsSeen
		}
		return n
	}
	return 0
}

// fetch is FETCH and UID FETCH (RFC 9051 §6.4.5).
func (s *session) fetch(ctx context.Context, a *syntax.Fetch) (answer, error) {
	if a.ChangedSince != 0 || a.Vanished || slices.ContainsFunc(a.Items, notOffered) {
		return answer{}, bad("FETCH item or modifier not offered")
	}
	set, err := s.indices(a.Set, a.UID)
	if err != nil {
		return answer{}, err
	}
	f := newFetching(s, a)
	for batch := range slices.Chunk(set, fetchBatch) {
		if err := f.batch(ctx, batch); err != nil {
			return answer{}, err
		}
	}
	return f.result(len(set))
}

func notOffered(item syntax.FetchItem) bool {
	switch item.Kind {
	case syntax.FetchModSeq, syntax.FetchEmailID, syntax.FetchThreadID, syntax.FetchSaveDate:
		return true
	}
	return false
}

func newFetching(s *session, a *syntax.Fetch) *fetching {
	f := &fetching{s: s, items: a.Items}
	isUID := func(item syntax.FetchItem) bool { return item.Kind == syntax.FetchUID }
	if a.UID && !slices.ContainsFunc(f.items, isUID) {
		f.items = slices.Concat([]syntax.FetchItem{{Kind: syntax.FetchUID}}, f.items) // RFC 9051 §6.4.9
	}
	f.filters = make(map[*syntax.FetchItem]mime.Filter)
	for i := range f.items {
		item := &f.items[i]
		switch item.Section.Text {
		case syntax.HeaderFields:
			f.filters[item] = mime.Keep(item.Section.Fields...)
		case syntax.HeaderFieldsNot:
			f.filters[item] = mime.Drop(item.Section.Fields...)
		}
		n := needsOf(item)
		f.needs |= n
		if n&needRelease == 0 {
			f.harmless = append(f.harmless, *item)
		}
	}
	return f
}

// result ends the command. Whoever got nothing but withheld messages hears NO.
func (f *fetching) result(asked int) (answer, error) {
	if f.held > 0 {
		f.s.logWithheld(f.held)
	}
	switch {
	case f.damaged > 0:
		return answer{}, no("CORRUPTION", counted(f.damaged, "message", "messages")+" cannot be read")
	case f.unknownCTE:
		return answer{}, no("UNKNOWN-CTE", "A part has an encoding that is not known")
	case f.held > 0 && f.held == asked:
		return answer{}, errPrivacy
	case f.held > 0:
		return answer{"PRIVACYREQUIRED", strconv.Itoa(f.held) + " withheld"}, nil
	case f.gone > 0:
		return answer{"EXPUNGEISSUED", counted(f.gone, "message is", "messages are") + " gone"}, nil
	}
	return answer{}, nil
}

// batch answers for some messages of the set.
func (f *fetching) batch(ctx context.Context, set []int) error {
	marked, err := f.markSeen(ctx, set)
	if err != nil {
		return err
	}
	var rows []storage.Row
	if f.needs&needRow != 0 {
		if rows, err = f.s.account.Rows(ctx, f.s.box.id, f.s.uidsOf(set)); err != nil {
			return err
		}
	}
	for _, i := range set {
		m := fetched{i: i, entry: f.s.box.view.At(i), newFlags: marked[i]}
		if f.needs&needRow != 0 {
			if len(rows) == 0 || rows[0].UID != m.entry.UID {
				f.gone++
				continue
			}
			m.row, rows = &rows[0], rows[1:]
		}
		if err := f.message(ctx, &m); err != nil {
			return err
		}
		if f.s.broken {
			return errCut
		}
	}
	return nil
}

// markSeen sets \Seen on the messages whose text is about to be shown, and says
// which of them have new flags that go into their FETCH response. It looks at
// the flags as they are now: another session may have taken \Seen away. Mail can
// be read while the vault takes no changes.
func (f *fetching) markSeen(ctx context.Context, set []int) (marked map[int]bool, err error) {
	s := f.s
	if f.needs&setsSeen == 0 || s.box.readOnly {
		return nil, nil
	}
	now, err := s.look(ctx, holdExpunges)
	if err != nil {
		return nil, err
	}
	var unseen []int
	for _, i := range set {
		if flags := now.At(i).Flags; flags&storage.Seen == 0 && !s.gate.withholds(flags) {
			unseen = append(unseen, i)
		}
	}
	if len(unseen) == 0 {
		return nil, nil
	}
	_, err = s.account.StoreFlags(ctx, s.box.id, s.uidsOf(unseen), storage.AddFlags, []string{`\Seen`}, 0)
	if errors.Is(err, storage.ErrUnavailable) {
		s.log.Warn("cannot set \\Seen", "err", err)
		return nil, nil
	}
	if errors.Is(err, storage.ErrNotFound) {
		return nil, errGone
	}
	if err != nil {
		return nil, err
	}
	if now, err = s.look(ctx, holdExpunges); err != nil {
		return nil, err
	}
	marked = make(map[int]bool)
	return marked, s.announce(ctx, now, func(i int, _ storage.Entry) bool {
		_, inBatch := slices.BinarySearch(set, i)
		if inBatch {
			marked[i] = true
		}
		return inBatch
	})
}

// fetched is one message on its way out.
type fetched struct {
	i        int // index in the view
	entry    storage.Entry
	row      *storage.Row
	newFlags bool // the client does not know its flags yet

	summary *mail.Summary
	octets  storage.Message
}

// message answers for one message. All that can fail before the first octet is
// done first: once a literal is announced it has to come.
func (f *fetching) message(ctx context.Context, m *fetched) error {
	items := f.items
	if f.needs&needRelease != 0 {
		err := f.open(ctx, m)
		if m.octets != nil {
			defer m.octets.Close()
		}
		switch {
		case errors.Is(err, requiretls.ErrWithheld):
			f.held++
			items = f.harmless
		case errors.Is(err, storage.ErrNotFound):
			f.gone++
			return nil
		case ctx.Err() != nil:
			return err
		case err != nil: // the others shall come all the same
			f.s.log.Error("message cannot be read", "mailbox", f.s.box.name, "uid", m.entry.UID, "err", err)
			f.damaged++
			items = f.harmless
		}
	}
	if len(items) == 0 && !m.newFlags {
		return nil
	}
	return f.write(m, items)
}

// open gets what the items need of the content, with a release for it.
func (f *fetching) open(ctx context.Context, m *fetched) error {
	release, err := f.s.gate.release(m.entry.Flags)
	if err != nil {
		return err
	}
	if f.needs&needSummary != 0 {
		if m.summary, err = f.s.account.Summary(ctx, f.s.box.id, m.entry.UID, release); err != nil {
			return err
		}
	}
	if f.needs&needOctets != 0 {
		m.octets, err = f.s.account.Message(ctx, f.s.box.id, m.entry.UID, release)
	}
	return err
}

// write is the FETCH response (RFC 9051 §7.5.2).
func (f *fetching) write(m *fetched, items []syntax.FetchItem) error {
	l := f.s.fetchLine(m.i + 1)
	for k := range items {
		if err := f.item(l, m, &items[k]); err != nil {
			return err
		}
	}
	if m.newFlags && !slices.ContainsFunc(items, func(i syntax.FetchItem) bool { return i.Kind == syntax.FetchFlags }) {
		l.next()
		l.b = f.s.appendFlags(l.b, m.entry)
	}
	l.end()
	return nil
}

// item writes one data item.
func (f *fetching) item(l *fetchLine, m *fetched, item *syntax.FetchItem) error {
	mode := f.s.mode
	switch item.Kind {
	case syntax.FetchFlags:
		l.next()
		l.b = f.s.appendFlags(l.b, m.entry)
	case syntax.FetchUID:
		l.named(item)
		l.b = strconv.AppendUint(l.b, uint64(m.entry.UID), 10)
	case syntax.FetchInternalDate:
		l.named(item)
		l.b = syntax.AppendDateTime(l.b, m.row.InternalDate)
	case syntax.FetchRFC822Size:
		l.named(item)
		l.b = strconv.AppendInt(l.b, m.row.Size, 10)
	case syntax.FetchEnvelope:
		l.named(item)
		l.b = syntax.AppendEnvelope(l.b, m.summary, mode)
	case syntax.FetchBody:
		l.named(item)
		l.b = syntax.AppendBody(l.b, &m.summary.Root, mode)
	case syntax.FetchBodyStructure:
		l.named(item)
		l.b = syntax.AppendBodyStructure(l.b, &m.summary.Root, mode)
	case syntax.FetchBinary, syntax.FetchBinarySize:
		return f.binary(l, m, item)
	default:
		return f.section(l, m, item)
	}
	return nil
}

// fetchLine is a FETCH response being written. Nothing of it is sent before its
// first literal or its end, so a line without items can be dropped.
type fetchLine struct {
	s     *session
	b     []byte
	items int
}

func (s *session) fetchLine(seq int) *fetchLine {
	b := append(s.scratch[:0], "* "...)
	b = strconv.AppendInt(b, int64(seq), 10)
	return &fetchLine{s: s, b: append(b, " FETCH ("...)}
}

// next separates items.
func (l *fetchLine) next() {
	if l.items > 0 {
		l.b = append(l.b, ' ')
	}
	l.items++
}

func (l *fetchLine) named(item *syntax.FetchItem) {
	l.next()
	l.b = append(syntax.AppendFetchItem(l.b, item, l.s.mode), ' ')
}

// literal announces n octets and sends them from src. When they do not come,
// the connection cannot go on: the client would take what follows for them.
func (l *fetchLine) literal(n int64, src io.Reader) error {
	l.b = syntax.AppendLiteralHeader(l.b, n)
	return l.stream(n, src)
}

func (l *fetchLine) stream(n int64, src io.Reader) error {
	l.s.put(l.b)
	l.b = nil
	sent, err := l.s.w.ReadFrom(io.LimitReader(src, n))
	if err == nil && sent < n {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		l.s.log.Error("literal cut short", "command", l.s.verb, "sent", sent, "promised", n, "err", err)
		l.s.broken = true
		return errCut
	}
	l.b = l.s.scratch[:0]
	return nil
}

func (l *fetchLine) end() {
	if l.items > 0 {
		l.s.put(append(l.b, ")\r\n"...))
	}
}
