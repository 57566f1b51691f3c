// Package kv is the border between what the vault stores and the engine that
// stores it: ordered byte keys, in a fixed number of shards, with one writer
// at a time per shard.
//
// A shard is the unit of a transaction; its keys never mix with those of
// another. The bounds below are those every engine can keep, so that nothing
// grows into one that another could not take. [Conform] is the suite that an
// engine has to pass, [Strict] the wrapper that shows misuse of one in tests,
// [Memory] one that knows some keys without asking. Package journal makes the
// commits of an engine cheap.
//
// It does not know what is stored. Start reading at [Engine].
package kv
