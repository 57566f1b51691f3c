package relay

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"letterlock/internal/requiretls"
	"letterlock/internal/testnet"
)

func TestMTASTSPolicyIsRead(t *testing.T) { // RFC 8461 §3.2
	const good = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n"
	p, err := ParsePolicy(good)
	if err != nil || p.Mode != ModeEnforce || p.MaxAge != 7*24*time.Hour || strings.Join(p.MX, " ") != "mail.example.com *.example.net" {
		t.Fatalf("%+v, %v", p, err)
	}
	for name, c := range map[string]struct {
		text string
		ok   bool
	}{
		"LF lines":           {strings.ReplaceAll(good, "\r\n", "\n"), true},
		"no last line end":   {strings.TrimSuffix(good, "\r\n"), true},
		"unknown field":      {good + "x-new: 1\r\n", true},
		"second mode":        {good + "mode: none\r\n", true},
		"none without mx":    {"version: STSv1\nmode: none\nmax_age: 1\n", true},
		"white space":        {"version:STSv1 \nmode:  enforce\t\nmx:a.example\nmax_age: 1\n", true},
		"a century":          {"version: STSv1\nmode: none\nmax_age: 3155760000\n", true},
		"other version":      {strings.Replace(good, "STSv1", "STSv2", 1), false},
		"no version":         {strings.Replace(good, "version: STSv1\r\n", "", 1), false},
		"other mode":         {strings.Replace(good, "enforce", "maybe", 1), false},
		"no max_age":         {strings.Replace(good, "max_age: 604800\r\n", "", 1), false},
		"negative max_age":   {strings.Replace(good, "604800", "-1", 1), false},
		"endless max_age":    {strings.Replace(good, "604800", "60480000000", 1), false},
		"enforce without mx": {"version: STSv1\nmode: enforce\nmax_age: 1\n", false},
		"star in the middle": {good + "mx: mail.*.com\r\n", false},
		"an address":         {good + "mx: a@b\r\n", false},
		"HTML":               {"<html>", false},
		"empty":              {"", false},
	} {
		p, err := ParsePolicy(c.text)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v, want it read: %v", name, err, c.ok)
		}
		if err == nil && p.MaxAge > maxMaxAge {
			t.Errorf("%s: max_age %s", name, p.MaxAge)
		}
	}
}

func TestMTASTSPatternIsOneLabel(t *testing.T) { // RFC 8461 §4.1
	p := &Policy{MX: []string{"mail.example.com", "*.example.net"}}
	for host, want := range map[string]bool{
		"mail.example.com": true, "MAIL.example.com.": true, "a.mail.example.com": false, "example.com": false,
		"a.example.net": true, "example.net": false, ".example.net": false, "a.b.example.net": false, "xexample.net": false,
	} {
		if got := p.Matches(host); got != want {
			t.Errorf("%s: %v, want %v", host, got, want)
		}
	}
}

func TestMTASTSRecordIsOne(t *testing.T) { // RFC 8461 §3.1
	for text, want := range map[string]string{
		"v=STSv1; id=20160831085700Z;":           "20160831085700Z",
		"v=STSv1;id=1":                           "1",
		"v=STSv1 ; foo=bar; id=abc ;":            "abc",
		"v=STSv1;":                               "",
		"v=STSv1; id=with-dash":                  "",
		"v=STSv1; id=" + strings.Repeat("1", 33): "",
		"v=STSv10; id=1":                         "",
		"v=spf1 -all":                            "",
		"":                                       "",
		"v=STSv1; id=1|v=STSv1; id=2":            "",
		"something|v=STSv1; id=7":                "7",
	} {
		id, ok := parseSTSRecord(strings.Split(text, "|"))
		if ok != (want != "") || ok && id != want {
			t.Errorf("%q: %q, %v; want %q", text, id, ok, want)
		}
	}
}

const enforceAll = "version: STSv1\nmode: enforce\nmx: *.mx.test\nmax_age: 864000\n"
const enforceOther = "version: STSv1\nmode: enforce\nmx: other.mx.test\nmax_age: 864000\n"

const policyPage = "mta-sts.to.test/.well-known/mta-sts.txt"

// A policy fetched while the clock was years ahead is an old one when it is right
// again: mail would wait for days, by a policy that nobody publishes any more.
func TestMTASTSPolicyOfAClockThatWasAheadIsAskedForAgain(t *testing.T) { // RFC 8461 §3.1, §3.3
	w := newWorld(t)
	w.net.Policy("to.test", "1", testnet.Page{Body: enforceOther})
	w.start()
	right := w.now
	for _, gone := range []bool{false, true} {
		w.now = right.AddDate(9, 0, 0)
		w.r.book.lookup(t.Context(), "to.test", Anew)
		w.now = right
		if gone {
			w.net.Forget("_mta-sts.to.test")
			w.r.book.refresh(t.Context())
			w.now = right.Add(11 * 24 * time.Hour) // longer than max_age
			if s := w.r.book.lookup(t.Context(), "to.test", Cached); s.Policy != nil {
				t.Errorf("a policy that was withdrawn holds beyond its max_age: %s", s)
			}
			break
		}
		w.net.Policy("to.test", "2", testnet.Page{Body: enforceAll})
		if s := w.r.book.lookup(t.Context(), "to.test", Cached); s.ID != "2" || !s.Policy.Matches("a.mx.test") {
			t.Errorf("the older policy is used: %s", s)
		}
	}
}

func TestMTASTSPolicyIsCachedAndHolds(t *testing.T) { // RFC 8461 §3.3, §5.1
	w := newWorld(t)
	w.net.Policy("to.test", "1", testnet.Page{Body: enforceAll})
	w.start()
	look := func(f Freshness) *STS { return w.r.book.lookup(t.Context(), "to.test", f) }
	if s := look(Cached); !s.enforced() || s.Err != nil {
		t.Fatalf("%s", s)
	}
	look(Cached)
	if n := w.net.Asked("TXT _mta-sts.to.test"); n != 1 {
		t.Errorf("DNS was asked %d times within an hour", n)
	}
	w.now = w.now.Add(2 * time.Hour)
	look(Cached)
	if n, f := w.net.Asked("TXT _mta-sts.to.test"), w.net.Fetched(policyPage); n != 2 || f != 1 {
		t.Errorf("after two hours DNS was asked %d times, the page %d times; want 2 and 1", n, f)
	}
	w.now = w.now.Add(25 * time.Hour)
	if look(Cached); w.net.Fetched(policyPage) != 2 {
		t.Errorf("a day later the page was asked for %d times", w.net.Fetched(policyPage))
	}
	w.net.Policy("to.test", "2", testnet.Page{Status: 404})
	w.now = w.now.Add(2 * time.Hour)
	if s := look(Cached); !s.enforced() || s.Err == nil || s.Failure != failFetch {
		t.Errorf("the new one cannot be fetched: %s, %v", s, s.Err)
	}
	if look(Fresh); w.net.Fetched(policyPage) != 3 {
		t.Errorf("the page was asked for %d times within five minutes of a failure", w.net.Fetched(policyPage))
	}
	w.net.Forget("_mta-sts.to.test")
	w.now = w.now.Add(2 * time.Hour)
	if s := look(Fresh); !s.enforced() {
		t.Errorf("the record is gone, the policy holds: %s", s)
	}
	w.net.Name("_mta-sts.to.test", testnet.Bogus)
	if s := look(Fresh); !s.enforced() || s.Err == nil {
		t.Errorf("DNS fails, the policy holds: %s", s)
	}
	w.now = w.now.Add(11 * 24 * time.Hour)
	if s := look(Fresh); s.Policy != nil || s.Err == nil {
		t.Errorf("it is over: %s", s)
	}
}

func TestMTASTSIsAskedAgainBeforeAFailureForGood(t *testing.T) { // RFC 8461 §5
	w := newWorld(t)
	w.host("a", "10", "10 requiretls")
	w.net.Policy("to.test", "1", testnet.Page{Body: enforceOther})
	w.start()
	if s := w.r.book.lookup(t.Context(), "to.test", Cached); !s.enforced() {
		t.Fatal(s)
	}
	w.net.Policy("to.test", "2", testnet.Page{Body: enforceAll})
	id := w.send([]string{"required"})
	s, _ := w.box.fate(id)
	w.fate(s, id, []string{"sent"})
}

func TestMTASTSPoliciesAreRefreshed(t *testing.T) { // RFC 8461 §10.2
	w := newWorld(t)
	w.net.Policy("to.test", "1", testnet.Page{Body: enforceAll})
	w.start()
	w.r.book.lookup(t.Context(), "to.test", Cached)
	w.r.book.refresh(t.Context())
	if n := w.net.Fetched(policyPage); n != 1 {
		t.Errorf("a young policy was fetched %d times", n)
	}
	w.now = w.now.Add(25 * time.Hour)
	w.r.book.refresh(t.Context())
	if n := w.net.Fetched(policyPage); n != 2 {
		t.Errorf("a policy of a day was fetched %d times", n)
	}
	w.net.Forget("_mta-sts.to.test")
	w.now = w.now.Add(30 * 24 * time.Hour)
	w.r.book.refresh(t.Context())
	if keys, err := w.r.opt.Policies.Keys(t.Context(), stsKey, "", 10); err != nil || len(keys) != 0 {
		t.Errorf("old policies are kept: %v, %v", keys, err)
	}
}

// The policies of gmail.com and others hold for a day. They are fetched again before
// that is over: else whoever cuts us off at its end has mail go without protection.
func TestMTASTSPolicyOfADayIsRefreshedBeforeItEnds(t *testing.T) { // RFC 8461 §3.3, §10.2
	for _, hold := range []time.Duration{24 * time.Hour, 90 * time.Minute} {
		for name, look := range map[string]func(*world){
			"by the housekeeping": func(w *world) { w.r.book.refresh(w.t.Context()) },
			"by a letter":         func(w *world) { w.r.book.lookup(w.t.Context(), "to.test", Cached) },
		} {
			w := newWorld(t)
			page := testnet.Page{Body: strings.Replace(enforceAll, "864000", fmt.Sprint(int(hold.Seconds())), 1)}
			w.net.Policy("to.test", "1", page)
			w.start()
			look(w)
			w.r.book.lookup(t.Context(), "to.test", Cached)
			w.now = w.now.Add(hold / 4)
			if look(w); w.net.Fetched(policyPage) != 1 {
				t.Errorf("one of %s, %s: a young policy was fetched %d times", hold, name, w.net.Fetched(policyPage))
			}
			w.now = w.now.Add(hold / 2)
			look(w)
			w.net.Policy("to.test", "1", testnet.Page{Status: 404}) // from here on we are cut off
			w.now = w.now.Add(hold * 2 / 5)
			if s := w.r.book.lookup(t.Context(), "to.test", Cached); !s.enforced() {
				t.Errorf("one of %s, %s: behind the end of the first one it is %s", hold, name, s)
			}
		}
	}
}

func TestManyLettersFetchOnePolicy(t *testing.T) {
	w := newWorld(t)
	w.host("a", "10", "10")
	w.net.Policy("to.test", "1", testnet.Page{Body: enforceAll})
	for range 20 {
		w.box.add(t, w.letter(requiretls.Usual(), carl), testBody, w.now)
	}
	stop := w.run()
	w.await(Sent, 20)
	stop()
	if n := w.net.Fetched(policyPage); n != 1 {
		t.Errorf("the policy was fetched %d times", n)
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add(enforceAll)
	f.Add("version: STSv1\r\nmode: none\r\nmax_age: 1")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePolicy(text)
		if err != nil {
			return
		}
		if p.Mode != ModeNone && len(p.MX) == 0 || p.MaxAge < 0 || p.MaxAge > maxMaxAge {
			t.Errorf("%q: %+v", text, p)
		}
		p.Matches("a.example.com")
	})
}

func FuzzTXTRecords(f *testing.F) {
	f.Add("v=STSv1; id=1", "v=TLSRPTv1; rua=mailto:a@b.example,https://c.example/r")
	f.Fuzz(func(t *testing.T, a, b string) {
		if id, ok := parseSTSRecord([]string{a, b}); ok && (id == "" || len(id) > 32) {
			t.Errorf("id %q", id)
		}
		for _, u := range parseTLSRPT([]string{a, b}) {
			if u.Scheme != "mailto" && u.Scheme != "https" {
				t.Errorf("place %q", u)
			}
		}
	})
}

func TestPolicyIsShownAndRefreshedWithoutARunningRelay(t *testing.T) {
	w := newWorld(t)
	w.sts([]string{"enforce", "mx=a.mx.test"})
	w.start()
	if s, err := w.r.Policy(t.Context(), "to.test", Cached); err != nil || s.Policy != nil || w.net.Asked("TXT _mta-sts.to.test") != 0 {
		t.Errorf("before anybody asked: %v, %v", &s, err)
	}
	for fetched := 1; fetched < 3; fetched++ {
		s, err := w.r.Policy(t.Context(), "to.test", Anew)
		if err != nil || s.Policy == nil || s.Policy.Mode != ModeEnforce || s.ID != "1" || !s.Expires().Equal(w.now.Add(24*time.Hour)) {
			t.Errorf("fetched: %v, %v", &s, err)
		}
		if n := w.net.Fetched("mta-sts.to.test/.well-known/mta-sts.txt"); n != fetched {
			t.Errorf("the policy was fetched %d times, want %d", n, fetched)
		}
	}
	w.sts([]string{"enforce", "mx=a.mx.test", "status=500"})
	if s, err := w.r.Policy(t.Context(), "to.test", Anew); err != nil || s.Policy == nil || s.Failure != failFetch {
		t.Errorf("its server broken: %v, %v, %q", &s, err, s.Failure)
	}
	if s, err := w.r.Policy(t.Context(), "to.test", Cached); err != nil || s.Policy == nil || s.Failure != failFetch {
		t.Errorf("kept of it: %v, %v, %q", &s, err, s.Failure)
	}
	if _, err := w.r.Policy(t.Context(), "no domain", Anew); err == nil {
		t.Error("no domain has a policy")
	}
}
