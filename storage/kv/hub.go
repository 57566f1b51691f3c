package kv

import "sync"

// Hub carries signals from commits to those who watch a topic: the part of
// [Engine.Watch] that lies inside one process.
type Hub struct {
	mu     sync.Mutex // guards topics
	topics map[string]map[chan struct{}]struct{}
}

// Watch joins topic until stop is called.
func (h *Hub) Watch(topic []byte) (moved <-chan struct{}, stop func()) {
	name, ch := string(topic), make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.topics == nil {
		h.topics = make(map[string]map[chan struct{}]struct{})
	}
	if h.topics[name] == nil {
		h.topics[name] = make(map[chan struct{}]struct{})
	}
	h.topics[name][ch] = struct{}{}
	return ch, func() { h.leave(name, ch) }
}

func (h *Hub) leave(name string, ch chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.topics[name], ch)
	if len(h.topics[name]) == 0 {
		delete(h.topics, name)
	}
}

// Signal wakes whoever watches topic. It never blocks: a channel that has a
// signal waiting keeps that one.
func (h *Hub) Signal(topic string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for ch := range h.topics[topic] {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}
