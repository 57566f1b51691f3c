package storage

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"sync"
	"time"

	"letterlock/internal/mail"
	"letterlock/storage/kv"
	"letterlock/storage/segment"
)

// An LMTP client that never read our 250 offers the letter again (RFC 5321
// §6.1 asks it to; RFC 1047 says how the second copy comes about). Whoever
// could not write an answer says so with [Store.Unanswered], and [Store.Commit]
// then takes the same envelope and body for the same recipient, within the
// hour, as done.

const (
	retryMemory = time.Hour
	maxRetries  = 10000 // the oldest of more are forgotten
)

// letterHash stands for an envelope, a body and one recipient.
type letterHash [sha256.Size]byte

// retries is what was acknowledged and not answered. Nearly always nothing:
// then no body is hashed.
type retries struct {
	mu    sync.Mutex // guards until
	until map[letterHash]time.Time
}

func (t *retries) empty() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.until) == 0
}

func (t *retries) has(h letterHash, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return now.Before(t.until[h])
}

// add remembers hashes and answers those that are to be forgotten.
func (t *retries) add(now time.Time, hashes []letterHash) (stale []letterHash) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.until == nil {
		t.until = make(map[letterHash]time.Time)
	}
	for h, end := range t.until {
		if !now.Before(end) || len(t.until)+len(hashes) > maxRetries {
			delete(t.until, h)
			stale = append(stale, h)
		}
	}
	for _, h := range hashes {
		t.until[h] = now.Add(retryMemory)
	}
	return stale
}

func retryKey(h letterHash) []byte { return append(key(systemAccount, keyRetry), h[:]...) }

// hashLetter reads the body once; own finishes the hash for one recipient.
func hashLetter(env *mail.Envelope, body mail.Body) (own func(mail.Address) letterHash, err error) {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(body, 0, body.Size())); err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	common := append(appendAddress(h.Sum(nil), env.From), env.Demand.Byte())
	return func(rcpt mail.Address) letterHash {
		return sha256.Sum256(appendAddress(common[:len(common):len(common)], rcpt))
	}, nil
}

// Unanswered says that Commit took a letter for rcpts and that nobody could be
// told. At most a few hundred recipients of one connection.
func (s *Store) Unanswered(ctx context.Context, env *mail.Envelope, body mail.Body, rcpts []mail.Address) error {
	own, err := hashLetter(env, body)
	if err != nil {
		return err
	}
	var hashes []letterHash
	for _, rcpt := range rcpts {
		hashes = append(hashes, own(rcpt))
	}
	now := s.opt.Now()
	stale := s.retries.add(now, hashes)
	return s.system(ctx, func(tx kv.Tx) error {
		for _, h := range stale[:min(len(stale), kv.MaxTxWrites/2)] {
			tx.Delete(retryKey(h))
		}
		for _, h := range hashes {
			tx.Put(retryKey(h), sealValue(segment.AppendTime(newValue(), now.Add(retryMemory))))
		}
		return nil
	})
}

// repeated says which plans were acknowledged before without an answer.
func (s *Store) repeated(env *mail.Envelope, body mail.Body, plans []mail.Delivery) (func(i int) bool, error) {
	if s.retries.empty() {
		return func(int) bool { return false }, nil
	}
	own, err := hashLetter(env, body)
	if err != nil {
		return nil, err
	}
	now := s.opt.Now()
	return func(i int) bool { return s.retries.has(own(plans[i].Rcpt), now) }, nil
}

// loadRetries reads what an earlier process remembered.
func (s *Store) loadRetries(ctx context.Context) error {
	lo := key(systemAccount, keyRetry)
	s.retries.until = make(map[letterHash]time.Time)
	return s.readSystem(ctx, func(r kv.Reader) error {
		for k, v := range r.Range(lo, kv.After(lo), kv.Options{Limit: maxRetries}) {
			v, err := open(v)
			if err != nil {
				return fmt.Errorf("key %x: %w", k, err)
			}
			s.retries.until[letterHash(k[len(lo):])] = segment.ReadFields(v).Time()
		}
		return nil
	})
}
