// Package query answers what messages of one mailbox match, in which order, in
// which threads, and how such a result changed.
//
// [Search], [Sort] and [Thread] look at a [Mailbox]: the view of it that one
// session knows, and what that session may read. Each key is asked as soon as
// enough of a message is known: flags first, then the index of the vault, dates
// and sizes, the cached summary, the header, and the whole text last. What the
// index lets through is looked into, so that it makes answers faster and never
// other ones.
//
// It promises that nothing of a message that is withheld from the session (RFC
// 8689 §4.4) decides anything: keys on its content are false at the leaf, under
// NOT and OR, too; it is sorted as if its header were empty and is a thread of
// its own; and no index is believed about it. Its flags, UID, size and dates are
// everybody's. And that a stranger's message, or a long list of keys, costs
// bounded memory, and time only until the context ends.
//
// It does not know of connections, responses or what a client was told.
//
// RFC 9051 §6.4.4 and 3501 (SEARCH), 4731 (ESEARCH), 5032 (WITHIN), 5182 and
// 9394 (SAVE, PARTIAL), 5256 (SORT, THREAD), 5255 and 5051 (what is equal), 5267
// (contexts, ESORT), 5466 (FILTER), 5957 (SORT=DISPLAY), 6203 (FUZZY), 7162
// (MODSEQ), 8474 (EMAILID, THREADID), 8514 (SAVEDATE). Start reading at
// [Search].
package query
