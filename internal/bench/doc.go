// Command bench measures the whole house from outside, as an MTA and a mail
// client see it: durable deliveries over LMTP beside what the disk can do at
// best, the commands of IMAP clients on a mailbox of 10,000 letters (or, with
// -letters, of 100,000), how soon somebody in IDLE hears of a letter, and what an
// idle session costs, with -idle one of up to 5,000.
//
//	go run ./internal/bench [flags] [disk] [lmtp] [growth] [imap] [cold] [idle]
//
// It starts the real ./letterlock on loopback, with a config and a data folder
// of its own, and reads CPU time and memory of all its processes from /proc.
// With -peer it starts another house beside it and asks both the same, in turn,
// so that whatever else the machine does hits both alike: every figure is the
// median over the rounds, and a ratio above 1 is in Letterlock's favour.
// .ci/bench-peer does that with Debian's Dovecot.
//
// Everything is made from a seed: two runs send the same octets. Nothing here
// knows Letterlock's inside, and nothing of Letterlock imports it.
//
// Start reading at [main].
package main
