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
// With keys everything but the frame of a record is sealed (sealed.go, package
// seal): the frame shows when a record came, for how many recipients and with
// which demand, and how big it is. The sums are over what is on the disk, so
// that a log is walked, checked and copied without any key.
//
// Measured on two cores with the log and nothing else running, medians of five
// rounds in one run (BenchmarkAppend; the disk was shared, so ratios count):
//
//	                       4 KiB, 1 / 8 / 32 writers   64 KiB, 1 / 8 / 32
//	log / disk's ceiling   0.8   1.4   1.1             0.8   1.1   0.65
//	sealed / in clear      1     0.74  0.77            1     0.75  1
//	compressed at once     1     0.65  0.43            0.8   0.38  0.33
//
// So records are written raw and compressed when they move. There a block costs
// 53 µs for a letter of 3.3 KiB and leaves 28 % of it with the dictionary, 57 %
// without; reading it costs 15 µs instead of 10. The letters are synthetic
// (corpus_test.go); of 154 real ones that come as test data with a mail library
// 39 and 45 % were left. A higher level leaves 26 % for 240 µs.
//
// The package knows no index and no mailbox. Start reading at [Log], then
// record.go for the bytes.
package segment
