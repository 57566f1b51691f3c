// Package testnet is a small Internet on loopback, for tests: a certificate
// authority, names with a DNSSEC status for each zone, mail hosts that
// misbehave on order, and web servers with MTA-STS policies.
//
// Hosts have addresses of 192.0.2.0/24 and 2001:db8::/32 (RFC 5737, RFC 3849)
// and their proper ports, 25 and 443; [Net.Dial] leads them to listeners on
// loopback. DNS is a real server of real messages: it answers as a validating
// resolver would, and says of a bogus zone what such a one says: SERVFAIL.
//
// Everything ends with the test. Start reading at [New].
package testnet
