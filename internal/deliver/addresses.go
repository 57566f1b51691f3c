package deliver

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"letterlock/internal/mail"
	"letterlock/internal/reply"
)

// Addresses says how addresses are read: section [address] of the config. The
// zero value is usable: no default domain, no detail, case kept.
type Addresses struct {
	Domain    string // for addresses without one
	Delimiter string // characters that split user from detail: "+"; empty: no detail
	Fold      bool   // local parts differ in case alone: the same user
}

// Normal is an address as accounts and aliases are named.
func (o Addresses) Normal(a mail.Address) mail.Address {
	if a.Domain == "" {
		a.Domain = strings.ToLower(o.Domain)
	}
	if o.Fold {
		a = a.Fold()
	}
	return a.ALabels()
}

// maxTargets bounds how many addresses one recipient may expand to. More are
// refused, not left out: whoever was left out would never know of the letter.
const maxTargets = 10_000

var errTooManyTargets = fmt.Errorf("more than %d addresses are behind it", maxTargets)

// resolve finds the accounts behind a recipient, each once: its own, or its
// alias', or those of the address without detail, or postmaster's, or the
// catch-all's. It answers [reply.NoSuchUser] where there is none.
func (s *Sorter) resolve(ctx context.Context, rcpt mail.Address) ([]uint64, error) {
	x := expansion{Sorter: s, from: s.opt.Addresses.Normal(rcpt)}
	if err := x.follow(ctx, x.from); err != nil {
		return nil, fmt.Errorf("look up %s: %w", rcpt, err)
	}
	if len(x.ids) == 0 {
		return nil, reply.NoSuchUser
	}
	return x.ids, nil
}

// expansion follows aliases.
type expansion struct {
	*Sorter
	from mail.Address
	seen map[mail.Address]bool // from, and what aliases pointed at; nil: there was none yet
	ids  []uint64
}

// add follows what an alias points at, once: aliases that point at each other
// come to an end.
func (x *expansion) add(ctx context.Context, addr mail.Address) error {
	if x.seen == nil {
		x.seen = map[mail.Address]bool{x.from: true}
	}
	switch {
	case x.seen[addr]:
		return nil
	case len(x.seen) > maxTargets:
		return errTooManyTargets
	}
	x.seen[addr] = true
	return x.follow(ctx, addr)
}

func (x *expansion) follow(ctx context.Context, addr mail.Address) error {
	names := append(make([]mail.Address, 0, 2), addr)
	if base, _, ok := addr.Detail(x.opt.Addresses.Delimiter); ok {
		names = append(names, base)
	}
	for _, name := range names {
		if done, err := x.named(ctx, name); done || err != nil {
			return err
		}
	}
	if strings.EqualFold(names[len(names)-1].Local, "postmaster") { // RFC 5321 §4.5.1
		id, found, err := x.opt.Store.Eldest(ctx)
		if found {
			x.own(id)
		}
		return err
	}
	_, err := x.alias(ctx, mail.Address{Domain: addr.Domain})
	return err
}

// named takes an account or an alias of exactly this name.
func (x *expansion) named(ctx context.Context, name mail.Address) (bool, error) {
	id, found, err := x.opt.Store.Account(ctx, name)
	if err != nil {
		return false, err
	}
	if found {
		x.own(id)
		return true, nil
	}
	return x.alias(ctx, name)
}

func (x *expansion) alias(ctx context.Context, from mail.Address) (bool, error) {
	to, found, err := x.opt.Store.Alias(ctx, from)
	if err != nil || !found {
		return false, err
	}
	for _, target := range to {
		if err := x.add(ctx, x.opt.Addresses.Normal(target)); err != nil {
			return true, err
		}
	}
	return true, nil
}

func (x *expansion) own(id uint64) {
	if !slices.Contains(x.ids, id) {
		x.ids = append(x.ids, id)
	}
}
