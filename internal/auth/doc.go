// Package auth checks who somebody is: passwords, and the SASL messages that
// carry them, over a user lookup.
//
// It promises that a password is kept only as keys it cannot be read from,
// that a wrong password and an unknown user cannot be told apart, by the answer
// or by the time it takes, and that however many log in at once, the memory for
// it is bounded. It does not know IMAP or ManageSieve, nor what an account may
// do.
//
// RFC 4616 (PLAIN), RFC 5802 and 7677 (the keys of SCRAM), RFC 5803 (their
// form), RFC 8265 §4.2 and RFC 4013 (how passwords are prepared), RFC 9106
// (Argon2). Start reading at [Checker.Password] and [NewCredentials].
package auth
