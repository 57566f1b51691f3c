package deliver

import (
	"context"
	"io/fs"
	"strings"
	"time"

	"letterlock/internal/mail"
	"letterlock/sieve"
)

// Rules is what the sorting room asks of the vault where people have rules.
type Rules interface {
	// Turn is another number after anything about an account's scripts has
	// changed, from before the change is told to anybody. It asks no disk.
	Turn(account uint64) uint64
	// Active is the script that sorts an account's mail; found false: none does.
	// Where known says that its text is not needed, it may be left out.
	Active(ctx context.Context, account uint64, known Known) (s Script, found bool, err error)
	// Script is one by name, for include. Those of [Everybody] are the global
	// ones.
	Script(ctx context.Context, account uint64, name string, known Known) (s Script, found bool, err error)
	// Owner is the address of an account.
	Owner(ctx context.Context, account uint64) (mail.Address, error)
	// Mailboxes are all of an account's.
	Mailboxes(ctx context.Context, account uint64) ([]Mailbox, error)
	// Lands is the mailbox that [Store.Commit] files a copy in: the one that it
	// names, or INBOX where that is missing and not to be made, or cannot be.
	Lands(ctx context.Context, account uint64, c mail.Copy) (mailbox string, err error)
	// Annotation reads an entry of a mailbox, or without a mailbox of the account
	// and of everybody's (RFC 5464).
	Annotation(ctx context.Context, account uint64, mailbox, name string) (value string, found bool, err error)
	// Remembered says until when a [mail.Memory] with this key holds; found false:
	// none was committed for the account that holds still.
	Remembered(ctx context.Context, account uint64, key [32]byte) (until time.Time, found bool, err error)
}

// Script is a script as it is stored.
type Script struct {
	Name    string
	Version [32]byte // another text has another one
	Text    []byte   // not changed by anybody from now on; nil for a version that is known
}

// Known says whether a version of a script was seen before.
type Known func(version [32]byte) bool

// Mailbox is what rules can know of a mailbox.
type Mailbox struct {
	Name string // UTF-8, "/" between levels
	Use  string // special use such as `\Junk` (RFC 6154), or empty
	ID   string // MAILBOXID (RFC 8474)
}

// Everybody is the account of the global scripts.
const Everybody uint64 = 0

// Before and After name the global scripts that run ahead of everybody's own
// and behind it. One runs as long as keep is in effect: what an earlier one
// threw away, refused or filed elsewhere is not decided again.
const (
	Before = "before"
	After  = "after"
)

// Managed names the script of one's own that the verbs for people write who
// write no Sieve: forwards and an answer. It runs ahead of the active one,
// whether or not it is active itself.
const Managed = "letterlock-managed"

// chain is the scripts for one account's mail, in the order they run. Those
// that do not compile are left out and noted: the message is kept unless the
// others know better.
func (l *letter) chain(ctx context.Context, account uint64) (run []*sieve.Script, notes []note, err error) {
	if !l.asked {
		l.asked = true
		l.before, l.after, l.globalErr = l.globalScripts(ctx)
	}
	if l.globalErr != nil {
		return nil, nil, l.globalErr
	}
	managed, own, err := l.pair(account, func() (managed, own *compiled, err error) {
		own, err = l.shelf.fetch(account, func(known Known) (Script, bool, error) {
			return l.opt.Rules.Active(ctx, account, known)
		})
		if err == nil {
			managed, err = l.named(ctx, account, Managed)
		}
		return managed, own, err
	})
	if err != nil {
		return nil, nil, err
	}
	if managed != nil && own != nil && own.title == Managed {
		own = nil // it runs once
	}
	for _, c := range []*compiled{l.before, managed, own, l.after} {
		switch {
		case c == nil:
		case c.err != nil:
			notes = append(notes, brokenNote(c.title, c.err))
		default:
			run = append(run, c.script)
		}
	}
	return run, notes, nil
}

// globalScripts are the admin's, asked for once for each message.
func (l *letter) globalScripts(ctx context.Context) (before, after *compiled, err error) {
	return l.pair(Everybody, func() (before, after *compiled, err error) {
		if before, err = l.named(ctx, Everybody, Before); err == nil {
			after, err = l.named(ctx, Everybody, After)
		}
		return before, after, err
	})
}

// pair is two scripts of an account. Most have none: that is remembered until
// their turn comes, and costs nothing then.
func (l *letter) pair(account uint64, read func() (a, b *compiled, err error)) (a, b *compiled, err error) {
	turn := l.opt.Rules.Turn(account)
	if l.shelf.isBare(account, turn) {
		return nil, nil, nil
	}
	a, b, err = read()
	if a == nil && b == nil && err == nil {
		l.shelf.setBare(account, turn)
	}
	return a, b, err
}

// named is a script by its name; nil where there is none.
func (l *letter) named(ctx context.Context, owner uint64, name string) (*compiled, error) {
	return l.shelf.fetch(owner, func(known Known) (Script, bool, error) {
		return l.opt.Rules.Script(ctx, owner, name, known)
	})
}

// loader finds scripts for include (RFC 6609 §3.2).
func (l *letter) loader(account uint64) sieve.Loader {
	return func(ctx context.Context, where sieve.Location, name string) (*sieve.Script, error) {
		owner := account
		if where == sieve.Global {
			owner = Everybody
		}
		c, err := l.named(ctx, owner, name)
		switch {
		case err != nil:
			return nil, err
		case c == nil:
			return nil, fs.ErrNotExist
		}
		return c.script, c.err
	}
}

// title is how errors and log lines name a script. One of somebody's own that is
// named as a global one would be is not taken for it.
func title(owner uint64, name string) string {
	switch {
	case owner == Everybody:
		return globally + name
	case strings.HasPrefix(name, globally):
		return personally + name
	}
	return name
}

const (
	globally   = "global/"
	personally = "personal/"
)
