package imapd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"letterlock/imapd/syntax"
	"letterlock/internal/mail"
	"letterlock/internal/mime"
	"letterlock/internal/requiretls"
	"letterlock/internal/wire"
	"letterlock/storage"
)

var (
	errEmpty      = no("CANNOT", "An empty message cannot be stored")
	errNUL        = bad("NUL in a literal")
	errBinary     = no("UNKNOWN-CTE", "Binary parts cannot be stored without a transfer encoding")
	errUTF8Header = no("CANNOT", "Not stored: the header has letters beyond ASCII that are not encoded; let your mail program encode them (RFC 2047), or turn on UTF8=ACCEPT in it (RFC 6855)")
	errManyBig    = no("LIMIT", "Too many big messages in one APPEND; append them one by one")
	errTotal      = no("LIMIT", "Too much in one APPEND; append fewer messages at once")
)

// What one APPEND of several messages may hold back until the last has come.
const (
	maxOwnFiles  = 32        // messages that are a file of their own
	maxTotal     = 256 << 20 // octets, or as much as one message may have
	maxSummaries = 8 << 20   // octets that summaries take, of which one may be far longer than its message
)

// batch is the messages of one APPEND (RFC 3502): all of them are stored at its
// end, or none.
type batch struct {
	s       *session
	a       *syntax.Append
	letters []storage.Letter
	need    storage.Usage
	known   int               // octets of the letters' summaries
	spare   int64             // octets of memory that the first has taken and does not need
	shared  storage.SpoolFile // the small messages behind that, one after the other
	own     []letterBody      // all else
}

// append is APPEND (RFC 9051 §6.3.12; RFC 3502; RFC 3516 §4.4; RFC 4469; RFC
// 6855 §4; RFC 7889). Octets are kept as they come, but for a bare LF (intake).
// Whatever is wrong, the literals are swallowed before the answer.
func (s *session) append(ctx context.Context, a *syntax.Append) (answer, error) {
	into, err := s.account.Destination(ctx, a.Mailbox)
	if err != nil {
		return answer{}, refuseAppend(a, orTryCreate(err))
	}
	b := &batch{s: s, a: a}
	defer b.close()
	if err := b.takeAll(ctx, func() error { return s.account.CheckQuota(ctx, b.need) }); err != nil {
		return answer{}, err
	}
	validity, uids, err := s.account.Append(ctx, a.Mailbox, b.letters)
	if errors.Is(err, storage.ErrLimit) {
		err = errTotal
	}
	if err != nil {
		return answer{}, orTryCreate(badKeyword(err))
	}
	s.own.puts(into, uids, withoutSeen(b.letters))
	b.tellName()
	return answer{appendUID(validity, uids), s.verb + " completed"}, nil
}

// appendUID is the response code; none where the letters are durable and the index
// takes nothing now, so that nobody knows their UIDs yet (RFC 4315 §3).
func appendUID(validity uint32, uids []storage.UID) string {
	if len(uids) == 0 {
		return ""
	}
	return string(syntax.AppendAppendUID(nil, validity, uids))
}

// tellName tells by which name the mailbox goes, where that is another.
func (b *batch) tellName() {
	if b.a.Written != "" {
		b.s.normalized(b.a.Mailbox, b.a.Written, nil)
	}
}

// refuseAppend swallows the literals of an APPEND that is refused with err.
func refuseAppend(a *syntax.Append, err error) error {
	if lostErr := a.Refuse(); lostErr != nil {
		return lost(lostErr)
	}
	return err
}

// takeAll reads all messages. Before each, fits is asked whether there is room.
func (b *batch) takeAll(ctx context.Context, fits func() error) error {
	for more := true; more; {
		if err := b.take(ctx, fits); err != nil {
			return refuseAppend(b.a, err)
		}
		var err error
		if more, err = b.a.Next(); err != nil {
			return lost(err)
		}
	}
	return nil
}

// take reads the message at hand. What can be known is looked at before it is
// sent.
func (b *batch) take(ctx context.Context, fits func() error) error {
	flags, err := b.mayTake(fits)
	if err != nil {
		return err
	}
	l := storage.Letter{Flags: flags, InternalDate: b.a.Date, Demand: requiretls.Usual()}
	if b.a.Form == syntax.Catenated {
		err = b.assemble(ctx, &l)
	} else {
		l.Body, err = b.receive()
	}
	if err != nil {
		return err
	}
	if l.Summary, err = mime.Summarize(l.Body); err != nil {
		return fmt.Errorf("summarize: %w", err)
	}
	if b.known += mime.Octets(l.Summary); b.known > maxSummaries {
		return errTotal
	}
	if !b.s.mode.UTF8() {
		if err := refuse8bit(io.NewSectionReader(l.Body, 0, l.Summary.Root.Body)); err != nil {
			return err
		}
	}
	b.letters = append(b.letters, l)
	return nil
}

// mayTake looks at all that is known before the message is sent.
func (b *batch) mayTake(fits func() error) ([]string, error) {
	max := b.s.srv.opt.MaxMessage
	b.need.Messages++
	b.need.Bytes += uint64(b.a.Size)
	switch {
	case b.a.Size > max:
		return nil, errTooBig
	case b.a.Size == 0 && b.a.Form != syntax.Catenated:
		return nil, errEmpty
	case b.need.Bytes > maxTotal && b.need.Bytes > uint64(max):
		return nil, errTotal
	}
	flags, err := settable(b.a.Flags)
	if err != nil {
		return nil, err
	}
	return flags, fits()
}

// letterBody is a message being appended.
type letterBody interface {
	mail.Body
	io.Closer
}

func (b *batch) close() {
	for _, body := range b.own {
		body.Close()
	}
	if b.shared != nil {
		b.shared.Close()
	}
}

// receive reads the message: into memory when it is small and there is room, into
// the store's spool otherwise; small ones behind the first share what memory that
// one has taken, then a file.
func (b *batch) receive() (mail.Body, error) {
	switch {
	case b.a.Size <= b.spare:
		to := &memoryBody{buf: make([]byte, 0, b.a.Size)}
		err := b.receiveTo(to)
		b.spare -= to.Size()
		return to, err
	case len(b.letters) > 0 && b.a.Size <= smallMessage:
		return b.receiveShared()
	}
	to, err := b.room(b.a.Size)
	if err != nil {
		return nil, err
	}
	if m, ok := to.(*memoryBody); ok {
		b.spare = smallMessage - int64(cap(m.buf))
	}
	return to, b.receiveTo(to)
}

// receiveTo reads the message into a file, where it may take more than it was
// announced with.
func (b *batch) receiveTo(to storage.SpoolFile) error {
	before := to.Size()
	err := b.transfer(&intake{to: to, left: b.s.srv.opt.MaxMessage}, b.a.Form)
	b.need.Bytes += uint64(max(0, to.Size()-before-b.a.Size))
	return err
}

// room is a place for a message of its own.
func (b *batch) room(size int64) (storage.SpoolFile, error) {
	if len(b.own) >= maxOwnFiles {
		return nil, errManyBig
	}
	to, err := b.s.room(size)
	if err == nil {
		b.own = append(b.own, to)
	}
	return to, err
}

func (b *batch) receiveShared() (mail.Body, error) {
	if b.shared == nil {
		var err error
		if b.shared, err = b.s.srv.opt.Store.Spool(); err != nil {
			return nil, err
		}
	}
	start := b.shared.Size()
	err := b.receiveTo(b.shared)
	return io.NewSectionReader(b.shared, start, b.shared.Size()-start), err
}

// room is where a message of that size goes.
func (s *session) room(size int64) (storage.SpoolFile, error) {
	if size <= smallMessage {
		select {
		case s.srv.memory <- struct{}{}:
			return &memoryBody{buf: make([]byte, 0, size), release: func() { <-s.srv.memory }}, nil
		default:
		}
	}
	return s.srv.opt.Store.Spool()
}

// transfer reads the literal at hand. What the vault cannot take is read to its
// end all the same, by whoever refuses the command.
func (b *batch) transfer(to *intake, form syntax.LiteralForm) error {
	from, err := b.a.Open()
	if err != nil {
		return lost(err)
	}
	to.exact = form == syntax.BinaryLiteral
	_, err = wire.Copy(to, from)
	switch {
	case to.full:
		return errTooBig
	case to.failed != nil:
		return fmt.Errorf("spool: %w: %w", storage.ErrUnavailable, to.failed)
	case err != nil:
		return lost(err)
	case to.hadNUL && form == syntax.PlainLiteral:
		return errNUL
	case to.hadNUL:
		return errBinary
	}
	return nil
}

// memoryBody is a small message in memory.
type memoryBody struct {
	buf     []byte
	release func()
}

func (m *memoryBody) Write(p []byte) (int, error) {
	m.buf = append(m.buf, p...)
	return len(p), nil
}

func (m *memoryBody) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(m.buf).ReadAt(p, off)
}

func (m *memoryBody) Size() int64 { return int64(len(m.buf)) }

func (m *memoryBody) Close() error {
	m.release()
	return nil
}

// refuse8bit refuses a header that needs UTF8=ACCEPT from a client that did not
// enable it, in whatever form it came: RFC 6855 §4 says MUST.
func refuse8bit(header io.Reader) error {
	eightBit, err := wire.EightBit(header)
	switch {
	case err != nil:
		return fmt.Errorf("read header: %w", err)
	case eightBit:
		return errUTF8Header
	}
	return nil
}
