package auth

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
)

// Users looks people up.
type Users interface {
	// Credentials finds the account that logs in as login, and what
	// [NewCredentials] made for it. [ErrNoUser] where there is none; any other
	// error is ours, and the login may be tried again.
	Credentials(ctx context.Context, login string) (account uint64, credentials []byte, err error)
}

// Canonical is what [Users] may know besides: the one name for all spellings
// of a login, whether there is such a user or not. Without it, case alone is
// taken to make no difference. It keeps names that nobody has as alike, or not,
// as those that somebody has.
type Canonical interface {
	Canonical(login string) string
}

var (
	// ErrNoUser is for [Users] to say. A client never hears it.
	ErrNoUser = errors.New("no such user")
	// ErrRefused is a wrong password or no such user: nobody learns which.
	ErrRefused error = refusal("wrong name or password")
	// ErrBusy: too many logins are waiting; it may be tried again.
	ErrBusy = errors.New("too many logins at once")
)

// refusal is an error that is the client's doing. The mail log finds out by the
// method.
type refusal string

func (r refusal) Error() string { return string(r) }
func (r refusal) Refused() bool { return true }

// queuePerWorker bounds who waits for a hash: about a second's worth of work.
const queuePerWorker = 64

// Checker finds out who somebody is. A check of a password takes 19 MiB of
// memory and some tens of milliseconds of one processor; a bounded number run
// at once, and a bounded number wait. The exported fields are set before the
// first login.
type Checker struct {
	Penalty *Penalty // slows guessing; nil: nothing does
	Cache   *Cache   // saves hashes; nil: every login with a password costs one
	Allowed []string // the mechanisms that may be used; nil: all
	// Secret is behind the salts that SCRAM shows for users who do not exist.
	// Kept from start to start it makes these as lasting as real ones; nil: a
	// new one each time.
	Secret []byte

	users   Users
	workers chan struct{} // holds one for each hash running
	waiting atomic.Int64
	nobody  []byte // the credentials an unknown user is checked against
	random  []byte // stands in for Secret
}

// NewChecker checks at most parallel passwords at once; 0 is one for each
// processor.
func NewChecker(users Users, parallel int) *Checker {
	if parallel <= 0 {
		parallel = min(runtime.NumCPU(), runtime.GOMAXPROCS(0)) // there may be more places to run than processors
	}
	return &Checker{
		users:   users,
		workers: make(chan struct{}, parallel),
		nobody:  impossible(),
		random:  salt(),
	}
}

// LogIn checks login and password given on a connection: PLAIN and IMAP's
// LOGIN. Errors are those of [Checker.Password], and [ErrSlowed].
func (c *Checker) LogIn(ctx context.Context, f Facts, login, password string) (Outcome, error) {
	var account uint64
	err := c.slowly(ctx, f, login, password, func() (err error) {
		account, err = c.Password(ctx, login, password)
		return err
	})
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Account: account, Login: login, Bound: c.certifies(ctx, f, account)}, nil
}

// slowly makes a guess when it is its turn and counts it if it was wrong. The
// guess is what tells it from others; empty: nothing does.
func (c *Checker) slowly(ctx context.Context, f Facts, login, guess string, check func() error) error {
	attempt, err := c.Penalty.enter(f.Peer, c.canonical(login))
	if err != nil {
		return err
	}
	if err := attempt.await(ctx); err != nil {
		attempt.dropped()
		return err
	}
	err = check()
	var refused refusal
	switch {
	case err == nil:
		attempt.succeeded()
	case errors.As(err, &refused):
		attempt.failed(guess)
	default:
		attempt.dropped()
	}
	return err
}

// Password checks login and password and finds the account. Errors are
// [ErrRefused], [ErrBusy], ctx's, and what the lookup said of our own trouble.
// An unknown user costs the same time as a wrong password.
func (c *Checker) Password(ctx context.Context, login, password string) (account uint64, err error) {
	account, stored, err := c.users.Credentials(ctx, login)
	unknown := errors.Is(err, ErrNoUser)
	switch {
	case unknown:
		stored = c.nobody
	case err != nil:
		return 0, fmt.Errorf("look up %q: %w", login, err)
	case c.Cache.knows(stored, password):
		return account, nil
	}
	if err := c.begin(ctx); err != nil {
		return 0, err
	}
	defer c.end()
	right, err := matches(stored, password)
	switch {
	case err != nil:
		return 0, fmt.Errorf("credentials of %q: %w", login, err)
	case !right || unknown:
		return 0, ErrRefused
	}
	c.Cache.remember(stored, password)
	return account, nil
}

// canonical is one name for all that mean the same login.
func (c *Checker) canonical(login string) string {
	if users, ok := c.users.(Canonical); ok {
		return users.Canonical(login)
	}
	return strings.ToLower(login)
}

// begin waits for a worker.
func (c *Checker) begin(ctx context.Context) error {
	select {
	case c.workers <- struct{}{}:
		return nil
	default:
	}
	if c.waiting.Add(1) > int64(queuePerWorker*cap(c.workers)) {
		c.waiting.Add(-1)
		return ErrBusy
	}
	defer c.waiting.Add(-1)
	select {
	case c.workers <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Checker) end() { <-c.workers }
