package storage

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"letterlock/internal/search"
	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// What cannot be in a message is known by its filter (package search). The
// filters of an account's messages lie in groups, in the order of the messages'
// numbers and whatever mailboxes have them: a COPY or a MOVE changes nothing.
// They are made behind everybody's back (indexer.go), and a message that no
// group has yet may have anything.

// FilterGroup is what the filters of some messages of a mailbox say.
type FilterGroup struct {
	UIDs []UID            // ascending, at most [search.MaxGroup]: the messages spoken of
	May  []search.Members // for each needle which of UIDs may have it; all others of UIDs have not
}

// blocksAtOnce is how many blocks of a mailbox one transaction asks about.
const blocksAtOnce = 16

// Candidates asks the filters of a mailbox which messages may have each needle.
// Groups come in the order of UIDs and are good until the next step. A message
// that none names may have all of them. What it answers is content: it is not
// for those from whom a message is withheld (RFC 8689 §4.4).
func (a *Account) Candidates(ctx context.Context, id MailboxID, needles []*search.Finder) iter.Seq2[FilterGroup, error] {
	return func(yield func(FilterGroup, error) bool) {
		q := question{account: a, needles: needles, asked: make(map[uint64]*askedGroup)}
		for next, more := UID(0), true; more; {
			var page []FilterGroup
			err := a.read(ctx, func(r kv.Reader) (err error) {
				page, next, more, err = q.page(r, id, next)
				return err
			})
			if err != nil {
				yield(FilterGroup{}, err)
				return
			}
			for _, g := range page {
				if !yield(g, nil) {
					return
				}
			}
		}
	}
}

// question is needles on their way through the groups of an account.
type question struct {
	account *Account
	needles []*search.Finder
	asked   map[uint64]*askedGroup // by the number of their first message
	last    *askedGroup
}

// askedGroup is a group that has answered.
type askedGroup struct {
	numbers []uint64         // ascending; empty where it cannot be read
	may     []search.Members // for each needle
}

// maxAsked is how many answers are kept, of some 2 KiB each.
const maxAsked = 2048

// page asks about the blocks from first on.
func (q *question) page(r kv.Reader, id MailboxID, first UID) (page []FilterGroup, next UID, more bool, err error) {
	a := q.account
	if err := a.checkBox(r, id); err != nil {
		return nil, 0, false, err
	}
	unpack, n := a.store.unpack(a.id, id), 0
	for k, v := range r.Range(blockKey(a.id, id, first), kv.After(blocksKey(a.id, id)), kv.Options{Limit: blocksAtOnce}) {
		at := UID(tailUint32(k))
		blk, err := unpack(at, v)
		if err != nil {
			return nil, 0, false, err
		}
		if g := q.block(r, blk); len(g.UIDs) > 0 {
			page = append(page, g)
		}
		next, n = at+1, n+1
	}
	return page, next, n == blocksAtOnce, nil
}

// block asks about the messages of one block.
func (q *question) block(r kv.Reader, blk *block) FilterGroup {
	g := FilterGroup{UIDs: make([]UID, 0, len(blk.entries)), May: make([]search.Members, len(q.needles))}
	for i := range blk.entries {
		e := &blk.entries[i]
		from, member := q.find(r, e.number)
		if member < 0 || len(g.UIDs) == search.MaxGroup {
			continue
		}
		at := len(g.UIDs)
		for n := range g.May {
			if from.may[n][member>>6]>>(member&63)&1 != 0 {
				g.May[n][at>>6] |= 1 << (at & 63)
			}
		}
		g.UIDs = append(g.UIDs, e.uid)
	}
	return g
}

// find answers the group that has a message, and which member that is; -1 where
// none has it.
func (q *question) find(r kv.Reader, number uint64) (*askedGroup, int) {
	if q.last != nil {
		if i, found := slices.BinarySearch(q.last.numbers, number); found {
			return q.last, i
		}
	}
	hi := append(filterKey(q.account.id, number), 0) // the key itself included
	for k, v := range r.Range(filtersKey(q.account.id), hi, kv.Options{Limit: 1, Reverse: kv.Backward}) {
		q.last = q.group(tailUint64(k), v)
		if i, found := slices.BinarySearch(q.last.numbers, number); found {
			return q.last, i
		}
	}
	return nil, -1
}

// group asks a group, once. One that cannot be read, or is of another version,
// is made anew behind our back.
func (q *question) group(first uint64, v []byte) *askedGroup {
	if g := q.asked[first]; g != nil {
		return g
	}
	g := &askedGroup{}
	numbers, encoded, err := openFilters(v)
	if err == nil {
		var group search.Group
		if group, err = search.OpenGroup(encoded); err == nil && group.Len() != len(numbers) {
			err = segment.ErrDamaged
		}
		for _, needle := range q.needles {
			if err == nil {
				g.may = append(g.may, group.Candidates(needle))
			}
		}
	}
	if err == nil {
		g.numbers = numbers
	} else {
		q.account.store.indexer.again(q.account.id, first)
	}
	if len(q.asked) >= maxAsked {
		clear(q.asked)
	}
	q.asked[first] = g
	return g
}

// A group's value: how many members, their numbers as differences, the group as
// package search encodes it.
func appendFilters(v []byte, numbers []uint64, filters []search.Filter) []byte {
	v = segment.AppendUint(v, uint64(len(numbers)))
	last := uint64(0)
	for _, n := range numbers {
		v = segment.AppendUint(v, n-last)
		last = n
	}
	return search.AppendGroup(v, filters)
}

func openFilters(v []byte) (numbers []uint64, group []byte, err error) {
	v, err = open(v)
	if err != nil {
		return nil, nil, err
	}
	f := segment.ReadFields(v)
	n := f.Count()
	if n > search.MaxGroup {
		f.Fail()
	}
	numbers = make([]uint64, 0, min(n, search.MaxGroup))
	last := uint64(0)
	for range n {
		more := f.Uint()
		if more == 0 {
			f.Fail()
		}
		last += more
		numbers = append(numbers, last)
	}
	if f.Err() != nil {
		return nil, nil, fmt.Errorf("filters: %w", errors.Join(f.Err(), segment.ErrDamaged))
	}
	return numbers, v[len(v)-f.Left():], nil
}
