package testnet

import (
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// Status is what a validating resolver finds of a zone.
type Status uint8

const (
	Insecure Status = iota // not signed
	Secure                 // signed, and right
	Bogus                  // signed, and wrong: SERVFAIL
	Silent                 // its servers do not answer, nor does the resolver
)

// dnsServer answers as a validating resolver does.
type dnsServer struct {
	addr string

	mu      sync.Mutex // guards all below
	zones   map[string]Status
	names   map[string]Status // of single names, stronger than their zone's
	single  map[string]Status // of single questions, stronger than both
	records map[string][]dns.RR
	asked   map[string]int
}

func newDNS(t testing.TB) *dnsServer {
	t.Helper()
	d := &dnsServer{zones: map[string]Status{}, names: map[string]Status{}, single: map[string]Status{}, records: map[string][]dns.RR{}, asked: map[string]int{}}
	packets, stream := bothWays(t)
	d.addr = packets.LocalAddr().String()
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: d}, {Listener: stream, Handler: d}} {
		ready := make(chan struct{})
		s.NotifyStartedFunc = func() { close(ready) }
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = s.ActivateAndServe() // ends with the test
		}()
		<-ready
		t.Cleanup(func() { s.Shutdown(); <-ended })
	}
	return d
}

// bothWays finds a port that is free for UDP and TCP.
func bothWays(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 100 {
		stream, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		packets, err := net.ListenPacket("udp", stream.Addr().String())
		if err == nil {
			return packets, stream
		}
		stream.Close()
	}
	t.Fatal("no port is free for UDP and TCP")
	return nil, nil
}

// Zone says how a zone is signed. The longest zone that a name ends in counts.
func (n *Net) Zone(zone string, s Status) {
	n.dns.mu.Lock()
	defer n.dns.mu.Unlock()
	n.dns.zones[dns.CanonicalName(zone)] = s
}

// Name says so of one name alone.
func (n *Net) Name(name string, s Status) {
	n.dns.mu.Lock()
	defer n.dns.mu.Unlock()
	n.dns.names[dns.CanonicalName(name)] = s
}

// Question says so of one question alone: "AAAA mx.example.org".
func (n *Net) Question(question string, s Status) {
	n.dns.mu.Lock()
	defer n.dns.mu.Unlock()
	n.dns.single[question] = s
}

// Record adds a record in presentation format: "example.org. MX 10 mx.example.org.".
func (n *Net) Record(text string) {
	n.t.Helper()
	rr, err := dns.NewRR(text)
	if err != nil || rr == nil {
		n.t.Fatalf("record %q: %v", text, err)
	}
	n.dns.mu.Lock()
	defer n.dns.mu.Unlock()
	name := dns.CanonicalName(rr.Header().Name)
	n.dns.records[name] = append(n.dns.records[name], rr)
}

// Forget removes the records of a name.
func (n *Net) Forget(name string) {
	n.dns.mu.Lock()
	defer n.dns.mu.Unlock()
	delete(n.dns.records, dns.CanonicalName(name))
}

// Asked is how often a question was put: "TXT _mta-sts.example.org".
func (n *Net) Asked(question string) int {
	n.dns.mu.Lock()
	defer n.dns.mu.Unlock()
	return n.dns.asked[question]
}

// ServeDNS implements [dns.Handler].
func (d *dnsServer) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(q)
	m.RecursionAvailable = true
	if len(q.Question) != 1 || !d.answer(m, q) {
		return // silence
	}
	if size := 512; w.RemoteAddr().Network() == "udp" {
		if o := q.IsEdns0(); o != nil {
			size = int(o.UDPSize())
		}
		m.Truncate(size)
	}
	_ = w.WriteMsg(m) // whoever asked is gone, or asks again
}

// answer says whether there is one.
func (d *dnsServer) answer(m, q *dns.Msg) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	kind := q.Question[0].Qtype
	d.asked[question(kind, dns.CanonicalName(q.Question[0].Name))]++
	secure := true
	at := dns.CanonicalName(q.Question[0].Name)
	for range 12 {
		zone, status := d.zoneOf(at)
		if own, ok := d.single[question(kind, at)]; ok {
			status = own
		}
		switch status {
		case Silent:
			return false
		case Bogus:
			m.Answer, m.Rcode = nil, dns.RcodeServerFailure
			return true
		}
		secure = secure && status == Secure
		found, alias := d.find(at, kind)
		m.Answer = append(m.Answer, found...)
		if alias != "" {
			at = alias
			continue
		}
		if len(found) == 0 {
			m.Ns = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 60}, Ns: "ns.test.", Mbox: "hostmaster.test.", Minttl: 60}}
			if !d.exists(at) {
				m.Rcode = dns.RcodeNameError
			}
		}
		break
	}
	wants := q.AuthenticatedData // RFC 6840 §5.7
	if o := q.IsEdns0(); o != nil {
		wants = wants || o.Do()
		m.SetEdns0(1232, o.Do())
	}
	m.AuthenticatedData = secure && wants
	return true
}

// question is one in words.
func question(kind uint16, name string) string {
	return dns.TypeToString[kind] + " " + strings.TrimSuffix(name, ".")
}

func (d *dnsServer) find(name string, kind uint16) (found []dns.RR, alias string) {
	for _, rr := range d.records[name] {
		if rr.Header().Rrtype == kind {
			found = append(found, rr)
		}
		if c, ok := rr.(*dns.CNAME); ok && kind != dns.TypeCNAME {
			return []dns.RR{rr}, dns.CanonicalName(c.Target)
		}
	}
	return found, ""
}

// exists: a name is there where it has records, or one below it has (RFC 8020).
func (d *dnsServer) exists(name string) bool {
	for n := range d.records {
		if n == name || strings.HasSuffix(n, "."+name) {
			return true
		}
	}
	return false
}

func (d *dnsServer) zoneOf(name string) (zone string, s Status) {
	zone = "."
	for z, status := range d.zones {
		if dns.IsSubDomain(z, name) && len(z) >= len(zone) {
			zone, s = z, status
		}
	}
	if own, ok := d.names[name]; ok {
		s = own
	}
	return zone, s
}
