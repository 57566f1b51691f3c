//go:build linux

package powercut

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"letterlock/storage"
)

// fileSystem is one that mail may lie on.
type fileSystem struct {
	name    string
	make    []string // mkfs, before the name of the image
	options string   // of mount
}

var (
	ext4 = fileSystem{"ext4", []string{"mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard"}, "noatime"}
	xfs  = fileSystem{"xfs", []string{"mkfs.xfs", "-q", "-f", "-K"}, "noatime,nouuid"}
)

// How long the store is loaded, how many cuts are made of one recording, and
// how often the disk that a cut left is loaded and cut again.
const (
	loadFor      = 1200 * time.Millisecond
	cutsPerLoad  = 20
	lives        = 3
	shortCuts    = 4 // on each file system, in two lives
	controlCuts  = 3
	mostBehind   = 200 // acknowledgements that lay in the pipe when the power went
	powerCutsVar = "LETTERLOCK_POWER_CUTS"
)

func TestNothingAcknowledgedIsLostByPowerCutOnExt4(t *testing.T) { powerCuts(t, ext4) }
func TestNothingAcknowledgedIsLostByPowerCutOnXFS(t *testing.T)  { powerCuts(t, xfs) }

// powerCuts loads a store and cuts; then loads what the last cut left, so that
// the repair itself is cut as well, and what lived through one failure has to
// live through the next.
func powerCuts(t *testing.T, kind fileSystem) {
	cuts, perLoad := shortCuts, shortCuts/2
	if n, err := strconv.Atoi(os.Getenv(powerCutsVar)); err == nil {
		cuts, perLoad = n, cutsPerLoad
	}
	seed := rand.Uint64() >> 16
	left := &remains{image: filepath.Join(t.TempDir(), "left")}
	acknowledged := 0
	for made := 0; made < cuts && !t.Failed() && !t.Skipped(); made += perLoad {
		if made%(lives*perLoad) == 0 {
			left.worlds = nil
		}
		n := min(perLoad, cuts-made)
		t.Run(fmt.Sprintf("%d to %d", made+1, made+n), func(t *testing.T) {
			acknowledged += cutLife(t, kind, seed+uint64(made), n, left)
		})
	}
	t.Logf("%s: %d cuts, %d acknowledged operations looked for", kind.name, cuts, acknowledged)
}

// cutLife loads what is left of earlier lives, cuts n times, and leaves the
// disk as the last cut did.
func cutLife(t *testing.T, kind fileSystem, seed uint64, n int, left *remains) (acknowledged int) {
	r := record(t, kind, seed, flushed, left)
	var last cut
	torn, lastTorn := 0, false
	for _, last = range r.cuts(n, 0) {
		found, err := r.survive(t, last)
		if lastTorn = errors.Is(err, errTorn); lastTorn {
			t.Logf("seed %d, cut after %d of %d events: passed over: %v", seed, last.after, r.told.end, err)
			torn++
			continue
		}
		if err != nil {
			t.Fatalf("seed %d, %s, cut after %d of %d events, of the unflushed %s was kept: %v", seed, kind.name, last.after, r.told.end, last.keep, err)
		}
		acknowledged += found
	}
	if torn > 1+n/20 {
		t.Errorf("seed %d: after %d cuts of %d there was no %s to look at", seed, torn, n, kind.name)
	}
	if lastTorn { // the next life begins with an empty disk
		left.worlds = nil
		return acknowledged
	}
	r.wreck(t, last, left.image)
	left.worlds = append(left.worlds, r.worlds...)
	return acknowledged
}

// TestPowerCutLosesMailWithoutFlushes is the control: the same code with its
// flushes left out must be caught.
func TestPowerCutLosesMailWithoutFlushes(t *testing.T) {
	r := record(t, ext4, rand.Uint64()>>16, leftOut, &remains{})
	caught := 0
	for _, c := range r.cuts(controlCuts, r.told.end) { // little is written before: the end is when all was acknowledged
		if _, err := r.survive(t, c); err != nil && !errors.Is(err, errTorn) {
			t.Logf("as it must be: %v", err)
			caught++
		}
	}
	if caught == 0 {
		t.Fatalf("%d cuts of a store that flushes nothing lost nothing: the rig sees nothing", controlCuts)
	}
}

// recording is a disk as it was, and all that happened to it.
type recording struct {
	kind    fileSystem
	seed    uint64
	journal []event
	told    *account
	ready   int      // events until a new disk was mounted
	durable *platter // all events up to the last flush before the last cut
	applied int      // how many events that is
	image   string
	rnd     *rand.Rand
	worlds  []settled // what was in force after the newest cut
	earlier []settled // what earlier lives of the disk left
}

// settled is a worker of which is known what it left.
type settled struct {
	*world
	people [2]storage.AccountID
}

// remains is a disk that was cut, and who left what on it; without anybody it
// is no disk yet.
type remains struct {
	image  string
	worlds []settled
}

// record loads a store on a new disk, or on what is left of one.
func record(t *testing.T, kind fileSystem, seed uint64, how flushing, left *remains) *recording {
	t.Helper()
	need(t, kind)
	r := &recording{kind: kind, seed: seed, image: filepath.Join(t.TempDir(), "image"), earlier: left.worlds, rnd: rand.New(rand.NewPCG(seed, 5))}
	from := left.image
	if len(left.worlds) == 0 {
		from = r.image
		blank(t, kind, from)
	}
	d := &disk{now: newPlatter(t)}
	d.now.load(t, from)
	r.durable = newPlatter(t)
	r.durable.load(t, from)

	dir, unmount, err := mount(t, kind, d.serve(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(left.worlds) == 0 {
		r.ready = d.recorded()
	}
	r.told = runChild(t, d, filepath.Join(dir, "store"), seed, how, loadFor)
	unmount()
	r.journal = d.until(r.told.end)
	return r
}

// blank makes an empty file system.
func blank(t *testing.T, kind fileSystem, image string) {
	t.Helper()
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, diskSize); err != nil {
		t.Fatal(err)
	}
	run(t, append(slices.Clone(kind.make), image)...)
}

// need skips where the rig cannot stand.
func need(t *testing.T, kind fileSystem) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("skipped: FUSE and loop devices need root")
	}
	for _, device := range []string{"/dev/fuse", "/dev/loop-control"} {
		if _, err := os.Stat(device); err != nil {
			t.Skipf("skipped: %v", err)
		}
	}
	for _, tool := range []string{kind.make[0], "losetup", "mount", "umount"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("skipped: %v", err)
		}
	}
	known, err := os.ReadFile("/proc/filesystems")
	if err != nil || !slices.Contains(strings.Fields(string(known)), kind.name) {
		t.Skipf("skipped: this kernel has no %s, %v", kind.name, err)
	}
}

func run(t *testing.T, command ...string) string {
	t.Helper()
	out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(command, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// errTorn: XFS reads metadata blocks while it recovers, and takes one of which a
// cut has kept some sectors alone for damage: it wants xfs_repair, and there is no
// store to look at.
var errTorn = errors.New("the file system does not mount")

// mount mounts a disk image through a loop device: [errTorn].
func mount(t *testing.T, kind fileSystem, image string) (dir string, unmount func(), err error) {
	t.Helper()
	out, err := exec.Command("losetup", "--find", "--show", image).CombinedOutput()
	if err != nil {
		t.Skipf("skipped: no loop device: %v: %s", err, out)
	}
	device := strings.TrimSpace(string(out))
	detach := onEnd(t, func() { run(t, "losetup", "--detach", device) })
	dir, err = os.MkdirTemp(t.TempDir(), "mounted")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", kind.name, "-o", kind.options, device, dir).CombinedOutput(); err != nil {
		detach()
		return "", nil, fmt.Errorf("%w: %s: %v: %s", errTorn, kind.name, err, out)
	}
	release := onEnd(t, func() { run(t, "umount", dir) })
	return dir, func() { release(); detach() }, nil
}

// onEnd runs fn once: when it is called, or when the test ends.
func onEnd(t *testing.T, fn func()) func() {
	done := false
	once := func() {
		if !done {
			done = true
			fn()
		}
	}
	t.Cleanup(once)
	return once
}

// cuts are n of them, none before an event, in order.
func (r *recording) cuts(n, earliest int) (all []cut) {
	earliest = max(earliest, r.ready)
	for range n {
		all = append(all, cut{
			after: earliest + r.rnd.IntN(r.told.end-earliest+1), keep: survival(r.rnd.IntN(int(survivals))), seed: r.rnd.Uint64(),
		})
	}
	slices.SortFunc(all, func(a, b cut) int { return a.after - b.after })
	return all
}

// wreck makes the disk as it is after the cut. Cuts come in order.
func (r *recording) wreck(t *testing.T, c cut, image string) {
	t.Helper()
	flushedTo := r.applied
	for i := c.after - 1; i >= r.applied && flushedTo == r.applied; i-- {
		if r.journal[i].octets == nil {
			flushedTo = i + 1
		}
	}
	for _, e := range r.journal[r.applied:flushedTo] {
		if e.octets != nil {
			r.durable.write(e.at, e.octets)
		}
	}
	r.applied = flushedTo
	r.durable.save(t, image)
	f, err := os.OpenFile(image, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range c.survivors(r.journal[r.applied:c.after]) {
		if _, err := f.WriteAt(e.octets, e.at); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// survive checks the store on the disk that a cut left. It answers how many
// acknowledged operations were looked for.
func (r *recording) survive(t *testing.T, c cut) (acknowledged int, err error) {
	t.Helper()
	r.wreck(t, c, r.image)
	dir, unmount, err := mount(t, r.kind, r.image)
	if err != nil {
		return 0, err
	}
	defer unmount()
	return r.check(filepath.Join(dir, "store"), c.after)
}

// check opens the store and compares every worker's accounts with what it had
// been told is durable at the cut, and those of earlier lives with what they
// were then.
func (r *recording) check(dir string, after int) (acknowledged int, err error) {
	s, err := storage.Open(dir, options)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	r.worlds = nil
	for worker := range workers {
		done, ok := r.told.acknowledged(worker, after)
		if !ok {
			continue
		}
		acknowledged += done
		w, err := r.checkWorker(s, worker, done)
		if err != nil {
			return acknowledged, fmt.Errorf("worker %d after %d acknowledged operations: %w", worker, done, err)
		}
		r.worlds = append(r.worlds, settled{w, r.told.people[worker]})
	}
	for _, w := range r.earlier {
		diff, err := w.differs(s, w.people)
		if err == nil && diff != "" {
			err = errors.New(diff)
		}
		if err != nil {
			return acknowledged, fmt.Errorf("left by an earlier life: %w", err)
		}
		acknowledged += w.done
	}
	return acknowledged, nil
}

// checkWorker wants the world after all that was acknowledged; or after a few
// operations more, whose acknowledgement was on its way when the power went, or
// would have been.
func (r *recording) checkWorker(s *storage.Store, worker, done int) (*world, error) {
	w := newWorld(r.seed + uint64(worker))
	for range done {
		w.take(w.next())
	}
	first, err := w.differs(s, r.told.people[worker])
	for diff := first; err == nil; diff, err = w.differs(s, r.told.people[worker]) {
		if diff == "" {
			return w, nil
		}
		if w.done == done+mostBehind {
			return nil, errors.New(first)
		}
		w.take(w.next())
	}
	return nil, err
}
