package bolt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"go.etcd.io/bbolt"

	"letterlock/storage/disk"
	"letterlock/storage/kv"
)

// Options of the engine; the zero value is the documented default.
type Options struct {
	Shards  int   // at creation alone; default 4
	MapSize int64 // octets of address space per shard; default 8 GiB on 64 bits
	Slack   int   // octets by which a wrapper makes values longer: [kv.Tally]
}

// Engine is a [kv.Engine] over bbolt files.
type Engine struct {
	kv.Hub
	shards []*shard
}

var _ kv.Engine = (*Engine)(nil)

// bucket is the one bucket of every file.
var bucket = []byte("kv")

// fill of the pages: most keys are appended, so nearly full pages stay so.
const fill = 0.9

// Open opens the shards in dir, or makes them. Nobody else may have them open:
// bbolt's own lock is waited for at most a second.
func Open(dir string, opt Options) (*Engine, error) {
	if opt.MapSize == 0 && strconv.IntSize == 64 {
		opt.MapSize = 8 << 30
	}
	names, err := filepath.Glob(filepath.Join(dir, "[0-9][0-9].db"))
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		if names, err = create(dir, opt); err != nil {
			return nil, fmt.Errorf("create index: %w", err)
		}
	}
	e := &Engine{}
	for i, name := range names {
		if want := file(dir, i); name != want {
			return nil, errors.Join(fmt.Errorf("index: %s is missing", want), e.Close())
		}
		s, err := open(name, opt, &e.Hub)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open %s: %w", name, err), e.Close())
		}
		e.shards = append(e.shards, s)
	}
	return e, nil
}

func file(dir string, shard int) string { return filepath.Join(dir, fmt.Sprintf("%02d.db", shard)) }

// create makes all files under temporary names and renames the first one last:
// a power cut during bbolt's own first write leaves no file that looks whole.
func create(dir string, opt Options) (names []string, err error) {
	n := opt.Shards
	if n == 0 {
		n = 4
	}
	if n < 0 || n > 64 {
		return nil, fmt.Errorf("%d shards: 1 to 64 are possible", n)
	}
	for i := range n {
		if err := initialise(file(dir, i) + ".new"); err != nil {
			return nil, err
		}
		names = append(names, file(dir, i))
	}
	for i := n - 1; i >= 0; i-- {
		if err := os.Rename(names[i]+".new", names[i]); err != nil {
			return nil, err
		}
	}
	return names, disk.OS{}.SyncDir(dir)
}

func initialise(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	db, err := bbolt.Open(name, 0o600, nil)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bucket)
		return err
	})
	return errors.Join(err, db.Sync(), db.Close())
}

func open(name string, opt Options, hub *kv.Hub) (*shard, error) {
	for _, left := range []string{name + copySuffix, name + rescueSuffix} { // by a crash
		if err := os.Remove(left); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	if err := readThrough(name); err != nil {
		return nil, err
	}
	db, err := openFile(name, opt)
	if err != nil {
		return nil, err
	}
	s := &shard{
		name: name, opt: opt, hub: hub,
		queue: kv.NewQueue(),
		cur:   &opened{db: db}, good: visible(db),
	}
	go s.run()
	return s, nil
}

func openFile(name string, opt Options) (*bbolt.DB, error) {
	return bbolt.Open(name, 0o600, &bbolt.Options{
		Timeout:         time.Second,
		FreelistType:    bbolt.FreelistMapType,
		NoFreelistSync:  true,
		InitialMmapSize: int(opt.MapSize),
	})
}

// Shards is how many files there are.
func (e *Engine) Shards() int { return len(e.shards) }

// View runs fn on a snapshot.
func (e *Engine) View(ctx context.Context, shard int, fn func(kv.Reader) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return e.shards[shard].view(func(btx *bbolt.Tx) error {
		return fn(newReader(btx.Bucket(bucket)))
	})
}

// Update queues fn for the shard's committer and waits for the commit.
func (e *Engine) Update(ctx context.Context, shard int, fn func(kv.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return e.shards[shard].queue.Do(fn)
}

// Settle is an Update that the bounds of a transaction do not hold for, those of
// keys and values do. It leaves stamp on the shard together with what fn writes.
func (e *Engine) Settle(ctx context.Context, shard int, stamp uint64, fn func(kv.Tx) error) error {
	return e.Update(ctx, shard, func(t kv.Tx) error {
		own := t.(*tx)
		own.tally.Wide = true
		err := fn(own)
		if err == nil {
			own.note(own.b.SetSequence(stamp))
		}
		return err
	})
}

// Stamp is what the last Settle has left on a shard; 0 before the first.
func (e *Engine) Stamp(ctx context.Context, shard int) (stamp uint64, err error) {
	err = e.shards[shard].view(func(btx *bbolt.Tx) error {
		stamp = btx.Bucket(bucket).Sequence()
		return ctx.Err()
	})
	return stamp, err
}

// Copy writes the file of a shard as it is now.
func (e *Engine) Copy(ctx context.Context, shard int, w io.Writer) error {
	return e.shards[shard].view(func(tx *bbolt.Tx) error {
		_, err := tx.WriteTo(contextWriter{ctx, w})
		return err
	})
}

// contextWriter ends a long copy when nobody waits for it any more.
type contextWriter struct {
	ctx context.Context
	w   io.Writer
}

func (c contextWriter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(p)
}

// Close waits for what is queued, writes the free lists and closes the files.
func (e *Engine) Close() error {
	var errs []error
	for _, s := range e.shards {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}
