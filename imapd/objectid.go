package imapd

import (
	"fmt"

	"letterlock/storage"
)

// objectID is an id as it is written (RFC 8474 §4): 16 hexadecimal digits.
func objectID(id storage.ObjectID) string { return fmt.Sprintf("%016x", uint64(id)) }

// mailboxCode is the response code of CREATE and SELECT (RFC 8474 §4.1, §4.2).
func mailboxCode(box storage.Mailbox) string { return "MAILBOXID (" + objectID(box.ObjectID) + ")" }
