package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/reply"
	"letterlock/storage/disk"
	"letterlock/storage/kv"
	"letterlock/storage/kv/bolt"
	"letterlock/storage/kv/journal"
	"letterlock/storage/kv/sealed"
	"letterlock/storage/seal"
	"letterlock/storage/segment"
)

// Distinct things have distinct types.
type (
	AccountID uint64 // 0 is the system
	MailboxID uint32 // unique within its account, never reused
	UID       uint32 // RFC 9051 §2.3.1.1
	ModSeq    uint64 // RFC 7162 §3.1
	ObjectID  uint64 // EMAILID, THREADID, MAILBOXID (RFC 8474): random, never derived from content
)

// String is the id as IMAP and Sieve show it (RFC 8474 §4): 16 hexadecimal
// digits.
func (id ObjectID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// What callers tell apart.
var (
	ErrNotFound     = errors.New("not found") // no such account, alias, mailbox, message
	ErrExists       = errors.New("already exists")
	ErrLocked       = errors.New("the data folder is in use")
	ErrForeign      = errors.New("the folder is no store and holds something else")
	ErrHasChildren  = errors.New("the mailbox has children")
	ErrBadName      = errors.New("not a mailbox name") // or not a keyword
	ErrOverQuota    = errors.New("over quota")
	ErrLimit        = errors.New("limit reached")                  // keywords per mailbox, mailboxes per account, messages per COPY
	ErrUnavailable  = errors.New("the store takes no changes now") // disk full or I/O error
	ErrReadOnlyFlag = errors.New("this flag cannot be changed")    // $RequireTLS, \Recent
)

// Options of a store; the zero value is the documented default.
type Options struct {
	Shards      int   // at creation alone; default 4
	SegmentSize int64 // octets of a segment; default 64 MiB
	Log         *slog.Logger
	Now         func() time.Time                       // default time.Now
	Summarize   func(mail.Body) (*mail.Summary, error) // for fsck's repair; may be nil
	// Keys seal everything that is written from now on; see [Store.SealAll] for what
	// is there. Without them a store that was ever sealed is refused:
	// seal.ErrNoKey.
	Keys *seal.Keys
	// Filter appends the encoded filter of a message to dst, for
	// [Account.Candidates]; nil: none are made. An error is that of reading.
	Filter func(dst []byte, sum *mail.Summary, message io.ReaderAt) ([]byte, error)

	wrap  func(kv.Engine) kv.Engine // tests put [kv.Strict] around the index
	files disk.Files                // tests make the disk fail
	items int                       // tests: how many items one transaction applies; 0: what there is room for

	restored restoration // what [Repair] has put in place
}

// Store is the vault of one data folder. All methods are for use by many
// goroutines at once.
type Store struct {
	dir     string
	opt     Options
	lock    *os.File
	index   *kv.Memory
	cover   *sealed.Engine  // in index, around journal
	journal *journal.Engine // around files
	files   *bolt.Engine
	log     *segment.Log
	shards  []*shard
	views   viewCache
	claims  claims
	blocks  blockCache
	watch   watchers
	retries retries
	eldest  eldest
	persons recalled
	trouble trouble
	rotten  rotten
	sends   chan struct{} // room for one: the outbox has news
	// applying has room for one: the shard whose turn it is to apply what nobody
	// waits for. A batch takes a processor for some milliseconds; two at once would
	// leave those who deliver none.
	applying chan struct{}
	reaper   *reaper
	gc       *collector
	opened   time.Time
	indexer  *indexer
	load     load
	turn     chan struct{} // room for one: who collects, checks or backs up
	once     sync.Once
	closed   error
}

// The folders inside the data folder.
const (
	indexDir   = "index"
	segmentDir = "seg"
	tempDir    = "tmp"
)

// Open opens or creates the store in dir (0700, files 0600) and replays what
// was acknowledged and not yet applied. A second process gets ErrLocked whose
// text names the pid of the first. A folder of somebody else's stays as it is:
// ErrForeign.
func Open(dir string, opt Options) (*Store, error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{dir: dir, opt: opt, turn: make(chan struct{}, 1), sends: make(chan struct{}, 1), applying: make(chan struct{}, 1)}
	if err := s.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", dir, err), s.Close())
	}
	return s, nil
}

func (s *Store) open() (err error) {
	if err := checkFolder(s.dir); err != nil {
		return err
	}
	if err := prepareFolder(s.dir); err != nil {
		return err
	}
	if s.lock, err = lockFolder(s.dir); err != nil {
		return err
	}
	for _, name := range []string{indexDir, segmentDir, tempDir} {
		if err := prepareFolder(filepath.Join(s.dir, name)); err != nil {
			return err
		}
	}
	if err := emptyFolder(filepath.Join(s.dir, tempDir)); err != nil {
		return err
	}
	if err := checkModes(s.dir); err != nil {
		return err
	}
	if err := s.openIndex(); err != nil {
		return err
	}
	if err := checkRepaired(s.dir, s.opt.restored); err != nil {
		return err
	}
	return s.start()
}

// openIndex opens the index, or makes it and then says in FORMAT that there is
// a store.
func (s *Store) openIndex() error {
	said, err := readFormat(s.dir)
	if err != nil {
		return err
	}
	fresh := said.shards == 0
	if fresh {
		said = format{shards: s.opt.Shards, id: newStoreID()}
	}
	if s.files, err = bolt.Open(filepath.Join(s.dir, indexDir), bolt.Options{Shards: said.shards, Slack: sealed.Slack}); err != nil {
		return err
	}
	if s.journal, err = journal.Open(filepath.Join(s.dir, indexDir), s.files, journal.Options{Slack: sealed.Slack, Files: s.opt.files}); err != nil {
		return err
	}
	if s.cover, err = sealed.New(s.journal, s.opt.Keys, hide); err != nil {
		return err
	}
	var below kv.Engine = s.cover
	if s.opt.wrap != nil {
		below = s.opt.wrap(below)
	}
	s.index = kv.Remember(below, keyHead, remembered)
	n := s.index.Shards()
	if said.shards != n && !fresh {
		return fmt.Errorf("the index has %d shards, %s says %d", n, formatName, said.shards)
	}
	if said.version == formatVersion {
		return nil
	}
	said.shards = n
	return writeFormat(s.dir, said)
}

// start opens the log, replays it, and starts everything that runs.
func (s *Store) start() (err error) {
	s.log, err = segment.Open(filepath.Join(s.dir, segmentDir), filepath.Join(s.dir, tempDir), segment.Options{
		Files: s.opt.files, SegmentSize: s.opt.SegmentSize, Log: s.opt.Log, Durable: s.durable, Keys: s.opt.Keys,
	})
	if err != nil {
		return err
	}
	if err := s.startShards(); err != nil {
		return err
	}
	from, oldest, flushed := s.replayMark(), s.oldestMark(), s.newestMark()
	before := &replay{store: s, next: max(from.Serial, 1), fresh: oldest.Serial}
	if _, err := s.log.Replay(from, flushed, before.replayed); err != nil {
		return err
	}
	if err := before.missing(flushed.Serial); err != nil {
		return err
	}
	for _, sh := range s.shards {
		if err := sh.drain(context.Background()); err != nil {
			return err
		}
		if err := sh.giveUp(context.Background()); err != nil {
			return err
		}
	}
	if err := s.finishRemovals(context.Background()); err != nil {
		return err
	}
	if err := s.holdRestored(context.Background()); err != nil {
		return err
	}
	if err := s.loadRetries(context.Background()); err != nil {
		return err
	}
	if s.journal.Recovered() {
		before.unsure.lookBack(s, oldest.At)
	}
	before.unsure.remember(s)
	s.opened = time.Now()
	s.indexer = newIndexer(s) // the others tell it
	s.gc = startCollector(s)
	s.reaper = startReaper(s)
	s.indexer.start()
	return nil
}

// Close waits for what was acknowledged to be applied and closes everything.
func (s *Store) Close() error {
	s.once.Do(func() {
		var errs []error
		if s.indexer != nil {
			s.indexer.stop()
		}
		if s.reaper != nil {
			s.reaper.stop()
		}
		if s.gc != nil {
			s.gc.stop()
		}
		if s.log != nil {
			errs = append(errs, s.log.Close())
		}
		if s.indexer != nil { // all was opened
			if err := s.writeClaims(context.Background()); err != nil { // no more than after a crash
				s.opt.Log.Warn("some messages will be \\Recent once more", "err", err)
			}
		}
		for _, sh := range s.shards {
			if at, serial := s.log.End(); at.Segment != 0 {
				sh.push(item{after: segment.Mark{At: at, Serial: serial}, writes: 1})
			}
			errs = append(errs, sh.close())
		}
		if s.gc != nil && s.gc.worthACheckpoint() && errors.Join(errs...) == nil {
			s.gc.last()
		}
		if s.journal != nil {
			errs = append(errs, s.journal.Close())
		} else if s.files != nil {
			errs = append(errs, s.files.Close())
		}
		if s.lock != nil {
			errs = append(errs, s.lock.Close())
		}
		s.closed = errors.Join(errs...)
	})
	return s.closed
}

// SpoolFile is written once from the front, then read as a mail.Body.
type SpoolFile interface {
	io.Writer
	mail.Body
	io.Closer
}

// Spool makes a file for a big body in the store's own temp folder; it is
// deleted when closed unless it became part of the log.
func (s *Store) Spool() (SpoolFile, error) {
	f, err := s.log.Spool()
	if err != nil {
		return nil, unavailable(fmt.Errorf("spool: %w", err))
	}
	return f, nil
}

// unavailable makes a failure to write one that callers know: [ErrUnavailable],
// and beside it the reply for a stranger, which is that of a full disk where
// the disk is full.
func unavailable(err error) error {
	switch {
	case err == nil:
		return nil
	case disk.NoSpace(err):
		return fmt.Errorf("%w: %w", ErrUnavailable, reply.DiskFull.Because(err))
	case errors.Is(err, errStopped), errors.Is(err, kv.ErrFailed), errors.Is(err, segment.ErrUnwritten), errors.Is(err, kv.ErrClosed), errors.Is(err, segment.ErrClosed):
		return fmt.Errorf("%w: %w", ErrUnavailable, reply.LocalError.Because(err))
	}
	return err
}
