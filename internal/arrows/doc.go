// Package arrows holds the map of the house as a test: which room may import
// which, that every package says what it is, and that every duty of RFC 8689
// is still cited by the file that upholds it.
//
// It has no code of its own. Start reading at its test.
package arrows
