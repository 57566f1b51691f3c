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

// How many messages are looked up and marked \Seen at once, how many where nothing
// has to be marked, and of how many the rows are held.
const (
	fetchBatch = 256
	walkBatch  = 16 << 10
	rowBatch   = 1 << 10
)

// fetching is one FETCH command.
type fetching struct {
	s        *session
	items    []fetchItem // all that is asked for
	harmless []fetchItem // and without what shows content
	needs    need        // of all items together
	asks     uint64      // the number of the question; 0: answers are not remembered
	line     fetchLine   // the response being written
	message  fetched     // and what it is of; both lend their memory to the next

	held       int  // messages whose content was withheld
	gone       int  // messages that somebody else has expunged
	damaged    int  // messages that could not be read
	costly     int  // messages of which too much was asked
	unknownCTE bool // BINARY met an encoding nobody knows
	notLeaf    bool // BINARY was asked of a part that has parts
}

// fetchItem is one item, with all of it that is the same for every message.
type fetchItem struct {
	*syntax.FetchItem
	name   []byte      // as the response has it, with the space behind it
	filter mime.Filter // of HEADER.FIELDS and HEADER.FIELDS.NOT
}

func (f *fetching) prepare(item *syntax.FetchItem) fetchItem {
	it := fetchItem{FetchItem: item, name: append(syntax.AppendFetchItem(nil, item, f.s.mode), ' ')}
	it.filter, _ = filterOf(item.Section)
	return it
}

// need is what has to be looked up for an item.
type need uint8

const (
	needRow      need = 1 << iota // dates and sizes
	needEnvelope                  // of the summary
	needTree                      // and what else the summary has
	needOctets                    // the message itself
	needPreview                   // the message itself, where its summary has no preview
	needRelease                   // it shows content (the release rule)
	setsSeen
)

// needsOf is what an item needs.
func needsOf(item *syntax.FetchItem) need {
	switch item.Kind {
	case syntax.FetchInternalDate, syntax.FetchRFC822Size, syntax.FetchSaveDate, syntax.FetchEmailID:
		return needRow
	case syntax.FetchThreadID: // made from references and subjects
		return needRelease | needRow
	case syntax.FetchPreview:
		n := needRelease | needTree
		if !item.Lazy {
			n |= needPreview
		}
		return n
	case syntax.FetchEnvelope:
		return needRelease | needEnvelope
	case syntax.FetchBody, syntax.FetchBodyStructure:
		return needRelease | needTree
	case syntax.FetchRFC822Header:
		return needRelease | needOctets | needRow
	case syntax.FetchRFC822, syntax.FetchRFC822Text:
		return needRelease | needOctets | needRow | setsSeen
	case syntax.FetchBodySection, syntax.FetchBinary, syntax.FetchBinarySize:
		n := needRelease | needOctets | needRow
		if len(item.Section.Part) > 0 {
			n |= needTree
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
	if a.Vanished && !s.qresync {
		return answer{}, errNoQResync
	}
	f := newFetching(s, a)
	if a.ChangedSince != 0 || hasKind(a.Items, syntax.FetchModSeq) {
		s.beAware()
	}
	if a.Vanished {
		if err := s.tellVanished(ctx, a); err != nil {
			return answer{}, err
		}
	}
	set, err := s.fetched(a)
	if err != nil {
		return answer{}, err
	}
	size := walkBatch
	if f.needs&setsSeen != 0 {
		size = fetchBatch
	}
	asked := 0
	for batch := range batches(set, size) {
		if a.ChangedSince != 0 {
			batch = s.changedSince(batch, a.ChangedSince)
		}
		asked += len(batch)
		if err := f.batch(ctx, batch); err != nil {
			return answer{}, err
		}
	}
	return f.result(asked)
}

func newFetching(s *session, a *syntax.Fetch) *fetching {
	f := &fetching{s: s}
	f.line.s = s
	asked := a.Items
	if a.UID && !hasKind(asked, syntax.FetchUID) {
		asked = slices.Concat([]syntax.FetchItem{{Kind: syntax.FetchUID}}, asked) // RFC 9051 §6.4.9
	}
	if a.ChangedSince != 0 && !hasKind(asked, syntax.FetchModSeq) {
		asked = slices.Concat(asked, []syntax.FetchItem{{Kind: syntax.FetchModSeq}}) // RFC 7162 §3.1.4.1
	}
	for i := range asked {
		item := f.prepare(&asked[i])
		f.items = append(f.items, item)
		n := needsOf(item.FetchItem)
		f.needs |= n
		if n&needRelease == 0 {
			f.harmless = append(f.harmless, item)
		}
	}
	f.asks = f.question()
	return f
}

func hasKind(items []syntax.FetchItem, kind syntax.FetchKind) bool {
	return slices.ContainsFunc(items, func(i syntax.FetchItem) bool { return i.Kind == kind })
}

// result ends the command. Whoever got nothing but withheld messages hears NO.
func (f *fetching) result(asked int) (answer, error) {
	if f.held > 0 {
		f.s.logWithheld(f.held)
	}
	switch {
	case f.damaged > 0:
		return answer{}, no("CORRUPTION", counted(f.damaged, "message", "messages")+" cannot be read")
	case f.costly > 0:
		return answer{}, errCostly
	case f.notLeaf:
		return answer{}, errNotLeaf
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
	for len(set) > 0 {
		if set, err = f.repeatAll(set); err != nil {
			return err
		}
		unknown := f.unknown(set)
		set = set[len(unknown):]
		w := walk{f: f, left: unknown, marked: marked}
		if err := w.run(ctx); err != nil {
			return err
		}
		f.gone += len(w.left)
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
	inBatch := among(set)
	return marked, s.announce(ctx, now, func(i int) bool {
		marked[i] = inBatch(i)
		return marked[i]
	})
}

// fetched is one message on its way out.
type fetched struct {
	i        int // index in the view
	entry    storage.Entry
	row      storage.Row
	newFlags bool // the client does not know its flags yet

	summary *mail.Summary
	err     error // why there is no summary
	octets  *attentive
	own     io.Closer // octets, where they were opened for this message alone

	plain      []*plainPart // for BINARY
	headerText []byte       // the header read last, and where it lies
	headerAt   extent
	damaged    bool
}

func (m *fetched) close() {
	for _, c := range m.plain {
		c.close()
	}
	if m.own != nil {
		m.own.Close()
	}
}

// answer answers for one message. All that can fail before the first octet is
// done first: once a literal is announced it has to come.
func (f *fetching) answer(ctx context.Context, m *fetched) error {
	items := f.items
	if f.needs&needRelease != 0 {
		err := f.open(ctx, m)
		defer m.close()
		switch {
		case errors.Is(err, requiretls.ErrWithheld):
			f.held++
			items = f.harmless
		case errors.Is(err, storage.ErrNotFound):
			f.gone++
			return nil
		case ctx.Err() != nil:
			return err
		case err != nil:
			f.unreadable(m, err)
			items = f.harmless
		}
	}
	if len(items) > 0 || m.newFlags {
		if err := f.write(m, items); err != nil {
			return err
		}
	}
	if f.s.broken {
		return errCut
	}
	return nil
}

// unreadable notes a message that is damaged: the others shall come all the
// same.
func (f *fetching) unreadable(m *fetched, err error) {
	if !m.damaged {
		f.s.log.Error("message cannot be read", "mailbox", f.s.box.name, "uid", m.entry.UID, "err", err)
		m.damaged = true
		f.damaged++
	}
}

// open gets what the items need of the content, with a release for it.
func (f *fetching) open(ctx context.Context, m *fetched) error {
	release, err := f.s.gate.release(m.entry.Flags)
	if err != nil {
		return err
	}
	if m.err != nil || m.octets != nil || !f.reads(m) {
		return m.err
	}
	message, err := f.s.account.Message(ctx, f.s.box.id, m.entry.UID, release)
	if err == nil {
		m.octets, m.own = attentively(ctx, message), message
	}
	return err
}

// reads says whether the message itself has to be opened.
func (f *fetching) reads(m *fetched) bool {
	return f.needs&needOctets != 0 || f.needs&needPreview != 0 && m.summary.Has&mail.HasPreview == 0
}

// write is the FETCH response (RFC 9051 §7.5.2). An item that cannot be had is
// left out of it: what was sent of the line stands.
func (f *fetching) write(m *fetched, items []fetchItem) error {
	l := &f.line
	l.begin(m.i + 1)
	for k := range items {
		if m.costs(l) {
			f.costly++
			break
		}
		start := len(l.b)
		switch err := f.item(l, m, &items[k]); {
		case err == nil && len(l.b) > start:
			f.remember(m, &items[k], l.b[start:])
		case err == nil:
		case errors.Is(err, errNotLeaf):
			f.notLeaf = true
		case ends(err):
			return err
		case errors.Is(err, context.Canceled): // the server stops, in the middle of a line
			return errCut
		default:
			f.unreadable(m, err)
		}
		if err := l.giveBack(); err != nil {
			return err
		}
	}
	if m.newFlags {
		f.addNews(l, m, items)
	}
	l.end()
	return nil
}

// addNews tells the flags that \Seen has changed, and with them what every
// FETCH that was not asked for has (RFC 7162 §3.2.4).
func (f *fetching) addNews(l *fetchLine, m *fetched, items []fetchItem) {
	for _, kind := range []syntax.FetchKind{syntax.FetchUID, syntax.FetchFlags, syntax.FetchModSeq} {
		told := slices.ContainsFunc(items, func(it fetchItem) bool { return it.Kind == kind })
		if told || kind != syntax.FetchFlags && !f.s.aware {
			continue
		}
		item := f.prepare(&syntax.FetchItem{Kind: kind})
		f.item(l, m, &item)
	}
}

// freeReading is what one FETCH may read of a message and not send, beside
// eight times its size: the most that clients ask of one message is some
// headers and its parts.
const freeReading = 16 << 20

var errCostly = no("LIMIT", "Too much was asked of one message at once; ask for fewer items")

// costs says whether more was read of a message than its answer is worth.
func (m *fetched) costs(l *fetchLine) bool {
	return m.octets != nil && m.octets.read-l.sent > freeReading+8*m.octets.Size()
}

// item writes one data item.
func (f *fetching) item(l *fetchLine, m *fetched, item *fetchItem) error {
	mode := f.s.mode
	switch item.Kind {
	case syntax.FetchFlags:
		l.next()
		l.b = f.s.appendFlags(l.b, m.entry)
	case syntax.FetchModSeq:
		l.next()
		l.b = f.s.box.appendModSeq(l.b, m.entry.ModSeq)
	case syntax.FetchUID:
		l.named(item)
		l.b = strconv.AppendUint(l.b, uint64(m.entry.UID), 10)
	case syntax.FetchInternalDate:
		l.named(item)
		l.b = syntax.AppendDateTime(l.b, m.row.InternalDate)
	case syntax.FetchSaveDate: // RFC 8514 §4.2
		l.named(item)
		l.b = syntax.AppendDateTime(l.b, m.row.SaveDate)
	case syntax.FetchEmailID: // RFC 8474 §5.1
		l.named(item)
		l.b = syntax.AppendObjectID(l.b, m.row.EmailID.String())
	case syntax.FetchThreadID: // RFC 8474 §5.2
		l.named(item)
		l.b = syntax.AppendObjectID(l.b, m.row.ThreadID.String())
	case syntax.FetchPreview:
		return f.preview(l, m, item)
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

// preview is PREVIEW (RFC 8970): made at delivery, and of older messages now,
// unless LAZY says that NIL will do (§4.1).
func (f *fetching) preview(l *fetchLine, m *fetched, item *fetchItem) error {
	text, known := m.summary.Preview, m.summary.Has&mail.HasPreview != 0
	if !known && !item.Lazy {
		var err error
		if text, err = mime.Preview(m.summary, m.octets); err != nil {
			return err
		}
		known = true
	}
	l.named(item)
	if !known {
		l.b = append(l.b, "NIL"...)
		return nil
	}
	l.b = syntax.AppendString(l.b, text, f.s.mode)
	return nil
}
