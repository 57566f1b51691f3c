package storage

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
)

// The crash test runs a child process that changes mailboxes from several
// goroutines and says on its output what it begins and what was acknowledged.
// It is killed, the store opened again, and every mailbox must be what the
// acknowledged operations make of it, with the one that was under way done
// wholly or not at all. Both sides know the operations from a seed.

const crashWorkers = 6

// crashBoxes are the mailboxes of each account.
var crashBoxes = []string{inbox, "Archive", "Trash"}

// crashModel is the two accounts of one worker.
type crashModel struct {
	rnd   *rand.Rand
	seed  uint64
	boxes [2]map[string]*plainBox

	leaving []crashLeaving
	scripts [2]map[string]string
	active  [2]string
	notes   [2]map[string]string

	uploads  int // still to come, of a folder that is uploaded:
	uploadTo string
	uploader int
}

// crashLeaving is a row of the outbox: its domain says which.
type crashLeaving struct{ domain, text string }

func newCrashModel(seed uint64) *crashModel {
	m := &crashModel{rnd: rand.New(rand.NewPCG(seed, 7)), seed: seed}
	for i := range m.boxes {
		m.boxes[i] = make(map[string]*plainBox)
		m.scripts[i] = make(map[string]string)
		m.notes[i] = make(map[string]string)
		for _, name := range crashBoxes {
			m.boxes[i][name] = &plainBox{uidnext: 1}
		}
	}
	return m
}

// crashText is the body of letter n: small mostly, now and then a file of its
// own.
func (m *crashModel) crashText(n int) string {
	line := fmt.Sprintf("letter %d of %d\r\n", n, m.seed)
	head := "Message-ID: <" + strconv.FormatUint(m.seed, 10) + "." + strconv.Itoa(n) + "@crash>\r\n\r\n"
	size := 1 + m.rnd.IntN(200)
	if m.rnd.IntN(40) == 0 {
		size = 1300000 / len(line)
	}
	return head + strings.Repeat(line, size)
}

func crashSummary(text string) *mail.Summary {
	head, _, _ := strings.Cut(text, "\r\n\r\n")
	return &mail.Summary{MessageID: strings.TrimPrefix(head, "Message-ID: "), Root: mail.Part{Body: int64(len(head) + 4), End: int64(len(text))}}
}

// crashOp is one operation: what it does to the model, and to a store.
type crashOp struct {
	model func()
	store func(ctx context.Context, s *Store, a [2]*Account) error
}

// next makes operation n. Calling model moves on to the state after it.
func (m *crashModel) next(n int) crashOp {
	if m.uploads > 0 {
		m.uploads--
		return m.appendOp(n, m.uploader, m.uploadTo)
	}
	who := m.rnd.IntN(2)
	boxes := m.boxes[who]
	from, to := crashBoxes[m.rnd.IntN(3)], crashBoxes[m.rnd.IntN(3)]
	source, target := boxes[from], boxes[to]
	var some []UID
	for _, p := range source.messages {
		if m.rnd.IntN(3) == 0 {
			some = append(some, p.uid)
		}
	}
	id := func(ctx context.Context, a *Account) MailboxID {
		box, err := a.Mailbox(ctx, from)
		if err != nil {
			panic(err)
		}
		return box.ID
	}
	switch m.rnd.IntN(19) {
	case 0:
		return crashOp{
			func() { _, source.messages = source.split(some) },
			func(ctx context.Context, _ *Store, a [2]*Account) error {
				return a[who].Expunge(ctx, id(ctx, a[who]), some)
			}}
	case 1:
		return crashOp{
			func() {
				in, _ := source.split(some)
				for _, p := range in {
					target.add(p)
				}
			},
			func(ctx context.Context, _ *Store, a [2]*Account) error {
				_, err := a[who].Copy(ctx, id(ctx, a[who]), some, to)
				return err
			}}
	case 2:
		return crashOp{
			func() {
				var in []plainMessage
				in, source.messages = source.split(some)
				for _, p := range in {
					target.add(p)
				}
			},
			func(ctx context.Context, _ *Store, a [2]*Account) error {
				_, err := a[who].Move(ctx, id(ctx, a[who]), some, to)
				return err
			}}
	case 3:
		flag := "k" + strconv.Itoa(m.rnd.IntN(4))
		return crashOp{
			func() {
				for i := range source.messages {
					if slices.Contains(some, source.messages[i].uid) {
						source.messages[i].flags = []string{flag}
					}
				}
			},
			func(ctx context.Context, _ *Store, a [2]*Account) error {
				_, err := a[who].StoreFlags(ctx, id(ctx, a[who]), some, ReplaceFlags, []string{flag}, 0)
				return err
			}}
	case 4:
		m.uploads, m.uploader, m.uploadTo = m.rnd.IntN(20), who, to
		return m.appendOp(n, who, to)
	case 5, 6:
		return m.sendOp(n, who, to)
	case 7:
		if len(m.leaving) > 0 {
			return m.settleOp()
		}
	case 8:
		return m.scriptOp(n, who)
	case 9:
		if len(source.messages) > 0 {
			return m.replaceOp(n, who, from, to)
		}
	case 10:
		return m.noteOp(n, who, from)
	case 11, 12:
		return m.formsOp(n, to)
	}
	return m.deliverOp(n, to)
}

// appendOp also asks for the UIDs to be those of the model: what was answered before
// a kill is there after it.
func (m *crashModel) appendOp(n, who int, to string) crashOp {
	texts := []string{m.crashText(2 * n), m.crashText(2*n + 1)}
	next := m.boxes[who][to].uidnext
	return crashOp{
		func() {
			for _, text := range texts {
				m.boxes[who][to].add(plainMessage{text: text, demand: requiretls.Usual()})
			}
		},
		func(ctx context.Context, _ *Store, a [2]*Account) error {
			var letters []Letter
			for _, text := range texts {
				letters = append(letters, Letter{Body: newBody(text), Summary: crashSummary(text), Demand: requiretls.Usual()})
			}
			_, uids, err := a[who].Append(ctx, to, letters)
			if err == nil && !slices.Equal(uids, []UID{next, next + 1}) {
				err = fmt.Errorf("append %d answered UIDs %v, want %d and the next", n, uids, next)
			}
			return err
		}}
}

// replaceOp puts another message in the place of one.
func (m *crashModel) replaceOp(n, who int, from, to string) crashOp {
	source, text := m.boxes[who][from], m.crashText(2*n)
	old := source.messages[m.rnd.IntN(len(source.messages))]
	demand := requiretls.Usual()
	if old.demand.IsRequired() {
		demand = old.demand
	}
	return crashOp{
		func() {
			_, source.messages = source.split([]UID{old.uid})
			m.boxes[who][to].add(plainMessage{text: text, demand: demand})
		},
		func(ctx context.Context, _ *Store, a [2]*Account) error {
			box, err := a[who].Mailbox(ctx, from)
			if err == nil {
				_, _, err = a[who].Replace(ctx, box.ID, old.uid, to, Letter{Body: newBody(text), Summary: crashSummary(text), Demand: requiretls.Usual()})
			}
			return err
		}}
}

// noteOp sets two annotations, or takes them away.
func (m *crashModel) noteOp(n, who int, box string) crashOp {
	var value []byte
	if m.rnd.IntN(3) > 0 {
		value = []byte(strings.Repeat(strconv.Itoa(n), 1+m.rnd.IntN(10000)))
	}
	return crashOp{
		func() { m.notes[who][box] = string(value) },
		func(ctx context.Context, _ *Store, a [2]*Account) error {
			b, err := a[who].Mailbox(ctx, box)
			if err == nil {
				err = a[who].Annotate(ctx, b.ID, []Annotation{{"/private/a", value}, {"/shared/b", value}})
			}
			return err
		}}
}

// sendOp is a delivery of which something leaves, with a copy or without.
func (m *crashModel) sendOp(n, who int, to string) crashOp {
	text, filed := m.crashText(2*n), m.rnd.IntN(2) == 0
	domain := fmt.Sprintf("s%d-%d.test", m.seed, n)
	return crashOp{
		func() {
			m.leaving = append(m.leaving, crashLeaving{domain, text})
			if filed {
				m.boxes[who][to].add(plainMessage{text: text, demand: requiretls.Required()})
			}
		},
		func(ctx context.Context, s *Store, a [2]*Account) error {
			env := &mail.Envelope{ID: domain, From: elsewhere("sender"), Demand: requiretls.Required()}
			plan := mail.Delivery{Account: uint64(a[who].id)}
			if filed {
				plan.Copies = []mail.Copy{{Mailbox: to}}
			}
			plan.Outbound = []*mail.Outbound{env.Redirect(mail.Redirect{To: mail.Address{Local: "x", Domain: domain}})}
			return s.Commit(ctx, env, newBody(text), crashSummary(text), []mail.Delivery{plan})[0]
		}}
}

// formsOp is a delivery of a letter in three forms, one of which leaves as well:
// all of it or nothing.
func (m *crashModel) formsOp(n int, to string) crashOp {
	came := m.crashText(2 * n)
	forms := [3]string{came, "X-Form: 1\r\n" + came, "X-Form: 2\r\n" + came}
	where := [2][]int{{1, 2, 0}, {2, 0}} // which form of it each account has in which mailbox
	domain := fmt.Sprintf("s%d-%d.test", m.seed, n)
	return crashOp{
		func() {
			for i := range where {
				for j, form := range where[i] {
					m.boxes[i][crashBoxes[j]].add(plainMessage{text: fmt.Sprintf("X: %d\r\n", i) + forms[form], demand: requiretls.Required()})
				}
			}
			m.boxes[1][to].add(plainMessage{text: "X: ours\r\n" + domain, demand: requiretls.Required()})
			m.leaving = append(m.leaving, crashLeaving{domain, came})
		},
		func(ctx context.Context, s *Store, a [2]*Account) error {
			env := &mail.Envelope{ID: domain, From: elsewhere("sender"), Demand: requiretls.Required()}
			variants := [3]*mail.Variant{1: {Body: newBody(forms[1]), Summary: crashSummary(forms[1])}, 2: {Body: newBody(forms[2]), Summary: crashSummary(forms[2])}}
			var plans []mail.Delivery
			for i := range where {
				p := mail.Delivery{Account: uint64(a[i].id), Prefix: fmt.Appendf(nil, "X: %d\r\n", i)}
				for j, form := range where[i] {
					p.Copies = append(p.Copies, mail.Copy{Mailbox: crashBoxes[j], Variant: variants[form]})
				}
				plans = append(plans, p)
			}
			ours := &mail.Variant{Body: newBody(domain), Summary: crashSummary(domain), Prefix: []byte("X: ours\r\n")}
			plans[1].Copies = append(plans[1].Copies, mail.Copy{Mailbox: to, Variant: ours})
			plans[0].Outbound = []*mail.Outbound{env.Redirect(mail.Redirect{To: mail.Address{Local: "x", Domain: domain}})}
			return errors.Join(s.Commit(ctx, env, newBody(came), crashSummary(came), plans)...)
		}}
}

// settleOp ends the oldest row.
func (m *crashModel) settleOp() crashOp {
	domain := m.leaving[0].domain
	return crashOp{
		func() { m.leaving = m.leaving[1:] },
		func(ctx context.Context, s *Store, a [2]*Account) error {
			for i := range a {
				if _, err := a[i].Usage(ctx); err != nil { // waits for the index
					return err
				}
			}
			rows, _, err := s.DueOut(ctx, far, 1, func(r OutRow) bool { return r.Domain != domain })
			if err != nil || len(rows) != 1 {
				return fmt.Errorf("%s is not due: %v, %v", domain, rows, err)
			}
			return s.SettleOut(ctx, rows[0].ID, OutSettlement{End: Ended})
		}}
}

// scriptOp puts a script, or makes another one active.
func (m *crashModel) scriptOp(n, who int) crashOp {
	name := []string{"one", "two"}[m.rnd.IntN(2)]
	if _, there := m.scripts[who][name]; there && m.rnd.IntN(2) == 0 {
		return crashOp{
			func() { m.active[who] = name },
			func(ctx context.Context, _ *Store, a [2]*Account) error { return a[who].ActivateScript(ctx, name) },
		}
	}
	text := strings.Repeat(fmt.Sprintf("# %d\n", n), 1+m.rnd.IntN(30000))
	return crashOp{
		func() { m.scripts[who][name] = text },
		func(ctx context.Context, _ *Store, a [2]*Account) error {
			return a[who].PutScript(ctx, name, []byte(text), nil)
		}}
}

func (m *crashModel) deliverOp(n int, to string) crashOp {
	text, demand := m.crashText(2*n), []requiretls.Demand{requiretls.Usual(), requiretls.Required(), requiretls.Waived()}[n%3]
	return crashOp{
		func() {
			for i := range m.boxes {
				m.boxes[i][to].add(plainMessage{text: fmt.Sprintf("X: %d\r\n", i) + text, demand: demand})
			}
		},
		func(ctx context.Context, s *Store, a [2]*Account) error {
			var plans []mail.Delivery
			for i := range a {
				plans = append(plans, mail.Delivery{Account: uint64(a[i].id), Prefix: fmt.Appendf(nil, "X: %d\r\n", i), Copies: []mail.Copy{{Mailbox: to}}})
			}
			for _, err := range s.Commit(ctx, &mail.Envelope{Demand: demand}, newBody(text), crashSummary(text), plans) {
				if err != nil {
					return err
				}
			}
			return nil
		}}
}

// crashOptions make segments small, so that many are begun and collected.
var crashOptions = Options{SegmentSize: 256 << 10}

// complaints fails a test with every error that a store logs: no kill leaves
// damage behind.
type complaints struct{ t *testing.T }

func (c complaints) Write(line []byte) (int, error) {
	c.t.Errorf("the store says: %s", line)
	return len(line), nil
}

// crashChild is the process that is killed.
func crashChild(dir string, seed uint64) {
	ctx := context.Background()
	opt := crashOptions
	opt.items = int(seed / 100 % 3) // of each three rounds, two leave marks within groups all the time
	s, err := Open(dir, opt)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() {
		for {
			crashDie(s.collect(ctx, 5, 1<<30))
		}
	}()
	for w := range crashWorkers {
		go func() {
			var a [2]*Account
			for i := range a {
				p, err := s.AddPerson(ctx, mail.Address{Local: fmt.Sprintf("p%d-%d-%d", seed, w, i), Domain: "x"}, nil)
				crashDie(err)
				a[i] = s.Account(p.ID)
			}
			fmt.Printf("ready %d %d %d\n", w, a[0].id, a[1].id)
			m := newCrashModel(seed + uint64(w))
			for n := 0; ; n++ {
				op := m.next(n)
				fmt.Printf("begin %d %d\n", w, n)
				crashDie(op.store(ctx, s, a))
				fmt.Printf("done %d %d\n", w, n)
				op.model()
			}
		}()
	}
	p, err := s.AddPerson(ctx, crashShared, nil)
	if errors.Is(err, ErrExists) {
		p, err = s.Person(ctx, crashShared)
	}
	crashDie(err)
	crashDie(sessions(ctx, s, s.Account(p.ID), seed, func(all ...answered) {
		for _, at := range all {
			fmt.Printf("uid %d %d %s %v\n", at.validity, at.uid, at.token, at.stays)
		}
	}))
}

// crashShared is the account of several clients at once, the same in every round:
// no UID is ever answered twice.
var crashShared = mail.Address{Local: "shared", Domain: "x"}

func crashDie(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// crashTrace is what the child said of one worker.
type crashTrace struct {
	seed     uint64
	accounts [2]AccountID
	begun    int // operations begun and done
	done     int
	settled  int // what was found to be in force
}

// runChild runs the child until it is killed: right after an acknowledgement,
// or at any moment. told is what the clients of the shared account were answered.
func runChild(t *testing.T, dir string, seed uint64, rnd *rand.Rand) (traces map[int]*crashTrace, told []answered) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestNothingAcknowledgedIsLostByKill$")
	cmd.Env = append(os.Environ(), "LETTERLOCK_CRASH_DIR="+dir, fmt.Sprintf("LETTERLOCK_CRASH_SEED=%d", seed))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	kill := func() { once.Do(func() { _ = cmd.Process.Kill() }) }
	acks := 1 + rnd.IntN(120)
	if rnd.IntN(2) == 0 {
		acks = -1
		defer time.AfterFunc(time.Duration(rnd.IntN(250))*time.Millisecond, kill).Stop()
	}
	traces = make(map[int]*crashTrace)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var at answered
		if n, _ := fmt.Sscanf(lines.Text(), "uid %d %d %s %t", &at.validity, &at.uid, &at.token, &at.stays); n == 4 {
			told = append(told, at)
			continue
		}
		word, w, a, b := "", 0, 0, 0
		_, _ = fmt.Sscan(lines.Text(), &word, &w, &a, &b) // the last line may be torn
		tr := traces[w]
		switch {
		case word == "ready":
			traces[w] = &crashTrace{seed: seed + uint64(w), accounts: [2]AccountID{AccountID(a), AccountID(b)}}
		case word == "begin" && tr != nil:
			tr.begun = a + 1
		case word == "done" && tr != nil:
			tr.done = a + 1
			if acks--; acks == 0 {
				kill()
			}
		}
	}
	kill()
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() == 1 {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return traces, told
}

func TestNothingAcknowledgedIsLostByKill(t *testing.T) {
	if dir := os.Getenv("LETTERLOCK_CRASH_DIR"); dir != "" {
		seed, _ := strconv.ParseUint(os.Getenv("LETTERLOCK_CRASH_SEED"), 10, 64)
		crashChild(dir, seed)
	}
	rounds := 12
	if n, err := strconv.Atoi(os.Getenv("LETTERLOCK_CRASH_ROUNDS")); err == nil {
		rounds = n
	}
	dir, base := t.TempDir(), rand.Uint64()>>16
	rnd, opt := rand.New(rand.NewPCG(base, 1)), crashOptions
	opt.Log = slog.New(slog.NewTextHandler(complaints{t}, &slog.HandlerOptions{Level: slog.LevelError}))
	var all []*crashTrace
	var answers []answered
	acked := 0
	for round := range rounds {
		seed := base + uint64(round)*100
		traces, told := runChild(t, dir, seed, rnd)
		s, err := Open(dir, opt)
		if err != nil {
			t.Fatalf("seed %d, round %d: %v", base, round, err)
		}
		for _, tr := range traces {
			tr.check(t, s)
			all = append(all, tr)
			acked += tr.done
		}
		answers = append(answers, told...)
		if round == rounds-1 {
			told = answers // what was answered holds
		}
		if p, err := s.Person(context.Background(), crashShared); err == nil {
			holds(t, s.Account(p.ID), told)
		} else if len(told) > 0 {
			t.Errorf("%d answers to somebody who is not there: %v", len(told), err)
		}
		if round == rounds-1 {
			for _, tr := range all { // what was there stays there
				tr.begun, tr.done = tr.settled, tr.settled
				tr.check(t, s)
			}
			for _, f := range findings(t, s) {
				t.Error(f)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if t.Failed() {
			t.Fatalf("seed %d, round %d", base, round)
		}
		if kills := round + 1; testing.Verbose() && kills%250 == 0 && kills < rounds {
			fmt.Printf("%d kills, %d acknowledged operations\n", kills, acked)
		}
	}
	t.Logf("%d kills, %d acknowledged operations, %d letters answered with UIDs among sessions", rounds, acked, len(answers))
}

// check compares the worker's accounts with the model after what was done, and
// after the one that was under way.
func (tr *crashTrace) check(t *testing.T, s *Store) {
	t.Helper()
	m := newCrashModel(tr.seed)
	for n := range tr.done {
		m.next(n).model()
	}
	diff := tr.compare(t, s, m)
	tr.settled = tr.done
	if diff != "" && tr.begun > tr.done {
		m.next(tr.done).model()
		tr.settled = tr.begun
		if tr.compare(t, s, m) == "" {
			return
		}
	}
	if diff != "" {
		t.Errorf("worker %d after %d operations, %d begun: %s", tr.seed, tr.done, tr.begun, diff)
	}
}

// compare says how the store differs from the model.
func (tr *crashTrace) compare(t *testing.T, s *Store, m *crashModel) string {
	t.Helper()
	if diff := compareLeaving(t, s, m); diff != "" {
		return diff
	}
	for i, id := range tr.accounts {
		a := s.Account(id)
		if diff := compareScripts(t, a, m.scripts[i], m.active[i]); diff != "" {
			return fmt.Sprintf("account %d: %s", id, diff)
		}
		var total Usage
		boxes, err := a.Mailboxes(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range boxes {
			total.Bytes, total.Messages = total.Bytes+b.Size, total.Messages+uint64(b.Messages)
			if want := m.boxes[i][b.Name]; want != nil {
				diff := compareBox(t, a, b, want)
				if diff == "" {
					diff = compareNotes(t, a, b.ID, m.notes[i][b.Name])
				}
				if diff != "" {
					return fmt.Sprintf("account %d, %s: %s", id, b.Name, diff)
				}
			}
		}
		if u, err := a.Usage(context.Background()); err != nil || u != total {
			return fmt.Sprintf("account %d: usage %+v, %v, a recount says %+v", id, u, err, total)
		}
	}
	return ""
}

// compareLeaving looks for the worker's rows, whose octets must be there too.
func compareLeaving(t *testing.T, s *Store, m *crashModel) string {
	t.Helper()
	found := make(map[string]bool)
	rows, _, err := s.DueOut(context.Background(), far, 1<<20, func(r OutRow) bool { return !strings.HasPrefix(r.Domain, fmt.Sprintf("s%d-", m.seed)) })
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		l, err := s.OpenOut(context.Background(), row.ID)
		if err != nil {
			return fmt.Sprintf("row of %s: %v", row.Domain, err)
		}
		text, err := io.ReadAll(io.NewSectionReader(l.Body, 0, l.Body.Size()))
		l.Close()
		if err != nil || found[row.Domain] || !l.Outbound.Demand().IsRequired() || !slices.Contains(m.leaving, crashLeaving{row.Domain, string(text)}) {
			return fmt.Sprintf("row of %s is there twice, %v, or as another: %v, %d octets, %v", row.Domain, found[row.Domain], l.Outbound.Demand(), len(text), err)
		}
		found[row.Domain] = true
	}
	if len(found) != len(m.leaving) {
		return fmt.Sprintf("%d letters leave, want %d", len(found), len(m.leaving))
	}
	return ""
}

func compareScripts(t *testing.T, a *Account, want map[string]string, active string) string {
	t.Helper()
	list, err := a.Scripts(context.Background())
	if err != nil || len(list) != len(want) {
		return fmt.Sprintf("scripts %+v, %v, want %d", list, err, len(want))
	}
	for _, s := range list {
		_, text, err := a.Script(context.Background(), s.Name, nil)
		if err != nil || string(text) != want[s.Name] || s.Active != (s.Name == active) {
			return fmt.Sprintf("script %+v with %d octets, %v, want %d; %q is active", s, len(text), err, len(want[s.Name]), active)
		}
	}
	return ""
}

func compareBox(t *testing.T, a *Account, b Mailbox, want *plainBox) string {
	t.Helper()
	v, err := a.View(context.Background(), b.ID)
	if err != nil {
		t.Fatal(err)
	}
	if v.Len() != len(want.messages) || b.UIDNext != want.uidnext || int(b.Messages) != v.Len() {
		return fmt.Sprintf("%d messages, UIDNEXT %d, want %d and %d", v.Len(), b.UIDNext, len(want.messages), want.uidnext)
	}
	rows, err := a.Rows(context.Background(), b.ID, uidsOf(v))
	if err != nil || len(rows) != v.Len() {
		t.Fatalf("%d rows of %d, %v", len(rows), v.Len(), err)
	}
	size := uint64(0)
	for i, e := range v.All(0, v.Len()) {
		p := &want.messages[i]
		size += uint64(rows[i].Size)
		if e.UID != p.uid || rows[i].Demand != p.demand || !slices.Equal((&box{Mailbox: b}).wordsOf(e.Flags), p.flags) || e.ModSeq > b.Highest {
			return fmt.Sprintf("message %d is %+v, demand %v, want UID %d, %v, %q", i, e, rows[i].Demand, p.uid, p.demand, p.flags)
		}
		msg, err := a.Message(context.Background(), b.ID, e.UID, release(t, p.demand))
		if err != nil {
			return fmt.Sprintf("message %d: %v", i, err)
		}
		text, err := io.ReadAll(io.NewSectionReader(msg, 0, msg.Size()))
		if err != nil || string(text) != p.text {
			return fmt.Sprintf("message %d: other octets, %v", i, err)
		}
		if err := msg.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if size != b.Size {
		return fmt.Sprintf("size %d, a recount says %d", b.Size, size)
	}
	return ""
}

// compareNotes looks for the two annotations of one value, or none.
func compareNotes(t *testing.T, a *Account, id MailboxID, want string) string {
	t.Helper()
	list, err := a.Annotations(context.Background(), id, nil, DepthZero)
	list = besideUse(list)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if string(e.Value) != want {
			return fmt.Sprintf("annotation %s has %d octets, want %d", e.Name, len(e.Value), len(want))
		}
	}
	if (len(list) != 2) != (want == "") {
		return fmt.Sprintf("%d annotations, want those of %q", len(list), want)
	}
	return ""
}
