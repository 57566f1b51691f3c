package storage

import (
	"errors"
	"fmt"
	"sync"

	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// trouble remembers what could not be written last, until it can be again.
type trouble struct {
	mu      sync.Mutex // guards all below
	ofLog   error
	ofIndex map[*shard]error
}

// log is told of every append to the log.
func (t *trouble) log(err error) {
	if err != nil && !errors.Is(err, segment.ErrUnwritten) {
		return // the caller's own doing, or he gave up: it says nothing of the log
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ofLog = err
}

// index is told of every change of a shard.
func (t *trouble) index(sh *shard, err error) {
	if err != nil && !errors.Is(err, kv.ErrFailed) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ofIndex == nil {
		t.ofIndex = make(map[*shard]error)
	}
	if err == nil {
		delete(t.ofIndex, sh)
	} else {
		t.ofIndex[sh] = err
	}
}

// Trouble is why the store cannot take changes, in whole or in part, as far as
// it has been tried: a full disk, an I/O error, an index that cannot follow the
// log. nil is good health. It costs nothing to ask.
func (s *Store) Trouble() error {
	s.trouble.mu.Lock()
	var errs []error
	if err := s.trouble.ofLog; err != nil {
		errs = append(errs, err)
	}
	for sh, err := range s.trouble.ofIndex {
		errs = append(errs, fmt.Errorf("shard %d: %w", sh.number, err))
	}
	s.trouble.mu.Unlock()
	for _, sh := range s.shards {
		if err := sh.trouble(); err != nil {
			errs = append(errs, fmt.Errorf("shard %d cannot follow the log: %w", sh.number, err))
		}
	}
	return unavailable(errors.Join(errs...))
}
