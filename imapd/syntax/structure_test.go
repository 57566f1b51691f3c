package syntax

import (
	"reflect"
	"strings"
	"testing"

	"letterlock/internal/mail"
)

func TestEnvelopeSaysWhatTheHeaderSays(t *testing.T) { // RFC 9051 §7.5.2
	terry := mail.Addr{Name: "Terry Gray", Mailbox: "gray", Host: "cac.washington.edu"}
	for _, c := range []struct {
		name string
		in   mail.Summary
		want string
	}{
		{"the example of the RFC", mail.Summary{
			Date: "Wed, 17 Jul 1996 02:23:25 -0700 (PDT)", Subject: "IMAP4rev2 WG mtg summary and minutes", MessageID: "<B27397-0100000@cac.washington.edu>",
			From: []mail.Addr{terry}, To: []mail.Addr{{Mailbox: "imap", Host: "cac.washington.edu"}},
			Cc: []mail.Addr{{Mailbox: "minutes", Host: "CNRI.Reston.VA.US"}, {Name: "John Klensin", Mailbox: "KLENSIN", Host: "MIT.EDU"}}},
			`("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev2 WG mtg summary and minutes" (("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu")) ((NIL NIL "imap" "cac.washington.edu")) ((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU")) NIL NIL "<B27397-0100000@cac.washington.edu>")`},
		{"nothing", mail.Summary{}, `(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)`},
		{"empty fields", mail.Summary{Has: mail.HasDate | mail.HasSubject | mail.HasInReplyTo | mail.HasMessageID}, `("" "" NIL NIL NIL NIL NIL NIL "" "")`},
		{"a date nobody can read", mail.Summary{Date: "1 Jan 24 10:00 EST (comment)", Has: mail.HasDate}, `("1 Jan 24 10:00 EST (comment)" NIL NIL NIL NIL NIL NIL NIL NIL NIL)`},
		{"encoded words stay", mail.Summary{Subject: `=?iso-8859-1?Q?a=E4?= "b"`}, `(NIL "=?iso-8859-1?Q?a=E4?= \"b\"" NIL NIL NIL NIL NIL NIL NIL NIL)`},
		{"8-bit", mail.Summary{Subject: "\xe4"}, "(NIL {1}\r\n\xe4 NIL NIL NIL NIL NIL NIL NIL NIL)"},
		{"sender and reply-to of their own", mail.Summary{From: []mail.Addr{{Mailbox: "a", Host: "x"}}, Sender: []mail.Addr{{Mailbox: "b", Host: "x"}}, ReplyTo: []mail.Addr{{Mailbox: "c", Host: "x"}}},
			`(NIL NIL ((NIL NIL "a" "x")) ((NIL NIL "b" "x")) ((NIL NIL "c" "x")) NIL NIL NIL NIL NIL)`},
		{"a group, a route, an address without a host", mail.Summary{To: []mail.Addr{{Mailbox: "friends", Group: mail.GroupStart}, {Mailbox: "a", Host: "x", Route: "@r"}, {Group: mail.GroupEnd}, {Mailbox: "root"}}},
			`(NIL NIL NIL NIL NIL ((NIL NIL "friends" NIL)(NIL "@r" "a" "x")(NIL NIL NIL NIL)(NIL NIL "root" "")) NIL NIL NIL NIL)`},
	} {
		if got := string(AppendEnvelope(nil, &c.in, 0)); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

func TestBodyStructureSaysWhatTheHeaderSays(t *testing.T) { // RFC 9051 §7.5.2
	text := mail.Part{Type: "TEXT", Subtype: "PLAIN", Params: []mail.Param{{Name: "CHARSET", Value: "US-ASCII"}}, Encoding: "7BIT", Body: 10, End: 2289 + 10, Lines: 48}
	for _, c := range []struct {
		name          string
		in            mail.Part
		body, withExt string
	}{
		{"the example of the RFC", text,
			`("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 2289 48)`,
			`("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 2289 48 NIL NIL NIL NIL)`},
		{"all there is", mail.Part{Type: "image", Subtype: "png", Params: []mail.Param{{Name: "b", Value: "2"}, {Name: "a", Value: `"1"`}, {Name: "b", Value: "3"}, {Name: "name*", Value: "utf-8''%C3%A4"}},
			ID: "<id@x>", Description: "d", Encoding: "base64", MD5: "Q2hlY2s=", Disposition: "attachment", DispParams: []mail.Param{{Name: "filename", Value: "x"}}, Language: []string{"en", "de"}, Location: "http://x/"},
			`("image" "png" ("b" "2" "a" "\"1\"" "b" "3" "name*" "utf-8''%C3%A4") "<id@x>" "d" "base64" 0)`,
			`("image" "png" ("b" "2" "a" "\"1\"" "b" "3" "name*" "utf-8''%C3%A4") "<id@x>" "d" "base64" 0 "Q2hlY2s=" ("attachment" ("filename" "x")) ("en" "de") "http://x/")`},
		{"a multipart", mail.Part{Type: "multipart", Subtype: "mixed", Params: []mail.Param{{Name: "boundary", Value: "b"}}, Parts: []mail.Part{text, text}},
			`(("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 2289 48)("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 2289 48) "mixed")`,
			`(("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 2289 48 NIL NIL NIL NIL)("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 2289 48 NIL NIL NIL NIL) "mixed" ("boundary" "b") NIL NIL NIL)`},
		{"a multipart without parts", mail.Part{Type: "Multipart", Subtype: "x"},
			`(("text" "plain" NIL NIL NIL "7bit" 0 0) "x")`,
			`(("text" "plain" NIL NIL NIL "7bit" 0 0 NIL NIL NIL NIL) "x" NIL NIL NIL NIL)`},
		{"a message", mail.Part{Type: "message", Subtype: "RFC822", Encoding: "7bit", Lines: 7, Message: &mail.Summary{Subject: "in", Root: text}},
			`("message" "RFC822" NIL NIL NIL "7bit" 0 (NIL "in" NIL NIL NIL NIL NIL NIL NIL NIL) ("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 2289 48) 7)`,
			`("message" "RFC822" NIL NIL NIL "7bit" 0 (NIL "in" NIL NIL NIL NIL NIL NIL NIL NIL) ("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7BIT" 2289 48 NIL NIL NIL NIL) 7 NIL NIL NIL NIL)`},
		{"a message that was not looked into", mail.Part{Type: "message", Subtype: "global", Encoding: "base64"},
			`("message" "global" NIL NIL NIL "base64" 0 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) ("text" "plain" NIL NIL NIL "7bit" 0 0) 0)`,
			`("message" "global" NIL NIL NIL "base64" 0 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) ("text" "plain" NIL NIL NIL "7bit" 0 0 NIL NIL NIL NIL) 0 NIL NIL NIL NIL)`},
		{"another message", mail.Part{Type: "message", Subtype: "delivery-status", Encoding: "7bit"},
			`("message" "delivery-status" NIL NIL NIL "7bit" 0)`,
			`("message" "delivery-status" NIL NIL NIL "7bit" 0 NIL NIL NIL NIL)`},
	} {
		if got := string(AppendBody(nil, &c.in, 0)); got != c.body {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.body)
		}
		if got := string(AppendBodyStructure(nil, &c.in, 0)); got != c.withExt {
			t.Errorf("%s, extended:\n%s\nwant\n%s", c.name, got, c.withExt)
		}
	}
}

// client reads envelopes and structures back by the grammar of RFC 9051 §9.
type client struct{ *Decoder }

func newClient(response []byte, mode Mode) client {
	c := client{play(string(response) + "\r\n").Decoder}
	c.limits.Command, c.limits.Literals = 1<<30, 1<<30
	c.mode = mode
	c.nextLine()
	return c
}

// finish says what is wrong with the response, if anything.
func (c client) finish() error {
	c.end()
	switch {
	case c.bad != nil:
		return c.bad
	case c.broken != nil:
		return c.broken
	}
	return nil
}

// field reads an nstring of an envelope.
func (c client) field(s *mail.Summary, mark mail.Fields) string {
	text, ok := c.nstring()
	if ok {
		s.Has |= mark
	}
	return text
}

func (c client) envelope() (s mail.Summary) {
	c.expect('(')
	s.Date = c.field(&s, mail.HasDate)
	c.sp()
	s.Subject = c.field(&s, mail.HasSubject)
	for _, addrs := range []*[]mail.Addr{&s.From, &s.Sender, &s.ReplyTo, &s.To, &s.Cc, &s.Bcc} {
		c.sp()
		*addrs = c.addrs()
	}
	c.sp()
	s.InReplyTo = c.field(&s, mail.HasInReplyTo)
	c.sp()
	s.MessageID = c.field(&s, mail.HasMessageID)
	c.expect(')')
	return s
}

func (c client) addrs() (addrs []mail.Addr) {
	if c.peek() != '(' {
		if text, ok := c.nstring(); ok {
			c.fail("expected addresses, not " + text)
		}
		return nil
	}
	c.expect('(')
	for c.ok() && !c.take(')') {
		addrs = append(addrs, c.addr())
	}
	return addrs
}

func (c client) addr() (a mail.Addr) {
	c.expect('(')
	a.Name, _ = c.nstring()
	c.sp()
	a.Route, _ = c.nstring()
	c.sp()
	var inGroup, hosted bool
	a.Mailbox, inGroup = c.nstring()
	c.sp()
	a.Host, hosted = c.nstring()
	c.expect(')')
	switch {
	case !inGroup:
		a.Group = mail.GroupEnd
	case !hosted:
		a.Group = mail.GroupStart
	}
	return a
}

func (c client) part(f form) (p mail.Part) {
	c.expect('(')
	if c.peek() == '(' {
		p.Type = "multipart"
		for c.peek() == '(' {
			p.Parts = append(p.Parts, c.part(f))
		}
		c.sp()
		p.Subtype = c.str()
		if f == extended {
			c.sp()
			p.Params = c.params()
			c.extension(&p)
		}
		c.expect(')')
		return p
	}
	c.fields(&p)
	switch {
	case strings.EqualFold(p.Type, "message") && (strings.EqualFold(p.Subtype, "rfc822") || strings.EqualFold(p.Subtype, "global")):
		c.sp()
		inner := c.envelope()
		c.sp()
		inner.Root = c.part(f)
		p.Message = &inner
		c.sp()
		p.Lines = c.number64()
	case strings.EqualFold(p.Type, "text"):
		c.sp()
		p.Lines = c.number64()
	}
	if f == extended {
		c.sp()
		p.MD5, _ = c.nstring()
		c.extension(&p)
	}
	c.expect(')')
	return p
}

func (c client) fields(p *mail.Part) {
	p.Type = c.str()
	c.sp()
	p.Subtype = c.str()
	c.sp()
	p.Params = c.params()
	c.sp()
	p.ID, _ = c.nstring()
	c.sp()
	p.Description, _ = c.nstring()
	c.sp()
	p.Encoding = c.str()
	c.sp()
	p.End = c.number64()
}

func (c client) params() (params []mail.Param) {
	if c.peek() != '(' {
		c.nil()
		return nil
	}
	c.expect('(')
	for c.ok() {
		name := c.str()
		c.sp()
		params = append(params, mail.Param{Name: name, Value: c.str()})
		if c.take(')') {
			return params
		}
		c.sp()
	}
	return nil
}

func (c client) nil() {
	if _, ok := c.nstring(); ok {
		c.fail("expected NIL")
	}
}

func (c client) extension(p *mail.Part) {
	c.sp()
	if c.take('(') {
		p.Disposition = c.str()
		c.sp()
		p.DispParams = c.params()
		c.expect(')')
	} else {
		c.nil()
	}
	c.sp()
	if c.peek() == '(' {
		c.list1(1<<20, func() { p.Language = append(p.Language, c.str()) })
	} else {
		c.nil()
	}
	c.sp()
	p.Location, _ = c.nstring()
}

// maker makes summaries of whatever octets it is given.
type maker struct{ octets []byte }

func (m *maker) octet() (c byte) {
	if len(m.octets) > 0 {
		c, m.octets = m.octets[0], m.octets[1:]
	}
	return c
}

func (m *maker) text() string {
	n := min(int(m.octet()%16), len(m.octets))
	s := string(m.octets[:n])
	m.octets = m.octets[n:]
	return s
}

func (m *maker) addrs() (addrs []mail.Addr) {
	for range m.octet() % 4 {
		switch m.octet() % 8 {
		case 0:
			addrs = append(addrs, mail.Addr{Mailbox: m.text(), Group: mail.GroupStart})
		case 1:
			addrs = append(addrs, mail.Addr{Group: mail.GroupEnd})
		default:
			addrs = append(addrs, mail.Addr{Name: m.text(), Route: m.text(), Mailbox: m.text(), Host: m.text()})
		}
	}
	return addrs
}

func (m *maker) params() (params []mail.Param) {
	for range m.octet() % 3 {
		params = append(params, mail.Param{Name: m.text(), Value: m.text()})
	}
	return params
}

func (m *maker) summary(depth int) mail.Summary {
	s := mail.Summary{
		Has:  mail.Fields(m.octet() % 16),
		Date: m.text(), Subject: m.text(), InReplyTo: m.text(), MessageID: m.text(),
		From: m.addrs(), Sender: m.addrs(), ReplyTo: m.addrs(), To: m.addrs(), Cc: m.addrs(), Bcc: m.addrs(),
	}
	s.Root = m.part(depth)
	return s
}

func (m *maker) part(depth int) mail.Part {
	p := mail.Part{
		Params: m.params(), ID: m.text(), Description: m.text(), Encoding: m.text(), MD5: m.text(),
		Disposition: m.text(), DispParams: m.params(), Location: m.text(), End: int64(m.octet()), Lines: int64(m.octet()),
	}
	for range m.octet() % 3 {
		p.Language = append(p.Language, m.text())
	}
	switch kind := m.octet() % 8; {
	case kind == 0 && depth > 0:
		p.Type, p.Subtype = "message", "rfc822"
		inner := m.summary(depth - 1)
		p.Message = &inner
	case kind == 1 && depth > 0:
		p.Type, p.Subtype = "multipart", m.text()
		for range m.octet() % 4 {
			p.Parts = append(p.Parts, m.part(depth-1))
		}
	case kind == 2:
		p.Type, p.Subtype = "text", m.text()
	default:
		p.Type, p.Subtype = m.text(), m.text()
	}
	return p
}

// FuzzStructures: what we write of any message is IMAP, and reads back as the
// same header.
func FuzzStructures(f *testing.F) {
	f.Add([]byte("\x0f\x04Date\x03a\"b\x03\r\n\x00\x02\xc3\xa4\x01\x02\x03abc\x00\x04user\x04host"), false)
	f.Add([]byte(strings.Repeat("\x01\x02a\x00", 100)), true)
	f.Add([]byte(strings.Repeat("\x00", 20)+"\x01\x03\x05mixed"), true)
	f.Fuzz(func(t *testing.T, octets []byte, utf8 bool) {
		mode := Mode(0)
		if utf8 {
			mode = Rev2
		}
		s := (&maker{octets}).summary(3)
		want := asWritten(s)

		c := newClient(AppendEnvelope(nil, &s, mode), mode)
		got := c.envelope()
		got.Root = want.Root
		if err := c.finish(); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q\nreads %+v, %v\nwant %+v", AppendEnvelope(nil, &s, mode), got, err, want)
		}
		c = newClient(AppendBodyStructure(nil, &s.Root, mode), mode)
		structure := c.part(extended)
		if err := c.finish(); err != nil || !reflect.DeepEqual(structure, want.Root) {
			t.Errorf("%q\nreads %+v, %v\nwant %+v", AppendBodyStructure(nil, &s.Root, mode), structure, err, want.Root)
		}
		c = newClient(AppendBody(nil, &s.Root, mode), mode)
		c.part(basic)
		if err := c.finish(); err != nil {
			t.Errorf("%q: %v", AppendBody(nil, &s.Root, mode), err)
		}
	})
}

// asWritten is what a client reads of a summary: the defaults that the RFC
// demands, and nothing that the grammar has no place for.
func asWritten(s mail.Summary) mail.Summary {
	for text, mark := range map[*string]mail.Fields{&s.Date: mail.HasDate, &s.Subject: mail.HasSubject, &s.InReplyTo: mail.HasInReplyTo, &s.MessageID: mail.HasMessageID} {
		if *text != "" {
			s.Has |= mark
		}
		*text = noNUL(*text)
	}
	for _, addrs := range []*[]mail.Addr{&s.From, &s.Sender, &s.ReplyTo, &s.To, &s.Cc, &s.Bcc} {
		var written []mail.Addr
		for _, a := range *addrs {
			written = append(written, mail.Addr{Name: noNUL(a.Name), Route: noNUL(a.Route), Mailbox: noNUL(a.Mailbox), Host: noNUL(a.Host), Group: a.Group})
		}
		*addrs = written
	}
	if s.Sender == nil {
		s.Sender = s.From
	}
	if s.ReplyTo == nil {
		s.ReplyTo = s.From
	}
	s.Root = partAsWritten(s.Root)
	return s
}

func partAsWritten(p mail.Part) mail.Part {
	for _, text := range []*string{&p.Type, &p.Subtype, &p.ID, &p.Description, &p.Encoding, &p.MD5, &p.Disposition, &p.Location} {
		*text = noNUL(*text)
	}
	p.Params, p.DispParams = paramsAsWritten(p.Params), paramsAsWritten(p.DispParams)
	if p.Disposition == "" {
		p.DispParams = nil
	}
	for i := range p.Language {
		p.Language[i] = noNUL(p.Language[i])
	}
	switch {
	case p.Type == "multipart":
		parts := []mail.Part{}
		for _, sub := range p.Parts {
			parts = append(parts, partAsWritten(sub))
		}
		if len(parts) == 0 {
			parts = []mail.Part{emptyPart}
		}
		return mail.Part{Type: p.Type, Subtype: p.Subtype, Params: p.Params, Parts: parts,
			Disposition: p.Disposition, DispParams: p.DispParams, Language: p.Language, Location: p.Location}
	case p.Message != nil:
		inner := asWritten(*p.Message)
		p.Message = &inner
	case !strings.EqualFold(p.Type, "text"):
		p.Lines = 0
	}
	return p
}

func paramsAsWritten(params []mail.Param) (written []mail.Param) {
	for _, p := range joined(params) {
		written = append(written, mail.Param{Name: noNUL(p.Name), Value: noNUL(p.Value)})
	}
	return written
}

func noNUL(s string) string { return strings.ReplaceAll(s, "\x00", "\x80") }

// letter is what most letters look like: an alternative and an attachment.
func letter() *mail.Summary {
	ann := mail.Addr{Name: "Ann Example", Mailbox: "ann", Host: "example.org"}
	plain := mail.Part{Type: "text", Subtype: "plain", Params: []mail.Param{{Name: "charset", Value: "utf-8"}}, Encoding: "quoted-printable", End: 1200, Lines: 30}
	html := plain
	html.Subtype = "html"
	pdf := mail.Part{Type: "application", Subtype: "pdf", Params: []mail.Param{{Name: "name", Value: "x.pdf"}}, Encoding: "base64", End: 50000,
		Disposition: "attachment", DispParams: []mail.Param{{Name: "filename", Value: "x.pdf"}}}
	return &mail.Summary{
		Date: "Wed, 17 Jul 2024 02:23:25 -0700", Subject: "=?utf-8?Q?Gr=C3=BC=C3=9Fe?= from the sea", MessageID: "<B27397-0100000@example.org>", InReplyTo: "<B27396@example.org>",
		From: []mail.Addr{ann}, To: []mail.Addr{{Mailbox: "bob", Host: "example.net"}, {Name: "Carl \"C\" Jones", Mailbox: "carl", Host: "example.com"}},
		Has: mail.HasDate | mail.HasSubject | mail.HasInReplyTo | mail.HasMessageID,
		Root: mail.Part{Type: "multipart", Subtype: "mixed", Params: []mail.Param{{Name: "boundary", Value: "b1"}}, Parts: []mail.Part{
			{Type: "multipart", Subtype: "alternative", Params: []mail.Param{{Name: "boundary", Value: "b2"}}, Parts: []mail.Part{plain, html}}, pdf}},
	}
}

func BenchmarkAppendEnvelope(b *testing.B) {
	s, buf := letter(), []byte(nil)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendEnvelope(buf[:0], s, 0)
	}
}

func BenchmarkAppendBodyStructure(b *testing.B) {
	s, buf := letter(), []byte(nil)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendBodyStructure(buf[:0], &s.Root, 0)
	}
}

// RFC 9051 §7.5.2 of 10,000 letters is written without a single allocation.
func TestStructuresAreWrittenWithoutAllocation(t *testing.T) {
	s, buf := letter(), make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() {
		buf = AppendEnvelope(buf[:0], s, 0)
		buf = AppendBodyStructure(buf, &s.Root, 0)
		buf = AppendFlags(buf, systemFlags)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
