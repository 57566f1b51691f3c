package main

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"letterlock/internal/config"
	"letterlock/storage"
)

// reader is told of every line of a log.
type reader func(line string)

func (r reader) Write(line []byte) (int, error) {
	r(string(line))
	return len(line), nil
}

// Whoever asks for the queue every minute asks in the moment, too, in which a server
// is started anew; then the verb has the store.
func TestAStartWaitsForAVerbThatHasTheStore(t *testing.T) {
	cfg := config.Default()
	cfg.Data = filepath.Join(t.TempDir(), "data")
	verb, err := storage.Open(cfg.Data, storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{cfg: cfg, log: slog.New(slog.NewTextHandler(reader(func(line string) {
		if !strings.Contains(line, "waiting for the data folder") {
			return
		}
		if err := verb.Close(); err != nil {
			t.Error(err)
		}
	}), nil))}
	if err := h.openVault(); err != nil {
		t.Fatalf("the start failed: %v", err)
	}
	if err := h.abandon(); err != nil {
		t.Error(err)
	}
}
