package auth

import (
	"context"
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	freeGuesses = 3                // wrong ones that cost nothing: people mistype
	mostGuesses = 12               // more make it no slower
	forgiveTime = 10 * time.Minute // one guess is forgotten in this time
	addressStep = 15 * time.Second // the most between two guesses from one address
	accountStep = 5 * time.Second  // the most that a login of an account waits for other people's guesses
	longestWait = 30 * time.Second // whoever would wait longer is told to come back
	longestDebt = 5 * time.Minute  // what a burst of guesses costs at most
	knownTime   = 30 * 24 * time.Hour
	repeats     = 4 // wrong passwords remembered, to know them again

	maxLanes = 32 << 10
	maxKnown = 32 << 10
)

// ErrSlowed: so many guesses were wrong that the next one may not be looked at
// for a while. It may be tried again later.
var ErrSlowed error = refusal("too many wrong guesses, come back later")

// Penalty makes guessing slower.
//
// Guesses from one address (or IPv6 /64) take turns: three wrong ones are free,
// then each waits twice as long, up to 15 seconds, and who would wait for
// longer than 30 is sent away unheard. An account under attack from many
// addresses makes strangers wait up to 5 seconds, never longer: nobody can be
// locked out by somebody else's guessing. Whoever has logged in from an address
// before has a lane of their own there, so that neither a neighbour behind the
// same NAT nor a botnet makes them wait. The same wrong password again and
// again is one guess: it is a telephone that was not told of the new one. One
// guess is forgiven every ten minutes. Loopback and UNIX sockets are whole
// sites and not slowed by address.
//
// The zero value is ready for use; nil slows nobody. Its memory is bounded, to
// about 10 MiB under attack.
type Penalty struct {
	Now func() time.Time // nil: time.Now

	mu    sync.Mutex // guards all below
	seed  maphash.Seed
	lanes map[lane]*pace
	known map[lane]time.Time // who has logged in from where, and until when that counts
}

// lane is what guesses are counted for: an address, an account, or both.
type lane struct {
	peer  netip.Addr
	login uint64
}

// pace is how fast a lane may go.
type pace struct {
	wrong int
	since time.Time       // when wrong was right; it falls with time
	next  time.Time       // when the next guess may be looked at
	last  [repeats]uint64 // wrong passwords, hashed; 0: none
}

// attempt is one guess on its way. Its methods do nothing on nil.
type attempt struct {
	penalty *Penalty
	home    lane          // this account at this address
	lane    *pace         // whose turn it waits for; nil: no address to go by
	account *pace         // nil: known at this address
	turn    time.Duration // what it took of the lane's time
	wait    time.Duration
}

// enter queues a guess. [ErrSlowed]: not now.
func (p *Penalty) enter(peer, login string) (*attempt, error) {
	if p == nil {
		return nil, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	addr, counted := household(peer)
	a := &attempt{penalty: p, home: lane{addr, p.hash(login)}}
	switch {
	case !counted:
		a.account = p.lane(lane{login: a.home.login}, now)
	case now.Before(p.known[a.home]):
		a.lane = p.lane(a.home, now)
	default:
		a.account = p.lane(lane{login: a.home.login}, now)
		a.lane = p.lane(lane{peer: addr}, now)
	}
	return a, a.queue(now)
}

// queue finds out when it is this guess's turn.
func (a *attempt) queue(now time.Time) error {
	if a.account != nil && a.account.wrong > freeGuesses {
		a.wait = min(step(a.account.wrong), accountStep)
	}
	if a.lane == nil {
		return nil
	}
	start := later(now, a.lane.next)
	if start.Sub(now) > longestWait {
		return ErrSlowed
	}
	if a.lane.wrong > freeGuesses {
		a.turn = step(a.lane.wrong + 1) // as if it were wrong; given back if it is not
		a.lane.next = start.Add(a.turn)
	}
	a.wait = max(a.wait, start.Sub(now))
	return nil
}

// await waits for the turn, or for the end of ctx.
func (a *attempt) await(ctx context.Context) error {
	if a == nil || a.wait <= 0 {
		return nil
	}
	timer := time.NewTimer(a.wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// failed counts a wrong guess; an empty one is never the same as another.
func (a *attempt) failed(guess string) {
	if a == nil {
		return
	}
	p := a.penalty
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	var print uint64
	if guess != "" {
		print = p.hash(guess) ^ a.home.login | 1
	}
	if a.account != nil {
		a.account.count(print)
	}
	if a.lane == nil {
		return
	}
	switch counted := a.lane.count(print); {
	case !counted:
		a.lane.next = a.lane.next.Add(-a.turn)
	case a.turn == 0: // it came while guesses were free, perhaps with many others
		a.lane.next = later(now, a.lane.next).Add(step(a.lane.wrong))
		if debt := now.Add(longestDebt); a.lane.next.After(debt) {
			a.lane.next = debt
		}
	}
}

// succeeded gives the turn back, and remembers who lives here.
func (a *attempt) succeeded() {
	if a == nil {
		return
	}
	a.dropped()
	if !a.home.peer.IsValid() {
		return
	}
	p := a.penalty
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil {
		p.known = make(map[lane]time.Time)
	}
	if _, there := p.known[a.home]; !there && len(p.known) >= maxKnown {
		evict(p.known, func(x, y time.Time) bool { return x.Before(y) })
	}
	p.known[a.home] = p.now().Add(knownTime)
}

// dropped gives the turn back: whether the guess was right was not found out.
func (a *attempt) dropped() {
	if a == nil || a.lane == nil {
		return
	}
	a.penalty.mu.Lock()
	defer a.penalty.mu.Unlock()
	a.lane.next = a.lane.next.Add(-a.turn)
}

// count notes a wrong guess unless it was made before.
func (l *pace) count(print uint64) bool {
	if print != 0 && slices.Contains(l.last[:], print) {
		return false
	}
	copy(l.last[1:], l.last[:])
	l.last[0] = print
	l.wrong = min(l.wrong+1, mostGuesses)
	return true
}

// lane finds a lane, makes it, and lets time forgive. The caller holds mu.
func (p *Penalty) lane(key lane, now time.Time) *pace {
	l := p.lanes[key]
	if l == nil {
		if p.lanes == nil {
			p.lanes = make(map[lane]*pace)
		}
		if len(p.lanes) >= maxLanes {
			evict(p.lanes, func(x, y *pace) bool {
				return x.wrong < y.wrong || x.wrong == y.wrong && x.since.Before(y.since)
			})
		}
		l = &pace{since: now}
		p.lanes[key] = l
	}
	forgiven := int(now.Sub(l.since) / forgiveTime)
	if forgiven >= l.wrong { // nothing left
		l.wrong, l.since = 0, now
		return l
	}
	l.wrong -= forgiven
	l.since = l.since.Add(time.Duration(forgiven) * forgiveTime)
	return l
}

// evict drops one entry that counts for little: the least of a few. Who wants
// a certain one gone must fill the whole table with worse.
func evict[V any](from map[lane]V, less func(x, y V) bool) {
	var least lane
	seen := 0
	for key, v := range from {
		if seen == 0 || less(v, from[least]) {
			least = key
		}
		if seen++; seen == 16 {
			break
		}
	}
	delete(from, least)
}

// step is how long it takes from one guess to the next after so many wrong
// ones.
func step(wrong int) time.Duration {
	if wrong <= freeGuesses {
		return 0
	}
	return min(time.Second<<(wrong-freeGuesses-1), addressStep)
}

func (p *Penalty) hash(s string) uint64 {
	if p.seed == (maphash.Seed{}) {
		p.seed = maphash.MakeSeed()
	}
	return maphash.String(p.seed, s)
}

func (p *Penalty) now() time.Time {
	if p.Now != nil {
		return p.Now()
	}
	return time.Now()
}

// household is what one guesser has to themselves: an IPv4 address or an IPv6
// /64.
func household(peer string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(peer)
	if err != nil || addr.IsLoopback() {
		return netip.Addr{}, false
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is4() {
		return addr, !addr.IsLoopback()
	}
	prefix, err := addr.Prefix(64)
	return prefix.Addr(), err == nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
