package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"letterlock/storage"
)

// CheckSteps implements [Operations].
func (d *Desk) CheckSteps(ctx context.Context, told func(CheckNews)) error {
	found := func(f Finding) { told(CheckNews{Finding: &f}) }
	names := make(map[storage.AccountID]string)
	for p, err := range d.opt.Store.People(ctx) {
		if err != nil {
			found(Finding{What: fmt.Sprintf("the list of users cannot be read: %v", err)})
			break
		}
		names[p.ID] = p.Address.String()
	}
	var last time.Time
	return d.opt.Store.CheckSteps(ctx, func(f storage.Finding) {
		name := names[f.Account]
		if name == "" && f.Account != 0 {
			name = fmt.Sprintf("account %d", f.Account)
		}
		found(Finding{Account: name, Mailbox: f.Mailbox, UID: uint32(f.UID), What: f.What})
	}, func(done, total int) {
		if now := time.Now(); now.Sub(last) >= progressEvery {
			last = now
			told(CheckNews{Steps: &Steps{done, total}})
		}
	})
}

// What lies in a backup: the store's own, the private certificates, and files
// with a secret.
const (
	FormatName   = "FORMAT" // written last: without it a folder is neither store nor backup
	tlsName      = "tls"
	secretSuffix = ".secret"
)

var backupNames = []string{FormatName, "SEALED", "index", "seg", tlsName, OfFileSystem}

// OfFileSystem is what a file system puts into its own root: a disk of its own is
// as good as an empty folder.
const OfFileSystem = "lost+found"

// Backup implements [Operations].
func (d *Desk) Backup(ctx context.Context, dir string, told func(Progress)) error {
	if err := d.mayBackup(dir); err != nil {
		return err
	}
	if err := CopySecrets(d.opt.Data, dir); err != nil { // first: what is finished has them
		return err
	}
	ended := make(chan error, 1)
	total := FolderSize(filepath.Join(d.opt.Data, "seg")) + FolderSize(filepath.Join(d.opt.Data, "index"))
	kept := FolderSize(filepath.Join(dir, "seg"))
	begun := time.Now()
	go func() { ended <- d.opt.Store.Backup(ctx, dir) }()
	look := time.NewTicker(progressEvery)
	defer look.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-look.C:
			told(Progress{writtenSince(dir, begun), total - min(kept, total)})
		}
	}
}

const progressEvery = 500 * time.Millisecond

// mayBackup refuses a folder whose files a backup would take for its own.
func (d *Desk) mayBackup(dir string) error {
	if !filepath.IsAbs(dir) {
		return refuse("name it from the root: /…", "%s is not an absolute path", dir)
	}
	if Inside(d.opt.Data, dir) {
		return refuse("name a folder elsewhere, best on another disk", "%s lies in the data folder", dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return refuse("the user letterlock runs as must be able to write there", "%v", err).because(err)
	}
	for _, e := range entries {
		if name := strings.TrimSuffix(e.Name(), ".new"); !slices.Contains(backupNames, name) && !strings.HasSuffix(name, secretSuffix) {
			return refuse("name an empty folder, or one that holds an earlier backup", "%s holds something else: %s", dir, e.Name())
		}
	}
	ours, err := os.ReadFile(filepath.Join(d.opt.Data, FormatName))
	if err != nil {
		return err
	}
	if theirs, err := os.ReadFile(filepath.Join(dir, FormatName)); err == nil && storeOf(theirs) != storeOf(ours) {
		return refuse("give each store a folder of its own", "%s holds the backup of another store", dir)
	}
	return nil
}

// storeOf is the line of a FORMAT that says which store it is: the others change
// with the version of the program.
func storeOf(format []byte) string {
	for line := range strings.Lines(string(format)) {
		if strings.HasPrefix(line, "store ") {
			return line
		}
	}
	return ""
}

// Inside says whether a path lies in a folder, whatever links lead there.
func Inside(dir, path string) bool {
	rel, err := filepath.Rel(resolved(dir), resolved(path))
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

// resolved is a path without links, as far as it is there.
func resolved(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	rest := ""
	for at := path; ; at = filepath.Dir(at) {
		if there, err := filepath.EvalSymlinks(at); err == nil {
			return filepath.Join(there, rest)
		}
		if at == filepath.Dir(at) {
			return path
		}
		rest = filepath.Join(filepath.Base(at), rest)
	}
}

// CopySecrets copies from one folder to another what makes this house itself to
// others, where it is there: the private CA and certificate, which who trusts
// them goes on to, and the secrets it signs addresses and logins with.
func CopySecrets(from, to string) error {
	err := copyEnding(from, to, secretSuffix)
	if err == nil {
		err = copyEnding(filepath.Join(from, tlsName), filepath.Join(to, tlsName), ".pem")
	}
	if err != nil {
		return fmt.Errorf("copy certificates and secrets: %w", err)
	}
	return nil
}

// copyEnding copies the files of a folder whose names end so. A folder that is
// not there has none.
func copyEnding(from, to, suffix string) error {
	entries, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = os.MkdirAll(to, 0o700)
	}
	for _, e := range entries {
		if err == nil && strings.HasSuffix(e.Name(), suffix) {
			err = copyFile(filepath.Join(from, e.Name()), filepath.Join(to, e.Name()))
		}
	}
	if err == nil {
		err = syncFolder(to)
	}
	return err
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(to+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Chmod(info.Mode().Perm()), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(to+".new", to)
}

// FolderSize counts the octets in the files of a folder, as far as they can be
// looked at.
func FolderSize(dir string) uint64 { return writtenSince(dir, time.Time{}) }

// writtenSince counts only the files that have changed since.
func writtenSince(dir string, since time.Time) (n uint64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil
		}
		if info, err := e.Info(); err == nil && !info.ModTime().Before(since) {
			n += uint64(info.Size())
		}
		return nil
	})
	return n
}
