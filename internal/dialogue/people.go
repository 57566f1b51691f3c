package dialogue

import (
	"bytes"
	"context"
	"errors"
	"sync"

	"letterlock/internal/auth"
	"letterlock/internal/mail"
	"letterlock/storage"
)

// Users is who may log in: the people of a store, by their addresses.
type Users struct{ *storage.Store }

// Credentials finds a login, for [auth.Checker].
func (u Users) Credentials(ctx context.Context, login string) (uint64, []byte, error) {
	addr, err := mail.ParseAddress(login)
	if err != nil {
		return 0, nil, auth.ErrNoUser
	}
	p, err := u.Person(ctx, addr.Fold())
	if errors.Is(err, storage.ErrNotFound) {
		return 0, nil, auth.ErrNoUser
	}
	return uint64(p.ID), p.Credentials, err
}

// Record is a log to be looked at. Any goroutine may write it.
type Record struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (r *Record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

// String is what was written so far.
func (r *Record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}
