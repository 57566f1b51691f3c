// Package journal makes commits of an engine of [kv] cheap: a transaction is
// durable when it stands in a journal beside the index, which takes one flush into
// blocks that are there, and not two into pages that are looked for. What the
// journal has and the engine below has not is kept in memory, where every reader
// finds it first. It settles in the engine together, in the background: after two
// seconds, after some megabytes, and when the engine is copied or closed.
//
// Each shard has two journal files that take turns: while what one holds settles,
// commits go to the other. A file is written from the front again and again, since
// a flush into blocks that were written before is the cheapest there is. Records
// are numbered; the engine below carries the number of the last one that has
// settled as its stamp, so that nothing needs to be erased. A record begins on a
// sector of its own: a write that is torn harms none that was acknowledged.
//
// Opening settles what a crash has left. A record behind the last good one that
// reads well, or a gap in the numbers, is damage ([ErrDamaged]) and no torn write:
// then nothing is opened, and a repair has to say what is lost.
//
// A transaction that writes much settles at once where nothing waits before it: it
// would be written twice for nothing. A journal, or an engine, that fails lets nothing more
// in until everything acknowledged has settled; what failed is not seen by any
// reader, and its number is passed over.
//
// It does not know what is stored. Start reading at [Engine].
package journal
