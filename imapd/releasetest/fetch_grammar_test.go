package releasetest

import "strconv"

func length(s string) string { return strconv.Itoa(len(s)) }

// sections is what may stand in BODY[…].
var sections = words("", "HEADER", "HEADER.FIELDS (SUBJECT FROM X-OKAPI)", "HEADER.FIELDS.NOT (DATE)", "TEXT", "1", "2", "3", "1.MIME", "3.HEADER", "3.TEXT", "3.1", "3.HEADER.FIELDS (SUBJECT)", "1.1", "9.9")

var partials = words("", "<0.10>", "<5.2000>", "<100000.1>")

// plainItems is what a session that may not read a message is told of it all the
// same, and so is allowed to ask.
var plainItems = words("FLAGS", "UID", "INTERNALDATE", "RFC822.SIZE", "MODSEQ", "EMAILID", "SAVEDATE")

var contentItems = either{
	words("ENVELOPE", "BODY", "BODYSTRUCTURE", "RFC822", "RFC822.HEADER", "RFC822.TEXT", "PREVIEW", "PREVIEW (LAZY)", "THREADID"),
	every{words("BODY[", "BODY.PEEK["), sections, word("]")},
	series{word("BODY.PEEK["), sections, word("]"), partials},
	every{words("BINARY[", "BINARY.PEEK[", "BINARY.SIZE["), words("", "1", "2", "3.1", "7"), word("]")},
	series{words("BINARY[1]", "BINARY.PEEK[2]"), partials},
}

var fetchItems = either{contentItems, plainItems}

// manyItems is more than one item at once.
var manyItems = series{word("("), fetchItems, word(" "), plainItems, word(" "), fetchItems, word(")")}

var fetchSince = words("", " (CHANGEDSINCE 1)", " (CHANGEDSINCE <modseq>)")

var fetches = either{
	every{words("FETCH <seq> ", "FETCH 1:* ", "UID FETCH <uid>,<ouid> "), fetchItems},
	series{word("FETCH "), seqs, words(" ALL", " FAST", " FULL")},
	series{word("FETCH "), seqs, word(" "), manyItems, fetchSince},
	series{word("UID FETCH "), uids, word(" "), manyItems, words("", " (CHANGEDSINCE 1)", " (CHANGEDSINCE 1 VANISHED)", " (PARTIAL 1:3)", " (PARTIAL -1:-4 CHANGEDSINCE 1)")},
}

// notifies asks to be told: what the tester does meanwhile is [twins.deliveries].
var notifies = either{
	series{word("NOTIFY SET (SELECTED (MessageNew (UID "), fetchItems, word(") MessageExpunge FlagChange)) (PERSONAL (MessageNew MessageExpunge FlagChange))")},
	series{word("NOTIFY SET "), words("", "STATUS "), words("(SELECTED-DELAYED", "(SELECTED"), words(" (MessageNew (FLAGS ENVELOPE BODYSTRUCTURE PREVIEW) MessageExpunge))", " (MessageNew MessageExpunge FlagChange))", " NONE)"),
		words("", " (INBOXES (MessageNew MessageExpunge FlagChange))", " (SUBSCRIBED (MessageNew MessageExpunge))", " (SUBTREE Vault (MessageNew MessageExpunge MailboxName SubscriptionChange))",
			" (MAILBOXES (Vault Harbour) (MessageNew MessageExpunge FlagChange MailboxMetadataChange ServerMetadataChange))", " (PERSONAL (AnnotationChange MessageNew MessageExpunge))")},
	word("NOTIFY NONE"),
}
