package deliver

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"letterlock/internal/mail"
	"letterlock/internal/maillog"
	"letterlock/internal/mime"
	"letterlock/internal/reply"
)

// Store is what the sorting room asks of the vault.
type Store interface {
	// Account finds who owns an address, exactly as given.
	Account(ctx context.Context, addr mail.Address) (id uint64, found bool, err error)
	// Alias finds where an address points to; a zero Local asks for the
	// catch-all of the domain.
	Alias(ctx context.Context, from mail.Address) (to []mail.Address, found bool, err error)
	// Eldest is the first account ever made: postmaster's, where nobody else is.
	Eldest(ctx context.Context) (id uint64, found bool, err error)
	// Room says whether an account can take another letter, however short: nil,
	// or a *reply.Error where it is full.
	Room(ctx context.Context, id uint64) error
	// Commit makes the plans durable, each with a fate of its own. A *reply.Error
	// among the fates is said to the sender as it is. A plan is done whole or not
	// at all: its copies, in whatever form, and what leaves because of it.
	Commit(ctx context.Context, env *mail.Envelope, body mail.Body, sum *mail.Summary, plans []mail.Delivery) []error
}

// Options of the sorting room. Store and Hostname are needed.
type Options struct {
	Store     Store
	Hostname  string // after "by" in Received
	Addresses Addresses
	Rules     Rules        // nil: nobody has rules, everything is kept
	Filter    Filter       // in front of us, whose verdicts rules can ask for; zero: there are none
	Way       Preflight    // nil: nothing leaves; what was to leave is kept and noted
	Sender    Sender       // nil: what is sent on keeps its sender
	Returned  Returned     // nil: no sender was rewritten, none comes back
	Reports   Reports      // nil: nobody is told that a message arrived
	RuleLog   *RuleLog     // what rules could not do, for their owners; nil: a message in INBOX alone
	Log       *maillog.Log // nil: silent
}

// Sender says from whom a message leaves that is sent on: the envelope's sender,
// never null, rewritten so that bounces come back (SRS), or the owner whose rule
// it was.
type Sender func(from, owner mail.Address) mail.Address

// Returned finds whose a return path is that [Sender] made. Addresses that
// begin as SRS has them are asked for, before accounts are.
type Returned func(mail.Address) (mail.Address, error)

// Reports tells senders.
type Reports interface {
	// Delivered is the report that a message lies in its recipient's mailbox, or
	// nil where the sender did not ask for it (RFC 3461 §5.2.3).
	Delivered(env *mail.Envelope, rcpt mail.Address, body mail.Body) *mail.Outbound
}

// maxReceived is how many Received fields a message may carry before it is
// taken for one that loops (RFC 5321 §6.3: at least 100).
const maxReceived = 100

// maxHeader is how many octets of header are looked at for Received fields, and
// kept in memory; at least those of atOnce are, which scripts read at once.
const (
	maxHeader = 1 << 20
	atOnce    = 8 << 10
)

// Sorter is the sorting room. It is safe for concurrent use.
type Sorter struct {
	opt   Options
	shelf *shelf
}

// New makes a sorting room.
func New(opt Options) *Sorter {
	return &Sorter{opt, newShelf(NewEngine(Language{
		Hostname: opt.Hostname, Domain: opt.Addresses.Domain, Delimiter: opt.Addresses.Delimiter, Filter: opt.Filter,
	}))}
}

// Recipient says whether mail for addr can be delivered: nil, or a
// [*reply.Error]. One full mailbox behind an alias is enough for a no: at the
// end of DATA the others would have their copy, and get it again at each retry.
func (s *Sorter) Recipient(ctx context.Context, addr mail.Address) error {
	if _, is, err := s.returned(addr); is {
		return err
	}
	ids, err := s.resolve(ctx, addr)
	for _, id := range ids {
		if err == nil {
			err = s.opt.Store.Room(ctx, id)
		}
	}
	return err
}

// Deliver files one message for its accepted recipients; errs[i] is the fate of
// rcpts[i]. A recipient named twice gets one copy and the same answer twice.
func (s *Sorter) Deliver(ctx context.Context, env *mail.Envelope, body mail.Body, rcpts []mail.Address) []error {
	l, err := s.newLetter(env, body)
	if err != nil {
		return same(err, len(rcpts))
	}
	defer l.end()
	errs, first := make([]error, len(rcpts)), firstNamed(rcpts)
	var fates []*fate
	planned := make([]int, len(rcpts)+1) // fates[planned[i]:planned[i+1]] are those of rcpts[i]
	for i, rcpt := range rcpts {
		if first(i) == i {
			var its []*fate
			its, errs[i] = l.plan(ctx, rcpt)
			fates = append(fates, its...)
			l.recall(its)
		}
		planned[i+1] = len(fates)
	}
	l.commit(ctx, fates)
	for i, rcpt := range rcpts {
		if err := worst(fates[planned[i]:planned[i+1]]); err != nil {
			errs[i] = fmt.Errorf("deliver to %s: %w", rcpt, err)
		}
		errs[i] = errs[first(i)]
	}
	l.report(ctx, fates)
	return errs
}

// firstNamed answers where a recipient was named first.
func firstNamed(rcpts []mail.Address) func(i int) int {
	if len(rcpts) == 1 { // as nearly always
		return func(int) int { return 0 }
	}
	first := make(map[mail.Address]int, len(rcpts))
	for i, rcpt := range rcpts {
		if _, twice := first[rcpt]; !twice {
			first[rcpt] = i
		}
	}
	return func(i int) int { return first[rcpts[i]] }
}

// plan decides for all accounts behind a recipient. It can be refused only
// where all of them refuse it: there is one answer.
func (l *letter) plan(ctx context.Context, rcpt mail.Address) ([]*fate, error) {
	if to, is, err := l.returned(rcpt); is {
		return l.sendBack(ctx, rcpt, to, err)
	}
	ids, err := l.resolve(ctx, rcpt)
	if err != nil {
		return nil, err
	}
	fates := make([]*fate, 0, len(ids))
	refused := 0
	for _, id := range ids {
		f, err := l.sort(ctx, id, rcpt)
		if err != nil {
			return nil, fmt.Errorf("deliver to %s: %w", rcpt, err)
		}
		if f.refusal != nil {
			refused++
		}
		fates = append(fates, f)
	}
	for _, f := range fates {
		switch {
		case f.refusal == nil:
		case refused < len(fates):
			f.unrefuse()
		case f.refusal.alone:
			f.out, f.own, f.remember = nil, nil, nil
		}
	}
	l.tellSender(rcpt, fates)
	return fates, nil
}

// newLetter summarizes the body and refuses one that travels in circles. It
// keeps the header in memory up to [letter.end]: the scripts of a thousand
// recipients read it a thousand times.
func (s *Sorter) newLetter(env *mail.Envelope, body mail.Body) (*letter, error) {
	sum, err := mime.Summarize(body)
	if err != nil {
		return nil, fmt.Errorf("summarize: %w", err)
	}
	l := &letter{Sorter: s, env: env, body: body, sum: sum, start: borrow(min(body.Size(), max(atOnce, min(sum.Root.Body, maxHeader))))}
	if n, err := body.ReadAt(l.start, 0); n < len(l.start) {
		l.end()
		return nil, fmt.Errorf("read header: %w", err)
	}
	if n := received(l.start[:min(int64(len(l.start)), sum.Root.Body)]); n >= maxReceived {
		l.end()
		return nil, reply.MailLoop.Saying("mail loop: %d Received fields", n)
	}
	return l, nil
}

// starts hold the starts of letters, one after the other's end.
var starts = sync.Pool{New: func() any { return new([atOnce]byte) }}

func borrow(octets int64) []byte {
	if octets > atOnce {
		return make([]byte, octets)
	}
	return starts.Get().(*[atOnce]byte)[:octets]
}

// end gives back what the letter lay in: nobody reads it from now on.
func (l *letter) end() {
	if cap(l.start) == atOnce {
		starts.Put((*[atOnce]byte)(l.start[:atOnce]))
	}
	l.start = nil
}

// received counts how many servers the message came by.
func received(header []byte) (n int) {
	for line := range bytes.Lines(header) {
		if line[0]|0x20 != 'r' { // most are something else
			continue
		}
		name, _, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(bytes.TrimRight(name, " \t"), []byte("Received")) {
			n++
		}
	}
	return n
}

// worst is the first failure among a recipient's fates: an alias has served
// only when all of its targets have the message. Then comes a refusal.
func worst(fates []*fate) error {
	for _, f := range fates {
		if f.err != nil {
			return f.err
		}
	}
	for _, f := range fates {
		if f.refusal != nil {
			return f.refusal.reason
		}
	}
	return nil
}

func same(err error, n int) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}
