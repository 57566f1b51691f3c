// Package dialogue plays dialogues between a client and a server in tests: files
// of lines that say what the one sends and what the other has to answer, over real
// connections, several at once, inside TLS or not.
//
// It knows no protocol. A package that speaks one brings its server and the
// directives of its own; [Player] says what a file may have besides. With it come
// what such a server needs in a test: [Identity], the certificates of both sides,
// and [Serve], which runs it until the test ends.
//
// For tests alone. Start reading at [Player.Play].
package dialogue
