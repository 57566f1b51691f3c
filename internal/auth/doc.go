// Package auth finds out who somebody is: passwords, and the SASL mechanisms
// that prove them, over a user lookup.
//
// It promises that a password is kept only as keys it cannot be read from, that
// a wrong password and an unknown user cannot be told apart, by the answer, by
// the exchange before it or by the time it takes, that guessing gets slower
// without locking anybody out, and that however many log in at once, the memory
// for it is bounded. A login says whether it proved that nobody sits in the
// middle of the TLS connection. The package does not know IMAP or ManageSieve,
// nor what an account may do.
//
// RFC 4422 (SASL; appendix A: EXTERNAL), 4616 (PLAIN), 5802 and 7677 (SCRAM),
// 5929 and 9266 (channel bindings), 5803 (the form of the keys), 8265 §4.2 and
// 4013 (how passwords are prepared), 9106 (Argon2). Start reading at
// [Checker.Begin], [Checker.Password] and [NewCredentials].
package auth
