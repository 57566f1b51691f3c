package deliver

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"slices"
	"strings"

	"letterlock/internal/mail"
	parse "letterlock/internal/mime"
	"letterlock/sieve"

	"github.com/emersion/go-message"
)

// draft is a message of ours about the one that came: a text, an entity that the
// owner wrote himself, or a report of several parts.
type draft struct {
	word     string // ends its Message-ID: what it is
	from, to string
	cc       string // or empty
	subject  string
	auto     string   // Auto-Submitted (RFC 3834 §5)
	more     []string // further lines of the header
	nameless bool     // it names nothing of what it is about

	text   string
	entity string // starts with the fields that say what it is
	report string // what the parts report (RFC 6522 §3)
	parts  []part
}

// part is one part of a report.
type part struct{ kind, text string }

// compose writes it, as an answer to what it is about (RFC 5230 §5, RFC 3834
// §3.1). Text is quoted-printable: it passes every next hop, however long its
// lines.
func (l *letter) compose(f *fate, d draft) []byte {
	fields := l.fields(f, d)
	if d.entity != "" {
		entity := crlf(d.entity)
		switch h := parse.ParseHeader([]byte(entity)); {
		case h.Has("MIME-Version"):
			fields = fields[:len(fields)-1] // once is all there may be (RFC 2045 §4)
		case !startsWithField(entity):
			entity = "\r\n" + entity // a text that says nothing of itself, and is no header
		}
		return []byte(strings.Join(fields, "") + entity)
	}
	var b bytes.Buffer
	h := contentHeader("text/plain")
	if len(d.parts) > 0 {
		h.SetContentType("multipart/report", map[string]string{"report-type": d.report, "boundary": "=_" + l.env.ID + "_" + d.word})
	}
	for _, field := range slices.Backward(fields) { // each is put on top
		h.AddRaw([]byte(field))
	}
	w, err := message.CreateWriter(&b, h)
	if err == nil && len(d.parts) == 0 {
		_, err = io.WriteString(w, crlf(d.text))
	}
	for _, p := range d.parts {
		if err == nil {
			err = addPart(w, p)
		}
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(fmt.Sprintf("deliver: write to memory: %v", err))
	}
	return b.Bytes()
}

// startsWithField says whether the first line is a field, or the empty one behind a
// header without any.
func startsWithField(entity string) bool {
	line, _, _ := strings.Cut(entity, "\r\n")
	name, _, colon := strings.Cut(line, ":")
	return line == "" || colon && name != "" && !strings.ContainsAny(name, " \t")
}

// contentHeader is that of a text in quoted-printable, or of fields (RFC 8098
// §3.1: 7 bit).
func contentHeader(kind string) (h message.Header) {
	if strings.HasPrefix(kind, "text/") {
		h.Set("Content-Transfer-Encoding", "quoted-printable")
		h.SetContentType(kind, map[string]string{"charset": "utf-8"})
	} else {
		h.SetContentType(kind, nil)
	}
	return h
}

func addPart(w *message.Writer, p part) error {
	pw, err := w.CreatePart(contentHeader(p.kind))
	if err == nil {
		_, err = io.WriteString(pw, crlf(p.text))
	}
	if err == nil {
		err = pw.Close()
	}
	return err
}

// fields are the header's lines that do not say what the content is.
func (l *letter) fields(f *fate, d draft) []string {
	fields := []string{
		"From: " + people(d.from) + "\r\n",
		"To: " + people(d.to) + "\r\n",
		"Subject: " + words(d.subject) + "\r\n",
		"Date: " + l.now().Format(traceDate) + "\r\n",
		fmt.Sprintf("Message-ID: <%s.%d.%s@%s>\r\n", l.env.ID, f.account, d.word, l.opt.Hostname),
	}
	if id := l.ids(l.sum.MessageID); id != nil && !d.nameless { // RFC 5230 §5.8
		fields = append(fields, "In-Reply-To: "+id[0]+"\r\n",
			"References: "+strings.Join(append(lastOf(l.ids(l.sum.References...)), id[0]), "\r\n ")+"\r\n")
	}
	fields = append(fields, "Auto-Submitted: "+d.auto+"\r\n")
	if d.cc != "" {
		fields = append(fields, "Cc: "+people(d.cc)+"\r\n")
	}
	for _, line := range d.more {
		name, value, _ := strings.Cut(line, ": ")
		fields = append(fields, plainLine(name)+": "+words(value)+"\r\n")
	}
	return append(fields, "MIME-Version: 1.0\r\n")
}

// words is text in a field: what is not ASCII in encoded words (RFC 2047 §5), a
// line for each, so that none is longer than RFC 5322 §2.1.1 lets it be.
func words(s string) string {
	return strings.ReplaceAll(mime.BEncoding.Encode("utf-8", plainLine(s)), "?= =?", "?=\r\n =?")
}

// people is addresses in a field, their names in encoded words where they are
// not ASCII (RFC 5230 §5: UTF-8 MUST be dealt with), their domains as DNS has them:
// a field that is ASCII passes every host.
func people(s string) string {
	if ascii(s) {
		return plainLine(s)
	}
	var list []string
	for _, a := range parse.Addresses(plainLine(s)) {
		addr := mail.Address{Local: a.Mailbox, Domain: a.Host}.ALabels()
		switch {
		case a.Group != mail.NoGroup:
		case a.Name == "":
			list = append(list, addr.String())
		case !ascii(a.Name) || strings.Contains(a.Name, "=?"):
			list = append(list, words(a.Name)+" "+addr.Path())
		default:
			list = append(list, `"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(a.Name)+`" `+addr.Path())
		}
	}
	if len(list) == 0 {
		return plainLine(s)
	}
	return strings.Join(list, ",\r\n ")
}

// about is the subject of a message of ours: lead and the original's, as the script
// had left it (RFC 5293 §7). That of a required message stays where it is protected.
func (l *letter) about(edited *sieve.Rewrite, lead, otherwise string) string {
	header := l.header()
	if edited != nil {
		header = parse.ParseHeader(edited.Header)
	}
	original, ok := header.Text("Subject")
	if l.env.Demand.IsRequired() || !ok {
		return otherwise
	}
	return lead + string([]rune(original)[:min(256, len([]rune(original)))])
}

// ids are those that can be named: with more than ASCII in them only where the
// message came with SMTPUTF8, or what names them would need it as well.
func (l *letter) ids(all ...string) (named []string) {
	for _, id := range all {
		if id = plainLine(id); id != "" && (l.env.SMTPUTF8 || ascii(id)) {
			named = append(named, id)
		}
	}
	return named
}

// lastOf keeps References within reason (RFC 5322 §2.1.1).
func lastOf(ids []string) []string {
	const most = 10
	return ids[max(0, len(ids)-most):]
}

// crlf ends every line as mail does.
func crlf(s string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	return strings.ReplaceAll(strings.TrimSuffix(s, "\n")+"\n", "\n", "\r\n")
}

// plainLine keeps a line from being more than one, or longer than RFC 5322
// §2.1.1 lets it be.
func plainLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	const most = 900
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// cameTo is the recipient as the sender knows him.
func (l *letter) cameTo(f *fate) mail.Address {
	to := f.rcpt
	if to.Domain == "" {
		to.Domain = l.opt.Addresses.Domain
	}
	return to
}

// self is the owner, in whose name we write: one beyond ASCII by the address that
// the message came to, where every host can read that.
func (l *letter) self(f *fate, owner mail.Address) mail.Address {
	came := l.cameTo(f)
	if owner.ALabels().ASCII() || !came.ALabels().ASCII() {
		return owner
	}
	return came
}

// sender is from, where it is the owner's to say, or the owner.
func sender(from string, owner mail.Address) mail.Address {
	if a, err := mail.ParseAddress(from); err == nil && a.Domain != "" {
		return a
	}
	return owner
}
