// Package seal keeps the keys of a store that is encrypted at rest, and seals
// with them what is written.
//
// A key file holds the server's keys, newest first. The newest seals what is
// new; the others stay as long as something is sealed under them ([Rotate],
// [Retire]). Whoever loses the file has lost the mail, and whoever finds it
// beside the mail can read it: it belongs in another place than the store and
// its backups, and in a backup of its own.
//
// Everything is XChaCha20-Poly1305. A server key seals nothing but small
// things under random nonces of 24 octets: the key of one record ([Keys.Wrap]),
// a value of the index. A record's own key ([Box]) is made for it and used for
// nothing else, so its parts are told apart by counted nonces: which part, at
// which place, and whether it is the last (the STREAM construction of Hoang,
// Reyhanitabar, Rogaway and Vizár, 2015). No part can be changed, moved, left
// out or handed over to another record without notice. What is not noticed is
// the whole disk, or a whole record or value with its place, set back to an
// older state.
//
// It hides contents, names and addresses; not how many messages there are, how
// big they are, when they came or where they lie. It does not know what it
// seals, nor any file but the key file. Start reading at [Keys].
package seal
