package main

import (
	"os"
	"os/signal"
	"strings"

	"letterlock/internal/config"
	"letterlock/internal/serve"
)

// rereadOn reads the files anew at each signal until stop is called.
func (h *house) rereadOn(hangup chan os.Signal, conf string) (stop func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range hangup {
			h.reread(conf)
		}
	}()
	return func() {
		signal.Stop(hangup)
		close(hangup)
		<-done
	}
}

// reread reads anew every file that the config names and that can change under a
// server that runs. One that is broken leaves what was there, and the log says so.
func (h *house) reread(conf string) {
	if err := h.reload(); err != nil {
		h.log.Error("certificate not reloaded, the old one stays", "error", err)
	} else {
		h.log.Info("certificate reloaded", "expires", h.certs.Expires())
	}
	for _, s := range []*serve.Server{h.lmtp, h.imap, h.rules} {
		h.keepOld(s.Reload())
	}
	h.rereadProofs()
	h.tryKeys()
	h.compareConfig(conf)
	h.log.Info("files reread")
}

// rereadProofs reads what proves the relay to others and others to it.
func (h *house) rereadProofs() {
	if h.relay == nil {
		return
	}
	now, err := credentials(&h.cfg.Relay, h.relay.Credentials())
	h.keepOld(err)
	h.relay.Renew(now)
}

// keepOld says of each file that could not be read that what was there stays.
func (h *house) keepOld(err error) {
	if err == nil {
		return
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		h.log.Error("file not reread, what was there stays", "error", line)
	}
}

// compareConfig says what of the config itself has changed: that waits for the next
// start, which a broken one would stop.
func (h *house) compareConfig(conf string) {
	if info, err := os.Stat(h.cfg.File); err == nil && !info.Mode().IsRegular() {
		return // a pipe says what it says once
	}
	now, err := config.Load(conf)
	if err != nil {
		h.log.Error("the config cannot be read: nothing changes now, and the next start would fail", "error", err)
		return
	}
	if changed := h.cfg.Changed(now); len(changed) > 0 {
		h.log.Warn("the config has changed: letterlock has to be started anew for that", "file", now.File, "changed", changed)
	}
}

// tryKeys says of a key file that is broken: it is not read again before the next
// start.
func (h *house) tryKeys() {
	if h.cfg.Storage.KeyFile == "" {
		return
	}
	if _, err := openKeys(h.cfg.Storage.KeyFile); err != nil {
		h.log.Error("storage.key_file cannot be read: its keys stay in use, and the next start would fail", "error", err)
	}
}
