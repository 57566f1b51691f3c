package relay

import (
	"context"
	"errors"
	"time"

	"letterlock/internal/mail"
)

// Outbox is the queue as its store keeps it. What it must promise:
//
//   - A row appears in the same transaction as the local copies of the message
//     it came of: both or neither.
//   - The body a row refers to stays as long as the row, whatever becomes of
//     the local copies.
//   - [Outbox.Settle] is one transaction: the row's end (or its next time) and
//     the rows of the reports it makes. When it returns nil a power cut can no
//     longer undo it. A report of source [mail.FromBody] refers to the body of
//     the row it is made of; one of source [mail.Own] has none.
//   - A row whose demand cannot be read is never due, whatever its time: Due
//     leaves out what is parked or held.
//   - Due costs memory for what it returns, not for what is queued.
//   - There is one Runner for an Outbox.
type Outbox interface {
	// Due returns rows whose time has come, the longest due first, at most
	// limit, and leaves out those that skip names; skip is quick and is called
	// within the walk. next is the earliest time at which a row becomes due
	// that is not due now; zero where there is none. With an error come the rows
	// that could be read.
	Due(ctx context.Context, now time.Time, limit int, skip func(Row) bool) (rows []Row, next time.Time, err error)
	// Open reads a row whole. [ErrGone] says that it has ended in the meantime.
	// [mail.ErrParked] comes with the letter: the runner settles it as Parked.
	// The letter's body can be read until its Close.
	Open(ctx context.Context, id RowID) (*Letter, error)
	// Settle writes what became of a row. [ErrGone] says that it has ended in
	// the meantime; nothing was written then.
	Settle(ctx context.Context, id RowID, s Settlement) error
	// Recall makes due now what is due later than latest, the longest that
	// anything is put off: the clock was ahead when that was written. It costs
	// what it finds, not what is queued.
	Recall(ctx context.Context, latest time.Time) error
	// Changed gives a value some time after rows were added or their times
	// changed by others than Settle; several changes may be one value.
	Changed() <-chan struct{}
}

// RowID names a row of the outbox for ever.
type RowID uint64

// Row is what the runner needs to choose.
type Row struct {
	ID     RowID
	Domain string // of the recipient, as [mail.Address] has it
	Due    time.Time
}

// Letter is a row opened.
type Letter struct {
	ID RowID
	*mail.Outbound
	Body    mail.Body // the message it came of; nil where Source is [mail.Own]
	History History
	Close   func() // lets the body go; nil: nothing to do

	signature [2][]byte // of each form, where it is ours to sign
}

// History is what a row remembers of its tries. The store keeps it as it is.
type History struct {
	Tries   int
	Last    time.Time // of the last try
	Error   string    // what the last try said: one line, at most 1000 octets
	Host    string    // the host that said it; empty where none was reached
	Delayed bool      // the sender was told of the delay
}

// Fate is what became of a row.
type Fate uint8

const (
	Deferred Fate = iota // it stays, and is due again
	Sent                 // a host has taken it
	Failed               // for good; Reports has the bounce where one is to be made
	Dropped              // ended without a report: not worth one, or nobody to tell
	Parked               // its demand cannot be read: kept, never due
)

// String is the word for logs.
func (f Fate) String() string {
	return [...]string{"deferred", "sent", "failed", "dropped", "parked", "unknown"}[min(f, Parked+1)]
}

// Ends says whether the row is over.
func (f Fate) Ends() bool { return f == Sent || f == Failed || f == Dropped }

// Settlement is what [Outbox.Settle] writes.
type Settlement struct {
	Fate    Fate
	Due     time.Time        // of a deferred row
	History History          // of a row that stays
	Reports []*mail.Outbound // rows to make: the bounce, the notice of delay, of success
}

// ErrGone says that a row has ended.
var ErrGone = errors.New("the row has ended")

// Policies is where the relay remembers what it learnt of domains: MTA-STS
// policies until they expire, counts for TLS reports until they are sent. Keys
// are ASCII, below 300 octets; values are the relay's own, below 256 KiB.
type Policies interface {
	// Get is nil where there is nothing.
	Get(ctx context.Context, key string) ([]byte, error)
	// Put writes; nil removes. What was put may be lost in a crash within a few
	// seconds, but not damaged.
	Put(ctx context.Context, key string, value []byte) error
	// Keys lists keys with a prefix that come after one, in order, at most limit.
	Keys(ctx context.Context, prefix, after string, limit int) ([]string, error)
}
