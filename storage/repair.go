package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"letterlock/internal/mail"
	"letterlock/storage/disk"
	"letterlock/storage/kv"
	"letterlock/storage/kv/bolt"
	"letterlock/storage/kv/journal"
	"letterlock/storage/seal"
	"letterlock/storage/segment"
)

// origin says where the index of a shard comes from.
type origin uint8

const (
	whole          origin = iota // it was never lost
	fromCheckpoint               // an older copy: the log is replayed from its mark
	fromNothing                  // the log is all there is
	fromItself                   // all of it but what its journal had: the last seconds
)

var origins = [...]string{"whole", "checkpoint", "nothing", "itself"}

func (o origin) String() string { return origins[o] }

// recoveredName is the folder for messages of which only the log knows: where
// they lay, and with which flags, nobody can tell any more.
const recoveredName = "Recovered"

// begun says where what a shard has of an account comes from, and from which serial on
// the log is replayed for it.
func (sh *shard) begun(a AccountID) (from origin, serial uint64) {
	if g, again := sh.grafted[a]; again {
		return g.origin, g.from.Serial
	}
	return sh.restored, sh.opened.Serial
}

// recover sends what a shard without any index learns into one folder.
func (sh *shard) recover(it *item) {
	if from, _ := sh.begun(it.account()); from != fromNothing {
		return
	}
	_, again := sh.grafted[it.account()]
	it.hold, it.unsent = true, again
	for _, p := range it.parts {
		if rc := p.recipient(); len(rc.Copies) > 0 {
			rc.Copies = []segment.Copy{{Name: recoveredName, Create: true}}
		}
		if p.Kind == segment.Appended {
			p.Kind = segment.Delivered // it was answered: it may not go nowhere
		}
	}
}

// restoration is what a repair has put in place: shards, and accounts of others.
type restoration struct {
	shards   map[int]origin
	accounts map[AccountID]graft
}

func (r *restoration) empty() bool { return len(r.shards)+len(r.accounts) == 0 }

// repairName lists what a repair has put in place and not finished with, one a line:
// number of a shard and origin; or, behind a word, that of an account.
const (
	repairName    = "REPAIR"
	repairAccount = "account "
)

// checkRepaired refuses a store whose repair was cut short: its UIDs cannot be
// vouched for yet.
func checkRepaired(dir string, restored restoration) error {
	unfinished, err := readRepair(dir)
	if err == nil && !unfinished.empty() && restored.empty() {
		err = errors.New("a repair was cut short: let it run again")
	}
	return err
}

func readRepair(dir string) (r restoration, err error) {
	r = restoration{make(map[int]origin), make(map[AccountID]graft)}
	b, err := os.ReadFile(filepath.Join(dir, indexDir, repairName))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	for line := range strings.Lines(string(b)) {
		line, ofAccount := strings.CutPrefix(strings.TrimSpace(line), repairAccount)
		number, from, _ := strings.Cut(line, " ")
		n, nerr := strconv.ParseUint(number, 10, 64)
		err = errors.Join(err, nerr)
		was := fromNothing
		if i := slices.Index(origins[:], from); i > 0 {
			was = origin(i)
		}
		if ofAccount {
			r.accounts[AccountID(n)] = graft{origin: was}
		} else {
			r.shards[int(n)] = was
		}
	}
	return r, err
}

func writeRepair(dir string, r *restoration) error {
	var b strings.Builder
	for n, from := range r.shards {
		fmt.Fprintln(&b, n, from)
	}
	for a, g := range r.accounts {
		fmt.Fprintln(&b, repairAccount+strconv.FormatUint(uint64(a), 10), g.origin)
	}
	return writeFile(filepath.Join(dir, indexDir, repairName), []byte(b.String()))
}

// Repair mends a store that nobody has open. A shard of the index that cannot
// be read is set aside; the checkpoint takes its place where it is good, an
// empty one where it is not, and the log is replayed behind it: every message
// that was ever acknowledged, and whose octets are there, is there afterwards
// with its demand. Other changes newer than the checkpoint are lost; so
// UIDVALIDITY grows in every mailbox of such a shard. Where nothing but some values
// cannot be read, that is so for the accounts alone that they are of. Then entries that lead to
// nothing are taken out and every counter is made right. say is told what was
// done, a line at a time.
func Repair(ctx context.Context, dir string, opt Options, say func(string)) error {
	if err := checkFolder(dir); err != nil {
		return fmt.Errorf("repair %s: %w", dir, err)
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return err
	}
	restored, err := repairIndex(ctx, dir, &opt, say)
	if err = errors.Join(err, lock.Close()); err != nil {
		return fmt.Errorf("repair %s: %w", dir, err)
	}
	opt.restored = restored
	s, err := Open(dir, opt)
	if err != nil {
		return err
	}
	err = s.mend(ctx, say)
	if err == nil && !restored.empty() {
		err = os.Remove(filepath.Join(dir, indexDir, repairName))
		if err == nil { // or a power cut brings it back, and the repair is asked for again
			err = disk.OS{}.SyncDir(filepath.Join(dir, indexDir))
		}
	}
	return errors.Join(err, s.Close())
}

// repairIndex puts a readable file in the place of every shard.
func repairIndex(ctx context.Context, dir string, opt *Options, say func(string)) (restored restoration, err error) {
	said, err := readFormat(dir)
	if err != nil {
		return restored, err
	}
	if restored, err = readRepair(dir); err != nil {
		return restored, err
	}
	now := opt.Now
	if now == nil {
		now = time.Now
	}
	index, copies := filepath.Join(dir, indexDir), filepath.Join(dir, checkpointDir)
	suffix := ".damaged-" + now().UTC().Format("20060102T150405")
	for n := range said.shards {
		name := bolt.ShardFile(index, n)
		values, verr := surveyShard(name, n, opt.Keys)
		if errors.Is(verr, seal.ErrNoKey) || passing(verr) { // it may be whole
			return restored, verr
		}
		if verr == nil && values != nil { // what the journal has may be read with the rest alone
			if stamp, err := bolt.Stamp(name); err != nil || journal.Check(index, n, stamp) != nil {
				verr = values
			}
		}
		why := fmt.Sprintf("cannot be read (%v)", verr)
		if verr == nil {
			if _, again := restored.shards[n]; !again {
				if err := repairJournal(dir, n, &restored, suffix, say); err != nil {
					return restored, err
				}
				continue
			}
			why = "was not finished by a repair that was cut short"
		}
		restored.shards[n] = fromNothing
		switch cerr := verifyShard(bolt.ShardFile(copies, n), n, opt.Keys); {
		case errors.Is(cerr, seal.ErrNoKey), passing(cerr): // the next best would lose every folder
			return restored, fmt.Errorf("shard %d cannot be read, and its checkpoint may be whole: %w", n, cerr)
		case cerr == nil:
			restored.shards[n] = fromCheckpoint
		}
		if err := writeRepair(dir, &restored); err != nil {
			return restored, err
		}
		if err := journal.SetAside(index, n, suffix); err != nil { // it goes with the old file alone
			return restored, err
		}
		aside := name + suffix
		if err := os.Rename(name, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return restored, err
		}
		say(fmt.Sprintf("shard %d %s: set aside as %s, begun again from: %s", n, why, filepath.Base(aside), restored.shards[n]))
		if err := putBack(index, copies, n, restored.shards[n]); err != nil {
			return restored, err
		}
	}
	g := grafter{dir: dir, shards: said.shards, opt: opt, suffix: suffix, say: say, restored: &restored}
	return restored, g.graft(ctx)
}

// surveyShard is [verifyShard] that passes over single values, and says of one of them
// what is wrong.
func surveyShard(name string, shard int, keys *seal.Keys) (values, err error) {
	check := checkValue(context.Background(), shard, keys)
	err = bolt.Verify(name, func(k, v []byte) error {
		err := check(k, v)
		if isDamaged(err) && spared(k) {
			values, err = err, nil
		}
		return err
	})
	return values, err
}

// repairJournal looks at the journal of a shard that is whole. Without one that is
// damaged the shard is its own checkpoint, of the seconds before the end: a copy is
// put among the others, from which a repair that is cut short begins again.
func repairJournal(dir string, n int, restored *restoration, suffix string, say func(string)) error {
	index := filepath.Join(dir, indexDir)
	stamp, err := bolt.Stamp(bolt.ShardFile(index, n))
	if err != nil {
		return err
	}
	damage := journal.Check(index, n, stamp)
	if damage == nil || passing(damage) {
		return damage
	}
	copies := filepath.Join(dir, checkpointDir)
	if err := prepareFolder(copies); err != nil {
		return err
	}
	if err := putBack(copies, index, n, fromCheckpoint); err != nil {
		return err
	}
	restored.shards[n] = fromItself
	if err := writeRepair(dir, restored); err != nil {
		return err
	}
	if err := journal.SetAside(index, n, suffix); err != nil {
		return err
	}
	say(fmt.Sprintf("shard %d: %v: set aside as *.journal%s; what was changed in the last seconds before the end, beside mail that came, is lost", n, damage, suffix))
	return nil
}

// passing says whether an error says nothing of the file that could not be read:
// whoever may not open it, or has too many open, finds it whole another time.
func passing(err error) bool {
	for _, e := range []error{fs.ErrPermission, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// putBack puts a shard into a folder, a copy of one in another where it is from
// there.
func putBack(to, copies string, n int, from origin) error {
	if from == fromNothing {
		return bolt.CreateShard(to, n)
	}
	name := bolt.ShardFile(to, n) + ".new"
	if err := copyFile(bolt.ShardFile(copies, n), name); err != nil {
		return err
	}
	return bolt.PutShard(to, n, name)
}

// mend makes everything agree that the replay has left.
func (s *Store) mend(ctx context.Context, say func(string)) error {
	var last AccountID
	for _, sh := range s.shards {
		if sh.restored == fromCheckpoint {
			n, err := s.holdShard(ctx, sh, "the index was put back to its checkpoint, and it may have left since")
			if err != nil {
				return err
			}
			if n > 0 {
				say(fmt.Sprintf("shard %d: %d letters that wait to leave are held, since they may have left after the checkpoint: letterlock queue shows them, letterlock queue retry sends them", sh.number, n))
			}
		}
		ids, err := s.accounts(ctx, sh)
		if err != nil {
			return err
		}
		for _, a := range ids {
			last = max(last, a)
			err := s.Account(a).mend(ctx, sh, say)
			if isDamaged(err) { // all others are mended, and can be served
				say(fmt.Sprintf("account %d could not be mended: %v", a, err))
				continue
			}
			if err != nil {
				return fmt.Errorf("account %d: %w", a, err)
			}
		}
	}
	if err := s.mendPeople(ctx, say); err != nil {
		return err
	}
	return s.system(ctx, func(tx kv.Tx) error {
		f, err := fields(tx, key(systemAccount, keyNext))
		if err == nil && (f == nil || AccountID(f.Uint()) <= last) {
			tx.Put(key(systemAccount, keyNext), sealValue(segment.AppendUint(newValue(), uint64(last)+1)))
		}
		return err
	})
}

// mend goes through one account. Nobody else has the store.
func (a *Account) mend(ctx context.Context, sh *shard, say func(string)) error {
	var boxes []*box
	err := a.read(ctx, func(r kv.Reader) (err error) {
		c, err := getAccount(r, a.id)
		if err == nil && c != nil && !c.removed {
			boxes, err = allBoxes(r, a.id)
		}
		return err
	})
	if err != nil {
		return err
	}
	from, _ := sh.begun(a.id)
	for _, b := range boxes {
		lost, err := a.lost(ctx, b.ID)
		if err != nil {
			return err
		}
		if len(lost) > 0 {
			why := "they had been expunged"
			if from == whole { // an older index may know what is gone; this one was right
				why = "their octets are not in the log, look for them in a backup"
			}
			say(fmt.Sprintf("account %d, %s: %d entries lead to no message and are taken out: %s", a.id, b.Name, len(lost), why))
			if err := a.Expunge(ctx, b.ID, lost); err != nil {
				return err
			}
		}
	}
	if len(boxes) == 0 {
		return nil
	}
	return a.change(ctx, func(t *txn, c *account) error { return t.recount(a.id, c, from != whole, say) })
}

// lost is the entries of a mailbox without a row, or whose segment is gone.
func (a *Account) lost(ctx context.Context, id MailboxID) (lost []UID, err error) {
	err = a.read(ctx, func(r kv.Reader) error {
		lost = nil
		lo := blocksKey(a.id, id)
		for _, v := range r.Range(lo, kv.After(lo), kv.Options{}) {
			blk, err := decodeBlock(v)
			if err != nil {
				return err
			}
			for _, e := range blk.entries {
				w, err := getRow(r, a.id, e.number)
				if err != nil {
					return err
				}
				if w == nil || !a.store.log.Has(w.at, w.bodySize) {
					lost = append(lost, e.uid)
				}
			}
		}
		return nil
	})
	return lost, err
}

// recount makes the counters of an account right, and its UIDs new where they
// cannot be vouched for.
func (t *txn) recount(a AccountID, c *account, renew bool, say func(string)) error {
	boxes, err := allBoxes(t.tx, a)
	if err != nil {
		return err
	}
	if stray := strayNotes(t.tx, a, boxes); len(stray) > 0 {
		say(fmt.Sprintf("account %d: %d annotations of no mailbox are taken out", a, len(stray)))
		for _, k := range stray[:min(len(stray), maxNotes)] {
			t.tx.Delete(k)
		}
	}
	c.bytes, c.messages = 0, 0
	for _, old := range boxes {
		b, err := t.mustBox(a, old.ID)
		if err != nil {
			return err
		}
		b.Messages, b.Unseen, b.Mailbox.Deleted, b.Required, b.Size = 0, 0, 0, 0, 0
		lo := blocksKey(a, b.ID)
		for _, v := range t.tx.Range(lo, kv.After(lo), kv.Options{}) {
			blk, err := decodeBlock(v)
			if err != nil {
				return err
			}
			for i := range blk.entries {
				b.count(&blk.entries[i], 1)
				b.UIDNext = max(b.UIDNext, blk.entries[i].uid+1)
			}
		}
		c.bytes, c.messages = c.bytes+b.Size, c.messages+uint64(b.Messages)
		if b.Messages != old.Messages || b.Unseen != old.Unseen || b.Mailbox.Deleted != old.Mailbox.Deleted || b.Required != old.Required || b.Size != old.Size {
			say(fmt.Sprintf("account %d, %s: its counters are made right: %d messages", a, b.Name, b.Messages))
		}
		if renew {
			b.UIDValidity = c.freshValidity(t.now)
			say(fmt.Sprintf("account %d, %s: UIDVALIDITY is %d now, %d messages", a, b.Name, b.UIDValidity, b.Messages))
		}
	}
	return nil
}

// mendPeople makes a person, without a password, for every account that has
// lost its own.
func (s *Store) mendPeople(ctx context.Context, say func(string)) error {
	owned := make(map[AccountID]bool)
	for p, err := range s.People(ctx) {
		if err != nil {
			return err
		}
		owned[p.ID] = true
	}
	for _, sh := range s.shards {
		ids, err := s.accounts(ctx, sh)
		if err != nil {
			return err
		}
		for _, a := range ids {
			if owned[a] {
				continue
			}
			if err := s.mendPerson(ctx, sh, a, say); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) mendPerson(ctx context.Context, sh *shard, a AccountID, say func(string)) error {
	var c *account
	err := s.index.View(ctx, sh.number, func(r kv.Reader) (err error) {
		c, err = getAccount(r, a)
		return err
	})
	if err != nil || c == nil || c.removed {
		return err
	}
	p := Person{ID: a, Address: c.address, Created: c.created}
	return s.system(ctx, func(tx kv.Tx) error {
		if _, err := getPerson(tx, p.Address); p.Address.IsNull() || err == nil {
			p.Address = mail.Address{Local: fmt.Sprintf("account-%d", a), Domain: "recovered.invalid"}
		}
		say(fmt.Sprintf("account %d belongs to nobody: it is %s now, without a password; aliases may be missing", a, p.Address))
		tx.Put(addressKey(keyPerson, p.Address), p.encode())
		return nil
	})
}
