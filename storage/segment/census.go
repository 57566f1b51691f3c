package segment

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"letterlock/storage/seal"
)

// Census says what is sealed under which key; the zero ID stands for what lies
// in clear. A key that is not in it may be retired as far as the log goes.
type Census map[seal.ID]Share

// Share is what one key has of the log.
type Share struct {
	Records int
	Octets  int64 // of the records, padding and big bodies included
}

// Census walks the headers of all records, dead ones too: what lies on the
// disk is what counts. It needs no key. Stretches that cannot be read are left
// out: [Log.Scan] tells of them.
func (l *Log) Census(ctx context.Context) (Census, error) {
	c := make(Census)
	for _, seg := range l.Segments() {
		err := l.count(ctx, seg, c)
		if err != nil && !errors.Is(err, ErrGone) {
			return nil, fmt.Errorf("census of segment %d: %w", seg.Number, err)
		}
	}
	return c, nil
}

func (l *Log) count(ctx context.Context, seg Segment, c Census) error {
	o, err := l.handles.get(seg.Name)
	if err != nil {
		return err
	}
	defer l.handles.put(o)
	s := scanner{log: l, at: Pos{seg.Number, segmentHeader}}
	limit, sealed := l.limit(seg)
	for s.at.Offset < limit {
		if err := ctx.Err(); err != nil {
			return err
		}
		front, h, err := s.front(o.f, s.at.Offset, limit)
		var id seal.ID
		if err == nil {
			id, err = h.checkLock(front)
		}
		if err != nil {
			next, found, err := s.resync(o.f, limit, sealed)
			if err != nil || !found {
				return err
			}
			s.at = next
			continue
		}
		share := c[id]
		share.Records, share.Octets = share.Records+1, share.Octets+h.size()
		if h.flags&flagBig != 0 {
			var raw [8]byte
			if _, err := o.f.ReadAt(raw[:], int64(s.at.Offset)+h.frontSize()+int64(h.meta)); err != nil {
				return notEOF(err)
			}
			share.Octets += int64(binary.LittleEndian.Uint64(raw[:]))
		}
		c[id] = share
		s.at.Offset += uint64(h.size())
	}
	return nil
}
