package auth

import (
	"crypto"
	"crypto/x509"
)

// The channel bindings we know. tls-unique is what a client of TLS 1.2 takes
// (RFC 5802 §6.1), tls-exporter one of TLS 1.3 (RFC 9266 §3);
// tls-server-end-point (RFC 5929 §4) is for clients whose TLS library tells
// them nothing but the certificate.
const (
	tlsExporter       = "tls-exporter"
	tlsUnique         = "tls-unique"
	tlsServerEndPoint = "tls-server-end-point"
)

// binding is the data of a channel binding, nil where the connection has none
// of that type.
func (f Facts) binding(kind string) []byte {
	if f.TLS == nil || f.NoBinding {
		return nil
	}
	switch kind {
	case tlsExporter:
		// RFC 9266 §2. In TLS 1.2 without extended master secret (§4.2) this is
		// an error.
		data, err := f.TLS.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
		if err != nil {
			return nil
		}
		return data
	case tlsUnique:
		return f.TLS.TLSUnique // nil in TLS 1.3, which does not define it
	case tlsServerEndPoint:
		return endPoint(f.Certificate)
	}
	return nil
}

// bindable says whether there is anything that a -PLUS mechanism could bind to.
func (f Facts) bindable() bool {
	for _, kind := range []string{tlsExporter, tlsServerEndPoint, tlsUnique} {
		if f.binding(kind) != nil {
			return true
		}
	}
	return false
}

// endPoint hashes a certificate with the hash it was signed with, which may not
// be weaker than SHA-256 (RFC 5929 §4.1). Of signatures that use no single hash
// there is none.
func endPoint(c *x509.Certificate) []byte {
	if c == nil {
		return nil
	}
	var h crypto.Hash
	switch c.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1,
		x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.ECDSAWithSHA256:
		h = crypto.SHA256
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		h = crypto.SHA384
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		h = crypto.SHA512
	default:
		return nil
	}
	digest := h.New()
	digest.Write(c.Raw)
	return digest.Sum(nil)
}
