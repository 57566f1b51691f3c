package releasetest

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"letterlock/imapd"
	"letterlock/internal/requiretls"
)

var onlyBound, onlyTLS = requiretls.PolicyBound, requiretls.PolicyTLS

// TestMain lets the collector rest: there is memory enough, and time is short.
func TestMain(m *testing.M) {
	debug.SetGCPercent(300)
	os.Exit(m.Run())
}

func under(p requiretls.Policy) setup { return setup{policy: p} }

// classes is every kind of session under every policy that withholds mail from it,
// with an account that tightens the policy, and the other ways to treat such a
// session.
var classes = []class{
	{name: "local under tls", door: "local"},
	{name: "clear under tls", door: "clear"},
	{name: "clear under local", door: "clear", setup: under(requiretls.PolicyLocal)},
	{name: "tls under bound", door: "tls", setup: under(requiretls.PolicyBound)},
	{name: "proxied under bound", door: "proxied", setup: under(requiretls.PolicyBound)},
	{name: "local under bound", door: "local", setup: under(requiretls.PolicyBound)},
	{name: "clear under bound", door: "clear", setup: under(requiretls.PolicyBound)},
	{name: "tls of an account under bound", door: "tls", own: &onlyBound},
	{name: "local of an account under tls", door: "local", setup: under(requiretls.PolicyLocal), own: &onlyTLS},
	{name: "local, refused", door: "local", setup: setup{insecure: imapd.InsecureRefuse}},
	{name: "tls under bound, refused", door: "tls", setup: setup{policy: requiretls.PolicyBound, insecure: imapd.InsecureRefuse}},
	{name: "local where it is hidden", door: "local", setup: setup{hides: true}},
	{name: "clear where it is hidden", door: "clear", setup: setup{policy: requiretls.PolicyLocal, hides: true}},
	{name: "tls where it is hidden", door: "tls", setup: setup{policy: requiretls.PolicyBound, hides: true}},
}

// readers is every kind of session under every policy that lets it read.
var readers = []class{
	{name: "tls under tls", door: "tls"},
	{name: "proxied under tls", door: "proxied"},
	{name: "bound under tls", door: "bound"},
	{name: "bound under bound", door: "bound", setup: under(requiretls.PolicyBound)},
	{name: "bound of an account under bound", door: "bound", own: &onlyBound},
	{name: "local under local", door: "local", setup: under(requiretls.PolicyLocal)},
	{name: "proxied under local", door: "proxied", setup: under(requiretls.PolicyLocal)},
	{name: "tls under bound, refused to others", door: "bound", setup: setup{policy: requiretls.PolicyBound, insecure: imapd.InsecureRefuse}},
}

// tally counts which commands were carried out.
type tally struct {
	mu   sync.Mutex // guards done
	done map[string]int
}

func (c *tally) add(w *twins) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, n := range w.ok {
		c.done[name] += n
	}
}

// never is what no session here carries out: it has logged in, in the way of its
// class.
var never = []string{"STARTTLS", "AUTHENTICATE"}

// TestRequireTLSContentLeavesByNoCommand gives every command of the walk in every
// class of session that may not read the tagged mail; see part.
func TestRequireTLSContentLeavesByNoCommand(t *testing.T) {
	h := openHouse(t)
	all := &tally{done: map[string]int{}}
	t.Run("classes", func(t *testing.T) {
		for i, cl := range classes {
			t.Run(cl.name, func(t *testing.T) {
				t.Parallel()
				w := newTwins(t, h, cl)
				for m, mode := range modes {
					if soak() == 0 && (i+m)%2 == 1 {
						continue
					}
					w.enter(mode)
					for _, name := range names() {
						w.play(part(commands[name].walk(), i, m))
					}
					w.agrees()
				}
				w.arrives(everyNth(23, commands["FETCH"].walk(), i))
				w.renameInbox()
				w.sameOctets()
				all.add(w)
			})
		}
	})
	if t.Failed() {
		return
	}
	for _, name := range names() {
		if all.done[name] == 0 && !slices.Contains(never, name) {
			t.Errorf("no session carried out %s: the walk proves nothing of it", name)
		}
	}
}

// part is the sentences of a walk that are given in a class of session in a state
// of its connection. Each is given in one; a class has some of every command, and
// is in two of the states. With LETTERLOCK_SOAK all are given everywhere.
func part(walk []string, class, state int) (list []string) {
	if soak() > 0 {
		return walk
	}
	for i, sentence := range walk {
		if i%len(classes) == class && i/len(classes)%2 == state/2 || state < 2 && i == (class*5+1)%len(walk) {
			list = append(list, sentence)
		}
	}
	return list
}

// soak is how long the tests may go on.
func soak() time.Duration {
	d, err := time.ParseDuration(cmp.Or(os.Getenv("LETTERLOCK_SOAK"), "0s"))
	if err != nil {
		panic("LETTERLOCK_SOAK: " + err.Error())
	}
	return d
}

// TestReadersAreToldApart gives commands that only look in sessions that may read
// tagged mail: there the twins' answers differ and have the content in them. So
// the walk would see it where it must not be.
func TestReadersAreToldApart(t *testing.T) {
	h := openHouse(t)
	for i, cl := range readers {
		t.Run(cl.name, func(t *testing.T) {
			t.Parallel()
			cl.may = true
			w := newTwins(t, h, cl)
			w.enter(modes[i%2])
			for _, name := range looking {
				differs, leaked := w.differs, w.leaked
				walk := everyNth(17, commands[name].walk(), i)
				w.play(walk)
				w.agrees()
				if n := w.differs - differs; n < len(walk)/10 {
					t.Errorf("%s: the twins' answers differed %d times in %d", name, n, len(walk))
				}
				if n := w.leaked - leaked; name == "FETCH" && n < len(walk)/4 {
					t.Errorf("%s: %d answers of %d had content in them", name, n, len(walk))
				}
			}
			w.sameOctets()
		})
	}
}

// everyNth is one of n sentences of a walk.
func everyNth(n int, walk []string, from int) (list []string) {
	for i := from % n; i < len(walk); i += n {
		list = append(list, walk[i])
	}
	return list
}

// TestRequireTLSContentLeavesByNoSequence gives random commands, one after the
// other, in sessions of every class.
func TestRequireTLSContentLeavesByNoSequence(t *testing.T) {
	seed, err := strconv.ParseUint(cmp.Or(os.Getenv("LETTERLOCK_SEED"), "1"), 10, 64)
	if err != nil {
		t.Fatalf("LETTERLOCK_SEED: %v", err)
	}
	h := openHouse(t)
	end := time.Now().Add(soak())
	for i, cl := range classes {
		t.Run(cl.name, func(t *testing.T) {
			t.Parallel()
			for seed := seed; ; seed++ {
				w := newTwins(t, h, cl)
				r := rand.New(rand.NewPCG(seed, uint64(i)))
				t.Cleanup(func() {
					if t.Failed() {
						t.Logf("LETTERLOCK_SEED=%d", seed)
					}
				})
				w.enter(modes[r.IntN(len(modes))])
				w.play(someOf(r, 30))
				w.agrees()
				w.sameOctets()
				w.close()
				if t.Failed() || time.Now().After(end) {
					return
				}
			}
		})
	}
}

// someOf picks commands: those that show and change content oftener.
func someOf(r *rand.Rand, n int) (list []string) {
	all := slices.Sorted(maps.Keys(commands))
	often := []string{"FETCH", "FETCH", "SEARCH", "SORT", "THREAD", "ESEARCH", "STORE", "COPY", "MOVE", "EXPUNGE", "APPEND", "REPLACE", "NOTIFY", "IDLE"}
	for range n {
		name := all[r.IntN(len(all))]
		if r.IntN(3) > 0 {
			name = often[r.IntN(len(often))]
		}
		list = append(list, commands[name].pick(r))
	}
	return list
}

// renameInbox moves what is in INBOX to another mailbox (RFC 9051 §6.3.6), which
// is allowed where what moves is told of: the letters and their tags go along,
// and the new mailbox cannot be deleted.
func (w *twins) renameInbox() {
	w.t.Helper()
	w.enter(modes[0])
	before := [2]int{}
	w.both(func(x *twin) error { before[x.number] = strings.Count(w.tagged(x), "\n"); return nil })
	w.ask("RENAME INBOX Kept", "DELETE Kept", "SELECT Kept", "FETCH 1:* (UID FLAGS ENVELOPE)", "STORE 1:* +FLAGS (\\Seen \\Deleted)", "EXPUNGE", "CLOSE", "SELECT INBOX")
	w.both(func(x *twin) error {
		if now := strings.Count(w.tagged(x), "\n"); now != before[x.number] {
			w.fail("after RENAME INBOX there are %d tagged letters, there were %d:\n%s", now, before[x.number], w.tagged(x))
		}
		return nil
	})
}

// arrives has tagged letters come into the mailbox that is selected, and stay:
// where such a mailbox may not be opened, it is open already.
func (w *twins) arrives(more []string) {
	w.t.Helper()
	w.enter(modes[3])
	held := w.deliver(w.another(true))
	w.note()
	w.play(more)
	w.play([]string{"SEARCH TEXT quagga", "UID SEARCH RETURN (COUNT) NOT SUBJECT quagga", "SORT (SUBJECT) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL", "STORE 1:* +FLAGS (\\Seen \\Deleted)",
		"COPY 1:* Target", "UID MOVE <uid> Target", "UID EXPUNGE 1:*", "EXPUNGE", `APPEND Target CATENATE (URL ";UID=<uid>")`, "REPLACE <seq> " + w.home + " {12+}\r\nA: b\r\n\r\nhi\r\n"})
	w.agrees()
	w.remove(held)
	w.note()
}
