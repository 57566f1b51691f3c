package admin

import (
	"context"
	"time"
)

// Operations are what an admin may ask for. Every answer names the address as
// it is kept, with its domain and folded as configured. Errors an admin can
// mend are [*Refusal].
type Operations interface {
	// AddUser makes an account; one that exists, as user or as alias, is refused.
	AddUser(context.Context, Login) (User, error)
	// SetPassword replaces the credentials of an account that exists.
	SetPassword(context.Context, Login) (User, error)
	// Users lists all accounts by address.
	Users(context.Context) ([]User, error)
	// RemoveUser removes the account and all its mail; refused while aliases
	// still send to it.
	RemoveUser(ctx context.Context, address string) (User, error)
	// AddAlias adds targets to an alias and makes it where it is missing; the
	// answer has all its targets.
	AddAlias(context.Context, Alias) (Alias, error)
	// Aliases lists all aliases by address.
	Aliases(context.Context) ([]Alias, error)
	// RemoveAlias takes the named targets off an alias, all of them where none
	// is named; an alias without targets is gone. The answer has what was removed.
	RemoveAlias(context.Context, Alias) (Alias, error)
	// Server tells who carries the operations out.
	Server(context.Context) (Server, error)
}

// Login is an account to make or to change.
type Login struct {
	Address     string `json:"address"`
	Credentials []byte `json:"credentials"` // what the store keeps of a password, derived by the caller; empty: no login
}

// User is one account, as it is listed.
type User struct {
	Address  string    `json:"address"`
	Created  time.Time `json:"created"`
	Messages uint64    `json:"messages"`
	Bytes    uint64    `json:"bytes"`
}

// Alias sends one address to others. From is "@domain" for the catch-all of a
// domain.
type Alias struct {
	From string   `json:"from"`
	To   []string `json:"to,omitempty"`
}

// Server is a process that holds the store open.
type Server struct {
	PID       int                 `json:"pid"`
	Version   string              `json:"version"`
	Listening map[string][]string `json:"listening,omitempty"` // protocol → addresses bound
}
