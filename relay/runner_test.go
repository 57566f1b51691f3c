package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/reply"
	"letterlock/internal/requiretls"
	"letterlock/internal/testnet"
)

// run runs the relay until the test has what it waits for.
func (w *world) run() (stop func()) {
	w.t.Helper()
	if w.r == nil {
		w.start()
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.r.Run(ctx) }()
	return func() {
		w.t.Helper()
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("the relay ended: %v", err)
		}
	}
}

// await takes settlements until there were n of one fate.
func (w *world) await(f Fate, n int) {
	w.t.Helper()
	for n > 0 {
		if <-w.box.fates == f {
			n--
		}
	}
}

// awaitEnd waits until a letter was sent, or given up without a word.
func (w *world) awaitEnd() {
	for fate := range w.box.fates {
		if fate == Sent || fate == Dropped {
			return
		}
	}
}

func (w *world) letter(d requiretls.Demand, to mail.Address) *mail.Outbound {
	env := &mail.Envelope{ID: "k1", From: bob, Demand: d, Received: w.now}
	return env.Redirect(mail.Redirect{To: to, Prefix: []byte("Received: by us\r\n")})
}

func TestLettersOfOneLevelShareAConnection(t *testing.T) {
	w := newWorld(t)
	w.opt.PerDomain = 1
	w.zone([]string{"secure"})
	w.host("a", "10", "10 requiretls")
	for range 5 {
		w.box.add(t, w.letter(requiretls.Usual(), carl), testBody, w.now)
	}
	for range 2 {
		w.box.add(t, w.letter(requiretls.Required(), carl), testBody, w.now)
	}
	stop := w.run()
	w.await(Sent, 7)
	stop()
	a := w.hosts["a"]
	if n := a.Connections(); n != 2 {
		t.Errorf("%d connections for two levels, want 2; heard %v", n, a.Words())
	}
	tagged := 0
	for _, m := range a.Got() {
		if m.Has("REQUIRETLS") {
			tagged++
		}
	}
	if tagged != 2 || len(a.Got()) != 7 {
		t.Errorf("%d letters, %d of them with REQUIRETLS; want 7 and 2", len(a.Got()), tagged)
	}
}

// A host below a DANE-TA record may prove itself by the name of the domain that
// the letter goes to. That says nothing of the next domain it is the mx host of:
// whoever sits on the way could have a certificate for a domain of his own.
func TestAConnectionProvenForOneDomainIsNotSharedWithAnother(t *testing.T) {
	w := newWorld(t)
	w.zone([]string{"secure"})
	w.zone([]string{"secure", "other.test"})
	w.net.Record("other.test. MX 10 a.mx.test.")
	w.host("a", "10", "10 requiretls cert=to.test tlsa=ca")
	w.send([]string{"required"})
	w.send([]string{"required", "to=carl@other.test"})
	if got := w.hosts["a"].Got(); len(got) != 1 || got[0].To != "<carl@to.test>" {
		t.Errorf("arrived: %+v, want the letter to to.test alone; log:\n%s", got, w.log)
	}
}

func TestAConnectionThatDiedIdleIsReplaced(t *testing.T) {
	w := newWorld(t)
	w.host("a", "10", "10 cut=RSET")
	w.send([]string{"usual"})
	w.send([]string{"usual"})
	if got := w.hosts["a"].Got(); len(got) != 2 {
		t.Errorf("%d letters arrived, want 2", len(got))
	}
}

func TestUnreadableDemandIsParkedAndNeverSent(t *testing.T) {
	w := newWorld(t)
	w.host("a", "10", "10")
	id := w.box.add(t, &mail.Outbound{Slip: mail.Slip{From: bob, To: carl, Created: w.now}}, testBody, w.now)
	stop := w.run()
	w.await(Parked, 1)
	stop()
	if n := w.hosts["a"].Connections(); n != 0 {
		t.Errorf("a host was visited %d times", n)
	}
	if r := w.box.rows(t)[id]; r == nil || !r.Parked || !strings.Contains(r.History.Error, "parked") {
		t.Errorf("the row is %+v", r)
	}
}

func TestBounceIsSentToTheSender(t *testing.T) {
	w := newWorld(t)
	w.host("a", "10", "10 answer=RCPT!:550_5.1.1_nobody")
	w.net.Record("from.test. MX 10 a.mx.test.")
	w.box.add(t, w.letter(requiretls.Usual(), carl), testBody, w.now)
	stop := w.run()
	w.await(Sent, 1)
	stop()
	got := w.hosts["a"].Got()
	if len(got) != 1 || got[0].From != "<>" || got[0].To != "<bob@from.test>" || !strings.Contains(got[0].Data, "Status: 5.1.1") {
		t.Errorf("arrived: %+v", got)
	}
	if left := w.box.rows(t); len(left) != 0 {
		t.Errorf("%d rows are left", len(left))
	}
}

func TestRetriesDoubleAndSpread(t *testing.T) {
	w := newWorld(t)
	w.start()
	for tries, want := range map[int]time.Duration{1: 5 * time.Minute, 2: 10 * time.Minute, 4: 40 * time.Minute, 8: 4 * time.Hour, 1000: 4 * time.Hour} {
		if got := w.r.backoff(tries); got != want {
			t.Errorf("after %d tries: %s, want %s", tries, got, want)
		}
	}
	seen := map[time.Duration]bool{}
	for range 100 {
		d := jitter(time.Hour)
		if seen[d] = true; d < 54*time.Minute || d > 66*time.Minute {
			t.Errorf("an hour became %s", d)
		}
	}
	if len(seen) < 2 {
		t.Error("what failed together comes back together")
	}
}

func TestADestinationThatIsDownIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.opt.PerDomain = 1
	w.host("down", "10", "10 down")
	w.net.Record("up.test. MX 10 a.mx.test.")
	w.host("a", "-", "-")
	for range 20 {
		w.box.add(t, w.letter(requiretls.Usual(), carl), testBody, w.now.Add(-time.Second))
	}
	w.box.add(t, w.letter(requiretls.Usual(), mail.Address{Local: "x", Domain: "up.test"}), testBody, w.now)
	stop := w.run()
	w.await(Sent, 1)
	stop()
	tried := 0
	for _, r := range w.box.rows(t) {
		tried += r.History.Tries
	}
	if tried > 1 {
		t.Errorf("%d letters were tried at a host that is down", tried)
	}
}

// Hosts that fall silent, by chance or on purpose, as many as there are letters at once:
// a stranger has somebody's vacation answer go to each.
func TestSilentHostsDoNotKeepAllOthersWaiting(t *testing.T) {
	w := newWorld(t)
	w.opt.Concurrency = 3
	var ahead atomic.Int64
	w.opt.Now = func() time.Time { return w.now.Add(time.Duration(ahead.Load())) }
	w.host("a", "10", "10")
	for n := range 4 {
		domain := fmt.Sprintf("silent%d.test", n)
		w.net.Zone(domain, testnet.Insecure)
		h := w.net.Host("mx."+domain, func(h *testnet.Host) { h.Hang = "EHLO" })
		w.net.Record("mx." + domain + ". A " + h.Addr.String())
		w.net.Record(domain + ". MX 10 mx." + domain + ".")
		w.box.add(t, w.letter(requiretls.Usual(), mail.Address{Local: "mallory", Domain: domain}), testBody, w.now.Add(-time.Second))
	}
	w.box.add(t, w.letter(requiretls.Usual(), carl), testBody, w.now)
	w.start()
	working, cut := context.WithCancel(t.Context())
	start := func(want int) (next time.Time) {
		t.Helper()
		w.r.stale, w.r.rested = true, time.Time{}
		next = w.r.start(t.Context(), working)
		if len(w.r.flying) != want {
			t.Errorf("%d letters are on their way, want %d", len(w.r.flying), want)
		}
		return next
	}
	start(3)
	if next := start(3); !next.Equal(w.now.Add(longTry)) {
		t.Errorf("it looks again at %s, want %s", next, w.now.Add(longTry))
	}
	ahead.Store(int64(longTry))
	start(5)
	w.await(Sent, 1)
	cut()
	for len(w.r.flying) > 0 {
		w.r.landed(<-w.r.done)
	}
	if len(w.r.since) > 0 {
		t.Errorf("still remembered: %v", w.r.since)
	}
}

func TestLettersThatTakeLongAreBoundedToo(t *testing.T) {
	w := newWorld(t)
	w.opt.Concurrency = 2
	w.start()
	for n := range 18 { // as many as there may be
		w.r.flying[RowID(n)], w.r.since[RowID(n)] = "silent.test", w.now.Add(-longTry)
	}
	if n, until := w.r.lanes(w.now); n != 2 || !until.IsZero() {
		t.Errorf("room for %d, until %s; want 2", n, until)
	}
	for n := range 2 {
		w.r.flying[RowID(100+n)], w.r.since[RowID(100+n)] = "other.test", w.now
	}
	if n, until := w.r.lanes(w.now.Add(longTry)); n != 0 || !until.IsZero() {
		t.Errorf("room for %d, until %s; want none until one lands", n, until)
	}
}

func TestStatsSayWhatTheRelayIsDoing(t *testing.T) {
	w := newWorld(t)
	w.host("a", "10", "10 cut=connect")
	w.box.add(t, w.letter(requiretls.Usual(), carl), testBody, w.now)
	w.start()
	idle, cancel := context.WithCancel(t.Context())
	cancel()
	if _, ok := w.r.Stats(idle); ok {
		t.Error("a relay that does not run says what it is doing")
	}
	stop := w.run()
	w.await(Deferred, 1)
	for { // the worker ends a moment after its fate is written
		s, ok := w.r.Stats(t.Context())
		if !ok {
			t.Fatal("a running relay does not say what it is doing")
		}
		if s.InFlight == 0 {
			if until := s.Waiting["to.test"]; !until.After(w.now) {
				t.Errorf("left alone: %v", s.Waiting)
			}
			break
		}
	}
	stop()
	if _, ok := w.r.Stats(t.Context()); ok {
		t.Error("a relay that has ended says what it is doing")
	}
}

func TestRetryWakesADestinationThatWasLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.host("a", "10", "10 cut=connect")
	w.box.add(t, w.letter(requiretls.Usual(), carl), testBody, w.now)
	stop := w.run()
	defer stop()
	w.await(Deferred, 1)
	w.hosts["a"].Change(func(h *testnet.Host) { h.Cut = "" })
	w.box.add(t, w.letter(requiretls.Usual(), carl), testBody, w.now) // the clock stands: without Retry it would wait for ever
	w.r.Retry()
	w.await(Sent, 1)
}

// Half of the domains are broken, each in its own way; every letter to the
// others arrives once and none is lost. LETTERLOCK_DOMAINS="500 40" makes it 500 domains
// and 20,000 letters.
func TestManyDomainsHalfOfThemBroken(t *testing.T) {
	domains, each := 20, 5
	if os.Getenv("LETTERLOCK_DOMAINS") != "" {
		fmt.Sscan(os.Getenv("LETTERLOCK_DOMAINS"), &domains, &each)
	}
	w := newWorld(t)
	w.opt.Now, w.opt.FirstRetry, w.opt.LastRetry = time.Now, time.Second, 10*time.Second // a lookup that times out under load is tried again
	w.net.Zone("mx.test", testnet.Secure)
	w.net.Zone("many.test", testnet.Secure)
	broken := []string{"clear", "cert=unknown", "requiretls cert=expired", "down", "answer=RCPT:550_5.1.1_nobody", "answer=MAIL:451_4.3.0_later", "cut=EHLO", "cut=STARTTLS", "cut=DATA", "requiretls tlsa=wrong"}
	good := 0
	for i := range domains {
		how := "requiretls"
		if i%2 == 1 {
			how = broken[i/2%len(broken)]
		}
		name := fmt.Sprintf("h%d", i)
		w.host(name, "-", "- "+how)
		w.net.Record(fmt.Sprintf("d%d.many.test. MX 10 %s.mx.test.", i, name))
		for range each {
			w.box.add(t, w.letter(requiretls.Required(), mail.Address{Local: "x", Domain: fmt.Sprintf("d%d.many.test", i)}), testBody, w.now)
		}
		if i%2 == 0 {
			good += each
		}
	}
	stop := w.run()
	w.await(Sent, good)
	stop()
	for i := range domains {
		name := fmt.Sprintf("h%d", i)
		got := w.hosts[name].Got()
		if want := each * (1 - i%2); len(got) != want {
			t.Errorf("%s took %d letters, want %d", name, len(got), want)
		}
		for _, m := range got {
			if !m.TLS || !m.Has("REQUIRETLS") {
				t.Errorf("%s took a letter without its protection: %+v", name, m)
			}
		}
	}
	waiting, bounced := 0, 0
	for _, r := range w.box.rows(t) {
		if r.Slip.Kind == mail.Redirected {
			waiting++
		}
	}
	for id := range RowID(domains * each) {
		if s, ok := w.box.fate(id + 1); ok && s.Fate == Failed {
			bounced++
		}
	}
	if good+waiting+bounced != domains*each {
		t.Errorf("%d arrived, %d wait, %d bounced: not %d", good, waiting, bounced, domains*each)
	}
}

// A machine whose clock was years ahead for an hour writes times that nobody lives
// to see: what was queued then leaves all the same.
func TestALetterPutOffByAClockThatWasAheadLeaves(t *testing.T) {
	w := newWorld(t)
	w.zone([]string{"secure"})
	w.host("a", "10", "10")
	later := w.box.add(t, w.letter(demandWords["usual"], carl), testBody, w.now.Add(time.Hour))
	w.box.add(t, w.letter(demandWords["usual"], carl), testBody, w.now.AddDate(9, 0, 0))
	stop := w.run()
	w.await(Sent, 1)
	stop()
	if _, waits := w.box.rows(t)[later]; !waits {
		t.Error("a letter left before its time")
	}
}

func TestStoppingKeepsWhatWasNotSent(t *testing.T) {
	w := newWorld(t)
	w.host("a", "10", "10")
	a := w.hosts["a"]
	a.Change(func(h *testnet.Host) { h.Hang = "DATA" })
	w.box.add(t, w.letter(requiretls.Usual(), carl), testBody, w.now)
	w.start()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	worked := make(chan error, 1)
	go func() { _, err := w.r.carry(ctx, 1, &place{}); worked <- err }()
	for len(a.Words()) < 5 { // EHLO STARTTLS EHLO MAIL RCPT
		runtime.Gosched()
	}
	cancel()
	if err := <-worked; err != nil {
		t.Errorf("carry: %v", err)
	}
	if r := w.box.rows(t)[1]; r == nil || r.History.Tries != 0 {
		t.Errorf("the row is %+v", r)
	}
}

// sickBox fails to write a few times.
type sickBox struct {
	*boltBox
	failures atomic.Int32
}

func (b *sickBox) Settle(ctx context.Context, id RowID, s Settlement) error {
	if b.failures.Add(-1) >= 0 {
		return errors.New("disk on fire")
	}
	return b.boltBox.Settle(ctx, id, s)
}

func TestALetterIsNotSentTwiceForABusyStore(t *testing.T) {
	w := newWorld(t)
	w.host("a", "10", "10")
	sick := &sickBox{boltBox: w.box}
	sick.failures.Store(1)
	w.opt.Outbox = sick
	w.box.add(t, w.letter(requiretls.Usual(), carl), testBody, w.now)
	stop := w.run()
	w.await(Sent, 1)
	stop()
	if got := w.hosts["a"].Got(); len(got) != 1 {
		t.Errorf("the letter arrived %d times", len(got))
	}
}

// rottenBox has letters whose octets the disk does not give.
type rottenBox struct {
	*boltBox
	bad map[RowID]bool
}

func (b *rottenBox) Open(ctx context.Context, id RowID) (*Letter, error) {
	l, err := b.boltBox.Open(ctx, id)
	if b.bad[id] {
		return &Letter{ID: id, Outbound: &mail.Outbound{}, History: l.History}, syscall.EIO
	}
	return l, err
}

func TestLettersThatCannotBeReadDoNotKeepOthersWaiting(t *testing.T) {
	w := newWorld(t)
	w.host("a", "10", "10")
	w.opt.PerDomain = 2
	rotten := &rottenBox{w.box, map[RowID]bool{}}
	w.opt.Outbox = rotten
	for range 4 {
		rotten.bad[w.box.add(t, w.letter(requiretls.Usual(), carl), testBody, w.now.Add(-time.Hour))] = true
	}
	w.box.add(t, w.letter(requiretls.Usual(), carl), testBody, w.now)
	stop := w.run()
	w.await(Sent, 1)
	stop()
	for id, row := range w.box.rows(t) {
		if h := row.History; h.Tries != 1 || !strings.Contains(h.Error, syscall.EIO.Error()) || !row.Due.After(w.now) {
			t.Errorf("row %d: due %s, %+v; want it put off, with the reason", id, row.Due, h)
		}
	}
	if n := len(w.box.rows(t)); n != 4 {
		t.Errorf("%d rows stay, want 4", n)
	}
}

// heedfulBox does nothing for a context that has ended, as the vault does; end
// ends it when the fate of a letter is about to be written.
type heedfulBox struct {
	*boltBox
	end func()
}

func (b *heedfulBox) Settle(ctx context.Context, id RowID, s Settlement) error {
	b.end()
	if err := ctx.Err(); err != nil {
		return err
	}
	return b.boltBox.Settle(ctx, id, s)
}

func TestALetterIsNotSentTwiceForAnEndBehindItsDot(t *testing.T) {
	w := newWorld(t)
	w.host("a", "10", "10")
	ctx, cancel := context.WithCancel(t.Context())
	w.opt.Outbox = &heedfulBox{w.box, cancel}
	w.start()
	id := w.box.add(t, w.letter(requiretls.Usual(), carl), testBody, w.now)
	if _, err := w.r.carry(ctx, id, &place{}); err != nil {
		t.Errorf("carry: %v", err)
	}
	if s, ok := w.box.fate(id); !ok || s.Fate != Sent || len(w.hosts["a"].Got()) != 1 {
		t.Errorf("the host took %d letters, and written down is %v", len(w.hosts["a"].Got()), s.Fate)
	}
}

// A host that has taken a letter can take its time over QUIT: a crash meanwhile
// does not send the letter again.
func TestSentIsWrittenBeforeQuit(t *testing.T) {
	w := newWorld(t)
	w.host("a", "10", "10 cut=handshake")
	before := ""
	w.opt.Outbox = &heedfulBox{w.box, func() { before = strings.Join(w.hosts["a"].Words(), " ") }}
	w.send([]string{"usual"})
	if strings.Contains(before, "QUIT") || !strings.Contains(before, "DATA") {
		t.Errorf("when the fate was written the host had heard %s, want all but QUIT", before)
	}
	if after := w.hosts["a"].Words(); after[len(after)-1] != "QUIT" {
		t.Errorf("the host heard %v, want QUIT at the end", after)
	}
}

func TestAdminBouncesALetter(t *testing.T) {
	w := newWorld(t)
	w.start()
	id := w.box.add(t, w.letter(requiretls.Required(), carl), testBody, w.now.Add(time.Hour))
	if err := w.r.Bounce(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	s, _ := w.box.fate(id)
	w.fate(s, id, []string{"failed", "5.7.1"})
	if err := w.r.Bounce(t.Context(), id); !errors.Is(err, ErrGone) {
		t.Errorf("the second time: %v", err)
	}
}

// An admin gives up what hangs at a host. It does not arrive after its sender was
// told that it will not.
func TestABouncedLetterDoesNotArriveAsWell(t *testing.T) {
	w := newWorld(t)
	w.host("a", "10", "10")
	a := w.hosts["a"]
	a.Change(func(h *testnet.Host) { h.Hang = "DATA" })
	var hungUp, inTime atomic.Bool
	dial := w.opt.Dial
	w.opt.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		return &watchedConn{c, &hungUp}, err
	}
	w.opt.Outbox = &heedfulBox{w.box, func() { inTime.Store(hungUp.Load()) }}
	id := w.box.add(t, w.letter(requiretls.Usual(), carl), testBody, w.now)
	w.start()
	ctx, cancel := context.WithCancel(t.Context())
	worked := make(chan error, 1)
	go func() { _, err := w.r.carry(ctx, id, &place{}); worked <- err }()
	for len(a.Words()) < 5 { // EHLO STARTTLS EHLO MAIL RCPT
		runtime.Gosched()
	}
	err := w.r.Bounce(t.Context(), id)
	cancel()
	if err := errors.Join(err, <-worked); err != nil {
		t.Fatal(err)
	}
	if s, _ := w.box.fate(id); s.Fate != Failed || !inTime.Load() {
		t.Errorf("the letter %v; its connection was ended before: %v", s.Fate, inTime.Load())
	}
}

// watchedConn says when it is closed.
type watchedConn struct {
	net.Conn
	closed *atomic.Bool
}

func (c *watchedConn) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}

// A long queue costs time, not memory: the runner holds what is on its way.
func TestLongQueueOfDeadDestinationsIsBounded(t *testing.T) {
	w := newWorld(t)
	w.start()
	box := &endlessBox{rows: 100_000}
	w.r.opt.Outbox = box
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 50 {
		w.r.rested = time.Time{}
		w.r.start(ctx, ctx)
		for len(w.r.flying) > 0 {
			w.r.landed(landing{id: (<-w.r.done).id, met: metNobody})
		}
	}
	if n := len(w.r.places); n > maxPlaces+w.r.opt.Concurrency {
		t.Errorf("%d destinations are remembered", n)
	}
	if box.opened.Load() != 50*int64(w.r.opt.Concurrency) {
		t.Errorf("%d letters were opened, want %d", box.opened.Load(), 50*w.r.opt.Concurrency)
	}
}

// endlessBox has rows to as many domains, all due, none of which can be opened.
type endlessBox struct {
	rows   int
	opened atomic.Int64
}

func (b *endlessBox) Due(_ context.Context, now time.Time, limit int, skip func(Row) bool) (rows []Row, next time.Time, err error) {
	for i := 0; i < b.rows && len(rows) < limit; i++ {
		if row := (Row{ID: RowID(i), Domain: fmt.Sprintf("d%d.test", i), Due: now}); !skip(row) {
			rows = append(rows, row)
		}
	}
	return rows, time.Time{}, nil
}

func (b *endlessBox) Open(context.Context, RowID) (*Letter, error) {
	b.opened.Add(1)
	return nil, ErrGone
}
func (b *endlessBox) Recall(context.Context, time.Time) error { return nil }

func (b *endlessBox) Settle(context.Context, RowID, Settlement) error { return nil }
func (b *endlessBox) Changed() <-chan struct{}                        { return nil }

// A long queue to one destination, or to a smarthost, is not looked through once
// for each letter that leaves.
func TestLongQueueIsNotWalkedForEachLetter(t *testing.T) {
	for name, through := range map[string]*Smarthost{"to one domain": nil, "through a smarthost": {Host: "a.mx.test"}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.host("a", "10", "10")
			box := &countingBox{boltBox: w.box}
			w.opt.Outbox, w.opt.Smarthost, w.opt.Log = box, through, slog.New(slog.DiscardHandler)
			const rows = 1000
			for range rows {
				w.box.add(t, w.letter(requiretls.Usual(), carl), testBody, w.now)
			}
			stop := w.run()
			w.await(Sent, rows)
			stop()
			if n := box.seen.Load(); n > 50*rows {
				t.Errorf("%d rows were looked at to send %d", n, rows)
			}
		})
	}
}

// countingBox counts the rows that the runner is shown.
type countingBox struct {
	*boltBox
	seen atomic.Int64
}

func (b *countingBox) Due(ctx context.Context, now time.Time, limit int, skip func(Row) bool) ([]Row, time.Time, error) {
	return b.boltBox.Due(ctx, now, limit, func(row Row) bool { b.seen.Add(1); return skip(row) })
}

func TestPreflightKnowsWhatWasMet(t *testing.T) {
	w := newWorld(t)
	w.zone([]string{"secure"})
	w.host("a", "10", "10")
	w.start()
	preflight := func(d requiretls.Demand) error { return w.r.Preflight(t.Context(), w.letter(d, carl)) }
	if err := preflight(requiretls.Required()); err != nil {
		t.Errorf("before anything is known: %v", err)
	}
	w.send([]string{"required"})
	if err := preflight(requiretls.Required()); !errors.Is(err, reply.NoRequireTLS) {
		t.Errorf("afterwards: %v, want %v", err, reply.NoRequireTLS)
	}
	if err := preflight(requiretls.Usual()); err != nil {
		t.Errorf("for usual mail: %v", err)
	}
	w.now = w.now.Add(knownFor)
	if err := preflight(requiretls.Required()); err != nil {
		t.Errorf("after ten minutes: %v", err)
	}
}

// One letter that a host cannot take, for its size or its octets, says nothing
// about the next to it.
func TestPreflightLearnsOfTheHopNotOfTheLetter(t *testing.T) {
	w := newWorld(t)
	w.zone([]string{"secure"})
	w.host("a", "10", "10 bare requiretls")
	w.start()
	w.send([]string{"required", "8bit"})
	if !strings.Contains(w.log.String(), needs8Bit.Text) {
		t.Fatalf("the letter that needs 8BITMIME was not refused for it:\n%s", w.log)
	}
	if err := w.r.Preflight(t.Context(), w.letter(requiretls.Required(), carl)); err != nil {
		t.Errorf("the next letter: %v, want nothing known against it", err)
	}
}

// Somebody else's report goes on without REQUIRETLS through a smarthost; a letter
// that follows over a kept connection still finds it offered.
func TestReportSentOnLeavesNoTraceOnTheConnection(t *testing.T) {
	w := newWorld(t)
	w.zone([]string{"secure"})
	w.host("s", "-", "- requiretls")
	w.smarthost([]string{"s"}, "s")
	w.send([]string{"required", "null"})
	w.send([]string{"required"})
	if got, want := strings.Join(w.got(), "; "), "s tls null redacted; s tls REQUIRETLS whole"; got != want {
		t.Errorf("arrived: %q, want %q; log:\n%s", got, want, w.log)
	}
	if err := w.r.Preflight(t.Context(), w.letter(requiretls.Required(), carl)); err != nil {
		t.Errorf("the next letter: %v, want nothing known against it", err)
	}
}

func TestRouteSaysWhatALetterWouldMeet(t *testing.T) {
	w := newWorld(t)
	w.zone([]string{"secure"})
	w.host("a", "10", "10")
	w.host("b", "20", "20 requiretls tlsa=right")
	w.start()
	way := w.r.Route(t.Context(), "to.test", requiretls.Required())
	if way.Err != nil || !way.MXSecure || len(way.Hosts) != 2 {
		t.Fatalf("%+v", way)
	}
	if e := way.Hosts[0].Err; !errors.Is(e, reply.NoRequireTLS) || way.Hosts[0].Seen.Judgement != "refused" {
		t.Errorf("the first host: %v, %+v", e, way.Hosts[0].Seen)
	}
	if s := way.Hosts[1].Seen; s.Judgement != "cleared, REQUIRETLS" || s.Proof != "dane" || len(way.Hosts[1].TLSA) != 1 {
		t.Errorf("the second host: %+v", way.Hosts[1])
	}
	for _, words := range []string{"to to.test, demand required", "MX records proven by DNSSEC: yes", "cleared, REQUIRETLS", "it would go"} {
		if !strings.Contains(way.String(), words) {
			t.Errorf("no %q in\n%s", words, way)
		}
	}
	if heard := strings.Join(append(w.hosts["a"].Words(), w.hosts["b"].Words()...), " "); strings.Contains(heard, "MAIL") {
		t.Errorf("a dry run said %s", heard)
	}
	if way := w.r.Route(t.Context(), "nowhere.test", requiretls.Required()); !errors.Is(way.Err, noDomain) || !strings.Contains(way.String(), "would not go") {
		t.Errorf("to nowhere: %v", way)
	}
}

func TestEachTryIsOneLineWithTheFacts(t *testing.T) {
	w := newWorld(t)
	w.zone([]string{"secure"})
	w.host("a", "10", "10")
	w.send([]string{"required"})
	lines := strings.Split(strings.TrimSpace(w.log.String()), "\n")
	if len(lines) != 1 {
		t.Fatalf("%d lines:\n%s", len(lines), w.log)
	}
	for _, fact := range []string{"msg=bounced", "demand=required", "host=a.mx.test", "encrypted=yes", "cert_proven=yes", "mx_proven=yes", "offered=no", "judgement=refused", `reply="550 5.7.30`} {
		if !strings.Contains(lines[0], fact) {
			t.Errorf("no %s in %s", fact, lines[0])
		}
	}
}

// What waits costs disk, not memory: a long queue holds no more than a short
// one. LETTERLOCK_QUEUE=100000 makes it as many rows.
func TestMemoryOfALongQueue(t *testing.T) {
	long := 5000
	if n := os.Getenv("LETTERLOCK_QUEUE"); n != "" {
		fmt.Sscan(n, &long)
	}
	heap := func(rows int) int64 {
		w := newWorld(t)
		w.opt.Resolver = noDNS{}
		w.opt.Log = slog.New(slog.DiscardHandler)
		for i := range rows {
			w.box.add(t, w.letter(requiretls.Required(), mail.Address{Local: "x", Domain: fmt.Sprintf("d%d.test", i)}), testBody, w.now)
		}
		stop := w.run()
		defer stop()
		w.await(Deferred, 1000)
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	few := heap(1000)
	many := heap(long)
	t.Logf("heap with 1000 rows: %d KiB, with %d: %d KiB", few>>10, long, many>>10)
	if most := few + 8<<20; many > most {
		t.Errorf("%d rows hold %d octets, 1000 hold %d", long, many, few)
	}
}

// noDNS is a resolver that does not answer.
type noDNS struct{}

func (noDNS) MX(context.Context, string) (MXAnswer, error)      { return MXAnswer{}, ErrLookup }
func (noDNS) Addrs(context.Context, string) (AddrAnswer, error) { return AddrAnswer{}, ErrLookup }
func (noDNS) TLSA(context.Context, string) (TLSAAnswer, error)  { return TLSAAnswer{}, ErrLookup }
func (noDNS) TXT(context.Context, string) ([]string, error)     { return nil, ErrLookup }

// Exim takes 20 connections in all unless told otherwise, many hosts take three of
// one address. Who comes beyond them hears 421: that says nothing of the letter, which
// is not to wait for minutes and hours while others of ours leave.
func TestAHostThatTakesFewConnectionsGetsAllLetters(t *testing.T) {
	for _, most := range []int{1, 3} {
		w := newWorld(t)
		w.host("a", "10", "10")
		w.hosts["a"].Change(func(h *testnet.Host) { h.Most = most })
		w.opt.PerDomain = 20
		for range 100 {
			w.box.add(t, w.letter(requiretls.Usual(), carl), testBody, w.now)
		}
		stop := w.run()
		for range 100 {
			if f := <-w.box.fates; f != Sent {
				t.Fatalf("%d connections: a letter was %s; log:\n%s", most, f, w.log)
			}
		}
		stop()
		if n := w.hosts["a"].Connections(); n > 100 {
			t.Errorf("%d connections at most, and it was asked for one %d times", most, n)
		}
	}
}

// One that is told so without any other of ours there waits as usual.
func TestAFullHostIsAskedAgainLater(t *testing.T) {
	w := newWorld(t)
	w.host("a", "10", "10")
	w.hosts["a"].Change(func(h *testnet.Host) { h.Answers["connect"] = "421 4.3.2 too many connections" })
	for range 10 {
		w.box.add(t, w.letter(requiretls.Usual(), carl), testBody, w.now)
	}
	stop := w.run()
	w.await(Deferred, 1)
	stop()
	if n := w.hosts["a"].Connections(); n > 6 {
		t.Errorf("it was asked %d times", n)
	}
}

// An idle connection that the next letter cannot use does not stand in its way.
func TestAnIdleConnectionMakesRoom(t *testing.T) {
	w := newWorld(t)
	w.zone([]string{"secure"})
	w.host("a", "10", "10 requiretls")
	w.hosts["a"].Change(func(h *testnet.Host) { h.Most = 1 })
	w.box.add(t, w.letter(requiretls.Usual(), carl), testBody, w.now)
	stop := w.run()
	w.await(Sent, 1)
	w.box.add(t, w.letter(requiretls.Required(), carl), testBody, w.now)
	if f := <-w.box.fates; f != Sent {
		t.Errorf("%s; log:\n%s", f, w.log)
	}
	stop()
}

// Exim (smtp_accept_max_per_connection), sendmail and many big hosts take some letters
// over a connection and then say 421 to MAIL, or just leave. The next letter is not
// to wait for that.
func TestAConnectionThatHasServedEnoughIsReplaced(t *testing.T) {
	for what, answer := range map[string]string{"421": "421 4.7.0 too many messages in this connection", "cut": ""} {
		for _, step := range []string{"MAIL", "RCPT", "DATA"} {
			w := newWorld(t)
			w.host("a", "10", "10")
			w.send([]string{"usual"})
			w.hosts["a"].Change(func(h *testnet.Host) { h.Answers[step+"!"] = answer })
			s, _ := w.box.fate(w.send([]string{"usual"}))
			if n := len(w.hosts["a"].Got()); s.Fate != Sent || n != 2 {
				t.Errorf("%s at %s: %s, %d letters arrived, want 2; log:\n%s", what, step, s.Fate, n, w.log)
			}
		}
	}
}

// One that says so over a connection of the letter's own is believed.
func TestAHostThatHasNoTimeIsAskedOnce(t *testing.T) {
	w := newWorld(t)
	w.host("a", "10", "10 answer=MAIL:421_4.3.2_going_down")
	if s, _ := w.box.fate(w.send([]string{"usual"})); s.Fate != Deferred || w.hosts["a"].Connections() != 1 {
		t.Errorf("%s after %d connections", s.Fate, w.hosts["a"].Connections())
	}
}

func (w *world) big() RowID {
	w.start()
	id := w.box.add(w.t, w.letter(requiretls.Usual(), carl), testBody+strings.Repeat("sixteen octets\r\n", 1<<19), w.now)
	if _, err := w.r.carry(w.t.Context(), id, &place{}); err != nil {
		w.t.Fatal(err)
	}
	return id
}

// A host that leaves in the midst of a letter has not taken it: there is another one.
func TestALetterCutInTheMidstGoesToTheNextHost(t *testing.T) {
	w := newWorld(t)
	w.host("a", "10", "10 cut=body")
	w.host("b", "20", "20")
	if s, _ := w.box.fate(w.big()); s.Fate != Sent || len(w.hosts["b"].Got()) != 1 {
		t.Errorf("%s; log:\n%s", s.Fate, w.log)
	}
}

// What a host says in the midst of a letter, before it leaves, is heard: otherwise the
// letter is sent again for days, and its sender does not learn why.
func TestARefusalInTheMidstOfALetterIsHeard(t *testing.T) {
	w := newWorld(t)
	w.host("a", "10", "10 answer=body:552_5.3.4_too_big")
	if s, _ := w.box.fate(w.big()); s.Fate != Failed {
		t.Errorf("%s: %+v; log:\n%s", s.Fate, s.History, w.log)
	}
}

// The clock was ahead when a letter came, and is right again: the letter is not tried
// until that day, years away, without a word to its sender.
func TestALetterOfAClockThatWasAheadIsGivenUpInTime(t *testing.T) {
	w := newWorld(t)
	w.host("a", "10", "10 answer=RCPT:451_4.2.1_later")
	w.start()
	o := w.letter(requiretls.Usual(), carl)
	o.Created = w.now.Add(3 * 365 * 24 * time.Hour)
	id := w.box.add(t, o, testBody, w.now)
	start, notices := w.now, 0
	var s Settlement
	for tries := 0; s.Fate == Deferred && tries < 100; tries++ {
		if _, err := w.r.carry(t.Context(), id, &place{}); err != nil {
			t.Fatal(err)
		}
		if s, _ = w.box.fate(id); s.Fate == Deferred {
			notices, w.now = notices+len(s.Reports), s.Due
		}
	}
	if took := w.now.Sub(start); s.Fate != Failed || notices != 1 || took < 4*24*time.Hour || took > 6*24*time.Hour {
		t.Errorf("%s after %s, and %d notices of delay; want failed after five days, and one", s.Fate, took, notices)
	}
}
