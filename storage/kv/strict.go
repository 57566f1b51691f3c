package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
)

// Strict wraps an engine for tests, so that code which leans on one engine's
// kindness breaks: closures of Update run twice now and then, slices are
// poisoned when the closure returns, and a key that place puts into another
// shard fails the call (negative: it may lie in any). place may be nil.
func Strict(e Engine, place func(key []byte) (shard int)) Engine {
	return &strict{Engine: e, place: place}
}

type strict struct {
	Engine
	place func([]byte) int
}

var errAgain = errors.New("run again")

// errMisplaced is a bug of the caller: a key in a shard that is not its own.
var errMisplaced = errors.New("key belongs to another shard")

func (s *strict) View(ctx context.Context, shard int, fn func(Reader) error) error {
	return s.Engine.View(ctx, shard, func(r Reader) error {
		w := &strictReader{strict: s, r: r, shard: shard}
		defer w.poison()
		return errors.Join(fn(w), w.err)
	})
}

func (s *strict) Update(ctx context.Context, shard int, fn func(Tx) error) error {
	if rand.IntN(4) == 0 {
		err := s.Engine.Update(ctx, shard, func(tx Tx) error {
			return errors.Join(s.once(shard, fn, tx), errAgain)
		})
		if !errors.Is(err, errAgain) {
			return err
		}
	}
	return s.Engine.Update(ctx, shard, func(tx Tx) error { return s.once(shard, fn, tx) })
}

func (s *strict) once(shard int, fn func(Tx) error, tx Tx) error {
	w := &strictTx{strictReader{strict: s, r: tx, shard: shard}, tx}
	defer w.poison()
	err := fn(w)
	return errors.Join(err, w.err)
}

func (s *strict) Copy(ctx context.Context, shard int, w io.Writer) error {
	return s.Engine.Copy(ctx, shard, w)
}

type strictReader struct {
	*strict
	r     Reader
	shard int
	lent  [][]byte
	err   error
}

// lend hands out a copy that poison can ruin.
func (r *strictReader) lend(b []byte) []byte {
	if b == nil {
		return nil
	}
	c := append(make([]byte, 0, len(b)), b...)
	r.lent = append(r.lent, c)
	return c
}

func (r *strictReader) poison() {
	for _, b := range r.lent {
		for i := range b {
			b[i] = 0xdb
		}
	}
}

func (r *strictReader) check(key []byte) {
	if r.place == nil || key == nil || r.err != nil {
		return
	}
	if home := r.place(key); home >= 0 && home != r.shard {
		r.err = fmt.Errorf("%x in shard %d: %w", key, r.shard, errMisplaced)
	}
}

func (r *strictReader) Get(key []byte) []byte {
	r.check(key)
	return r.lend(r.r.Get(key))
}

func (r *strictReader) Range(lo, hi []byte, o Options) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		for k, v := range r.r.Range(lo, hi, o) {
			if !yield(r.lend(k), r.lend(v)) {
				return
			}
		}
	}
}

type strictTx struct {
	strictReader
	tx Tx
}

func (t *strictTx) Put(key, value []byte) {
	t.check(key)
	k, v := bytes.Clone(key), bytes.Clone(value)
	t.tx.Put(k, v)
	// "Both are copied": whoever keeps them shows here.
	clear(k)
	clear(v)
}

func (t *strictTx) Delete(key []byte) {
	t.check(key)
	t.tx.Delete(key)
}

func (t *strictTx) DeleteRange(lo, hi []byte) {
	t.check(lo)
	t.tx.DeleteRange(lo, hi)
}

func (t *strictTx) Notify(topic []byte) { t.tx.Notify(topic) }
