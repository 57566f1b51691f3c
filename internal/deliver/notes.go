package deliver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"letterlock/internal/mail"
	"letterlock/sieve"
)

// What a note is about: the words of the log line, and what its owner is told of
// once a day.
const (
	scriptBroke = "script broke"
	noCompile   = "script does not compile"
	noRedirect  = "redirect not sent"
	noAnswer    = "answer not sent"
	noNotice    = "notification not sent"
	noReject    = "message not rejected"
	noEdit      = "header not edited"
	noMailbox   = "mailbox missing"
	noTrack     = "duplicate not remembered"
)

// note is something that rules asked for and that was not done. Its text is for
// the owner alone: it may quote what the message says, which no log may. Without
// one the log line is all there is to say.
type note struct{ what, rule, text string }

func (f *fate) note(what, rule, text string) {
	f.notes = append(f.notes, note{what, rule, text})
}

// skipped is an answer or a notice that should not be given, and why.
type skipped struct{ what, rule, why string }

func (f *fate) skip(what, rule, why string) {
	f.skipped = append(f.skipped, skipped{what, rule, why})
}

// brokenNote is about a script that did not compile, or broke while it ran.
func brokenNote(script string, err error) note {
	if list, ok := errors.AsType[sieve.Errors](err); ok && script != "" {
		return note{noCompile, fmt.Sprintf("%s, line %d", script, list[0].Line), "The script " + script + " does not compile, so it was left out:\n" + err.Error()}
	}
	rule := script
	if at, ok := errors.AsType[*sieve.Error](err); ok {
		rule = at.Position.String()
	}
	return note{scriptBroke, rule, "A script broke, so what it wanted was not done:\n" + err.Error()}
}

// quiet is how long an owner is not told of the same kind of thing again.
const quiet = 24 * time.Hour

// tell writes the notes of a message into the log and into the owner's own, and
// those of a kind that he has not been told of today into a message in INBOX. What the admin's own
// scripts did is in the log alone.
func (l *letter) tell(ctx context.Context, f *fate) {
	var news []note
	var lines []string
	var remember []mail.Memory
	for _, n := range f.notes {
		l.opt.Log.Noted(ctx, l.env, f.account, f.rcpt, n.what, n.rule)
		if strings.HasPrefix(n.rule, globally) {
			continue
		}
		key := digest("told", n.what)
		told, err := n.text == "", error(nil)
		if !told {
			told, err = l.remembers(ctx, f.account, key, quiet)
		}
		if err == nil && !told {
			news = append(news, n)
			remember = append(remember, mail.Memory{Key: key, Until: l.now().Add(quiet)})
		}
		if n.what != noMailbox || !told { // what all letters of a day have in common is said once
			lines = append(lines, l.logLine(n))
		}
	}
	if l.opt.RuleLog != nil && len(lines) > 0 {
		if err := l.opt.RuleLog.add(ctx, f.account, l.now(), lines); err != nil {
			l.opt.Log.Noted(ctx, l.env, f.account, f.rcpt, "log of rules not written", "")
		}
	}
	if len(news) == 0 {
		return
	}
	if err := l.fileNotice(ctx, f, news, remember); err != nil {
		l.opt.Log.Noted(ctx, l.env, f.account, f.rcpt, "notice not filed", "")
	}
}

// fileNotice puts the news into the owner's INBOX.
func (l *letter) fileNotice(ctx context.Context, f *fate, news []note, remember []mail.Memory) error {
	owner, err := l.opt.Rules.Owner(ctx, f.account)
	if err != nil {
		return err
	}
	n, err := l.ours(owner, []byte(l.notice(owner, news)))
	if err != nil {
		return err
	}
	return l.opt.Store.Commit(ctx, l.ourEnvelope(), n.Body, n.Summary, []mail.Delivery{{
		Account: f.account, Rcpt: owner, Prefix: n.Prefix, Copies: []mail.Copy{{Mailbox: inbox}}, Remember: remember,
	}})[0]
}

// ourEnvelope is that of a message that we wrote because of this one. It may
// quote it, so it has its demand (RFC 8689 §6).
func (l *letter) ourEnvelope() *mail.Envelope {
	return &mail.Envelope{
		ID: l.env.ID + "n", Demand: l.env.Demand, Received: l.env.Received,
		Protocol: "LMTP", Helo: l.opt.Hostname, Peer: "local",
	}
}

// notice is the message that tells.
func (l *letter) notice(owner mail.Address, news []note) string {
	var b strings.Builder
	fmt.Fprintf(&b, "From: Letterlock <postmaster@%s>\r\nTo: %s\r\n", l.opt.Hostname, owner.Path())
	b.WriteString("Subject: Your mail rules could not do all they say\r\n")
	fmt.Fprintf(&b, "Date: %s\r\nMessage-ID: <%s.rules@%s>\r\n", l.now().Format(traceDate), l.env.ID, l.opt.Hostname)
	b.WriteString("Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
	fmt.Fprintf(&b, "A message from %s came for you, and not all that your rules say about it was done.\r\nIt was not lost.\r\n", l.env.From.Path())
	for _, n := range news {
		b.WriteString("\r\n")
		if n.rule != "" {
			fmt.Fprintf(&b, "%s:\r\n", plainLine(n.rule))
		}
		for line := range strings.SplitSeq(n.text, "\n") {
			fmt.Fprintf(&b, "  %s\r\n", plainLine(line))
		}
	}
	b.WriteString("\r\nYou are told of the same kind of thing once a day at most.\r\n")
	return b.String()
}
