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

	"letterlock/storage/kv"
	"letterlock/storage/kv/bolt"
	"letterlock/storage/kv/journal"
	"letterlock/storage/kv/sealed"
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
