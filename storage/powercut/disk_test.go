//go:build linux

package powercut

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// diskSize is as much as mkfs.xfs wants at least, and a little more.
const diskSize = 320 << 20

// chunk is the unit in which a disk's octets are known to be other than zero.
const chunk = 64 << 10

// platter is the octets of a disk, in memory that costs nothing until written.
type platter struct {
	octets  []byte
	touched map[int64]bool // chunks
}

func newPlatter(t *testing.T) *platter {
	t.Helper()
	octets, err := unix.Mmap(-1, 0, diskSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(octets) })
	return &platter{octets, make(map[int64]bool)}
}

func (p *platter) write(at int64, octets []byte) {
	copy(p.octets[at:], octets)
	for c := at / chunk; c <= (at+int64(len(octets))-1)/chunk; c++ {
		p.touched[c] = true
	}
}

// load takes over the octets of a file.
func (p *platter) load(t *testing.T, name string) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, chunk)
	zeros := string(make([]byte, chunk))
	for at := int64(0); at < diskSize; at += chunk {
		if _, err := f.ReadAt(b, at); err != nil {
			t.Fatal(err)
		}
		if string(b) != zeros {
			p.write(at, b)
		}
	}
}

// save makes a sparse file of it.
func (p *platter) save(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(diskSize); err != nil {
		t.Fatal(err)
	}
	for c := range p.touched {
		if _, err := f.WriteAt(p.octets[c*chunk:(c+1)*chunk], c*chunk); err != nil {
			t.Fatal(err)
		}
	}
}

// event is a write, or without octets a flush.
type event struct {
	at     int64
	octets []byte
}

// disk is a file that keeps a record of what was written to it and when it was
// flushed. What is on it now is the platter.
type disk struct {
	fs.Inode

	mu      sync.Mutex // guards all below
	now     *platter
	journal []event
}

var (
	_ fs.NodeOpener    = (*disk)(nil)
	_ fs.NodeReader    = (*disk)(nil)
	_ fs.NodeWriter    = (*disk)(nil)
	_ fs.NodeFsyncer   = (*disk)(nil)
	_ fs.NodeGetattrer = (*disk)(nil)
	_ fs.NodeSetattrer = (*disk)(nil)
)

func (d *disk) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_KEEP_CACHE, 0
}

func (d *disk) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size = 0o600, diskSize
	return 0
}

// Setattr changes nothing: only times are ever set.
func (d *disk) Setattr(ctx context.Context, f fs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return d.Getattr(ctx, f, out)
}

func (d *disk) Read(_ context.Context, _ fs.FileHandle, to []byte, at int64) (fuse.ReadResult, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	if at < diskSize {
		n = copy(to, d.now.octets[at:])
	}
	return fuse.ReadResultData(to[:n]), 0
}

func (d *disk) Write(_ context.Context, _ fs.FileHandle, octets []byte, at int64) (uint32, syscall.Errno) {
	if len(octets) == 0 || at+int64(len(octets)) > diskSize {
		return 0, syscall.ENOSPC
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now.write(at, octets)
	d.journal = append(d.journal, event{at, append([]byte(nil), octets...)})
	return uint32(len(octets)), 0
}

// Fsync is how the loop device passes a flush on: what was answered before it
// came is then on the disk for good.
func (d *disk) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.journal = append(d.journal, event{})
	return 0
}

// recorded is how far the recording has come.
func (d *disk) recorded() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.journal)
}

// until is the first n events.
func (d *disk) until(n int) []event {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.journal[:n:n]
}

// serve shows the disk as a file.
func (d *disk) serve(t *testing.T) (file string) {
	t.Helper()
	dir := t.TempDir()
	root := &fs.Inode{}
	server, err := fs.Mount(dir, root, &fs.Options{
		MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "powercut", MaxWrite: 1 << 20},
		OnAdd: func(ctx context.Context) {
			root.AddChild("disk", root.NewPersistentInode(ctx, d, fs.StableAttr{Mode: fuse.S_IFREG}), false)
		},
	})
	if err != nil {
		t.Skipf("no FUSE file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := server.Unmount(); err != nil {
			t.Error(err)
		}
	})
	return filepath.Join(dir, "disk")
}

// survival is what becomes of what was written and not flushed.
type survival int

const (
	nothing survival = iota
	everything
	blocks  // any blocks of 4 KiB
	sectors // any sectors of 512 octets
	survivals
)

func (s survival) String() string {
	return [...]string{"nothing", "everything", "some blocks", "some sectors"}[s]
}

// cut is a moment at which the power fails.
type cut struct {
	after int // events
	keep  survival
	seed  uint64 // of what is kept
}

// survivors are the writes, or their parts, that reached the platter although
// nobody had flushed them. Where two wrote the same place the later one may be
// lost and the earlier one not: each is judged for itself, in order.
func (c cut) survivors(unflushed []event) (all []event) {
	rnd, grain := rand.New(rand.NewPCG(c.seed, 9)), int64(4096)
	if c.keep == sectors {
		grain = 512
	}
	for _, e := range unflushed {
		switch {
		case c.keep == everything:
			all = append(all, e)
		case c.keep == blocks || c.keep == sectors:
			for from := int64(0); from < int64(len(e.octets)); from += grain {
				if rnd.IntN(2) == 0 {
					all = append(all, event{e.at + from, e.octets[from:min(from+grain, int64(len(e.octets)))]})
				}
			}
		}
	}
	return all
}
