package lmtp

import (
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

// newIncoming expects a body of the size that was declared, if any was. A
// declaration costs memory, so a big one is believed when its octets come.
func (c *session) newIncoming(declared uint64) *incoming {
	if declared == 0 {
		declared = undeclaredBody - 1
	}
	hold := &holding{budget: &c.bodies, spool: c.opt.Spool, first: int(min(declared, declaredBody-1)) + 1}
	return &incoming{
		limit:  c.opt.MaxSize,
		tooBig: c.tooBig,
		end:    c.opt.Now().Add(bodyPatience),
		hold:   hold,
		mend:   mender{to: hold},
	}
}

// copyBuffers are for bodies that are not kept in memory: idle connections hold
// none.
var copyBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// read takes all of src, which ends with [io.EOF]. An error is src's own: the
// message was cut. Octets are read to where they stay, if they stay in memory.
func (b *incoming) read(src io.Reader, now func() time.Time) error {
	var spare *[32 << 10]byte
	defer func() {
		if spare != nil {
			copyBuffers.Put(spare)
		}
	}()
	for {
		room := b.room()
		if room == nil {
			if spare == nil {
				spare = copyBuffers.Get().(*[32 << 10]byte)
			}
			room = spare[:]
		}
		n, err := src.Read(room)
		b.take(room[:n])
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

// room is where the next octets may be read to; nil where they do not stay in
// memory.
func (b *incoming) room() []byte {
	if b.refused != nil {
		return nil
	}
	return b.hold.room()
}

var errTooSlow = errors.New("the message took too long")

// take adds octets, which it may change; they may lie in room.
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
	first  int       // octets that are expected
	memory *inMemory // its capacity is what was taken from budget; nil before the first octet
	file   SpoolFile
}

// Write adds p, which may be octets that were read to room.
func (h *holding) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if h.file == nil && h.fits(len(p)) {
		m := h.memory
		if at := m.octets[len(m.octets):cap(m.octets)]; &at[0] == &p[0] {
			m.octets = m.octets[:len(m.octets)+len(p)]
		} else {
			m.octets = append(m.octets, p...)
		}
		return len(p), nil
	}
	if h.file == nil {
		if err := h.moveToSpool(); err != nil {
			return 0, err
		}
	}
	return h.file.Write(p)
}

// room is free memory behind what is held, some at least; nil where there is
// none.
func (h *holding) room() []byte {
	if h.file != nil || !h.fits(1) {
		return nil
	}
	return h.memory.octets[len(h.memory.octets):cap(h.memory.octets)]
}

// fits makes room for n more octets in memory, if there may be.
func (h *holding) fits(n int) bool {
	var old []byte
	if h.memory != nil {
		old = h.memory.octets
	}
	need := max(len(old)+n, h.first)
	if len(old)+n <= cap(old) {
		return true
	}
	if need > memoryBody {
		return false
	}
	class, size := bodyClass(need)
	if !h.budget.take(size) {
		if class, size = bodyClass(len(old) + n); !h.budget.take(size) {
			return false
		}
	}
	grown := append(borrowBody(class), old...)
	h.forget()
	h.memory = &inMemory{grown}
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
	if h.memory != nil {
		_, err = h.file.Write(h.memory.octets)
	}
	h.forget()
	return err
}

func (h *holding) forget() {
	if m := h.memory; m != nil {
		h.budget.give(cap(m.octets))
		giveBackBody(m.octets)
		m.octets, h.memory = nil, nil
	}
}

// body is what was held. It ends with close.
func (h *holding) body() mail.Body {
	if h.file != nil {
		return h.file
	}
	if h.memory == nil {
		h.memory = &inMemory{}
	}
	return h.memory
}

// octets are what is held in memory.
func (h *holding) octets() []byte {
	if h.memory == nil {
		return nil
	}
	return h.memory.octets
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
