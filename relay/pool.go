package relay

import (
	"context"
	"maps"
	"net/netip"
	"sync"
	"time"
)

// pool keeps connections for the next letter of the same key, for a moment.
type pool struct {
	mu     sync.Mutex // guards all below
	idle   map[string][]*idleSession
	count  int
	closed bool
}

type idleSession struct {
	*session
	timer *time.Timer
}

const (
	maxIdle    = 20               // connections kept
	idleLife   = 10 * time.Second // below what any host waits (RFC 5321 §4.5.3.2.7)
	maxLetters = 100              // over one connection
	waitRSET   = 10 * time.Second
)

func newPool() *pool { return &pool{idle: map[string][]*idleSession{}} }

// take gives a connection of that key which still answers, or nil.
func (p *pool) take(ctx context.Context, key string) *session {
	for {
		s := p.pop(key)
		if s == nil {
			return nil
		}
		stop := context.AfterFunc(ctx, func() { s.conn.Close() })
		_, err := s.say("2", waitRSET, "RSET")
		if stop() && err == nil {
			s.reused = true
			return s
		}
		s.conn.Close()
	}
}

func (p *pool) pop(key string) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.idle[key]
	if len(list) == 0 {
		return nil
	}
	i := list[len(list)-1]
	p.remove(key, i)
	i.timer.Stop()
	return i.session
}

// remove is called with the lock held; it says whether i was there.
func (p *pool) remove(key string, i *idleSession) bool {
	list := p.idle[key]
	for n, other := range list {
		if other == i {
			list = append(list[:n:n], list[n+1:]...)
			if p.count--; len(list) == 0 {
				delete(p.idle, key)
			} else {
				p.idle[key] = list
			}
			return true
		}
	}
	return false
}

// put keeps a connection, or says goodbye to it where there are enough.
func (p *pool) put(key string, s *session) {
	p.mu.Lock()
	if p.closed || p.count >= maxIdle || s.letters >= maxLetters {
		p.mu.Unlock()
		s.quit()
		return
	}
	i := &idleSession{session: s}
	i.timer = time.AfterFunc(idleLife, func() {
		p.mu.Lock()
		mine := p.remove(key, i)
		p.mu.Unlock()
		if mine {
			s.quit()
		}
	})
	p.idle[key] = append(p.idle[key], i)
	p.count++
	p.mu.Unlock()
}

// leave says goodbye over every connection to an address, and says whether there
// was one.
func (p *pool) leave(addr netip.Addr) bool {
	p.mu.Lock()
	var there []*idleSession
	for key, list := range maps.Clone(p.idle) {
		for _, i := range list {
			if i.addr == addr && i.timer.Stop() && p.remove(key, i) {
				there = append(there, i)
			}
		}
	}
	p.mu.Unlock()
	for _, i := range there {
		i.quit()
	}
	return len(there) > 0
}

// close says goodbye to all.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	var rest []*session
	for _, list := range p.idle {
		for _, i := range list {
			i.timer.Stop()
			rest = append(rest, i.session) // whoever takes it off the map says goodbye
		}
	}
	p.idle, p.count = map[string][]*idleSession{}, 0
	p.mu.Unlock()
	var wg sync.WaitGroup
	for _, s := range rest {
		wg.Go(s.quit)
	}
	wg.Wait()
}
