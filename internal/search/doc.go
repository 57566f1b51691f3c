// Package search finds words in mail.
//
// A [Finder] looks for one string in streams of UTF-8, case and composition
// disregarded, in bounded memory and across the borders of what a reader gives
// at a time. It is the last word on whether a message matches: an index may
// leave out what cannot match, but what it lets through is asked here.
//
// It promises that two texts match where RFC 5051's i;unicode-casemap says so,
// and in the few more cases that [NewFinder] names. It does not know what a
// mailbox is.
//
// RFC 9051 §6.4.4 (SEARCH), 5051, 5255 §3. Start reading at [Finder].
package search
