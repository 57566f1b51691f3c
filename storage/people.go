package storage

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// Person is one account: who may log in, and with what.
type Person struct {
	ID          AccountID
	Address     mail.Address // its login, folded as the admin configured
	Credentials []byte       // opaque to the vault (internal/auth writes and reads it); empty: no login
	Created     time.Time
	Release     requiretls.Policy // the account's own policy: may only tighten; see [Person.Policy]
	HasRelease  bool              // false: the account has none of its own
}

// Policy is the server's policy for readers, tightened by the account's own
// where it has one: an account can ask for TLS on a server that is content with
// a local connection.
func (p *Person) Policy(server requiretls.Policy) requiretls.Policy {
	if !p.HasRelease {
		return server
	}
	return server.Tighten(p.Release)
}

func addressKey(letter byte, a mail.Address) []byte {
	return append(key(systemAccount, letter), a.Local+"@"+a.Domain...)
}

func appendAddress(b []byte, a mail.Address) []byte {
	return segment.AppendString(segment.AppendString(b, a.Local), a.Domain)
}

func readAddress(f *segment.Fields) mail.Address {
	return mail.Address{Local: f.String(), Domain: f.String()}
}

func (p *Person) encode() []byte {
	b := segment.AppendUint(newValue(), uint64(p.ID))
	b = segment.AppendString(appendAddress(b, p.Address), p.Credentials)
	return sealValue(append(segment.AppendTime(b, p.Created), byte(p.Release), flagByte(p.HasRelease)))
}

func readPerson(f *segment.Fields) (Person, error) {
	p := Person{ID: AccountID(f.Uint()), Address: readAddress(f)}
	p.Credentials = append([]byte(nil), f.Bytes()...)
	p.Created, p.Release = f.Time(), requiretls.Policy(f.Byte())
	p.HasRelease = p.Release != 0
	if f.Left() > 0 { // older values end here
		p.HasRelease = f.Byte() != 0
	}
	return p, f.Err()
}

// underEither reads what is kept under an address. Addresses come with their
// domains in A-labels; earlier versions kept them as they were written.
func underEither(r kv.Reader, letter byte, addr mail.Address) (*segment.Fields, error) {
	f, err := fields(r, addressKey(letter, addr))
	if other := addr.ULabels(); f == nil && err == nil && other != addr {
		f, err = fields(r, addressKey(letter, other))
	}
	return f, err
}

func getPerson(r kv.Reader, addr mail.Address) (Person, error) {
	f, err := underEither(r, keyPerson, addr)
	if err != nil {
		return Person{}, err
	}
	if f == nil {
		return Person{}, fmt.Errorf("%s: %w", addr, ErrNotFound)
	}
	return readPerson(f)
}

// system reads and writes what belongs to no account.
func (s *Store) system(ctx context.Context, fn func(kv.Tx) error) error {
	return s.update(ctx, s.shardOf(systemAccount), fn)
}

// update runs fn as one durable change of a shard.
func (s *Store) update(ctx context.Context, sh *shard, fn func(kv.Tx) error) error {
	err := s.index.Update(ctx, sh.number, fn)
	s.trouble.index(sh, err)
	return unavailable(err)
}

func (s *Store) readSystem(ctx context.Context, fn func(kv.Reader) error) error {
	return s.index.View(ctx, s.shardOf(systemAccount).number, fn)
}

// AddPerson makes an account with its default folders. [ErrExists] where the
// address has one.
func (s *Store) AddPerson(ctx context.Context, addr mail.Address, credentials []byte) (Person, error) {
	p := Person{Address: addr, Credentials: credentials, Created: s.opt.Now()}
	err := s.system(ctx, func(tx kv.Tx) error {
		if _, err := getPerson(tx, addr); !isNotFound(err) {
			return taken(addr, err)
		}
		id, err := nextAccount(tx)
		p.ID = id
		return err
	})
	if err != nil {
		return Person{}, err
	}
	// Folders first: a person who can be found can be delivered to.
	err = s.Account(p.ID).change(ctx, func(_ *txn, c *account) error {
		c.address = addr
		return nil
	})
	if err != nil {
		return Person{}, err
	}
	err = s.system(ctx, func(tx kv.Tx) error {
		if _, err := getPerson(tx, addr); !isNotFound(err) {
			return taken(addr, err)
		}
		tx.Put(addressKey(keyPerson, addr), p.encode())
		return nil
	})
	if err != nil {
		return Person{}, err
	}
	return p, nil
}

// taken is why an address is not free.
func taken(addr mail.Address, err error) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", addr, ErrExists)
}

// nextAccount gives an id that was never given before.
func nextAccount(tx kv.Tx) (AccountID, error) {
	k, id := key(systemAccount, keyNext), uint64(1)
	f, err := fields(tx, k)
	if err != nil {
		return 0, err
	}
	if f != nil {
		id = f.Uint()
	}
	tx.Put(k, sealValue(binary.AppendUvarint(newValue(), id+1)))
	return AccountID(id), nil
}

// Person finds an account by its address: [ErrNotFound].
func (s *Store) Person(ctx context.Context, addr mail.Address) (p Person, err error) {
	p, found, since := s.persons.get(addr)
	if found {
		return p, nil
	}
	err = s.readSystem(ctx, func(r kv.Reader) error {
		p, err = getPerson(r, addr)
		return err
	})
	if err == nil && p.Address == addr { // a change forgets it by this name
		s.persons.put(addr, p, since)
	}
	return p, err
}

// PersonByID finds whom an account belongs to: [ErrNotFound].
func (s *Store) PersonByID(ctx context.Context, id AccountID) (Person, error) {
	var c *account
	err := s.index.View(ctx, s.shardOf(id).number, func(r kv.Reader) (err error) {
		c, err = getAccount(r, id)
		return err
	})
	if err == nil && (c == nil || c.removed) {
		err = ErrNotFound
	}
	if err != nil {
		return Person{}, fmt.Errorf("account %d: %w", id, err)
	}
	if p, err := s.Person(ctx, c.address); err == nil && p.ID == id {
		return p, nil
	}
	absent := ErrNotFound
	for p, err := range s.People(ctx) { // its record knows another name: it was repaired
		switch {
		case err == nil && p.ID == id:
			return p, nil
		case err != nil:
			absent = err // it may be this one
		}
	}
	return Person{}, fmt.Errorf("account %d: %w", id, absent)
}

// eldest is the last answer of [Store.Eldest].
type eldest struct {
	mu     sync.Mutex // guards person
	person Person
}

// Eldest is the person whose account was made first: [ErrNotFound] where there
// is nobody. Only the first call, and one after a removal, looks at them all.
func (s *Store) Eldest(ctx context.Context) (Person, error) {
	s.eldest.mu.Lock()
	known := s.eldest.person
	s.eldest.mu.Unlock()
	if known.ID != 0 {
		if p, err := s.Person(ctx, known.Address); err == nil && p.ID == known.ID || err != nil && !isNotFound(err) {
			return p, err
		}
	}
	var first Person
	for p, err := range s.People(ctx) {
		if isDamaged(err) { // whoever is the next
			continue
		}
		if err != nil {
			return Person{}, err
		}
		if first.ID == 0 || p.ID < first.ID {
			first = p
		}
	}
	if first.ID == 0 {
		return Person{}, fmt.Errorf("no account: %w", ErrNotFound)
	}
	s.eldest.mu.Lock()
	s.eldest.person = first
	s.eldest.mu.Unlock()
	return first, nil
}

// People walks all accounts by address.
func (s *Store) People(ctx context.Context) iter.Seq2[Person, error] {
	return walkSystem(ctx, s, keyPerson, readPerson)
}

// What one transaction of walkSystem reads: a hundred values, and then twice as many
// each time, since where they are sealed each reads all of them.
const (
	leastWalked = 100
	mostWalked  = 16 << 10
)

// walkSystem reads all values of a kind, many per transaction, so that a slow caller
// holds none. One that cannot be read comes as its error, and the others behind it for
// those who go on.
func walkSystem[T any](ctx context.Context, s *Store, letter byte, read func(*segment.Fields) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		lo := key(systemAccount, letter)
		hi := kv.After(lo)
		for limit := leastWalked; ; limit = min(2*limit, mostWalked) {
			var page []walked[T]
			err := s.readSystem(ctx, func(r kv.Reader) error {
				page = page[:0]
				for k, v := range r.Range(lo, hi, kv.Options{Limit: limit}) {
					page = append(page, readWalked(k, v, read))
					lo = append(append([]byte(nil), k...), 0)
				}
				return nil
			})
			if err != nil && !slices.ContainsFunc(page, func(w walked[T]) bool { return w.err != nil }) {
				page = append(page, walked[T]{err: err})
			}
			for _, w := range page {
				if !yield(w.one, w.err) {
					return
				}
			}
			if len(page) < limit {
				return
			}
		}
	}
}

// walked is one value of a walk, or why it cannot be read.
type walked[T any] struct {
	one T
	err error
}

func readWalked[T any](k, v []byte, read func(*segment.Fields) (T, error)) (w walked[T]) {
	if v, w.err = open(v); w.err == nil {
		w.one, w.err = read(segment.ReadFields(append([]byte(nil), v...)))
	}
	if w.err != nil {
		w.err = fmt.Errorf("key %x: %w", k, w.err)
	}
	return w
}

// SetCredentials replaces what a person logs in with: [ErrNotFound].
func (s *Store) SetCredentials(ctx context.Context, addr mail.Address, credentials []byte) error {
	return s.changePerson(ctx, addr, func(p *Person) { p.Credentials = credentials })
}

// SetRelease gives an account a policy of its own: [ErrNotFound].
func (s *Store) SetRelease(ctx context.Context, addr mail.Address, policy requiretls.Policy) error {
	return s.changePerson(ctx, addr, func(p *Person) { p.Release, p.HasRelease = policy, true })
}

// ClearRelease takes an account's own policy away: [ErrNotFound].
func (s *Store) ClearRelease(ctx context.Context, addr mail.Address) error {
	return s.changePerson(ctx, addr, func(p *Person) { p.Release, p.HasRelease = 0, false })
}

func (s *Store) changePerson(ctx context.Context, addr mail.Address, change func(*Person)) error {
	defer s.persons.forget(addr)
	return s.system(ctx, func(tx kv.Tx) error {
		p, err := getPerson(tx, addr)
		if err != nil {
			return err
		}
		change(&p)
		tx.Put(addressKey(keyPerson, p.Address), p.encode())
		return nil
	})
}
