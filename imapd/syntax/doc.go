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
// RFC 9051, with what RFC 3501 has beside it; 2971 (ID), 3516 (BINARY), 4466,
// 4731 (ESEARCH), 5032 (WITHIN), 5161 (ENABLE), 5182 (SEARCHRES), 5258
// (LIST-EXTENDED), 5819 (LIST-STATUS), 6154 (SPECIAL-USE), 6855 (UTF8), 7162
// (CONDSTORE, QRESYNC), 7888 (LITERAL+), 8438 (STATUS=SIZE). Start reading at
// [Decoder.Next] and [AppendString].
package syntax
