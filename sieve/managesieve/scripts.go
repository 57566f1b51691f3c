package managesieve

import (
	"context"
	"errors"
)

// Scripts keeps everybody's scripts. An account has any number, by name, and
// none or one of them is active. Names are those that [Name] makes. Errors that
// are not named here are trouble of ours: the client is told to try later.
type Scripts interface {
	// List tells of all scripts of an account, in any order.
	List(ctx context.Context, account uint64) ([]Script, error)
	// Get reads one; [ErrNotFound].
	Get(ctx context.Context, account uint64, name string) ([]byte, error)
	// Put makes a script or replaces it, whole or not at all; an active one stays
	// active, and the next message is sorted by it. Where the account would then
	// be over quota: [ErrTooMany], [ErrNoSpace], and nothing has changed. The
	// slice is the caller's again afterwards.
	Put(ctx context.Context, account uint64, name string, script []byte, quota Quota) error
	// Activate makes a script the active one, and with an empty name none;
	// [ErrNotFound].
	Activate(ctx context.Context, account uint64, name string) error
	// Delete removes one; [ErrNotFound], and [ErrActive] for the active one.
	Delete(ctx context.Context, account uint64, name string) error
	// Rename gives one another name; an active one stays active. [ErrNotFound],
	// and [ErrExists] where there is a script of that name.
	Rename(ctx context.Context, account uint64, from, to string) error
}

// Script is what [Scripts.List] tells of one.
type Script struct {
	Name   string
	Size   int64 // octets
	Active bool
}

// Quota is what one account may keep.
type Quota struct {
	Scripts int   // how many; 0: 32
	Size    int64 // octets of one; 0: 1 MiB
	Total   int64 // octets of all; 0: 4 MiB
}

// Allows says whether a script of that size may be kept beside, or in place of,
// those that are there: nil, [ErrTooBig], [ErrTooMany] or [ErrNoSpace]. It is
// what [Scripts.Put] asks inside its transaction.
func (q Quota) Allows(there []Script, name string, size int64) error {
	count, total := 1, size
	for _, s := range there {
		if s.Name != name && s.Name != NotesName {
			count++
			total += s.Size
		}
	}
	switch {
	case size > q.Size:
		return ErrTooBig
	case count > q.Scripts && count > len(there): // replacing one is always allowed
		return ErrTooMany
	case total > q.Total:
		return ErrNoSpace
	}
	return nil
}

var (
	ErrNotFound = errors.New("no such script")
	ErrExists   = errors.New("there is a script of that name")
	ErrActive   = errors.New("the script is active")
	ErrTooMany  = errors.New("too many scripts")
	ErrTooBig   = errors.New("script too big")
	ErrNoSpace  = errors.New("too many octets in scripts")
)

// Elsewhere is an error any method of [Scripts] may return: the account's
// scripts are kept by another server. The client is sent there and the
// connection ends.
type Elsewhere struct {
	URL string // sieve://host[:port] (RFC 5804 §3), without a script's name
}

func (e *Elsewhere) Error() string { return "the scripts are at " + e.URL }
