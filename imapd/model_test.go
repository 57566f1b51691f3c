package imapd_test

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"letterlock/imapd"
	"letterlock/internal/requiretls"

	"pgregory.net/rapid"
)

// TestSessionsAgainstAModel gives random commands in four sessions of one
// mailbox, about two thousand, and compares what each is told with a plain
// model of the mailbox. The first knows of no mod-sequences; the second has
// QRESYNC, the third NOTIFY with it, and so has the fourth, from which tagged
// letters are hidden (RFC 8689 §4.4). LETTERLOCK_SOAK=30m goes on for so long.
func TestSessionsAgainstAModel(t *testing.T) {
	t.Parallel()
	soak, err := time.ParseDuration(cmp.Or(os.Getenv("LETTERLOCK_SOAK"), "0s"))
	if err != nil {
		t.Fatalf("LETTERLOCK_SOAK: %v", err)
	}
	h := openHouse(t, func(o *imapd.Options) { o.MaxPerUser = 1000 })
	m := &model{h: h}
	for end := time.Now().Add(soak); ; {
		rapid.Check(t, func(rt *rapid.T) {
			m.begin(rt)
			for _, op := range rapid.SliceOfN(operation, 10, 30).Draw(rt, "operations") {
				m.carryOut(rt, op)
			}
			m.finish(rt)
		})
		if t.Failed() || time.Now().After(end) {
			return
		}
	}
}

// op is one command; numbers are reduced to what the session knows.
type op struct {
	Session int
	Kind    string
	From    int
	To      int
	Flag    string
}

var operation = rapid.Custom(func(t *rapid.T) op {
	return op{
		Session: rapid.IntRange(0, seats-1).Draw(t, "session"),
		Kind: rapid.SampledFrom([]string{
			"append", "append", "append", "tagged", "+FLAGS", "-FLAGS", "FLAGS", "+FLAGS.SILENT", "UID +FLAGS", "delete", "delete", "EXPUNGE", "UID EXPUNGE",
			"COPY", "MOVE", "UID MOVE", "FETCH", "UID FETCH", "BODY", "SEARCH", "NOOP", "SELECT", "IDLE", "RESYNC", "UNCHANGEDSINCE",
		}).Draw(t, "kind"),
		From: rapid.IntRange(0, 9).Draw(t, "from"),
		To:   rapid.IntRange(0, 9).Draw(t, "to"),
		Flag: rapid.SampledFrom([]string{`\Seen`, `\Flagged`, `\Answered`, "work", "play"}).Draw(t, "flag"),
	}
})

const (
	seats    = 4
	plain    = 0 // has EXPUNGE and no MODSEQ
	notified = 2 // and NOTIFY beside QRESYNC
	hiding   = 3 // and is at the address that hides
)

// model is the mailbox as it has to be, and its clients' pictures of it.
type model struct {
	h        *house
	round    int
	box      string
	messages []*message // truth, by UID
	next     int
	seats    [seats]*seat
	dirty    bool // a check failed: the connections are of no use any more
}

type message struct {
	uid   int
	flags map[string]bool // tagged's among them
}

// tagged is the flag of a letter with REQUIRETLS.
const tagged = "$RequireTLS"

// seat is one client: what it was told, by sequence number.
type seat struct {
	c       *client
	known   []known
	fetched int // the message of the last FETCH response
	qresync bool
	hides   bool
}

// sees says whether a message is there for this client.
func (s *seat) sees(x *message) bool { return !s.hides || !x.flags[tagged] }

// seen is the mailbox as a client has to see it.
func (m *model) seen(s *seat) (all []*message) {
	m.each(s.sees, func(x *message) { all = append(all, x) })
	return all
}

type known struct {
	uid    int             // 0: not asked yet
	flags  map[string]bool // nil: not asked yet
	modSeq int             // 0: not told
}

func (m *model) begin(rt *rapid.T) {
	m.round++
	m.box, m.messages, m.next = fmt.Sprintf("round%d", m.round), nil, 1
	for i := range m.seats {
		if m.dirty && m.seats[i] != nil {
			m.seats[i].c.conn.Close()
			m.seats[i] = nil
		}
		if m.seats[i] == nil {
			how := map[bool]string{false: "tls", true: "hiding-tls"}[i == hiding]
			m.seats[i] = &seat{c: m.h.loggedIn(fmt.Sprintf("s%d", i), how), hides: i == hiding}
			m.seats[i].c.ok("ENABLE IMAP4rev2")
			if i != plain {
				m.seats[i].qresync = true
				m.seats[i].c.ok("ENABLE QRESYNC")
			}
			if i >= notified {
				m.seats[i].c.ok("NOTIFY SET (SELECTED-DELAYED (MessageNew (UID FLAGS) MessageExpunge FlagChange))")
			}
		}
	}
	m.dirty = true
	m.seats[0].c.ok("CREATE " + m.box)
	for _, s := range m.seats {
		s.known = nil
		s.c.ok("SELECT " + m.box)
	}
}

func (m *model) finish(rt *rapid.T) {
	for i := range m.seats {
		m.compare(rt, i)
	}
	for _, s := range m.seats[1:] {
		s.c.ok("UNSELECT")
	}
	m.seats[0].c.ok("DELETE " + m.box)
	m.dirty = false
}

// compare checks that after NOOP a client knows exactly what there is.
func (m *model) compare(rt *rapid.T, i int) {
	s := m.seats[i]
	m.say(rt, s, "NOOP", mayExpunge)
	seen := m.seen(s)
	if len(s.known) != len(seen) {
		rt.Fatalf("session %d was told of %d messages, there are %d", i, len(s.known), len(seen))
	}
	for k, have := range s.known {
		want := seen[k]
		if have.uid != 0 && have.uid != want.uid {
			rt.Fatalf("session %d: message %d has UID %d, want %d", i, k+1, have.uid, want.uid)
		}
		if have.flags != nil && !maps.Equal(have.flags, want.flags) {
			rt.Fatalf("session %d was told that message %d has %v; it has %v", i, k+1, have.flags, want.flags)
		}
	}
	if len(s.known) > 0 {
		m.say(rt, s, "FETCH 1:* (UID FLAGS"+s.modSeqItem()+")", mayNotExpunge)
		for k, have := range s.known {
			if want := seen[k]; have.uid != want.uid || !maps.Equal(have.flags, want.flags) {
				rt.Fatalf("session %d fetched %+v for message %d, want %+v", i, have, k+1, *want)
			}
		}
	}
}

// modSeqItem is what a client that knows of mod-sequences asks for beside.
func (s *seat) modSeqItem() string {
	if s.qresync {
		return " MODSEQ"
	}
	return ""
}

type expunging bool

const (
	mayExpunge    expunging = true
	mayNotExpunge expunging = false
)

var (
	existsLine  = regexp.MustCompile(`^\* (\d+) EXISTS$`)
	expungeLine = regexp.MustCompile(`^\* (\d+) EXPUNGE$`)
	fetchLine   = regexp.MustCompile(`^\* (\d+) FETCH \(`)
	uidItem     = regexp.MustCompile(`UID (\d+)`)
	modSeqItem  = regexp.MustCompile(`MODSEQ \((\d+)\)`)
	vanished    = regexp.MustCompile(`^\* VANISHED ([0-9:,]+)$`)
	earlier     = regexp.MustCompile(`^\* VANISHED \(EARLIER\) ([0-9:,]+)$`)
	flagsItem   = regexp.MustCompile(`FLAGS \(([^)]*)\)`)
)

// say gives a command and takes in what comes back, as a client would.
func (m *model) say(rt *rapid.T, s *seat, command string, may expunging) []string {
	lines := s.c.do(command)
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "OK") {
		rt.Fatalf("%s: %s", command, last)
	}
	for _, line := range lines[:len(lines)-1] {
		s.hear(rt, command, line, may)
	}
	return lines
}

func (s *seat) hear(rt *rapid.T, command, line string, may expunging) {
	if e := existsLine.FindStringSubmatch(line); e != nil {
		n, _ := strconv.Atoi(e[1])
		if n < len(s.known) {
			rt.Fatalf("%s: %s, and %d messages were known: EXISTS may not take any away", command, line, len(s.known))
		}
		for len(s.known) < n {
			s.known = append(s.known, known{})
		}
		return
	}
	if e := expungeLine.FindStringSubmatch(line); e != nil {
		n, _ := strconv.Atoi(e[1])
		if !bool(may) || s.qresync || n < 1 || n > len(s.known) {
			rt.Fatalf("%s: %s with %d messages known (RFC 9051 §7.5.1)", command, line, len(s.known))
		}
		s.known = slices.Delete(s.known, n-1, n)
		return
	}
	if strings.HasPrefix(line, "* OK [CLOSED]") { // what comes before is of the old mailbox
		s.known = nil
		return
	}
	if v := vanished.FindStringSubmatch(line); v != nil {
		if !bool(may) || !s.qresync {
			rt.Fatalf("%s: %s (RFC 7162 §3.2.10.2)", command, line)
		}
		for _, uid := range expand(v[1]) {
			s.forget(rt, line, uid)
		}
		return
	}
	if e := fetchLine.FindStringSubmatch(line); e != nil {
		s.fetched, _ = strconv.Atoi(e[1])
	} else if strings.HasPrefix(line, "* ") {
		return
	}
	n := s.fetched // a line after a literal goes on with the message before it
	if n < 1 || n > len(s.known) {
		rt.Fatalf("%s: %s with %d messages known", command, line, len(s.known))
	}
	k := &s.known[n-1]
	if u := uidItem.FindStringSubmatch(line); u != nil {
		uid, _ := strconv.Atoi(u[1])
		if k.uid != 0 && k.uid != uid {
			rt.Fatalf("%s: %s, but it had UID %d", command, line, k.uid)
		}
		k.uid = uid
	}
	if q := modSeqItem.FindStringSubmatch(line); q != nil {
		modSeq, _ := strconv.Atoi(q[1])
		if modSeq < k.modSeq {
			rt.Fatalf("%s: %s, but it had MODSEQ %d", command, line, k.modSeq)
		}
		k.modSeq = modSeq
	} else if s.qresync && strings.Contains(line, "FLAGS (") && !strings.Contains(command, "FLAGS") && !strings.Contains(command, "FETCH") {
		rt.Fatalf("%s: %s without MODSEQ (RFC 7162 §3.2.4)", command, line)
	}
	if f := flagsItem.FindStringSubmatch(line); f != nil {
		k.flags = map[string]bool{}
		for _, flag := range strings.Fields(f[1]) {
			k.flags[flag] = true
		}
	}
}

// forget takes a message out of what a client knows. One whose UID it has not
// asked for lies before the first with a greater one.
func (s *seat) forget(rt *rapid.T, line string, uid int) {
	at := -1
	for i, k := range s.known {
		if k.uid == uid {
			at = i
			break
		}
		if k.uid > uid {
			break
		}
		if k.uid == 0 {
			at = i
		}
	}
	if at < 0 || s.known[at].uid != 0 && s.known[at].uid != uid {
		rt.Fatalf("%s: no message with UID %d was told of", line, uid)
	}
	s.known = slices.Delete(s.known, at, at+1)
}

// expand is the numbers of a set without *.
func expand(set string) (nums []int) {
	for _, r := range strings.Split(set, ",") {
		first, last, ranged := strings.Cut(r, ":")
		from, _ := strconv.Atoi(first)
		to := from
		if ranged {
			to, _ = strconv.Atoi(last)
		}
		for ; from <= to; from++ {
			nums = append(nums, from)
		}
	}
	return nums
}

// resync leaves the mailbox with a cache of it, lets another session change it,
// and comes back: what SELECT says has to make the cache right (RFC 7162 §3.2.5).
func (m *model) resync(rt *rapid.T, at int, o op) {
	s := m.seats[at]
	m.compare(rt, at)
	cache := map[int]map[string]bool{}
	for _, k := range s.known {
		cache[k.uid] = k.flags
	}
	status := m.say(rt, s, "STATUS "+m.box+" (HIGHESTMODSEQ UIDVALIDITY)", mayExpunge)[0]
	var highest, validity int
	if _, err := fmt.Sscanf(status, "* STATUS "+m.box+" (UIDVALIDITY %d HIGHESTMODSEQ %d)", &validity, &highest); err != nil {
		rt.Fatalf("%s: %v", status, err)
	}
	s.c.ok("UNSELECT")
	s.known = nil
	other := (at + 1 + o.From%2) % seats
	for _, kind := range []string{"append", "tagged", "+FLAGS", "delete", "EXPUNGE", "-FLAGS"} {
		m.carryOut(rt, op{other, kind, o.From, o.To, o.Flag})
	}
	for _, line := range m.say(rt, s, fmt.Sprintf("SELECT %s (QRESYNC (%d %d))", m.box, validity, highest), mayNotExpunge) {
		if v := earlier.FindStringSubmatch(line); v != nil {
			for _, uid := range expand(v[1]) {
				delete(cache, uid)
			}
		}
	}
	for _, k := range s.known {
		if k.uid != 0 {
			cache[k.uid] = k.flags
		}
	}
	truth := map[int]map[string]bool{}
	for _, x := range m.seen(s) {
		truth[x.uid] = x.flags
	}
	if !maps.EqualFunc(cache, truth, func(a, b map[string]bool) bool { return maps.Equal(a, b) }) {
		rt.Fatalf("after QRESYNC from %d the client's cache is %v, the mailbox %v", highest, cache, truth)
	}
}

// unchangedSince stores where nobody else has since this session was told: the
// vault, not the client, says who was first (RFC 7162 §3.1.3).
func (m *model) unchangedSince(rt *rapid.T, s *seat, o op, uid int) {
	i := slices.IndexFunc(s.known, func(k known) bool { return k.uid == uid })
	since := s.known[i].modSeq
	lines := m.say(rt, s, fmt.Sprintf("UID STORE %d (UNCHANGEDSINCE %d) +FLAGS (%s)", uid, since, o.Flag), mayExpunge)
	if strings.Contains(lines[len(lines)-1], "[MODIFIED ") {
		return
	}
	m.each(func(x *message) bool { return x.uid == uid }, func(x *message) { x.store("+FLAGS", o.Flag) })
}

// learn asks for the UIDs a session does not know, so that the model knows
// which messages its numbers mean.
func (m *model) learn(rt *rapid.T, s *seat) {
	for slices.ContainsFunc(s.known, func(k known) bool { return k.uid == 0 || s.qresync && k.modSeq == 0 }) {
		m.say(rt, s, "FETCH 1:* (UID"+s.modSeqItem()+")", mayNotExpunge)
	}
}

// carryOut gives one command and does the same to the model.
func (m *model) carryOut(rt *rapid.T, o op) {
	s := m.seats[o.Session]
	switch o.Kind {
	case "append":
		m.say(rt, s, fmt.Sprintf("APPEND %s (%s) {12+}\r\nA: b\r\n\r\nhi\r\n", m.box, o.Flag), mayExpunge)
		m.add(map[string]bool{o.Flag: true})
		return
	case "tagged":
		m.h.deliver(letter{mailbox: m.box, text: "A: b\r\n\r\nhi\r\n", demand: requiretls.Required(), flags: []string{o.Flag}})
		m.add(map[string]bool{o.Flag: true, tagged: true})
		return
	case "NOOP":
		m.compare(rt, o.Session)
		return
	case "SELECT":
		m.reselect(rt, s)
		return
	case "RESYNC":
		if s.qresync {
			m.resync(rt, o.Session, o)
		}
		return
	case "IDLE":
		m.idle(rt, s)
		return
	case "EXPUNGE":
		m.say(rt, s, o.Kind, mayExpunge)
		m.remove(func(x *message) bool { return s.sees(x) && x.flags[`\Deleted`] })
		return
	}
	if len(s.known) == 0 {
		return
	}
	m.learn(rt, s)
	from, to := o.From%len(s.known), o.To%len(s.known)
	if from > to {
		from, to = to, from
	}
	m.onRange(rt, s, o, from, to)
}

// onRange has the commands on messages from and to, by number or UID.
func (m *model) onRange(rt *rapid.T, s *seat, o op, from, to int) {
	seqs := fmt.Sprintf("%d:%d", from+1, to+1)
	uids := fmt.Sprintf("%d:%d", s.known[from].uid, s.known[to].uid)
	low, high := s.known[from].uid, s.known[to].uid
	named := map[int]bool{} // what the session means, before it hears of anything new
	for _, k := range s.known[from : to+1] {
		named[k.uid] = true
	}
	among := func(x *message) bool { return named[x.uid] }
	switch o.Kind {
	case "+FLAGS", "-FLAGS", "FLAGS", "+FLAGS.SILENT":
		silent := strings.HasSuffix(o.Kind, "SILENT")
		m.say(rt, s, fmt.Sprintf("STORE %s %s (%s)", seqs, o.Kind, o.Flag), mayNotExpunge)
		m.each(among, func(x *message) { x.store(o.Kind, o.Flag) })
		if silent {
			s.believe(from, to, o.Flag)
		}
	case "UID +FLAGS":
		m.each(among, func(x *message) { x.store("+FLAGS", o.Flag) })
		m.say(rt, s, fmt.Sprintf("UID STORE %s +FLAGS (%s)", uids, o.Flag), mayExpunge)
	case "delete":
		m.each(among, func(x *message) { x.store("+FLAGS", `\Deleted`) })
		m.say(rt, s, fmt.Sprintf(`STORE %s +FLAGS (\Deleted)`, seqs), mayNotExpunge)
	case "UID EXPUNGE":
		m.say(rt, s, "UID EXPUNGE "+uids, mayExpunge)
		m.remove(func(x *message) bool { return s.sees(x) && low <= x.uid && x.uid <= high && x.flags[`\Deleted`] })
	case "COPY", "MOVE", "UID MOVE":
		m.transfer(rt, s, o.Kind, seqs, uids, among)
	case "UNCHANGEDSINCE":
		if s.qresync {
			m.unchangedSince(rt, s, o, low)
		}
	case "FETCH":
		m.say(rt, s, "FETCH "+seqs+" (FLAGS)", mayNotExpunge)
	case "UID FETCH":
		m.say(rt, s, "UID FETCH "+uids+" (FLAGS)", mayExpunge)
	case "BODY":
		m.say(rt, s, "FETCH "+seqs+" (BODY[TEXT])", mayNotExpunge)
		m.each(among, func(x *message) { x.store("+FLAGS", `\Seen`) })
	case "SEARCH":
		m.say(rt, s, "SEARCH "+seqs+" UNSEEN", mayNotExpunge)
	}
}

// transfer copies or moves into the mailbox itself: new UIDs, in order.
func (m *model) transfer(rt *rapid.T, s *seat, kind, seqs, uids string, among func(*message) bool) {
	set := seqs
	if strings.HasPrefix(kind, "UID") {
		set = uids
	}
	m.say(rt, s, kind+" "+set+" "+m.box, mayExpunge)
	var added []map[string]bool
	m.each(among, func(x *message) { added = append(added, maps.Clone(x.flags)) })
	if strings.HasSuffix(kind, "MOVE") {
		m.remove(among)
	}
	for _, flags := range added {
		m.add(flags)
	}
}

// believe is what a client assumes after .SILENT.
func (s *seat) believe(from, to int, flag string) {
	for i := from; i <= to; i++ {
		if s.known[i].flags != nil {
			s.known[i].flags = maps.Clone(s.known[i].flags)
			s.known[i].flags[flag] = true
		}
	}
}

func (x *message) store(op, flag string) {
	switch strings.TrimSuffix(op, ".SILENT") {
	case "+FLAGS":
		x.flags[flag] = true
	case "-FLAGS":
		delete(x.flags, flag)
	case "FLAGS":
		x.flags = maps.Clone(x.flags)
		maps.DeleteFunc(x.flags, func(f string, _ bool) bool { return f != tagged })
		x.flags[flag] = true
	}
}

func (m *model) add(flags map[string]bool) {
	m.messages = append(m.messages, &message{m.next, flags})
	m.next++
}

func (m *model) remove(is func(*message) bool) { m.messages = slices.DeleteFunc(m.messages, is) }

func (m *model) each(is func(*message) bool, do func(*message)) {
	for _, x := range m.messages {
		if is(x) {
			do(x)
		}
	}
}

func (m *model) reselect(rt *rapid.T, s *seat) {
	m.say(rt, s, "SELECT "+m.box, mayNotExpunge)
	if n := len(m.seen(s)); len(s.known) != n {
		rt.Fatalf("SELECT told of %d messages, there are %d", len(s.known), n)
	}
}

// idle idles while the other session appends, and expects to hear of it.
func (m *model) idle(rt *rapid.T, s *seat) {
	s.c.send("i IDLE\r\n")
	for line := s.c.line(); line != "+ idling"; line = s.c.line() {
		s.hear(rt, "IDLE", line, mayExpunge)
	}
	other := m.seats[0]
	if other == s {
		other = m.seats[1]
	}
	m.say(rt, other, fmt.Sprintf("APPEND %s {12+}\r\nA: b\r\n\r\nhi\r\n", m.box), mayExpunge)
	m.add(map[string]bool{})
	for n := len(m.seen(s)); len(s.known) < n; {
		s.hear(rt, "IDLE", s.c.line(), mayExpunge)
	}
	s.c.send("DONE\r\n")
	for line := s.c.line(); line != "i OK IDLE completed"; line = s.c.line() {
		s.hear(rt, "DONE", line, mayExpunge)
	}
}
