package imapd

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"letterlock/imapd/syntax"
	"letterlock/storage"
)

// mailbox is the selected mailbox as this session's client knows it. What the
// client was told is view; it changes only in announce.
type mailbox struct {
	id       storage.MailboxID
	name     string
	readOnly bool
	view     *storage.View
	told     storage.ModSeq // all that happened up to here was told
	held     bool           // but for expunges
	expunged bool           // VANISHED was said, and HIGHESTMODSEQ was not since
	modseqs  bool           // so was a MODSEQ
	keywords []string       // of the last FLAGS response, in the order of their bits
	recent   []span         // which UIDs are \Recent here (RFC 3501 §2.3.2)
	saved    []syntax.Range // UIDs of "$", as query.Result.Saved has them
	followed []*followed
	moved    <-chan struct{}
	unwatch  func()
}

// span is the UIDs from first up to and without end.
type span struct{ first, end storage.UID }

// errGone ends a session whose selected mailbox was deleted by somebody else:
// no response says that in a way that every client understands.
var errGone = errors.New("the selected mailbox is gone")

// expunges says whether EXPUNGE may be sent now.
type expunges uint8

const (
	holdExpunges expunges = iota // FETCH, STORE or SEARCH is in progress (RFC 9051 §7.5.1)
	sendExpunges
)

// sync tells the client what happened to the selected mailbox since it was
// told last.
func (s *session) sync(ctx context.Context, exp expunges) error {
	if s.box == nil {
		return nil
	}
	there, err := s.look(ctx, sendExpunges)
	if err != nil {
		return err
	}
	now := there
	if exp == holdExpunges {
		now = storage.Keep(s.box.view, there)
	}
	s.box.held = now != there
	if !s.box.held {
		s.box.told = now.Mailbox().Highest
	}
	return s.announce(ctx, now, nil)
}

// moved says whether there can be anything to tell of the selected mailbox,
// without a look into the vault. What was acknowledged a moment ago may be
// missing: that is good enough where [session.changesSelected] says no, and nowhere
// else.
func (s *session) moved() bool {
	if s.box == nil {
		return false
	}
	select {
	case <-s.box.moved:
		return true
	default:
		return s.box.held
	}
}

// look is the mailbox as it stands, with the expunged messages still in their
// places where the client may not hear of them yet.
func (s *session) look(ctx context.Context, exp expunges) (*storage.View, error) {
	now, err := s.account.View(ctx, s.box.id)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, errGone
	}
	if err == nil && exp == holdExpunges {
		now = storage.Keep(s.box.view, now)
	}
	return now, err
}

// announce turns the difference between what the client knows and now into FETCH,
// EXPUNGE and EXISTS. told says of a message of the old view, by index, that the
// client knows its new flags by other means; it is asked in ascending order, and may
// be nil.
func (s *session) announce(ctx context.Context, now *storage.View, told func(i int) bool) error {
	if err := s.claimNew(ctx, now); err != nil {
		return err
	}
	box := s.box
	old := box.view
	if now == old {
		return s.arrive(ctx, s.leaving(ctx, now), old.Len())
	}
	s.announceKeywords(now)
	gone, added := s.announceFlags(now, told)
	come := s.leaving(ctx, now) // RFC 5465 §5.1: behind FETCH
	s.announceGone(gone)
	box.view = now
	if added > 0 {
		s.numbered(now.Len(), " EXISTS\r\n")
		if !s.rev2 { // RECENT is of RFC 3501 alone (RFC 9051 appendix E)
			s.numbered(s.recentCount(), " RECENT\r\n")
		}
	}
	if err := s.arrive(ctx, come, now.Len()-added); err != nil {
		return err
	}
	return s.fetchNew(ctx, now.Len()-added)
}

// announceFlags tells of messages that have changed, while their numbers are those
// the client knows. It answers which are gone, by index, and how many came.
func (s *session) announceFlags(now *storage.View, told func(i int) bool) (gone []int, added int) {
	tells := s.tells(syntax.EventFlagChange)
	for c := range storage.Diff(s.box.view, now) {
		switch c.Kind {
		case storage.Gone:
			gone = append(gone, c.Index)
		case storage.Changed:
			if tells && (told == nil || !told(c.Index)) {
				s.fetchFlags(c.Index+1, c.Entry)
			}
		case storage.Added:
			added++
		}
	}
	return gone, added
}

// announceGone is EXPUNGE, or VANISHED (RFC 7162 §3.2.10.2), for messages of the
// client's view.
func (s *session) announceGone(gone []int) {
	if s.qresync {
		s.box.expunged = s.box.expunged || len(gone) > 0
		s.vanished("", slices.Collect(syntax.Runs(s.numbersOf(gone, true))))
		return
	}
	for before, i := range gone {
		s.numbered(i+1-before, " EXPUNGE\r\n")
	}
}

// fetchNew tells of new messages, from index first on, what NOTIFY asks for (RFC
// 5465 §5.2); not of what the client itself has put there.
func (s *session) fetchNew(ctx context.Context, first int) error {
	if s.notified == nil {
		return nil
	}
	items := s.notified.ofSelected().Items
	if len(items) == 0 {
		return nil
	}
	var set []int
	for i, e := range s.box.view.All(first, s.box.view.Len()) {
		if !s.own.has(s.box.id, e.UID) {
			set = append(set, i)
		}
	}
	return s.fetchUnasked(ctx, set, items)
}

// announceKeywords says FLAGS again where the mailbox has new keywords.
func (s *session) announceKeywords(now *storage.View) {
	keywords := now.Mailbox().Keywords
	if slices.Equal(keywords, s.box.keywords) {
		return
	}
	s.box.keywords = keywords
	s.flagsResponses()
}

// flagsResponses is FLAGS and PERMANENTFLAGS (RFC 9051 §7.3.5, §7.1). The
// keyword of REQUIRETLS is among the flags a client can meet and not among
// those it can change; \* goes when no keyword can be added any more.
func (s *session) flagsResponses() {
	b := append(s.scratch[:0], "* FLAGS ("...)
	b = appendNames(b, s.box.keywords)
	b = append(b, ' ')
	b = append(b, requireTLS...)
	b = append(b, ")\r\n* OK [PERMANENTFLAGS ("...)
	if !s.box.readOnly {
		b = appendNames(b, s.box.keywords)
		if len(s.box.keywords) < storage.MaxKeywords {
			b = append(b, ` \*`...)
		}
	}
	b = append(b, ")] Flags that can be changed\r\n"...)
	s.put(b)
}

const systemFlags = `\Answered \Flagged \Deleted \Seen \Draft`

func appendNames(b []byte, keywords []string) []byte {
	b = append(b, systemFlags...)
	for _, k := range keywords {
		if k != "" { // hidden
			b = append(b, ' ')
			b = append(b, k...)
		}
	}
	return b
}

// claimNew claims what a new view has behind the one that the client knows, before
// anything is told of it: whether a message is \Recent is a search key, too.
func (s *session) claimNew(ctx context.Context, now *storage.View) error {
	from := storage.UID(1)
	if n := s.box.view.Len(); n > 0 {
		from = s.box.view.At(n-1).UID + 1
	}
	i, _ := now.Find(from)
	if s.rev2 || i == now.Len() {
		return nil
	}
	return s.claimRecent(ctx, now, now.At(i).UID)
}

// claimRecent makes the messages of a view from UID from on \Recent in this
// session, unless another read-write session was told of them first.
func (s *session) claimRecent(ctx context.Context, view *storage.View, from storage.UID) error {
	box := s.box
	told := view.Mailbox().UIDNext
	if box.readOnly {
		told = 0
	}
	untold, err := s.account.ClaimRecent(ctx, box.id, told)
	if err != nil || view.Len() == 0 {
		return err
	}
	first, end := max(from, untold), view.At(view.Len()-1).UID+1
	switch last := len(box.recent) - 1; {
	case first >= end:
	case last >= 0 && box.recent[last].end >= first: // most mail comes so, one after the other
		box.recent[last].end = end
	default:
		box.recent = append(box.recent, span{first, end})
	}
	return nil
}

// isRecent does not walk all spans: where two sessions take turns in what they are
// told of, each message is one.
func (box *mailbox) isRecent(uid storage.UID) bool {
	_, found := slices.BinarySearchFunc(box.recent, uid, func(r span, uid storage.UID) int {
		switch {
		case r.end <= uid:
			return -1
		case r.first > uid:
			return 1
		}
		return 0
	})
	return found
}

func (s *session) recentCount() int {
	n := 0
	for _, r := range s.box.recent {
		first, _ := s.box.view.Find(r.first)
		end, _ := s.box.view.Find(r.end)
		n += end - first
	}
	return n
}

// numbered writes "* n" and what follows it.
func (s *session) numbered(n int, rest string) {
	b := append(s.scratch[:0], "* "...)
	b = strconv.AppendInt(b, int64(n), 10)
	b = append(b, rest...)
	s.put(b)
}

// fetchFlags is an unsolicited FETCH; it names the UID (RFC 9051 §7.5.2), and
// to whom it may concern the mod-sequence (RFC 7162 §3.2.4).
func (s *session) fetchFlags(seq int, e storage.Entry) {
	b := s.appendFlags(append(s.fetchOf(seq, e), ' '), e)
	if s.aware {
		b = s.box.appendModSeq(append(b, ' '), e.ModSeq)
	}
	s.put(append(b, ")\r\n"...))
}

// fetchModSeq is a FETCH that tells nothing but a new mod-sequence: what a
// .SILENT STORE leaves to be said (RFC 7162 §3.1.3).
func (s *session) fetchModSeq(seq int, e storage.Entry) {
	b := s.box.appendModSeq(append(s.fetchOf(seq, e), ' '), e.ModSeq)
	s.put(append(b, ")\r\n"...))
}

// fetchOf begins an unsolicited FETCH.
func (s *session) fetchOf(seq int, e storage.Entry) []byte {
	b := append(s.scratch[:0], "* "...)
	b = strconv.AppendInt(b, int64(seq), 10)
	b = append(b, " FETCH (UID "...)
	return strconv.AppendUint(b, uint64(e.UID), 10)
}

var flagNames = []struct {
	bit  storage.Flags
	name string
}{
	{storage.Answered, `\Answered`},
	{storage.Flagged, `\Flagged`},
	{storage.Deleted, `\Deleted`},
	{storage.Seen, `\Seen`},
	{storage.Draft, `\Draft`},
}

// appendFlags is the FLAGS item: system flags, \Recent for RFC 3501, keywords,
// and the keyword computed from the demand.
func (s *session) appendFlags(b []byte, e storage.Entry) []byte {
	b = append(b, "FLAGS ("...)
	start := len(b)
	for _, f := range flagNames {
		if e.Flags&f.bit != 0 {
			b = append(append(b, f.name...), ' ')
		}
	}
	if !s.rev2 && s.box.isRecent(e.UID) {
		b = append(b, `\Recent `...)
	}
	for i, k := range s.box.keywords {
		if e.Flags&storage.Keyword(i) != 0 && k != "" {
			b = append(append(b, k...), ' ')
		}
	}
	if e.Flags.Demand().IsRequired() {
		b = append(b, requireTLS+" "...)
	}
	if len(b) > start {
		b = b[:len(b)-1]
	}
	return append(b, ')')
}
