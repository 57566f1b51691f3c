package mime_test

import (
	"testing"

	"letterlock/internal/mime"
)

// RFC 8689 §3: exactly one field, whose value is No.
func TestTLSRequiredNo(t *testing.T) {
	for _, c := range []struct {
		name, header string
		no, bad      bool
	}{
		{"none", "Subject: x\r\n\r\n", false, false},
		{"No", "Subject: x\r\nTLS-Required: No\r\nTo: y\r\n\r\n", true, false},
		{"in other letters", "tls-REQUIRED: nO\r\n\r\n", true, false},
		{"no space", "TLS-Required:No\r\n\r\n", true, false},
		{"folded", "TLS-Required:\r\n \tNo \r\n\r\n", true, false},
		{"with comments", "TLS-Required: (really) No (thanks\r\n (a lot))\r\n\r\n", true, false},
		{"bare LF", "TLS-Required: No\n\n", true, false},
		{"at the end without a line break", "TLS-Required: No", true, false},
		{"space before the colon", "TLS-Required : No\r\n\r\n", true, false},
		{"Yes", "TLS-Required: Yes\r\n\r\n", false, true},
		{"nothing", "TLS-Required:\r\n\r\n", false, true},
		{"more than No", "TLS-Required: No, thanks\r\n\r\n", false, true},
		{"less than No", "TLS-Required: N\r\n\r\n", false, true},
		{"No in a comment", "TLS-Required: (No)\r\n\r\n", false, true},
		{"twice (RFC 8689 §3: MUST NOT)", "TLS-Required: No\r\nTLS-Required: No\r\n\r\n", false, true},
		{"No and Yes", "TLS-Required: No\r\nTLS-Required: Yes\r\n\r\n", false, true},
		{"Yes and No", "TLS-Required: Yes\r\nTLS-Required: No\r\n\r\n", false, true},
		{"in the body", "Subject: x\r\n\r\nTLS-Required: No\r\n", false, false},
		{"in the body after a space", "Subject: x\r\n\r\n \r\nTLS-Required: No\r\n", false, false},
		{"in a continuation line", "Subject: x\r\n TLS-Required: No\r\n\r\n", false, false},
		{"another name", "X-TLS-Required: No\r\nTLS-Requiredx: No\r\n\r\n", false, false},
		{"empty", "", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if no, bad := mime.TLSRequiredNo([]byte(c.header)); no != c.no || bad != c.bad {
				t.Errorf("%q: no %v, bad %v; want %v, %v", c.header, no, bad, c.no, c.bad)
			}
		})
	}
}

func TestTrustedRequireTLS(t *testing.T) {
	for header, want := range map[string]bool{
		"Require-TLS-ESMTP: yes\r\n\r\n":               true,
		"Subject: x\r\nrequire-tls-esmtp: YES\n\n":     true,
		"Require-TLS-ESMTP: no\r\n\r\n":                false,
		"Subject: x\r\n\r\nRequire-TLS-ESMTP: yes\r\n": false,
		"": false,
	} {
		if got := mime.TrustedRequireTLS([]byte(header)); got != want {
			t.Errorf("%q: got %v, want %v", header, got, want)
		}
	}
}
