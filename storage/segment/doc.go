// Package segment keeps message bodies, and with them everything that an index
// needs to know of a delivery, in append-only files: the log that a 250 rests
// on.
//
// [Log.Append] returns when the record can no longer be lost. Whoever waits at
// the same time shares one write and one flush. A record carries the envelope
// and the sender's demand (RFC 8689 §4.1: the tag goes with the message), its
// recipients with their mailboxes and flags, the recipients' own header fields,
// the encoded summary, and the body in blocks of 64 KiB, each with its own
// checksum, so that any stretch of it is read with a bounded buffer and
// verified. A body above 1 MiB is a file of its own beside the segments.
//
// A flush that failed is never tried again on the same file: what the kernel
// dropped is gone, whatever the next flush says. The segment is left at its
// last good offset, and nothing is accepted until a new one is on the disk.
//
// The package knows no index and no mailbox. Start reading at [Log], then
// record.go for the bytes.
package segment
