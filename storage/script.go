package storage

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// Script is a person's Sieve script, kept byte for byte (RFC 5804). The scripts
// of account 0 are everybody's.
type Script struct {
	Name    string
	Size    int64 // octets
	Active  bool  // at most one of an account is
	Version ScriptVersion
}

// ScriptVersion is the SHA-256 of a script's text: what was made of a text once
// can be used wherever the version is the same.
type ScriptVersion [sha256.Size]byte

// ErrActive says that the active script cannot be deleted (RFC 5804 §2.10).
var ErrActive = errors.New("the script is active")

// Bounds of scripts, beside those of whoever calls.
const (
	maxScript     = 4 << 20 // octets of one
	maxScripts    = 1000    // of one account
	maxScriptName = 1000    // octets
	scriptPart    = 60 << 10
)

// script is the record of one script.
type script struct {
	Script
	id uint64 // within its account
}

func (s *script) encode() []byte {
	b := segment.AppendString(newValue(), s.Name)
	b = segment.AppendUint(b, uint64(s.Size))
	return sealValue(append(b, s.Version[:]...))
}

// readScripts reads the records of all scripts of an account, by id.
func readScripts(r kv.Reader, a AccountID) (all []script, err error) {
	active := uint64(0)
	f, err := fields(r, key(a, keyActive))
	if err != nil {
		return nil, err
	}
	if f != nil {
		active = f.Uint()
	}
	lo := key(a, keyScript)
	for k, v := range r.Range(lo, kv.After(lo), kv.Options{}) {
		v, err := open(v)
		if err != nil {
			return nil, fmt.Errorf("key %x: %w", k, err)
		}
		s, f := script{id: tailUint64(k)}, segment.ReadFields(v)
		s.Name, s.Size, s.Active = f.String(), int64(f.Uint()), s.id == active
		for i := range s.Version {
			s.Version[i] = f.Byte()
		}
		if err := f.Err(); err != nil {
			return nil, fmt.Errorf("key %x: %w", k, err)
		}
		all = append(all, s)
	}
	return all, nil
}

// readText reads the text of a script and checks it against its version.
func (s *script) readText(r kv.Reader, a AccountID) ([]byte, error) {
	text := make([]byte, 0, s.Size)
	lo := scriptTextKey(a, s.id)
	for k, v := range r.Range(lo, kv.After(lo), kv.Options{}) {
		v, err := open(v)
		if err != nil {
			return nil, fmt.Errorf("key %x: %w", k, err)
		}
		text = append(text, v...)
	}
	if sha256.Sum256(text) != s.Version {
		return nil, fmt.Errorf("account %d, script %q: %w", a, s.Name, segment.ErrDamaged)
	}
	return text, nil
}

func (s *script) put(tx kv.Tx, a AccountID, text []byte) {
	s.Size, s.Version = int64(len(text)), sha256.Sum256(text)
	tx.Put(scriptKey(a, s.id), s.encode())
	lo := scriptTextKey(a, s.id)
	tx.DeleteRange(lo, kv.After(lo))
	part := 0
	for some := range slices.Chunk(text, scriptPart) {
		tx.Put(scriptPartKey(a, s.id, part), sealValue(append(newValue(), some...)))
		part++
	}
}

// findScript answers the script of a name; nil is an absent one.
func findScript(all []script, name string) *script {
	for i := range all {
		if all[i].Name == name {
			return &all[i]
		}
	}
	return nil
}

func noScript(name string) error { return fmt.Errorf("script %q: %w", name, ErrNotFound) }

// viewScripts reads without waiting for letters on their way: scripts do not
// come through the log.
func (a *Account) viewScripts(ctx context.Context, fn func(kv.Reader, []script) error) error {
	return a.store.index.View(ctx, a.store.shardOf(a.id).number, func(r kv.Reader) error {
		all, err := readScripts(r, a.id)
		if err != nil {
			return err
		}
		return fn(r, all)
	})
}

// changeScripts is one durable change: [ErrNotFound] where there is no account.
func (a *Account) changeScripts(ctx context.Context, fn func(kv.Tx, []script) error) error {
	sh := a.store.shardOf(a.id)
	// Behind the commit: whoever reads the new turn reads the new script.
	defer sh.scriptTurn.Add(1)
	return a.store.update(ctx, sh, func(tx kv.Tx) error {
		if a.id != systemAccount {
			c, err := getAccount(tx, a.id)
			if err != nil {
				return err
			}
			if c == nil || c.removed {
				return fmt.Errorf("account %d: %w", a.id, ErrNotFound)
			}
		}
		all, err := readScripts(tx, a.id)
		if err != nil {
			return err
		}
		return fn(tx, all)
	})
}

// ScriptTurn changes, before that is acknowledged, whenever a script of the
// account does, and now and then without. Who keeps what he made of a script
// asks for the turn before he reads the script, and reads again when it is
// another one. It costs nothing and says nothing of another process.
func (s *Store) ScriptTurn(a AccountID) uint64 { return s.shardOf(a).scriptTurn.Load() }

// Scripts lists all scripts of the account, by name.
func (a *Account) Scripts(ctx context.Context) (list []Script, err error) {
	err = a.viewScripts(ctx, func(_ kv.Reader, all []script) error {
		list = listed(all)
		return nil
	})
	slices.SortFunc(list, func(x, y Script) int { return strings.Compare(x.Name, y.Name) })
	return list, err
}

func listed(all []script) (list []Script) {
	for i := range all {
		list = append(list, all[i].Script)
	}
	return list
}

// Script reads one script: [ErrNotFound]. Where known says that the caller has
// that version already, the text is not read and is nil; a nil known knows none.
func (a *Account) Script(ctx context.Context, name string, known func(ScriptVersion) bool) (Script, []byte, error) {
	return a.readScript(ctx, func(s *script) bool { return s.Name == name }, noScript(name), known)
}

// ActiveScript reads the active script as [Account.Script] does: [ErrNotFound]
// where none is active.
func (a *Account) ActiveScript(ctx context.Context, known func(ScriptVersion) bool) (Script, []byte, error) {
	return a.readScript(ctx, func(s *script) bool { return s.Active }, fmt.Errorf("an active script: %w", ErrNotFound), known)
}

func (a *Account) readScript(ctx context.Context, which func(*script) bool, absent error, known func(ScriptVersion) bool) (found Script, text []byte, err error) {
	err = a.viewScripts(ctx, func(r kv.Reader, all []script) (err error) {
		for i := range all {
			s := &all[i]
			if !which(s) {
				continue
			}
			if found = s.Script; known == nil || !known(s.Version) {
				text, err = s.readText(r, a.id)
			}
			return err
		}
		return absent
	})
	return found, text, err
}

// PutScript makes a script or replaces it, whole or not at all; an active one
// stays active. allow is shown what is there, within the transaction, and what
// it answers is the answer; nil allows all. A script of more than 4 MiB, or one
// more than a thousand, is [ErrLimit]; a name that is empty or longer than 1,000
// octets [ErrBadName].
func (a *Account) PutScript(ctx context.Context, name string, text []byte, allow func(there []Script) error) error {
	if err := checkScriptName(name); err != nil {
		return err
	}
	if len(text) > maxScript {
		return fmt.Errorf("script of %d octets: %w", len(text), ErrLimit)
	}
	return a.changeScripts(ctx, func(tx kv.Tx, all []script) error {
		if allow != nil {
			if err := allow(listed(all)); err != nil {
				return err
			}
		}
		s := findScript(all, name)
		if s == nil {
			if len(all) >= maxScripts {
				return fmt.Errorf("more than %d scripts: %w", maxScripts, ErrLimit)
			}
			s = &script{Script: Script{Name: name}, id: 1}
			if len(all) > 0 {
				s.id = all[len(all)-1].id + 1
			}
		}
		s.put(tx, a.id, text)
		return nil
	})
}

func checkScriptName(name string) error {
	if name == "" || len(name) > maxScriptName {
		return fmt.Errorf("script name of %d octets: %w", len(name), ErrBadName)
	}
	return nil
}

// ActivateScript makes a script the active one in place of any other, and with
// an empty name none: [ErrNotFound].
func (a *Account) ActivateScript(ctx context.Context, name string) error {
	return a.changeScripts(ctx, func(tx kv.Tx, all []script) error {
		if name == "" {
			tx.Delete(key(a.id, keyActive))
			return nil
		}
		s := findScript(all, name)
		if s == nil {
			return noScript(name)
		}
		tx.Put(key(a.id, keyActive), sealValue(segment.AppendUint(newValue(), s.id)))
		return nil
	})
}

// DeleteScript removes a script: [ErrNotFound], and [ErrActive] for the active
// one.
func (a *Account) DeleteScript(ctx context.Context, name string) error {
	return a.changeScripts(ctx, func(tx kv.Tx, all []script) error {
		s := findScript(all, name)
		switch {
		case s == nil:
			return noScript(name)
		case s.Active:
			return fmt.Errorf("script %q: %w", name, ErrActive)
		}
		tx.Delete(scriptKey(a.id, s.id))
		lo := scriptTextKey(a.id, s.id)
		tx.DeleteRange(lo, kv.After(lo))
		return nil
	})
}

// RenameScript gives a script another name; an active one stays active:
// [ErrNotFound], [ErrExists], [ErrBadName].
func (a *Account) RenameScript(ctx context.Context, from, to string) error {
	if err := checkScriptName(to); err != nil {
		return err
	}
	return a.changeScripts(ctx, func(tx kv.Tx, all []script) error {
		s := findScript(all, from)
		switch {
		case s == nil:
			return noScript(from)
		case from == to:
			return nil
		case findScript(all, to) != nil:
			return fmt.Errorf("script %q: %w", to, ErrExists)
		}
		s.Name = to
		tx.Put(scriptKey(a.id, s.id), s.encode())
		return nil
	})
}
