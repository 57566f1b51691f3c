// Package managed writes the Sieve of people who write none: their forwards and
// their vacation, as a script that anybody can read.
//
// The rules stand in a block between two marks, with the require they need.
// [Parse] reads them back from there, [Script.Text] writes them again, and
// whatever a person has put around the block stays as it is, octet for octet.
// What somebody has changed inside the block is understood where it can be and
// refused where it cannot ([ErrChanged]): nothing is lost silently.
//
// It is text in and text out. It does not know where scripts are kept, who is
// forwarded to, or whether mail leaves.
//
// RFC 5228 (redirect), 3894 (copy), 5230 (vacation), 5260 (currentdate). Start
// reading at [Script].
package managed
