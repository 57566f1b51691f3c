// Package sieve runs Sieve scripts: a script and a message go in, an ordered
// list of actions comes out.
//
// [New] makes an [Engine], the language with its extensions; [Engine.Compile]
// turns a script into closures and reports every mistake it finds, each with
// line and column; [Script.Run] evaluates it over one message. Scripts and
// engines never change after they are made and may be used from any number of
// goroutines at once; all state lives in the [Runtime] of one run.
//
// It promises: no script and no message can make a run take longer than about
// a second of CPU or hold more than 32 MiB; what it counts it counts inside
// the matchers too. A run that breaks, for whatever reason, says in which line,
// drops what it had planned and keeps the message (RFC 5228 §2.10.6).
//
// It does no I/O: the message is an [io.ReaderAt], and what only a mailbox
// store can know it asks a [Host]. It does not know who carries its actions
// out, how mail is sent, or what protects it on the way.
//
// An extension is a value of type [Extension]; the built-in ones ([Standard])
// are of the same type as those that a program using this package writes.
//
// RFC 5228 (the language), 3894, 5173, 5183, 5229 to 5233, 5235, 5260, 5293,
// 5429, 5435, 5436, 5463, 5490, 5703, 6009, 6131, 6609, 7352, 8579, 8580,
// 9042, draft-ietf-sieve-regex-01, comparators of RFC 4790 and 5051. Start
// reading at [Engine.Compile] and [Runtime].
package sieve
