package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"letterlock/internal/config"
	"letterlock/storage/seal"
)

// openKeys reads the keys of an encrypted vault.
func openKeys(file string) (*seal.Keys, error) {
	keys, err := seal.Open(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = withHint(err, "letterlock key new makes one; keys that are lost are nowhere else than in a backup of the file")
	case errors.Is(err, seal.ErrLoose):
		err = withHint(err, "chmod 600 %s", file)
	}
	return keys, err
}

// keyFile is the file that the config names.
func keyFile(conf string) (*config.Config, string, error) {
	cfg, err := config.Load(conf)
	if err != nil {
		return nil, "", err
	}
	if cfg.Storage.KeyFile == "" {
		return nil, "", withHint(errors.New("the config names no key file"), "set key_file in section [storage], such as /etc/letterlock/mail.keys: not in the data folder, nor in its backups")
	}
	return cfg, cfg.Storage.KeyFile, nil
}

var keyNew = verb{
	name:  "key new",
	short: "make the key file that the config names, to encrypt all mail with",
	setup: func(f *flag.FlagSet) action {
		conf := configFlag(f)
		return func(_ context.Context, c *call) error {
			if len(c.args) != 0 {
				return errArguments
			}
			cfg, file, err := keyFile(*conf)
			if err != nil {
				return err
			}
			if _, err := seal.NewKeyFile(file); errors.Is(err, fs.ErrExist) {
				return withHint(fmt.Errorf("%s is there already", file), "letterlock key rotate adds a key to it")
			} else if err != nil {
				return err
			}
			fmt.Fprintf(c.err, "note: whoever loses %s has lost the mail: keep a copy of it, apart from the mail and its backups\n", file)
			if inside(cfg.Data, file) {
				fmt.Fprintf(c.err, "note: it lies in the data folder: whoever finds the mail finds the key\n")
			}
			return nil
		}
	},
}

// inside says whether a file lies in a folder.
func inside(dir, file string) bool {
	rel, err := filepath.Rel(absolute(dir), absolute(file))
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

var keyRotate = verb{
	name:  "key rotate",
	short: "add a key that encrypts what comes from the next start on",
	setup: func(f *flag.FlagSet) action {
		conf := configFlag(f)
		return func(_ context.Context, c *call) error {
			if len(c.args) != 0 {
				return errArguments
			}
			_, file, err := keyFile(*conf)
			if err != nil {
				return err
			}
			if _, err := seal.Rotate(file); err != nil {
				return err
			}
			fmt.Fprintf(c.err, "note: keep a copy of %s again; what is there stays under its older key\n", file)
			return nil
		}
	},
}

// shownKey is one key, as it is listed. Nothing of it can open anything.
type shownKey struct {
	ID      string `json:"id"`
	Made    string `json:"made"`
	Current bool   `json:"current"`
}

var keyList = verb{
	name:  "key list",
	args:  "[--json]",
	short: "list the keys that mail is encrypted with",
	setup: func(f *flag.FlagSet) action {
		conf, asJSON := configFlag(f), jsonFlag(f)
		return func(_ context.Context, c *call) error {
			if len(c.args) != 0 {
				return errArguments
			}
			_, file, err := keyFile(*conf)
			if err != nil {
				return err
			}
			keys, err := openKeys(file)
			if err != nil {
				return err
			}
			all := []shownKey{}
			for _, k := range keys.All() {
				all = append(all, shownKey{k.ID.String(), stamp(k.Made), k.ID == keys.Current()})
			}
			if *asJSON {
				return printJSON(c.out, all)
			}
			w := columns(c.out)
			for _, k := range all {
				mark := ""
				if k.Current {
					mark = "current"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\n", k.ID, k.Made, mark)
			}
			return w.Flush()
		}
	},
}
