package requiretls_test

import (
	"errors"
	"testing"

	"letterlock/internal/reply"
	"letterlock/internal/requiretls"
)

var demands = map[string]requiretls.Demand{
	"not stated": {},
	"usual":      requiretls.Usual(),
	"required":   requiretls.Required(),
	"waived":     requiretls.Waived(),
}

func TestRequireTLSArrivals(t *testing.T) {
	both := []bool{false, true}
	for _, tls := range both {
		for _, param := range both {
			for _, trusted := range both {
				for _, no := range both {
					a := requiretls.Arrival{OverTLS: tls, Param: param, TrustedHeader: trusted, HeaderNo: no}
					want, wantErr := "usual", error(nil)
					if no {
						want = "waived"
					}
					if trusted {
						want = "required"
					}
					if param { // RFC 8689 §4.1: the option beats the header
						want = "required"
					}
					if param && !tls { // §2: inside TLS alone
						want, wantErr = "not stated", reply.NeedsTLS
					}
					got, err := a.Demand()
					if got.String() != want || !errors.Is(err, wantErr) {
						t.Errorf("%+v: %v, %v; want %s, %v", a, got, err, want, wantErr)
					}
				}
			}
		}
	}
}

// every hop there is: four facts of three values each, twice.
func everyHop(f func(h requiretls.Hop)) {
	facts := []requiretls.Fact{requiretls.Unknown, requiretls.No, requiretls.Yes}
	for _, smart := range []bool{false, true} {
		for _, enc := range facts {
			for _, cert := range facts {
				for _, mx := range facts {
					for _, offered := range facts {
						f(requiretls.Hop{Name: "mx.example.net", Smarthost: smart, Encrypted: enc, CertProven: cert, MXProven: mx, Offered: offered})
					}
				}
			}
		}
	}
}

func TestRequireTLSTruthTableOfSending(t *testing.T) {
	hops := 0
	everyHop(func(h requiretls.Hop) {
		hops++
		tlsFacts := []requiretls.Fact{h.Encrypted, h.CertProven}
		if !h.Smarthost { // RFC 8689 §2: a smarthost is not identified through an MX lookup
			tlsFacts = append(tlsFacts, h.MXProven)
		}
		count := func(v requiretls.Fact) (n int) {
			for _, f := range tlsFacts {
				if f == v {
					n++
				}
			}
			return n
		}
		var want error
		switch {
		case count(requiretls.No) > 0:
			want = reply.NoVerifiedTLS
		case h.Offered == requiretls.No:
			want = reply.NoRequireTLS
		case count(requiretls.Unknown) > 0 || h.Offered == requiretls.Unknown:
			want = reply.FactsMissing
		}
		for name, d := range demands {
			for kind, judge := range map[string]func(*requiretls.Hop) (requiretls.Clearance, error){"mail": d.Clear, "bounce": d.ClearBounce} {
				c, err := judge(&h)
				switch {
				case name == "not stated":
					if !errors.Is(err, reply.LocalError) || c.For(&h) {
						t.Errorf("%s, %s over %+v: cleared (%v)", name, kind, h, err)
					}
				case name != "required":
					if err != nil || !c.For(&h) || c.RequireTLS() || c.Redacted() {
						t.Errorf("%s, %s over %+v: %+v, %v; want an ordinary clearance", name, kind, h, c, err)
					}
				case kind == "bounce" && want != nil && reply.From(want).Class == reply.Permanent:
					if err != nil || !c.For(&h) || c.RequireTLS() || !c.Redacted() { // §5
						t.Errorf("required bounce over %+v: %+v, %v; want a redacted one without the option", h, c, err)
					}
				case want != nil:
					if !errors.Is(err, want) || c.For(&h) {
						t.Errorf("required %s over %+v: %v, want %v", kind, h, err, want)
					}
				default:
					if err != nil || !c.For(&h) || !c.RequireTLS() || c.Redacted() {
						t.Errorf("required %s over %+v: %+v, %v; want a clearance with the option", kind, h, c, err)
					}
				}
			}
		}
	})
	if hops != 2*3*3*3*3 {
		t.Fatalf("walked %d hops", hops)
	}
}

func TestRequireTLSTruthTableOfLevels(t *testing.T) {
	everyHop(func(h requiretls.Hop) {
		for name, d := range demands {
			plain, plainErr := d.Clear(&h)
			for level := requiretls.Enforce; level <= requiretls.Opportunistic+1; level++ {
				c, err := d.ClearAt(level, &h)
				if name != "required" || plainErr == nil || level != requiretls.OpportunisticStartTLS && level != requiretls.Opportunistic {
					if c != plain || !errors.Is(err, plainErr) {
						t.Errorf("%s at %v over %+v: %+v, %v; want what Clear says: %+v, %v", name, level, h, c, err, plain, plainErr)
					}
					continue
				}
				var want error
				if level == requiretls.OpportunisticStartTLS {
					switch {
					case h.Encrypted == requiretls.No:
						want = reply.NoVerifiedTLS
					case h.Encrypted == requiretls.Unknown, h.Offered == requiretls.Unknown:
						want = reply.FactsMissing
					}
				}
				option := h.Encrypted == requiretls.Yes && h.Offered == requiretls.Yes
				switch {
				case want != nil && (!errors.Is(err, want) || c.For(&h)):
					t.Errorf("required at %v over %+v: %v, want %v", level, h, err, want)
				case want == nil && (err != nil || !c.For(&h) || !c.Lowered() || c.RequireTLS() != option || c.Redacted()):
					t.Errorf("required at %v over %+v: %+v, %v; want a lowered clearance, option %v", level, h, c, err, option)
				}
			}
		}
	})
	words := ""
	for level := requiretls.Enforce; level <= requiretls.Opportunistic+1; level++ {
		words += level.String() + " "
	}
	if words != "enforce opportunistic+starttls opportunistic unknown " {
		t.Errorf("the levels are called %s", words)
	}
}

func TestClearanceIsForOneHopAlone(t *testing.T) {
	proven := requiretls.Hop{Name: "a", Encrypted: requiretls.Yes, CertProven: requiretls.Yes, MXProven: requiretls.Yes, Offered: requiretls.Yes}
	other := proven
	c, err := requiretls.Required().Clear(&proven)
	if err != nil || !c.For(&proven) {
		t.Fatalf("a proven hop was not cleared: %v", err)
	}
	if c.For(&other) {
		t.Error("a clearance for one hop opened another")
	}
	if (requiretls.Clearance{}).For(nil) {
		t.Error("the zero clearance opened a hop")
	}
}

func TestRequireTLSTruthTableOfReading(t *testing.T) {
	readers := map[requiretls.Class]requiretls.Reader{
		requiretls.ClassClear:   {},
		requiretls.ClassLocal:   {Local: true},
		requiretls.ClassProxied: {ProxiedTLS: true},
		requiretls.ClassTLS:     {TLS: true, Local: true},
		requiretls.ClassBound:   {TLS: true, Bound: true},
	}
	mayRead := map[requiretls.Policy][]requiretls.Class{
		requiretls.PolicyTLS:   {requiretls.ClassProxied, requiretls.ClassTLS, requiretls.ClassBound},
		requiretls.PolicyBound: {requiretls.ClassBound},
		requiretls.PolicyLocal: {requiretls.ClassLocal, requiretls.ClassProxied, requiretls.ClassTLS, requiretls.ClassBound},
		requiretls.Policy(77):  {requiretls.ClassBound}, // nobody defined it: the strictest
	}
	for class, reader := range readers {
		if reader.Class() != class {
			t.Errorf("%+v is %v, want %v", reader, reader.Class(), class)
		}
		for policy, classes := range mayRead {
			for name, d := range demands {
				want := name == "usual" || name == "waived"
				for _, c := range classes {
					want = want || name == "required" && c == class
				}
				rel, err := d.Release(reader, policy)
				if got := err == nil; got != want || rel.Covers(d) != want {
					t.Errorf("%s mail, %v reader, policy %d: released %v, want %v", name, class, policy, got, want)
				}
				if err != nil && !errors.Is(err, requiretls.ErrWithheld) {
					t.Errorf("%s mail, %v reader: %v", name, class, err)
				}
			}
		}
	}
	usual, _ := requiretls.Usual().Release(requiretls.Reader{TLS: true}, requiretls.PolicyTLS)
	if usual.Covers(requiretls.Required()) || usual.Covers(requiretls.Waived()) {
		t.Error("a release for usual mail opened another message")
	}
	required, _ := requiretls.Required().Release(requiretls.Reader{TLS: true}, requiretls.PolicyTLS)
	if !required.Covers(requiretls.Usual()) || !required.Covers(requiretls.Waived()) || required.Covers(requiretls.Demand{}) {
		t.Error("a release for required mail opens all whose demand is stated, and nothing else")
	}
}

func TestAccountPolicyMayOnlyTighten(t *testing.T) {
	for _, c := range []struct{ server, account, want requiretls.Policy }{
		{requiretls.PolicyTLS, requiretls.PolicyTLS, requiretls.PolicyTLS},
		{requiretls.PolicyTLS, requiretls.PolicyLocal, requiretls.PolicyTLS},
		{requiretls.PolicyTLS, requiretls.PolicyBound, requiretls.PolicyBound},
		{requiretls.PolicyLocal, requiretls.PolicyTLS, requiretls.PolicyTLS},
		{requiretls.PolicyBound, requiretls.PolicyLocal, requiretls.PolicyBound},
	} {
		if got := c.server.Tighten(c.account); got != c.want {
			t.Errorf("server %d, account %d: %d, want %d", c.server, c.account, got, c.want)
		}
	}
}

func TestDemandSurvivesTheDisk(t *testing.T) {
	for name, d := range demands {
		got, err := requiretls.DemandFromByte(d.Byte())
		if got != d || (err == nil) != d.Stated() || d.String() != name {
			t.Errorf("%s came back as %v, %v", name, got, err)
		}
	}
	for b := 4; b < 256; b++ {
		if d, err := requiretls.DemandFromByte(byte(b)); err == nil || d.Stated() {
			t.Errorf("byte %d became %v", b, d)
		}
	}
}

func TestDemandIsNeverLowered(t *testing.T) {
	for a, x := range demands {
		for b, y := range demands {
			got := requiretls.Agree(x, y)
			if a == b && got != x || a != b && got != requiretls.Required() {
				t.Errorf("%s and %s agree on %v", a, b, got)
			}
		}
		if got := x.Raise(); x.Stated() && !got.IsRequired() || !x.Stated() && got.Stated() {
			t.Errorf("%s raised is %v", a, got)
		}
	}
}
