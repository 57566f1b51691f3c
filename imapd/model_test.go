package imapd_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"letterlock/imapd"

	"pgregory.net/rapid"
)

// TestTwoSessionsAgainstAModel gives random commands in two sessions of one
// mailbox, about two thousand, and compares what each is told with a plain
// model of the mailbox.
func TestTwoSessionsAgainstAModel(t *testing.T) {
	t.Parallel()
	h := openHouse(t, func(o *imapd.Options) { o.MaxPerUser = 1000 })
	m := &model{h: h}
	rapid.Check(t, func(rt *rapid.T) {
		m.begin(rt)
		for _, op := range rapid.SliceOfN(operation, 10, 30).Draw(rt, "operations") {
			m.carryOut(rt, op)
		}
		m.finish(rt)
	})
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
		Session: rapid.IntRange(0, 1).Draw(t, "session"),
		Kind: rapid.SampledFrom([]string{
			"append", "append", "append", "+FLAGS", "-FLAGS", "FLAGS", "+FLAGS.SILENT", "UID +FLAGS", "delete", "delete", "EXPUNGE", "UID EXPUNGE",
			"COPY", "MOVE", "UID MOVE", "FETCH", "UID FETCH", "BODY", "SEARCH", "NOOP", "SELECT", "IDLE",
		}).Draw(t, "kind"),
		From: rapid.IntRange(0, 9).Draw(t, "from"),
		To:   rapid.IntRange(0, 9).Draw(t, "to"),
		Flag: rapid.SampledFrom([]string{`\Seen`, `\Flagged`, `\Answered`, "work", "play"}).Draw(t, "flag"),
	}
})

// model is the mailbox as it has to be, and two clients' pictures of it.
type model struct {
	h        *house
	round    int
	box      string
	messages []*message // truth, by UID
	next     int
	seats    [2]*seat
	dirty    bool // a check failed: the connections are of no use any more
}

type message struct {
	uid   int
	flags map[string]bool
}

// seat is one client: what it was told, by sequence number.
type seat struct {
	c       *client
	known   []known
	fetched int // the message of the last FETCH response
}

type known struct {
	uid   int             // 0: not asked yet
	flags map[string]bool // nil: not asked yet
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
			m.seats[i] = &seat{c: m.h.loggedIn(fmt.Sprintf("s%d", i), "tls")}
			m.seats[i].c.ok("ENABLE IMAP4rev2")
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
	m.seats[1].c.ok("UNSELECT")
	m.seats[0].c.ok("DELETE " + m.box)
	m.dirty = false
}

// compare checks that after NOOP a client knows exactly what there is.
func (m *model) compare(rt *rapid.T, i int) {
	s := m.seats[i]
	m.say(rt, s, "NOOP", mayExpunge)
	if len(s.known) != len(m.messages) {
		rt.Fatalf("session %d was told of %d messages, there are %d", i, len(s.known), len(m.messages))
	}
	for k, have := range s.known {
		want := m.messages[k]
		if have.uid != 0 && have.uid != want.uid {
			rt.Fatalf("session %d: message %d has UID %d, want %d", i, k+1, have.uid, want.uid)
		}
		if have.flags != nil && !maps.Equal(have.flags, want.flags) {
			rt.Fatalf("session %d was told that message %d has %v; it has %v", i, k+1, have.flags, want.flags)
		}
	}
	if len(s.known) > 0 {
		m.say(rt, s, "FETCH 1:* (UID FLAGS)", mayNotExpunge)
		for k, have := range s.known {
			if want := m.messages[k]; have.uid != want.uid || !maps.Equal(have.flags, want.flags) {
				rt.Fatalf("session %d fetched %+v for message %d, want %+v", i, have, k+1, *want)
			}
		}
	}
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
		if !may || n < 1 || n > len(s.known) {
			rt.Fatalf("%s: %s with %d messages known (RFC 9051 §7.5.1)", command, line, len(s.known))
		}
		s.known = slices.Delete(s.known, n-1, n)
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
	if f := flagsItem.FindStringSubmatch(line); f != nil {
		k.flags = map[string]bool{}
		for _, flag := range strings.Fields(f[1]) {
			k.flags[flag] = true
		}
	}
}

// learn asks for the UIDs a session does not know, so that the model knows
// which messages its numbers mean.
func (m *model) learn(rt *rapid.T, s *seat) {
	for slices.ContainsFunc(s.known, func(k known) bool { return k.uid == 0 }) {
		m.say(rt, s, "FETCH 1:* (UID)", mayNotExpunge)
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
	case "NOOP":
		m.compare(rt, o.Session)
		return
	case "SELECT":
		m.reselect(rt, s)
		return
	case "IDLE":
		m.idle(rt, s)
		return
	case "EXPUNGE":
		m.say(rt, s, o.Kind, mayExpunge)
		m.remove(func(x *message) bool { return x.flags[`\Deleted`] })
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
		m.remove(func(x *message) bool { return low <= x.uid && x.uid <= high && x.flags[`\Deleted`] })
	case "COPY", "MOVE", "UID MOVE":
		m.transfer(rt, s, o.Kind, seqs, uids, among)
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
		x.flags = map[string]bool{flag: true}
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
	s.known = nil
	m.say(rt, s, "SELECT "+m.box, mayNotExpunge)
	if len(s.known) != len(m.messages) {
		rt.Fatalf("SELECT told of %d messages, there are %d", len(s.known), len(m.messages))
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
	for len(s.known) < len(m.messages) {
		s.hear(rt, "IDLE", s.c.line(), mayExpunge)
	}
	s.c.send("DONE\r\n")
	for line := s.c.line(); line != "i OK IDLE completed"; line = s.c.line() {
		s.hear(rt, "DONE", line, mayExpunge)
	}
}
