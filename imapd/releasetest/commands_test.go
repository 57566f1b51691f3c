package releasetest

// Names for what hangs on the account; [twins.spell] puts it in.
//
//	<seq> <uid>        number and UID of a tagged letter in the mailbox selected
//	<oseq> <ouid>      of an open one
//	<validity>         UIDVALIDITY of that mailbox
//	<inbox>            UID of a tagged letter in INBOX
//	<vault>            UID of a tagged letter in Vault
//	<email> <thread>   object identifiers of a tagged letter in INBOX
//	<oemail> <othread> of the open one
//	<me>               the account's address
//	<modseq>           HIGHESTMODSEQ of the mailbox selected less 3
var (
	seqs = words("<seq>", "<oseq>", "1:*", "<seq>,<oseq>", "*", "<seq>:<oseq>", "$", "2:4,<seq>")
	uids = words("<uid>", "<ouid>", "1:*", "<uid>,<ouid>", "*", "<uid>:<ouid>", "$", "2:4,<uid>")
)

// commands is the grammar of every command by its name, without the name itself
// in front where every form has it.
var commands = map[string]grammar{
	"APPEND":         appends,
	"AUTHENTICATE":   words("AUTHENTICATE PLAIN AGFubkBleGFtcGxlLm9yZwBzZWNyZXQ="),
	"CANCELUPDATE":   words(`CANCELUPDATE "nothing"`),
	"CAPABILITY":     word("CAPABILITY"),
	"CHECK":          word("CHECK"),
	"CLOSE":          word("CLOSE"),
	"COMPRESS":       word("COMPRESS DEFLATE"),
	"COPY":           copies("COPY"),
	"CREATE":         series{words("CREATE New", "CREATE New/Below", "CREATE INBOX", "CREATE Vault/Below", "CREATE Special (USE (\\Important))")},
	"DELETE":         words("DELETE Vault", "DELETE INBOX", "DELETE Target", "DELETE nowhere", "DELETE Harbour", "DELETE Vault/Below"),
	"ENABLE":         words("ENABLE CONDSTORE", "ENABLE X-NOTHING", "ENABLE QRESYNC", "ENABLE IMAP4rev2", "ENABLE UTF8=ACCEPT"),
	"ESEARCH":        multiSearches,
	"EXAMINE":        selects("EXAMINE"),
	"EXPUNGE":        either{word("EXPUNGE"), series{word("UID EXPUNGE "), uids}},
	"FETCH":          fetches,
	"GETMETADATA":    series{words("GETMETADATA "), words("", "(MAXSIZE 100) ", "(DEPTH 0) ", "(DEPTH 1 MAXSIZE 7) ", "(DEPTH infinity) "), words("INBOX ", `"" `, "Vault ", "nowhere "), words("/private/comment", "(/shared/comment /private/vendor)", "/private")},
	"GETQUOTA":       words(`GETQUOTA "<me>"`, `GETQUOTA "nothing"`),
	"GETQUOTAROOT":   words("GETQUOTAROOT INBOX", "GETQUOTAROOT Vault"),
	"ID":             words("ID NIL", `ID ("name" "a client")`),
	"IDLE":           word("IDLE"),
	"LIST":           lists,
	"LOGIN":          word("LOGIN <me> secret"),
	"LOGOUT":         word("LOGOUT"),
	"LSUB":           words(`LSUB "" "*"`, `LSUB "" Vault`),
	"MOVE":           copies("MOVE"),
	"NAMESPACE":      word("NAMESPACE"),
	"NOOP":           word("NOOP"),
	"NOTIFY":         notifies,
	"RENAME":         words("RENAME Vault Cellar", "RENAME Vault Harbour/Below", "RENAME Target Elsewhere", "RENAME Harbour Vault/Below", "RENAME Vault INBOX", "RENAME nowhere Vault"),
	"REPLACE":        series{either{series{words("REPLACE "), words("<seq>", "<oseq>", "*")}, series{word("UID REPLACE "), words("<uid>", "<ouid>", "*")}}, words(" Target ", " INBOX ", " Vault "), appended},
	"SEARCH":         searches,
	"SELECT":         selects("SELECT"),
	"SETMETADATA":    words(`SETMETADATA INBOX (/private/comment "a boat")`, `SETMETADATA "" (/private/filters/values/wet "OR SUBJECT boat TEXT quagga")`, `SETMETADATA Vault (/private/vendor/x NIL)`, "SETMETADATA INBOX (/private/vendor/x/a {3+}\r\na b)", "SETMETADATA INBOX (/private/vendor/y ~{3+}\r\na\x00b)"),
	"SETQUOTA":       words(`SETQUOTA "<me>" (STORAGE 1000000)`, `SETQUOTA "<me>" (MESSAGE 10000 STORAGE 900000)`, `SETQUOTA "<me>" ()`, `SETQUOTA "nothing" (MAILBOX 7)`),
	"SORT":           sorts,
	"STARTTLS":       word("STARTTLS"),
	"STATUS":         series{words("STATUS INBOX ", "STATUS Vault ", "STATUS Harbour "), statusItems},
	"STORE":          stores,
	"SUBSCRIBE":      words("SUBSCRIBE Vault", "SUBSCRIBE INBOX"),
	"THREAD":         threads,
	"UNAUTHENTICATE": word("UNAUTHENTICATE"),
	"UNSELECT":       word("UNSELECT"),
	"UNSUBSCRIBE":    words("UNSUBSCRIBE Vault", "UNSUBSCRIBE INBOX"),
}

var statusItems = either{
	words("(MESSAGES)", "(UIDNEXT)", "(UIDVALIDITY)", "(UNSEEN)", "(DELETED)", "(SIZE)", "(RECENT)", "(APPENDLIMIT)", "(HIGHESTMODSEQ)", "(MAILBOXID)", "(DELETED-STORAGE)"),
	word("(MESSAGES UIDNEXT UIDVALIDITY UNSEEN DELETED SIZE RECENT APPENDLIMIT MAILBOXID DELETED-STORAGE)"),
}

var lists = either{
	series{words(`LIST "" `, `LIST (SUBSCRIBED) "" `, `LIST (SPECIAL-USE) "" `, `LIST (REMOTE) "" `, `LIST (SUBSCRIBED RECURSIVEMATCH) "" `), words(`"*"`, "(INBOX Vault)", "%"),
		words(" RETURN (SUBSCRIBED)", " RETURN (CHILDREN SPECIAL-USE)", " RETURN ()", ` RETURN (STATUS (MESSAGES UNSEEN SIZE DELETED-STORAGE))`)},
	words(`LIST "" "*"`, `LIST "" ""`, `LIST INBOX "/*"`),
}

func selects(verb word) grammar {
	return series{verb, words(" INBOX", " Vault", " Harbour", " Target"),
		words("", " (CONDSTORE)", " (QRESYNC (<validity> <modseq>))", " (QRESYNC (<validity> 1 1:5))", " (QRESYNC (<validity> <modseq> 1:9 (1:3 1:3)))", " (QRESYNC (1 1))")}
}

func copies(verb word) grammar {
	to := words(" Target", " INBOX", " Vault", " nowhere")
	return either{series{verb, word(" "), seqs, to}, series{word("UID "), verb, word(" "), uids, to}}
}

var (
	storeItems = words("FLAGS", "+FLAGS", "-FLAGS", "FLAGS.SILENT", "+FLAGS.SILENT", "-FLAGS.SILENT")
	storeFlags = words(` (\Seen)`, ` (\Deleted)`, ` ()`, ` (\Flagged \Answered work)`, ` \Seen \Draft`, ` (\Seen other $RequireTLS)`, ` ($RequireTLS)`)
	storeSince = words("", " (UNCHANGEDSINCE 999999)", " (UNCHANGEDSINCE 1)", " (UNCHANGEDSINCE 0)")
	stores     = either{
		series{word("STORE "), seqs, storeSince, word(" "), storeItems, storeFlags},
		series{word("UID STORE "), uids, storeSince, word(" "), storeItems, storeFlags},
		every{words("STORE <seq> ", "STORE 1:* (UNCHANGEDSINCE 999999) "), storeItems, storeFlags},
	}
)

const newLetter = "Subject: new\r\nFrom: new@example.org\r\n\r\nNew, with a boat.\r\n"

// urls name tagged letters and open ones, and parts of them.
var urls = either{
	series{words("/INBOX/;UID=<inbox>", "/;UID=<uid>", ";UID=<ouid>", "/INBOX;UIDVALIDITY=<validity>/;UID=<inbox>"),
		words("", "/;SECTION=TEXT", "/;SECTION=HEADER", "/;SECTION=HEADER.FIELDS%20(SUBJECT)", "/;SECTION=1", "/;SECTION=1.MIME", "/;SECTION=2/;PARTIAL=3.2", "/;PARTIAL=0.40", "/;SECTION=HEADER.FIELDS.NOT%20(DATE)", "/;SECTION=3.HEADER")},
	words("/Vault/;UID=<vault>", "/Vault/;UID=<vault>/;SECTION=TEXT", "/Vault/;UID=<vault>/;PARTIAL=4", "imap://localhost/INBOX/;UID=<inbox>", "/INBOX/;UID=<inbox>/;SECTION=1;EXPIRE=2030-01-01T00:00:00Z;URLAUTH=anonymous"),
}

// appended is a message as APPEND and REPLACE take it.
var appended = either{
	word(`"05-Mar-2026 12:00:00 +0100" {` + length(newLetter) + "+}\r\n" + newLetter),
	word(`(\Seen new) "05-Mar-2026 12:00:00 +0100" UTF8 (~{` + length(newLetter) + "+}\r\n" + newLetter + ")"),
	word(`"05-Mar-2026 12:00:00 +0100" ~{` + length(newLetter) + "+}\r\n" + newLetter),
	series{word(`(\Flagged) "05-Mar-2026 12:00:00 +0100" CATENATE (URL "`), urls, word(`")`)},
	series{word(`"05-Mar-2026 12:00:00 +0100" CATENATE (TEXT {` + length(newLetter) + "+}\r\n" + newLetter + ` URL "`), urls, word(`")`)},
	series{word(`"05-Mar-2026 12:00:00 +0100" CATENATE (URL ";UID=<ouid>" URL "`), urls, word("\" TEXT {4+}\r\nend )")},
}

var appends = either{
	series{words("APPEND Target ", "APPEND INBOX ", "APPEND Vault ", "APPEND nowhere "), appended},
	series{word("APPEND Target "), appended, word(" "), appended},
}
