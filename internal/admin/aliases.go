package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"letterlock/internal/mail"
	"letterlock/storage"
)

// maxTargets is how many addresses one alias may send to.
const maxTargets = 100

// AddAlias implements [Operations].
func (d *Desk) AddAlias(ctx context.Context, in Alias) (Alias, error) {
	from, err := d.source(in.From)
	if err != nil {
		return Alias{}, err
	}
	if err := d.free(ctx, from); err != nil {
		return Alias{}, err
	}
	added := storage.Alias{From: from}
	for _, s := range in.To {
		to, err := d.target(ctx, from, s)
		if err != nil {
			return Alias{}, err
		}
		added.To = append(added.To, to)
	}
	all := storage.Alias{From: from}
	err = d.opt.Store.ChangeAlias(ctx, from, func(there []mail.Address) ([]mail.Address, error) {
		all.To = joined(there, added.To)
		switch {
		case len(all.To) == 0:
			return nil, refuse("name at least one address it sends to", "alias %s has no target", nameOf(from))
		case len(all.To) > maxTargets:
			return nil, refuse("a mailing list wants list software in front of the store", "alias %s would have %d targets, the limit is %d", nameOf(from), len(all.To), maxTargets)
		}
		return all.To, nil
	})
	return changed(all, err)
}

// joined is all addresses of both, each once.
func joined(a, b []mail.Address) (all []mail.Address) {
	for _, addr := range slices.Concat(a, b) {
		if !slices.Contains(all, addr) {
			all = append(all, addr)
		}
	}
	return all
}

// changed is what became of an alias, or why nothing did.
func changed(a storage.Alias, err error) (Alias, error) {
	var refusal *Refusal
	switch {
	case errors.As(err, &refusal):
		return Alias{}, refusal
	case err != nil:
		return Alias{}, fmt.Errorf("change alias %s: %w", nameOf(a.From), err)
	}
	return written(a), nil
}

// source reads the left side of an alias: an address, or "@domain".
func (d *Desk) source(s string) (mail.Address, error) {
	s = strings.TrimSpace(s)
	if !strings.HasPrefix(s, "@") {
		return d.address(s)
	}
	a, err := mail.ParseAddress("catchall" + s)
	if err != nil {
		return a, refuse("the catch-all of a domain reads @example.org", "%q is not a domain: %v", s, err)
	}
	return mail.Address{Domain: d.opt.Addresses.Normal(a).Domain}, nil
}

// free refuses an alias that would never be asked: a user of that name gets
// its mail first.
func (d *Desk) free(ctx context.Context, from mail.Address) error {
	if from.Local == "" {
		return nil
	}
	switch _, err := d.opt.Store.Person(ctx, from); {
	case err == nil:
		return refuse("mail for "+from.String()+" stays in its own mailbox; choose another name for the alias", "%s is a user", from)
	case !errors.Is(err, storage.ErrNotFound):
		return fmt.Errorf("look up %s: %w", from, err)
	}
	return nil
}

// target reads the right side of an alias. It must be somebody here: only a
// person's own mail is forwarded elsewhere.
func (d *Desk) target(ctx context.Context, from mail.Address, s string) (mail.Address, error) {
	to, err := d.address(s)
	if err != nil {
		return to, err
	}
	if to == from {
		return to, refuse("name the address that reads the mail", "alias %s cannot send to itself", nameOf(from))
	}
	here, err := d.here(ctx, to)
	switch {
	case err != nil || here:
		return to, err
	case d.opt.Relay == nil:
		return to, refuse("add it first: letterlock user add "+to.String(), "%s does not exist here, and the relay is off", to)
	}
	return to, refuse("add it first: letterlock user add "+to.String()+"; or let a user forward there: letterlock forward add",
		"%s does not exist here, and an alias sends to nobody elsewhere", to)
}

// here says whether mail for addr arrives: as user or alias, with or without detail.
func (d *Desk) here(ctx context.Context, addr mail.Address) (bool, error) {
	for _, name := range []mail.Address{addr, d.base(addr)} {
		_, err := d.opt.Store.Person(ctx, name)
		if errors.Is(err, storage.ErrNotFound) {
			_, err = d.opt.Store.Alias(ctx, name)
		}
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, storage.ErrNotFound) {
			return false, fmt.Errorf("look up %s: %w", name, err)
		}
	}
	return false, nil
}

// base is the address without its detail.
func (d *Desk) base(a mail.Address) mail.Address {
	base, _, _ := a.Detail(d.opt.Addresses.Delimiter)
	return base
}

// Aliases implements [Operations].
func (d *Desk) Aliases(ctx context.Context) ([]Alias, error) {
	all := []Alias{}
	for a, err := range d.opt.Store.Aliases(ctx) {
		if err != nil {
			return nil, fmt.Errorf("list aliases: %w", err)
		}
		all = append(all, written(a))
	}
	return all, nil
}

// RemoveAlias implements [Operations].
func (d *Desk) RemoveAlias(ctx context.Context, in Alias) (Alias, error) {
	from, err := d.source(in.From)
	if err != nil {
		return Alias{}, err
	}
	if err := d.mayEnd(ctx, from, in.To); err != nil {
		return Alias{}, err
	}
	gone := storage.Alias{From: from}
	err = d.opt.Store.ChangeAlias(ctx, from, func(there []mail.Address) ([]mail.Address, error) {
		if there == nil {
			return nil, refuse("see which there are: letterlock alias list", "there is no alias %s", nameOf(from))
		}
		var rest storage.Alias
		gone, rest, err = d.split(storage.Alias{From: from, To: there}, in.To)
		return rest.To, err
	})
	return changed(gone, err)
}

// mayEnd refuses to take the last targets off an alias that other aliases send to, as
// [Desk.RemoveUser] does. One that leads to nobody is in nobody's way: aliases that
// send to each other alone.
func (d *Desk) mayEnd(ctx context.Context, from mail.Address, named []string) error {
	a, err := d.opt.Store.Alias(ctx, from)
	if err != nil {
		return nil // for who changes it to say
	}
	if _, rest, err := d.split(a, named); err != nil || len(rest.To) > 0 {
		return nil
	}
	if leads, err := d.leads(ctx, from, map[mail.Address]bool{}); err != nil || !leads {
		return err
	}
	return d.unaliased(ctx, from)
}

// leads says whether mail for a name comes to a user in the end.
func (d *Desk) leads(ctx context.Context, name mail.Address, seen map[mail.Address]bool) (bool, error) {
	if seen[name] {
		return false, nil
	}
	seen[name] = true
	if _, err := d.opt.Store.Person(ctx, name); !errors.Is(err, storage.ErrNotFound) {
		return err == nil, err
	}
	a, err := d.opt.Store.Alias(ctx, name)
	if errors.Is(err, storage.ErrNotFound) {
		return d.leads(ctx, d.base(name), seen)
	}
	for _, to := range a.To {
		if there, err := d.leads(ctx, to, seen); there || err != nil {
			return there, err
		}
	}
	return false, err
}

// split parts the targets to remove from those that stay; none named means all.
func (d *Desk) split(a storage.Alias, named []string) (gone, rest storage.Alias, err error) {
	gone.From, rest.From = a.From, a.From
	if len(named) == 0 {
		gone.To = a.To
		return gone, rest, nil
	}
	for _, s := range named {
		to, err := d.address(s)
		if err != nil {
			return gone, rest, err
		}
		if !slices.Contains(a.To, to) {
			return gone, rest, refuse("see where it sends to: letterlock alias list", "alias %s does not send to %s", nameOf(a.From), to)
		}
		gone.To = append(gone.To, to)
	}
	for _, to := range a.To {
		if !slices.Contains(gone.To, to) {
			rest.To = append(rest.To, to)
		}
	}
	return gone, rest, nil
}

func written(a storage.Alias) Alias {
	w := Alias{From: nameOf(a.From)}
	for _, to := range a.To {
		w.To = append(w.To, to.String())
	}
	return w
}

// nameOf is an alias' left side as the admin writes it.
func nameOf(from mail.Address) string {
	if from.Local == "" {
		return "@" + from.Domain
	}
	return from.String()
}
