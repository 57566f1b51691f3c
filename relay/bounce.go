package relay

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"mime/quotedprintable"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"letterlock/internal/mail"
	"letterlock/internal/mime"
	"letterlock/internal/reply"
)

// action is what a report tells (RFC 3464 §2.3.3).
type action string

const (
	actionFailed  action = "failed"
	actionDelayed action = "delayed"
	actionRelayed action = "relayed"
	actionArrived action = "delivered"
)

// notice is what a report about one letter says.
type notice struct {
	action action
	status string       // RFC 3463, with its class
	err    *reply.Error // nil on success
	host   string       // that said it
	remote bool         // err is the host's own word
	until  time.Time    // of a delay: how long we try
	now    time.Time
}

const maxReturnedHeader = 64 << 10

// ofForm says whether the letter failed for its own size or octets. The report may
// have to pass the same host, and with the letter in it would fail as well: nobody
// would hear of either.
func (n *notice) ofForm() bool {
	return n.err != nil && (n.err.Code() == tooBig.Code() || n.err.Detail == tooBig.Detail || n.err.Detail == needs8Bit.Detail || n.err.Detail == needsUTF8.Detail)
}

// report makes the notification about a letter (RFC 3464 in RFC 6522's form).
// Nil: nobody is to be told, or nobody can be.
func report(opt Options, l *Letter, n notice) *mail.Outbound {
	d := draft{opt: opt, letter: l, notice: n, boundary: token()}
	r := mail.Report{Now: n.now}
	if l.Demand().IsRequired() {
		r.Redacted = d.redacted()
	}
	whole := n.action == actionFailed && l.DSN.Return == mail.ReturnFull && !l.Demand().IsRequired() && l.Source == mail.FromBody &&
		len(l.Prefix) <= maxReturnedHeader && !n.ofForm() // a report is to fit where the letter did
	head := d.head() + d.explanation() + d.status()
	if whole {
		r.Whole = mail.WholeMessage
		r.Text = []byte(head + d.part(d.kind("message/rfc822", "message/global"), string(l.Prefix)))
		r.Suffix = []byte("\r\n--" + d.boundary + "--\r\n")
	} else {
		r.Text = []byte(head + d.part(d.kind("text/rfc822-headers", "message/global-headers"), d.originalHeader()+"\r\n") + "--" + d.boundary + "--\r\n")
	}
	b, ok := l.Bounce(r)
	if !ok {
		return nil
	}
	return b
}

// Delivered makes the report that a message lies in its recipient's mailbox
// (RFC 3461 §5.2.3), for whoever put it there: it leaves with the copies or not
// at all. Nil: the sender did not ask for it, or there is none. It returns the
// header alone, and of a required message inherits the demand (RFC 8689 §5).
func (r *Runner) Delivered(env *mail.Envelope, rcpt mail.Address, body mail.Body) *mail.Outbound {
	dsn := env.DSN[rcpt]
	if !dsn.Notify.Wants(mail.NotifySuccess) || env.From.IsNull() {
		return nil
	}
	l := &Letter{Outbound: env.Redirect(mail.Redirect{To: rcpt, DSN: dsn}), Body: body}
	return report(r.opt, l, notice{action: actionArrived, status: "2.0.0", now: r.opt.Now()})
}

// draft is a report being written.
type draft struct {
	opt      Options
	letter   *Letter
	notice   notice
	boundary string
}

// utf8 says whether the report speaks of addresses beyond ASCII: it is then of
// the types of RFC 6533. Domains alone never need that.
func (d *draft) utf8() bool {
	return d.letter.SMTPUTF8 || !d.from().ASCII() || !d.to().ASCII()
}

// from and to are the letter's addresses as every host can read them: the report
// may have to pass one without SMTPUTF8.
func (d *draft) from() mail.Address { return d.letter.From.ALabels() }
func (d *draft) to() mail.Address   { return d.letter.To.ALabels() }

func (d *draft) kind(ascii, global string) string {
	if d.utf8() {
		return global
	}
	return ascii
}

var subjects = map[action]string{
	actionFailed:  "Undelivered mail returned to sender",
	actionDelayed: "Delayed mail (still being tried)",
	actionRelayed: "Mail was sent on",
	actionArrived: "Mail was delivered",
}

func (d *draft) head() string {
	return d.headTo("Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"" + d.boundary + "\"\r\n\r\n")
}

// headTo is the report's own header. Its subject says nothing of the
// original's.
func (d *draft) headTo(contentType string) string {
	return "From: Mail Delivery System <" + d.opt.Postmaster.String() + ">\r\n" +
		"To: " + d.from().Path() + "\r\n" +
		"Date: " + d.notice.now.Format(time.RFC1123Z) + "\r\n" +
		"Message-ID: <" + token() + "@" + d.opt.Hostname + ">\r\n" +
		"Subject: " + subjects[d.notice.action] + "\r\n" +
		"Auto-Submitted: auto-replied\r\n" + // RFC 3834 §5
		"MIME-Version: 1.0\r\n" + contentType
}

// part is a part of a kind, or for what is returned whole the start of it. Where
// nobody needs RFC 6533's types all but that is ASCII: a report is to reach a host
// without 8BITMIME, for it comes to nobody if it does not.
func (d *draft) part(kind, text string) string {
	encoded := kind == "text/plain" || kind == "text/rfc822-headers" || // RFC 6522 §4
		strings.HasPrefix(kind, "message/global-") && d.notice.ofForm() // RFC 6533 §6: 8bit wherever that passes
	switch {
	case !encoded && strings.HasPrefix(kind, "message/global"), kind == "message/rfc822":
		kind += "\r\nContent-Transfer-Encoding: 8bit" // the original's own octets may be
	case kind == "message/delivery-status": // RFC 3464 §2.1: 7bit
		text = strings.Map(func(r rune) rune {
			if r >= utf8.RuneSelf {
				return '?'
			}
			return r
		}, text)
	default:
		if kind == "text/plain" {
			kind += "; charset=utf-8"
		}
		if !sevenBit(text) {
			kind += "\r\nContent-Transfer-Encoding: quoted-printable"
			text = quotedPrintable(text)
		}
	}
	return "--" + d.boundary + "\r\nContent-Type: " + kind + "\r\n\r\n" + text
}

const maxLine = 998 // octets without CRLF (RFC 5322 §2.1.1)

func sevenBit(text string) bool {
	for line := range strings.SplitSeq(text, "\r\n") {
		if len(line) > maxLine || strings.ContainsFunc(line, func(r rune) bool { return r >= utf8.RuneSelf }) {
			return false
		}
	}
	return true
}

func quotedPrintable(text string) string {
	var b strings.Builder
	w := quotedprintable.NewWriter(&b)
	_, err := w.Write([]byte(text))
	if err = errors.Join(err, w.Close()); err != nil {
		panic("relay: write to memory: " + err.Error())
	}
	return b.String()
}

// explanation is for people.
func (d *draft) explanation() string {
	return d.part("text/plain", d.words()+"\r\n")
}

func (d *draft) words() string {
	n, to := d.notice, d.to().Path()
	var b strings.Builder
	fmt.Fprintf(&b, "This is the mail system at %s.\r\n\r\n", d.opt.Hostname)
	switch n.action {
	case actionFailed:
		fmt.Fprintf(&b, "Your message could not be delivered to %s.\r\n", to)
	case actionDelayed:
		fmt.Fprintf(&b, "Your message to %s is delayed. It is still being tried, until %s.\r\nYou need not do anything.\r\n", to, n.until.UTC().Format(time.RFC1123Z))
	case actionRelayed:
		fmt.Fprintf(&b, "Your message to %s was sent on to a system that reports no further.\r\n", to)
	case actionArrived:
		fmt.Fprintf(&b, "Your message was put into the mailbox of %s.\r\nThat says nothing of whether it was read.\r\n", to)
	}
	if n.err != nil {
		who := "Reason"
		if n.remote {
			who = "What " + n.host + " said"
		}
		fmt.Fprintf(&b, "\r\n%s:\r\n    %s\r\n", who, clip(n.err.Line(), 700))
	}
	if n.err != nil && (errors.Is(n.err, reply.NoRequireTLS) || errors.Is(n.err, reply.NoVerifiedTLS)) {
		b.WriteString("\r\nYou asked that this message travel over verified TLS alone (REQUIRETLS). It was\r\nnot sent, since the next system could not promise that.\r\n")
	}
	return b.String()
}

// status is for machines (RFC 3464 §2).
func (d *draft) status() string {
	return d.part(d.kind("message/delivery-status", "message/global-delivery-status"), d.fields()+"\r\n")
}

func (d *draft) fields() string {
	l, n := d.letter, d.notice
	var b strings.Builder
	fmt.Fprintf(&b, "Reporting-MTA: dns; %s\r\n", d.opt.Hostname)
	if l.DSN.EnvID != "" {
		fmt.Fprintf(&b, "Original-Envelope-Id: %s\r\n", clip(l.DSN.EnvID, 200))
	}
	fmt.Fprintf(&b, "Arrival-Date: %s\r\n\r\n", l.Created.Format(time.RFC1123Z))
	if l.DSN.ORcptType != "" {
		fmt.Fprintf(&b, "Original-Recipient: %s;%s\r\n", clip(l.DSN.ORcptType, 40), clip(d.originalRecipient(), 1200))
	}
	fmt.Fprintf(&b, "Final-Recipient: %s; %s\r\n", d.kind("rfc822", "utf-8"), d.to())
	fmt.Fprintf(&b, "Action: %s\r\nStatus: %s\r\n", n.action, n.status)
	if n.host != "" {
		fmt.Fprintf(&b, "Remote-MTA: dns; %s\r\n", clip(n.host, 300))
	}
	if n.err != nil && n.remote {
		fmt.Fprintf(&b, "Diagnostic-Code: smtp; %s\r\n", clip(n.err.Line(), 700))
	}
	if !l.History.Last.IsZero() || n.err != nil {
		fmt.Fprintf(&b, "Last-Attempt-Date: %s\r\n", n.now.Format(time.RFC1123Z))
	}
	if !n.until.IsZero() {
		fmt.Fprintf(&b, "Will-Retry-Until: %s\r\n", n.until.Format(time.RFC1123Z))
	}
	return b.String()
}

// originalRecipient is without its xtext (RFC 3461 §6.3); characters beyond
// ASCII stand for themselves in a report of RFC 6533's types alone (§3).
func (d *draft) originalRecipient() string {
	if !d.utf8() && isUTF8Type(d.letter.DSN.ORcptType) {
		return unitext(d.letter.DSN.ORcpt, sevenBits)
	}
	return d.letter.DSN.ORcpt
}

// originalHeader is the header of the message, as it left or would have left.
func (d *draft) originalHeader() string {
	r, _ := d.letter.octets(mail.FullForm)
	h, err := mime.ReadHeader(r, maxReturnedHeader)
	if h == nil || err != nil && !errors.Is(err, mime.ErrHeaderTooLong) {
		return ""
	}
	return string(bytes.TrimSuffix(h.Bytes(), []byte("\r\n\r\n"))) + "\r\n"
}

// ours are refusals whose text is always our own.
var ours = []error{reply.NoRequireTLS, reply.NoVerifiedTLS, reply.FactsMissing, byAdmin}

// redacted is the form that may go without REQUIRETLS (RFC 8689 §5): neither
// subject nor header of the original, and of what hosts said only the codes,
// since their texts may quote them.
func (d *draft) redacted() []byte {
	short := *d
	short.boundary = token()
	if e := d.notice.err; e != nil && !slices.ContainsFunc(ours, func(o error) bool { return !d.notice.remote && errors.Is(e, o) }) {
		bare := *e
		bare.Text, bare.Err = "(the text is left out of this report)", nil
		short.notice.err = &bare
	}
	text := short.head() +
		short.part("text/plain", short.words()+
			"\r\nThe message asked for REQUIRETLS. This report travels without it, and so says\r\nnothing of the message itself (RFC 8689, section 5).\r\n\r\n") +
		short.status() + "--" + short.boundary + "--\r\n"
	return []byte(text)
}

// standIn is what goes on in place of somebody else's report that was to be
// redirected and whose demand cannot be met: it is not lost without a word
// (RFC 8689 §5).
func standIn(opt Options, l *Letter) []byte {
	now := opt.Now()
	return []byte("From: Mail Delivery System <" + opt.Postmaster.String() + ">\r\n" +
		"To: " + l.To.ALabels().Path() + "\r\n" +
		"Date: " + now.Format(time.RFC1123Z) + "\r\n" +
		"Message-ID: <" + token() + "@" + opt.Hostname + ">\r\n" +
		"Subject: A delivery report could not be sent on to you\r\n" +
		"Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" +
		"This is the mail system at " + opt.Hostname + ".\r\n\r\n" +
		"A delivery report came that was to be sent on to you. It belongs to a message\r\n" +
		"that asked for REQUIRETLS, and your mail system could not promise that. Only\r\n" +
		"this notice is sent (RFC 8689, section 5).\r\n\r\nReceived: " + l.Created.Format(time.RFC1123Z) + ", as " + l.Origin + "\r\n")
}

func token() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}
