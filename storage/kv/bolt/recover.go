package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"letterlock/storage/disk"
)

// recoverEvery is how long a shard that failed waits before it tries again.
const recoverEvery = time.Second

// doubt is told why a commit failed. A full disk passes, when the transaction
// has left nothing: bbolt has rolled back, and the next one may find room.
// After anything else nobody knows what of the file is on the disk, whatever
// the next flush says, so that nothing is written to it any more.
func (s *shard) doubt(err error) {
	if noSpace(err) && visible(s.cur.db) == s.good {
		return
	}
	s.failed = err
	if s.journal != nil {
		s.journal.giveUp() // it may have copied what was not acknowledged
	}
	_ = s.takeBack() // recover tries again
}

// recover makes a new file of the last acknowledged state of one in doubt, and
// goes on with that. What the kernel may have dropped of the old one was never
// acknowledged; what was acknowledged can be read. As long as the disk takes no
// new file either, the shard refuses.
func (s *shard) recover() error {
	if time.Since(s.tried) < recoverEvery {
		return s.failed
	}
	s.tried = time.Now()
	err := s.takeBack()
	var db *bbolt.DB
	if err == nil {
		db, err = s.newCopy(rescueSuffix)
	}
	if err == nil {
		c := copier{shard: s, to: db, batch: copyBatch}
		err = c.all(context.Background())
	}
	if err == nil {
		err = s.install(db, rescueSuffix)
	} else if db != nil {
		err = errors.Join(err, db.Close(), os.Remove(s.name+rescueSuffix))
	}
	if err != nil {
		return fmt.Errorf("%w; and it was not copied to a new file: %w", s.failed, err)
	}
	s.failed = nil
	return nil
}

// takeBack hides a transaction that reached the file although its commit
// failed: its meta page goes, and the one before counts again.
func (s *shard) takeBack() error {
	db := s.cur.db
	newest := visible(db)
	if newest == s.good {
		return nil
	}
	if newest != s.good+1 {
		return fmt.Errorf("transaction %d is in the file, %d was the last acknowledged", newest, s.good)
	}
	size := int64(db.Info().PageSize)
	f, err := os.OpenFile(s.name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, size), int64(newest%2)*size) // bbolt alternates between the first two pages
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if now := visible(db); now != s.good {
		return fmt.Errorf("transaction %d is in the file, want %d", now, s.good)
	}
	return nil
}

// install puts a whole copy in the place of the file, durably. A copy whose
// name may not be durable is in doubt, too: what is written to it would be lost
// with the name.
func (s *shard) install(db *bbolt.DB, suffix string) error {
	err := s.restamp(db)
	if err == nil {
		err = db.Sync()
	}
	if err == nil {
		err = os.Rename(s.name+suffix, s.name)
	}
	if err != nil {
		return errors.Join(err, db.Close(), os.Remove(s.name+suffix))
	}
	db.NoSync, db.NoGrowSync = false, false
	s.replace(db)
	if err := (disk.OS{}).SyncDir(filepath.Dir(s.name)); err != nil {
		s.failed = err
		return err
	}
	return nil
}

// restamp leaves on a copy what the last Settle has left on the file.
func (s *shard) restamp(db *bbolt.DB) error {
	return s.view(func(from *bbolt.Tx) error {
		return db.Update(func(to *bbolt.Tx) error {
			return to.Bucket(bucket).SetSequence(from.Bucket(bucket).Sequence())
		})
	})
}

func noSpace(err error) bool {
	return disk.NoSpace(err) || errors.Is(spelledOut(err), syscall.ENOSPC)
}

// spelledOut finds the error number again where bbolt has kept its text alone.
func spelledOut(err error) error {
	for _, number := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		if !errors.Is(err, number) && strings.HasSuffix(err.Error(), number.Error()) {
			return fmt.Errorf("%w (%w)", err, number)
		}
	}
	return err
}
