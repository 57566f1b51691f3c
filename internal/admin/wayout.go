package admin

import (
	"context"
	"slices"
	"strings"
	"time"

	"letterlock/internal/requiretls"
	"letterlock/relay"
)

// RouteQuery asks for the way of a letter that nobody sends.
type RouteQuery struct {
	Domain     string `json:"domain"`
	RequireTLS bool   `json:"requiretls"` // its sender would demand REQUIRETLS
}

// Way is every fact about the way to a domain, and the judgement.
type Way struct {
	Domain    string    `json:"domain"`
	Demand    string    `json:"demand"`
	Smarthost bool      `json:"smarthost"` // through the configured one
	MXSecure  bool      `json:"mx_dnssec"` // DNSSEC proves the MX records, or that there are none
	STS       string    `json:"mta_sts"`   // the policy in a line
	Hosts     []WayHost `json:"hosts"`     // in the order in which they would be tried
	Goes      bool      `json:"goes"`      // a letter would go, over the first host that has no error
	Permanent bool      `json:"permanent"` // and would never go, as things are
	Error     string    `json:"error"`     // what its sender would hear
	Text      string    `json:"text"`      // all of it for people
}

// WayHost is what is known of one host.
type WayHost struct {
	Name       string   `json:"name"`
	Addrs      []string `json:"addresses"`
	MXProven   string   `json:"mx_proven"` // yes, no, unknown
	Need       string   `json:"need"`      // may, encrypt, verify: what usual mail needs
	TLSA       []string `json:"tlsa,omitempty"`
	Connected  bool     `json:"connected"`
	TLS        string   `json:"tls,omitempty"`
	CertProven string   `json:"cert_proven,omitempty"`
	Proof      string   `json:"proof,omitempty"` // pin, dane, chain
	Offered    string   `json:"requiretls_offered,omitempty"`
	Trouble    string   `json:"trouble,omitempty"` // why there is no TLS, or why it proves nothing
	Judgement  string   `json:"judgement,omitempty"`
	Error      string   `json:"error,omitempty"`
}

// Route implements [Operations].
func (d *Desk) Route(ctx context.Context, in RouteQuery) (Way, error) {
	demand := requiretls.Usual()
	if in.RequireTLS {
		demand = requiretls.Required()
	}
	return d.route(ctx, in.Domain, demand)
}

func (d *Desk) route(ctx context.Context, domain string, demand requiretls.Demand) (Way, error) {
	domain, err := domainOf(domain)
	if err != nil {
		return Way{}, err
	}
	if d.opt.Relay == nil {
		return Way{}, relayOff()
	}
	return shownWay(d.opt.Relay.Route(ctx, domain, demand)), nil
}

func relayOff() *Refusal {
	return refuse("set mode in section [relay]: smarthost or mx", "the relay is off: nothing leaves")
}

func shownWay(w *relay.Way) Way {
	way := Way{
		Domain: w.Domain, Demand: w.Demand.String(), Smarthost: w.Smarthost, MXSecure: w.MXSecure, STS: w.STS,
		Hosts: []WayHost{}, Goes: w.Err == nil, Text: w.String(),
	}
	if w.Err != nil {
		way.Error = w.Err.Line()
		way.Permanent = way.Error[0] == '5'
	}
	for _, h := range w.Hosts {
		host := WayHost{Name: h.Name, Addrs: h.Addrs, MXProven: h.MXProven.String(), Need: h.Need, TLSA: h.TLSA}
		if s := h.Seen; s != nil {
			host.Connected, host.TLS, host.Proof, host.Trouble, host.Judgement = true, s.TLS, s.Proof, s.Trouble, s.Judgement
			host.CertProven, host.Offered = s.Hop.CertProven.String(), s.Hop.Offered.String()
		}
		if h.Err != nil {
			host.Error = h.Err.Line()
		}
		way.Hosts = append(way.Hosts, host)
	}
	return way
}

// STSQuery asks for a domain's MTA-STS policy (RFC 8461).
type STSQuery struct {
	Domain  string `json:"domain"`
	Refresh bool   `json:"refresh"` // asks the domain; else nobody is asked
}

// STS is what is known of a policy.
type STS struct {
	Domain  string    `json:"domain"`
	Mode    string    `json:"mode"` // enforce, testing, none; empty: there is no valid policy
	MX      []string  `json:"mx,omitempty"`
	ID      string    `json:"id,omitempty"`
	MaxAge  int64     `json:"max_age,omitempty"` // seconds
	Fetched time.Time `json:"fetched,omitzero"`
	Expires time.Time `json:"expires,omitzero"`
	Checked bool      `json:"checked"`           // DNS was asked for a newer one just now
	Error   string    `json:"error,omitempty"`   // why it could not be found out whether there is one
	Failure string    `json:"failure,omitempty"` // the word of RFC 8460 §4.3.2.2 for that
}

// MTASTS implements [Operations].
func (d *Desk) MTASTS(ctx context.Context, in STSQuery) (STS, error) {
	domain, err := domainOf(in.Domain)
	if err != nil {
		return STS{}, err
	}
	if d.opt.Relay == nil {
		return STS{}, relayOff()
	}
	want := relay.Cached
	if in.Refresh {
		want = relay.Anew
	}
	s, err := d.opt.Relay.Policy(ctx, domain, want)
	if err != nil {
		return STS{}, refuse("a domain reads example.net", "%s: %v", domain, err).because(err)
	}
	shown := STS{Domain: domain, ID: s.ID, Checked: s.Checked, Failure: s.Failure}
	if s.Err != nil {
		shown.Error = s.Err.Error()
	}
	if p := s.Policy; p != nil {
		shown.Mode, shown.MX, shown.MaxAge, shown.Fetched, shown.Expires = p.Mode.String(), p.MX, int64(p.MaxAge/time.Second), s.Fetched, s.Expires()
	}
	return shown, nil
}

// RelayState is what the way out is doing.
type RelayState struct {
	On       bool          `json:"on"`      // the config has one
	Running  bool          `json:"running"` // and it is sending
	InFlight int           `json:"in_flight"`
	Waiting  []Destination `json:"waiting"` // left alone for a while for not answering
}

// Destination is a domain, or the smarthost where Name is empty.
type Destination struct {
	Name  string    `json:"name"`
	Until time.Time `json:"until"`
}

// RelayState implements [Operations].
func (d *Desk) RelayState(ctx context.Context) (RelayState, error) {
	state := RelayState{On: d.opt.Relay != nil, Waiting: []Destination{}}
	if !state.On {
		return state, nil
	}
	ctx, cancel := context.WithTimeout(ctx, relayAnswers)
	defer cancel()
	s, running := d.opt.Relay.Stats(ctx)
	state.Running, state.InFlight = running, s.InFlight
	for name, until := range s.Waiting {
		state.Waiting = append(state.Waiting, Destination{name, until})
	}
	slices.SortFunc(state.Waiting, func(a, b Destination) int { return strings.Compare(a.Name, b.Name) })
	return state, nil
}

// relayAnswers is how long a relay that runs may take to say what it is doing.
const relayAnswers = 2 * time.Second
