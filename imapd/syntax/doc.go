// Package syntax is the grammar of IMAP in both directions: a [Decoder] reads
// a client's commands into one Go struct each, and the Append functions write
// a server's responses onto a byte slice.
//
// It promises that no octet of a literal is ever taken for a command, whatever
// is wrong with the command that announced it (RFC 7888 §3); that a client
// cannot make it hold more than 1 MiB; that a message being appended is
// streamed and never held; and that what it writes is IMAP, whatever octets a
// message's header has.
//
// It knows no mailbox, no store and no state of a connection: whether a command
// is allowed now, and whether an extension is offered, is for the caller to say.
//
// RFC 9051, with what RFC 3501 has beside it; 2971 (ID), 3502 (MULTIAPPEND),
// 3516 (BINARY), 4466, 4469 (CATENATE), 4731 (ESEARCH), 4978 (COMPRESS), 5032
// (WITHIN), 5092 (URLs), 5161 (ENABLE), 5182 (SEARCHRES), 5256 (SORT, THREAD),
// 5258 (LIST-EXTENDED), 5267 (CONTEXT, ESORT), 5464 (METADATA), 5465 (NOTIFY),
// 5466 (FILTERS), 5819 (LIST-STATUS), 5957 (SORT=DISPLAY), 6154 (SPECIAL-USE),
// 6203 (FUZZY), 6855 (UTF8), 7162 (CONDSTORE, QRESYNC), 7377 (MULTISEARCH), 7888
// (LITERAL+), 8437 (UNAUTHENTICATE), 8438 (STATUS=SIZE), 8474 (OBJECTID), 8508
// (REPLACE), 8514 (SAVEDATE), 8970 (PREVIEW), 9208 (QUOTA), 9394 (PARTIAL), 9585
// (INPROGRESS). Start reading at [Decoder.Next] and [AppendString].
package syntax
