package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"letterlock/internal/admin"
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
	case errors.Is(err, fs.ErrPermission):
		err = withHint(err, "it has to belong to the user letterlock runs as: chown %s %s", userName(os.Geteuid()), file)
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
			if err := giveToOwner(file, cfg.Data); err != nil {
				return err
			}
			fmt.Fprintf(c.err, "note: whoever loses %s has lost the mail: keep a copy of it, apart from the mail and its backups\n", file)
			if admin.Inside(cfg.Data, file) {
				fmt.Fprintf(c.err, "note: it lies in the data folder: whoever finds the mail finds the key\n")
			}
			return nil
		}
	},
}

// giveToOwner gives a new file that root has made to whom the data folder belongs,
// who is to read it.
func giveToOwner(file, data string) error {
	info, err := os.Stat(data)
	if os.Geteuid() != 0 || err != nil {
		return nil // nobody to give it to, or nobody who could
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 {
		return nil
	}
	return os.Chown(file, int(st.Uid), int(st.Gid))
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

var keyList = verb{
	name:  "key list",
	args:  "[--json]",
	short: "show how much mail is encrypted, and with which key",
	setup: func(f *flag.FlagSet) action {
		return asking(f, 0, 0, func(ctx context.Context, o admin.Operations, _ []string) (admin.KeyStatus, error) {
			return o.Keys(ctx)
		}, func(out io.Writer, s admin.KeyStatus) error {
			w := columns(out)
			for _, k := range s.Keys {
				mark := ""
				switch {
				case k.Missing:
					mark = "missing from the key file"
				case k.Current:
					mark = "current"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", k.ID, stamp(k.Made), octets(uint64(k.Octets())), mark)
			}
			if s.Clear.Octets() > 0 || !s.Sealing {
				fmt.Fprintf(w, "in clear\t\t%s\n", octets(uint64(s.Clear.Octets())))
			}
			return w.Flush()
		})
	},
}

var keySeal = verb{
	name:  "key seal",
	args:  "[--rate SIZE]",
	short: "encrypt what lies in clear or under an older key with the current one",
	setup: func(f *flag.FlagSet) action {
		conf := configFlag(f)
		rate := f.String("rate", "", "`SIZE` a second at most, such as 50MB; without it as fast as it goes")
		return func(ctx context.Context, c *call) error {
			if len(c.args) != 0 {
				return errArguments
			}
			var order admin.SealOrder
			if *rate != "" {
				n, err := config.ParseOctets(*rate)
				if err != nil {
					return &usageError{fmt.Sprintf("--rate %q is not a size", *rate), err.Error()}
				}
				order.Rate = int64(n)
			}
			ctx, stop := interruptible(ctx)
			defer stop()
			p := newProgress(c)
			defer p.clear()
			return atDesk(ctx, *conf, mustExist, func(o admin.Operations) error {
				return o.Seal(ctx, order, func(s admin.Steps) { p.show("encrypting, %d of %d parts", s.Done, s.Total) })
			})
		}
	},
}

var keyRetire = verb{
	name:  "key retire",
	args:  "ID",
	short: "throw an old key away that nothing is encrypted with",
	setup: func(f *flag.FlagSet) action {
		conf := configFlag(f)
		return func(ctx context.Context, c *call) error {
			if len(c.args) != 1 {
				return errArguments
			}
			id, err := seal.ParseID(c.args[0])
			if err != nil {
				return &usageError{fmt.Sprintf("%q is no key", c.args[0]), "letterlock key list shows them"}
			}
			_, file, err := keyFile(*conf)
			if err != nil {
				return err
			}
			return atDesk(ctx, *conf, mustExist, func(o admin.Operations) error {
				s, err := o.Keys(ctx)
				if err != nil {
					return err
				}
				if err := mayRetire(s, id); err != nil {
					return err
				}
				return seal.Retire(file, id)
			})
		}
	},
}

// mayRetire refuses while anything is sealed with the key, or is going to be: the
// server that runs knows which one it uses.
func mayRetire(s admin.KeyStatus, id seal.ID) error {
	for _, k := range s.Keys {
		switch {
		case k.ID != id.String():
		case k.Current:
			return withHint(fmt.Errorf("what comes is encrypted with key %s", id),
				"letterlock key rotate adds another one, which is used from the next start of the server on")
		case k.Octets() > 0:
			return withHint(fmt.Errorf("%s of mail is encrypted with key %s", octets(uint64(k.Octets())), id),
				"letterlock key seal encrypts it with the current one; so must be the backups that are still needed")
		}
	}
	return nil
}
