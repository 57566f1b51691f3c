package deliver

import (
	"crypto/tls"
	"fmt"
	"strings"

	"letterlock/internal/mail"
)

// traceDate is RFC 5322 §3.3's date-time.
const traceDate = "Mon, 2 Jan 2006 15:04:05 -0700"

// trace makes the fields every stored copy starts with: final delivery's
// Return-Path and our Received (RFC 5321 §4.4), and Delivered-To for people and
// loop checks. Received says "(requiretls)" of a tagged message, and carries
// the tls clause of RFC 8314 §4.3.
func trace(env *mail.Envelope, hostname string, rcpt mail.Address) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "Return-Path: %s\r\n", env.From.Path())
	fmt.Fprintf(&b, "Delivered-To: %s\r\n", rcpt)
	fmt.Fprintf(&b, "Received: from %s (%s)\r\n", hostToken(env.Helo), peer(env.Peer))
	fmt.Fprintf(&b, "\tby %s with %s", hostname, env.Protocol)
	if env.Demand.IsRequired() {
		b.WriteString(" (requiretls)")
	}
	fmt.Fprintf(&b, " id %s\r\n\tfor %s", env.ID, rcpt.Path())
	if env.TLSVersion != 0 {
		fmt.Fprintf(&b, "\r\n\t(%s) tls %s", tls.VersionName(env.TLSVersion), tls.CipherSuiteName(env.TLSCipher))
	}
	fmt.Fprintf(&b, ";\r\n\t%s\r\n", env.Received.Format(traceDate))
	return []byte(b.String())
}

// hostToken keeps what a peer called itself from breaking our header.
func hostToken(helo string) string {
	bad := func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || strings.ContainsRune(".-_:[]", r) || r >= 0x80)
	}
	if helo == "" || len(helo) > mail.MaxDomain || strings.ContainsFunc(helo, bad) {
		return "unknown"
	}
	return helo
}

// peer is the TCP-info of RFC 5321 §4.4: an address literal, or a comment for
// a UNIX socket.
func peer(ip string) string {
	switch {
	case ip == "" || ip == "local":
		return "local"
	case strings.Contains(ip, ":"):
		return "[IPv6:" + ip + "]"
	}
	return "[" + ip + "]"
}
