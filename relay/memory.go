package relay

import (
	"context"
	"slices"
	"strings"
	"sync"
)

// memory is [Policies] without a store: what it knows ends with the process.
type memory struct {
	mu     sync.Mutex // guards values
	values map[string][]byte
}

// maxRemembered bounds the memory; what is beyond it is looked up each time.
const maxRemembered = 10_000

func newMemory() *memory { return &memory{values: map[string][]byte{}} }

func (m *memory) Get(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.values[key], nil
}

func (m *memory) Put(_ context.Context, key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if value == nil {
		delete(m.values, key)
		return nil
	}
	if _, old := m.values[key]; old || len(m.values) < maxRemembered {
		m.values[key] = value
	}
	return nil
}

func (m *memory) Keys(_ context.Context, prefix, after string, limit int) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var keys []string
	for k := range m.values {
		if strings.HasPrefix(k, prefix) && k > after {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys[:min(len(keys), limit)], nil
}
