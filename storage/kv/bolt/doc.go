// Package bolt is the embedded engine of [kv]: one bbolt file per shard, each
// with a committer of its own that takes whatever is queued, runs it in one
// transaction and answers all after one commit.
//
// The list of free pages is not written while running (its cost grows with
// what was deleted) but once at a clean close; after a crash a file is read
// through from front to back before it is opened, since bbolt then walks it
// page by page. A process holds the files alone: see [Open].
package bolt
