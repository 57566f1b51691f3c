package sieve

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"
)

// Action is one thing to do with the message: a pointer to one of the structs
// below, or a foreign extension's own that embeds [Common].
type Action interface{ common() *Common }

// Common is what all actions have.
type Common struct {
	Position Position          // of the command; zero for an implicit keep
	Marks    map[string]string // what foreign tags say about this action
	Rewrite  *Rewrite          // the message as editheader had left it; nil: as it came
}

func (c *Common) common() *Common { return c }

// Mark says something about the action that this package does not know.
func (c *Common) Mark(key, value string) {
	if c.Marks == nil {
		c.Marks = map[string]string{}
	}
	c.Marks[key] = value
}

// At is where the script asked for an action; its line is 0 for an implicit
// keep.
func At(a Action) Position { return a.common().Position }

// Rewrite is a changed header (RFC 5293): the message is Header, then the
// original from octet Skip on.
type Rewrite struct {
	Header []byte // with the empty line that ends it
	Skip   int64
}

// Keep files the message where it would be without a script.
type Keep struct {
	Common
	Flags    []string // IMAP flags (RFC 5232)
	Implicit bool     // nobody asked for it (RFC 5228 §2.10.2)
}

// Target is a mailbox. ID and Use are tried first, in this order; where neither
// is found Name counts.
type Target struct {
	Name   string // as the script says it, UTF-8
	ID     string // MAILBOXID (RFC 9042), or empty
	Use    string // special use such as \Junk (RFC 8579), or empty
	Create bool   // make Name where it is missing (RFC 5490 §3.2)
}

// FileInto files the message in a mailbox.
type FileInto struct {
	Common
	Target
	Flags []string
	Copy  bool // the implicit keep is not cancelled (RFC 3894)
}

// Redirect sends the message on.
type Redirect struct {
	Common
	To     string // an address without display name
	Copy   bool
	Notify string // NOTIFY= of the next hop (RFC 6009 §6), or empty
	Return string // RET=, or empty
}

// Discard throws the message away unless another action keeps it.
type Discard struct{ Common }

// Reject refuses the message (RFC 5429).
type Reject struct {
	Common
	Reason string // may have several lines, and is UTF-8
	// Protocol is set by ereject: the refusal belongs into the SMTP or LMTP
	// dialogue, whatever becomes of non-ASCII in the reason (§2.1.1).
	Protocol bool
}

// Vacation answers the sender (RFC 5230).
type Vacation struct {
	Common
	To      string        // the envelope sender
	From    string        // :from, or empty
	Subject string        // :subject; empty: "Auto: " and the original one (§5.3)
	Reason  string        // text, or with MIME a whole MIME entity
	MIME    bool          // Reason starts with MIME header fields
	Period  time.Duration // not again to this sender for so long; 0 answers always
	Handle  string        // what makes two replies the same (§4.2): opaque
	Own     string        // the owner's address that the message was sent to, or empty
	Fcc     *Fcc
	// Skip says why no reply may be sent (§4.5, §4.6); empty: it may. The
	// sender may still have had one within Period: that is for the caller to
	// know.
	Skip string
}

// Notify tells somebody (RFC 5435).
type Notify struct {
	Common
	Method     string // the URI
	From       string // :from, or empty
	Importance int    // 1 high, 2 normal, 3 low
	Options    []string
	Message    string // :message, or empty; may have several lines
	Mailto     *Mailto
	Fcc        *Fcc
	Skip       string // why none may be sent (RFC 5436 §2.7); empty: it may
}

// Fcc files a copy of a message that an action generates (RFC 8580).
type Fcc struct {
	Target
	Flags []string
}

// Track is something that the duplicate test saw. The caller remembers it when
// everything else has succeeded (RFC 7352 §3).
type Track struct {
	Handle string
	ID     string
	Period time.Duration
	// Extend says that the period starts anew each time (:last), not only the
	// first time.
	Extend bool
}

// Result is what one or more scripts decided about a message.
type Result struct {
	// Actions in the order to carry them out. Where nothing cancelled it, the
	// implicit keep is the last.
	Actions []Action
	// Tracks are IDs to remember after success.
	Tracks []Track
	// Err is why a script broke, an [*Error], or several joined; its own actions
	// were dropped.
	Err error
	// Kept says that the implicit keep, or one that a script asked for before the
	// last one, is in effect.
	Kept bool
	// Steps and Memory are what the run took; see [Limits].
	Steps, Memory int
}

// Add plans an action: the one place where actions meet. It merges what would
// be done twice, refuses what excludes each other, and counts. Whether the
// action cancels the implicit keep is the caller's to say: [Runtime.CancelKeep].
func (rt *Runtime) Add(a Action) error {
	c := a.common()
	c.Position = rt.position()
	c.Rewrite = rt.rewrite()
	merged, err := rt.reconcile(a)
	if err == nil {
		err = rt.Take(512)
	}
	if err != nil || merged {
		return err
	}
	if len(rt.actions) >= rt.engine.config.Limits.Actions {
		return limited(rt.engine.config.Limits.Actions, "actions")
	}
	rt.actions = append(rt.actions, a)
	return nil
}

// reconcile looks a new action over against those planned.
func (rt *Runtime) reconcile(a Action) (merged bool, err error) {
	switch a := a.(type) {
	case *Keep:
		return merge(rt.actions, Target{Name: inbox}, a.Flags, true), rt.withoutReject(a)
	case *FileInto:
		return merge(rt.actions, a.Target, a.Flags, !a.Copy), rt.withoutReject(a)
	case *Redirect:
		merged, err := rt.mergeRedirect(a)
		return merged, errors.Join(err, rt.withoutReject(a))
	case *Reject:
		return false, rt.onlyReject()
	case *Vacation:
		return rt.oneVacation()
	case *Notify:
		limit := rt.engine.config.Limits.Notifies
		if count[*Notify](rt.actions[rt.earlier:]) >= limit {
			return false, limited(limit, "notifications")
		}
		return rt.notifiedAlready(a), nil
	case *Discard:
		return count[*Discard](rt.actions) > 0, nil
	}
	return false, nil
}

const inbox = "INBOX"

func (t Target) same(o Target) bool {
	t.Create, o.Create = false, false
	if strings.EqualFold(t.Name, inbox) && strings.EqualFold(o.Name, inbox) {
		t.Name, o.Name = inbox, inbox
	}
	return t == o
}

// merge looks for a delivery to the same mailbox. There is one copy of a message
// in a mailbox (RFC 5228 §2.10.3), and the flags asked for last win (RFC 5232
// §3). The action planned before is replaced, not changed: another script may
// have to be undone.
func merge(actions []Action, to Target, flags []string, cancels bool) bool {
	for i, old := range actions {
		switch old := old.(type) {
		case *Keep:
			if to.same(Target{Name: inbox}) {
				k := *old
				k.Flags = flags
				actions[i] = &k
				return true
			}
		case *FileInto:
			if to.same(old.Target) {
				f := *old
				f.Flags = flags
				f.Create = f.Create || to.Create
				f.Copy = f.Copy && !cancels
				actions[i] = &f
				return true
			}
		}
	}
	return false
}

// mergeRedirect keeps one message to one address. What a foreign tag said about
// either is said about both, so that no second redirect weakens the first. What
// other scripts planned before is not counted: who wrote this one need not know.
func (rt *Runtime) mergeRedirect(a *Redirect) (bool, error) {
	n := 0
	for i, old := range rt.actions {
		old, ok := old.(*Redirect)
		if !ok {
			continue
		}
		if i >= rt.earlier {
			n++
		}
		if sameAddress(old.To, a.To) {
			r := *old
			r.Marks = maps.Clone(a.Marks)
			for k, v := range old.Marks {
				r.Mark(k, v)
			}
			r.Copy = r.Copy && a.Copy
			rt.actions[i] = &r
			return true, nil
		}
	}
	if limit := rt.engine.config.Limits.Redirects; n >= limit {
		return false, limited(limit, "redirects")
	}
	return false, nil
}

func sameAddress(a, b string) bool {
	i, j := strings.LastIndexByte(a, '@'), strings.LastIndexByte(b, '@')
	return i >= 0 && j >= 0 && a[:i] == b[:j] && strings.EqualFold(a[i:], b[j:])
}

var (
	errRejectDeliver  = errors.New("a message cannot be rejected and delivered too; file a copy with :copy where that is wanted")
	errRejectTwice    = errors.New("a message can be rejected once only")
	errRejectVacation = errors.New("reject and vacation cannot be used for the same message")
	errVacationTwice  = errors.New("vacation can be used once for a message only")
)

// delivers says whether a hands the message to somebody. A copy does not count:
// rejected mail may be archived (RFC 5429 §2.4).
func delivers(a Action) bool {
	switch a := a.(type) {
	case *Keep:
		return true
	case *FileInto:
		return !a.Copy
	case *Redirect:
		return !a.Copy
	}
	return false
}

func (rt *Runtime) withoutReject(a Action) error {
	if delivers(a) && count[*Reject](rt.actions) > 0 {
		return errRejectDeliver
	}
	return nil
}

// onlyReject checks a refusal. An answer that another script planned before is
// not given: who wrote this one need not know of that.
func (rt *Runtime) onlyReject() error {
	switch {
	case count[*Reject](rt.actions) > 0:
		return errRejectTwice
	case count[*Vacation](rt.actions[rt.earlier:]) > 0:
		return errRejectVacation
	case slices.ContainsFunc(rt.actions, delivers):
		return errRejectDeliver
	}
	before := len(rt.actions)
	rt.actions = slices.DeleteFunc(rt.actions, func(a Action) bool { _, ok := a.(*Vacation); return ok })
	rt.earlier -= before - len(rt.actions)
	return nil
}

// oneVacation checks an answer; settled where what another script planned before
// stands in its place.
func (rt *Runtime) oneVacation() (settled bool, err error) {
	own := rt.actions[rt.earlier:]
	switch {
	case count[*Vacation](own) > 0:
		return false, errVacationTwice
	case count[*Reject](own) > 0:
		return false, errRejectVacation
	}
	return count[*Vacation](rt.actions)+count[*Reject](rt.actions) > 0, nil
}

// notifiedAlready drops recipients that a notification of this run has already
// (RFC 5436 §2.7); true where none is left.
func (rt *Runtime) notifiedAlready(a *Notify) bool {
	for _, old := range rt.actions {
		old, ok := old.(*Notify)
		switch {
		case !ok || old.Skip != a.Skip:
		case a.Mailto == nil || old.Mailto == nil:
			if old.Method == a.Method && old.Message == a.Message {
				return true
			}
		default:
			a.Mailto.drop(old.Mailto)
			if len(a.Mailto.Recipients()) == 0 {
				return true
			}
		}
	}
	return false
}

func count[A Action](list []Action) int {
	n := 0
	for _, a := range list {
		if _, ok := a.(A); ok {
			n++
		}
	}
	return n
}
