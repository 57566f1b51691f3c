// Package storage is the vault: accounts, their mailboxes, and every message
// that was ever acknowledged, with the demand of its sender.
//
// It promises that what [Store.Commit] and [Account.Append] answered is on the
// disk, whatever happens next; that who opens a mailbox afterwards sees it;
// that a UID or a modseq is given once; and that the demand (RFC 8689 §4.1)
// goes with every copy and is never lowered: it stands in the record with the
// body, in the row and beside the flags, and where the three disagree the
// message is treated as required.
//
// A delivery is one record in an append-only segment (package segment) that
// says everything its index rows need, acknowledged after one flush shared by
// all who wait. Where rules keep a letter in several forms each form is a record,
// and all of them are one group: on the disk together or not at all. The index
// (package kv) follows within half a second, and at once where somebody
// looks, together with a mark of how far it came, and is replayed from that mark
// on open. All that one recipient has of a group is applied in one transaction:
// nobody ever finds half of a letter. An append is answered after that flush, too,
// with the UIDs it is going to get (foresight.go). Every other change goes through
// the index's own commit, which is one flush of its journal (package kv/journal).
//
// What rots in the index stops the account that it is of, and no other (stopped.go):
// what was acknowledged for it waits in the log for [Repair].
//
// With [Options.Keys] everything is sealed before it is written (package seal).
//
// It does not know how to parse a message: it is handed a summary. Nobody
// reads a stored body except through [Account.Message], which needs the
// [requiretls.Release] made for its demand, and through [Store.OpenOut], which
// hands it to the relay together with that demand.
//
// What leaves ([Store.Commit]) and what is remembered of a delivery
// stand in its record and come into the index with its copies: more.go and
// outbox.go. Sieve scripts are kept in script.go.
//
// RFC 9051 (mailboxes, UIDs), 7162 (modseq, vanished), 8474 (object ids), 8514
// (save date), 4315 (UIDPLUS), 6851 (MOVE). Start reading at [Open], then
// commit.go, bundle.go and apply.go; schema.go knows the bytes.
package storage
