package storage

import (
	"context"
	"fmt"
	"iter"

	"letterlock/internal/mail"
	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// Alias sends one address to others. From with an empty Local is the catch-all
// of its domain.
type Alias struct {
	From mail.Address
	To   []mail.Address
}

func readAlias(f *segment.Fields) (Alias, error) {
	l := Alias{From: readAddress(f)}
	for range f.Count() {
		l.To = append(l.To, readAddress(f))
	}
	return l, f.Err()
}

// SetAlias makes or replaces an alias.
func (s *Store) SetAlias(ctx context.Context, a Alias) error {
	return s.ChangeAlias(ctx, a.From, func([]mail.Address) ([]mail.Address, error) { return a.To, nil })
}

// ChangeAlias makes of an alias' targets (nil: there is no such alias) what it
// sends to from now on; where that is nobody there is none. change may be called
// several times, and its error leaves all as it was.
func (s *Store) ChangeAlias(ctx context.Context, from mail.Address, change func(to []mail.Address) ([]mail.Address, error)) error {
	return s.system(ctx, func(tx kv.Tx) error {
		var a Alias
		f, err := underEither(tx, keyAlias, from)
		if err == nil && f != nil {
			a, err = readAlias(f)
		}
		if err == nil {
			a.To, err = change(a.To)
		}
		if err != nil {
			return err
		}
		tx.Delete(addressKey(keyAlias, from.ULabels()))
		tx.Delete(addressKey(keyAlias, from))
		if len(a.To) > 0 {
			tx.Put(addressKey(keyAlias, from), encodeAlias(Alias{from, a.To}))
		}
		return nil
	})
}

func encodeAlias(a Alias) []byte {
	v := segment.AppendUint(appendAddress(newValue(), a.From), uint64(len(a.To)))
	for _, to := range a.To {
		v = appendAddress(v, to)
	}
	return sealValue(v)
}

// Alias finds an alias by the address it stands for: [ErrNotFound].
func (s *Store) Alias(ctx context.Context, from mail.Address) (a Alias, err error) {
	a, err = s.aliasUnder(ctx, from)
	if other := from.ULabels(); isNotFound(err) && other != from { // as in underEither
		a, err = s.aliasUnder(ctx, other)
	}
	if err != nil {
		return a, fmt.Errorf("alias %s: %w", from, err)
	}
	return a, nil
}

func (s *Store) aliasUnder(ctx context.Context, from mail.Address) (a Alias, err error) {
	err = s.index.Get(ctx, s.shardOf(systemAccount).number, addressKey(keyAlias, from), func(v []byte) error {
		if v == nil {
			return ErrNotFound
		}
		v, err := open(v)
		if err == nil {
			a, err = readAlias(segment.ReadFields(v))
		}
		return err
	})
	return a, err
}

// Aliases walks all aliases by the address they stand for.
func (s *Store) Aliases(ctx context.Context) iter.Seq2[Alias, error] {
	return walkSystem(ctx, s, keyAlias, readAlias)
}

// RemoveAlias removes an alias: [ErrNotFound].
func (s *Store) RemoveAlias(ctx context.Context, from mail.Address) error {
	return s.ChangeAlias(ctx, from, func(to []mail.Address) ([]mail.Address, error) {
		if to == nil {
			return nil, fmt.Errorf("alias %s: %w", from, ErrNotFound)
		}
		return nil, nil
	})
}
