package releasetest

// textKeys is the keys on content. Each looks for what a tagged letter has, for
// what it has not, and for what open letters have as well.
var textKeys = either{
	every{words("BCC ", "CC ", "FROM ", "TO ", "SUBJECT ", "BODY ", "TEXT "), words("quagga", "boat", "example")},
	words(`HEADER X-Okapi ""`, `HEADER X-Quagga ""`, "HEADER Message-ID quagga", "HEADER References first", `HEADER Content-Type ""`, "HEADER Subject \"Re: an open\"", "HEADER Message-ID {6+}\r\nquagga"),
	words("SENTON 3-Feb-1987", "SENTBEFORE 4-Feb-1987", "SENTBEFORE 1-Jan-2000", "SENTSINCE 2-Feb-1987", "SENTSINCE 1-Jan-2000", "SENTON 4-Feb-2026"),
	words("THREADID <thread>", "THREADID <othread>"),
}

// plainKeys look at what everybody is told.
var plainKeys = either{
	words("ALL", "ANSWERED", "DELETED", "DRAFT", "FLAGGED", "SEEN", "UNANSWERED", "UNDELETED", "UNDRAFT", "UNFLAGGED", "UNSEEN", "RECENT", "NEW", "OLD", "SAVEDATESUPPORTED"),
	words("BEFORE 5-Mar-2026", "ON 4-Mar-2026", "SINCE 4-Mar-2026", "SAVEDBEFORE 1-Jan-2020", "SAVEDSINCE 1-Jan-2020", "SAVEDON 1-Jan-2020", "YOUNGER 100", "OLDER 100"),
	words("LARGER 200", "SMALLER 500", "KEYWORD work", "UNKEYWORD work", "KEYWORD $RequireTLS", "EMAILID <email>", "EMAILID <oemail>", "UID <uid>", "UID 1:*"),
	words("MODSEQ 1", "MODSEQ <modseq>", `MODSEQ "/flags/\\Seen" all 1`, `MODSEQ "/flags/\\Deleted" priv 2`, `MODSEQ "/flags/work" shared 2`),
}

// numberKeys are of the selected mailbox alone.
var numberKeys = words("<seq>", "1:*", "$", "<seq>,<oseq>", "NOT <seq>")

// filterKeys name a filter that the tester has put down (RFC 5466).
var filterKeys = words("FILTER wet", "NOT FILTER dry")

var atoms = either{textKeys, plainKeys, filterKeys}

// wrapped puts a key where an answer could leak a bit of it.
func wrapped(key grammar) grammar {
	return either{
		series{words("NOT ", "NOT NOT ", "FUZZY ", "NOT FUZZY "), key},
		series{words("OR ", "OR NOT "), key, words(" FLAGGED", " DELETED", " TEXT boat", " NOT ALL")},
		series{words("NOT OR "), key, words(" FLAGGED", " DRAFT")},
		series{word("("), key, words(" UNDELETED)", " OR SEEN ANSWERED)", " NOT BODY boat)")},
		series{word("NOT ("), key, word(" "), key, word(")")},
	}
}

// keys is all of them, some of them nested; deeper where they are picked.
var keys = either{atoms, wrapped(atoms), some{wrapped(wrapped(atoms)), 3}}

var results = words("", "RETURN () ", "RETURN (COUNT) ", "RETURN (MIN MAX) ", "RETURN (ALL) ", "RETURN (COUNT MIN MAX ALL) ", "RETURN (PARTIAL 1:3 COUNT) ", "RETURN (PARTIAL -1:-2) ", "RETURN (SAVE) ", "RETURN (SAVE COUNT) ", "RETURN (SAVE MIN) ", "RETURN (CONTEXT COUNT) ")

var charsets = words("", "CHARSET UTF-8 ", "", "CHARSET US-ASCII ")

var searches = either{
	every{words("SEARCH ", "UID SEARCH RETURN (COUNT MIN ALL) NOT "), either{atoms, numberKeys}},
	every{words("SEARCH "), wrapped(textKeys)},
	series{words("SEARCH ", "UID SEARCH "), results, charsets, either{some{keys, 3}, numberKeys}},
	series{words("SEARCH RETURN (ALL RELEVANCY) FUZZY ", "UID SEARCH RETURN (RELEVANCY COUNT) FUZZY "), words("TEXT boat", "SUBJECT boat", "BODY quagga", "OR SUBJECT boat FROM quagga", "(TEXT boat SUBJECT letter)", "TEXT \"quagga boat\"")},
	updates,
}

// updates are results that stay: the tester delivers and changes flags.
var updates = either{
	series{word("SEARCH RETURN (UPDATE ALL) "), textKeys},
	series{word("UID SEARCH RETURN (UPDATE ("), fetchItems, word(")) ALL")},
}

var criteria = words("SUBJECT", "FROM", "TO", "CC", "DISPLAYFROM", "DISPLAYTO", "DATE", "ARRIVAL", "SIZE")

var sorts = either{
	every{words("SORT (", "UID SORT RETURN (ALL) ("), words("", "REVERSE "), criteria, words(") UTF-8 ALL", ") US-ASCII <seq>,1:*")},
	series{word("SORT ("), criteria, words(" REVERSE ", " "), criteria, word(") UTF-8 "), some{keys, 11}},
	series{words("SORT ", "UID SORT "), results, word("("), criteria, word(") UTF-8 "), atoms},
	series{words("UID SORT RETURN (UPDATE PARTIAL 1:4) (", "SORT RETURN (UPDATE CONTEXT COUNT) (REVERSE "), criteria, word(") UTF-8 NOT DELETED")},
	words("SORT RETURN (ALL RELEVANCY) (RELEVANCY) UTF-8 FUZZY TEXT boat", "UID SORT (REVERSE RELEVANCY SUBJECT) UTF-8 FUZZY OR TEXT quagga TEXT boat"),
}

var threads = either{
	every{words("THREAD ", "UID THREAD "), words("REFERENCES", "REFS", "ORDEREDSUBJECT"), words(" UTF-8 ALL", " UTF-8 <seq>,1:*", " US-ASCII NOT TEXT boat")},
	series{words("THREAD "), words("REFERENCES", "REFS", "ORDEREDSUBJECT"), word(" UTF-8 "), some{keys, 13}},
}

var multiSearches = either{
	every{words("ESEARCH IN (PERSONAL) "), either{atoms, wrapped(textKeys)}},
	series{words("ESEARCH ", "ESEARCH IN (SELECTED) ", "UID ESEARCH ", "ESEARCH IN (MAILBOXES (INBOX Vault)) ", "ESEARCH IN (SUBTREE Vault) ", "ESEARCH IN (SUBTREE-ONE Vault INBOXES) ", "ESEARCH IN (SUBSCRIBED PERSONAL) ", "ESEARCH IN (INBOXES) "),
		words("", "RETURN (COUNT) ", "RETURN (MIN MAX ALL) ", "RETURN (PARTIAL 1:3) ", "RETURN (CONTEXT ALL) "), words("", "CHARSET UTF-8 "), some{keys, 7}},
	words("ESEARCH IN (SELECTED) RETURN (SAVE COUNT) SUBJECT quagga", "ESEARCH IN (PERSONAL) RETURN (ALL RELEVANCY) FUZZY TEXT boat"),
}
