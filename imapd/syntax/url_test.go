package syntax

import (
	"reflect"
	"testing"
)

// RFC 5092 §11, as RFC 4469 §3 resolves it; the examples of RFC 4469, 5092, 5550 and 8508.
func TestURLsOfMessages(t *testing.T) {
	for _, c := range []struct {
		in   string
		want URL
	}{
		{"/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER", URL{Mailbox: "Drafts", UIDValidity: 385759045, UID: 20, Section: Section{Text: HeaderText}}},
		{"/Drafts;UIDVALIDITY=385759045/;UID=20/;section=1.MIME", URL{Mailbox: "Drafts", UIDValidity: 385759045, UID: 20, Section: Section{Part: []uint32{1}, Text: MIMEText}}},
		{"/INBOX;UIDVALIDITY=785799047/;UID=113330/;section=1.5.9", URL{Mailbox: "INBOX", UIDValidity: 785799047, UID: 113330, Section: Section{Part: []uint32{1, 5, 9}}}},
		{"/Drafts/;UID=3002", URL{Mailbox: "Drafts", UID: 3002}},
		{"/inbox/;uid=3", URL{Mailbox: "INBOX", UID: 3}},
		{"/a/b%20c%25/;UID=3", URL{Mailbox: "a/b c%", UID: 3}},
		{"/b%C3%BCr/;UID=3", URL{Mailbox: "b\u00fcr", UID: 3}},
		{"/bu%CC%88r/;UID=3", URL{Mailbox: "b\u00fcr", UID: 3}},
		{"/x/;UID=20/;PARTIAL=0.1024", URL{Mailbox: "x", UID: 20, Partial: &Partial{0, 1024}}},
		{"/x/;UID=20/;SECTION=1.2/;PARTIAL=1024", URL{Mailbox: "x", UID: 20, Section: Section{Part: []uint32{1, 2}}, Partial: &Partial{Offset: 1024}}},
		{"/x/;UID=2/;SECTION=HEADER.FIELDS%20(DATE%20FROM)", URL{Mailbox: "x", UID: 2, Section: Section{Text: HeaderFields, Fields: []string{"DATE", "FROM"}}}},
		{";UID=2", URL{Mailbox: "Archive/2020", Selected: true, UID: 2}},
		{"/;UID=2", URL{}},
		{"2021/;UID=2", URL{Mailbox: "Archive/2021", UID: 2}},
		{"imap://joe@example.com/INBOX/;uid=20", URL{Server: "joe@example.com", Mailbox: "INBOX", UID: 20}},
		{"IMAP://minbari.example.org:1143/x;UIDVALIDITY=1/;UID=20", URL{Server: "minbari.example.org:1143", Mailbox: "x", UIDValidity: 1, UID: 20}},
		{"imap://joe;AUTH=*@host/x/;UID=20", URL{Server: "joe;AUTH=*@host", Mailbox: "x", UID: 20}},
		{"//host/x/;UID=20", URL{Server: "host", Mailbox: "x", UID: 20}},
	} {
		u, err := ParseURL(c.in, "Archive/2020")
		if c.want.UID == 0 {
			if err == nil {
				t.Errorf("%s: %+v", c.in, u)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(*u, c.want) {
			t.Errorf("%s: %+v, %v; want %+v", c.in, u, err, c.want)
		}
	}
}

func TestURLsThatNameNoMessage(t *testing.T) {
	for _, in := range []string{
		"", "/", "/x", "/x;UIDVALIDITY=3", "/x?SUBJECT%20y", "http://example.org/x/;UID=1", "mailto:x", "imap:/x/;UID=1", "imap:///x/;UID=1", "imap://host",
		"/x/;UID=0", "/x/;UID=01", "/x/;UID=+1", "/x/;UID=4294967296", "/x/;UID=", "/x/;UID=1;UID=2", "/x/;UID=1/;UIDVALIDITY=2", "/x/;PARTIAL=1.1/;UID=1",
		"/x/;UID=1/;SECTION=", "/x/;UID=1/;SECTION=BOGUS", "/x/;UID=1/;SECTION=1]", "/x/;UID=1/;SECTION=HEADER.FIELDS%20({3%7d", "/x/;UID=1/;SECTION=%",
		"/x/;UID=1/;PARTIAL=", "/x/;UID=1/;PARTIAL=-1", "/x/;UID=1/;PARTIAL=1.0", "/x/;UID=1/;PARTIAL=1.-1", "/x/;UID=1/;PARTIAL=1.",
		"//;UID=1", "imap://host//;UID=1", "imap://joe\x8b@host/x/;UID=1", "/x%/;UID=1", "/x%0/;UID=1", "/x%00/;UID=1", "/x%0D%0A/;UID=1", "/x%FF/;UID=1", "/x y/;UID=1", "/x\xc3\xbc/;UID=1",
		"/x/;UID=20;EXPIRE=2020-01-01T00:00:00Z;URLAUTH=anonymous:internal:00", "/x/;UID=20/;BOGUS=1",
	} {
		if u, err := ParseURL(in, "INBOX"); err == nil {
			t.Errorf("%s: %+v", in, u)
		}
	}
	if u, err := ParseURL(";UID=1", ""); err == nil {
		t.Errorf("relative to nothing: %+v", u)
	}
}

func TestBadURLIsNamed(t *testing.T) { // RFC 4469 §4.1
	for url, want := range map[string]string{
		"/INBOX;UIDVALIDITY=1/;UID=113330/;section=1.5.9": "BADURL /INBOX;UIDVALIDITY=1/;UID=113330/;section=1.5.9",
		"a]\r\nb\x00\u00e4 c":                             "BADURL a%5D%0D%0Ab%00%C3%A4%20c",
	} {
		if got := string(AppendBadURL(nil, url)); got != want {
			t.Errorf("%q: %s, want %s", url, got, want)
		}
	}
}
