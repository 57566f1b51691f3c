package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage/kv"
	"letterlock/storage/seal"
	"letterlock/storage/segment"
)

// Row is what never changes of a message.
type Row struct {
	UID          UID
	EmailID      ObjectID
	ThreadID     ObjectID
	InternalDate time.Time // with its zone
	SaveDate     time.Time
	Size         int64             // octets, prefix included
	HeaderSize   int64             // octets, prefix and the empty line included
	Demand       requiretls.Demand // row and column agreed; a disagreement is required
	TLSVersion   uint16            // how it came
	TLSCipher    uint16
	Peer         string
}

// Message is an open message; it holds no transaction.
type Message interface {
	mail.Body
	io.Closer
}

// located is one message as its mailbox and its row describe it.
type located struct {
	entry entry
	row   row
}

// demand joins the two records of the index.
func (l *located) demand() requiretls.Demand {
	return requiretls.Agree(l.row.storedDemand(), l.entry.flags.Demand())
}

func mustRow(r kv.Reader, a AccountID, number uint64) (*row, error) {
	w, err := getRow(r, a, number)
	if w == nil && err == nil {
		err = missingRow(a, number)
	}
	return w, err
}

func missingRow(a AccountID, number uint64) error {
	return fmt.Errorf("account %d: the row of message %d is missing: %w", a, number, segment.ErrDamaged)
}

// locate finds a message by UID: [ErrNotFound].
func (a *Account) locate(r kv.Reader, id MailboxID, uid UID) (l located, err error) {
	found := false
	err = a.each(r, id, []UID{uid}, func(it *located) error {
		l, found = *it, true
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("mailbox %d, UID %d: %w", id, uid, ErrNotFound)
	}
	return l, err
}

// Summary answers the cached summary of one message, offsets of the whole
// message (prefix included). It shows content: it needs the release.
func (a *Account) Summary(ctx context.Context, id MailboxID, uid UID, rel requiretls.Release) (*mail.Summary, error) {
	var l located
	var sum *mail.Summary
	err := a.read(ctx, func(r kv.Reader) (err error) {
		if l, err = a.locate(r, id, uid); err != nil {
			return err
		}
		if !rel.Covers(l.demand()) {
			return requiretls.ErrWithheld
		}
		if v, err := get(r, summaryKey(a.id, l.entry.number)); v != nil && err == nil {
			sum, _ = decodeSummary(string(v), wholeSummary, int64(l.row.prefixLen)) // the record has it, too
		}
		return nil
	})
	if err == nil && sum == nil {
		return a.storedSummary(ctx, id, uid, rel)
	}
	return sum, err
}

// storedSummary reads the summary from the segment.
func (a *Account) storedSummary(ctx context.Context, id MailboxID, uid UID, rel requiretls.Release) (*mail.Summary, error) {
	l, stored, err := a.openStored(ctx, id, uid, rel)
	if err != nil {
		return nil, err
	}
	defer stored.Close()
	r, err := stored.Record()
	if err != nil {
		return nil, err
	}
	sum, err := decodeSummary(string(r.Summary), wholeSummary, int64(l.row.prefixLen))
	if err != nil {
		return nil, fmt.Errorf("mailbox %d, UID %d: %w", id, uid, err)
	}
	return sum, nil
}

// Message opens the octets of one message, prefix and body. It is the one
// function that opens a stored body, and it needs a release made for that
// message's demand: requiretls.ErrWithheld otherwise. Every read is verified by
// checksum. ErrNotFound when it was expunged.
func (a *Account) Message(ctx context.Context, id MailboxID, uid UID, rel requiretls.Release) (Message, error) {
	l, stored, err := a.openStored(ctx, id, uid, rel)
	if err != nil {
		return nil, err
	}
	m, err := l.message(stored)
	if err != nil {
		return nil, fmt.Errorf("mailbox %d, UID %d: %w", id, uid, err)
	}
	return m, nil
}

// message joins the octets of a record with the prefix, or closes it.
func (l *located) message(stored *segment.Stored) (Message, error) {
	prefix, err := stored.Prefix(l.row.prefixAt, l.row.prefixLen, l.row.prefixCRC)
	if err == nil && uint64(stored.Size()) != l.row.bodySize {
		err = fmt.Errorf("body of %d octets, not %d: %w", stored.Size(), l.row.bodySize, segment.ErrDamaged)
	}
	if err != nil {
		return nil, errors.Join(err, stored.Close())
	}
	return &message{prefix, stored}, nil
}

// openStored opens the record of a message whose demand, in all three of its
// records, the release covers (RFC 8689 §4.4).
func (a *Account) openStored(ctx context.Context, id MailboxID, uid UID, rel requiretls.Release) (l located, stored *segment.Stored, err error) {
	for range 3 { // its segment may be collected between the look and the open
		err = a.read(ctx, func(r kv.Reader) (err error) {
			l, err = a.locate(r, id, uid)
			return err
		})
		if err != nil {
			return l, nil, err
		}
		if !rel.Covers(l.demand()) {
			return l, nil, requiretls.ErrWithheld
		}
		if stored, err = a.store.log.Open(l.row.at); !errors.Is(err, segment.ErrGone) {
			break
		}
	}
	if err != nil {
		return l, nil, fmt.Errorf("mailbox %d, UID %d: %w", id, uid, err)
	}
	if !rel.Covers(requiretls.Agree(l.demand(), stored.Demand())) {
		return l, nil, errors.Join(requiretls.ErrWithheld, stored.Close())
	}
	return l, stored, nil
}

// message is a prefix and a stored body as one.
type message struct {
	prefix []byte
	body   *segment.Stored
}

// Size is the octets of both.
func (m *message) Size() int64 { return int64(len(m.prefix)) + m.body.Size() }

// ReadAt reads across the seam.
func (m *message) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	if off < int64(len(m.prefix)) {
		n = copy(p, m.prefix[off:])
		if n == len(p) {
			return n, nil
		}
	}
	c, err := m.body.ReadAt(p[n:], off+int64(n)-int64(len(m.prefix)))
	return n + c, err
}

// Close gives the file back.
func (m *message) Close() error { return m.body.Close() }

// isDamaged says whether stored octets are not what was written, sealed or not, or
// are of an account that was stopped because of such.
func isDamaged(err error) bool {
	return errors.Is(err, segment.ErrDamaged) || errors.Is(err, kv.ErrDamaged) || errors.Is(err, seal.ErrDamaged) || errors.Is(err, errStopped)
}
