package admin

import (
	"context"
	"errors"
	"fmt"

	"letterlock/internal/deliver"
	"letterlock/sieve"
	"letterlock/storage"
)

// ScriptName names a script. Without an address it is everybody's: those named
// before and after run round everybody's own, others can be included. Without a
// name it is the active one.
type ScriptName struct {
	Address string `json:"address,omitempty"`
	Name    string `json:"name,omitempty"`
}

// ScriptPut is a script to make, or to replace.
type ScriptPut struct {
	Address  string `json:"address,omitempty"`
	Name     string `json:"name"`
	Text     []byte `json:"text"`
	Activate bool   `json:"activate,omitempty"`
}

// Script is a Sieve script, kept octet for octet.
type Script struct {
	Address string       `json:"address,omitempty"` // empty: everybody's
	Name    string       `json:"name"`
	Active  bool         `json:"active"`            // it sorts the person's mail
	Managed bool         `json:"managed,omitempty"` // forwards and vacation: it works without being active
	Size    int64        `json:"size"`              // octets
	Text    []byte       `json:"text,omitempty"`    // where one was asked for
	Remarks []Diagnostic `json:"remarks,omitempty"` // of one that was put: allowed, but probably not meant
}

// owner is whose scripts are spoken of.
type owner struct {
	address string // empty: everybody
	account *storage.Account
}

func (o owner) String() string {
	if o.address == "" {
		return "everybody"
	}
	return o.address
}

// owner finds whose scripts an address means.
func (d *Desk) owner(ctx context.Context, address string) (owner, error) {
	if address == "" {
		return owner{"", d.opt.Store.Account(0)}, nil
	}
	p, err := d.person(ctx, address)
	if err != nil {
		return owner{}, err
	}
	return owner{p.Address.String(), d.opt.Store.Account(p.ID)}, nil
}

// PutScript implements [Operations].
func (d *Desk) PutScript(ctx context.Context, in ScriptPut) (Script, error) {
	o, err := d.owner(ctx, in.Address)
	if err != nil {
		return Script{}, err
	}
	name, err := d.scriptName(in.Name)
	if err == nil && in.Activate {
		err = mayActivate(o, name)
	}
	if err != nil {
		return Script{}, err
	}
	remarks, err := d.compile(name, in.Text)
	if err != nil {
		return Script{}, err
	}
	err = o.account.PutScript(ctx, name, in.Text, nil)
	switch {
	case errors.Is(err, storage.ErrLimit):
		return Script{}, refuse("remove one that is not needed: letterlock sieve remove", "%s can have no more scripts: %v", o, err).because(err)
	case err != nil:
		return Script{}, fmt.Errorf("put script %q of %s: %w", name, o, err)
	}
	if in.Activate {
		if err := o.account.ActivateScript(ctx, name); err != nil {
			return Script{}, fmt.Errorf("activate script %q of %s: %w", name, o, err)
		}
	}
	s, err := d.findScript(ctx, o, name)
	s.Text, s.Remarks = nil, remarks
	return s, err
}

// scriptName is a name as the rule desk would take it.
func (d *Desk) scriptName(name string) (string, error) {
	if name == "" {
		return "", refuse("name it: letterlock sieve put ADDR NAME", "a script needs a name")
	}
	if d.opt.ScriptName == nil {
		return name, nil
	}
	kept, err := d.opt.ScriptName(name)
	if err != nil {
		return "", refuse("choose another name", "%q cannot be the name of a script: %v", name, err)
	}
	return kept, nil
}

// compile reads a script as delivery will.
func (d *Desk) compile(name string, text []byte) ([]Diagnostic, error) {
	compiled, err := d.opt.Engine.Compile(name, text)
	if list, ok := errors.AsType[sieve.Errors](err); ok {
		r := refuse("mend it and try again: letterlock sieve check FILE", "script %q does not compile:\n%v", name, list)
		r.Diagnostics = diagnostics(list)
		return nil, r.because(err)
	}
	if err != nil {
		return nil, fmt.Errorf("compile %q: %w", name, err)
	}
	return diagnostics(compiled.Remarks()), nil
}

func diagnostics(list []sieve.Diagnostic) (all []Diagnostic) {
	for _, l := range list {
		one := Diagnostic{l.Line, l.Col, SeverityError, l.Msg}
		if l.Severity == sieve.Remark {
			one.Severity = SeverityRemark
		}
		all = append(all, one)
	}
	return all
}

// findScript reads one, the active one where it has no name.
func (d *Desk) findScript(ctx context.Context, o owner, name string) (Script, error) {
	var s storage.Script
	var text []byte
	var err error
	if name == "" {
		s, text, err = o.account.ActiveScript(ctx, nil)
	} else {
		s, text, err = o.account.Script(ctx, name, nil)
	}
	switch {
	case errors.Is(err, storage.ErrNotFound) && name == "":
		return Script{}, refuse("see which there are: letterlock sieve list", "%s has no active script", o)
	case errors.Is(err, storage.ErrNotFound):
		return Script{}, noScript(o, name)
	case err != nil:
		return Script{}, fmt.Errorf("read script %q of %s: %w", name, o, err)
	}
	shown := shownScript(o, s)
	shown.Text = text
	return shown, nil
}

func noScript(o owner, name string) *Refusal {
	return refuse("see which there are: letterlock sieve list", "%s has no script %q", o, name)
}

func shownScript(o owner, s storage.Script) Script {
	return Script{Address: o.address, Name: s.Name, Active: s.Active, Managed: o.address != "" && s.Name == deliver.Managed, Size: s.Size}
}

// Script implements [Operations].
func (d *Desk) Script(ctx context.Context, in ScriptName) (Script, error) {
	o, err := d.owner(ctx, in.Address)
	if err != nil {
		return Script{}, err
	}
	return d.findScript(ctx, o, in.Name)
}

// Scripts implements [Operations].
func (d *Desk) Scripts(ctx context.Context, address string) ([]Script, error) {
	o, err := d.owner(ctx, address)
	if err != nil {
		return nil, err
	}
	list, err := o.account.Scripts(ctx)
	if err != nil {
		return nil, fmt.Errorf("list scripts of %s: %w", o, err)
	}
	all := make([]Script, len(list))
	for i, s := range list {
		all[i] = shownScript(o, s)
	}
	return all, nil
}

// ActivateScript implements [Operations].
func (d *Desk) ActivateScript(ctx context.Context, in ScriptName) (Script, error) {
	o, err := d.owner(ctx, in.Address)
	if err == nil {
		err = mayActivate(o, in.Name)
	}
	if err != nil {
		return Script{}, err
	}
	err = o.account.ActivateScript(ctx, in.Name)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return Script{}, noScript(o, in.Name)
	case err != nil:
		return Script{}, fmt.Errorf("activate script %q of %s: %w", in.Name, o, err)
	case in.Name == "":
		return Script{Address: o.address}, nil
	}
	s, err := d.findScript(ctx, o, in.Name)
	s.Text = nil
	return s, err
}

// mayActivate refuses scripts that work by their names.
func mayActivate(o owner, name string) error {
	switch {
	case o.address == "":
		return refuse("the scripts named before and after run round everybody's own, others where they are included", "no script of everybody's is the active one")
	case name == deliver.Managed:
		return refuse("activate one of the person's own beside it", "%s works without being the active one", name)
	}
	return nil
}

// RemoveScript implements [Operations].
func (d *Desk) RemoveScript(ctx context.Context, in ScriptName) (Script, error) {
	if in.Name == "" {
		return Script{}, refuse("name it: letterlock sieve remove ADDR NAME", "no script is named")
	}
	o, err := d.owner(ctx, in.Address)
	if err != nil {
		return Script{}, err
	}
	s, err := d.findScript(ctx, o, in.Name)
	if err != nil {
		return Script{}, err
	}
	s.Text = nil
	err = o.account.DeleteScript(ctx, in.Name)
	switch {
	case errors.Is(err, storage.ErrActive):
		return Script{}, refuse("activate another one, or first: letterlock sieve deactivate "+o.address, "script %q is the active one of %s", in.Name, o)
	case errors.Is(err, storage.ErrNotFound):
		return Script{}, noScript(o, in.Name)
	case err != nil:
		return Script{}, fmt.Errorf("remove script %q of %s: %w", in.Name, o, err)
	}
	return s, nil
}
