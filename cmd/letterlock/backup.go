package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"letterlock/internal/admin"
	"letterlock/internal/config"
	"letterlock/storage"
	"letterlock/storage/seal"
)

var backupVerb = verb{
	name:  "backup",
	args:  "DIR",
	short: "copy all mail and users to DIR, or bring the copy there up to date",
	setup: func(f *flag.FlagSet) action {
		conf := configFlag(f)
		return func(ctx context.Context, c *call) error {
			if len(c.args) != 1 || c.args[0] == "" { // a script's variable that is not set is no folder
				return errArguments
			}
			ctx, stop := interruptible(ctx)
			defer stop()
			p := newProgress(c)
			defer p.clear()
			return atDesk(ctx, *conf, mustExist, func(o admin.Operations) error {
				return o.Backup(ctx, absolute(c.args[0]), func(n admin.Progress) {
					p.show("%s of about %s", octets(n.Done), octets(max(n.Done, n.Total)))
				})
			})
		}
	},
}

var restoreVerb = verb{
	name:  "restore",
	args:  "DIR",
	short: "make the data folder out of the backup in DIR",
	setup: func(f *flag.FlagSet) action {
		conf := configFlag(f)
		return func(ctx context.Context, c *call) error {
			if len(c.args) != 1 || c.args[0] == "" { // a script's variable that is not set is no folder
				return errArguments
			}
			ctx, stop := interruptible(ctx)
			defer stop()
			return restore(ctx, c, *conf, c.args[0])
		}
	},
}

func restore(ctx context.Context, c *call, conf, backup string) error {
	cfg, err := config.Load(conf)
	if err != nil {
		return err
	}
	if err := emptyFolder(cfg.Data); err != nil {
		return err
	}
	p, total := newProgress(c), admin.FolderSize(backup)
	stop := p.during(func(time.Duration) string {
		return fmt.Sprintf("%s of %s", octets(admin.FolderSize(cfg.Data)), octets(total))
	})
	held, err := putBack(ctx, cfg, backup)
	stop()
	if err != nil {
		return errors.Join(err, empty(cfg.Data, err))
	}
	if held > 0 {
		fmt.Fprintf(c.err, "note: %d letters that wait to leave are held, since they may have left after the backup: letterlock queue shows them, letterlock queue retry sends them\n", held)
	}
	return nil
}

// emptyFolder makes the data folder, or refuses one with something in it.
func emptyFolder(dir string) error {
	if err := checkOwner(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	entries, err := contents(dir)
	switch {
	case err != nil || len(entries) == 0:
		return err
	case halfRestored(dir):
		return withHint(fmt.Errorf("the data folder %s holds a store without %s", dir, admin.FormatName), restoreAgain)
	}
	return withHint(fmt.Errorf("the data folder %s is not empty: %s", dir, entries[0].Name()),
		"stop the server and move the folder away, or name another one with data = … in the config")
}

const restoreAgain = "a restore that was killed leaves such a folder: move it away and run letterlock restore again"

// halfRestored says whether a folder is as a restore leaves it that was killed: it is
// no store yet, and does not become one by itself.
func halfRestored(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, admin.FormatName))
	segments, _ := os.ReadDir(filepath.Join(dir, "seg")) // one that cannot be read is another trouble
	return errors.Is(err, fs.ErrNotExist) && len(segments) > 0
}

// contents is what lies in a folder, but for [admin.OfFileSystem].
func contents(dir string) ([]fs.DirEntry, error) {
	entries, err := os.ReadDir(dir)
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.Name() == admin.OfFileSystem }), err
}

// empty takes out again what a restore that failed because of why has put there.
// Where somebody else has the folder since we looked, it is his.
func empty(dir string, why error) error {
	if errors.Is(why, storage.ErrLocked) || errors.Is(why, storage.ErrExists) {
		return nil
	}
	entries, err := contents(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// putBack restores, and opens the store once, which replays what the index of
// the backup did not know yet. It answers how many letters are held.
func putBack(ctx context.Context, cfg *config.Config, backup string) (held int, err error) {
	opt, err := storeOptions(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return 0, err
	}
	if err = storage.CheckBackup(ctx, backup, opt.Keys); err == nil {
		err = storage.Restore(ctx, backup, cfg.Data, func() error { return admin.CopySecrets(backup, cfg.Data) })
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, withHint(err, "name the folder that letterlock backup was given; one that was cut short is finished by running it again")
	case errors.Is(err, seal.ErrNoKey):
		return 0, withHint(err, "nothing was restored: key_file in section [storage] has to name a copy of the file with the keys of the store that was backed up; it is in no backup")
	case err != nil:
		return 0, err
	}
	desk, done, err := openDesk(cfg)
	if err != nil {
		return 0, err
	}
	err = desk.Queue(ctx, admin.Selection{State: "held"}, func(admin.QueueRow) { held++ })
	return held, errors.Join(err, done())
}
