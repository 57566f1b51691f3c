package imapd

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"letterlock/imapd/syntax"
	"letterlock/internal/mail"
	"letterlock/internal/mime"
	"letterlock/internal/requiretls"
	"letterlock/storage"
)

var (
	errEmpty      = no("CANNOT", "An empty message cannot be stored")
	errNUL        = bad("NUL in a literal")
	errBinary     = no("UNKNOWN-CTE", "Binary parts cannot be stored without a transfer encoding")
	errUTF8Header = no("CANNOT", "Not stored: the header has letters beyond ASCII that are not encoded; let your mail program encode them (RFC 2047), or turn on UTF8=ACCEPT in it (RFC 6855)")
)

// append is APPEND (RFC 9051 §6.3.12; RFC 3516 §4.4; RFC 6855 §4; RFC 7889).
// Octets are kept as they come. Whatever is wrong, the literal is swallowed
// before the answer.
func (s *session) append(ctx context.Context, a *syntax.Append) (answer, error) {
	flags, err := s.mayAppend(ctx, a)
	if err != nil {
		return answer{}, refuseAppend(a, err)
	}
	body, err := s.receive(a)
	if err != nil {
		return answer{}, err
	}
	defer body.Close()
	summary, err := mime.Summarize(body)
	if err != nil {
		return answer{}, fmt.Errorf("summarize: %w", err)
	}
	if !s.mode.UTF8() && a.Form != syntax.UTF8Literal {
		if err := refuse8bit(io.NewSectionReader(body, 0, summary.Root.Body)); err != nil {
			return answer{}, err
		}
	}
	letter := storage.Letter{Body: body, Summary: summary, Flags: flags, InternalDate: a.Date, Demand: requiretls.Usual()}
	validity, uids, err := s.account.Append(ctx, a.Mailbox, []storage.Letter{letter})
	if err != nil {
		return answer{}, orTryCreate(keywordRefusal(err))
	}
	return answer{string(syntax.AppendAppendUID(nil, validity, uids)), "APPEND completed"}, nil
}

// refuseAppend swallows the literal of an APPEND that is refused with err.
func refuseAppend(a *syntax.Append, err error) error {
	if lostErr := a.Refuse(); lostErr != nil {
		return lost(lostErr)
	}
	return err
}

// mayAppend looks at all that is known before the message is sent.
func (s *session) mayAppend(ctx context.Context, a *syntax.Append) ([]string, error) {
	if a.Size > s.srv.opt.MaxMessage {
		return nil, errTooBig
	}
	if a.Size == 0 {
		return nil, errEmpty
	}
	flags, err := settable(a.Flags)
	if err != nil {
		return nil, err
	}
	if _, err = s.account.Mailbox(ctx, a.Mailbox); err != nil {
		return nil, orTryCreate(err)
	}
	return flags, s.account.CheckQuota(ctx, storage.Usage{Bytes: uint64(a.Size), Messages: 1})
}

// letterBody is a message being appended.
type letterBody interface {
	mail.Body
	io.Closer
}

// receive reads the message: into memory when it is small and there is room,
// into the store's spool otherwise.
func (s *session) receive(a *syntax.Append) (letterBody, error) {
	to, err := s.room(a.Size)
	if err != nil {
		return nil, refuseAppend(a, err)
	}
	nul, err := transfer(to, a)
	if err == nil && nul {
		err = errNUL
		if a.Form != syntax.PlainLiteral {
			err = errBinary
		}
	}
	if err != nil {
		to.Close()
		return nil, err
	}
	return to, nil
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

// transfer reads the literal and the rest of the command. What the vault
// cannot take is read to its end all the same.
func transfer(to io.Writer, a *syntax.Append) (nul bool, err error) {
	from, err := a.Open()
	if err != nil {
		return false, lost(err)
	}
	watch := &nulWatch{Writer: to}
	_, copyErr := io.Copy(watch, from)
	if err := a.Close(); err != nil {
		return false, lost(err)
	}
	if watch.failed != nil {
		return false, fmt.Errorf("spool: %w", watch.failed)
	}
	return watch.seen, lost(copyErr)
}

// nulWatch passes octets on and notes a NUL (RFC 9051 §4.3.1). An error of the
// writer is kept, so that it is not taken for one of the connection.
type nulWatch struct {
	io.Writer
	seen   bool
	failed error
}

func (w *nulWatch) Write(p []byte) (int, error) {
	w.seen = w.seen || bytes.IndexByte(p, 0) >= 0
	n, err := w.Writer.Write(p)
	if err != nil {
		w.failed = err
	}
	return n, err
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
// enable it: RFC 6855 §4 says MUST.
func refuse8bit(header io.Reader) error {
	buf := make([]byte, 4<<10)
	for {
		n, err := header.Read(buf)
		for _, c := range buf[:n] {
			if c >= 0x80 {
				return errUTF8Header
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read header: %w", err)
		}
	}
}
