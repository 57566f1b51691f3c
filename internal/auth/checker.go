package auth

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
)

// Users looks people up.
type Users interface {
	// Credentials finds the account that logs in as login, and what
	// [NewCredentials] made for it. [ErrNoUser] where there is none; any other
	// error is ours, and the login may be tried again.
	Credentials(ctx context.Context, login string) (account uint64, credentials []byte, err error)
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

// Checker checks passwords. Each check takes 19 MiB of memory and some tens of
// milliseconds of one processor; a bounded number run at once, and a bounded
// number wait.
type Checker struct {
	users   Users
	workers chan struct{} // holds one for each hash running
	waiting atomic.Int64
	nobody  []byte // the credentials an unknown user is checked against
}

// NewChecker checks at most parallel passwords at once; 0 is one for each
// processor.
func NewChecker(users Users, parallel int) *Checker {
	if parallel <= 0 {
		parallel = runtime.GOMAXPROCS(0)
	}
	return &Checker{
		users:   users,
		workers: make(chan struct{}, parallel),
		nobody:  impossible(),
	}
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
	return account, nil
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
