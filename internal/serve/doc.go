// Package serve is what Letterlock's servers share: listening on TCP and UNIX
// sockets, TLS, limits, and an end that loses nobody.
//
// A room gives [Listen] its [Options] and one function, which has a connection
// from the greeting to the end. The package promises that this function is
// called for nobody the endpoint does not allow and for no more connections
// than the limits say, that its panic ends one connection alone, that a TLS
// handshake has an end and its failure never leaves a session in clear
// (RFC 3207 §4.1), and that [Server.Run] returns only when every connection has
// ended: in its own time within the grace, cut after it. It knows no protocol.
//
// Behind a proxy that speaks the PROXY protocol ([Proxies]) a connection is its
// client's: address, limits and how it is protected are those the proxy states.
// Only configured proxies are believed, and nobody else is served there.
//
// A room whose protocol has compression turns it on with [Conn.Compress]; it lies
// inside TLS, and all else is as before.
//
// Certificates come from files and are reread when these change
// ([Certificates]), or are made by a CA of our own ([PrivateCA]).
//
// RFC 3207 and 9051 §6.2.1 (STARTTLS), 8314 (TLS from the start), 9325 (TLS
// 1.2 and above, ECDHE and AEAD alone, ALPN), 4978 (DEFLATE); HAProxy's
// proxy-protocol.txt. Start reading at [Server.Run].
package serve
