package storage

import "sync"

// watchers counts who waits for news of an account, so that its letters are
// brought into the index at once.
type watchers struct {
	mu    sync.Mutex // guards count
	count map[AccountID]int
}

func (w *watchers) watched(a AccountID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count[a] > 0
}

func (w *watchers) add(a AccountID, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count == nil {
		w.count = make(map[AccountID]int)
	}
	if w.count[a] += n; w.count[a] == 0 {
		delete(w.count, a)
	}
}

// Watch signals, without data, that the mailbox moved; the channel has room for
// one signal and may signal spuriously. stop ends it. While somebody watches,
// what comes for the account is shown within milliseconds.
func (a *Account) Watch(id MailboxID) (moved <-chan struct{}, stop func()) {
	return a.join(boxKey(a.id, id))
}

// WatchAll is [Account.Watch] for all that [Account.Moved] tells of (RFC 5465).
func (a *Account) WatchAll() (moved <-chan struct{}, stop func()) { return a.join(accountKey(a.id)) }

func (a *Account) join(topic []byte) (moved <-chan struct{}, stop func()) {
	moved, leave := a.store.index.Watch(topic)
	a.store.watch.add(a.id, 1)
	var once sync.Once
	return moved, func() {
		once.Do(func() {
			leave()
			a.store.watch.add(a.id, -1)
		})
	}
}
