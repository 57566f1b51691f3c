// Package deflate compresses a conversation: two streams of raw DEFLATE data
// (RFC 1951) over a connection that stays open for hours and is silent for most
// of them, as IMAP's COMPRESS wants it (RFC 4978).
//
// It promises that [Reader] hands out every octet as soon as the octets that
// came make it known, however the peer flushes, that it costs its window and
// nothing more, whatever a stranger sends, and that an error of the connection
// such as a deadline leaves the stream whole. [Writer] sends all that it was
// given before it returns, holds next to nothing in between, and makes nothing
// noticeably longer. It knows no protocol.
//
// The reader is our own: compress/flate and the like keep what they have
// decoded until their window is full or a block of a special kind comes (a
// Z_PARTIAL_FLUSH is none), and take a deadline for the end of the stream. What
// compresses is klauspost/compress.
//
// Start reading at [Reader.Read] and [Writer.Write].
package deflate
