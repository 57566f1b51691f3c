package syntax

import (
	"time"

	"github.com/emersion/go-imap/v2"
)

// Key is one node of a search: one of the types below.
type Key interface{ key() }

type (
	// And is keys that must all hold. An empty one holds.
	And []Key
	// Or is two keys of which one must hold.
	Or struct{ Left, Right Key }
	// Not is a key that must not hold.
	Not struct{ Key Key }
	// All holds for every message.
	All struct{}
	// Recent is \Recent. NEW is And{Recent, Not SEEN}, OLD is Not Recent.
	Recent struct{}
	// HasFlag is a flag or keyword that is set; UNSEEN and the like are Not of it.
	HasFlag struct{ Flag imap.Flag }
	// Seqs is a set of sequence numbers.
	Seqs struct{ Set Set }
	// UIDs is a set of UIDs.
	UIDs struct{ Set Set }
	// Date compares the day of a date, its time and zone disregarded.
	Date struct {
		Of   DateOf
		When When
		Day  time.Time // midnight UTC of the day
	}
	// Within is YOUNGER and OLDER (RFC 5032): internal date against now.
	Within struct {
		Age     Age
		Seconds uint32 // above 0
	}
	// Size is LARGER and SMALLER: more or fewer octets than N.
	Size struct {
		Than Than
		N    int64
	}
	// Header is a field that contains Value, or that is present where Value is
	// empty. BCC, CC, FROM, SUBJECT and TO are Headers too.
	Header struct{ Field, Value string }
	// Body is BODY: the text of the message without its header contains Value.
	Body struct{ Value string }
	// Text is TEXT: the header or the body contains Value.
	Text struct{ Value string }
	// ModSeq is MODSEQ (RFC 7162 §3.1.5): at least Value. Flag is the metadata
	// item's flag, "" without one, which may be disregarded.
	ModSeq struct {
		Flag  imap.Flag
		Value uint64
	}
	// EmailID is EMAILID (RFC 8474 §6).
	EmailID struct{ ID string }
	// ThreadID is THREADID (RFC 8474 §6).
	ThreadID struct{ ID string }
	// SaveDateSupported is SAVEDATESUPPORTED (RFC 8514 §4.3): holds for every
	// message of a mailbox that keeps the dates at which they were saved.
	SaveDateSupported struct{}
	// NamedFilter is FILTER (RFC 5466 §3.1): the search stored under that name,
	// as written; [ParseKeys] reads it.
	NamedFilter struct{ Name string }
	// Fuzzy is a key that may be matched fuzzily (RFC 6203 §3).
	Fuzzy struct{ Key Key }
)

// DateOf says which date of a message is meant.
type DateOf uint8

const (
	InternalDate DateOf = iota // BEFORE, ON, SINCE
	SentDate                   // SENTBEFORE, SENTON, SENTSINCE: of the Date field
	SaveDate                   // SAVEDBEFORE, SAVEDON, SAVEDSINCE (RFC 8514)
)

// When is how a date compares with a day.
type When uint8

const (
	Before When = iota
	On
	Since // that day or later
)

// Age is how an age compares with an interval.
type Age uint8

const (
	Younger Age = iota // up to that many seconds old
	Older              // at least that many
)

// Than is how a size compares.
type Than uint8

const (
	Larger Than = iota
	Smaller
)

func (And) key()               {}
func (Or) key()                {}
func (Not) key()               {}
func (All) key()               {}
func (Recent) key()            {}
func (HasFlag) key()           {}
func (Seqs) key()              {}
func (UIDs) key()              {}
func (Date) key()              {}
func (Within) key()            {}
func (Size) key()              {}
func (Header) key()            {}
func (Body) key()              {}
func (Text) key()              {}
func (ModSeq) key()            {}
func (EmailID) key()           {}
func (ThreadID) key()          {}
func (SaveDateSupported) key() {}
func (NamedFilter) key()       {}
func (Fuzzy) key()             {}
