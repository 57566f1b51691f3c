package query

import (
	"math"

	"letterlock/imapd/syntax"
)

// freezing makes of a key one that means the same when the mailbox has changed
// (RFC 5267 §4.3): sequence numbers and "$" become the UIDs that they stand for,
// filters their keys.
type freezing struct {
	*searching
	timed  bool // there is a key on the age of messages
	octets int  // about what the frozen keys take
}

// What a key and a range of a set take, in octets, roughly.
const (
	keyOctets   = 64
	rangeOctets = 8
)

func (f *freezing) freeze(key syntax.Key) (syntax.Key, error) {
	if f.keys++; f.keys > maxKeys {
		return nil, ErrNeedles
	}
	f.octets += keyOctets
	switch k := key.(type) {
	case syntax.And:
		return f.freezeAnd(k)
	case syntax.Or:
		both, err := f.freezeAnd(syntax.And{k.Left, k.Right})
		if err != nil {
			return nil, err
		}
		return syntax.Or{Left: both[0], Right: both[1]}, nil
	case syntax.Not:
		inner, err := f.freeze(k.Key)
		return syntax.Not{Key: inner}, err
	case syntax.Fuzzy:
		inner, err := f.freeze(k.Key)
		return syntax.Fuzzy{Key: inner}, err
	case syntax.NamedFilter:
		var all syntax.And
		err := f.withFilter(k.Name, func(keys syntax.And) (err error) {
			all, err = f.freezeAnd(keys)
			return err
		})
		return all, err
	case syntax.Seqs:
		return f.uids(f.m.numbered(k.Set)), nil
	case syntax.UIDs:
		return f.freezeUIDs(k), nil
	case syntax.Within:
		f.timed = true
	case syntax.Header:
		f.octets += len(k.Field) + len(k.Value)
	case syntax.Body:
		f.octets += len(k.Value)
	case syntax.Text:
		f.octets += len(k.Value)
	case syntax.HasFlag:
		f.octets += len(k.Flag)
	}
	return key, nil
}

func (f *freezing) freezeAnd(keys syntax.And) (syntax.And, error) {
	frozen := make(syntax.And, len(keys))
	for i, key := range keys {
		var err error
		if frozen[i], err = f.freeze(key); err != nil {
			return nil, err
		}
	}
	return frozen, nil
}

// uids names messages of the view by their UIDs. Without any, it is a key that
// never holds.
func (f *freezing) uids(spans []span) syntax.Key {
	if len(spans) == 0 {
		return syntax.Not{Key: syntax.All{}}
	}
	var set syntax.Set
	for _, s := range spans {
		for i := s.first; i < s.end; i++ {
			uid := uint32(f.m.View.At(i).UID)
			if n := len(set.Ranges) - 1; n >= 0 && set.Ranges[n].Last+1 == uid {
				set.Ranges[n].Last = uid
				continue
			}
			set.Ranges = append(set.Ranges, syntax.Range{First: uid, Last: uid})
		}
	}
	f.octets += rangeOctets * len(set.Ranges)
	return syntax.UIDs{Set: set}
}

// freezeUIDs: in a range, "*" goes on to mean the last message, whichever that
// is; alone it is the message that is last now, since the one that stops being
// last does not change.
func (f *freezing) freezeUIDs(k syntax.UIDs) syntax.Key {
	if k.Set.Saved {
		return f.uids(f.m.spans(f.m.Saved))
	}
	var set syntax.Set
	for _, r := range k.Set.Ranges {
		first, last := min(r.First, r.Last), max(r.First, r.Last)
		switch {
		case last == syntax.Star && f.m.View.Len() == 0:
			continue
		case last == syntax.Star:
			first = uint32(f.m.View.At(f.m.View.Len() - 1).UID)
			last = first
		case first == syntax.Star:
			first, last = f.least(last), math.MaxUint32
		}
		set.Ranges = append(set.Ranges, syntax.Range{First: first, Last: last})
	}
	if len(set.Ranges) == 0 {
		return syntax.Not{Key: syntax.All{}}
	}
	f.octets += rangeOctets * len(set.Ranges)
	return syntax.UIDs{Set: set}
}

// least is where the range from uid to "*" begins: with the last message at the
// latest (RFC 9051 §9, seq-range).
func (f *freezing) least(uid uint32) uint32 {
	if n := f.m.View.Len(); n > 0 {
		return min(uid, uint32(f.m.View.At(n-1).UID))
	}
	return uid
}
