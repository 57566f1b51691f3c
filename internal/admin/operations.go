package admin

import (
	"context"
	"fmt"
	"strings"
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
	// is named; an alias without targets is gone, which is refused while other
	// aliases still send to it. The answer has what was removed.
	RemoveAlias(context.Context, Alias) (Alias, error)
	// Quota tells what an account holds and may hold.
	Quota(ctx context.Context, address string) (Quota, error)
	// SetQuota changes what an account may hold; what is nil stays.
	SetQuota(context.Context, Limits) (Quota, error)
	// Release tells which sessions may read an account's REQUIRETLS mail.
	Release(ctx context.Context, address string) (Release, error)
	// SetRelease changes that.
	SetRelease(context.Context, Release) (Release, error)
	// PutScript makes a script or replaces it; an active one stays active. One
	// that does not compile is refused with [Refusal.Diagnostics].
	PutScript(context.Context, ScriptPut) (Script, error)
	// Scripts lists an account's scripts by name, without their texts; with an
	// empty address everybody's.
	Scripts(ctx context.Context, address string) ([]Script, error)
	// Script reads one with its text.
	Script(context.Context, ScriptName) (Script, error)
	// ActivateScript makes a script the active one in place of any other, and
	// without a name none.
	ActivateScript(context.Context, ScriptName) (Script, error)
	// RemoveScript removes a script that is not active.
	RemoveScript(context.Context, ScriptName) (Script, error)
	// Managed tells an account's forwards and vacation.
	Managed(ctx context.Context, address string) (Managed, error)
	// AddForward forwards to one more address, or changes how.
	AddForward(context.Context, Forward) (Managed, error)
	// RemoveForward ends one forward, all of them where To is empty. The answer
	// has what is left.
	RemoveForward(context.Context, Forward) (Managed, error)
	// SetVacation answers mail from now on, in place of any earlier answer.
	SetVacation(context.Context, Vacation) (Managed, error)
	// RemoveVacation ends that.
	RemoveVacation(ctx context.Context, address string) (Managed, error)
	// RulesLog tells what an account's rules could not do.
	RulesLog(ctx context.Context, address string) (RulesLog, error)
	// Queue walks the letters of the outbox that are meant, in no order.
	Queue(ctx context.Context, in Selection, told func(QueueRow)) error
	// QueueLetter opens one letter of the outbox.
	QueueLetter(ctx context.Context, id string) (QueueLetter, error)
	// HandleQueue does something with the letters that are meant, and tells of
	// each, as it was before. IDs that are not there are refused when all others
	// are done.
	HandleQueue(ctx context.Context, in QueueOrder, told func(QueueRow)) error
	// Route gathers what a letter to a domain would meet; it connects to the
	// domain's hosts and sends nothing.
	Route(context.Context, RouteQuery) (Way, error)
	// RelayState tells what the way out is doing.
	RelayState(context.Context) (RelayState, error)
	// Explain tells how a stored message came, who may read it and where it may
	// go.
	Explain(context.Context, ExplainQuery) (Explanation, error)
	// MTASTS tells what is known of a domain's policy.
	MTASTS(context.Context, STSQuery) (STS, error)
	// Trace tells what became of mail lately, the oldest first.
	Trace(ctx context.Context, in TraceQuery, told func(TraceRecord)) error
	// CheckSteps reads the whole store. Each news is a thing that is wrong, or how
	// far it is; that is told twice a second at most.
	CheckSteps(ctx context.Context, told func(CheckNews)) error
	// Keys tells what is sealed under which key. It looks at every record.
	Keys(context.Context) (KeyStatus, error)
	// Seal seals whatever lies in clear or under an older key with the current
	// one; segment by segment, so it can be cut short and begun again.
	Seal(ctx context.Context, in SealOrder, told func(Steps)) error
	// Backup copies the store into a folder, or brings the copy there up to
	// date. dir is absolute.
	Backup(ctx context.Context, dir string, told func(Progress)) error
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

// Quota is what an account holds, and may hold: no limit where that is 0.
type Quota struct {
	Address     string `json:"address"`
	Bytes       uint64 `json:"bytes"`
	MaxBytes    uint64 `json:"max_bytes"`
	Messages    uint64 `json:"messages"`
	MaxMessages uint64 `json:"max_messages"`
}

// Limits is what an account may hold from now on. 0 is no limit, nil leaves
// what is.
type Limits struct {
	Address     string  `json:"address"`
	MaxBytes    *uint64 `json:"max_bytes,omitempty"`
	MaxMessages *uint64 `json:"max_messages,omitempty"`
}

// Release is an account's own policy for REQUIRETLS mail. It can only be
// stricter than the server's.
type Release struct {
	Address string `json:"address"`
	Policy  string `json:"policy"`
}

// The policies an account can have.
const (
	ReleaseInherit = "inherit" // what the config says for all
	ReleaseTLS     = "tls"     // TLS, also where the config is content with a local session
	ReleaseBound   = "bound"   // a login that proved that nobody sits in between
)

// Finding is one thing that is wrong with a store.
type Finding struct {
	Account string `json:"account,omitempty"` // its address; empty: the store itself
	Mailbox string `json:"mailbox,omitempty"`
	UID     uint32 `json:"uid,omitempty"`
	What    string `json:"what"`
}

func (f Finding) String() string {
	var b strings.Builder
	for _, s := range []string{f.Account, f.Mailbox} {
		if s != "" {
			b.WriteString(s + ", ")
		}
	}
	if f.UID != 0 {
		fmt.Fprintf(&b, "UID %d, ", f.UID)
	}
	where := strings.TrimSuffix(b.String(), ", ")
	if where == "" {
		return f.What
	}
	return where + ": " + f.What
}

// CheckNews is one news of a check: exactly one of both is there.
type CheckNews struct {
	Finding *Finding `json:"finding,omitempty"`
	Steps   *Steps   `json:"steps,omitempty"`
}

// Steps is how far a check or a sealing is, in accounts and segments.
type Steps struct {
	Done  int `json:"done"`
	Total int `json:"total"`
}

// Progress is how far a backup is, in octets. Total is an estimate.
type Progress struct {
	Done  uint64 `json:"done"`
	Total uint64 `json:"total"`
}
