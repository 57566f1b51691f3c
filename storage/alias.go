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
	v := segment.AppendUint(appendAddress(newValue(), a.From), uint64(len(a.To)))
	for _, to := range a.To {
		v = appendAddress(v, to)
	}
	return s.system(ctx, func(tx kv.Tx) error {
		tx.Delete(addressKey(keyAlias, a.From.ULabels()))
		tx.Put(addressKey(keyAlias, a.From), sealValue(v))
		return nil
	})
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
	return s.system(ctx, func(tx kv.Tx) error {
		found := false
		for _, name := range []mail.Address{from, from.ULabels()} {
			found = found || tx.Get(addressKey(keyAlias, name)) != nil
			tx.Delete(addressKey(keyAlias, name))
		}
		if !found {
			return fmt.Errorf("alias %s: %w", from, ErrNotFound)
		}
		return nil
	})
}
