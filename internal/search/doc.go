// Package search finds words in mail.
//
// A [Finder] looks for one string in streams of UTF-8, case and composition
// disregarded, in bounded memory and across the borders of what a reader gives
// at a time. It is the last word on whether a message matches: an index may
// leave out what cannot match, but what it lets through is asked here.
//
// A [Filter] says of one message what cannot be in it, in about a quarter of
// a short letter's size, and a [Group] says it of up to 256 at once; what
// they let through may still not match. How a store and a reading room use them:
//
//   - The store makes a filter at delivery or, for mail that has none, in the
//     background ([AppendFilter], from the passages of mime.ScopeText, which
//     covers TEXT and BODY, and the fields of the summary), and keeps it beside the
//     message's row. It is derived
//     like the summary: fsck makes it anew, and losing one costs time alone.
//   - When 64 to 256 messages of a mailbox, one after the other by UID, have
//     theirs, [AppendGroup] makes one value of them, kept with the UID of each
//     member, and their own filters go. Expunging touches no group: a member that
//     is gone is passed over. A group of which most are gone is made anew.
//   - SEARCH makes a [Finder] of each string and asks groups and single filters.
//     Of OR take the union, of AND the intersection, under NOT nothing is left
//     out. A message without a filter, or with one that does not open, is a
//     candidate. Every candidate is then asked with [Finder.Passages].
//   - A string under another key (SUBJECT, HEADER) may be asked for too where it
//     is verified with a Finder in text that is part of a passage: the header is
//     one, up to mime's limit on it.
//   - The answer of a filter is content: a reader from whom a message is withheld
//     (RFC 8689) is told of neither.
//
// [Words] looks for words as people half remember them, which is what FUZZY (RFC
// 6203) means with us; a filter is asked for each of them. [AppendSortKey] is
// what texts are ordered by.
//
// It promises that a filter never keeps back what a Finder finds, and that two
// texts match where RFC 5051's i;unicode-casemap says so, and in the few more
// cases that [NewFinder] names. It does not know what a mailbox is.
//
// RFC 9051 §6.4.4 (SEARCH), 5051, 5255 §3. Start reading at [Finder],
// then [Filter].
package search
