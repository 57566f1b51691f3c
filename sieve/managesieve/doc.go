// Package managesieve serves people's Sieve scripts: RFC 5804, all of it.
//
// A client lists, reads, writes, checks and activates scripts. Every script is
// checked before it is kept, by the very [Language] that delivery runs; one
// with mistakes is refused with all of them, each with its line, and leaves
// what was there untouched. What is kept is kept octet for octet.
//
// It promises: nobody logs in without encryption, and nothing sent before
// STARTTLS counts behind it; a stranger costs a few kilobytes and a few minutes
// at most, a user one script in memory; octets that were announced as a string
// are never taken for commands, however the command ends. It does not know
// where scripts are kept ([Scripts]) nor what they mean.
//
// For people who set up clients: before TLS the server says SASL "", which is
// what the RFC asks for. A client that then reports that there is no way to log
// in has not been told to use STARTTLS; Roundcube wants
// $config['managesieve_host'] = 'tls://mail.example.org'.
//
// Left out: SASL security layers, which TLS has replaced, and the response code
// TRANSITION-NEEDED, which would tell strangers who lives here.
//
// RFC 5804, with the SASL mechanisms of package auth. Start reading at
// [Server.Handle] and commands.
package managesieve
