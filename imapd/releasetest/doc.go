// Package releasetest proves the release rule (RFC 8689 §4.4) of package imapd
// by command and not by example.
//
// It has no code of its own, only tests. They make commands from the grammar:
// every command the server knows, every item, key, option and modifier of it. A
// word that the server learns and that is not in the grammar here is a failed
// test. Each command is given by twins: two accounts whose mailboxes are the
// same but for the content of the mail tagged REQUIRETLS, of which size and date
// are the same too. In a session that may not read that mail
//
//   - no octet of its content comes, in any encoding, and the twins get the same
//     answers to the octet: what differed would be made from the content;
//   - nothing about it changes: flags, mod-sequence, place, octets;
//   - sequence numbers and UIDs are those of a session over TLS.
//
// In a session that hides tagged mail the twins' tagged mail differs in size,
// date and flags too, and the session agrees with one over TLS in what is not
// tagged.
//
// LETTERLOCK_SOAK=10m goes on for so long with random sequences of commands;
// LETTERLOCK_SEED repeats those of an earlier run.
//
// Start reading at TestRequireTLSContentLeavesByNoCommand, then grammar_test.go.
package releasetest
