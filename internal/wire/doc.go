// Package wire reads and writes the octets of a line protocol: lines, raw
// counts, dot-stuffed bodies, each under a deadline.
//
// It promises that whatever a stranger sends costs a bounded amount of memory,
// that a silent peer is cut and a slow one is not, and that nothing but CRLF
// ever ends a line: a message cannot be ended early by a bare LF or CR, so
// nothing can be smuggled behind it (RFC 5321 §2.3.8, §4.5.2). It knows no
// commands.
//
// Start reading at [Reader.Line], [Reader.Dots] and [Writer.Flush].
package wire
