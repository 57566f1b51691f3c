package imapd_test

import (
	"crypto/tls"
	"io"
	"strings"
	"testing"
	"time"

	"letterlock/internal/requiretls"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// TestGoIMAPClient does what a mail reader does, with a client library that
// parses all we say.
func TestGoIMAPClient(t *testing.T) {
	t.Parallel()
	h := openHouse(t)
	h.deliver(letter{mailbox: "INBOX", text: taggedLetter, demand: requiretls.Required()})
	arrived := make(chan uint32, 10)
	c, err := imapclient.DialStartTLS(h.addrs["plain"], &imapclient.Options{
		TLSConfig: &tls.Config{RootCAs: h.pool, ServerName: "localhost"},
		UnilateralDataHandler: &imapclient.UnilateralDataHandler{Mailbox: func(m *imapclient.UnilateralDataMailbox) {
			if m.NumMessages != nil {
				arrived <- *m.NumMessages
			}
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login("ann@example.org", secret).Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Enable(imap.CapIMAP4rev2).Wait(); err != nil {
		t.Fatal(err)
	}
	readLetter(t, c)
	listMailboxes(t, c)
	fileLetter(t, c)
	idleForLetter(t, h, c, arrived)
	if err := c.Logout().Wait(); err != nil {
		t.Error(err)
	}
}

func readLetter(t *testing.T, c *imapclient.Client) {
	t.Helper()
	box, err := c.Select("INBOX", nil).Wait()
	if err != nil || box.NumMessages != 1 || box.UIDNext != 2 {
		t.Fatalf("SELECT: %+v, %v", box, err)
	}
	whole := &imap.FetchItemBodySection{Peek: true}
	inner := &imap.FetchItemBodySection{Part: []int{3}, Specifier: imap.PartSpecifierHeader, Peek: true}
	got, err := c.Fetch(imap.SeqSetNum(1), &imap.FetchOptions{
		Envelope: true, BodyStructure: &imap.FetchItemBodyStructure{Extended: true}, Flags: true, UID: true, RFC822Size: true,
		BodySection: []*imap.FetchItemBodySection{whole, inner},
	}).Collect()
	if err != nil || len(got) != 1 {
		t.Fatalf("FETCH: %v, %v", got, err)
	}
	m := got[0]
	if m.Envelope.Subject != "the quagga" || m.Envelope.From[0].Addr() != "quagga@quagga.example" || m.Envelope.MessageID != "quagga@id.example" {
		t.Errorf("envelope: %+v", m.Envelope)
	}
	parts, ok := m.BodyStructure.(*imap.BodyStructureMultiPart)
	if !ok || len(parts.Children) != 3 || parts.Children[1].MediaType() != "application/x-quagga" {
		t.Errorf("structure: %+v", m.BodyStructure)
	}
	if text := string(m.FindBodySection(whole)); text != taggedLetter || m.RFC822Size != int64(len(taggedLetter)) {
		t.Errorf("got %q (size %d), want %q", text, m.RFC822Size, taggedLetter)
	}
	if text := string(m.FindBodySection(inner)); text != "Subject: inner quagga\r\n\r\n" {
		t.Errorf("header of the message inside: %q", text)
	}
}

func listMailboxes(t *testing.T, c *imapclient.Client) {
	t.Helper()
	boxes, err := c.List("", "*", &imap.ListOptions{ReturnStatus: &imap.StatusOptions{NumMessages: true}, ReturnSpecialUse: true}).Collect()
	if err != nil || len(boxes) != 6 {
		t.Fatalf("LIST: %v, %v", boxes, err)
	}
	for _, b := range boxes {
		if b.Status == nil || b.Status.NumMessages == nil || b.Mailbox == "INBOX" && *b.Status.NumMessages != 1 {
			t.Errorf("LIST-STATUS of %s: %+v", b.Mailbox, b.Status)
		}
	}
}

func fileLetter(t *testing.T, c *imapclient.Client) {
	t.Helper()
	when := time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)
	cmd := c.Append("Drafts", int64(len(openLetter)), &imap.AppendOptions{Flags: []imap.Flag{imap.FlagDraft}, Time: when})
	if _, err := io.WriteString(cmd, openLetter); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Close(); err != nil {
		t.Fatal(err)
	}
	if data, err := cmd.Wait(); err != nil || data.UID != 1 {
		t.Fatalf("APPEND: %+v, %v", data, err)
	}
	if _, err := c.Select("Drafts", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	found, err := c.UIDSearch(&imap.SearchCriteria{Text: []string{"OPEN LETTER"}, Flag: []imap.Flag{imap.FlagDraft}}, &imap.SearchOptions{ReturnAll: true, ReturnCount: true}).Wait()
	if err != nil || found.Count != 1 || len(found.AllUIDs()) != 1 {
		t.Fatalf("SEARCH: %+v, %v", found, err)
	}
	if err := c.Store(imap.UIDSetNum(1), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagFlagged}}, nil).Close(); err != nil {
		t.Errorf("STORE: %v", err)
	}
	if data, err := c.Copy(imap.UIDSetNum(1), "Archive").Wait(); err != nil || !strings.Contains(data.DestUIDs.String(), "1") {
		t.Errorf("COPY: %+v, %v", data, err)
	}
	if data, err := c.Move(imap.UIDSetNum(1), "Sent").Wait(); err != nil || data.DestUIDs.String() != "1" {
		t.Errorf("MOVE: %+v, %v", data, err)
	}
	if n := c.Mailbox().NumMessages; n != 0 {
		t.Errorf("after MOVE the client knows of %d messages, want none", n)
	}
}

func idleForLetter(t *testing.T, h *house, c *imapclient.Client, arrived chan uint32) {
	t.Helper()
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	idle, err := c.Idle()
	if err != nil {
		t.Fatal(err)
	}
	h.deliver(letter{mailbox: "INBOX", text: openLetter})
	select {
	case n := <-arrived:
		if n != 2 {
			t.Errorf("told of %d messages, want 2", n)
		}
	case <-time.After(10 * time.Second):
		t.Error("IDLE heard of nothing")
	}
	if err := idle.Close(); err != nil {
		t.Error(err)
	}
	if err := idle.Wait(); err != nil {
		t.Error(err)
	}
}
