package query

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"letterlock/imapd/syntax"
	"letterlock/internal/requiretls"
	"letterlock/storage"
)

// Mailbox is a mailbox as one session sees it. Account, ID, View and Gate must
// be given.
type Mailbox struct {
	Account  *storage.Account
	ID       storage.MailboxID
	View     *storage.View // the messages that the client knows of
	Gate     storage.Gate  // which of them it may read
	Keywords []string      // the names of the keyword bits; nil: the view's

	Saved    []syntax.Range                        // UIDs of "$" (RFC 5182), ascending; what was expunged since has left it (§2.1)
	Recent   func(storage.UID) bool                // \Recent (RFC 3501 §2.3.2); nil: none is
	Filter   func(name string) (syntax.And, error) // the keys a FILTER stands for (RFC 5466); nil: there are none
	ObjectID func(storage.ObjectID) string         // as the client knows EMAILID and THREADID; nil: 16 hexadecimal digits
	Now      time.Time                             // what YOUNGER and OLDER count from; zero: the time of the call

	Progress func(done, total int)    // is told now and then how many messages were decided; nil: nobody
	Trouble  func(storage.UID, error) // is told of messages that cannot be read; nil: nobody
	Cache    *Cache                   // keeps what messages are sorted and threaded by; nil: nothing
}

// What callers tell apart.
var (
	ErrKey       = errors.New("search key not offered")                                              // BAD
	ErrRelevancy = errors.New("RELEVANCY needs a FUZZY key")                                         // BAD: RFC 6203 §4
	ErrNeedles   = fmt.Errorf("a search can look for up to %d texts at once", maxNeedles)            // NO [LIMIT]
	ErrTime      = fmt.Errorf("the search took longer than %v; search fewer messages", longestQuery) // NO [LIMIT]
)

// NoFilterError says that a FILTER key names no filter (RFC 5466 §3.1): NO
// [UNDEFINED-FILTER name].
type NoFilterError struct{ Name string }

func (e *NoFilterError) Error() string { return "there is no filter " + strconv.Quote(e.Name) }

func (m *Mailbox) now() time.Time {
	if m.Now.IsZero() {
		return time.Now()
	}
	return m.Now
}

// withholds says whether the session may not read a message with these flags.
func (m *Mailbox) withholds(f storage.Flags) bool {
	_, err := m.Gate(f.Demand())
	return err != nil
}

// withholdsAny says whether there can be messages that the session may not read.
func (m *Mailbox) withholdsAny() bool {
	_, err := m.Gate(requiretls.Required())
	return err != nil
}

func (m *Mailbox) keywords() []string {
	if m.Keywords == nil {
		return m.View.Mailbox().Keywords
	}
	return m.Keywords
}

func (m *Mailbox) objectID(id storage.ObjectID) string {
	if m.ObjectID == nil {
		return fmt.Sprintf("%016x", uint64(id))
	}
	return m.ObjectID(id)
}

func (m *Mailbox) trouble(uid storage.UID, err error) {
	if m.Trouble != nil {
		m.Trouble(uid, err)
	}
}

// span is some neighbouring messages: indices from first up to, not including,
// end.
type span struct{ first, end int }

// numbered is the messages that a set of sequence numbers names, ascending. Beyond
// the last one it names nothing: clients walk through a mailbox in windows until
// nothing more is found (RFC 7377 §2, of every search; FETCH and its like are
// stricter).
func (m *Mailbox) numbered(set syntax.Set) []span {
	if set.Saved {
		return m.spans(m.Saved)
	}
	n := m.View.Len()
	var spans []span
	for _, r := range set.Resolve(uint32(n)) {
		if s := (span{int(max(r.First, 1)) - 1, min(int(r.Last), n)}); s.first < s.end {
			spans = append(spans, s)
		}
	}
	return spans
}

// identified is the messages that a set of UIDs names, ascending. UIDs that
// nobody has are passed over (RFC 9051 §6.4.9); "*" is the greatest that the
// client knows of.
func (m *Mailbox) identified(set syntax.Set) []span {
	if set.Saved {
		return m.spans(m.Saved)
	}
	var largest uint32
	if n := m.View.Len(); n > 0 {
		largest = uint32(m.View.At(n - 1).UID)
	}
	return m.spans(set.Resolve(largest))
}

// spans is the messages with UIDs in ascending ranges.
func (m *Mailbox) spans(ranges []syntax.Range) []span {
	var spans []span
	for _, r := range ranges {
		first, _ := m.View.Find(storage.UID(r.First))
		end, found := m.View.Find(storage.UID(r.Last))
		if found {
			end++
		}
		if first < end {
			spans = append(spans, span{first, end})
		}
	}
	return spans
}
