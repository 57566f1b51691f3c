package conformance

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"time"
)

// MaxConnections is how many connections to the mail server one run makes at
// most, one at a time.
const MaxConnections = 40

// run is one run and what it has learnt so far.
type run struct {
	ctx       context.Context
	target    Target
	at        place
	mailbox   place // zero: none
	id        string
	connected int

	clear     bool   // a session in clear can be had
	tls       bool   // TLS can be had
	offered   bool   // REQUIRETLS is listed in it
	dsn       bool   // and DSN
	untrusted error  // why the certificate does not hold
	traces    bool   // the Received field was seen to tell the tag
	tagged    string // Message-ID of a tagged letter that lies in the mailbox
}

// Run takes every duty in turn. An error says that the server could not be
// asked at all: the target is incomplete, nobody answers, or a plain letter's
// recipient is refused. ctx ends a run early, with its error.
func Run(ctx context.Context, t Target) (*Report, error) {
	t, err := t.complete()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &run{ctx: ctx, target: t, id: rand.Text()[:10]}
	if r.at, err = t.place(t.Address); err != nil {
		return nil, err
	}
	if t.IMAP != "" {
		if r.mailbox, err = t.place(t.IMAP); err != nil {
			return nil, err
		}
	}
	report := &Report{Protocol: string(t.Protocol), Address: t.Address, Mailbox: t.IMAP, Began: time.Now()}
	if err := r.survey(report); err != nil {
		return nil, fmt.Errorf("%s at %s: %w", t.Protocol, t.Address, err)
	}
	for _, d := range duties {
		report.Results = append(report.Results, r.judge(d))
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return report, nil
}

// survey learns what there is to ask about, and that the recipients are taken.
func (r *run) survey(report *Report) error {
	p := &probe{run: r}
	defer p.close()
	s, err := p.connect()
	if err != nil {
		return err
	}
	report.Greeting = clip(s.greeting, shownLine)
	if err := s.hello(); err != nil {
		return err
	}
	r.clear = !r.at.implicit
	if _, ok := s.has("STARTTLS"); ok && r.clear {
		if err := s.startTLS(); err != nil {
			return err
		}
		if err := s.hello(); err != nil {
			return err
		}
	}
	if secure, ok := s.conn.(*tls.Conn); ok {
		r.tls = true
		report.TLS = tls.VersionName(secure.ConnectionState().Version)
		r.untrusted = r.target.judge(secure.ConnectionState(), p.at.name)
		_, r.offered = s.has("REQUIRETLS")
		_, r.dsn = s.has("DSN")
	}
	return s.rehearse()
}

// rehearse names sender and recipients without the option: whatever is refused
// later is refused for the option's sake.
func (s *session) rehearse() error {
	t := s.p.target
	if a := s.ask(s.p.from("")); !a.taken() {
		return fmt.Errorf("the sender %s is answered %s", t.Sender, a)
	}
	for _, to := range t.Recipients {
		if a := s.ask("RCPT TO:<" + to + ">"); !a.taken() {
			return fmt.Errorf("the recipient %s is answered %s", to, a)
		}
	}
	s.ask("RSET")
	return nil
}

// judge carries out one duty's probe, where there is something to probe.
func (r *run) judge(d duty) Result {
	p := &probe{run: r, name: d.name}
	f, lacks := r.missing(d.needs)
	if !lacks {
		f = d.probe(p)
		p.close()
	}
	return Result{
		Row: d.row, Name: d.name, Section: d.section, Level: d.level, Duty: d.text,
		Sent: clip(f.sent, shownLine), Answered: clip(f.answered, shownLine),
		Verdict: f.verdict, Note: clip(f.note, 2*shownLine), Dialogue: p.dialogue,
	}
}

// needs is what a duty cannot be judged without.
type needs uint8

const (
	needsClear    needs = 1 << iota // a session in clear
	needsSTARTTLS                   // one that becomes a TLS one
	needsTLS                        // TLS, in whichever way
	needsOffer                      // REQUIRETLS listed in it
	needsMailbox                    // somewhere to look into
	needsTrace                      // a Received field that tells the tag
	needsCompany                    // a second recipient
)

// missing says why a duty cannot be asked about here.
func (r *run) missing(n needs) (f finding, lacks bool) {
	switch {
	case n&(needsOffer|needsTLS|needsSTARTTLS) != 0 && !r.tls:
		return finding{verdict: NotOffered, note: "TLS is not to be had here"}, true
	case n&needsOffer != 0 && !r.offered:
		return finding{verdict: NotOffered, note: "REQUIRETLS is not listed inside TLS"}, true
	case n&(needsClear|needsSTARTTLS) != 0 && !r.clear:
		return unseen("the address speaks TLS from the start"), true
	case n&needsMailbox != 0 && r.target.IMAP == "":
		return unseen("no mailbox was given to look into"), true
	case n&needsCompany != 0 && len(r.target.Recipients) < 2:
		return unseen("only one recipient was given"), true
	case n&needsTrace != 0 && !r.traces:
		return unseen("nothing that can be read tells how a letter was tagged"), true
	}
	return finding{}, false
}

// probe is one duty being asked about.
type probe struct {
	*run
	name     string
	dialogue []string
	open     *session // one at a time
	letters  int      // written so far
}

func (p *probe) note(line string) {
	if len(p.dialogue) < maxDialogue {
		p.dialogue = append(p.dialogue, clip(line, shownLine))
	}
}

func (p *probe) close() {
	if p.open != nil {
		p.open.close()
		p.open = nil
	}
}

var errEnough = errors.New("too many connections for one run")

// raw is a connection on which nothing was said.
func (p *probe) raw() (*session, error) {
	p.close()
	if p.connected >= MaxConnections {
		return nil, errEnough
	}
	p.connected++
	conn, err := p.at.dial(p.ctx, p.target.Step)
	if err != nil {
		return nil, err
	}
	p.open = &session{p: p, conn: conn, in: bufio.NewReaderSize(conn, maxLine)}
	return p.open, nil
}

// connect is a connection up to the server's first line.
func (p *probe) connect() (*session, error) {
	s, err := p.raw()
	if err != nil {
		return nil, err
	}
	if p.at.implicit {
		if err := s.secure(); err != nil {
			return nil, err
		}
	}
	a := s.reply()
	if a.code != 220 {
		return nil, fmt.Errorf("the first line is %s", a)
	}
	s.greeting = a.String()
	return s, nil
}

// inClear is a session that has greeted and has no TLS.
func (p *probe) inClear() (*session, error) {
	s, err := p.connect()
	if err == nil {
		err = s.hello()
	}
	return s, err
}

// inTLS is a session that has greeted inside TLS.
func (p *probe) inTLS() (*session, error) {
	s, err := p.inClear()
	if err != nil || p.at.implicit {
		return s, err
	}
	if err := s.startTLS(); err != nil {
		return nil, err
	}
	return s, s.hello()
}

// from is MAIL with what follows the path.
func (p *probe) from(params string) string {
	return "MAIL FROM:<" + p.target.Sender + ">" + params
}
