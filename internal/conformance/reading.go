package conformance

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// tagWord is how servers write the tag down: "with ESMTPS (requiretls)".
var tagWord = regexp.MustCompile(`(?i)[\s(]requiretls[\s;)]`)

// tracesOf fetches the Received fields of a letter's copies and says which tell
// the tag.
func (p *probe) tracesOf(id string, copies int) (tagged []bool, err error) {
	m, err := p.login(inTLS)
	if err != nil {
		return nil, err
	}
	defer m.close()
	uids, err := m.find(p.ctx, id, copies)
	if err != nil {
		return nil, err
	}
	if len(uids) == 0 {
		return nil, errors.New("the letter was taken and is not in the mailbox")
	}
	for _, uid := range uids {
		if err := m.do("UID FETCH " + uid + " BODY.PEEK[HEADER.FIELDS (RECEIVED)]"); err != nil {
			return nil, err
		}
		p.note("   Received: " + m.text)
		tagged = append(tagged, tagWord.MatchString(m.text))
	}
	return tagged, nil
}

// tagInTrace asks for nothing a server must do: one that tags without writing
// it down cannot be told from one that forgets.
func tagInTrace(p *probe) finding {
	s, err := p.inTLS()
	if err != nil {
		return lost(err)
	}
	l := s.mail(p.from(" REQUIRETLS"), p.first())
	f := l.finding()
	if f.verdict != Pass {
		return f
	}
	tagged, err := p.tracesOf(l.id, 1)
	switch {
	case err != nil:
		f.verdict, f.note = Unseen, err.Error()
	case !tagged[0]:
		p.tagged = l.id
		f.verdict, f.note = Unseen, "Received does not tell: how a letter is tagged is the server's own affair (RFC 8689 §4.1)"
	default:
		p.tagged, p.traces = l.id, true
		f.answered = "Received: ... (requiretls)"
	}
	return f
}

// tag says whether every copy of a letter is tagged.
type tag bool

const (
	present tag = true
	absent  tag = false
)

// wantTag looks whether all copies that lie in the mailbox are tagged, or none.
func (p *probe) wantTag(l letter, want tag) finding {
	f := l.finding()
	if f.verdict != Pass {
		return f
	}
	tagged, err := p.tracesOf(l.id, 1)
	if err != nil {
		f.verdict, f.note = Unseen, err.Error()
		return f
	}
	f.answered = fmt.Sprintf("Received with the tag: %t", tagged)
	for _, t := range tagged {
		if tag(t) != want {
			f.verdict = Fail
		}
	}
	return f
}

// tagEnds sends a tagged letter and an untagged one behind it.
func tagEnds(p *probe) finding {
	s, err := p.inTLS()
	if err != nil {
		return lost(err)
	}
	if f := s.mail(p.from(" REQUIRETLS"), p.first()).finding(); f.verdict != Pass {
		return f
	}
	return p.wantTag(s.mail(p.from(""), p.first()), absent)
}

func optionWins(p *probe) finding {
	s, err := p.inTLS()
	if err != nil {
		return lost(err)
	}
	return p.wantTag(s.mail(p.from(" REQUIRETLS"), p.first(), waived), present)
}

// oneTag sees the copies in the first recipient's mailbox alone; all of them,
// where the other recipients' mail is filed there too.
func oneTag(p *probe) finding {
	s, err := p.inTLS()
	if err != nil {
		return lost(err)
	}
	f := p.wantTag(s.mail(p.from(" REQUIRETLS"), p.target.Recipients), present)
	if f.verdict == Pass {
		f.note = "seen in the first recipient's mailbox"
	}
	return f
}

// clearly logs in without TLS. Where that is impossible the finding says why.
func (p *probe) clearly() (m *reader, f finding) {
	f.sent = "LOGIN in clear"
	m, err := p.login(inClear)
	var no refusal
	switch {
	case err == nil:
		return m, f
	case p.mailbox.network == "unix":
		f.note = "a UNIX socket is no network"
	case errors.Is(err, errNoClear):
		f.sent, f.note = "", err.Error()
	case errors.Is(err, errDisabled):
		f.sent, f.answered, f.verdict = "CAPABILITY in clear", err.Error(), Pass
	case errors.As(err, &no):
		f.answered, f.verdict = no.Error(), Pass
	default:
		f.note = err.Error()
	}
	return nil, f
}

func loginInClear(p *probe) finding {
	m, f := p.clearly()
	if m == nil {
		return f
	}
	m.close()
	f.verdict, f.answered = Fail, "OK"
	if p.mailbox.network == "unix" {
		f.verdict = Unseen
	}
	return f
}

// withheldInClear looks for the words of a tagged letter in what a reader in
// clear is shown.
func withheldInClear(p *probe) finding {
	if p.tagged == "" {
		return unseen("no tagged letter was found in the mailbox")
	}
	m, f := p.clearly()
	if m == nil {
		return f
	}
	defer m.close()
	uids, err := m.find(p.ctx, p.tagged, 1)
	if err == nil && len(uids) > 0 {
		f.sent = "UID FETCH " + uids[0] + " BODY.PEEK[] in clear"
		err = m.do("UID FETCH " + uids[0] + " BODY.PEEK[]")
	}
	var no refusal
	switch {
	case errors.As(err, &no):
		f.verdict, f.answered = Pass, no.Error()
	case err != nil:
		return lost(err)
	case strings.Contains(m.text, bodyText):
		f.verdict, f.answered = Fail, "the letter"
	default:
		f.verdict, f.answered = Pass, "not the letter"
	}
	return f
}
