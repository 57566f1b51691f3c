package storage

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"letterlock/internal/mail"
	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// A row of the outbox that has rotted has left its time, the message that it wants the
// octets of, and the texts we wrote for it. What it said stands in the checkpoint, or
// in the record of the log that it came of.

// outLeft is what a row that cannot be read has left.
type outLeft struct {
	due     []byte // its key; nil: it waits for no time
	account AccountID
	number  uint64 // of the message; 0: none
}

// outLeft looks for what a row has left by keys alone: any value may have rotted, too.
func (g *grafter) outLeft(ctx context.Context, n int, id OutID) (left outLeft, err error) {
	err = g.index.Engine.View(ctx, n, func(r kv.Reader) error {
		left = outLeft{}
		for k := range r.Range(nil, nil, kv.Options{}) {
			a, letter := keyAccountOf(k), k[keyHead-1]
			switch {
			case a == systemAccount && letter == keyDue && OutID(tailUint64(k)) == id:
				left.due = bytes.Clone(k)
			case a != systemAccount && letter == keySending && OutID(tailUint64(k)) == id:
				left.account, left.number = a, binary.BigEndian.Uint64(k[keyHead:])
			}
		}
		return nil
	})
	return left, err
}

// mendOut puts a row in the place of one that has rotted, due when that was. One that
// nobody knows any more ends.
func (g *grafter) mendOut(ctx context.Context, n int, id OutID, was pair) error {
	left, err := g.outLeft(ctx, n, id)
	if err != nil {
		return err
	}
	from := "checkpoint"
	w, err := decodedOut(was.value)
	if w == nil && left.number != 0 && err == nil {
		from = "log"
		w, err = g.sentOn(ctx, n, id, left)
	}
	if err != nil {
		return err
	}
	if w == nil {
		g.say(fmt.Sprintf("outbox, row %d: it is lost, and neither the checkpoint nor the log says what it was", id))
	} else {
		g.say(fmt.Sprintf("outbox, row %d, to %s: taken from the %s", id, w.slip.To, from))
	}
	return g.index.Update(ctx, n, func(tx kv.Tx) error {
		switch {
		case w == nil:
			if left.due != nil {
				tx.Delete(left.due)
			}
			gone := outRow{account: left.account, number: left.number}
			gone.end(tx, id)
			return nil
		case left.due != nil:
			w.state, w.due = outQueued, time.UnixMicro(int64(binary.BigEndian.Uint64(left.due[keyHead:]))).UTC()
		case w.state == outQueued:
			w.state, w.history.Error = outHeld, "held: its row was damaged, and it waited for no time"
		}
		w.write(tx, id)
		return nil
	})
}

// decodedOut is a row as a checkpoint has it; nil where it does not.
func decodedOut(v []byte) (*outRow, error) {
	v, err := open(v)
	if err != nil { // nil, too
		return nil, nil
	}
	w, err := decodeOut(v)
	return &w, err
}

// sentOn finds in the record of a message what a row said that wants its octets: the
// only one of what leaves there that has neither another row nor other texts; nil where
// nobody can tell.
func (g *grafter) sentOn(ctx context.Context, n int, id OutID, left outLeft) (*outRow, error) {
	rows, err := g.sentOut(ctx, n, left)
	if isDamaged(err) {
		return nil, nil
	}
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	texts, err := g.textsOf(ctx, n, id)
	if err != nil {
		return nil, err
	}
	others, err := g.othersOf(ctx, n, id, left)
	if err != nil {
		return nil, err
	}
	rows = slices.DeleteFunc(rows, func(w outRow) bool {
		own := slices.Concat(w.slip.Prefix, w.slip.Suffix, w.slip.Redacted)
		return slices.Contains(others, w.slip.To) || texts != nil && !bytes.Equal(own, texts)
	})
	if len(rows) != 1 {
		return nil, nil
	}
	w := &rows[0]
	w.account, w.number = left.account, left.number
	for i, text := range w.texts() {
		w.lengths[i] = uint64(len(*text))
	}
	return w, nil
}

// sentOut is what left because of a message, with its octets.
func (g *grafter) sentOut(ctx context.Context, n int, left outLeft) (rows []outRow, err error) {
	var message *row
	err = g.index.View(ctx, n, func(r kv.Reader) (err error) {
		message, err = mustRow(r, left.account, left.number)
		return err
	})
	if err != nil {
		return nil, err
	}
	log, err := segment.Open(filepath.Join(g.dir, segmentDir), filepath.Join(g.dir, tempDir), segment.Options{Keys: g.opt.Keys})
	if err != nil {
		return nil, err
	}
	defer log.Close() // read only: nothing can be lost
	stored, err := log.Open(message.at)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", segment.ErrDamaged, err)
	}
	defer stored.Close()
	r, err := stored.Record()
	if err != nil {
		return nil, err
	}
	for i := range r.Recipients {
		if AccountID(r.Recipients[i].Account) == left.account && r.Number(i) == left.number {
			m, err := decodeMore(r.Recipients[i].More)
			return slices.DeleteFunc(m.out, func(w outRow) bool { return w.slip.Source != mail.FromBody }), err
		}
	}
	return nil, nil
}

// textsOf is the texts of a row, one behind the other; nil where they cannot be read.
func (g *grafter) textsOf(ctx context.Context, n int, id OutID) (texts []byte, err error) {
	err = g.index.View(ctx, n, func(r kv.Reader) error {
		texts = []byte{}
		lo := outTextKey(id)
		for _, v := range r.Range(lo, kv.After(lo), kv.Options{}) {
			v, err := open(v)
			if err != nil {
				return err
			}
			texts = append(texts, v...)
		}
		return nil
	})
	if isDamaged(err) {
		return nil, nil
	}
	return texts, err
}

// othersOf is to whom other rows send the same message.
func (g *grafter) othersOf(ctx context.Context, n int, id OutID, left outLeft) (to []mail.Address, err error) {
	var ids []OutID
	err = g.index.Engine.View(ctx, n, func(r kv.Reader) error {
		ids = nil
		lo := keyUint64(left.account, keySending, left.number)
		for k := range r.Range(lo, kv.After(lo), kv.Options{}) {
			ids = append(ids, OutID(tailUint64(k)))
		}
		return nil
	})
	for _, other := range ids {
		if err != nil || other == id {
			continue
		}
		var w *outRow
		err = g.index.View(ctx, n, func(r kv.Reader) (err error) {
			w, err = getOut(r, other)
			return err
		})
		if isDamaged(err) {
			err = nil
		} else if w != nil {
			to = append(to, w.slip.To)
		}
	}
	return to, err
}
