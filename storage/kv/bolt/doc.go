// Package bolt is the embedded engine of [kv]: one bbolt file per shard, each
// with a committer of its own that takes whatever is queued, runs it in one
// transaction and answers all after one commit.
//
// The list of free pages is not written while running (its cost grows with
// what was deleted) but once at a clean close; after a crash a file is read
// through from front to back before it is opened, since bbolt then walks it
// page by page. A process holds the files alone: see [Open].
//
// A commit that failed for anything but a full disk leaves the file in doubt:
// what the kernel dropped is gone, whatever the next flush says. What of that
// commit reached the file is taken back, nothing more is written to it, and the
// next change makes a new file of the last acknowledged state and goes on with
// that, as soon as the disk takes one.
//
// A file never shrinks by itself. [Engine.Compact] rewrites it beside those who
// use it: in batches, each from a snapshot of its own, then what was committed
// meanwhile, in its order, and at last the new file takes the old one's name in
// one step. A crash leaves one of the two, whole.
package bolt
