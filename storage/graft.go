package storage

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"letterlock/internal/mail"
	"letterlock/storage/kv"
	"letterlock/storage/kv/bolt"
	"letterlock/storage/kv/journal"
	"letterlock/storage/kv/sealed"
	"letterlock/storage/seal"
	"letterlock/storage/segment"
)

// Where single values of a shard have rotted and its pages are whole, a repair leaves
// the others as they are. What can be made anew goes, and of an account without which
// it cannot be, all is taken from the checkpoint, behind which the log is replayed for
// that account alone.

// graft is an account that a repair begins again.
type graft struct {
	origin origin
	from   segment.Mark // up to where what was put back knows the log
}

// grafter mends the values of the shards of a store that nobody has open.
type grafter struct {
	dir      string
	shards   int
	opt      *Options
	suffix   string // of files that are set aside
	say      func(string)
	index    *sealed.Engine
	restored *restoration
}

// spared says whether a shard can be mended where the value of a key, as it is
// stored, has rotted: not without its mark, nor without what it is sealed with.
func spared(k []byte) bool {
	return len(k) >= keyHead && keyAccountOf(k) != ^AccountID(0) && !bytes.Equal(k, markKey())
}

// graft mends the values of all shards that were not put back, and begins again what an
// earlier repair has not finished.
func (g *grafter) graft(ctx context.Context) (err error) {
	for a := range g.restored.accounts {
		if _, lost := g.restored.shards[placeAccount(a, g.shards)]; lost { // all of it is put back
			delete(g.restored.accounts, a)
		}
	}
	index := filepath.Join(g.dir, indexDir)
	files, err := bolt.Open(index, bolt.Options{Shards: g.shards, Slack: sealed.Slack})
	if err != nil {
		return err
	}
	log, err := journal.Open(index, files, journal.Options{Slack: sealed.Slack})
	if err != nil {
		return errors.Join(err, files.Close())
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if g.index, err = sealed.New(log, g.opt.Keys, hide); err != nil {
		return err
	}
	for n := range g.shards { // the people's first
		if _, lost := g.restored.shards[n]; lost {
			continue
		}
		if err := g.shard(ctx, n); err != nil {
			return fmt.Errorf("shard %d: %w", n, err)
		}
	}
	return nil
}

// rotten is the keys, as they are stored, of values that cannot be read, and the
// accounts that have keys and lack their record or their INBOX.
func (g *grafter) rotten(ctx context.Context, n int) (keys [][]byte, headless []AccountID, err error) {
	check := checkValue(ctx, n, g.opt.Keys)
	heads := make(map[AccountID]int)
	err = g.index.Engine.View(ctx, n, func(r kv.Reader) error {
		keys = nil
		clear(heads)
		for k, v := range r.Range(nil, nil, kv.Options{}) {
			if a := keyAccountOf(k); a != systemAccount && spared(k) {
				heads[a] += headOf(k)
			}
			if err := check(k, v); isDamaged(err) {
				keys = append(keys, bytes.Clone(k))
			} else if err != nil {
				return err
			}
		}
		return nil
	})
	for a, n := range heads {
		if n == wholeHead {
			delete(heads, a)
		}
	}
	for _, a := range slices.Sorted(maps.Keys(heads)) {
		var c *account
		if err == nil {
			err = g.index.View(ctx, n, func(r kv.Reader) (err error) {
				c, err = getAccount(r, a)
				return err
			})
		}
		if isDamaged(err) { // it is among the keys
			err = nil
		} else if c == nil || !c.removed {
			headless = append(headless, a)
		}
	}
	return keys, headless, err
}

// headOf counts what no account can be without: wholeHead in all.
func headOf(k []byte) int {
	switch letter := k[keyHead-1]; {
	case letter == keyAccount:
		return 1
	case letter == keyBox && MailboxID(tailUint32(k)) == inboxID:
		return 2
	}
	return 0
}

const wholeHead = 3

// begunAgain is the kinds of values of an account that nothing else says.
var begunAgain = []byte{keyAccount, keyBox, keyBlock, keyRow, keyDead, keyVanished, keyFormer}

// stays is the kinds of values of an account that are worth keeping when it is begun
// again, since they name no message and no mailbox: its scripts, and what was answered.
var stays = []byte{keyScript, keyText, keyActive, keyMemory, keyForget}

func (g *grafter) shard(ctx context.Context, n int) error {
	keys, headless, err := g.rotten(ctx, n)
	if err != nil {
		return err
	}
	again := make(map[AccountID]bool)
	for _, a := range headless {
		again[a] = true
		g.say(fmt.Sprintf("shard %d: account %d has keys, and no record or no INBOX", n, a))
	}
	for a := range g.restored.accounts {
		if placeAccount(a, g.shards) == n {
			again[a] = true
		}
	}
	for _, k := range keys {
		if a := keyAccountOf(k); a != systemAccount && bytes.IndexByte(begunAgain, k[keyHead-1]) >= 0 {
			again[a] = true
		}
	}
	if len(keys)+len(headless) > 0 {
		name := bolt.ShardFile(filepath.Join(g.dir, indexDir), n) + g.suffix
		if err := createFile(name, func(w io.Writer) error { return g.index.Copy(ctx, n, w) }); err != nil {
			return err
		}
		g.say(fmt.Sprintf("shard %d: %d values cannot be read; all is kept as %s", n, len(keys), filepath.Base(name)))
	}
	slices.SortStableFunc(keys, func(a, b []byte) int { return cmp.Compare(laterMended(a), laterMended(b)) })
	old, err := g.older(n, keys, again)
	if err != nil { // the next best would lose every folder
		return fmt.Errorf("its checkpoint may be whole: %w", err)
	}
	for a := range again {
		from := graft{origin: fromNothing}
		if old.whole[a] {
			from = graft{fromCheckpoint, old.from(a)}
		}
		g.restored.accounts[a] = from
	}
	if len(again) > 0 {
		if err := writeRepair(g.dir, g.restored); err != nil {
			return err
		}
	}
	for _, k := range keys {
		if !again[keyAccountOf(k)] || bytes.IndexByte(stays, k[keyHead-1]) >= 0 {
			if err := g.mend(ctx, n, k, old); err != nil {
				return err
			}
		}
	}
	return g.begin(ctx, n, again, old)
}

// laterMended says which values are mended first: the times of rows are known by them.
func laterMended(k []byte) int {
	if keyAccountOf(k) == systemAccount && k[keyHead-1] == keyOut {
		return 0
	}
	return 1
}

// older is what a checkpoint has of what has rotted since.
type older struct {
	name   string
	mark   segment.Mark
	whole  map[AccountID]bool      // accounts of which it has all
	missed map[AccountID]postponed // the first item each had not got by then, though the mark is behind it
	values map[string]pair         // by the key as it is stored
}

// from is up to where the account of a checkpoint knows the log.
func (o *older) from(a AccountID) segment.Mark {
	if p, missed := o.missed[a]; missed {
		return p.before
	}
	return o.mark
}

// miss notes what an account of the checkpoint had not got: from the first such item on
// it got nothing.
func (o *older) miss(a AccountID, before segment.Mark) {
	if p, missed := o.missed[a]; !missed || before.Serial < p.before.Serial {
		o.missed[a] = postponed{a, before}
	}
}

type pair struct{ key, value []byte }

// older reads the checkpoint of a shard. One that is damaged, or not there, has nothing;
// an error says that it may be read another time, or with another key.
func (g *grafter) older(n int, keys [][]byte, accounts map[AccountID]bool) (*older, error) {
	old := &older{name: bolt.ShardFile(filepath.Join(g.dir, checkpointDir), n), whole: make(map[AccountID]bool), missed: make(map[AccountID]postponed), values: make(map[string]pair)}
	wanted, rotten, heads := make(map[string]bool), make(map[AccountID]bool), make(map[AccountID]int)
	for _, k := range keys {
		wanted[string(k)] = true
	}
	err := bolt.Walk(old.name, func(k, v []byte) error {
		key, value, err := sealed.Decode(g.opt.Keys, n, hide, k, v)
		if key == nil && err == nil { // the ring
			return nil
		}
		if errors.Is(err, seal.ErrNoKey) {
			return err
		}
		a := keyAccountOf(k)
		plain, perr := open(value)
		if err = errors.Join(err, perr); err != nil && spared(k) {
			if rotten[a] = true; isPostponed(k) {
				rotten[postponedOf(k)] = true
			}
			return nil
		}
		if err != nil {
			return err
		}
		if bytes.Equal(k, markKey()) {
			old.mark, err = readMark(segment.ReadFields(plain))
		}
		if accounts[a] && headOf(k) > 0 {
			var c account
			if k[keyHead-1] == keyAccount {
				c.readCounts(segment.ReadFields(plain))
			}
			heads[a] += headOf(k)
			old.whole[a] = heads[a] == wholeHead || c.removed
		}
		if isPostponed(k) {
			var before segment.Mark
			if before, err = readMark(segment.ReadFields(plain)); before.Serial == 0 { // nobody knows where it lies
				rotten[postponedOf(k)] = true
			}
			old.miss(postponedOf(k), before)
		}
		if wanted[string(k)] {
			old.values[string(k)] = pair{bytes.Clone(key), bytes.Clone(value)}
		}
		return err
	})
	if errors.Is(err, seal.ErrNoKey) || passing(err) {
		return nil, err
	}
	if err != nil {
		clear(old.whole)
	}
	for a := range rotten {
		delete(old.whole, a)
	}
	return old, nil
}

// mend makes one value anew, takes it from the checkpoint, or takes it out. What takes
// its place is there before it goes: who is cut short finds it again.
func (g *grafter) mend(ctx context.Context, n int, k []byte, old *older) error {
	a, letter := keyAccountOf(k), k[keyHead-1]
	was, kept := old.values[string(k)]
	if a == systemAccount && letter == keyOut {
		return g.mendOut(ctx, n, OutID(tailUint64(k)), was)
	}
	err := g.index.Update(ctx, n, func(tx kv.Tx) error {
		switch {
		case a != systemAccount:
			return g.mendOwn(tx, a, letter, k, was, kept)
		case letter == keyDeadBytes, letter == keyRetry, letter == keyNext: // begun again
		case letter == keyReap, letter == keyRemoval: // the key says all
			tx.Put(k, sealValue(newValue()))
		case letter == keyPostponed:
			tx.Put(k, sealValue(appendMark(newValue(), segment.Mark{})))
		case letter == keyNextOut:
			tx.Put(k, sealValue(segment.AppendUint(newValue(), freshOut(tx, time.Now()))))
		case letter == keyDue:
			id := OutID(tailUint64(k))
			if w, err := getOut(tx, id); err == nil && w != nil && w.state == outQueued {
				w.write(tx, id)
			}
		case kept:
			tx.Put(was.key, was.value)
			g.say(fmt.Sprintf("shard %d, key %x: taken from the checkpoint", n, k))
		default:
			g.say(fmt.Sprintf("shard %d, key %x: it is lost, and not in the checkpoint", n, k))
		}
		return nil
	})
	if err != nil {
		return err
	}
	check := checkValue(ctx, n, g.opt.Keys)
	return g.index.Engine.Update(ctx, n, func(tx kv.Tx) error {
		if v := tx.Get(k); v != nil && isDamaged(check(k, v)) { // nothing took its place
			tx.Delete(k)
		}
		return nil
	})
}

// freshOut is a number that no row of the outbox has had in a shard: what counted them
// is lost.
func freshOut(r kv.Reader, now time.Time) uint64 {
	next := uint64(now.UnixMicro())
	lo := key(systemAccount, keyOut)
	for k := range r.Range(lo, kv.After(lo), kv.Options{Limit: 1, Reverse: kv.Backward}) {
		next = max(next, tailUint64(k)>>shardBits+1)
	}
	return next
}

// mendOwn mends a value of an account that can do without it.
func (g *grafter) mendOwn(tx kv.Tx, a AccountID, letter byte, k []byte, was pair, kept bool) error {
	switch letter {
	case keySummary, keyThread, keyMemory, keyForget: // the log has it, it is made again, or it is over some day
	case keySending:
		tx.Put(k, sealValue(newValue()))
	case keyFilters, keyFiltered:
		tx.DeleteRange(filtersKey(a), kv.After(filtersKey(a)))
		tx.Delete(filteredKey(a))
	case keyName:
		boxes, err := allBoxes(tx, a)
		for _, b := range boxes {
			(&txn{tx: tx}).name(a, b.Name, b.ID)
		}
		return err
	default:
		if kept {
			tx.Put(was.key, was.value)
			g.say(fmt.Sprintf("account %d, key %x: taken from the checkpoint", a, k))
		} else {
			g.say(fmt.Sprintf("account %d, key %x: it is lost, and not in the checkpoint", a, k))
		}
	}
	return nil
}

// begin puts what the checkpoint has of accounts in the place of what there is.
func (g *grafter) begin(ctx context.Context, n int, accounts map[AccountID]bool, old *older) error {
	ids := slices.Sorted(maps.Keys(accounts))
	for _, a := range ids {
		g.say(fmt.Sprintf("account %d is begun again from: %s", a, g.restored.accounts[a].origin))
		err := g.index.Update(ctx, n, func(tx kv.Tx) error {
			for letter := range 256 {
				if lo := key(a, byte(letter)); bytes.IndexByte(stays, byte(letter)) < 0 {
					tx.DeleteRange(lo, kv.After(lo))
				}
			}
			return nil
		})
		if err == nil && !old.whole[a] {
			err = g.empty(ctx, n, a)
		}
		if err != nil {
			return err
		}
	}
	c := carrier{ctx: ctx, to: g.index, shard: n}
	if len(old.whole) > 0 {
		err := bolt.Walk(old.name, func(k, v []byte) error {
			if !old.whole[keyAccountOf(k)] || k[keyHead-1] == keySending || bytes.IndexByte(stays, k[keyHead-1]) >= 0 {
				return nil
			}
			key, value, err := sealed.Decode(g.opt.Keys, n, hide, k, v)
			if err != nil {
				return err
			}
			return c.put(key, value)
		})
		if err != nil {
			return err
		}
	}
	for _, a := range ids { // what has died in the meantime dies again
		if err := c.put(reapKey(a), sealValue(newValue())); err != nil {
			return err
		}
	}
	if err := g.sending(&c, accounts); err != nil {
		return err
	}
	return c.flush()
}

// empty makes an account anew, for what the log has.
func (g *grafter) empty(ctx context.Context, n int, a AccountID) error {
	var address mail.Address
	err := g.index.View(ctx, placeAccount(systemAccount, g.shards), func(r kv.Reader) error {
		lo := key(systemAccount, keyPerson)
		for _, v := range r.Range(lo, kv.After(lo), kv.Options{}) {
			if v, err := open(v); err == nil {
				if p, err := readPerson(segment.ReadFields(v)); err == nil && p.ID == a {
					address = p.Address
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return g.index.Update(ctx, n, func(tx kv.Tx) error {
		t := &txn{tx: tx, now: time.Now(), claims: &claims{}, accounts: make(map[AccountID]*account), boxes: make(map[boxID]*openBox)}
		t.newAccount(a).address = address
		t.finish()
		return nil
	})
}

// sending says anew which messages of accounts the outbox wants.
func (g *grafter) sending(c *carrier, accounts map[AccountID]bool) error {
	var keys [][]byte
	err := g.index.View(c.ctx, c.shard, func(r kv.Reader) error {
		keys = nil
		lo := key(systemAccount, keyOut)
		for k := range r.Range(lo, kv.After(lo), kv.Options{}) {
			id := OutID(tailUint64(k))
			if w, err := getOut(r, id); err == nil && accounts[w.account] && w.number != 0 {
				keys = append(keys, sendingKey(w.account, w.number, id))
			}
		}
		return nil
	})
	for _, k := range keys {
		if err == nil {
			err = c.put(k, sealValue(newValue()))
		}
	}
	return err
}

// carrier writes many values, some at a time.
type carrier struct {
	ctx    context.Context // of one repair; it ends with it
	to     kv.Engine
	shard  int
	pairs  []pair
	octets int
}

func (c *carrier) put(key, value []byte) error {
	c.pairs = append(c.pairs, pair{bytes.Clone(key), bytes.Clone(value)})
	if c.octets += len(key) + len(value); len(c.pairs) < kv.MaxTxWrites/2 && c.octets < kv.MaxTxBytes/2 {
		return nil
	}
	return c.flush()
}

func (c *carrier) flush() error {
	err := c.to.Update(c.ctx, c.shard, func(tx kv.Tx) error {
		for _, p := range c.pairs {
			tx.Put(p.key, p.value)
		}
		return nil
	})
	c.pairs, c.octets = nil, 0
	return err
}
