package storage

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// A message is alive while a mailbox of its account has it. No count is kept:
// what leaves a mailbox is put on a list of the dead, and the reaper, behind
// everybody's back, looks through the columns of the account's mailboxes (8
// octets a message, a millisecond for 100,000) for those that another mailbox
// has, and forgets the rest: row, summary, thread. Their octets in the segments
// are counted as dead.

// deadList is message numbers that left a mailbox.
type deadList struct{ numbers []uint64 }

// deadPerPart keeps a value under its bound: a number takes at most ten octets.
const deadPerPart = 5000

// putOf writes the list beside the change by which mailbox b lost its messages,
// behind the lists of the same transaction.
func (d *deadList) putOf(tx kv.Tx, b *openBox) {
	b.deadParts = d.put(tx, b.id.account, b.ID, b.bump(), b.deadParts)
}

// put writes the list beside the change that made it: what left mailbox m at a
// modseq, or what a row of the outbox wanted, which is mailbox 0. Its first value
// is that part of the change; next is the one behind its last.
func (d *deadList) put(tx kv.Tx, a AccountID, m MailboxID, at ModSeq, part int) (next int) {
	if len(d.numbers) == 0 {
		return part
	}
	slices.Sort(d.numbers)
	for some := range slices.Chunk(d.numbers, deadPerPart) {
		v, last := newValue(), uint64(0)
		for _, n := range some {
			v = binary.AppendUvarint(v, n-last)
			last = n
		}
		tx.Put(partKey(a, keyDead, m, at, part), sealValue(v))
		part++
	}
	tx.Put(reapKey(a), sealValue(newValue()))
	return part
}

// addDeadBytes adds to what each segment holds for nobody. A count that is damaged
// begins again: the segment goes later, and nothing else hangs on it.
func addDeadBytes(tx kv.Tx, dead map[uint64]uint64) error {
	for seg, n := range dead {
		k := deadBytesKey(seg)
		f, err := fields(tx, k)
		if err != nil && !isDamaged(err) {
			return err
		}
		if f != nil && err == nil {
			n += f.Uint()
		}
		tx.Put(k, sealValue(binary.AppendUvarint(newValue(), n)))
	}
	return nil
}

// reaper forgets the dead. It works when somebody wakes it, and once at start.
type reaper struct {
	store  *Store
	signal chan struct{}
	cancel context.CancelFunc
	done   chan struct{}
}

func startReaper(s *Store) *reaper {
	ctx, cancel := context.WithCancel(context.Background())
	p := &reaper{store: s, signal: make(chan struct{}, 1), cancel: cancel, done: make(chan struct{})}
	p.wake()
	go p.run(ctx)
	return p
}

// wake tells it that something died. While the store is being opened there is
// no reaper yet; it looks by itself when it starts.
func (p *reaper) wake() {
	if p != nil {
		poke(p.signal)
	}
}

func (p *reaper) stop() {
	p.cancel()
	<-p.done
}

func (p *reaper) run(ctx context.Context) {
	defer close(p.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.signal:
		}
		if err := p.store.reap(ctx); err != nil && ctx.Err() == nil {
			p.store.opt.Log.Error("dead messages were not forgotten", "err", err)
		}
		poke(p.store.gc.signal)
	}
}

// reap forgets the dead of all accounts. One whose index is damaged keeps its own.
func (s *Store) reap(ctx context.Context) error {
	var damaged []error
	for _, sh := range s.shards {
		var accounts []AccountID
		lo := key(systemAccount, keyReap)
		err := s.index.View(ctx, sh.number, func(r kv.Reader) error {
			for k := range r.Range(lo, kv.After(lo), kv.Options{}) {
				accounts = append(accounts, AccountID(tailUint64(k)))
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, a := range accounts {
			if err := s.Account(a).reap(ctx); err != nil {
				err = fmt.Errorf("account %d: %w", a, err)
				if !isDamaged(err) {
					return err
				}
				damaged = append(damaged, err)
			}
		}
	}
	return errors.Join(damaged...)
}

// graves is what one look at an account found.
type graves struct {
	lists   [][]byte // keys of the lists that were read
	more    bool     // there are others
	dead    []uint64
	uidnext map[MailboxID]UID // of all mailboxes, when they were looked through
}

// maxGraves is how many numbers are looked for at once.
const maxGraves = 200000

// errStirred says that something entered a mailbox since the look.
var errStirred = errors.New("a mailbox grew meanwhile")

// stirredAtMost is how often a look is repeated because letters came in between;
// then it is taken within the change.
const stirredAtMost = 5

func (a *Account) reap(ctx context.Context) error {
	stirred := 0
	for more := true; more; {
		if err := a.store.load.wait(ctx); err != nil {
			return err
		}
		var g graves
		err := a.store.index.View(ctx, a.store.shardOf(a.id).number, func(r kv.Reader) (err error) {
			g, err = a.look(r)
			return err
		})
		if err == nil {
			err = a.bury(ctx, &g, stirred >= stirredAtMost)
		}
		if errors.Is(err, errStirred) {
			stirred++
			continue
		}
		if err != nil {
			return err
		}
		more = g.more
	}
	return nil
}

func (a *Account) look(r kv.Reader) (g graves, err error) {
	dead := make(map[uint64]bool)
	lo := key(a.id, keyDead)
	for k, v := range r.Range(lo, kv.After(lo), kv.Options{}) {
		if len(dead) >= maxGraves {
			g.more = true
			break
		}
		g.lists = append(g.lists, append([]byte(nil), k...))
		v, err := open(v)
		if err != nil {
			return g, fmt.Errorf("key %x: %w", k, err)
		}
		number := uint64(0)
		for f := segment.ReadFields(v); f.Left() > 0; {
			number += f.Uint()
			dead[number] = true
		}
	}
	if err := a.spare(r, dead); err != nil {
		return g, err
	}
	if g.uidnext, err = a.uidnexts(r); err != nil {
		return g, err
	}
	for n := range dead {
		g.dead = append(g.dead, n)
	}
	slices.Sort(g.dead)
	return g, nil
}

// spare takes those out that a mailbox has, or the outbox.
func (a *Account) spare(r kv.Reader, dead map[uint64]bool) error {
	for number := range a.sending(r) {
		delete(dead, number)
	}
	lo := key(a.id, keyBlock)
	for k, v := range r.Range(lo, kv.After(lo), kv.Options{}) {
		p, err := openBlock(v)
		if err != nil {
			return fmt.Errorf("key %x: %w", k, err)
		}
		for _, n := range p.column(3, nil) {
			delete(dead, n)
		}
	}
	return nil
}

// uidnexts is what shows whether a message entered a mailbox.
func (a *Account) uidnexts(r kv.Reader) (map[MailboxID]UID, error) {
	boxes, err := allBoxes(r, a.id)
	next := make(map[MailboxID]UID, len(boxes))
	for _, b := range boxes {
		next[b.ID] = b.UIDNext
	}
	return next, err
}

// buryStep is how many messages one transaction forgets, with three keys each.
const buryStep = 1000

func (a *Account) bury(ctx context.Context, g *graves, within bool) error {
	sh := a.store.shardOf(a.id)
	for some := range slices.Chunk(g.dead, buryStep) {
		var big []segment.Pos
		err := a.store.index.Update(ctx, sh.number, func(tx kv.Tx) error {
			dead, err := a.stillDead(tx, g, some, within)
			if err != nil {
				return err
			}
			big, err = a.forget(tx, dead)
			return err
		})
		if err != nil {
			return err
		}
		a.store.indexer.buried(a.id, len(some))
		for _, at := range big {
			if err := a.store.removeBody(ctx, at); err != nil {
				return err
			}
		}
	}
	return a.store.index.Update(ctx, sh.number, func(tx kv.Tx) error {
		for _, k := range g.lists {
			tx.Delete(k)
		}
		if !g.more {
			return a.closeGraves(tx)
		}
		return nil
	})
}

// stillDead says which of some can be forgotten: all, where nothing entered a
// mailbox since the look, else [errStirred], or what a look at this moment says.
func (a *Account) stillDead(tx kv.Tx, g *graves, some []uint64, within bool) ([]uint64, error) {
	now, err := a.uidnexts(tx)
	if err != nil || maps.Equal(now, g.uidnext) {
		return some, err
	}
	if !within {
		return nil, errStirred
	}
	dead := make(map[uint64]bool, len(some))
	for _, n := range some {
		dead[n] = true
	}
	err = a.spare(tx, dead)
	return slices.DeleteFunc(slices.Clone(some), func(n uint64) bool { return !dead[n] }), err
}

// closeGraves takes the account from the reaper's list, unless something died
// meanwhile.
func (a *Account) closeGraves(tx kv.Tx) error {
	lo := key(a.id, keyDead)
	for range tx.Range(lo, kv.After(lo), kv.Options{Limit: 1}) {
		return nil
	}
	tx.Delete(reapKey(a.id))
	return nil
}

// forget deletes what is known of messages. big is where the records of those
// lie whose body is a file.
func (a *Account) forget(tx kv.Tx, numbers []uint64) (big []segment.Pos, err error) {
	dead := make(map[uint64]uint64)
	for _, n := range numbers {
		w, err := getRow(tx, a.id, n)
		if err != nil {
			return nil, err
		}
		if w == nil { // an earlier try got this far
			continue
		}
		dead[w.at.Segment] += uint64(w.share)
		if w.bodySize > segment.BigBody {
			big = append(big, w.at)
		}
		tx.Delete(rowKey(a.id, n))
		tx.Delete(summaryKey(a.id, n))
		if w.messageID != 0 {
			tx.Delete(threadKey(a.id, w.messageID))
		}
	}
	return big, addDeadBytes(tx, dead)
}

// removeBody deletes the file of a big body whose last recipient is gone.
func (s *Store) removeBody(ctx context.Context, at segment.Pos) error {
	stored, err := s.log.Open(at)
	if errors.Is(err, segment.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer stored.Close()
	r, err := stored.Record()
	if err != nil || r.Big == 0 {
		return err
	}
	wanted, err := s.bodyWanted(ctx, r)
	if err != nil || wanted {
		return err
	}
	return s.log.RemoveBig(r.Big)
}

// bodyWanted says whether a recipient of a record has a row, wherever it
// points: the file of a big body stays where it is when its record moves.
func (s *Store) bodyWanted(ctx context.Context, r *segment.Record) (bool, error) {
	rows, err := s.recipients(ctx, r, func(*row) bool { return true })
	return len(rows) > 0, err
}

// lives is the recipients of a record whose rows point at it.
func (s *Store) lives(ctx context.Context, r *segment.Record) ([]int, error) {
	return s.recipients(ctx, r, func(w *row) bool { return w.at == r.At })
}

// recipients is those of a record whose rows are as asked, or are not there
// yet: a shard that has not come so far. Of a stopped account nobody can tell.
func (s *Store) recipients(ctx context.Context, r *segment.Record, ask func(*row) bool) (some []int, err error) {
	for i := range r.Recipients {
		a := AccountID(r.Recipients[i].Account)
		sh := s.shardOf(a)
		if sh.takes(a) != nil || !sh.past(r.Serial+uint64(i)) {
			some = append(some, i)
			continue
		}
		err := s.index.View(ctx, sh.number, func(rd kv.Reader) error {
			w, err := getRow(rd, a, r.Number(i))
			if err == nil && w != nil && ask(w) {
				some = append(some, i)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return some, nil
}
