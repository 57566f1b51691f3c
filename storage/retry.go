package storage

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
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
// hour, as done. A process that is killed says nothing: what its log holds beyond
// the index, the last half second, is taken for unheard when it is opened again, and
// what came shortly before that, since the index follows at once where somebody looks;
// but each once, since most of it was heard.

const (
	retryMemory = time.Hour
	maxRetries  = 10000 // the oldest of more are forgotten
)

// letterHash stands for an envelope, a body and one recipient.
type letterHash [sha256.Size]byte

// likeness stands for what is known of a letter and one recipient before its body
// is read; zero: not known.
type likeness uint64

// unheard is a letter that was acknowledged and not answered, or perhaps not.
type unheard struct {
	until time.Time
	like  likeness
	once  bool // nobody knows whether it was answered: it is forgotten when it comes again
}

// retries is what was acknowledged and not answered. Bodies of letters that are
// like none of these are not hashed: that would be nearly all of them.
type retries struct {
	mu      sync.Mutex // guards all below
	letters map[letterHash]unheard
	like    map[likeness]int // how many of letters
	blind   time.Time        // until when there are letters of an unknown likeness
}

func (t *retries) empty() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.letters) == 0
}

// mayHave says whether a letter may be one of them.
func (t *retries) mayHave(like likeness, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return now.Before(t.blind) || t.like[like] > 0
}

func (t *retries) has(h letterHash, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.letters[h]
	if l.once {
		t.forget(h)
	}
	return now.Before(l.until)
}

// add remembers letters and answers those that are to be forgotten.
func (t *retries) add(now time.Time, letters map[letterHash]unheard) (stale []letterHash) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for h, l := range t.letters {
		if !now.Before(l.until) || len(t.letters)+len(letters) > maxRetries {
			t.forget(h)
			stale = append(stale, h)
		}
	}
	for h, l := range letters {
		t.remember(h, l)
	}
	return stale
}

// remember and forget are for those who hold mu.
func (t *retries) remember(h letterHash, l unheard) {
	if t.letters == nil {
		t.letters, t.like = make(map[letterHash]unheard), make(map[likeness]int)
	}
	t.forget(h)
	t.letters[h] = l
	if t.like[l.like]++; l.like == 0 && t.blind.Before(l.until) {
		t.blind = l.until
	}
}

func (t *retries) forget(h letterHash) {
	l, known := t.letters[h]
	if !known {
		return
	}
	delete(t.letters, h)
	if t.like[l.like]--; t.like[l.like] == 0 {
		delete(t.like, l.like)
	}
}

// likenessOf is never zero.
func likenessOf(env *mail.Envelope, body mail.Body, rcpt mail.Address) likeness {
	b := make([]byte, 0, 128)
	b = segment.AppendInt(append(b, env.Demand.Byte()), body.Size())
	sum := sha256.Sum256(appendAddress(appendAddress(b, env.From), rcpt))
	return likeness(binary.LittleEndian.Uint64(sum[:]) | 1)
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
	now := s.opt.Now()
	letters := make(map[letterHash]unheard)
	for _, rcpt := range rcpts {
		letters[own(rcpt)] = unheard{until: now.Add(retryMemory), like: likenessOf(env, body, rcpt)}
	}
	stale := s.retries.add(now, letters)
	return s.system(ctx, func(tx kv.Tx) error {
		for _, h := range stale[:min(len(stale), kv.MaxTxWrites/2)] {
			tx.Delete(retryKey(h))
		}
		for h, l := range letters {
			v := segment.AppendTime(newValue(), l.until)
			tx.Put(retryKey(h), sealValue(segment.AppendUint(v, uint64(l.like))))
		}
		return nil
	})
}

// repeated says which plans were acknowledged before without an answer.
func (s *Store) repeated(env *mail.Envelope, body mail.Body, plans []mail.Delivery) (func(i int) bool, error) {
	now := s.opt.Now()
	mayBe := func(p mail.Delivery) bool { return s.retries.mayHave(likenessOf(env, body, p.Rcpt), now) }
	if s.retries.empty() || !slices.ContainsFunc(plans, mayBe) {
		return func(int) bool { return false }, nil
	}
	own, err := hashLetter(env, body)
	if err != nil {
		return nil, err
	}
	known := make(map[mail.Address]bool) // an alias has several plans and one answer
	return func(i int) bool {
		rcpt := plans[i].Rcpt
		if _, asked := known[rcpt]; !asked {
			known[rcpt] = s.retries.has(own(rcpt), now)
		}
		return known[rcpt]
	}, nil
}

// How much of what a crash has left in the log is looked through for letters that
// may not have been answered, the newest first.
const (
	maxUncertain       = 1000            // letters
	maxUncertainOctets = 64 << 20        // of their bodies
	lookedBack         = 2 * time.Second // before the last letter
)

// uncertain is the newest letters of a log whose answers nobody may have heard: the
// process was killed.
type uncertain struct {
	letters []*segment.Record
	octets  int64
}

func (u *uncertain) add(r *segment.Record) {
	if r.Kind != segment.Delivered && r.Kind != segment.Several {
		return
	}
	u.letters, u.octets = append(u.letters, r), u.octets+r.RawSize
	for len(u.letters) > maxUncertain || u.octets > maxUncertainOctets {
		u.octets -= u.letters[0].RawSize
		u.letters[0] = nil
		u.letters = u.letters[1:]
	}
}

// lookBack adds the letters that came shortly before the last, of the segment in which
// a replay began at from, and before that. What cannot be read is passed over.
func (u *uncertain) lookBack(s *Store, from segment.Pos) {
	segments := s.log.Segments()
	i := slices.IndexFunc(segments, func(seg segment.Segment) bool { return seg.Number == from.Segment })
	if i < 0 {
		return
	}
	var older uncertain
	_, err := s.log.Scan(segments[i], func(r *segment.Record) error {
		if !r.At.Before(from) {
			return errEnough
		}
		older.add(r)
		return nil
	})
	if err != nil && err != errEnough {
		s.opt.Log.Warn("letters that were perhaps not answered are not looked for", "err", err)
	}
	all, since := append(older.letters, u.letters...), time.Time{}
	if len(all) > 0 {
		since = all[len(all)-1].Envelope.Received.Add(-lookedBack)
	}
	*u = uncertain{}
	for i, r := range all {
		if i >= len(older.letters) || r.Envelope.Received.After(since) {
			u.add(r)
		}
	}
}

var errEnough = errors.New("enough was read")

// remember takes them for unheard, in memory alone. What cannot be read is passed
// over: at worst a letter comes twice.
func (u *uncertain) remember(s *Store) {
	now := s.opt.Now()
	letters := make(map[letterHash]unheard)
	for _, r := range slices.Backward(u.letters) {
		if now.Sub(r.Envelope.Received) > retryMemory || len(letters)+len(r.Recipients) > maxRetries/2 {
			break
		}
		body, err := s.log.Open(r.At)
		if err != nil {
			continue
		}
		own, err := hashLetter(&r.Envelope, body)
		if err == nil {
			for i := range r.Recipients {
				rcpt := r.Recipients[i].Rcpt
				if rcpt.IsNull() { // nobody says for whom it was
					continue
				}
				letters[own(rcpt)] = unheard{until: now.Add(retryMemory), like: likenessOf(&r.Envelope, body, rcpt), once: true}
			}
		}
		_ = body.Close() // read only: nothing can be lost
	}
	s.retries.add(now, letters)
	u.letters = nil
}

// loadRetries reads what an earlier process remembered. What is damaged is
// forgotten: at worst a letter comes twice.
func (s *Store) loadRetries(ctx context.Context) error {
	lo := key(systemAccount, keyRetry)
	err := s.readSystem(ctx, func(r kv.Reader) error {
		s.retries.mu.Lock()
		defer s.retries.mu.Unlock()
		for k, v := range r.Range(lo, kv.After(lo), kv.Options{Limit: maxRetries}) {
			v, err := open(v)
			if err != nil {
				s.opt.Log.Warn("a letter that was not answered is forgotten", "err", err)
				continue
			}
			f := segment.ReadFields(v)
			l := unheard{until: f.Time()}
			if f.Left() > 0 { // older values end here
				l.like = likeness(f.Uint())
			}
			s.retries.remember(letterHash(k[len(lo):]), l)
		}
		return nil
	})
	if isDamaged(err) { // sealed, and not to be opened
		s.opt.Log.Warn("letters that were not answered are forgotten", "err", err)
		return nil
	}
	return err
}
