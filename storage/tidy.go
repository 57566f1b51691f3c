package storage

import (
	"context"

	"letterlock/internal/search"
	"letterlock/storage/kv"
)

// tidyAfter is how many messages of an account must go before its groups of
// filters are looked through.
const tidyAfter = 2 * search.MaxGroup

// thinGroups is groups, one after the other, of which most members are gone.
type thinGroups struct {
	keys   [][]byte
	living []numbered
}

// tidyFilters makes groups anew of which less than half of the members are left.
func (a *Account) tidyFilters(ctx context.Context) error {
	for next := filtersKey(a.id); next != nil; {
		var thin thinGroups
		err := a.store.index.View(ctx, a.store.shardOf(a.id).number, func(r kv.Reader) (err error) {
			thin, next, err = a.thinFilters(r, next)
			return err
		})
		if err == nil {
			err = a.store.load.wait(ctx)
		}
		if err == nil && len(thin.keys) > 0 {
			err = a.rebuildFilters(ctx, &thin)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// groupsAtOnce is how many groups one transaction looks at.
const groupsAtOnce = 32

// thinFilters finds the next stretch of thin groups. next is where to go on; nil
// at the end.
func (a *Account) thinFilters(r kv.Reader, lo []byte) (thin thinGroups, next []byte, err error) {
	n := 0
	for k, v := range r.Range(lo, kv.After(filtersKey(a.id)), kv.Options{Limit: groupsAtOnce}) {
		next = append(append([]byte(nil), k...), 0)
		n++
		numbers, _, err := openFilters(v)
		if err != nil {
			continue // it is made anew when somebody asks it
		}
		living, err := a.livingRows(r, numbers)
		if err != nil {
			return thin, nil, err
		}
		if 2*len(living) < len(numbers) {
			thin.keys = append(thin.keys, append([]byte(nil), k...))
			thin.living = append(thin.living, living...)
			if len(thin.living) >= search.MaxGroup/2 {
				return thin, next, nil
			}
		} else if len(thin.keys) > 0 {
			return thin, next, nil
		}
	}
	if n < groupsAtOnce {
		next = nil
	}
	return thin, next, nil
}

func (a *Account) livingRows(r kv.Reader, numbers []uint64) (living []numbered, err error) {
	err = values(r, a.id, keyRow, len(numbers), func(i int) uint64 { return numbers[i] }, func(i int, v []byte) error {
		if v == nil {
			return nil
		}
		w, err := decodeRow(v)
		if err == nil {
			living = append(living, numbered{numbers[i], w})
		}
		return err
	})
	return living, err
}

// rebuildFilters puts groups of the living in the place of thin ones.
func (a *Account) rebuildFilters(ctx context.Context, thin *thinGroups) error {
	var made [][]byte
	var firsts []uint64
	for rows := thin.living; len(rows) > 0; {
		groups, last, err := a.makeFilters(ctx, rows)
		if err != nil {
			return err
		}
		for _, g := range groups {
			if len(g.numbers) > 0 {
				firsts = append(firsts, g.numbers[0])
				made = append(made, sealValue(appendFilters(newValue(), g.numbers, g.filters)))
			}
		}
		for len(rows) > 0 && rows[0].number <= last {
			rows = rows[1:]
		}
	}
	return a.store.index.Update(ctx, a.store.shardOf(a.id).number, func(tx kv.Tx) error {
		for _, k := range thin.keys {
			if v, err := get(tx, k); v == nil || err != nil { // gone meanwhile, with its account or to be made anew
				return err
			}
		}
		for _, k := range thin.keys {
			tx.Delete(k)
		}
		for i, v := range made {
			tx.Put(filterKey(a.id, firsts[i]), v)
		}
		return nil
	})
}
