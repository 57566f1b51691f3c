package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
)

func TestMessagesComeInOrderWithTheirOctets(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{wrap: strictly})
	a := s.Account(addPerson(t, s, "ann").ID)
	const n = 2*pageMessages + 10
	var wanted []UID
	for i := range n {
		deliver(t, s, fmt.Sprint("letter-", i), requiretls.Usual(), a.id)
		if i%3 > 0 {
			wanted = append(wanted, UID(i+1))
		}
	}
	if err := a.Expunge(ctx, inboxID, []UID{2, 300}); err != nil {
		t.Fatal(err)
	}
	var got []UID
	for o, err := range a.Messages(ctx, inboxID, wanted, overTLS) {
		if err != nil || o.Err != nil {
			t.Fatal(err, o.Err)
		}
		sum, err := o.Summary()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(io.NewSectionReader(o.Message, 0, o.Message.Size()))
		subject := fmt.Sprint("letter-", o.Row.UID-1)
		if err != nil || sum.Subject != subject || int64(len(text)) != o.Row.Size ||
			!strings.HasSuffix(string(text), "Hello "+subject+"\r\n") || sum.Root.End != o.Row.Size {
			t.Fatalf("UID %d: %q, %v, summary %+v", o.Row.UID, text, err, sum)
		}
		part := make([]byte, 5)
		if _, err := o.Message.ReadAt(part, sum.Root.Body); err != nil || string(part) != "Hello" {
			t.Fatalf("UID %d: at %d it reads %q, %v", o.Row.UID, sum.Root.Body, part, err)
		}
		got = append(got, o.Row.UID)
	}
	wanted = slices.DeleteFunc(wanted, func(u UID) bool { return u == 2 || u == 300 })
	if !slices.Equal(got, wanted) {
		t.Errorf("UIDs %v, want %v", got, wanted)
	}
}

// RFC 8689: what is withheld is not opened, and its neighbours are.
func TestRequireTLSMessagesAreWithheldOneByOne(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{})
	a := s.Account(addPerson(t, s, "ann").ID)
	for _, d := range []requiretls.Demand{requiretls.Usual(), requiretls.Required(), requiretls.Waived()} {
		deliver(t, s, d.String(), d, a.id)
	}
	var got []bool
	for o, err := range a.Messages(ctx, inboxID, []UID{1, 2, 3}, inClear) {
		if err != nil {
			t.Fatal(err)
		}
		_, serr := o.Summary()
		if withheld := errors.Is(o.Err, requiretls.ErrWithheld); withheld != (o.Message == nil) || withheld != errors.Is(serr, requiretls.ErrWithheld) {
			t.Errorf("UID %d: %v, message %v, summary: %v", o.Row.UID, o.Err, o.Message, serr)
		}
		got = append(got, o.Err == nil)
	}
	if !slices.Equal(got, []bool{true, false, true}) {
		t.Errorf("opened: %v, want the first and the last", got)
	}
}

// A segment may be collected under a walk.
func TestMessagesAreReadAfterACollectionUnderTheWalk(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{SegmentSize: 64 << 10})
	a := s.Account(addPerson(t, s, "ann").ID)
	uids := make([]UID, 100)
	for i := range uids {
		deliver(t, s, fmt.Sprint("letter-", i, strings.Repeat("x", 3000)), requiretls.Usual(), a.id)
		uids[i] = UID(i + 1)
	}
	read := 0
	for o, err := range a.Messages(ctx, inboxID, uids, overTLS) {
		if err != nil || o.Err != nil {
			t.Fatal(err, o.Err)
		}
		if read == 0 {
			if err := a.Expunge(ctx, inboxID, uids[50:75]); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(s.reap(ctx), s.collect(ctx, 1, 1<<30)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.Copy(io.Discard, io.NewSectionReader(o.Message, 0, o.Message.Size())); err != nil {
			t.Fatalf("UID %d: %v", o.Row.UID, err)
		}
		read++
	}
	if read < 75 {
		t.Errorf("%d read, want those that live, at least", read)
	}
}

func TestEnvelopesAreSummariesWithoutTheirStructure(t *testing.T) {
	ctx := context.Background()
	s := openStore(t, t.TempDir(), Options{wrap: strictly})
	a := s.Account(addPerson(t, s, "ann").ID)
	b, sum := letter("one")
	sum.From = []mail.Addr{{Name: "Bob", Mailbox: "bob", Host: "example.net"}}
	sum.References = []string{"<a@b>", "<c@d>"}
	sum.Preview, sum.Has = "Grüße", sum.Has|mail.HasPreview
	large := *sum
	large.Root.Params = []mail.Param{{Name: "x", Value: strings.Repeat("x", maxCached)}}
	_, uids, err := a.Append(ctx, inbox, []Letter{{Body: b, Summary: sum, Demand: requiretls.Usual()}, {Body: b, Summary: &large, Demand: requiretls.Usual()}})
	if err != nil {
		t.Fatal(err)
	}
	for one, err := range a.Envelopes(ctx, inboxID, uids, overTLS) {
		want := *sum
		want.Root, want.Preview = mail.Part{}, ""
		if err != nil || one.Err != nil || !reflect.DeepEqual(*one.Summary, want) {
			t.Errorf("UID %d: %+v, %v, %v, want %+v", one.Row.UID, one.Summary, err, one.Err, want)
		}
	}
	// RFC 8970: the preview is made once and kept.
	for one, err := range a.Summaries(ctx, inboxID, uids, overTLS) {
		if err != nil || one.Err != nil || one.Summary.Preview != "Grüße" || one.Summary.Has&mail.HasPreview == 0 {
			t.Errorf("UID %d: preview %+v, %v", one.Row.UID, one.Summary, err)
		}
	}
}

func TestSummaryOfAnOlderStoreHasNoPreview(t *testing.T) {
	_, sum := letter("one")
	v := encodeSummary(sum)
	got, err := decodeSummary(string(v), wholeSummary, 0)
	if err != nil || got.Has&mail.HasPreview != 0 || got.Preview != "" {
		t.Errorf("%+v, %v", got, err)
	}
	sum.Has |= mail.HasPreview // it is empty, and known to be
	if got, err = decodeSummary(string(encodeSummary(sum)), wholeSummary, 0); err != nil || got.Has&mail.HasPreview == 0 || got.Preview != "" {
		t.Errorf("%+v, %v", got, err)
	}
}
