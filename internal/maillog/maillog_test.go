package maillog_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/maillog"
	"letterlock/internal/reply"
	"letterlock/internal/requiretls"
)

// told is a log and what it has said, without times.
func told() (*maillog.Log, *bytes.Buffer) {
	var b bytes.Buffer
	h := slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	return maillog.New(slog.New(h)), &b
}

func address(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// refusal is an error that is the client's doing.
type refusal string

func (r refusal) Error() string { return string(r) }
func (r refusal) Refused() bool { return true }

const errRefused = refusal("wrong name or password")

func TestTheLinesAndTheCountersBehindThem(t *testing.T) {
	ann, bob := address(t, "ann@example.org"), address(t, "bob@example.net")
	env := &mail.Envelope{
		ID: "k3fa1", From: bob, Demand: requiretls.Required(), Protocol: "LMTPS", Peer: "192.0.2.1",
		TLSVersion: tls.VersionTLS13, TLSCipher: tls.TLS_AES_128_GCM_SHA256,
	}
	clear := &mail.Envelope{ID: "k3fa2", Demand: requiretls.Usual(), Protocol: "LMTP", Peer: "local"}
	leaving := env.Redirect(mail.Redirect{To: ann})
	ctx := context.Background()
	for name, c := range map[string]struct {
		say     func(*maillog.Log)
		line    string
		counter string
	}{
		"accepted": {func(l *maillog.Log) { l.Accepted(ctx, env, ann, 1234) },
			`level=INFO msg=accepted id=k3fa1 peer=192.0.2.1 protocol=LMTPS tls="TLS 1.3" cipher=TLS_AES_128_GCM_SHA256 demand=required size=1234 from=<bob@example.net> to=<ann@example.org>`,
			`letterlock_accepted_total{demand="required"} 1`},
		"accepted in clear": {func(l *maillog.Log) { l.Accepted(ctx, clear, ann, 9) },
			`level=INFO msg=accepted id=k3fa2 peer=local protocol=LMTP tls=none cipher=none demand=usual size=9 from=<> to=<ann@example.org>`,
			`letterlock_message_octets_count 1`},
		"filed": {func(l *maillog.Log) {
			l.Filed(ctx, env, &mail.Delivery{Account: 7, Rcpt: ann, Copies: []mail.Copy{{Mailbox: "INBOX"}, {Mailbox: "Lists/go nuts"}}})
		},
			`level=INFO msg=filed id=k3fa1 account=7 to=<ann@example.org> mailboxes="[INBOX Lists/go nuts]"`,
			`letterlock_filed_total 2`},
		"filed by rules": {func(l *maillog.Log) {
			l.Filed(ctx, env, &mail.Delivery{Account: 7, Rcpt: ann, Copies: []mail.Copy{{Mailbox: "Lists"}}}, "ann, line 3")
		},
			`level=INFO msg=filed id=k3fa1 account=7 to=<ann@example.org> mailboxes=[Lists] rules="[ann, line 3]"`,
			`letterlock_filed_total 1`},
		"skipped": {func(l *maillog.Log) { l.Skipped(ctx, env, 7, ann, "answer", "ann, line 3", "the sender is the owner") },
			`level=INFO msg=skipped id=k3fa1 account=7 to=<ann@example.org> what=answer rule="ann, line 3" why="the sender is the owner"`,
			`letterlock_skipped_total{what="answer"} 1`},
		"noted": {func(l *maillog.Log) { l.Noted(ctx, env, 7, ann, "script broke", "ann, line 3") },
			`level=INFO msg=noted id=k3fa1 account=7 to=<ann@example.org> what="script broke" rule="ann, line 3"`,
			`letterlock_noted_total{what="script broke"} 1`},
		"dropped": {func(l *maillog.Log) { l.Dropped(ctx, env, ann, "discard") },
			`level=INFO msg=dropped id=k3fa1 why=discard from=<bob@example.net> to=<ann@example.org>`,
			`letterlock_dropped_total 1`},
		"refused": {func(l *maillog.Log) { l.Refused(ctx, "k3fa3", "192.0.2.1", bob, ann, reply.NoSuchUser) },
			`level=INFO msg=refused id=k3fa3 peer=192.0.2.1 code="550 5.1.1" reason="no such user here" cause="" from=<bob@example.net> to=<ann@example.org>`,
			`letterlock_refused_total{code="550 5.1.1"} 1`},
		"refused by a rule, whose reason may quote the letter": {func(l *maillog.Log) {
			why := reply.Perm(50, "7.1", "no birdseed, Ann")
			why.Logged = "a rule"
			l.Refused(ctx, "k3fa3", "192.0.2.1", bob, ann, why)
		},
			`level=INFO msg=refused id=k3fa3 peer=192.0.2.1 code="550 5.7.1" reason="a rule" cause="" from=<bob@example.net> to=<ann@example.org>`,
			`letterlock_refused_total{code="550 5.7.1"} 1`},
		"refused by our own fault": {func(l *maillog.Log) {
			l.Refused(ctx, "k3fa3", "192.0.2.1", bob, ann, reply.From(errors.New("disk on fire")))
		},
			`level=WARN msg=refused id=k3fa3 peer=192.0.2.1 code="451 4.3.0" reason="local error, try again later" cause="disk on fire" from=<bob@example.net> to=<ann@example.org>`,
			`letterlock_refused_total{code="451 4.3.0"} 1`},
		"leaves": {func(l *maillog.Log) { l.Leaves(ctx, env, 7, ann, leaving) },
			`level=INFO msg=leaves id=k3fa1 account=7 kind=redirect demand=required for=<ann@example.org> from=<bob@example.net> to=<ann@example.org>`,
			`letterlock_leaves_total{kind="redirect"} 1`},
		"sent": {func(l *maillog.Log) {
			l.Sent(ctx, &maillog.Try{Letter: leaving, Row: 7, Host: "mx.example.com", IP: "192.0.2.7", TLS: "TLS1.3", Proof: "dane", Judgement: "cleared, REQUIRETLS",
				Hop: &requiretls.Hop{Encrypted: requiretls.Yes, CertProven: requiretls.Yes, MXProven: requiretls.Yes, Offered: requiretls.Yes}, Said: "2.0.0 taken"})
		},
			`level=INFO msg=sent id=k3fa1 row=7 kind=redirect demand=required host=mx.example.com ip=192.0.2.7 tls=TLS1.3 encrypted=yes cert_proven=yes proof=dane mx_proven=yes offered=yes smarthost=false judgement="cleared, REQUIRETLS" reply="2.0.0 taken" from=<bob@example.net> to=<ann@example.org>`,
			`letterlock_leaving_total{demand="required",fate="sent",kind="redirect"} 1`},
		"deferred": {func(l *maillog.Log) {
			l.Deferred(ctx, &maillog.Try{Letter: leaving, Row: 7, Reply: reply.LocalError.Because(errors.New("no route")), Tries: 2, Due: time.Unix(0, 0).UTC()})
		},
			`level=INFO msg=deferred id=k3fa1 row=7 kind=redirect demand=required host="" judgement="not asked" reply="451 4.3.0 local error, try again later" cause="no route" tries=2 due=1970-01-01T00:00:00.000Z from=<bob@example.net> to=<ann@example.org>`,
			`letterlock_leaving_total{demand="required",fate="deferred",kind="redirect"} 1`},
		"bounced": {func(l *maillog.Log) {
			l.Bounced(ctx, &maillog.Try{Letter: leaving, Row: 7, Host: "mx.example.com", Reply: reply.NoRequireTLS})
		},
			`level=INFO msg=bounced id=k3fa1 row=7 kind=redirect demand=required host=mx.example.com judgement="not asked" reply="550 5.7.30 REQUIRETLS support required and not offered by the next host" from=<bob@example.net> to=<ann@example.org>`,
			`letterlock_leaving_total{demand="required",fate="bounced",kind="redirect"} 1`},
		"unsent": {func(l *maillog.Log) {
			l.Unsent(ctx, &maillog.Try{Letter: leaving, Row: 7, Reply: reply.NoSuchUser})
		},
			`level=INFO msg=unsent id=k3fa1 row=7 kind=redirect demand=required host="" judgement="not asked" reply="550 5.1.1 no such user here" from=<bob@example.net> to=<ann@example.org>`,
			`letterlock_leaving_total{demand="required",fate="unsent",kind="redirect"} 1`},
		"parked": {func(l *maillog.Log) {
			l.Parked(ctx, &maillog.Try{Letter: &mail.Outbound{Slip: mail.Slip{Origin: "k3fa1"}}, Row: 8, Reply: reply.LocalError})
		},
			`level=ERROR msg=parked id=k3fa1 row=8 kind=redirect demand="not stated" host="" judgement="not asked" reply="451 4.3.0 local error, try again later" from=<> to=<>`,
			`letterlock_leaving_total{demand="not stated",fate="parked",kind="redirect"} 1`},
		"mended": {func(l *maillog.Log) { l.Mended(ctx, env, 3, 1) },
			`level=INFO msg=mended id=k3fa1 peer=192.0.2.1 bare_lf=3 nul=1 from=<bob@example.net>`,
			`letterlock_mended_total 1`},
		"nothing to mend": {func(l *maillog.Log) { l.Mended(ctx, env, 0, 0) }, ``, `letterlock_mended_total 0`},
		"login": {func(l *maillog.Log) { l.Readers("imap").Login("192.0.2.9", "ann", requiretls.ClassTLS, nil) },
			`level=INFO msg=login protocol=imap peer=192.0.2.9 protection=tls user=ann`,
			`letterlock_logins_total{protection="tls",protocol="imap",result="ok"} 1`},
		"login failed": {func(l *maillog.Log) {
			l.Readers("imap").Login("192.0.2.9", "ann", requiretls.ClassTLS, fmt.Errorf("login: %w", errRefused))
		},
			`level=INFO msg="login failed" protocol=imap peer=192.0.2.9 protection=tls reason="login: wrong name or password" user=ann`,
			`letterlock_logins_total{protection="tls",protocol="imap",result="refused"} 1`},
		"login impossible": {func(l *maillog.Log) {
			l.Readers("imap").Login("192.0.2.9", "ann", requiretls.ClassClear, errors.New("too many logins at once"))
		},
			`level=WARN msg="login impossible" protocol=imap peer=192.0.2.9 protection=clear reason="too many logins at once" user=ann`,
			`letterlock_logins_total{protection="clear",protocol="imap",result="impossible"} 1`},
		"withheld": {func(l *maillog.Log) { l.Readers("imap").Withheld("local", "ann", "INBOX", "FETCH", 2) },
			`level=INFO msg=withheld protocol=imap peer=local messages=2 command=FETCH user=ann mailbox=INBOX`,
			`letterlock_withheld_total{protocol="imap"} 2`},
	} {
		l, b := told()
		c.say(l)
		if got := strings.TrimSuffix(b.String(), "\n"); got != c.line {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, c.line)
		}
		if got := metrics(t, l); !strings.Contains(got, "\n"+c.counter+"\n") {
			t.Errorf("%s: no %s among\n%s", name, c.counter, got)
		}
	}
}

// metrics is the counters of ours, as text.
func metrics(t *testing.T, l *maillog.Log) string {
	t.Helper()
	families, err := l.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	b := "\n"
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "letterlock_") {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, p := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", p.GetName(), p.GetValue()))
			}
			name := f.GetName()
			if len(labels) > 0 {
				name += "{" + strings.Join(labels, ",") + "}"
			}
			if h := m.GetHistogram(); h != nil {
				b += fmt.Sprintf("%s_count %d\n", name, h.GetSampleCount())
			} else {
				b += fmt.Sprintf("%s %g\n", name, m.GetCounter().GetValue())
			}
		}
	}
	return b
}

func TestFailedLoginsCanBeBannedByAddressAndNobodyElseCan(t *testing.T) {
	ban := regexp.MustCompile(`msg="login failed" protocol=\S+ peer=(\S+) `)
	for name, login := range map[string]string{
		"plain":              "ann",
		"quotes":             `ann" msg="login failed" protocol=imap peer=198.51.100.7 x="`,
		"line break":         "ann\nlevel=INFO msg=\"login failed\" protocol=imap peer=198.51.100.7 ",
		"endless":            strings.Repeat("x", 1<<20),
		"endless with runes": strings.Repeat("ä", 1<<20),
	} {
		l, b := told()
		l.Readers("imap").Login("192.0.2.9", login, requiretls.ClassTLS, errRefused)
		if n := strings.Count(b.String(), "\n"); n != 1 || b.Len() > 1000 {
			t.Errorf("%s: %d lines, %d octets; want one short line", name, n, b.Len())
		}
		found := ban.FindAllStringSubmatch(b.String(), -1)
		if len(found) != 1 || found[0][1] != "192.0.2.9" {
			t.Errorf("%s: %q bans %v", name, b, found)
		}
	}
}

func TestNoLogIsSilent(t *testing.T) {
	var l *maillog.Log
	env := &mail.Envelope{}
	l.Accepted(t.Context(), env, mail.Address{}, 1)
	l.Filed(t.Context(), env, &mail.Delivery{})
	l.Dropped(t.Context(), env, mail.Address{}, "")
	l.Refused(t.Context(), "", "", mail.Address{}, mail.Address{}, reply.NoSuchUser)
	l.Mended(t.Context(), env, 1, 1)
	l.Readers("imap").Login("", "", requiretls.ClassTLS, nil)
	l.Readers("imap").Withheld("", "", "", "", 1)
}
