package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"

	"letterlock/internal/admin"
	"letterlock/internal/config"
	"letterlock/internal/deliver"
	"letterlock/internal/maillog"
	"letterlock/sieve/managesieve"
	"letterlock/storage"
)

// folder says what a verb needs of the data folder.
type folder uint8

const (
	mustExist folder = iota // there is nothing to list, change or remove where no store is
	mayCreate               // a first user or alias may be added before the first start
)

// atDesk carries operations out on the data folder of the config: through the
// server that runs on it, or else on the store itself.
func atDesk(ctx context.Context, conf string, need folder, do func(admin.Operations) error) error {
	cfg, err := config.Load(conf)
	if err == nil && need == mustExist {
		err = dataThere(cfg)
	}
	if err != nil {
		return err
	}
	o, done, err := admin.Reach(ctx, cfg.Data, func() (*admin.Desk, func() error, error) { return openDesk(cfg) })
	if err != nil {
		return err
	}
	return errors.Join(do(o), done())
}

// dataThere refuses a data folder that is not there.
func dataThere(cfg *config.Config) error {
	if _, err := os.Stat(cfg.Data); errors.Is(err, fs.ErrNotExist) {
		return withHint(fmt.Errorf("there is no data folder %s", cfg.Data), "--config FILE names the config of the server; letterlock user add makes a first user")
	}
	return nil
}

// listing is what a verb does that lists things of the store: a line for each,
// in columns, or JSON.
func listing[T any](f *flag.FlagSet, list func(admin.Operations, context.Context) ([]T, error), line func(io.Writer, T)) action {
	conf, asJSON := configFlag(f), jsonFlag(f)
	return func(ctx context.Context, c *call) error {
		if len(c.args) != 0 {
			return errArguments
		}
		return atDesk(ctx, *conf, mustExist, func(o admin.Operations) error {
			all, err := list(o, ctx)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(c.out, all)
			}
			w := columns(c.out)
			for _, one := range all {
				line(w, one)
			}
			return w.Flush()
		})
	}
}

// asking is what a verb does that asks one thing about its arguments, at least
// and at most so many: it is shown for people, or as JSON.
func asking[T any](f *flag.FlagSet, least, most int, ask func(context.Context, admin.Operations, []string) (T, error), show func(io.Writer, T) error) action {
	conf, asJSON := configFlag(f), jsonFlag(f)
	return func(ctx context.Context, c *call) error {
		if len(c.args) < least || len(c.args) > most {
			return errArguments
		}
		return atDesk(ctx, *conf, mustExist, func(o admin.Operations) error {
			answer, err := ask(ctx, o, c.args)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(c.out, answer)
			}
			return show(c.out, answer)
		})
	}
}

// changing is what a verb does that changes something, and says nothing where
// it went well.
func changing(f *flag.FlagSet, least, most int, change func(context.Context, admin.Operations, []string) error) action {
	conf := configFlag(f)
	return func(ctx context.Context, c *call) error {
		if len(c.args) < least || len(c.args) > most {
			return errArguments
		}
		return atDesk(ctx, *conf, mustExist, func(o admin.Operations) error { return change(ctx, o, c.args) })
	}
}

// openDesk is for the time when no server runs.
func openDesk(cfg *config.Config) (*admin.Desk, func() error, error) {
	store, err := openStore(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, nil, err
	}
	way, err := newRelay(cfg, store, maillog.New(slog.New(slog.DiscardHandler)), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	opt := deskOptions(cfg, store)
	opt.Engine, opt.RuleLog, opt.Relay = deliver.NewEngine(language(cfg)), deliver.NewRuleLog(rulesLog{store}), way
	return admin.NewDesk(opt), store.Close, nil
}

// deskOptions are what the admin's operations need of an open vault, whether a
// server runs or not.
func deskOptions(cfg *config.Config, store *storage.Store) admin.Options {
	return admin.Options{
		Store: store, Data: cfg.Data, Addresses: addresses(cfg),
		Limits:     storage.Usage{Bytes: uint64(cfg.Quota.Bytes), Messages: uint64(cfg.Quota.Messages)},
		ScriptName: managesieve.Name,
		Release:    releasePolicy[cfg.IMAP.Release],
	}
}

// addresses is how the config wants addresses read.
func addresses(cfg *config.Config) deliver.Addresses {
	return deliver.Addresses{
		Domain:    cfg.Address.Domain,
		Delimiter: cfg.Address.Delimiter,
		Fold:      cfg.Address.Case == config.CaseFold,
	}
}
