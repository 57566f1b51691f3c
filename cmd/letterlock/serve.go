package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"

	"letterlock/internal/config"
)

var serveVerb = verb{
	name:  "serve",
	args:  "[--config FILE]",
	short: "take mail over LMTP, sort it, and show it over IMAP",
	setup: func(f *flag.FlagSet) action {
		conf := configFlag(f)
		return func(ctx context.Context, c *call) error {
			if len(c.args) != 0 {
				return errArguments
			}
			return serveHouse(ctx, c, *conf)
		}
	},
}

// serveHouse builds the house and lives in it until a signal. The first
// SIGTERM or SIGINT drains; a second one finds the default again and cuts,
// which loses nothing that was acknowledged. Where nobody reads our log any more,
// mail goes on: by default a write to the broken pipe would end us, and systemd takes
// that for a clean end and starts nothing anew.
func serveHouse(ctx context.Context, c *call, conf string) error {
	spendMemory()
	leaveRoomForDisks()
	ctx, restore := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer restore()
	signal.Ignore(syscall.SIGPIPE)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // one that comes while we start is heard when we have, and does not end us
	cfg, err := config.Load(conf)
	if err != nil {
		return err
	}
	log := newLog(c.err)
	h, err := build(cfg, log)
	if err != nil {
		return err
	}
	news, err := h.welcome(ctx)
	if err != nil {
		return errors.Join(err, h.abandon())
	}
	defer h.rereadOn(hangup, conf)()
	context.AfterFunc(ctx, func() {
		restore()
		tellSystemd(log, daemon.SdNotifyStopping)
		log.Info("stopping: a second signal cuts")
	})
	err = h.run(ctx, func() {
		fmt.Fprint(c.out, news)
		tellSystemd(log, daemon.SdNotifyReady)
		log.Info("ready", "pid", os.Getpid(), "version", thisBinary().Version,
			"lmtp", texts(h.lmtp.Addrs()), "imap", texts(h.imap.Addrs()), "managesieve", texts(h.rules.Addrs()),
			"relay", cfg.Relay.Mode, "admin", texts(h.web.Addrs()), "data", cfg.Data)
	})
	log.Info("stopped")
	return err
}

// tellSystemd says how far we are, where somebody wants to know (sd_notify(3)).
func tellSystemd(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd not told", "state", state, "error", err)
	}
}
