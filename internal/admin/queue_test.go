package admin

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"letterlock/internal/deliver"
	"letterlock/internal/mail"
	"letterlock/internal/maillog"
	"letterlock/internal/mime"
	"letterlock/internal/requiretls"
	"letterlock/internal/testnet"
	"letterlock/relay"
	"letterlock/storage"
)

// outbox is a store as the relay asks for it.
type outbox struct{ *storage.Store }

func (o outbox) Due(ctx context.Context, now time.Time, limit int, skip func(relay.Row) bool) ([]relay.Row, time.Time, error) {
	row := func(r storage.OutRow) relay.Row {
		return relay.Row{ID: relay.RowID(r.ID), Domain: r.Domain, Due: r.Due}
	}
	due, next, err := o.DueOut(ctx, now, limit, func(r storage.OutRow) bool { return skip(row(r)) })
	var rows []relay.Row
	for _, r := range due {
		rows = append(rows, row(r))
	}
	return rows, next, err
}

func (o outbox) Open(ctx context.Context, id relay.RowID) (*relay.Letter, error) {
	l, err := o.OpenOut(ctx, storage.OutID(id))
	if l == nil {
		return nil, gone(err)
	}
	letter := &relay.Letter{ID: id, Outbound: l.Outbound, History: relay.History(l.History), Close: l.Close}
	if l.Body != nil {
		letter.Body = l.Body
	}
	return letter, gone(err)
}

func (o outbox) Settle(ctx context.Context, id relay.RowID, s relay.Settlement) error {
	end := storage.Stays
	if s.Fate.Ends() {
		end = storage.Ended
	}
	return gone(o.SettleOut(ctx, storage.OutID(id), storage.OutSettlement{End: end, Due: s.Due, History: storage.History(s.History), Reports: s.Reports}))
}

func (o outbox) Recall(ctx context.Context, latest time.Time) error {
	return o.Store.RecallOut(ctx, latest)
}

func (o outbox) Changed() <-chan struct{} { return o.SendsChanged() }

func gone(err error) error {
	if errors.Is(err, storage.ErrRowGone) {
		return fmt.Errorf("%w: %w", relay.ErrGone, err)
	}
	return err
}

// office is a desk with a way out into a small Internet.
type office struct {
	*Desk
	dir string
	net *testnet.Net
}

func newOffice(t *testing.T, change func(*Options)) *office {
	t.Helper()
	of := &office{dir: folder(t), net: testnet.New(t)}
	opt := Options{
		Store: openStore(t, of.dir), Data: of.dir, Addresses: deliver.Addresses{Domain: "example.org", Delimiter: "+", Fold: true},
	}
	opt.Relay = relay.New(relay.Options{
		Outbox: outbox{opt.Store}, Resolver: &relay.DNS{Server: of.net.Resolver(), Timeout: time.Second}, Hostname: "mail.example.org",
		Roots: of.net.CA.Pool, Dial: of.net.Dial, Log: silent,
	})
	if change != nil {
		change(&opt)
	}
	of.Desk = NewDesk(opt)
	addAnn(t, of)
	return of
}

// over answers at the socket, and hands out a client of it.
func (of *office) over(t *testing.T) *Client {
	t.Helper()
	listen(t, of.dir, of.Desk)
	c := Dial(of.dir)
	t.Cleanup(func() { c.Close() })
	return c
}

type text struct{ *strings.Reader }

func (b text) Size() int64 { return b.Reader.Size() }

// forward is a letter from sender to ann that her rules send on.
func (of *office) forward(t *testing.T, id string, demand requiretls.Demand, to ...string) {
	t.Helper()
	ctx := t.Context()
	body := text{strings.NewReader("Subject: about " + id + "\r\n\r\nThe body.\r\n")}
	sum, err := mime.Summarize(body)
	if err != nil {
		t.Fatal(err)
	}
	ann, err := of.person(ctx, "ann")
	if err != nil {
		t.Fatal(err)
	}
	env := &mail.Envelope{
		ID: id, From: mail.Address{Local: "sender", Domain: "from.example"}, Demand: demand, Received: time.Now(),
		Protocol: "LMTPS", TLSVersion: 0x0304, TLSCipher: 0x1301, Peer: "192.0.2.7",
	}
	d := mail.Delivery{Account: uint64(ann.ID), Rcpt: ann.Address, Prefix: []byte("Delivered-To: ann@example.org\r\n"), Copies: []mail.Copy{{Mailbox: "INBOX"}}}
	for _, domain := range to {
		d.Outbound = append(d.Outbound, env.Redirect(mail.Redirect{To: mail.Address{Local: "bob", Domain: domain}, Prefix: []byte("X-Ours: yes\r\n")}))
	}
	if errs := of.opt.Store.Commit(ctx, env, body, sum, []mail.Delivery{d}); errs[0] != nil {
		t.Fatal(errs[0])
	}
}

// rows are the letters that o shows, by recipient.
func rows(t *testing.T, o Operations, in Selection) []QueueRow {
	t.Helper()
	var all []QueueRow
	if err := o.Queue(t.Context(), in, func(r QueueRow) { all = append(all, r) }); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b QueueRow) int { return strings.Compare(a.Kind+a.To, b.Kind+b.To) })
	return all
}

func recipients(all []QueueRow) (list []string) {
	for _, r := range all {
		list = append(list, r.To+" "+r.State)
	}
	return list
}

func (of *office) check(t *testing.T, o Operations, want ...string) {
	t.Helper()
	if got := recipients(rows(t, o, Selection{})); !slices.Equal(got, want) {
		t.Errorf("the queue is %q, want %q", got, want)
	}
}

func TestQueueShowsWhatWaitsToLeave(t *testing.T) {
	of := newOffice(t, nil)
	of.forward(t, "e1", requiretls.Usual(), "one.example", "two.example")
	of.forward(t, "e2", requiretls.Required(), "three.example")
	for _, o := range []Operations{of.Desk, of.over(t)} {
		all := rows(t, o, Selection{})
		if got, want := recipients(all), []string{"<bob@one.example> queued", "<bob@three.example> queued", "<bob@two.example> queued"}; !slices.Equal(got, want) {
			t.Fatalf("the queue is %q, want %q", got, want)
		}
		one := all[0]
		if one.Message != "e1" || one.Account != "ann@example.org" || one.From != "<sender@from.example>" || one.Demand != "usual" || one.Due.IsZero() || one.Created.IsZero() {
			t.Errorf("the row is %+v", one)
		}
		for in, want := range map[*Selection]int{
			{Domain: "One.example"}: 1, {Domain: "none.example"}: 0, {Account: "ann"}: 3, {State: Held}: 0, {State: AnyState}: 3, {IDs: []string{one.ID}}: 1,
		} {
			if got := rows(t, o, *in); len(got) != want {
				t.Errorf("%+v shows %d, want %d", *in, len(got), want)
			}
		}
	}
}

func TestQueueRefusesWhatItDoesNotKnow(t *testing.T) {
	of := newOffice(t, func(o *Options) { o.Relay = nil })
	of.forward(t, "e1", requiretls.Usual(), "one.example")
	for _, o := range []Operations{of.Desk, of.over(t)} {
		ctx := t.Context()
		none := func(QueueRow) { t.Error("something was done") }
		for name, err := range map[string]error{
			"no number":   o.Queue(ctx, Selection{IDs: []string{"x"}}, none),
			"not there":   o.Queue(ctx, Selection{IDs: []string{"123456789"}}, none),
			"nobody":      o.Queue(ctx, Selection{Account: "bob"}, none),
			"no state":    o.Queue(ctx, Selection{State: "lost"}, none),
			"no domain":   o.Queue(ctx, Selection{Domain: "a b"}, none),
			"none named":  o.HandleQueue(ctx, QueueOrder{Do: QueueDelete}, none),
			"no doing":    o.HandleQueue(ctx, QueueOrder{Selection{State: AnyState}, "burn"}, none),
			"nobody told": o.HandleQueue(ctx, QueueOrder{Selection{State: AnyState}, QueueBounce}, none),
		} {
			if r, ok := errors.AsType[*Refusal](err); !ok || r.Hint() == "" {
				t.Errorf("%s: %v, want a refusal with a way out", name, err)
			}
		}
	}
}

func TestLettersAreHeldRetriedDeletedAndBounced(t *testing.T) {
	for name, way := range map[string]func(*testing.T, *office) Operations{
		"at the desk":     func(_ *testing.T, of *office) Operations { return of.Desk },
		"over the socket": func(t *testing.T, of *office) Operations { return of.over(t) },
	} {
		t.Run(name, func(t *testing.T) {
			of := newOffice(t, nil)
			of.forward(t, "e1", requiretls.Required(), "one.example", "two.example", "three.example")
			o := way(t, of)
			order := func(do string, in Selection, want int, refused bool) {
				t.Helper()
				n := 0
				err := o.HandleQueue(t.Context(), QueueOrder{in, do}, func(QueueRow) { n++ })
				if n != want || (err != nil) != refused {
					t.Errorf("%s: %d done, %v; want %d", do, n, err, want)
				}
			}
			one := rows(t, o, Selection{Domain: "one.example"})[0].ID
			order(QueueHold, Selection{State: AnyState}, 3, false)
			of.check(t, o, "<bob@one.example> held", "<bob@three.example> held", "<bob@two.example> held")
			order(QueueRetry, Selection{IDs: []string{one, "987654321"}}, 1, true)
			of.check(t, o, "<bob@one.example> queued", "<bob@three.example> held", "<bob@two.example> held")
			order(QueueDelete, Selection{Domain: "two.example"}, 1, false)
			order(QueueBounce, Selection{State: Held}, 1, false)
			of.check(t, o, "<sender@from.example> queued", "<bob@one.example> queued")
			bounce := rows(t, o, Selection{Domain: "from.example"})[0]
			if bounce.From != "<>" || bounce.Demand != "required" {
				t.Errorf("the bounce is %+v, want one from <> with the demand of its letter", bounce)
			}
			order(QueueDelete, Selection{State: AnyState}, 2, false)
			of.check(t, o)
		})
	}
}

func TestQueueLetterShowsTheHeaderOfWhatLeavesAndItsTries(t *testing.T) {
	ring := NewRing(10)
	of := newOffice(t, func(o *Options) { o.Ring = ring })
	of.forward(t, "e1", requiretls.Usual(), "one.example")
	id := rows(t, of, Selection{})[0].ID
	number, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	letter := envelope("e1", "carl").Redirect(mail.Redirect{To: mail.Address{Local: "bob", Domain: "one.example"}})
	for _, row := range []uint64{number, number + 1} {
		post(ring).Deferred(t.Context(), &maillog.Try{Letter: letter, Row: row, Host: "mx.one.example"})
	}
	l, err := of.over(t).QueueLetter(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Lines) != 1 || l.Lines[0].Event != "deferred" || l.Lines[0].fact("row") != id {
		t.Errorf("its lines are %+v, want its own try alone", l.Lines)
	}
	if want := "X-Ours: yes\r\nSubject: about e1\r\n"; l.Header != want || l.Withheld || l.Trouble != "" || l.Size != int64(len(want)+len("\r\nThe body.\r\n")) {
		t.Errorf("shown is %+v, want the header %q", l, want)
	}
}

// RFC 8689 §4.4: the admin's terminal is a reader like any other on this machine.
func TestQueueLetterWithholdsTheHeaderOfARequiredOne(t *testing.T) {
	for policy, want := range map[requiretls.Policy]bool{requiretls.PolicyTLS: true, requiretls.PolicyBound: true, requiretls.PolicyLocal: false} {
		of := newOffice(t, func(o *Options) { o.Release = policy })
		of.forward(t, "e1", requiretls.Required(), "one.example")
		l, err := of.QueueLetter(t.Context(), rows(t, of, Selection{})[0].ID)
		if err != nil || l.Withheld != want || (l.Header == "") != want {
			t.Errorf("policy %v: %+v, %v; want withheld %v", policy, l, err, want)
		}
	}
}

// A letter that could not be read is named, and left alone until somebody says
// that it is mended.
func TestParkedLettersAreShownAndWaitForARetry(t *testing.T) {
	of := newOffice(t, nil)
	of.forward(t, "e1", requiretls.Usual(), "one.example")
	row := rows(t, of, Selection{})[0]
	number, err := strconv.ParseUint(row.ID, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if err := of.opt.Store.SettleOut(t.Context(), storage.OutID(number), storage.OutSettlement{End: storage.Parks}); err != nil {
		t.Fatal(err)
	}
	over := of.over(t)
	of.check(t, over, "<bob@one.example> parked")
	none := func(QueueRow) {}
	if l, err := over.QueueLetter(t.Context(), row.ID); err != nil || l.State != Parked || l.To != "<bob@one.example>" {
		t.Errorf("opened it is %+v, %v", l, err)
	}
	if err := over.HandleQueue(t.Context(), QueueOrder{Selection{State: Parked}, QueueRetry}, none); err != nil {
		t.Error(err)
	}
	of.check(t, over, "<bob@one.example> queued")
	if err := over.HandleQueue(t.Context(), QueueOrder{Selection{State: AnyState}, QueueDelete}, none); err != nil {
		t.Error(err)
	}
	of.check(t, over)
}

func TestLettersThatLeaveWhileOthersAreHandledAreNoError(t *testing.T) {
	of := newOffice(t, nil)
	for _, id := range []string{"e1", "e2", "e3"} {
		of.forward(t, id, requiretls.Usual(), slices.Repeat([]string{"one.example"}, 50)...)
	}
	told := 0
	err := of.HandleQueue(t.Context(), QueueOrder{Selection{State: AnyState}, QueueHold}, func(QueueRow) {
		if told++; told > 1 {
			return
		}
		for _, r := range rows(t, of, Selection{State: Queued}) { // the relay is faster
			number, err := strconv.ParseUint(r.ID, 10, 64)
			if err == nil {
				err = of.opt.Store.DeleteOut(t.Context(), storage.OutID(number))
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil || told != together {
		t.Errorf("%d held, %v; want the first %d and no error", told, err, together)
	}
}

// An admin holds what an account that somebody has broken into sends, while some of it
// hangs at a slow host and the rest waits for room there. None of it leaves any more.
func TestHeldLettersDoNotLeave(t *testing.T) {
	of := newOffice(t, nil)
	of.net.Zone("slow.test", testnet.Insecure)
	of.net.Record("slow.test. MX 10 mx.slow.test.")
	host := of.net.Host("mx.slow.test", func(h *testnet.Host) { h.Hang = "DATA" })
	of.net.Record("mx.slow.test. A " + host.Addr.String())
	var to []string
	for range 30 {
		to = append(to, "slow.test")
	}
	of.forward(t, "m1", requiretls.Usual(), to...)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- of.opt.Relay.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	until := func(what string, so func() bool) {
		t.Helper()
		for over := time.Now().Add(10 * time.Second); !so(); runtime.Gosched() {
			if time.Now().After(over) {
				t.Fatal(what)
			}
		}
	}
	until("the host is full of letters", func() bool { return host.Connections() >= 5 })
	held := 0
	err := of.HandleQueue(t.Context(), QueueOrder{Selection: Selection{Domain: "slow.test"}, Do: QueueHold}, func(QueueRow) { held++ })
	if err != nil || held != 30 {
		t.Fatalf("%d held: %v", held, err)
	}
	host.Change(func(h *testnet.Host) { h.Hang = "" })
	of.forward(t, "m2", requiretls.Usual(), "slow.test")
	until("no letter leaves: those that are held are still on their way", func() bool { return len(host.Got()) > 0 })
	for _, m := range host.Got() {
		if !strings.Contains(m.Data, "about m2") {
			t.Errorf("a held letter left:\n%s", m.Data)
		}
	}
	rows := 0
	err = of.Queue(t.Context(), Selection{State: Held}, func(QueueRow) { rows++ })
	if err != nil || rows != 30 {
		t.Errorf("%d rows are held, want 30: %v", rows, err)
	}
}

// What is written of a hundred thousand letters is not written one by one, while the
// rest of them leaves; who asked hears of them in their order.
func TestManyLettersAreHandledTogether(t *testing.T) {
	var all sync.WaitGroup
	all.Add(together)
	var told []string
	h := &handled{told: func(r QueueRow) { told = append(told, r.ID) }, do: func(context.Context, storage.OutID) error {
		all.Done()
		all.Wait() // each for all others
		return nil
	}}
	var want []string
	for i := range together {
		id := strconv.Itoa(i)
		want = append(want, id)
		if err := h.add(t.Context(), storage.OutID(i), QueueRow{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(told, want) {
		t.Errorf("told of %v, want %v", told, want)
	}
}
