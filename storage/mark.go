package storage

import (
	"encoding/binary"

	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

func getMark(r kv.Reader) (m segment.Mark, err error) {
	f, err := fields(r, markKey())
	if f == nil || err != nil {
		return m, err
	}
	return readMark(f)
}

func readMark(f *segment.Fields) (m segment.Mark, err error) {
	m.At.Segment, m.At.Offset, m.Serial = f.Uint(), f.Uint(), f.Uint()
	if f.Left() > 0 { // a mark between two groups ends here, and so does every older one
		m.EndOffset, m.EndSerial = f.Uint(), f.Uint()
	}
	return m, f.Err()
}

func putMark(tx kv.Tx, m segment.Mark) { tx.Put(markKey(), sealValue(appendMark(newValue(), m))) }

func appendMark(v []byte, m segment.Mark) []byte {
	v = binary.AppendUvarint(v, m.At.Segment)
	v = binary.AppendUvarint(v, m.At.Offset)
	v = binary.AppendUvarint(v, m.Serial)
	if m.EndSerial != 0 {
		v = binary.AppendUvarint(binary.AppendUvarint(v, m.EndOffset), m.EndSerial)
	}
	return v
}

// oldestMark is up to where all shards have come.
func (s *Store) oldestMark() segment.Mark {
	oldest := s.shards[0].mark
	for _, sh := range s.shards[1:] {
		if sh.mark.Serial < oldest.Serial {
			oldest = sh.mark
		}
	}
	return oldest
}

// replayMark is where replay must start: before what was passed over, too.
func (s *Store) replayMark() segment.Mark {
	oldest := s.oldestMark()
	for _, sh := range s.shards {
		for _, p := range sh.postponed {
			if p.before.Serial < oldest.Serial {
				oldest = p.before
			}
		}
		for _, g := range sh.grafted {
			if g.from.Serial < oldest.Serial {
				oldest = g.from
			}
		}
	}
	return oldest
}

// newestMark is up to where the log was flushed at least: a shard follows what
// is safe alone.
func (s *Store) newestMark() segment.Mark {
	newest := s.shards[0].mark.Flushed()
	for _, sh := range s.shards[1:] {
		if m := sh.mark.Flushed(); m.Serial > newest.Serial {
			newest = m
		}
	}
	return newest
}
