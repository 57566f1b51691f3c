package deliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

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
	// Commit makes the plans durable, each with a fate of its own. A *reply.Error
	// among the fates is said to the sender as it is.
	Commit(ctx context.Context, env *mail.Envelope, body mail.Body, sum *mail.Summary, plans []mail.Delivery) []error
}

// Options of the sorting room. Store and Hostname are needed.
type Options struct {
	Store     Store
	Hostname  string // after "by" in Received
	Addresses Addresses
	Log       *maillog.Log // nil: silent
}

// maxReceived is how many Received fields a message may carry before it is
// taken for one that loops (RFC 5321 §6.3: at least 100).
const maxReceived = 100

// maxHeader is how many octets of header are looked at for Received fields.
const maxHeader = 1 << 20

// Sorter is the sorting room. It is safe for concurrent use.
type Sorter struct{ opt Options }

// New makes a sorting room.
func New(opt Options) *Sorter { return &Sorter{opt} }

// Recipient says whether mail for addr can be delivered: nil, or a
// [*reply.Error].
func (s *Sorter) Recipient(ctx context.Context, addr mail.Address) error {
	_, err := s.resolve(ctx, addr)
	return err
}

// Deliver files one message for its accepted recipients; errs[i] is the fate of
// rcpts[i]. A recipient named twice gets one copy and the same answer twice.
func (s *Sorter) Deliver(ctx context.Context, env *mail.Envelope, body mail.Body, rcpts []mail.Address) []error {
	sum, err := s.read(body)
	if err != nil {
		return same(err, len(rcpts))
	}
	errs := make([]error, len(rcpts))
	var plans []mail.Delivery
	planned := map[mail.Address][]int{} // a recipient's plans
	for i, rcpt := range rcpts {
		if _, twice := planned[rcpt]; twice {
			continue
		}
		ids, err := s.resolve(ctx, rcpt)
		errs[i] = err
		mine := make([]int, 0, len(ids))
		for _, id := range ids {
			mine = append(mine, len(plans))
			plans = append(plans, s.plan(env, id, rcpt))
		}
		planned[rcpt] = mine
	}
	if len(plans) == 0 {
		return errs
	}
	fates := s.opt.Store.Commit(ctx, env, body, sum, plans)
	for i, fate := range fates {
		if fate == nil {
			s.opt.Log.Filed(ctx, env, &plans[i])
		}
	}
	for i, rcpt := range rcpts {
		if err := worst(fates, planned[rcpt]); err != nil {
			errs[i] = fmt.Errorf("deliver to %s: %w", rcpt, err)
		}
	}
	return echoTwins(rcpts, errs)
}

// plan decides where the message goes. There are no rules yet to ask: it is
// kept in INBOX (RFC 5228 §2.10.2's implicit keep).
func (s *Sorter) plan(env *mail.Envelope, account uint64, rcpt mail.Address) mail.Delivery {
	return mail.Delivery{
		Account: account,
		Rcpt:    rcpt,
		Prefix:  trace(env, s.opt.Hostname, rcpt),
		Copies:  []mail.Copy{{Mailbox: "INBOX"}},
	}
}

// read summarizes the body and refuses one that travels in circles.
func (s *Sorter) read(body mail.Body) (*mail.Summary, error) {
	sum, err := mime.Summarize(body)
	if err != nil {
		return nil, fmt.Errorf("summarize: %w", err)
	}
	header, err := mime.ReadHeader(io.NewSectionReader(body, 0, sum.Root.Body), maxHeader)
	if err != nil && !errors.Is(err, mime.ErrHeaderTooLong) {
		return nil, fmt.Errorf("read header: %w", err)
	}
	if n := received(header); n >= maxReceived {
		return nil, reply.MailLoop.Saying("mail loop: %d Received fields", n)
	}
	return sum, nil
}

// received counts how many servers the message came by.
func received(h *mime.Header) (n int) {
	for f := range h.Fields() {
		if strings.EqualFold(f.Name, "Received") {
			n++
		}
	}
	return n
}

// worst is the first failure among a recipient's plans: an alias has served
// only when all of its targets have the message.
func worst(fates []error, plans []int) error {
	for _, i := range plans {
		if fates[i] != nil {
			return fates[i]
		}
	}
	return nil
}

// echoTwins gives a recipient named again the answer it had the first time.
func echoTwins(rcpts []mail.Address, errs []error) []error {
	first := map[mail.Address]int{}
	for i, rcpt := range rcpts {
		if j, twice := first[rcpt]; twice {
			errs[i] = errs[j]
		} else {
			first[rcpt] = i
		}
	}
	return errs
}

func same(err error, n int) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}
