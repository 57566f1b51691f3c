package storage

import (
	"errors"
	"fmt"
	"slices"

	"letterlock/storage/segment"
)

// item is what must be applied in one transaction: all that one group of the log
// has for one recipient, or a group of appended letters.
type item struct {
	parts  []part
	before segment.Mark // a replay from there meets it; zero without parts
	after  segment.Mark
	writes int // about, without what is shared: see [guess]
	bytes  int
	filing *filing // of appended letters, as long as the process lives that took them
	// promised is the UIDs that were answered before it is applied; zero: none.
	promised promise
	again    bool // replayed: a part of it may be there, where its group was damaged
	// assured: it was queued while the index could not be written, and whoever appended
	// it was told no more than that it is durable.
	assured bool
	// doubtful: it was appended, perhaps answered with UIDs, and a record before it
	// was lost that may have had UIDs of the same mailbox.
	doubtful bool
	// unmarked: the index was put back to before this message came, so a moved
	// record may be the first it hears of it.
	unmarked bool
	hold     bool // the index was lost: what leaves may have left
	unsent   bool // the outbox was not: what leaves of an item that was not applied has not left
	late     bool // replayed, and the mark is behind it: it was passed over, or its account is begun again
	left     bool // it, or what it moves, was applied before its account was begun again: what leaves is in the outbox, or has left
}

// part is one recipient of one record.
type part struct {
	*segment.Record
	recip int
}

func (p part) recipient() *segment.Recipient { return &p.Recipients[p.recip] }
func (p part) serial() uint64                { return p.Serial + uint64(p.recip) }

// account is whose item it is.
func (it *item) account() AccountID { return AccountID(it.parts[0].recipient().Account) }

// applied is what became of an item.
type applied struct {
	uidValidity uint32
	uids        []UID
	err         error
	slip        error // a promise could not be kept as it was made
	postponed   bool  // it was passed over: its account is stopped
}

// leaves says whether something of an item is for the outbox.
func (it *item) leaves() bool {
	return slices.ContainsFunc(it.parts, func(p part) bool { return len(p.recipient().More) > 0 })
}

// recipientItem is one recipient of a delivery.
func recipientItem(p part) (it item) {
	it.add(p)
	return it
}

// add puts one recipient of one record to what is applied at once.
func (it *item) add(p part) {
	rc := p.recipient()
	it.parts = append(it.parts, p)
	it.writes += writesPerRecipient + writesOfMore(rc.More)
	it.bytes += min(len(p.Summary), maxCached) + rowSize + 256 + bytesPerEntry*len(rc.Copies) + 2*len(rc.More)
}

// severalItems are the recipients of a letter in several forms, each with all the
// forms of his.
func severalItems(group []*segment.Record) (items []item) {
	known := make(map[who]int)
	for _, r := range group {
		for i := range r.Recipients {
			p := part{r, i}
			w := who{p.recipient().Account, p.recipient().Rcpt}
			at, ok := known[w]
			if !ok {
				at = len(items)
				known[w], items = at, append(items, item{})
			}
			items[at].add(p)
		}
	}
	return items
}

// appendItem is a group of appended letters, which one transaction files.
func appendItem(group []*segment.Record) (it item) {
	it.filing, _ = group[0].Tag.(*filing)
	for _, r := range group {
		it.parts = append(it.parts, part{r, 0}) // each has one recipient
		it.writes += writesPerRecipient + writesOfMore(r.Recipients[0].More)
		it.bytes += min(len(r.Summary), maxCached) + rowSize + 64
	}
	it.writes += len(group) / blockSize
	return it
}

// durable is told by the log of every group that is safe, before anybody who
// waits for it.
func (s *Store) durable(group []*segment.Record) {
	if err := s.queue(group, func(*shard, *item) bool { return false }); err != nil {
		// Only a programmer's mistake gets here: the kind was ours.
		s.opt.Log.Error("a record was not queued", "err", err)
	}
}

// errKind says that a record is of a kind this program does not know.
var errKind = errors.New("record of an unknown kind")

// queue hands a group to the appliers of its recipients' shards, without what
// skip says was applied before a crash.
func (s *Store) queue(group []*segment.Record, skip func(*shard, *item) bool) error {
	items, err := itemsOf(group)
	if err != nil {
		return err
	}
	start, last := group[0].At, group[len(group)-1]
	after := segment.Mark{At: segment.Pos{Segment: last.At.Segment, Offset: last.At.Offset + uint64(last.Size)}, Serial: last.Serial + uint64(len(last.Recipients))}
	for i := range items {
		it := &items[i]
		sh, first := s.shardOf(it.account()), it.parts[0]
		if skip(sh, it) {
			continue
		}
		from, known := sh.begun(it.account())
		it.unmarked = from != whole && first.Number(first.recip) >= known
		sh.recover(it)
		it.before = segment.Within(start, first.serial(), after)
		switch {
		case it.late:
			it.after = sh.opened
		case i < len(items)-1:
			it.after = segment.Within(start, first.serial()+1, after)
		default:
			it.after = after
		}
		sh.push(*it)
	}
	for _, sh := range s.shards {
		sh.follow(after)
	}
	return nil
}

// itemsOf makes the items of a group, in the order of their first parts: what a
// mark within the group counts. It is the same whenever it is asked.
func itemsOf(group []*segment.Record) (items []item, err error) {
	switch group[0].Kind {
	case segment.Appended:
		return []item{appendItem(group)}, nil
	case segment.Several:
		return severalItems(group), nil
	case segment.Delivered, segment.Moved:
		for _, r := range group {
			for i := range r.Recipients {
				items = append(items, recipientItem(part{r, i}))
			}
		}
		return items, nil
	}
	return nil, fmt.Errorf("kind %d: %w", group[0].Kind, errKind)
}

// follow moves the mark of a shard that has had nothing to apply for long, so
// that replay need not start far back.
func (sh *shard) follow(to segment.Mark) {
	sh.mu.Lock()
	tip := sh.tip
	sh.mu.Unlock()
	if to.Serial <= tip.Serial { // replay starts at the mark of the slowest shard: ours never goes back
		return
	}
	if tip.At.Segment != to.At.Segment || to.At.Offset-tip.At.Offset > maxMarkLag {
		sh.push(item{after: to, writes: 1})
	}
}
