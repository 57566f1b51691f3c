// Package maillog is the closed set of lines that tell an admin what became of
// a message and who came to read it, with the counters behind them.
//
// Each method writes one line with fixed keys, and counts. The keys and the
// words of msg are a contract with the people who grep for them:
//
//	accepted          id peer protocol tls cipher demand size from to
//	filed             id account to mailboxes [rules]
//	dropped           id why from to
//	noted             id account to what rule
//	skipped           id account to what rule why
//	refused           id peer code reason cause from to
//	mended            id peer bare_lf nul from
//	leaves            id account kind demand for from to
//	sent              id row kind demand host FACTS reply from to
//	deferred          id row kind demand host FACTS reply [cause] tries due from to
//	bounced           id row kind demand host FACTS reply [cause] from to
//	unsent            id row kind demand host FACTS reply [cause] from to
//	parked            id row kind demand host FACTS reply from to
//	login             protocol peer protection user
//	login failed      protocol peer protection reason user
//	login impossible  protocol peer protection reason user
//	withheld          protocol peer messages command user mailbox
//
// FACTS are those of the last hop that was asked and what package requiretls
// made of them: ip tls encrypted cert_proven proof mx_proven offered smarthost
// judgement; where nobody was reached, judgement alone ("not asked").
//
// A line never holds a subject or anything else of a message's content
// (RFC 8689: what is logged leaves the house). What a stranger wrote is cut to
// a length and comes after what we know ourselves, so that it cannot pass for
// it. For fail2ban, with the text form of the log:
//
//	failregex = msg="login failed" protocol=\S+ peer=<HOST>
//
// The zero of everything is usable: a nil [*Log] says and counts nothing.
// It knows no rooms. Start reading at [Log]; [NewJSONHandler] is how the lines
// are written where a program collects them.
package maillog
