package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"letterlock/internal/deliver"
	"letterlock/internal/mail"
	"letterlock/internal/managed"
	"letterlock/storage"
)

// Forward sends all mail of an account on to an address.
type Forward struct {
	Address    string `json:"address"`
	To         string `json:"to"`
	Keep       bool   `json:"keep,omitempty"`       // it stays here too; so does what is forwarded elsewhere
	RequireTLS bool   `json:"requiretls,omitempty"` // the copy asks for REQUIRETLS, whatever its sender did
}

// Vacation is the answer that an account gives, once to each sender in so many
// days.
type Vacation struct {
	Address   string   `json:"address"`
	Subject   string   `json:"subject,omitempty"` // empty: made of the message's own
	Text      string   `json:"text"`
	From      string   `json:"from,omitempty"`      // first day, 2026-12-24; empty: at once
	Until     string   `json:"until,omitempty"`     // last day; empty: until it is removed
	Days      int      `json:"days,omitempty"`      // between answers to one sender; 0: 7
	Addresses []string `json:"addresses,omitempty"` // more addresses that are the person's own
}

// Managed is what an account's mail is subject to without a script of its
// owner's.
type Managed struct {
	Address  string       `json:"address"`
	Keep     bool         `json:"keep"` // what is forwarded stays here too
	Forwards []Forwarding `json:"forwards"`
	Vacation *Vacation    `json:"vacation,omitempty"`
	Script   string       `json:"script,omitempty"` // the script that says so, among the account's own
	Note     string       `json:"note,omitempty"`   // why it does not work out now
}

// Forwarding is one address mail is forwarded to.
type Forwarding struct {
	To         string `json:"to"`
	RequireTLS bool   `json:"requiretls"`
}

// Managed implements [Operations].
func (d *Desk) Managed(ctx context.Context, address string) (Managed, error) {
	o, err := d.somebody(ctx, address)
	if err != nil {
		return Managed{}, err
	}
	s, _, err := readManaged(ctx, o)
	if err != nil {
		return Managed{}, err
	}
	return d.shownManaged(o, s), nil
}

func (d *Desk) shownManaged(o owner, s *managed.Script) Managed {
	m := Managed{Address: o.address, Keep: s.Keep, Forwards: []Forwarding{}}
	for _, f := range s.Forwards {
		m.Forwards = append(m.Forwards, Forwarding(f))
	}
	if v := s.Vacation; v != nil {
		m.Vacation = &Vacation{o.address, v.Subject, v.Text, v.From, v.Until, v.Days, v.Addresses}
	}
	if len(s.Forwards) > 0 || s.Vacation != nil {
		m.Script = deliver.Managed
		switch today := time.Now().Format(time.DateOnly); {
		case d.opt.Relay == nil:
			m.Note = "the relay is off: nothing is forwarded or answered, everything stays in the mailbox of " + o.address
		case s.Vacation != nil && s.Vacation.Until != "" && s.Vacation.Until < today:
			m.Note = "the last day, " + s.Vacation.Until + ", is over: nobody is answered"
		}
	}
	return m
}

// somebody is the owner of an account; these rules are nobody's else.
func (d *Desk) somebody(ctx context.Context, address string) (owner, error) {
	if address == "" {
		return owner{}, refuse("an address reads ann@example.org", "no address is named")
	}
	return d.owner(ctx, address)
}

// readManaged reads an account's rules, and the version they stand in; an
// account without has none of either.
func readManaged(ctx context.Context, o owner) (*managed.Script, storage.ScriptVersion, error) {
	script, text, err := o.account.Script(ctx, deliver.Managed, nil)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return nil, script.Version, fmt.Errorf("rules of %s: %w", o, err)
	}
	s, err := managed.Parse(text)
	if err != nil {
		way := "change it by hand, or remove it: letterlock sieve remove " + o.address + " " + deliver.Managed
		return nil, script.Version, refuse(way, "script %q of %s: %v", deliver.Managed, o, err).because(err)
	}
	return s, script.Version, nil
}

// errMoved says that somebody else has written the script in the meantime.
var errMoved = errors.New("the script was changed by somebody else at the same time")

// manage changes an account's rules. What somebody else writes at the same time
// is not lost: the change is made to that.
func (d *Desk) manage(ctx context.Context, address string, change func(owner, *managed.Script) error) (Managed, error) {
	o, err := d.somebody(ctx, address)
	if err != nil {
		return Managed{}, err
	}
	for range 5 {
		var s *managed.Script
		if s, err = d.manageOnce(ctx, o, change); err == nil {
			return d.shownManaged(o, s), nil
		}
		if !errors.Is(err, errMoved) {
			return Managed{}, err
		}
	}
	return Managed{}, refuse("try again", "%v", err)
}

func (d *Desk) manageOnce(ctx context.Context, o owner, change func(owner, *managed.Script) error) (*managed.Script, error) {
	s, version, err := readManaged(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := change(o, s); err != nil {
		return nil, err
	}
	if len(s.Forwards) == 0 {
		s.Keep = false
	}
	if err := s.Check(); err != nil {
		return nil, refuse("write it in another way", "%v", err).because(err)
	}
	text := s.Text()
	if _, err := d.compile(deliver.Managed, text); err != nil { // what its owner wrote around the block
		if r, ok := errors.AsType[*Refusal](err); ok {
			r.Way = "see it with: letterlock sieve get " + o.address + " " + deliver.Managed
		}
		return nil, err
	}
	return s, o.putManaged(ctx, text, version)
}

// putManaged writes the script in place of that version; without a text there is
// none. [errMoved] says that another one stands there.
func (o owner) putManaged(ctx context.Context, text []byte, version storage.ScriptVersion) error {
	err := o.account.PutScript(ctx, deliver.Managed, text, func(there []storage.Script) error {
		now := storage.ScriptVersion{}
		for _, t := range there {
			if t.Name == deliver.Managed {
				now = t.Version
			}
		}
		if now != version {
			return errMoved
		}
		return nil
	})
	if err == nil && len(text) == 0 {
		if err = o.account.DeleteScript(ctx, deliver.Managed); errors.Is(err, storage.ErrActive) || errors.Is(err, storage.ErrNotFound) {
			err = nil // an empty one that its owner made active does nothing
		}
	}
	if err != nil {
		return fmt.Errorf("rules of %s: %w", o, err)
	}
	return nil
}

// AddForward implements [Operations].
func (d *Desk) AddForward(ctx context.Context, in Forward) (Managed, error) {
	to, err := d.elsewhere(in.To)
	if err == nil && to.Domain == d.ownDomain() {
		err = d.lives(ctx, to)
	}
	if err != nil {
		return Managed{}, err
	}
	return d.manage(ctx, in.Address, func(o owner, s *managed.Script) error {
		back, err := d.leadsTo(ctx, to, o.address)
		if err == nil && back {
			err = refuse("what is not forwarded stays there anyway", "%s cannot be forwarded to itself", o)
			if to.String() != o.address {
				err = refuse("it would go round until it is returned to its sender; what is not forwarded stays there anyway", "mail for %s arrives at %s again", to, o)
			}
		}
		if err != nil {
			return err
		}
		i := slices.IndexFunc(s.Forwards, func(f managed.Forward) bool { return sameAddress(f.To, to) })
		if i < 0 {
			i = len(s.Forwards)
			s.Forwards = append(s.Forwards, managed.Forward{})
		}
		s.Forwards[i] = managed.Forward{To: to.String(), RequireTLS: in.RequireTLS}
		if most := d.opt.Engine.Config().Limits.Redirects; len(s.Forwards) > most {
			return refuse("an alias or a mailing list sends to more", "%s would be forwarded to %d addresses, the limit is %d", o, len(s.Forwards), most)
		}
		if s.Keep && !in.Keep && len(s.Forwards) > 1 {
			return refuse("say --keep, or remove the others first: letterlock forward remove "+o.address, "the other forwards of %s leave a copy in the mailbox", o)
		}
		s.Keep = in.Keep
		return nil
	})
}

// leadsTo says whether mail for an address arrives at the account of that name:
// with a detail, or through aliases.
func (d *Desk) leadsTo(ctx context.Context, to mail.Address, account string) (bool, error) {
	ways := []mail.Address{d.opt.Addresses.Normal(to)}
	for i := 0; i < len(ways); i++ {
		a, err := d.behind(ctx, ways[i])
		if err != nil {
			return false, err
		}
		for _, next := range a.To {
			if next.String() == account {
				return true, nil
			}
			if !slices.Contains(ways, next) {
				ways = append(ways, next)
			}
		}
	}
	return false, nil
}

// behind is who gets mail for an address: an account's own name, or what an alias
// sends to; nobody where it is nobody's here.
func (d *Desk) behind(ctx context.Context, addr mail.Address) (storage.Alias, error) {
	for _, name := range []mail.Address{addr, d.base(addr), {Domain: addr.Domain}} {
		_, err := d.opt.Store.Person(ctx, name)
		if err == nil {
			return storage.Alias{To: []mail.Address{name}}, nil
		}
		a := storage.Alias{}
		if errors.Is(err, storage.ErrNotFound) {
			a, err = d.opt.Store.Alias(ctx, name)
		}
		if !errors.Is(err, storage.ErrNotFound) {
			return a, err
		}
	}
	return storage.Alias{}, nil
}

// lives refuses an address of ours that nobody has: a slip of the pen.
func (d *Desk) lives(ctx context.Context, to mail.Address) error {
	here, err := d.here(ctx, to)
	if err == nil && !here {
		err = refuse("an address elsewhere reads bob@example.net; see who is here with: letterlock user list", "%s does not exist here", to)
	}
	return err
}

// elsewhere reads an address mail is forwarded to. It keeps the case of its local
// part: what that means is its own server's to say.
func (d *Desk) elsewhere(s string) (mail.Address, error) {
	to, err := mail.ParseAddress(strings.TrimSpace(s))
	normal := d.opt.Addresses.Normal(to)
	switch {
	case err != nil || normal.Domain == "":
		return to, refuse("an address reads bob@example.net", "%q is no address to forward to", s)
	case normal.Domain == d.ownDomain():
		return normal, nil
	}
	return to, nil
}

// ownDomain is that of addresses without one.
func (d *Desk) ownDomain() string { return d.opt.Addresses.Normal(mail.Address{}).Domain }

func sameAddress(s string, a mail.Address) bool {
	other, err := mail.ParseAddress(s)
	return err == nil && other.Fold() == a.Fold()
}

// RemoveForward implements [Operations].
func (d *Desk) RemoveForward(ctx context.Context, in Forward) (Managed, error) {
	var to mail.Address
	if in.To != "" {
		var err error
		if to, err = d.elsewhere(in.To); err != nil {
			return Managed{}, err
		}
	}
	return d.manage(ctx, in.Address, func(o owner, s *managed.Script) error {
		before := len(s.Forwards)
		s.Forwards = slices.DeleteFunc(s.Forwards, func(f managed.Forward) bool { return in.To == "" || sameAddress(f.To, to) })
		if len(s.Forwards) < before {
			return nil
		}
		if in.To == "" {
			return refuse("there is nothing to remove", "%s is not forwarded", o)
		}
		return refuse("see where to: letterlock forward list "+o.address, "%s is not forwarded to %s", o, to)
	})
}

// SetVacation implements [Operations].
func (d *Desk) SetVacation(ctx context.Context, in Vacation) (Managed, error) {
	v := managed.Vacation{Subject: strings.TrimSpace(in.Subject), From: in.From, Until: in.Until, Days: in.Days}
	v.Text = strings.TrimRight(strings.ReplaceAll(in.Text, "\r\n", "\n"), "\n")
	const day = 24 * time.Hour
	if most := int(d.opt.Engine.Config().Limits.VacationMax / day); in.Days > most {
		return Managed{}, refuse(fmt.Sprintf("say a number up to %d", most), "%d days between two answers are more than there can be", in.Days)
	}
	for _, s := range in.Addresses {
		a, err := d.address(s)
		if err != nil {
			return Managed{}, err
		}
		v.Addresses = append(v.Addresses, a.String())
	}
	return d.manage(ctx, in.Address, func(_ owner, s *managed.Script) error {
		s.Vacation = &v
		return nil
	})
}

// RemoveVacation implements [Operations].
func (d *Desk) RemoveVacation(ctx context.Context, address string) (Managed, error) {
	return d.manage(ctx, address, func(o owner, s *managed.Script) error {
		if s.Vacation == nil {
			return refuse("there is nothing to remove", "%s has no vacation", o)
		}
		s.Vacation = nil
		return nil
	})
}
