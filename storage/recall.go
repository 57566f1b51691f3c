package storage

import (
	"sync"

	"letterlock/internal/mail"
)

// maxRecalled is how many people the store knows without looking: some hundred
// octets each. Every letter asks twice for each of its recipients.
const maxRecalled = 10000

// recalled is people by their addresses, as the index had them last.
type recalled struct {
	mu      sync.RWMutex // guards all below
	people  map[mail.Address]Person
	changes uint64
}

// get answers a person; since goes with what is read where none is known.
func (r *recalled) get(addr mail.Address) (p Person, found bool, since uint64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	p, found = r.people[addr]
	return p, found, r.changes
}

// put remembers what was read after get, unless somebody was changed meanwhile.
func (r *recalled) put(addr mail.Address, p Person, since uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changes != since {
		return
	}
	if r.people == nil {
		r.people = make(map[mail.Address]Person)
	}
	for old := range r.people {
		if len(r.people) < maxRecalled {
			break
		}
		delete(r.people, old)
	}
	r.people[addr] = p
}

// forget is called when a change was committed, before anybody hears of it.
func (r *recalled) forget(addr mail.Address) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.people, addr)
	r.changes++
}
