// Package admin is the back office: the operations an admin may ask for, the
// socket in the data folder over which they reach a running server, and the
// listener that shows how the server does.
//
// There is one set of operations, [Operations]. [Desk] carries them out on an
// open store; [Client] hands them to the desk of the server that holds the
// store. [Reach] finds out which of the two it has to be, so that every verb
// works alike with and without a running server and neither can do what the
// other cannot.
//
// An operation that takes long has news on the way; over the socket they come
// as a stream. Whoever hangs up ends it, and so does the server when it stops.
//
// What became of mail is read from the lines of the mail log, of which a [Ring]
// remembers the last. Forwards and vacations are Sieve that package managed
// writes, compiled by the engine of delivery as every script is.
//
// It promises: the socket can be opened by the owner of the data folder alone
// (0600 in a folder of 0700), passwords never cross it (credentials are
// derived by the caller), and whatever is refused says why and what to do
// ([Refusal]). It knows no mail protocol.
//
// Start reading at [Operations].
package admin
