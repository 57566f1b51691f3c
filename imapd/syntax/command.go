package syntax

import "github.com/emersion/go-imap/v2"

// Command is one command as the client sent it.
type Command struct {
	Tag  string
	Name string // upper case; "UID FETCH" where the client said UID
	Args Args   // one of the pointers below
}

// Args is what a command asks: a pointer to one of the structs of this package
// that are named after a command.
type Args interface{ args() }

// Commands without arguments.
type (
	Capability     struct{} // RFC 9051 §6.1.1
	Noop           struct{} // RFC 9051 §6.1.2
	Logout         struct{} // RFC 9051 §6.1.3
	StartTLS       struct{} // RFC 9051 §6.2.1
	Namespace      struct{} // RFC 9051 §6.3.10
	Idle           struct{} // RFC 9051 §6.3.13; its end is read with [Decoder.Done]
	Check          struct{} // RFC 3501 §6.4.1
	Close          struct{} // RFC 9051 §6.4.1
	Unselect       struct{} // RFC 9051 §6.4.2
	Unauthenticate struct{} // RFC 8437
)

// Login is LOGIN (RFC 9051 §6.2.3). User and Password are the octets as sent.
type Login struct{ User, Password string }

// Authenticate is AUTHENTICATE (RFC 9051 §6.2.2). The client's further lines
// are read with [Decoder.SASL].
type Authenticate struct {
	Mechanism string // upper case
	Initial   []byte // the initial response, decoded; empty but not nil for "=", nil without one
}

// ID is ID (RFC 2971). Params is empty for NIL, and at most 30 long (§3.3).
type ID struct{ Params []IDParam }

// IDParam is one field of ID, in the client's order.
type IDParam struct {
	Name  string
	Value string // empty for NIL too
}

// Enable is ENABLE (RFC 9051 §6.3.1): capabilities in upper case.
type Enable struct{ Caps []imap.Cap }

// Compress is COMPRESS (RFC 4978 §3).
type Compress struct{ Algorithm string } // upper case

// Select is SELECT or EXAMINE (RFC 9051 §6.3.2, §6.3.3; RFC 7162 §3.1.8, §3.2.5).
type Select struct {
	Mailbox   string
	Written   string // the name as the client wrote it; "": as it is
	Access    Access
	CondStore bool     // the CONDSTORE parameter was given
	QResync   *QResync // nil without the QRESYNC parameter
}

// Access says what a Select asks for.
type Access uint8

const (
	ReadWrite Access = iota // SELECT
	ReadOnly                // EXAMINE
)

// QResync is the parameter of the same name (RFC 7162 §3.2.5). Its sets have no "*".
type QResync struct {
	UIDValidity uint32
	ModSeq      uint64
	Known       Set // of UIDs; empty where the client gave none
	MatchSeqs   Set // sequence match data: these numbers …
	MatchUIDs   Set // … had these UIDs
}

// Mailbox names in all commands are UTF-8 in normal form C, whatever form the
// client wrote; INBOX is in upper case, also as the first level of a name.

// Create is CREATE (RFC 9051 §6.3.4; RFC 6154 §3). A hierarchy separator at
// the end of Mailbox is kept.
type Create struct {
	Mailbox string
	Written string             // the name as the client wrote it; "": as it is
	Use     []imap.MailboxAttr // the USE parameter, known attributes in their usual case
}

// Delete is DELETE (RFC 9051 §6.3.5).
type Delete struct {
	Mailbox string
	Written string // the name as the client wrote it; "": as it is
}

// Rename is RENAME (RFC 9051 §6.3.6).
type Rename struct {
	From, To string
	Written  string // From as the client wrote it; "": both are as they are
}

// Subscribe is SUBSCRIBE (RFC 9051 §6.3.7).
type Subscribe struct{ Mailbox string }

// Unsubscribe is UNSUBSCRIBE (RFC 9051 §6.3.8).
type Unsubscribe struct{ Mailbox string }

// List is LIST (RFC 9051 §6.3.9; RFC 5258, 5819, 6154).
type List struct {
	Select    ListSelect
	Reference string
	Patterns  []string // as mailbox names, with the wildcards * and %; see [Match]
	Return    ListReturn
	Status    StatusItems // with ReturnStatus
	Extended  bool        // the command had selection or return options, or a list of patterns
}

// ListSelect is the set of selection options (RFC 5258 §3.1).
type ListSelect uint8

const (
	SelectSubscribed ListSelect = 1 << iota
	SelectRemote
	SelectRecursiveMatch // never alone
	SelectSpecialUse     // RFC 6154 §2
)

// ListReturn is the set of return options (RFC 5258 §3.2).
type ListReturn uint8

const (
	ReturnSubscribed ListReturn = 1 << iota
	ReturnChildren
	ReturnStatus     // RFC 5819
	ReturnSpecialUse // RFC 6154 §2
)

// Lsub is LSUB (RFC 3501 §6.3.9).
type Lsub struct{ Reference, Pattern string }

// Status is STATUS (RFC 9051 §6.3.11).
type Status struct {
	Mailbox string
	Items   StatusItems
}

// StatusItems is a set of status data items.
type StatusItems uint16

const (
	StatusMessages StatusItems = 1 << iota
	StatusUIDNext
	StatusUIDValidity
	StatusUnseen
	StatusDeleted
	StatusSize           // RFC 8438
	StatusRecent         // RFC 3501 §6.3.10
	StatusAppendLimit    // RFC 7889 §5
	StatusHighestModSeq  // RFC 7162 §3.1.7
	StatusMailboxID      // RFC 8474 §4.3
	StatusDeletedStorage // RFC 9208 §4.1.4
)

// Copy is COPY or UID COPY (RFC 9051 §6.4.7).
type Copy struct {
	UID     bool // Set is of UIDs
	Set     Set
	Mailbox string
}

// Move is MOVE or UID MOVE (RFC 9051 §6.4.8).
type Move struct {
	UID     bool // Set is of UIDs
	Set     Set
	Mailbox string
}

// Expunge is EXPUNGE, and with UID and Set UID EXPUNGE (RFC 9051 §6.4.3, §6.4.9).
type Expunge struct {
	UID bool
	Set Set
}

// Store is STORE or UID STORE (RFC 9051 §6.4.6; RFC 7162 §3.1.3).
type Store struct {
	UID            bool // Set is of UIDs
	Set            Set
	Op             StoreOp
	Silent         bool
	Flags          []imap.Flag
	UnchangedSince *uint64 // the UNCHANGEDSINCE modifier; nil without it
}

// StoreOp says what STORE does with its flags.
type StoreOp uint8

const (
	ReplaceFlags StoreOp = iota // FLAGS
	AddFlags                    // +FLAGS
	RemoveFlags                 // -FLAGS
)

func (*Capability) args()     {}
func (*Noop) args()           {}
func (*Logout) args()         {}
func (*StartTLS) args()       {}
func (*Namespace) args()      {}
func (*Idle) args()           {}
func (*Check) args()          {}
func (*Close) args()          {}
func (*Unselect) args()       {}
func (*Unauthenticate) args() {}
func (*Login) args()          {}
func (*Authenticate) args()   {}
func (*ID) args()             {}
func (*Enable) args()         {}
func (*Compress) args()       {}
func (*Select) args()         {}
func (*Create) args()         {}
func (*Delete) args()         {}
func (*Rename) args()         {}
func (*Subscribe) args()      {}
func (*Unsubscribe) args()    {}
func (*List) args()           {}
func (*Lsub) args()           {}
func (*Status) args()         {}
func (*Append) args()         {}
func (*Replace) args()        {}
func (*Copy) args()           {}
func (*Move) args()           {}
func (*Expunge) args()        {}
func (*Store) args()          {}
func (*Fetch) args()          {}
func (*Search) args()         {}
func (*Sort) args()           {}
func (*Thread) args()         {}
func (*MultiSearch) args()    {}
func (*CancelUpdate) args()   {}
func (*Notify) args()         {}
func (*GetQuota) args()       {}
func (*GetQuotaRoot) args()   {}
func (*SetQuota) args()       {}
func (*GetMetadata) args()    {}
func (*SetMetadata) args()    {}
