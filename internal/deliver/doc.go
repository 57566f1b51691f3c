// Package deliver is the sorting room: it turns one message and its recipients
// into one plan each, decided whole, and has the plans committed whole.
//
// It promises: each recipient is one plan and one fate; what cannot be filed is
// refused with a reason and leaves no trace of itself; every copy starts with
// its recipient's own Return-Path, Delivered-To and Received (RFC 5321 §4.4);
// the sender's demand goes into every copy (RFC 8689 §4.1). It does not know
// LMTP, the store's engine or the network.
//
// RFC 5321 §4.4, §6.3 (trace, loops), RFC 8314 §4.3 (the tls clause), RFC 5233
// (detail). Start reading at [Sorter.Deliver].
package deliver
