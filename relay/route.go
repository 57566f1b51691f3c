package relay

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/idna"

	"letterlock/internal/reply"
	"letterlock/internal/requiretls"
)

// router finds the hosts that take mail for a domain, and what is known of
// them before anybody connects.
type router struct {
	opt    Options
	book   *stsBook
	tally  *tally
	pool   *pool
	creds  *credentials
	public bool // mx hosts at addresses of this machine are not used
}

// route is the way to a domain: hosts in the order in which they are tried.
type route struct {
	domain  string // as A-labels: whose policies count
	sts     *STS
	mx      MXAnswer
	targets []*target
}

// target is one host to offer mail to.
type target struct {
	host      string
	port      string
	smarthost *Smarthost // nil: an mx host
	mxProven  requiretls.Fact
	policy    string // the domain whose policy counts
	sts       *STS   // never nil
	names     []string
	outside   *reply.Error // an enforced MTA-STS policy leaves the host out

	addrs   []netip.Addr // from here on by resolve
	alias   AddrAnswer
	dane    *dane
	daneErr error        // TLSA could not be looked up
	err     *reply.Error // the host cannot be used at all
}

// need is what a connection must have before anything but waived mail leaves.
type need uint8

const (
	needNothing need = iota
	needTLS
	needProof
)

// String is for logs and for the keys of connections.
func (n need) String() string { return [...]string{"may", "encrypt", "verify"}[min(n, needProof)] }

// needs is the strictest of what the recipient's domain published and what the
// admin wants of his smarthost. DANE comes before MTA-STS (RFC 8461 §2).
func (t *target) needs(level Level) need {
	published := needNothing
	switch {
	case t.dane != nil && len(t.dane.Usable) > 0:
		published = needProof
	case t.dane != nil:
		published = needTLS // RFC 7672 §2.2
	case t.sts.enforced():
		published = needProof
	}
	wanted := needNothing
	if t.smarthost != nil {
		wanted = [...]need{needProof, needTLS, needNothing}[min(level, Opportunistic)]
	}
	return max(published, wanted)
}

// find looks the route up. The error says why there is none.
func (r *router) find(ctx context.Context, domain string, want Freshness) (*route, *reply.Error) {
	if r.opt.Smarthost != nil {
		return r.toSmarthost(ctx, want), nil
	}
	if strings.HasPrefix(domain, "[") {
		return literal(domain)
	}
	ascii, err := aLabels(domain)
	if err != nil {
		return nil, badDomain.Because(err)
	}
	return r.toMX(ctx, ascii, want)
}

// aLabels is a domain as DNS is asked for it. One of letters, digits, hyphens and
// underscores goes as it stands, "ab--cd" among them: whether it is there is not
// for the rules of internationalized names to say (RFC 5890 §2.3.1).
func aLabels(domain string) (string, error) {
	if strings.IndexFunc(domain, func(r rune) bool { return notAlnum(r) && !strings.ContainsRune("-_.", r) }) < 0 {
		return strings.ToLower(domain), nil
	}
	return idna.Lookup.ToASCII(domain)
}

func (r *router) toSmarthost(ctx context.Context, want Freshness) *route {
	s := r.opt.Smarthost
	t := &target{host: s.Host, port: cmp.Or(s.Port, "587"), smarthost: s, policy: s.Host, sts: &STS{}, names: []string{s.Host}}
	if _, err := netip.ParseAddr(s.Host); err != nil && s.Host != "localhost" {
		t.sts = r.book.lookup(ctx, s.Host, want) // RFC 8461 §3.4: the smarthost is the policy domain
	}
	t.checkPolicy()
	return &route{domain: s.Host, sts: t.sts, targets: []*target{t}}
}

// literal is the way to "[192.0.2.1]" (RFC 5321 §5.1): no DNS, no policies.
func literal(domain string) (*route, *reply.Error) {
	text := strings.TrimPrefix(strings.Trim(domain, "[]"), "ipv6:")
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return nil, badDomain.Because(err)
	}
	t := &target{host: ip.String(), port: "25", mxProven: requiretls.Yes, sts: &STS{}, names: []string{"[" + ip.String() + "]"}}
	return &route{domain: domain, sts: t.sts, targets: []*target{t}}, nil
}

// toMX is RFC 5321 §5.1. There is no rule here against hosts of our own name:
// we are nobody's mx host, and the one on this machine is another program.
func (r *router) toMX(ctx context.Context, domain string, want Freshness) (*route, *reply.Error) {
	mx, err := r.opt.Resolver.MX(ctx, domain)
	switch {
	case err != nil:
		return nil, dnsTrouble.Because(err)
	case mx.NotFound:
		return nil, noDomain
	case len(mx.Hosts) == 1 && mx.Hosts[0].Host == "":
		return nil, nullMX
	}
	way := &route{domain: domain, mx: mx, sts: r.book.lookup(ctx, domain, want)}
	if len(mx.Hosts) == 0 { // the implicit MX
		way.targets = []*target{way.target(domain, requiretls.Yes)}
		return way, nil
	}
	for _, h := range order(mx.Hosts) {
		if _, err := netip.ParseAddr(h.Host); h.Host == "" || err == nil { // not a host name (RFC 5321 §5.1)
			continue
		}
		way.targets = append(way.targets, way.target(h.Host, way.proven(h.Host)))
		if len(way.targets) == maxHosts {
			break
		}
	}
	if len(way.targets) == 0 {
		return nil, noHost
	}
	return way, nil
}

// target is an mx host of the route. A certificate must be for it; below a
// DANE-TA record the domain's own name will do as well where the mx records
// are proven (RFC 7672 §3.2.2).
func (w *route) target(host string, proven requiretls.Fact) *target {
	t := &target{host: host, port: "25", policy: w.domain, sts: w.sts, mxProven: proven, names: []string{host}}
	t.checkPolicy()
	return t
}

// proven says whether the name of an mx host is right: by DNSSEC, or by a
// policy in mode enforce (RFC 8689 §4.2.1 step 2). An implicit MX is the
// domain itself, which no record has named.
func (w *route) proven(host string) requiretls.Fact {
	switch {
	case w.mx.Secure, w.sts.enforced() && w.sts.Policy.Matches(host):
		return requiretls.Yes
	case w.sts.Policy == nil && w.sts.Err != nil:
		return requiretls.Unknown
	}
	return requiretls.No
}

func (t *target) checkPolicy() {
	if t.sts.enforced() && !t.sts.Policy.Matches(t.host) {
		t.outside = notInPolicy
	}
}

// order sorts by preference, and shuffles what is equal (RFC 5321 §5.1).
func order(hosts []MX) []MX {
	hosts = slices.Clone(hosts)
	rand.Shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
	slices.SortStableFunc(hosts, func(a, b MX) int { return cmp.Compare(a.Preference, b.Preference) })
	return hosts
}

// resolve finds the addresses of a target and its TLSA records.
func (r *router) resolve(ctx context.Context, w *route, t *target) {
	if ip, err := netip.ParseAddr(t.host); err == nil {
		t.addrs = []netip.Addr{ip}
	} else if t.smarthost != nil && t.host == "localhost" {
		t.addrs = []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}
	} else {
		a, err := r.opt.Resolver.Addrs(ctx, t.host)
		if err != nil {
			t.err = dnsTrouble.Because(err)
			return
		}
		t.alias, t.addrs = a, a.Addrs
		if t.smarthost != nil || w.mx.Secure {
			t.dane, t.daneErr = findDANE(ctx, r.opt.Resolver, t.host, t.port, a)
		}
	}
	if r.public && t.smarthost == nil {
		t.addrs = slices.DeleteFunc(t.addrs, ofThisMachine)
	}
	t.addrs = t.addrs[:min(len(t.addrs), maxAddrs)]
	if len(t.addrs) == 0 {
		t.err = noAddress
		if t.smarthost != nil { // a slip of the admin's, or of DNS: no letter bounces for it
			t.err = lostAddress
		}
	}
	if t.dane != nil {
		t.outside = nil // DANE decides, not MTA-STS (RFC 8461 §2)
	}
}

// ofThisMachine: a stranger's MX record does not lead us to servers that trust
// whoever comes from here.
func ofThisMachine(ip netip.Addr) bool {
	return ip.IsLoopback() || ip.IsUnspecified() || ip.IsMulticast() || ip.IsLinkLocalUnicast()
}

// usableBy says whether mail may be offered to the target before anybody
// connects. What published policies say does not stop waived mail (RFC 8689
// §4.2.2). A host that they leave out is judged by what is known of it: where
// nothing else proves its name either, a required message cannot go (§4.2.1
// step 2).
func (t *target) usableBy(d requiretls.Demand, level Level) *reply.Error {
	switch {
	case t.err != nil:
		return t.err
	case d.IsWaived():
		return nil
	case t.daneErr != nil:
		return dnsTrouble.Because(t.daneErr)
	case t.outside != nil:
		_, err := d.ClearAt(level, &requiretls.Hop{Name: t.host, Smarthost: t.smarthost != nil, MXProven: t.mxProven})
		if e := reply.From(err); isFinal(e) {
			return e.Because(t.outside)
		}
		return t.outside
	}
	return nil
}

// prove says how the certificate proves the host: by a pin, by DANE, by a
// chain. The word is "" where it does not.
func (r *router) prove(w *route, t *target, chain []*x509.Certificate) (proof string, err error) {
	now := r.opt.Now()
	if s := t.smarthost; s != nil && len(s.Pins) > 0 {
		if pinned(s.Pins, chain) {
			return "pin", nil
		}
		return "", errPin
	}
	if t.dane != nil && len(t.dane.Usable) > 0 {
		return word("dane", t.dane.verify(chain, t.certNames(w), now))
	}
	roots := r.creds.roots()
	if t.smarthost != nil && t.smarthost.Roots != nil {
		roots = t.smarthost.Roots
	}
	return word("chain", verifyChain(chain, roots, t.certNames(w), now))
}

// certNames are the names of which a certificate must have one. Below a DANE-TA
// record those of the domain will do as well (RFC 7672 §3.2.2), so what proves
// the host for one domain may not for another; a DANE-EE record asks for no name
// (§3.1.1).
func (t *target) certNames(w *route) []string {
	switch {
	case t.dane == nil || len(t.dane.Usable) == 0:
		return t.names
	case !slices.ContainsFunc(t.dane.Usable, func(r TLSA) bool { return r.Usage == usageTA }):
		return nil
	case t.smarthost != nil:
		return []string{t.dane.Base, t.host}
	}
	return []string{t.dane.Base, t.host, w.domain, w.mx.Canonical}
}

var errPin = errors.New("neither the certificate nor its key is pinned")

func word(proof string, err error) (string, error) {
	if err != nil {
		return "", err
	}
	return proof, nil
}

// pinned says whether the server's own certificate, or its key, is pinned.
func pinned(pins [][]byte, chain []*x509.Certificate) bool {
	for _, pin := range pins {
		for _, selector := range []uint8{selectorCert, selectorKey} {
			if len(chain) > 0 && (TLSA{usageEE, selector, matchSHA256, pin}).matches(chain[0]) {
				return true
			}
		}
	}
	return false
}
