package deliver

import (
	"crypto/tls"
	"strings"
	"sync"

	"letterlock/internal/mail"
)

// traceDate is RFC 5322 §3.3's date-time.
const traceDate = "Mon, 2 Jan 2006 15:04:05 -0700"

// trace makes the fields every stored copy starts with: final delivery's
// Return-Path and our Received (RFC 5321 §4.4), and Delivered-To for people and
// loop checks. Received says "(requiretls)" of a tagged message, and carries
// the tls clause of RFC 8314 §4.3.
func trace(env *mail.Envelope, hostname string, rcpt mail.Address) []byte {
	whom, b := rcpt.Path(), make([]byte, 0, 512)
	b = append(append(append(b, "Return-Path: "...), env.From.Path()...), "\r\n"...)
	b = append(append(append(b, "Delivered-To: "...), rcpt.String()...), "\r\n"...)
	b = append(append(b, "Received: from "...), hostToken(env.Helo)...)
	b = append(append(append(b, " ("...), peer(env.Peer)...), ")\r\n"...)
	b = append(append(append(append(b, "\tby "...), hostname...), " with "...), env.Protocol...)
	if env.Demand.IsRequired() {
		b = append(b, " (requiretls)"...)
	}
	b = append(append(append(append(b, " id "...), env.ID...), "\r\n\tfor "...), whom...)
	if env.TLSVersion != 0 {
		b = append(append(append(b, "\r\n\t("...), tls.VersionName(env.TLSVersion)...), ") tls "...)
		b = append(b, cipherName(env.TLSCipher)...)
	}
	b = env.Received.AppendFormat(append(b, ";\r\n\t"...), traceDate)
	return append(b, "\r\n"...)
}

// cipherNames is what package tls names the ciphers it knows. It makes its whole
// list anew for each name that it is asked for.
var cipherNames = sync.OnceValue(func() map[uint16]string {
	names := make(map[uint16]string)
	for _, c := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		names[c.ID] = c.Name
	}
	return names
})

func cipherName(id uint16) string {
	if name, known := cipherNames()[id]; known {
		return name
	}
	return tls.CipherSuiteName(id)
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
