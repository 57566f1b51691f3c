// Package deliver is the sorting room: it turns one message and its recipients
// into one plan each, decided whole by the recipient's rules, and has the plans
// committed whole.
//
// It promises: each recipient is one plan and one fate; what cannot be filed is
// refused with a reason and leaves no trace of itself; every copy starts with
// its recipient's own Return-Path, Delivered-To and Received (RFC 5321 §4.4);
// the sender's demand goes into every copy, and no rule can lower it (RFC 8689
// §4.1, §6). Rules that break, or that ask for what cannot be done, lose no
// mail: it is kept, and its owner is told. It does not know LMTP, the store's
// engine or the network.
//
// The message is parsed once for all recipients. For each the admin's script
// "before", the recipient's [Managed] and active ones and the admin's "after" run
// as long as keep is in effect; what they decided becomes one [mail.Delivery],
// committed in one piece: copies with and without an edited header, what leaves,
// what is remembered, copies of our own answers. What is to leave
// is judged first by what is known of its way ([Preflight]). [Language] is the
// one configuration of the sorting rules, for whoever compiles them.
//
// RFC 5228 §2.10 (actions), 5429 (reject), 5436 (notify), 3461 (reports), 7352 (duplicate), 5293 (editheader),
// 5183 (environment), 6009 (envelope-dsn), 6609 (include); RFC 5321 §4.4, §6.3 (trace, loops), RFC
// 8314 §4.3 (the tls clause), RFC 5233 (detail), 5235 (verdicts: [Filter]). Start reading at
// [Sorter.Deliver].
package deliver
