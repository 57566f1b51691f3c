package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"letterlock/internal/deliver"
	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/relay"
	"letterlock/sieve"
	"letterlock/storage"
)

// Desk carries the operations out on an open store.
type Desk struct{ opt Options }

var _ Operations = (*Desk)(nil)

// Options of a desk. Store and Data are needed.
type Options struct {
	Store     *storage.Store
	Data      string                       // the data folder
	Addresses deliver.Addresses            // how addresses are read
	Limits    storage.Usage                // what a new account may hold; zero is no limit
	Server    func(context.Context) Server // who we are; may be nil

	Engine     *sieve.Engine                // the language that delivery sorts by; nil: one made for Addresses
	ScriptName func(string) (string, error) // checks the name of a script and says how it is kept; nil: as it is
	Relay      *relay.Runner                // the way out, running or not; nil: the relay is off
	Release    requiretls.Policy            // which sessions may read REQUIRETLS mail
	RuleLog    *deliver.RuleLog             // what people's rules could not do; nil: nobody writes it down
	Ring       *Ring                        // the last lines of the mail log; nil: none are kept
}

// NewDesk makes a desk over an open store.
func NewDesk(opt Options) *Desk {
	if opt.Engine == nil {
		opt.Engine = deliver.NewEngine(deliver.Language{Domain: opt.Addresses.Domain, Delimiter: opt.Addresses.Delimiter})
	}
	return &Desk{opt}
}

// Server tells who we are.
func (d *Desk) Server(ctx context.Context) (Server, error) {
	if d.opt.Server == nil {
		return Server{}, nil
	}
	return d.opt.Server(ctx), nil
}

// address reads an address as accounts and aliases are named.
func (d *Desk) address(s string) (mail.Address, error) {
	a, err := mail.ParseAddress(strings.TrimSpace(s))
	if err != nil {
		return a, refuse("an address reads ann@example.org", "%q is not an address: %v", s, err)
	}
	a = d.opt.Addresses.Normal(a)
	if a.Domain == "" {
		return a, refuse("write "+a.String()+"@DOMAIN, or set domain in section [address]", "%s has no domain", a)
	}
	return a, nil
}

// AddUser implements [Operations].
func (d *Desk) AddUser(ctx context.Context, in Login) (User, error) {
	addr, err := d.address(in.Address)
	if err != nil {
		return User{}, err
	}
	if base, _, ok := addr.Detail(d.opt.Addresses.Delimiter); ok {
		return User{}, refuse("mail for "+addr.String()+" arrives at "+base.String()+" already",
			"%s has a detail after %q: it names no user of its own", addr, d.opt.Addresses.Delimiter)
	}
	switch _, err := d.opt.Store.Alias(ctx, addr); {
	case err == nil:
		return User{}, refuse("remove the alias first: letterlock alias remove "+addr.String(), "%s is an alias", addr)
	case !errors.Is(err, storage.ErrNotFound):
		return User{}, fmt.Errorf("look up alias %s: %w", addr, err)
	}
	p, err := d.opt.Store.AddPerson(ctx, addr, in.Credentials)
	if errors.Is(err, storage.ErrExists) {
		return User{}, refuse("change the password with: letterlock user passwd "+addr.String(), "user %s exists already", addr)
	}
	if err != nil {
		return User{}, fmt.Errorf("add %s: %w", addr, err)
	}
	if d.opt.Limits != (storage.Usage{}) {
		if err := d.opt.Store.Account(p.ID).SetLimits(ctx, d.opt.Limits); err != nil {
			return User{}, fmt.Errorf("limit %s: %w", addr, err)
		}
	}
	return User{Address: addr.String(), Created: p.Created}, nil
}

// SetPassword implements [Operations].
func (d *Desk) SetPassword(ctx context.Context, in Login) (User, error) {
	p, err := d.person(ctx, in.Address)
	if err != nil {
		return User{}, err
	}
	if err := d.opt.Store.SetCredentials(ctx, p.Address, in.Credentials); err != nil {
		return User{}, fmt.Errorf("change the password of %s: %w", p.Address, err)
	}
	return d.user(ctx, p)
}

// Users implements [Operations].
func (d *Desk) Users(ctx context.Context) ([]User, error) {
	users := []User{}
	for p, err := range d.opt.Store.People(ctx) {
		if err != nil {
			return nil, fmt.Errorf("list users: %w", err)
		}
		u, err := d.user(ctx, p)
		if errors.Is(err, storage.ErrNotFound) {
			continue // removed while we walked
		}
		if err != nil {
			return nil, err
		}
		users = append(users, u)
	}
	return users, nil
}

// RemoveUser implements [Operations].
func (d *Desk) RemoveUser(ctx context.Context, address string) (User, error) {
	p, err := d.person(ctx, address)
	if err != nil {
		return User{}, err
	}
	if err := d.unaliased(ctx, p.Address); err != nil {
		return User{}, err
	}
	u, err := d.user(ctx, p)
	if err != nil {
		return User{}, err
	}
	if err := d.opt.Store.RemovePerson(ctx, p.Address); err != nil {
		return User{}, fmt.Errorf("remove %s: %w", p.Address, err)
	}
	return u, nil
}

// unaliased refuses while an alias sends to addr: its mail would be refused
// from then on, and nobody would know why.
func (d *Desk) unaliased(ctx context.Context, addr mail.Address) error {
	var sources []string
	way := ""
	for a, err := range d.opt.Store.Aliases(ctx) {
		if err != nil {
			return fmt.Errorf("list aliases: %w", err)
		}
		i := slices.IndexFunc(a.To, func(to mail.Address) bool { return to == addr || d.base(to) == addr })
		if i < 0 {
			continue
		}
		if sources = append(sources, nameOf(a.From)); way == "" {
			way = "first: letterlock alias remove " + nameOf(a.From) + " " + a.To[i].String()
		}
	}
	if sources == nil {
		return nil
	}
	return refuse(way, "%s is still the target of %s", addr, strings.Join(sources, ", "))
}

// person finds the account of an address as the admin typed it.
func (d *Desk) person(ctx context.Context, address string) (storage.Person, error) {
	addr, err := d.address(address)
	if err != nil {
		return storage.Person{}, err
	}
	p, err := d.opt.Store.Person(ctx, addr)
	if errors.Is(err, storage.ErrNotFound) {
		return p, refuse("see who there is: letterlock user list", "there is no user %s", addr)
	}
	if err != nil {
		return p, fmt.Errorf("look up %s: %w", addr, err)
	}
	return p, nil
}

func (d *Desk) user(ctx context.Context, p storage.Person) (User, error) {
	use, err := d.opt.Store.Account(p.ID).Usage(ctx)
	if err != nil {
		return User{}, fmt.Errorf("usage of %s: %w", p.Address, err)
	}
	return User{Address: p.Address.String(), Created: p.Created, Messages: use.Messages, Bytes: use.Bytes}, nil
}
