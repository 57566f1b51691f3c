package segment

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// scribe writes letters as a mailbox of our days has them: what people write
// each other, lists, newsletters, notes of machines, reports. Nobody is behind
// them: every name, number and text is made up here. They train the dictionary
// (dictionary_test.go).
type scribe struct {
	rnd  *rand.Rand
	when time.Time
	zipf *rand.Zipf
	all  []string
}

func newScribe(seed uint64) *scribe {
	rnd := rand.New(rand.NewPCG(seed, 3))
	s := &scribe{rnd: rnd, when: time.Date(2026, 1, 5, 7, 0, 0, 0, time.UTC)}
	s.all = strings.Fields(`the to and a of I in is you that it for on have be with this are we not as will at can if
		your but my from so me would do just or was there an what all know one up out about they please get like has when more
		time our here them let think good see then some work could which thanks also need how any been were who than only new other
		use now well go by could make back still meeting week today tomorrow next next call sent attached file project question
		answer invoice order account password report number address email team office send update change date day month year best
		regards kind hello dear hi und die der das ist nicht ein wir Sie mit für auf le la les des pour est vous el los que por`)
	s.zipf = rand.NewZipf(rnd, 1.15, 6, uint64(len(s.all)-1))
	return s
}

func (s *scribe) one(of ...string) string { return of[s.rnd.IntN(len(of))] }
func (s *scribe) word() string            { return s.all[s.zipf.Uint64()] }

func (s *scribe) words(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = s.word()
	}
	return strings.Join(all, " ")
}

// token is n octets of an alphabet: ids, signatures.
func (s *scribe) token(n int, alphabet string) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[s.rnd.IntN(len(alphabet))]
	}
	return string(b)
}

const (
	hexDigits = "0123456789abcdef"
	base64Set = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	queueSet  = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"
)

func (s *scribe) blob(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(s.rnd.Uint32())
	}
	return base64.StdEncoding.EncodeToString(b)
}

func (s *scribe) host() string {
	return s.one("mail", "mx1", "smtp", "out-3", "relay", "mta7") + "." + s.domain()
}

func (s *scribe) domain() string {
	return s.word() + s.one(".example", ".example.com", ".example.org", ".example.net", ".test")
}

func (s *scribe) ip() string {
	return fmt.Sprintf("%d.%d.%d.%d", 1+s.rnd.IntN(222), s.rnd.IntN(256), s.rnd.IntN(256), s.rnd.IntN(256))
}

// date moves on a little.
func (s *scribe) date() string {
	s.when = s.when.Add(time.Duration(s.rnd.IntN(4000)) * time.Second)
	return s.when.Format("Mon, 2 Jan 2006 15:04:05 ") + s.one("+0000", "+0100", "+0200", "-0500", "-0700", "+0000 (UTC)")
}

// letter is one of them, header and text.
func (s *scribe) letter() string {
	from, to := s.word()+"@"+s.domain(), s.word()+"@"+s.domain()
	var b strings.Builder
	say := func(format string, a ...any) {
		b.WriteString(strings.ReplaceAll(fmt.Sprintf(format, a...), "\n", "\r\n"))
	}
	say("Received: from %s (%s [%s])\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\n\t key-exchange %s server-signature %s server-digest SHA256)\n\t(No client certificate requested)\n\tby %s (Postfix) with ESMTPS id %s\n\tfor <%s>; %s\n",
		s.host(), s.host(), s.ip(), s.one("X25519", "X25519MLKEM768", "ECDHE (P-256)"), s.one("RSA-PSS (2048 bits)", "ECDSA (P-256)"), s.host(), s.token(14, queueSet), to, s.date())
	if s.rnd.IntN(2) == 0 {
		say("Authentication-Results: %s;\n\tdkim=pass header.d=%s header.s=%s header.b=%s;\n\tspf=pass (%s: domain of %s designates %s as permitted sender) smtp.mailfrom=%s;\n\tdmarc=pass (policy=%s) header.from=%s\n",
			s.host(), s.domain(), s.word(), s.token(8, base64Set), s.host(), from, s.ip(), from, s.one("none", "quarantine", "reject"), s.domain())
	}
	if s.rnd.IntN(3) > 0 {
		say("DKIM-Signature: v=1; a=%s; c=relaxed/%s; d=%s; s=%s;\n\tt=%d; h=from:from:reply-to:subject:subject:date:date:message-id:message-id:\n\t to:to:cc:mime-version:mime-version:content-type:content-type:\n\t content-transfer-encoding:content-transfer-encoding:\n\t in-reply-to:in-reply-to:references:references;\n\tbh=%s;\n\tb=%s\n\t %s\n\t %s==\n",
			s.one("rsa-sha256", "rsa-sha256", "ed25519-sha256"), s.one("relaxed", "simple"), s.domain(), s.one("default", "mail", "s1", "selector1", s.word()), s.when.Unix(), s.blob(32), s.token(70, base64Set), s.token(74, base64Set), s.token(72, base64Set))
	}
	if s.rnd.IntN(3) == 0 {
		say("Received: by %s with SMTP id %s\n        for <%s>; %s\nX-Google-Smtp-Source: %s\nX-Received: by 2002:a05:%s with SMTP id %s\n\tmr%d;\n", s.host(), s.token(30, hexDigits), to, s.date(), s.token(40, base64Set), s.token(20, hexDigits), s.token(30, hexDigits), s.rnd.IntN(1e6))
	}
	if s.rnd.IntN(4) == 0 {
		say("X-Spamd-Result: default: False [%d.%d0 / 15.00];\n\tBAYES_HAM(-3.00)[%s%%];\n\tMIME_GOOD(-0.10)[multipart/alternative,text/plain];\n\tR_DKIM_ALLOW(-0.20)[%s];\n\tARC_NA(0.00)[];\n\tFROM_HAS_DN(0.00)[];\n\tTO_DN_NONE(0.00)[];\n\tRCVD_COUNT_TWO(0.00)[2];\n\tRCVD_TLS_ALL(0.00)[]\nX-Spam-Status: No, score=-1.9 required=5.0 tests=BAYES_00,DKIM_SIGNED,\n\tDKIM_VALID,DKIM_VALID_AU,HTML_MESSAGE,RCVD_IN_DNSWL_NONE,SPF_HELO_NONE,\n\tSPF_PASS autolearn=ham autolearn_force=no\n", s.rnd.IntN(9), s.rnd.IntN(9), s.token(4, "0123456789"), s.domain())
	}
	subject := s.words(3 + s.rnd.IntN(6))
	switch s.rnd.IntN(7) {
	case 0:
		s.list(say, from)
	case 1:
		s.newsletter(say, from)
		return b.String()
	case 2:
		s.machine(say, from, to)
		return b.String()
	case 3:
		s.report(say, from, to)
		return b.String()
	case 4:
		subject = "=?utf-8?" + s.one("Q?", "q?") + strings.ReplaceAll(subject, " ", "_") + "=C3=BC?="
	}
	say("Message-ID: <%s@%s>\nDate: %s\n", s.token(8, hexDigits)+"-"+s.token(4, hexDigits)+"-"+s.token(4, hexDigits)+"-"+s.token(12, hexDigits), s.domain(), s.date())
	if s.rnd.IntN(2) == 0 {
		say("References: <%s@%s>\n <%s@%s>\nIn-Reply-To: <%s@%s>\n", s.token(36, base64Set), s.domain(), s.token(20, hexDigits), s.domain(), s.token(20, hexDigits), s.domain())
		subject = s.one("Re: ", "Re: ", "Fwd: ", "AW: ") + subject
	}
	say("MIME-Version: 1.0\nUser-Agent: %s\nSubject: %s\nContent-Language: %s\nTo: %s %s <%s>\nFrom: %s %s <%s>\n",
		s.one("Mozilla Thunderbird", "Mutt/2.2.12 (2023-09-09)", "K-9 Mail for Android", "Evolution 3.46.4-2", "Roundcube Webmail/1.6.5"), subject, s.one("en-US", "de-DE", "en-GB"), s.word(), s.word(), to, s.word(), s.word(), from)
	if s.rnd.IntN(3) == 0 {
		s.alternative(say)
	} else {
		say("Content-Type: text/plain; charset=%s\nContent-Transfer-Encoding: %s\n\n", s.one("UTF-8; format=flowed", "utf-8", "us-ascii", "iso-8859-1", `"UTF-8"`), s.one("7bit", "8bit", "quoted-printable", "base64"))
		s.prose(say)
	}
	return b.String()
}

func (s *scribe) prose(say func(string, ...any)) {
	say("%s %s,\n\n", s.one("Hi", "Hello", "Dear", "Hallo", "Bonjour"), s.word())
	for range 1 + s.rnd.IntN(5) {
		for range 1 + s.rnd.IntN(6) {
			say("%s\n", s.words(9+s.rnd.IntN(5)))
		}
		say("\n")
	}
	if s.rnd.IntN(2) == 0 {
		say("On %s, %s %s wrote:\n", s.when.Format("1/2/06 15:04"), s.word(), s.word())
		for range 2 + s.rnd.IntN(10) {
			say("> %s\n", s.words(9+s.rnd.IntN(4)))
		}
	}
	say("%s,\n%s\n\n-- \n%s %s\n%s\n", s.one("Best regards", "Kind regards", "Thanks", "Mit freundlichen Grüßen", "Cheers"), s.word(), s.word(), s.word(), s.domain())
}

func (s *scribe) alternative(say func(string, ...any)) {
	mark := s.one("------------", "000000000000", "_000_", "=-", "----=_Part_") + s.token(24, base64Set)
	say("Content-Type: multipart/alternative;\n boundary=\"%s\"\n\nThis is a multi-part message in MIME format.\n--%s\nContent-Type: text/plain; charset=UTF-8; format=flowed\nContent-Transfer-Encoding: 8bit\n\n", mark, mark)
	s.prose(say)
	say("\n--%s\nContent-Type: text/html; charset=UTF-8\nContent-Transfer-Encoding: %s\n\n", mark, s.one("8bit", "quoted-printable", "7bit"))
	s.page(say, 1+s.rnd.IntN(6))
	say("\n--%s--\n", mark)
}

// page is HTML as mail programs and newsletters write it.
func (s *scribe) page(say func(string, ...any), paragraphs int) {
	say("<!DOCTYPE html>\n<html>\n  <head>\n    <meta http-equiv=\"content-type\" content=\"text/html; charset=UTF-8\">\n    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1.0\">\n    <title>%s</title>\n<style type=\"text/css\">\nbody { margin: 0; padding: 0; -webkit-text-size-adjust: 100%%; font-family: Arial, Helvetica, sans-serif; }\ntable, td { border-collapse: collapse; mso-table-lspace: 0pt; mso-table-rspace: 0pt; }\n@media only screen and (max-width: 600px) { .container { width: 100%% !important; } }\n</style>\n  </head>\n  <body>\n", s.words(4))
	for range paragraphs {
		switch s.rnd.IntN(3) {
		case 0:
			say("    <p>%s<br>\n    </p>\n", s.words(20+s.rnd.IntN(30)))
		case 1:
			say("<table role=\"presentation\" border=\"0\" cellpadding=\"0\" cellspacing=\"0\" width=\"100%%\" style=\"max-width: 600px;\">\n<tr>\n<td align=\"center\" valign=\"top\" style=\"padding: 0 20px 20px 20px; font-family: Arial, sans-serif; font-size: 16px; line-height: 24px; color: #333333;\">\n%s\n</td>\n</tr>\n</table>\n", s.words(15))
		default:
			say("    <div dir=\"ltr\">%s<a href=\"https://%s/%s?utm_source=newsletter&amp;utm_medium=email&amp;utm_campaign=%s\" target=\"_blank\" style=\"color: #1a73e8; text-decoration: none;\">%s</a>&nbsp;<span style=\"font-size: 14px;\">%s</span></div>\n", s.words(10), s.domain(), s.token(12, base64Set), s.word(), s.words(2), s.words(5))
		}
	}
	say("  </body>\n</html>\n")
}

func (s *scribe) list(say func(string, ...any), from string) {
	name, host := s.word(), s.domain()
	say("Precedence: list\nList-Id: %s <%s.%s>\nList-Unsubscribe: <https://%s/options/%s>,\n <mailto:%s-request@%s?subject=unsubscribe>\nList-Archive: <https://%s/pipermail/%s/>\nList-Post: <mailto:%s@%s>\nList-Help: <mailto:%s-request@%s?subject=help>\nList-Subscribe: <https://%s/listinfo/%s>,\n <mailto:%s-request@%s?subject=subscribe>\nErrors-To: %s-bounces@%s\nSender: \"%s\" <%s-bounces@%s>\nX-BeenThere: %s@%s\nX-Mailman-Version: 3.3.8\nReply-To: %s\n",
		s.words(2), name, host, host, name, name, host, host, name, name, host, name, host, host, name, name, host, name, host, name, name, host, name, host, from)
}

func (s *scribe) newsletter(say func(string, ...any), from string) {
	say("From: \"%s\" <%s>\nTo: %s@%s\nSubject: %s\nDate: %s\nMessage-ID: <%s@%s>\nMIME-Version: 1.0\nList-Unsubscribe: <https://%s/unsubscribe?id=%s>\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\nFeedback-ID: %s:%s:%s\nX-Mailer: %s\nX-Report-Abuse: Please report abuse for this campaign here: https://%s/abuse\nAuto-Submitted: auto-generated\nPrecedence: bulk\nContent-Type: text/html; charset=\"utf-8\"\nContent-Transfer-Encoding: quoted-printable\n\n",
		s.words(2), from, s.word(), s.domain(), s.words(6), s.date(), s.token(40, hexDigits), s.domain(), s.domain(), s.token(24, hexDigits), s.token(6, hexDigits), s.word(), s.word(), s.words(1), s.domain())
	s.page(say, 4+s.rnd.IntN(12))
	say("<p style=\"font-size: 12px; color: #999999;\">You are receiving this email because you signed up at %s. <a href=\"https://%s/unsubscribe\">Unsubscribe</a> | <a href=\"https://%s/view\">View in browser</a></p>\n", s.domain(), s.domain(), s.domain())
}

func (s *scribe) machine(say func(string, ...any), from, to string) {
	say("From: %s\nTo: %s\nSubject: [%s] %s (#%d)\nDate: %s\nMessage-ID: <%s/%d@%s>\nAuto-Submitted: auto-generated\nX-Auto-Response-Suppress: All\nX-Priority: 3\nMIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 7bit\n\n", from, to, s.one("PATCH v2 1/3", "alert", "ticket", s.word()+"/"+s.word()), s.words(5), s.rnd.IntN(9999), s.date(), s.word(), s.rnd.IntN(9999), s.domain())
	for range 3 + s.rnd.IntN(20) {
		say("%s %s %s[%d]: %s\n", s.when.Format("2006-01-02 15:04:05"), s.word(), s.word(), s.rnd.IntN(99999), s.words(5+s.rnd.IntN(6)))
	}
	say("\n-- \nReply to this email directly or view it on the web:\nhttps://%s/%s/issues/%d#issuecomment-%d\nYou are receiving this because you are subscribed to this thread.\n", s.domain(), s.word(), s.rnd.IntN(9999), s.rnd.IntN(1e9))
}

func (s *scribe) report(say func(string, ...any), from, to string) {
	mark := s.token(12, queueSet) + "." + fmt.Sprint(s.when.Unix()) + "/" + s.host()
	say("Date: %s\nFrom: MAILER-DAEMON@%s (Mail Delivery System)\nSubject: Undelivered Mail Returned to Sender\nTo: %s\nAuto-Submitted: auto-replied\nMIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status;\n\tboundary=\"%s\"\nMessage-Id: <%s@%s>\n\nThis is a MIME-encapsulated message.\n\n--%s\nContent-Description: Notification\nContent-Type: text/plain; charset=us-ascii\n\nThis is the mail system at host %s.\n\nI'm sorry to have to inform you that your message could not\nbe delivered to one or more recipients. It's attached below.\n\nFor further assistance, please send mail to postmaster.\n\n<%s>: host %s[%s] said: 550 5.1.1 <%s>: Recipient\n    address rejected: User unknown (in reply to RCPT TO command)\n\n--%s\nContent-Description: Delivery report\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; %s\nArrival-Date: %s\n\nFinal-Recipient: rfc822; %s\nOriginal-Recipient: rfc822;%s\nAction: failed\nStatus: 5.1.1\nRemote-MTA: dns; %s\nDiagnostic-Code: smtp; 550 5.1.1 <%s>: Recipient address rejected: User unknown\n\n--%s\nContent-Description: Undelivered Message Headers\nContent-Type: text/rfc822-headers\n\nReturn-Path: <%s>\nSubject: %s\n\n--%s--\n",
		s.date(), s.domain(), from, mark, s.token(12, queueSet), s.host(), mark, s.host(), to, s.host(), s.ip(), to, mark, s.host(), s.date(), to, to, s.host(), to, mark, from, s.words(4), mark)
}
