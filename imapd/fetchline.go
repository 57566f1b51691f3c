package imapd

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strconv"
)

// fetchLine is a FETCH response being written. Nothing of it is sent before it
// has items, so a line without any can be dropped.
type fetchLine struct {
	s     *session
	b     []byte
	items int
	sent  int64 // octets of literals
}

// begin starts the response for a message.
func (l *fetchLine) begin(seq int) {
	b := append(l.s.scratch[:0], "* "...)
	b = strconv.AppendInt(b, int64(seq), 10)
	l.b, l.items, l.sent = append(b, " FETCH ("...), 0, 0
}

// next separates items.
func (l *fetchLine) next() {
	if l.items > 0 {
		l.b = append(l.b, ' ')
	}
	l.items++
}

func (l *fetchLine) named(item *fetchItem) {
	l.next()
	l.b = append(l.b, item.name...)
}

// giveBack sends the line up to here, between two items, where it has become long:
// structure, envelope and fields of a header may each be as long as a summary, and
// be asked for again and again. errCut: the client has gone.
func (l *fetchLine) giveBack() error {
	if len(l.b) <= literalInMemory {
		return nil
	}
	if l.s.put(l.b); l.s.broken {
		return errCut
	}
	l.b = l.s.scratch[:0]
	return nil
}

// stream sends the line up to here and n octets from src.
func (l *fetchLine) stream(n int64, src io.Reader) error {
	l.s.put(l.b)
	l.b = nil
	l.sent += n
	sent, err := l.s.w.ReadFrom(io.LimitReader(src, n))
	if err == nil && sent < n {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return l.cutShort(n-sent, err)
	}
	l.b = l.s.scratch[:0]
	return nil
}

// cutShort ends a session whose client was promised octets that do not come: it
// would take what follows for them.
func (l *fetchLine) cutShort(missing int64, err error) error {
	level := slog.LevelError
	if ends(err) || l.s.broken || errors.Is(err, os.ErrDeadlineExceeded) {
		level = slog.LevelDebug // the client left, or reads no more
	}
	l.s.log.Log(context.Background(), level, "literal cut short", "command", l.s.verb, "missing", missing, "err", err)
	l.s.broken = true
	return errCut
}

func (l *fetchLine) end() {
	if l.items > 0 {
		l.s.put(append(l.b, ")\r\n"...))
	}
}
