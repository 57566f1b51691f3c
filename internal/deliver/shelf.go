package deliver

import (
	"container/list"
	"sync"

	"letterlock/sieve"
)

// maxShelf bounds what compiled scripts may take, as [cost] guesses it.
const maxShelf = 128 << 20

// shelf keeps scripts compiled, by their versions: one that was changed takes
// effect with the next message.
type shelf struct {
	engine *sieve.Engine

	mu    sync.Mutex // guards what follows
	books map[book]*list.Element
	used  list.List // of *compiled, the latest first
	size  int
	bare  map[uint64]uint64 // accounts without scripts, and when that was so
}

type book struct {
	owner   uint64
	version [32]byte
}

type compiled struct {
	book
	title  string
	octets int // of its text
	script *sieve.Script
	err    error // why it does not compile
}

func newShelf(e *sieve.Engine) *shelf {
	return &shelf{engine: e, books: map[book]*list.Element{}, bare: map[uint64]uint64{}}
}

// cost is about what a compiled script takes.
func (c *compiled) cost() int {
	if c.script == nil {
		return 2048 + 8*c.octets
	}
	return 2048 + 8*c.octets + c.script.Patterns()
}

// fetch is the script that read finds, compiled; nil where it finds none. The
// text is read only where its version is new.
func (f *shelf) fetch(owner uint64, read func(Known) (Script, bool, error)) (*compiled, error) {
	var hit *compiled
	s, found, err := read(func(version [32]byte) bool {
		hit = f.find(book{owner, version})
		return hit != nil
	})
	if err != nil || !found {
		return nil, err
	}
	if hit != nil {
		return hit, nil
	}
	c := &compiled{book: book{owner, s.Version}, title: title(owner, s.Name), octets: len(s.Text)}
	c.script, c.err = f.engine.Compile(c.title, s.Text)
	f.put(c)
	return c, nil
}

func (f *shelf) find(b book) *compiled {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, ok := f.books[b]
	if !ok {
		return nil
	}
	f.used.MoveToFront(e)
	return e.Value.(*compiled)
}

func (f *shelf) put(c *compiled) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if old, ok := f.books[c.book]; ok {
		f.drop(old)
	}
	f.books[c.book] = f.used.PushFront(c)
	f.size += c.cost()
	for f.size > maxShelf && f.used.Len() > 1 {
		f.drop(f.used.Back())
	}
}

func (f *shelf) drop(e *list.Element) {
	c := f.used.Remove(e).(*compiled)
	delete(f.books, c.book)
	f.size -= c.cost()
}

// maxBare bounds how many accounts are known to have no scripts.
const maxBare = 1 << 17

// isBare says whether an account is known to have no scripts at this turn.
func (f *shelf) isBare(account, turn uint64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	at, known := f.bare[account]
	return known && at == turn
}

func (f *shelf) setBare(account, turn uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.bare) >= maxBare {
		clear(f.bare)
	}
	f.bare[account] = turn
}
