// Package mime reads messages as they really are.
//
// [Summarize] scans a message once, in bounded memory, and says where every
// part lies and what its header states: the [mail.Summary] that IMAP, SEARCH
// and threading are answered from. Beside it stand the ways into a header
// block ([ReadHeader], [Filter], [FieldTexts]), into the words of a header
// ([DecodeHeader]) and into the text of a body ([Decoded], [Text], [Passages],
// and its start for people, [Preview]).
//
// It promises: bad input is never an error and never a panic, only a humbler
// answer; offsets are exact, nested and inside the message; what a stranger
// sends cannot make a summary larger than about a mebibyte, nor a reader hold
// more than its buffer. It does not know where the octets come from.
//
// RFC 5322 with its obsolete syntax, 6532 (UTF-8 headers), 2045, 2046, 2047,
// 2183 (disposition), 2231, 8689 §3, 8970 (PREVIEW). Start reading at [Summarize].
package mime
