package relay

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"

	"letterlock/internal/reply"
	"letterlock/internal/requiretls"
)

// session is one connection to a host, and what was learnt of it.
type session struct {
	*client
	hop      requiretls.Hop
	addr     netip.Addr
	proof    string // how the host is proven: "pin", "dane", "chain", ""
	tlsErr   error  // why there is no TLS
	proofErr error  // why it proves nothing
	dead     bool   // the facts are there, the connection is not
	key      string // names the letters that may share it; empty: none
	letters  int
	reused   bool // it has served another letter
}

// useTLS says whether a session tries TLS.
type useTLS uint8

const (
	withTLS useTLS = iota
	inClear        // after TLS has failed
)

// open connects to one address of a target and gathers the facts: greeting,
// EHLO, TLS, EHLO (RFC 8689 §4.2.1 steps 3 to 5). Where TLS fails the session
// is dead and says why. An error means that nobody was reached.
func (r *router) open(ctx context.Context, w *route, t *target, ip netip.Addr, use useTLS) (*session, error) {
	dialing, cancel := context.WithTimeout(ctx, waitDial)
	conn, err := r.opt.Dial(dialing, "tcp", net.JoinHostPort(ip.String(), t.port))
	cancel()
	if err != nil {
		return nil, noAnswer.Because(err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	s := &session{client: newClient(conn), addr: ip, hop: requiretls.Hop{Name: t.host, Smarthost: t.smarthost != nil, MXProven: t.mxProven}}
	if err := r.greet(ctx, w, t, s, use); err != nil {
		s.conn.Close()
		return nil, hostError(err)
	}
	if s.dead {
		s.conn.Close()
	}
	return s, nil
}

func (r *router) greet(ctx context.Context, w *route, t *target, s *session, use useTLS) error {
	implicit := t.smarthost != nil && (t.smarthost.Implicit == ImplicitTLS || t.port == "465")
	if implicit {
		if s.secure(s.handshake(ctx, tlsConfig(t.sni()))); s.dead {
			return nil
		}
	}
	if _, err := s.expect("220", waitGreeting); err != nil {
		if e := refused(err); e != nil && (t.smarthost != nil || e.Code() != 521 && e.Code() != 556) {
			e.Class = reply.Temporary // no word on our mail: only RFC 7504's codes say that a host takes none
		}
		return err
	}
	if err := s.hello(r.opt.Hostname); err != nil {
		if e := refused(err); e != nil && t.smarthost != nil {
			e.Class = reply.Temporary // about us, not about the letter: the admin's to mend
		}
		return err
	}
	if !implicit {
		if err := s.upgrade(ctx, t, use, r.opt.Hostname); err != nil || s.dead {
			return err
		}
	}
	s.facts(r, w, t)
	if t.smarthost != nil && t.smarthost.User != "" && s.hop.CertProven == requiretls.Yes {
		return s.auth(t.smarthost.User, r.creds.now.Load().Password)
	}
	return nil
}

// upgrade turns the session into a TLS one where the host offers it.
func (s *session) upgrade(ctx context.Context, t *target, use useTLS, hostname string) error {
	switch {
	case use == inClear:
		s.hop.Encrypted, s.tlsErr = requiretls.No, errors.New("in clear, since TLS failed")
		return nil
	case !s.offers("STARTTLS"):
		s.hop.Encrypted, s.tlsErr = requiretls.No, errNoSTARTTLS
		return nil
	}
	if s.secure(s.startTLS(ctx, tlsConfig(t.sni()))); s.dead {
		return nil
	}
	err := s.hello(hostname) // RFC 3207 §4.2; only what this one lists counts (RFC 8689 §2)
	if err == nil || refused(err) != nil {
		return err
	}
	s.brokeOff(err)
	return nil
}

// brokeOff is TLS that comes to nothing once our part of the handshake is over: a host
// may refuse it behind that (RFC 8446 §4.4.2.4: the certificate that we do not have),
// or not be able to go on. An alert is a fact; any other end is not.
func (s *session) brokeOff(err error) {
	s.hop.Encrypted = requiretls.Unknown
	if s.dead, s.tlsErr = true, err; isAlert(err) {
		s.hop.Encrypted = requiretls.No
	}
}

var errNoSTARTTLS = errors.New("STARTTLS is not offered")

// secure notes how a handshake went. A refusal for good and a handshake that
// cannot work are facts; a lost connection is not.
func (s *session) secure(err error) {
	if err == nil {
		s.hop.Encrypted = requiretls.Yes
		return
	}
	s.dead, s.tlsErr = true, err
	if e := refused(err); e != nil {
		if e.Class == reply.Permanent {
			s.hop.Encrypted = requiretls.No
		}
		return
	}
	if !lost(err) {
		s.hop.Encrypted = requiretls.No
	}
}

// lost says whether a connection ended, rather than what was said on it.
func lost(err error) bool {
	if network := (*net.OpError)(nil); errors.As(err, &network) {
		return !isAlert(err)
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// isAlert says whether a TLS session ended with an alert, the host's or ours.
func isAlert(err error) bool {
	var network *net.OpError
	return errors.As(err, &network) && (network.Op == "remote error" || network.Op == "local error") // crypto/tls' words
}

// facts judges nothing: it states what the TLS session proves and what was
// offered inside it.
func (s *session) facts(r *router, w *route, t *target) {
	s.hop.CertProven, s.hop.Offered = requiretls.No, requiretls.No
	if s.hop.Encrypted != requiretls.Yes {
		return
	}
	if s.proof, s.proofErr = r.prove(w, t, s.state.PeerCertificates); s.proofErr == nil {
		s.hop.CertProven = requiretls.Yes
	}
	if t.daneErr != nil {
		s.hop.CertProven = requiretls.Unknown // RFC 7672 §2.1.2: nobody knows what it should be
	}
	if s.offers("REQUIRETLS") {
		s.hop.Offered = requiretls.Yes
	}
}

// sni is the name we ask for: the TLSA base domain (RFC 7672 §8.1), or the
// host's.
func (t *target) sni() string {
	if t.dane != nil {
		return t.dane.Base
	}
	if _, err := netip.ParseAddr(t.host); err == nil {
		return ""
	}
	return t.host
}

// allowed says whether what was found is enough for published policies and for
// the admin's own. Waived mail is not asked (RFC 8689 §4.2.2).
func (s *session) allowed(t *target, level Level, d requiretls.Demand) *reply.Error {
	n := t.needs(level)
	switch {
	case d.IsWaived():
		return nil
	case n >= needTLS && s.hop.Encrypted != requiretls.Yes:
		return noTLSThere.Because(s.tlsErr)
	case n == needProof && s.hop.CertProven != requiretls.Yes:
		return noProof.Because(s.proofErr)
	}
	return nil
}

// sessionKey names what may share a connection: the same host, proven in the
// same way for the same names, under the same demands. Mail of one level never
// travels over a connection that was opened for a lower one. Reports have theirs
// to themselves: the facts count otherwise for them (see asBounce). version is that
// of the credentials it is opened with.
func (t *target) sessionKey(w *route, ip netip.Addr, level Level, d requiretls.Demand, f factsFor, version uint64) string {
	var tlsa []TLSA
	if t.dane != nil {
		tlsa = t.dane.All
	}
	return fmt.Sprint(t.host, ip, t.port, t.needs(level), d, f, t.certNames(w), tlsa, t.smarthost != nil, version)
}

// factsFor says for whom those of a connection count.
type factsFor uint8

const (
	forLetters factsFor = iota
	forReports          // as asBounce has them
)

// hostError is trouble with a host as a refusal: what it said, or that it said
// nothing.
func hostError(err error) *reply.Error {
	e := refused(err)
	switch {
	case e != nil && (e.Code() == 521 || e.Code() == 556):
		return hostTakesNo.Because(err)
	case e != nil:
		return e
	case errors.Is(err, errProtocol):
		return badHost.Because(err)
	}
	return lostHost.Because(err)
}

// protection is the words for a log line.
func (s *session) protection() string {
	if s.state == nil {
		return "none"
	}
	return strings.ReplaceAll(tls.VersionName(s.state.Version), " ", "")
}

// certFailure is the word of RFC 8460 §4.3.1 for a certificate that proves
// nothing.
func certFailure(err error) string {
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	switch {
	case errors.Is(err, errTLSA):
		return "tlsa-invalid"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "certificate-expired"
	case errors.As(err, &name):
		return "certificate-host-mismatch"
	}
	return "certificate-not-trusted"
}
