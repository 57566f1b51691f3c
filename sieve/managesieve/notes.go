package managesieve

import (
	"context"
	"strings"
)

// Notes tells the owner of scripts what they could not do: RFC 5804 has no
// command for it.
type Notes interface {
	// Read is what is noted, a line each and the latest last; empty: nothing.
	Read(ctx context.Context, account uint64) (string, error)
	// Forget drops what is noted.
	Forget(ctx context.Context, account uint64) error
}

// NotesName is the script that the notes appear as while there are some: all
// comments. Any client can show it, and delete it, which forgets them; nothing
// else can be done with it.
const NotesName = "letterlock-notes"

var errNotesOnly = no("", "The script "+NotesName+" is written by the server: it can be read and deleted")

// noted is scripts with the notes among them.
type noted struct {
	Scripts
	notes Notes
}

func (n noted) List(ctx context.Context, account uint64) ([]Script, error) {
	list, err := n.Scripts.List(ctx, account)
	if err != nil {
		return nil, err
	}
	text, err := n.notes.Read(ctx, account)
	if err != nil || text == "" {
		return list, err
	}
	return append(list, Script{Name: NotesName}), nil
}

func (n noted) Get(ctx context.Context, account uint64, name string) ([]byte, error) {
	if name != NotesName {
		return n.Scripts.Get(ctx, account, name)
	}
	text, err := n.notes.Read(ctx, account)
	if err == nil && text == "" {
		err = ErrNotFound
	}
	var b strings.Builder
	b.WriteString("# What your scripts could not do lately. Deleting this script forgets it.\r\n")
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		b.WriteString("# " + line + "\r\n")
	}
	return []byte(b.String()), err
}

func (n noted) Delete(ctx context.Context, account uint64, name string) error {
	if name != NotesName {
		return n.Scripts.Delete(ctx, account, name)
	}
	if _, err := n.Get(ctx, account, name); err != nil {
		return err
	}
	return n.notes.Forget(ctx, account)
}

func (n noted) Put(ctx context.Context, account uint64, name string, script []byte, quota Quota) error {
	if name == NotesName {
		return errNotesOnly
	}
	return n.Scripts.Put(ctx, account, name, script, quota)
}

func (n noted) Activate(ctx context.Context, account uint64, name string) error {
	if name == NotesName {
		return errNotesOnly
	}
	return n.Scripts.Activate(ctx, account, name)
}

func (n noted) Rename(ctx context.Context, account uint64, from, to string) error {
	if from == NotesName || to == NotesName {
		return errNotesOnly
	}
	return n.Scripts.Rename(ctx, account, from, to)
}
