package main

import "time"

// row is one line of the IMAP table.
type row struct {
	name    string
	command string
	lines   int    // untagged answers there must be; 0: any number
	needs   string // the capability without which the row is left out
}

// What Thunderbird asks of every letter of a folder it opens.
const thunderbird = "UID FETCH 1:* (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To)])"

// looks are the rows that change nothing; the first so many of them are
// measured when nobody has asked before, too.
func looks(n int) []row {
	half := firstDate.Add(time.Duration(n/2) * between(n)).Format("2-Jan-2006")
	return []row{
		{"FETCH 1:* (UID FLAGS)", "FETCH 1:* (UID FLAGS)", n, ""},
		{"FETCH a list: dates, size, ENVELOPE", "FETCH 1:* (FLAGS UID INTERNALDATE RFC822.SIZE ENVELOPE)", n, ""},
		{"FETCH BODYSTRUCTURE", "FETCH 1:* (UID BODYSTRUCTURE)", n, ""},
		{"FETCH the header set of Thunderbird", thunderbird, n, ""},
		{"FETCH BODY.PEEK[]", "FETCH 1:* BODY.PEEK[]", n, ""},
		{"SEARCH TEXT, rare word", "SEARCH TEXT " + rareWord, 1, ""},
		{"SORT (REVERSE DATE)", "SORT (REVERSE DATE) UTF-8 ALL", 1, "SORT"},
		{"SORT (SUBJECT)", "SORT (SUBJECT) UTF-8 ALL", 1, "SORT"},
		{"THREAD REFERENCES", "THREAD REFERENCES UTF-8 ALL", 1, "THREAD=REFERENCES"},

		{"SEARCH TEXT, common word", "SEARCH TEXT " + commonWord, 1, ""},
		{"SEARCH BODY, rare word", "SEARCH BODY " + rareWord, 1, ""},
		{"SEARCH BODY, common word", "SEARCH BODY " + commonWord, 1, ""},
		{"SEARCH SUBJECT, rare word", "SEARCH SUBJECT " + rareSubject, 1, ""},
		{"SEARCH FROM", "SEARCH FROM person77", 1, ""},
		{"SEARCH UNSEEN", "SEARCH UNSEEN", 1, ""},
		{"SEARCH SINCE, half", "SEARCH SINCE " + half, 1, ""},
		{"SORT (ARRIVAL)", "SORT (ARRIVAL) UTF-8 ALL", 1, "SORT"},
		{"SORT (FROM DATE), unseen", "SORT (FROM DATE) UTF-8 UNSEEN", 1, "SORT"},
		{"SORT (REVERSE SIZE)", "SORT (REVERSE SIZE) UTF-8 ALL", 1, "SORT"},
		{"THREAD REFS", "THREAD REFS UTF-8 ALL", 1, "THREAD=REFS"},
		{"THREAD ORDEREDSUBJECT", "THREAD ORDEREDSUBJECT UTF-8 ALL", 1, "THREAD=ORDEREDSUBJECT"},
	}
}

// firstLooks is how many of them.
const firstLooks = 9

// coldLooks are the rows worth a look with nothing in the page cache.
func coldLooks(n int) []row {
	return append([]row{{"SELECT", "SELECT INBOX", 0, ""}}, looks(n)[:firstLooks]...)
}

// changes are the rows that leave the mailbox another; each is durable in a
// house that flushes.
func changes(n int) []row {
	return []row{
		{"STORE 1:* +FLAGS (\\Flagged)", `STORE 1:* +FLAGS (\Flagged)`, 0, ""},
		{"STORE 1:* -FLAGS.SILENT (\\Flagged)", `STORE 1:* -FLAGS.SILENT (\Flagged)`, 0, ""},
		{"COPY 1:*", "COPY 1:* Kept", 0, ""},
		{"MOVE 1:*", "MOVE 1:* Moved", n, "MOVE"},
		{"", "SELECT Moved", 0, ""},
		{"STORE 1:* +FLAGS.SILENT (\\Deleted)", `STORE 1:* +FLAGS.SILENT (\Deleted)`, 0, ""},
		{"EXPUNGE", "EXPUNGE", n, ""},
	}
}
