package imapd

import (
	"bytes"
	"path/filepath"
	"reflect"
	"testing"

	"letterlock/internal/mail"
	"letterlock/internal/mime"
	"letterlock/internal/requiretls"
	"letterlock/storage"
)

// TestNamesNeedNoView: where REQUIRETLS mail is hidden, a list of names neither says
// how many such letters there are (RFC 8689 §4.4) nor costs a look at each mailbox.
func TestNamesNeedNoView(t *testing.T) {
	t.Parallel()
	store, err := storage.Open(filepath.Join(t.TempDir(), "data"), storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	ctx := t.Context()
	person, err := store.AddPerson(ctx, mail.Address{Local: "ann", Domain: "example.org"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.NewReader([]byte("A: b\r\n\r\nhi\r\n"))
	summary, err := mime.Summarize(body)
	if err != nil {
		t.Fatal(err)
	}
	a := &account{Account: store.Account(person.ID), id: person.ID, views: &openViews{}}
	if _, _, err := a.Account.Append(ctx, inbox, []storage.Letter{{Body: body, Summary: summary, Demand: requiretls.Required()}}); err != nil {
		t.Fatal(err)
	}
	boxes, err := a.Mailboxes(ctx)
	if err != nil || len(boxes) != 6 {
		t.Fatalf("%d mailboxes, %v, want 6", len(boxes), err)
	}
	moved, err := a.Moved(ctx, 0)
	if err != nil || !reflect.DeepEqual(moved.Mailboxes, boxes) {
		t.Errorf("moved: %v, %v, want %v", moved.Mailboxes, err, boxes)
	}
	if n := len(a.views.views); n != 0 {
		t.Errorf("%d views were made for names, want none", n)
	}
	for _, box := range boxes {
		if box.Messages != 0 || box.Unseen != 0 || box.Size != 0 || box.Required != 0 || box.UIDNext != 0 || box.Highest != 0 {
			t.Errorf("%s says more than its name: %+v", box.Name, box)
		}
		now, err := a.counted(ctx, box)
		if err != nil || now.Messages != 0 || now.Required != 0 || now.UIDNext != 1 || now.ObjectID != box.ObjectID || now.UIDValidity != box.UIDValidity {
			t.Errorf("%s: %+v, %v, want it without the hidden letter, and as %+v", box.Name, now, err, box)
		}
	}
	if n := len(a.views.views); n != 1 {
		t.Errorf("%d views were made for counters, want that of INBOX", n)
	}
}
