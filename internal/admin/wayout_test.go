package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"letterlock/internal/requiretls"
	"letterlock/internal/testnet"
)

// publish gives a domain one mail host behind DNSSEC, proven by DANE where the
// host has TLS.
func (of *office) publish(domain string, change func(*testnet.Host)) *testnet.Host {
	of.net.Zone(domain, testnet.Secure)
	h := of.net.Host("mx."+domain, change)
	of.net.Record(fmt.Sprintf("%s. MX 10 mx.%s.", domain, domain))
	of.net.Record(fmt.Sprintf("mx.%s. A %s", domain, h.Addr))
	if !h.NoTLS {
		of.net.Record(fmt.Sprintf("_25._tcp.mx.%s. TLSA 3 1 1 %s", domain, h.TLSA()))
	}
	return h
}

func TestRouteShowsEveryFactAndTheJudgement(t *testing.T) {
	of := newOffice(t, nil)
	of.publish("good.example", func(h *testnet.Host) { h.InTLS = append(testnet.Usual(), "REQUIRETLS") })
	plain := of.publish("plain.example", nil)
	over := of.over(t)
	ctx := t.Context()

	for _, o := range []Operations{of.Desk, over} {
		w, err := o.Route(ctx, RouteQuery{"good.example", true})
		if err != nil {
			t.Fatal(err)
		}
		if !w.Goes || w.Error != "" || w.Demand != "required" || !w.MXSecure || w.Smarthost || len(w.Hosts) != 1 || !strings.Contains(w.Text, "it would go") {
			t.Fatalf("the way is %+v", w)
		}
		h := w.Hosts[0]
		if h.Name != "mx.good.example" || h.MXProven != "yes" || !h.Connected || h.CertProven != "yes" || h.Proof != "dane" || h.Offered != "yes" || len(h.TLSA) != 1 || h.Error != "" {
			t.Errorf("the host is %+v", h)
		}
		w, err = o.Route(ctx, RouteQuery{"plain.example", true})
		if err != nil || w.Goes || !w.Permanent || !strings.HasPrefix(w.Error, "550 5.7.30") {
			t.Errorf("without REQUIRETLS at the host: %+v, %v", w, err)
		}
		if w, err = o.Route(ctx, RouteQuery{"plain.example", false}); err != nil || !w.Goes || w.Demand != "usual" {
			t.Errorf("usual mail: %+v, %v", w, err)
		}
	}
	if slices.Contains(plain.Words(), "MAIL") {
		t.Errorf("a dry run said %q", plain.Words())
	}
}

func TestPolicyOfADomainIsShownAndRefreshed(t *testing.T) {
	of := newOffice(t, nil)
	of.net.Policy("sts.example", "v1", testnet.Page{Body: "version: STSv1\r\nmode: enforce\r\nmx: *.sts.example\r\nmax_age: 604800\r\n"})
	for _, o := range []Operations{of.Desk, of.over(t)} {
		s, err := o.MTASTS(t.Context(), STSQuery{"STS.example", true})
		if err != nil || s.Domain != "sts.example" || s.Mode != "enforce" || !slices.Equal(s.MX, []string{"*.sts.example"}) || s.ID != "v1" || s.Error != "" ||
			s.MaxAge != 604800 || !s.Expires.Equal(s.Fetched.Add(168*time.Hour)) {
			t.Errorf("refreshed: %+v, %v", s, err)
		}
		if s, err = o.MTASTS(t.Context(), STSQuery{"sts.example", false}); err != nil || s.Mode != "enforce" {
			t.Errorf("kept: %+v, %v", s, err)
		}
		if s, err = o.MTASTS(t.Context(), STSQuery{"none.example", false}); err != nil || s.Mode != "" {
			t.Errorf("never heard of: %+v, %v", s, err)
		}
	}
}

func TestWayOutIsRefusedWhereTheRelayIsOff(t *testing.T) {
	of := newOffice(t, func(o *Options) { o.Relay = nil })
	of.forward(t, "e1", requiretls.Usual())
	for _, o := range []Operations{of.Desk, of.over(t)} {
		ctx := t.Context()
		_, route := o.Route(ctx, RouteQuery{"one.example", false})
		_, sts := o.MTASTS(ctx, STSQuery{"one.example", false})
		_, explain := o.Explain(ctx, ExplainQuery{"ann", "INBOX", 1, "one.example"})
		_, domain := o.Route(ctx, RouteQuery{"one example", false})
		for name, err := range map[string]error{"route": route, "mta-sts": sts, "explain": explain, "no domain": domain} {
			if r, ok := errors.AsType[*Refusal](err); !ok || r.Hint() == "" {
				t.Errorf("%s: %v, want a refusal with a way out", name, err)
			}
		}
	}
}

// mayRead are the classes of sessions that may read a message.
func mayRead(e Explanation) (classes []string) {
	for _, r := range e.Readers {
		if r.May {
			classes = append(classes, r.Class)
		}
	}
	return classes
}

func TestExplainSaysHowALetterCameWhoMayReadItAndWhereItMayGo(t *testing.T) {
	of := newOffice(t, func(o *Options) { o.Release = requiretls.PolicyLocal })
	of.publish("plain.example", nil)
	of.forward(t, "e1", requiretls.Required())
	of.forward(t, "e2", requiretls.Waived())
	over := of.over(t)
	for _, o := range []Operations{of.Desk, over} {
		e, err := o.Explain(t.Context(), ExplainQuery{"Ann", "INBOX", 1, "plain.example"})
		if err != nil {
			t.Fatal(err)
		}
		if e.Demand != "required" || e.TLS != "TLS 1.3" || e.Cipher != "TLS_AES_128_GCM_SHA256" || e.Peer != "192.0.2.7" || e.Size == 0 || e.Saved.IsZero() {
			t.Errorf("it came as %+v", e)
		}
		if e.ServerPolicy != "local" || e.AccountPolicy != ReleaseInherit || e.Policy != "local" || !slices.Equal(mayRead(e), []string{"bound", "tls", "proxied", "local"}) {
			t.Errorf("it is read as %+v", e)
		}
		if e.Way == nil || e.Way.Goes || e.Way.Demand != "required" {
			t.Errorf("it goes %+v", e.Way)
		}
		if e, err = o.Explain(t.Context(), ExplainQuery{"ann", "inbox", 2, ""}); err != nil || e.Demand != "waived" || e.Way != nil || len(mayRead(e)) != 5 {
			t.Errorf("the waived one: %+v, %v", e, err)
		}
	}
	for policy, want := range map[string][]string{ReleaseTLS: {"bound", "tls", "proxied"}, ReleaseBound: {"bound"}} {
		if _, err := over.SetRelease(t.Context(), Release{"ann", policy}); err != nil {
			t.Fatal(err)
		}
		e, err := over.Explain(t.Context(), ExplainQuery{"ann", "INBOX", 1, ""})
		if err != nil || e.AccountPolicy != policy || e.Policy != policy || !slices.Equal(mayRead(e), want) {
			t.Errorf("account with %s: %+v, %v", policy, e, err)
		}
	}
}

func TestExplainNamesWhatIsNotThere(t *testing.T) {
	of := newOffice(t, nil)
	of.forward(t, "e1", requiretls.Usual())
	for want, in := range map[string]ExplainQuery{
		"there is no user bob@example.org":                   {"bob", "INBOX", 1, ""},
		`ann@example.org has no mailbox "Nowhere"`:           {"ann", "Nowhere", 1, ""},
		"ann@example.org, INBOX has no message with UID 7":   {"ann", "INBOX", 7, ""},
		"ann@example.org, Archive has no message with UID 1": {"ann", "Archive", 1, ""},
	} {
		_, err := of.Explain(context.Background(), in)
		if r, ok := errors.AsType[*Refusal](err); !ok || r.Text != want || r.Hint() == "" {
			t.Errorf("%+v: %v, want %q and a way out", in, err, want)
		}
	}
}

func TestRelayStateNamesDestinationsThatDoNotAnswer(t *testing.T) {
	of := newOffice(t, nil)
	over := of.over(t)
	if s, err := over.RelayState(t.Context()); err != nil || !s.On || s.Running {
		t.Errorf("before it runs: %+v, %v", s, err)
	}
	of.net.Zone("dead.example", testnet.Insecure)
	of.net.Record("dead.example. MX 10 mx.dead.example.")
	of.net.Record("mx.dead.example. A " + of.net.Addr().String())
	of.forward(t, "e1", requiretls.Usual(), "dead.example")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- of.opt.Relay.Run(ctx) }()
	defer func() {
		stop()
		<-ended
	}()
	for {
		s, err := over.RelayState(t.Context())
		if err != nil || !s.On {
			t.Fatalf("%+v, %v", s, err)
		}
		if len(s.Waiting) > 0 {
			if w := s.Waiting[0]; !s.Running || w.Name != "dead.example" || w.Until.IsZero() {
				t.Errorf("the state is %+v", s)
			}
			break
		}
	}
	if r := rows(t, of, Selection{})[0]; r.Tries != 1 || r.Error == "" || r.Last.IsZero() {
		t.Errorf("the letter is %+v, want one try and what it said", r)
	}
}
