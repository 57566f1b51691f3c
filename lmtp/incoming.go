package lmtp

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/reply"
)

// incoming is a body on its way in: octets are counted, mended and held. From
// the moment it is refused it keeps nothing and takes everything, since a
// refusal can only be said after the last octet (RFC 5321 §4.1.1.4, RFC 3030
// §2).
type incoming struct {
	limit   int64
	tooBig  *reply.Error
	end     time.Time // of our patience with the whole body
	octets  int64     // as they were sent
	hold    *holding
	mend    mender
	refused *reply.Error // nil: still wanted
}

func (c *session) newIncoming() *incoming {
	hold := &holding{budget: &c.bodies, spool: c.opt.Spool}
	return &incoming{
		limit:  c.opt.MaxSize,
		tooBig: c.tooBig(),
		end:    c.opt.Now().Add(bodyPatience),
		hold:   hold,
		mend:   mender{to: hold},
	}
}

// copyBuffers are for bodies being read alone: idle connections hold none.
var copyBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// read takes all of src, which ends with [io.EOF]. An error is src's own: the
// message was cut.
func (b *incoming) read(src io.Reader, now func() time.Time) error {
	buf := copyBuffers.Get().(*[32 << 10]byte)
	defer copyBuffers.Put(buf)
	for {
		n, err := src.Read(buf[:])
		b.take(buf[:n])
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case now().After(b.end):
			return errTooSlow
		}
	}
}

var errTooSlow = errors.New("the message took too long")

// take adds octets, which it may change.
func (b *incoming) take(p []byte) {
	b.octets += int64(len(p))
	if b.refused != nil {
		return
	}
	if b.octets > b.limit {
		b.refuse(b.tooBig)
		return
	}
	if err := b.mend.take(p); err != nil {
		b.refuse(spoolRefusal(err))
	}
}

func spoolRefusal(err error) *reply.Error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return reply.DiskFull.Because(err)
	}
	return reply.From(err)
}

func (b *incoming) refuse(e *reply.Error) {
	b.refused = e
	b.hold.close()
}

func (b *incoming) close() { b.hold.close() }

// memoryBody is how big a body may grow in memory: beyond it is spooled.
const memoryBody = 1 << 20

// holding keeps a body: in memory while it is small and memory is there, in a
// spool file otherwise.
type holding struct {
	budget *budget
	spool  Spool
	memory []byte // its capacity is what was taken from budget
	file   SpoolFile
}

func (h *holding) Write(p []byte) (int, error) {
	if h.file == nil && h.fits(len(p)) {
		h.memory = append(h.memory, p...)
		return len(p), nil
	}
	if h.file == nil {
		if err := h.moveToSpool(); err != nil {
			return 0, err
		}
	}
	return h.file.Write(p)
}

// fits makes room for n more octets in memory, if there may be.
func (h *holding) fits(n int) bool {
	need := len(h.memory) + n
	if need <= cap(h.memory) {
		return true
	}
	size := min(max(need, 2*cap(h.memory)), memoryBody)
	if need > size || !h.budget.take(size) {
		return false
	}
	grown := make([]byte, len(h.memory), size)
	copy(grown, h.memory)
	h.budget.give(cap(h.memory))
	h.memory = grown
	return true
}

var errNoSpool = reply.DiskFull.Because(errors.New("no spool"))

func (h *holding) moveToSpool() (err error) {
	if h.spool == nil {
		return errNoSpool
	}
	if h.file, err = h.spool(); err != nil {
		h.file = nil
		return err
	}
	_, err = h.file.Write(h.memory)
	h.forget()
	return err
}

func (h *holding) forget() {
	h.budget.give(cap(h.memory))
	h.memory = nil
}

// body is what was held. It ends with close.
func (h *holding) body() mail.Body {
	if h.file != nil {
		return h.file
	}
	return bytes.NewReader(h.memory)
}

func (h *holding) close() {
	h.forget()
	if h.file != nil {
		h.file.Close()
		h.file = nil
	}
}

// budget bounds what all connections together may keep in memory.
type budget struct{ left atomic.Int64 }

func (b *budget) take(n int) bool {
	if b.left.Add(-int64(n)) < 0 {
		b.give(n)
		return false
	}
	return true
}

func (b *budget) give(n int) { b.left.Add(int64(n)) }
