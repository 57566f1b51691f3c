package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"letterlock/internal/admin"
	"letterlock/internal/config"
	"letterlock/storage"
	"letterlock/storage/seal"
)

var fsckVerb = verb{
	name:  "fsck",
	args:  "[--repair] [--json]",
	short: "read all mail and every index, and tell what is wrong",
	setup: func(f *flag.FlagSet) action {
		conf, asJSON := configFlag(f), jsonFlag(f)
		mend := f.Bool("repair", false, "mend what is wrong first; the server must be stopped")
		return func(ctx context.Context, c *call) error {
			if len(c.args) != 0 {
				return errArguments
			}
			ctx, stop := interruptible(ctx)
			defer stop()
			x := &examination{call: c, progress: newProgress(c), OK: true, Repairs: []string{}, Findings: []admin.Finding{}}
			x.quiet = *asJSON
			if err := x.run(ctx, *conf, *mend); err != nil {
				return err
			}
			if *asJSON {
				if err := printJSON(c.out, x); err != nil {
					return err
				}
			}
			return x.verdict()
		}
	},
}

// interruptible lets ^C end long work as it ends everything else: cleanly.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}

// examination is one run of fsck.
type examination struct {
	*call     `json:"-"`
	*progress `json:"-"`
	quiet     bool
	repaired  bool
	steps     atomic.Pointer[admin.Steps]

	OK       bool            `json:"ok"`
	Repairs  []string        `json:"repairs"`  // what was done, in order
	Findings []admin.Finding `json:"findings"` // what is wrong now
}

func (x *examination) run(ctx context.Context, conf string, mend bool) error {
	cfg, err := config.Load(conf)
	if err == nil {
		err = dataThere(cfg)
	}
	if err != nil {
		return err
	}
	defer x.during(x.line)()
	if mend {
		if err := x.repair(ctx, cfg); err != nil {
			return err
		}
	}
	return x.check(ctx, cfg)
}

// repair needs the store to itself.
func (x *examination) repair(ctx context.Context, cfg *config.Config) error {
	if err := checkOwner(cfg.Data); err != nil {
		return err
	}
	opt, err := storeOptions(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	x.repaired = true
	err = storage.Repair(ctx, cfg.Data, opt, x.mended)
	switch {
	case errors.Is(err, storage.ErrLocked):
		return withHint(err, "a repair needs the store to itself: stop the server first; without --repair fsck runs beside it")
	case errors.Is(err, storage.ErrForeign):
		return withHint(err, foreignHint)
	case errors.Is(err, seal.ErrNoKey):
		return withHint(err, "nothing was thrown away: key_file in section [storage] names the file with the keys")
	case errors.Is(err, fs.ErrPermission):
		return withHint(err, "nothing was thrown away: run it as the user whose mail it is")
	case errors.Is(err, context.Canceled):
		return withHint(err, "run it again: it goes on where it was ended")
	}
	return withHint(err, "nothing was thrown away: what could not be read lies beside the index; restore a backup, or look at the disk")
}

func (x *examination) mended(line string) {
	x.Repairs = append(x.Repairs, line)
	x.say("mended: " + line)
}

// check asks the server that runs, or opens the store. One that does not open
// is what fsck is there to tell of.
func (x *examination) check(ctx context.Context, cfg *config.Config) error {
	var broken error
	o, done, err := admin.Reach(ctx, cfg.Data, func() (*admin.Desk, func() error, error) {
		desk, done, err := openDesk(cfg)
		broken = err
		return desk, done, err
	})
	if err != nil && err == broken && hintOf(err) == "" {
		x.found(admin.Finding{What: err.Error()})
		return nil
	}
	if err != nil {
		return err
	}
	err = o.CheckSteps(ctx, func(n admin.CheckNews) {
		if n.Finding != nil {
			x.found(*n.Finding)
		}
		if n.Steps != nil {
			x.steps.Store(n.Steps)
		}
	})
	return errors.Join(err, done())
}

// line is how far it is.
func (x *examination) line(passed time.Duration) string {
	line := "reading all mail, " + passed.Round(time.Second).String()
	if s := x.steps.Load(); s != nil && s.Total > 0 {
		line += fmt.Sprintf(", %d of %d parts", s.Done, s.Total)
	}
	return line
}

func (x *examination) found(f admin.Finding) {
	x.OK = false
	x.Findings = append(x.Findings, f)
	x.say("wrong: " + f.String())
}

// say prints a line at once, however long the rest takes.
func (x *examination) say(line string) {
	if x.quiet {
		return
	}
	x.clear()
	fmt.Fprintln(x.out, line)
}

func (x *examination) verdict() error {
	switch {
	case x.OK:
		x.say("nothing is wrong")
		return nil
	case !x.repaired:
		x.hint("stop the server, then: letterlock fsck --repair")
	default:
		x.hint("what no repair brings back is in a backup: letterlock help restore")
	}
	return errSaid
}

func (x *examination) hint(text string) {
	if !x.quiet {
		fmt.Fprintf(x.err, "hint: %s\n", text)
	}
}
