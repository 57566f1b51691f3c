package conformance

// duty is one thing a receiving server does or lets be under RFC 8689.
type duty struct {
	row     string
	name    string
	section string
	level   Level
	text    string
	needs   needs
	probe   func(*probe) finding
}

// duties are asked about in this order: what one learns, later ones use.
var duties = []duty{
	{"R8", "listed-in-tls", "RFC 8689 §2", Must, "REQUIRETLS is listed inside TLS", needsTLS | needsOffer, listedInTLS},
	{"R1", "not-listed-in-clear", "RFC 8689 §2", Defined, "REQUIRETLS is not listed before TLS", needsClear, notListedInClear},
	{"R1", "keyword-is-bare", "RFC 8689 §2", Defined, "the keyword has no arguments", needsOffer, keywordIsBare},
	{"R5", "refused-in-clear", "RFC 8689 §2", Must, "the option is refused outside TLS", needsClear, refusedInClear},
	{"R2", "value-refused", "RFC 8689 §2", Defined, "the option with a value is refused", needsOffer, valueRefused},
	{"R2", "repeat-refused", "RFC 8689 §2", Defined, "the option given twice is refused", needsOffer, repeatRefused},
	{"R2", "any-case", "RFC 5321 §2.4", Must, "the option is taken in lower case too", needsOffer, anyCase},
	{"R3", "line-grows", "RFC 8689 §2", Defined, "a MAIL line may be 11 octets longer", needsOffer, lineGrows},
	{"R12", "option-taken", "RFC 8689 §4.1", Must, "a letter with the option is taken", needsOffer, optionTaken},
	{"R12", "tag-in-trace", "RFC 8689 §4.1", Must, "it is tagged: Received says requiretls", needsOffer | needsMailbox, tagInTrace},
	{"R12", "second-mail", "RFC 5321 §4.1.4", Must, "a second MAIL cannot drop the tag", needsOffer, secondMail},
	{"R12", "reset", "RFC 5321 §4.1.1.5", Must, "RSET drops the recipients with the tag", needsOffer, resetDropsAll},
	{"R12", "tag-ends", "RFC 8689 §4.1", Defined, "the next letter on the connection is untagged", needsOffer | needsMailbox | needsTrace, tagEnds},
	{"R13", "header-taken", "RFC 8689 §4.1", Must, "TLS-Required: No alone is taken", 0, headerTaken},
	{"R14", "header-ignored", "RFC 8689 §4.1", Must, "TLS-Required: No beside the option is taken", needsOffer, headerBesideOption},
	{"R14", "option-wins", "RFC 8689 §4.1", Must, "and the option wins: Received says so", needsOffer | needsMailbox | needsTrace, optionWins},
	{"R11", "two-headers", "RFC 5321 §3.3", Should, "two TLS-Required fields are no reason to refuse", 0, twoHeaders},
	{"R15", "recipients", "RFC 8689 §4.1", Must, "several recipients are taken with the option", needsOffer | needsCompany, recipientsTaken},
	{"R15", "one-tag", "RFC 8689 §4.1", Must, "and each copy has the tag", needsOffer | needsCompany | needsMailbox | needsTrace, oneTag},
	{"R35", "bounce-taken", "RFC 8689 §5", Must, "an empty return path with the option is taken", needsOffer, bounceTaken},
	{"R37", "ret-full", "RFC 8689 §5", Must, "RET=FULL beside the option is no error", needsOffer, retFull},
	{"R19", "certificate", "RFC 8689 §4.2.1", Must, "the certificate can be verified by clients", needsTLS, certificate},
	{"R21", "old-tls", "RFC 8996 §2", Must, "TLS 1.0 and 1.1 are not negotiated", needsTLS, oldTLS},
	{"R5", "injection", "RFC 3207 §6", Must, "commands sent along with STARTTLS are dropped", needsSTARTTLS, injection},
	{"R5", "fresh-session", "RFC 3207 §4.2", Must, "a transaction begun in clear ends with STARTTLS", needsSTARTTLS, freshSession},
	{"R5", "failed-handshake", "RFC 8689 §2", Must, "after a failed handshake nothing goes on in clear", needsSTARTTLS, failedHandshake},
	{"R34", "login-in-clear", "RFC 9051 §6.2.3", Should, "the mailbox takes no password in clear", needsMailbox, loginInClear},
	{"R34", "withheld-in-clear", "RFC 8689 §4.4", Should, "the tagged letter is not shown in clear", needsOffer | needsMailbox, withheldInClear},
}
