package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/relay"
	"letterlock/storage"
)

// Selection names letters of the outbox: those with these IDs, or all that have
// what is given. The zero Selection is all of them where they are listed, and
// none where they are handled.
type Selection struct {
	IDs     []string `json:"ids,omitempty"`     // decimal, "row" of the log lines
	Account string   `json:"account,omitempty"` // whose rules sent it
	Domain  string   `json:"domain,omitempty"`  // of the recipient
	State   string   `json:"state,omitempty"`   // one of the states; AnyState is every letter
}

// The states of a letter in the outbox.
const (
	Queued   = "queued" // due at a time
	Held     = "held"   // until it is retried
	Parked   = "parked" // its demand or its octets cannot be read: not sent unless a retry finds them mended
	AnyState = "any"
)

// QueueRow is one letter in the outbox.
type QueueRow struct {
	ID      string    `json:"id"`
	Message string    `json:"message,omitempty"` // "id" of the log lines: the message it came of
	Account string    `json:"account,omitempty"` // whose rules sent it; empty: our own
	Kind    string    `json:"kind"`              // redirect, answer, …
	From    string    `json:"from"`              // "<ann@example.org>", or "<>"
	To      string    `json:"to"`
	Demand  string    `json:"demand"`
	State   string    `json:"state"`
	Created time.Time `json:"created"`
	Due     time.Time `json:"due"`
	Tries   int       `json:"tries"`
	Last    time.Time `json:"last,omitzero"` // of the last try
	Error   string    `json:"error,omitempty"`
	Host    string    `json:"host,omitempty"` // that said it
	Delayed bool      `json:"delayed,omitempty"`
}

// QueueLetter is one letter in the outbox, opened.
type QueueLetter struct {
	QueueRow
	Size     int64         `json:"size"`              // octets that leave
	Header   string        `json:"header,omitempty"`  // of what leaves
	Withheld bool          `json:"withheld"`          // its sender demands REQUIRETLS: the header is not shown here
	Trouble  string        `json:"trouble,omitempty"` // why it cannot be opened
	Lines    []TraceRecord `json:"lines,omitempty"`   // of the mail log about it, as far as they are remembered
}

// QueueOrder says what is to be done with letters of the outbox.
type QueueOrder struct {
	Selection
	Do string `json:"do"`
}

// What can be done with a letter of the outbox.
const (
	QueueRetry  = "retry"  // it is due now, held or parked or not
	QueueHold   = "hold"   // it waits until it is retried
	QueueBounce = "bounce" // it ends, and its sender is told
	QueueDelete = "delete" // it ends without a word
)

// Queue implements [Operations].
func (d *Desk) Queue(ctx context.Context, in Selection, told func(QueueRow)) error {
	want, err := d.wanted(ctx, in)
	if err != nil {
		return err
	}
	return d.walk(ctx, want, func(_ storage.Queued, row func() (QueueRow, error)) error {
		shown, err := row()
		if err == nil {
			told(shown)
		}
		return err
	})
}

// walk walks the letters that are meant; row says how one is shown. IDs that are
// not there are refused at the end.
func (d *Desk) walk(ctx context.Context, want wanted, each func(q storage.Queued, row func() (QueueRow, error)) error) error {
	names := map[storage.AccountID]string{0: ""}
	left := maps.Clone(want.ids)
	for q, err := range d.opt.Store.Outbox(ctx) {
		if err != nil {
			return err
		}
		if !want.means(q) {
			continue
		}
		if err := each(q, func() (QueueRow, error) { return d.queueRow(ctx, q, names) }); err != nil {
			return err
		}
		if delete(left, q.ID); left != nil && len(left) == 0 {
			return nil
		}
	}
	if len(left) > 0 {
		return goneRows(left)
	}
	return nil
}

func goneRows(missing map[storage.OutID]bool) *Refusal {
	return refuse("see what there is: letterlock queue", "not in the queue, or not any more: %s", numbers(missing))
}

// numbers are IDs in order.
func numbers(ids map[storage.OutID]bool) string {
	var all []string
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		all = append(all, strconv.FormatUint(uint64(id), 10))
	}
	return strings.Join(all, ", ")
}

// wanted is a selection as the store has its words.
type wanted struct {
	ids           map[storage.OutID]bool // nil: any
	account       storage.AccountID
	anyAccount    bool
	domain, state string
}

func (d *Desk) wanted(ctx context.Context, in Selection) (w wanted, err error) {
	w = wanted{anyAccount: in.Account == ""}
	if len(in.IDs) > 0 {
		w.ids = map[storage.OutID]bool{}
	}
	for _, s := range in.IDs {
		id, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return w, refuse("an ID is the number that letterlock queue shows", "%q is no ID of the queue", s)
		}
		w.ids[storage.OutID(id)] = true
	}
	if in.Account != "" {
		p, err := d.person(ctx, in.Account)
		if err != nil {
			return w, err
		}
		w.account = p.ID
	}
	if in.Domain != "" {
		if w.domain, err = domainOf(in.Domain); err != nil {
			return w, err
		}
	}
	switch in.State {
	case Queued, Held, Parked:
		w.state = in.State
	case "", AnyState:
	default:
		return w, refuse("say queued, held, parked or any", "%q is no state of a letter", in.State)
	}
	return w, nil
}

// domainOf reads the domain of mail addresses.
func domainOf(s string) (string, error) {
	a, err := mail.ParseAddress("postmaster@" + strings.TrimSpace(s))
	if err != nil {
		return "", refuse("a domain reads example.net", "%q is not a domain: %v", s, err)
	}
	return a.Domain, nil
}

func (w *wanted) means(q storage.Queued) bool {
	return (w.ids == nil || w.ids[q.ID]) && (w.anyAccount || q.Account == w.account) &&
		(w.domain == "" || q.To.Domain == w.domain) && (w.state == "" || stateOf(q) == w.state)
}

func stateOf(q storage.Queued) string {
	switch {
	case q.Parked:
		return Parked
	case q.Held:
		return Held
	}
	return Queued
}

// queueRow is a row as it is shown; names remembers whose accounts there are.
func (d *Desk) queueRow(ctx context.Context, q storage.Queued, names map[storage.AccountID]string) (QueueRow, error) {
	name, known := names[q.Account]
	if !known {
		switch p, err := d.opt.Store.PersonByID(ctx, q.Account); {
		case err == nil:
			name = p.Address.String()
		case errors.Is(err, storage.ErrNotFound):
			name = fmt.Sprintf("account %d, removed", q.Account)
		default:
			return QueueRow{}, fmt.Errorf("account of row %d: %w", q.ID, err)
		}
		names[q.Account] = name
	}
	return QueueRow{
		ID: strconv.FormatUint(uint64(q.ID), 10), Message: q.Origin, Account: name, Kind: q.Kind.String(),
		From: q.From.Path(), To: q.To.Path(), Demand: q.Outbound.Demand().String(), State: stateOf(q), Created: q.Created, Due: q.Due,
		Tries: q.History.Tries, Last: q.History.Last, Error: q.History.Error, Host: q.History.Host, Delayed: q.History.Delayed,
	}, nil
}

// QueueLetter implements [Operations].
func (d *Desk) QueueLetter(ctx context.Context, id string) (shown QueueLetter, err error) {
	want, err := d.wanted(ctx, Selection{IDs: []string{id}})
	if err != nil {
		return shown, err
	}
	var number storage.OutID
	err = d.walk(ctx, want, func(q storage.Queued, row func() (QueueRow, error)) (err error) {
		number = q.ID
		shown.QueueRow, err = row()
		return err
	})
	if err != nil {
		return shown, err
	}
	l, err := d.opt.Store.OpenOut(ctx, number)
	switch {
	case errors.Is(err, storage.ErrRowGone):
		return shown, goneRows(want.ids)
	case err != nil: // it stays, and can be looked at as far as it goes
		shown.Trouble = err.Error()
	default:
		err = d.showOctets(&shown, l)
	}
	if l != nil {
		l.Close()
	}
	if err != nil && shown.Trouble == "" {
		shown.Trouble = err.Error()
	}
	shown.Lines = d.linesOf(shown.ID)
	return shown, nil
}

// linesOf are the lines about a letter of the outbox: its tries.
func (d *Desk) linesOf(row string) (about []TraceRecord) {
	if d.opt.Ring == nil {
		return nil
	}
	all, _, _ := d.opt.Ring.since(0)
	for _, r := range all {
		if r.fact("row") == row {
			about = append(about, r)
		}
	}
	return about
}

// maxShownHeader bounds the header of a letter that is shown, in octets.
const maxShownHeader = 64 << 10

// showOctets shows the header of what leaves, to a reader as protected as one at
// the admin socket is: on this machine (RFC 8689 §4.4).
func (d *Desk) showOctets(shown *QueueLetter, l *storage.OutLetter) error {
	demand := l.Outbound.Demand()
	shown.Demand = demand.String()
	r, size := l.Reader(l.Body, mail.FullForm)
	shown.Size = size
	if _, err := demand.Release(requiretls.Reader{Local: true}, d.opt.Release); err != nil {
		shown.Withheld = true
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(r, maxShownHeader))
	if i := bytes.Index(text, []byte("\r\n\r\n")); i >= 0 {
		text = text[:i+2]
	}
	shown.Header = strings.ToValidUTF8(string(text), "\uFFFD")
	return err
}

// HandleQueue implements [Operations].
func (d *Desk) HandleQueue(ctx context.Context, in QueueOrder, told func(QueueRow)) error {
	if len(in.IDs) == 0 && in.Account == "" && in.Domain == "" && in.State == "" {
		return refuse("name IDs, or say which: by account, domain or state", "no letter of the queue is named")
	}
	do, err := d.handling(in.Do)
	if err != nil {
		return err
	}
	chosen, missing := d.chosen(ctx, in.Selection)
	if chosen.ids == nil {
		return missing
	}
	h := &handled{what: in.Do, do: do, told: told, unreadable: map[storage.OutID]bool{}}
	err = d.walk(ctx, chosen, func(q storage.Queued, row func() (QueueRow, error)) error {
		shown, err := row()
		if err != nil {
			return fmt.Errorf("%s %d: %w", in.Do, q.ID, err)
		}
		return h.add(ctx, q.ID, shown)
	})
	err = errors.Join(h.all(ctx), err)
	if _, ok := errors.AsType[*Refusal](err); err != nil && !ok { // a refusal: some have left in the meantime
		return err
	}
	if in.Do == QueueRetry && d.opt.Relay != nil {
		d.opt.Relay.Retry()
	}
	if len(h.unreadable) > 0 {
		return refuse("end them without a word: letterlock queue delete", unreadableWhy[in.Do], numbers(h.unreadable))
	}
	return missing
}

// together is how many letters are handled at once: what is written of them shares a
// commit. A hundred thousand, each for itself, took minutes, in which they leave.
const together = 128

// handled does something with letters, some at once, and tells of them in order.
type handled struct {
	what       string
	do         func(context.Context, storage.OutID) error
	told       func(QueueRow)
	unreadable map[storage.OutID]bool

	ids  []storage.OutID
	rows []QueueRow
}

func (h *handled) add(ctx context.Context, id storage.OutID, row QueueRow) error {
	if h.ids, h.rows = append(h.ids, id), append(h.rows, row); len(h.ids) < together {
		return nil
	}
	return h.all(ctx)
}

// all handles those that were added.
func (h *handled) all(ctx context.Context) (err error) {
	errs := make([]error, len(h.ids))
	var doing sync.WaitGroup
	for i, id := range h.ids {
		doing.Go(func() { errs[i] = h.do(ctx, id) })
	}
	doing.Wait()
	for i, e := range errs {
		switch {
		case e == nil:
			h.told(h.rows[i])
		case errors.Is(e, mail.ErrParked):
			h.unreadable[h.ids[i]] = true
		case errors.Is(e, storage.ErrRowGone) || errors.Is(e, relay.ErrGone): // it has just left
		case err == nil:
			err = fmt.Errorf("%s %d: %w", h.what, h.ids[i], e)
		}
	}
	h.ids, h.rows = nil, nil
	return err
}

// unreadableWhy is why something cannot be done with letters that cannot be read.
var unreadableWhy = map[string]string{
	QueueRetry:  "what their senders demand cannot be read, so they are sent to nobody: %s",
	QueueHold:   "they cannot be read, and so are sent to nobody anyway: %s",
	QueueBounce: "they cannot be read, so nobody is told: %s",
}

// chosen are the letters that are there before anything is done: a bounce is a
// letter of the outbox itself. Those that are not there are refused beside them;
// without any answer there are no IDs.
func (d *Desk) chosen(ctx context.Context, in Selection) (wanted, error) {
	want, err := d.wanted(ctx, in)
	if err != nil {
		return wanted{}, err
	}
	all := wanted{ids: map[storage.OutID]bool{}, anyAccount: true}
	err = d.walk(ctx, want, func(q storage.Queued, _ func() (QueueRow, error)) error {
		all.ids[q.ID] = true
		return nil
	})
	if _, ok := errors.AsType[*Refusal](err); err != nil && !ok {
		return wanted{}, err
	}
	return all, err
}

// aside does something with letters that are not to leave while it is done.
func (d *Desk) aside(do func(context.Context, storage.OutID) error) func(context.Context, storage.OutID) error {
	if d.opt.Relay == nil {
		return do
	}
	return func(ctx context.Context, id storage.OutID) error {
		return d.opt.Relay.Aside(ctx, relay.RowID(id), func() error { return do(ctx, id) })
	}
}

func (d *Desk) handling(what string) (func(context.Context, storage.OutID) error, error) {
	switch what {
	case QueueRetry:
		return d.opt.Store.RetryOut, nil
	case QueueHold:
		return d.aside(d.opt.Store.HoldOut), nil
	case QueueDelete:
		return d.aside(d.opt.Store.DeleteOut), nil
	case QueueBounce:
		if d.opt.Relay == nil {
			return nil, refuse("end it without a word: letterlock queue delete; or set mode in section [relay]", "the relay is off: nobody can be told")
		}
		return func(ctx context.Context, id storage.OutID) error { return d.opt.Relay.Bounce(ctx, relay.RowID(id)) }, nil
	}
	return nil, refuse("say retry, hold, bounce or delete", "%q cannot be done with a letter", what)
}
