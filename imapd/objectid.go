package imapd

import "letterlock/storage"

// mailboxCode is the response code of CREATE and SELECT (RFC 8474 §4.1, §4.2).
func mailboxCode(box storage.Mailbox) string { return "MAILBOXID (" + box.ObjectID.String() + ")" }
