// Package imapd is the reading room: an IMAP server over the vault.
//
// It speaks IMAP4rev1 (RFC 3501) and IMAP4rev2 (RFC 9051) to whoever has an
// account, gives back the octets of a message as they were stored, and shows
// each session a mailbox that changes only where the protocol lets it change:
// a session holds the snapshot its client was told of ([storage.View]) and
// announces the difference to the next one, EXPUNGE never while a command with
// sequence numbers could be misread (RFC 9051 §7.5.1).
//
// It promises: what a sender tagged REQUIRETLS leaves only in a session that
// the policy finds protected (RFC 8689 §4.4), in every command, and nothing a
// lesser session does changes such a message. One file, release.go, asks the
// judge. At a listener that hides, hide.go shows the vault as if such mail were
// not there. It does not know how mail is delivered, sorted or sent.
//
// The engine is our own. The one Go library for this executes the octets of a
// literal it has refused as commands, writes each line to the connection on its
// own, reformats what ENVELOPE and BODYSTRUCTURE say, and leaves no place to
// add a command. Each input that goes wrong there is a dialogue in testdata.
// Whatever is wrong with a command here, the literal it announced is swallowed
// or the connection closed.
//
// What is offered, with its RFC and its limits, is the table [Capabilities].
// Searching is done in package query, the grammar in package syntax.
//
// RFC 2177, 2342, 2971, 3348, 3501, 3502, 3516, 3691, 4315, 4469, 4731, 4959, 4978,
// 5161, 5182, 5255, 5256, 5258, 5267, 5464, 5465, 5466, 5530, 5819, 5957, 6154,
// 6203, 6851, 6855, 7162, 7377, 7888, 7889, 8314, 8437, 8438, 8474, 8508, 8514,
// 8689, 8970, 9051, 9208, 9266, 9394, 9585. Start reading at [Server.Handle],
// then session.go.
package imapd
