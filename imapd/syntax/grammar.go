package syntax

import (
	"strings"

	"github.com/emersion/go-imap/v2"
)

// commands is every command we know, by its name without UID.
var commands = map[string]func(*Decoder) Args{
	"APPEND":         (*Decoder).append,
	"AUTHENTICATE":   (*Decoder).authenticate,
	"CANCELUPDATE":   (*Decoder).cancelUpdate,
	"CAPABILITY":     func(*Decoder) Args { return &Capability{} },
	"CHECK":          func(*Decoder) Args { return &Check{} },
	"CLOSE":          func(*Decoder) Args { return &Close{} },
	"COMPRESS":       func(d *Decoder) Args { d.sp(); return &Compress{strings.ToUpper(d.atom())} },
	"COPY":           func(d *Decoder) Args { set, to := d.copyTo(); return &Copy{d.byUID, set, to} },
	"CREATE":         (*Decoder).create,
	"DELETE":         (*Decoder).delete,
	"ENABLE":         (*Decoder).enable,
	"ESEARCH":        (*Decoder).multiSearch,
	"EXAMINE":        func(d *Decoder) Args { return d.selectMailbox(ReadOnly) },
	"EXPUNGE":        (*Decoder).expunge,
	"FETCH":          (*Decoder).fetch,
	"GETMETADATA":    (*Decoder).getMetadata,
	"GETQUOTA":       func(d *Decoder) Args { d.sp(); return &GetQuota{d.astring()} },
	"GETQUOTAROOT":   func(d *Decoder) Args { return &GetQuotaRoot{d.oneMailbox()} },
	"ID":             (*Decoder).id,
	"IDLE":           func(*Decoder) Args { return &Idle{} },
	"LIST":           (*Decoder).listMailboxes,
	"LOGIN":          (*Decoder).login,
	"LOGOUT":         func(*Decoder) Args { return &Logout{} },
	"LSUB":           (*Decoder).lsub,
	"MOVE":           func(d *Decoder) Args { set, to := d.copyTo(); return &Move{d.byUID, set, to} },
	"NAMESPACE":      func(*Decoder) Args { return &Namespace{} },
	"NOOP":           func(*Decoder) Args { return &Noop{} },
	"NOTIFY":         (*Decoder).notify,
	"RENAME":         (*Decoder).rename,
	"REPLACE":        (*Decoder).replace,
	"SEARCH":         (*Decoder).search,
	"SELECT":         func(d *Decoder) Args { return d.selectMailbox(ReadWrite) },
	"SETMETADATA":    (*Decoder).setMetadata,
	"SETQUOTA":       (*Decoder).setQuota,
	"SORT":           (*Decoder).sort,
	"STARTTLS":       func(*Decoder) Args { return &StartTLS{} },
	"STATUS":         (*Decoder).status,
	"STORE":          (*Decoder).store,
	"SUBSCRIBE":      func(d *Decoder) Args { return &Subscribe{d.oneMailbox()} },
	"THREAD":         (*Decoder).thread,
	"UNAUTHENTICATE": func(*Decoder) Args { return &Unauthenticate{} },
	"UNSELECT":       func(*Decoder) Args { return &Unselect{} },
	"UNSUBSCRIBE":    func(d *Decoder) Args { return &Unsubscribe{d.oneMailbox()} },
}

// takesUID is the commands that may follow UID (RFC 9051 §6.4.9, RFC 5256 §3,
// RFC 8508 §3.3; the examples of RFC 7377 §2 have UID ESEARCH).
var takesUID = map[string]bool{
	"COPY": true, "ESEARCH": true, "EXPUNGE": true, "FETCH": true, "MOVE": true, "REPLACE": true,
	"SEARCH": true, "SORT": true, "STORE": true, "THREAD": true,
}

// How long lists may be: far above what clients send, and low enough that no
// command costs more memory than its octets suggest.
const (
	maxCaps     = 64
	maxFlags    = 1000
	maxIDParams = 30 // RFC 2971 §3.3
	maxOptions  = 64
	maxPatterns = 256
)

func (d *Decoder) login() Args {
	l := &Login{}
	d.sp()
	l.User = d.astring()
	d.sp()
	l.Password = d.astring()
	return l
}

func (d *Decoder) authenticate() Args {
	a := &Authenticate{}
	d.sp()
	a.Mechanism = strings.ToUpper(d.atom())
	if !d.take(' ') {
		return a
	}
	text := d.run(func(c byte) bool { return c > ' ' && c < 0x7f })
	if text == "=" { // RFC 9051 §6.2.2: an empty response
		a.Initial = []byte{}
		return a
	}
	initial, err := decodeBase64(text)
	if err != nil || text == "" {
		d.fail("initial response is not base64")
	}
	a.Initial = initial
	return a
}

func (d *Decoder) id() Args {
	id := &ID{}
	d.sp()
	if d.peek() != '(' {
		if d.keyword() != "NIL" {
			d.fail("expected a list or NIL")
		}
		return id
	}
	d.list(maxIDParams+1, func() {
		if len(id.Params) == maxIDParams { // the RFC's own limit
			d.fail("too many fields in ID")
		}
		var p IDParam
		p.Name = d.str()
		d.sp()
		p.Value, _ = d.nstring()
		id.Params = append(id.Params, p)
	})
	return id
}

func (d *Decoder) enable() Args {
	e := &Enable{}
	for d.ok() && (len(e.Caps) == 0 || d.more()) {
		d.sp()
		e.Caps = append(e.Caps, imap.Cap(strings.ToUpper(d.atom())))
		if len(e.Caps) > maxCaps {
			d.exceeds("too many capabilities")
		}
	}
	return e
}

func (d *Decoder) create() Args {
	c := &Create{}
	d.sp()
	c.Mailbox, c.Written = d.mailboxAsWritten()
	if !d.take(' ') {
		return c
	}
	d.list1(maxOptions, func() { // RFC 4466 §2.2
		if d.keyword() != "USE" {
			d.fail("unknown parameter of CREATE")
		}
		d.sp()
		d.list(maxOptions, func() { c.Use = append(c.Use, d.attr()) })
	})
	return c
}

// attr reads a mailbox attribute.
func (d *Decoder) attr() imap.MailboxAttr {
	d.expect('\\')
	name := `\` + d.atom()
	for _, known := range specialUse {
		if strings.EqualFold(name, string(known)) {
			return known
		}
	}
	return imap.MailboxAttr(name)
}

var specialUse = []imap.MailboxAttr{ // RFC 6154 §2, RFC 8457
	imap.MailboxAttrAll, imap.MailboxAttrArchive, imap.MailboxAttrDrafts, imap.MailboxAttrFlagged,
	imap.MailboxAttrJunk, imap.MailboxAttrSent, imap.MailboxAttrTrash, imap.MailboxAttrImportant,
}

func (d *Decoder) delete() Args {
	a := &Delete{}
	d.sp()
	a.Mailbox, a.Written = d.mailboxAsWritten()
	return a
}

func (d *Decoder) rename() Args {
	r := &Rename{}
	d.sp()
	r.From, r.Written = d.mailboxAsWritten()
	d.sp()
	var to string
	if r.To, to = d.mailboxAsWritten(); to != "" && r.Written == "" {
		r.Written = r.From
	}
	return r
}

// oneMailbox reads the argument of commands that have but a mailbox.
func (d *Decoder) oneMailbox() string {
	d.sp()
	return d.mailbox()
}

func (d *Decoder) selectMailbox(access Access) Args {
	s := &Select{Access: access}
	d.sp()
	s.Mailbox, s.Written = d.mailboxAsWritten()
	if !d.take(' ') {
		return s
	}
	d.list1(maxOptions, func() { // RFC 4466 §2.1
		switch d.keyword() {
		case "CONDSTORE":
			s.CondStore = true
		case "QRESYNC":
			if s.QResync != nil {
				d.fail("QRESYNC is given twice")
			}
			d.sp()
			s.QResync = d.qresync()
		default:
			d.fail("unknown parameter")
		}
	})
	return s
}

// qresync reads RFC 7162 §7, the value of the QRESYNC parameter.
func (d *Decoder) qresync() *QResync {
	q := &QResync{}
	d.expect('(')
	q.UIDValidity = d.nzNumber()
	d.sp()
	q.ModSeq = uint64(d.number64())
	if d.ok() && q.ModSeq == 0 {
		d.fail("a mod-sequence is above 0")
	}
	if d.take(' ') && d.peek() != '(' {
		q.Known = d.fixedSet()
		if d.take(')') {
			return q
		}
		d.sp()
	}
	if d.take('(') {
		q.MatchSeqs = d.fixedSet()
		d.sp()
		q.MatchUIDs = d.fixedSet()
		d.expect(')')
	}
	d.expect(')')
	return q
}

func (d *Decoder) copyTo() (Set, string) {
	d.sp()
	set := d.set()
	d.sp()
	return set, d.mailbox()
}

func (d *Decoder) expunge() Args {
	e := &Expunge{UID: d.byUID}
	if d.byUID {
		d.sp()
		e.Set = d.set()
	}
	return e
}

func (d *Decoder) store() Args {
	s := &Store{UID: d.byUID}
	d.sp()
	s.Set = d.set()
	d.sp()
	if d.peek() == '(' {
		d.list1(maxOptions, func() { d.storeModifier(s) })
		d.sp()
	}
	item := d.keyword()
	item, silent := strings.CutSuffix(item, ".SILENT")
	s.Silent = silent
	switch item {
	case "FLAGS":
	case "+FLAGS":
		s.Op = AddFlags
	case "-FLAGS":
		s.Op = RemoveFlags
	default:
		d.fail("unknown item to store")
	}
	d.sp()
	if d.peek() == '(' {
		s.Flags = d.flagList()
	} else {
		s.Flags = d.bareFlags()
	}
	return s
}

// storeModifier reads RFC 7162 §7, store-modifier.
func (d *Decoder) storeModifier(s *Store) {
	if d.keyword() != "UNCHANGEDSINCE" || s.UnchangedSince != nil {
		d.fail("unknown modifier of STORE")
	}
	d.sp()
	since := uint64(d.number64())
	s.UnchangedSince = &since
}

func (d *Decoder) flagList() []imap.Flag {
	flags := []imap.Flag{}
	d.list(maxFlags, func() { flags = append(flags, d.flag()) })
	return flags
}

// bareFlags reads flags without parentheses, to the end of the command.
func (d *Decoder) bareFlags() []imap.Flag {
	flags := []imap.Flag{d.flag()}
	for d.take(' ') {
		flags = append(flags, d.flag())
		if len(flags) > maxFlags {
			d.exceeds("too many flags")
		}
	}
	return flags
}

// flag reads a flag or keyword. System flags come in their usual case.
func (d *Decoder) flag() imap.Flag {
	if !d.take('\\') {
		return imap.Flag(d.atom())
	}
	name := `\` + d.atom()
	for _, known := range systemFlags {
		if strings.EqualFold(name, string(known)) {
			return known
		}
	}
	return imap.Flag(name)
}

// FlagRecent is \Recent (RFC 3501 §2.3.2), which no client may set: an APPEND
// or STORE with it is read, and the caller drops it.
const FlagRecent imap.Flag = `\Recent`

var systemFlags = []imap.Flag{imap.FlagSeen, imap.FlagAnswered, imap.FlagFlagged, imap.FlagDeleted, imap.FlagDraft, FlagRecent}
