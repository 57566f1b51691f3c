// Package mail has the words that every room shares: an [Address], the
// [Envelope] a message came in, its [Body], the [Summary] of what its header
// and structure say, and the [Delivery] that a plan becomes.
//
// It knows no protocol and no storage. Whatever carries a message carries the
// sender's demand beside it (RFC 8689): an envelope without one is sealed by
// nobody and delivered by nobody.
//
// RFC 5321 (addresses, envelope), 5322, 2045 and 9051 §7.5.2 (what a summary
// holds). Start reading at [Envelope].
package mail
