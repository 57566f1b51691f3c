// Package sealed is a [kv.Engine] that encrypts what another one stores.
//
// Every value is sealed under the newest key of the store (package seal) and
// bound to its shard and key: it cannot be changed, nor read in the place of
// another. Keys that would show a name are hidden: their tail is replaced by a
// keyed hash and lies sealed beside the value, and a walk puts them back into
// their own order. Which part of a key stays in clear is for the owner of the
// schema to say.
//
// An index that was written in clear can be turned on: what is written from
// then on is sealed, what is there stays readable, [Engine.SealAll] rewrites it,
// and after that nothing in clear is believed. One that was ever sealed is not
// opened without its key: seal.ErrNoKey.
//
// What the engine below shows to whoever has the disk: how many values there
// are, how long they are, the leading octets of their keys, and when they
// change. A value set back together with its key to an older state is not
// noticed.
//
// A value costs 52 octets more, a hidden key also its own length, and a row that
// is read by itself 1 µs instead of 30 ns (BenchmarkView, in memory; BenchmarkUpdate
// is for writes). Start reading at [Engine].
package sealed
