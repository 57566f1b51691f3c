package imapd

import (
	"context"
	"errors"
	"io"

	"letterlock/imapd/syntax"
	"letterlock/internal/mime"
	"letterlock/internal/requiretls"
	"letterlock/storage"
)

// assemble puts a message together of texts and of parts of other messages (RFC
// 4469). What a required message gave something to is required itself (RFC 8689
// §4.4).
func (b *batch) assemble(ctx context.Context, l *storage.Letter) error {
	to, err := b.room(b.s.srv.opt.MaxMessage)
	if err != nil {
		return err
	}
	in := &intake{to: to, left: b.s.srv.opt.MaxMessage}
	for {
		p, err := b.a.Part()
		if err != nil {
			return lost(err)
		}
		if p == nil {
			break
		}
		if err := b.addPart(ctx, in, p, l); err != nil {
			return err
		}
	}
	if to.Size() == 0 {
		return errEmpty
	}
	l.Body = to
	b.need.Bytes += uint64(to.Size())
	if b.need.Bytes > maxTotal && b.need.Bytes > uint64(b.s.srv.opt.MaxMessage) {
		return errTotal
	}
	return nil
}

func (b *batch) addPart(ctx context.Context, to *intake, p *syntax.Part, l *storage.Letter) error {
	if p.URL == "" {
		if p.Size > to.left {
			return errTooBig
		}
		return b.transfer(to, p.Form)
	}
	source, err := b.s.source(ctx, p.URL)
	if err != nil {
		return err
	}
	defer source.message.close()
	if source.message.row.Demand.IsRequired() {
		l.Demand = requiretls.Required()
	}
	to.exact = true // it has been taken in before
	if _, err := source.copyTo(to); err != nil {
		if to.full {
			return errTooBig
		}
		return err
	}
	return nil
}

// source is what the URL of a CATENATE names, opened.
type source struct {
	message *fetched
	where   syntax.Section
	at      extent
	partial *syntax.Partial
}

func badURL(url, text string) error {
	return no(string(syntax.AppendBadURL(nil, url)), text)
}

// source opens what a URL names (RFC 4469 §3, RFC 5092): a message of this
// account, or a piece of one (RFC 5550 §5.7.1, PARTIAL).
func (s *session) source(ctx context.Context, text string) (*source, error) {
	here := ""
	if s.box != nil {
		here = s.box.name
	}
	u, err := syntax.ParseURL(text, here)
	if err != nil {
		return nil, badURL(text, "Not a URL of a message or of a part of one")
	}
	if u.Server != "" {
		return nil, badURL(text, "A URL here names no server")
	}
	m, err := s.named(ctx, u)
	switch {
	case errors.Is(err, requiretls.ErrWithheld):
		s.srv.opt.MailLog.Withheld(s.conn.Peer(), s.login, u.Mailbox, s.verb, 1)
		return nil, err
	case errors.Is(err, storage.ErrNotFound):
		return nil, badURL(text, "No such message")
	case err != nil:
		return nil, err
	}
	at, found := m.extentOf(u.Section)
	if !found {
		m.close()
		return nil, badURL(text, "The message has no such part")
	}
	return &source{m, u.Section, at, u.Partial}, nil
}

// named opens the message a URL names, with a release for it.
func (s *session) named(ctx context.Context, u *syntax.URL) (*fetched, error) {
	box, err := s.mailboxOf(ctx, u)
	if err == nil && u.UIDValidity != 0 && u.UIDValidity != box.UIDValidity {
		err = storage.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	uid := storage.UID(u.UID)
	for one, err := range s.account.Summaries(ctx, box.ID, []storage.UID{uid}, s.gate.judge) {
		if err != nil {
			return nil, err
		}
		if one.Err != nil {
			return nil, one.Err
		}
		message, err := s.message(ctx, box.ID, &one.Row)
		if err != nil {
			return nil, err
		}
		return &fetched{row: one.Row, summary: one.Summary, octets: attentively(ctx, message), own: message}, nil
	}
	return nil, storage.ErrNotFound
}

// mailboxOf is the mailbox a URL names. The selected one is known by more than its
// name: that may be another mailbox's, since somebody renamed this one.
func (s *session) mailboxOf(ctx context.Context, u *syntax.URL) (storage.Mailbox, error) {
	if u.Selected {
		return s.box.view.Mailbox(), nil
	}
	return s.account.Mailbox(ctx, u.Mailbox)
}

// copyTo writes the octets.
func (c *source) copyTo(w io.Writer) (int64, error) {
	octets := func(x extent) io.Reader { return io.NewSectionReader(c.message.octets, x.start, x.size()) }
	filter, filtered := filterOf(c.where)
	switch {
	case filtered && c.partial == nil:
		return filter.Copy(w, octets(c.at))
	case filtered:
		n, err := filter.Copy(io.Discard, octets(c.at))
		if err != nil {
			return 0, err
		}
		x := c.cut(extent{0, n})
		_, err = filter.Copy(&windowWriter{w: w, skip: x.start, left: x.size()}, octets(c.at))
		if errors.Is(err, errWindowFull) {
			err = nil
		}
		return x.size(), err
	}
	return io.Copy(w, octets(c.cut(c.at)))
}

// cut is the PARTIAL of the URL; without a count it reaches to the end.
func (c *source) cut(x extent) extent {
	switch {
	case c.partial == nil:
		return x
	case c.partial.Count == 0:
		return x.cut(c.partial.Offset, x.size())
	}
	return x.cut(c.partial.Offset, c.partial.Count)
}

// filterOf is the filter of a section that takes some fields of a header.
func filterOf(where syntax.Section) (f mime.Filter, filtered bool) {
	switch where.Text {
	case syntax.HeaderFields:
		return mime.Keep(where.Fields...), true
	case syntax.HeaderFieldsNot:
		return mime.Drop(where.Fields...), true
	}
	return f, false
}
