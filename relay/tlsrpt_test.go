package relay

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/testnet"
)

func unpack(t *testing.T, packed []byte) *tlsReport {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	r := &tlsReport{}
	if err := json.NewDecoder(z).Decode(r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTLSReportOfADay(t *testing.T) { // RFC 8460 §4, §5
	w := newWorld(t)
	w.net.Policy("to.test", "1", testnet.Page{Body: enforceAll})
	w.host("a", "10", "10")
	w.host("b", "20", "20 cert=unknown")
	w.net.Record(`_smtp._tls.to.test. TXT "v=TLSRPTv1; rua=mailto:tls@to.test,https://reports.test/in"`)
	w.net.Page("reports.test", "/in", testnet.Page{Status: 201})
	var mailed []*mail.Outbound
	w.opt.Submit = func(_ context.Context, o *mail.Outbound) error { mailed = append(mailed, o); return nil }
	w.now = time.Date(w.now.Year(), w.now.Month(), w.now.Day(), 12, 0, 0, 0, time.UTC)
	w.send([]string{"usual"})
	w.hosts["a"].Change(func(h *testnet.Host) { h.Answers["MAIL"] = "451 4.3.0 later" })
	w.send([]string{"usual"})
	w.r.reportDays(t.Context())
	if len(mailed) != 0 || len(w.net.Posts()) != 0 {
		t.Fatal("a report was sent before its day was over")
	}
	w.now = w.now.Add(24 * time.Hour)
	w.r.reportDays(t.Context())
	posts := w.net.Posts()
	if len(posts) != 1 || posts[0].Type != "application/tlsrpt+gzip" || len(mailed) != 1 {
		t.Fatalf("%d posts, %d letters; log:\n%s", len(posts), len(mailed), w.log)
	}
	r := unpack(t, posts[0].Body)
	if r.Organization != "mail.ours.test" || r.Contact != "postmaster@mail.ours.test" || len(r.Policies) != 1 ||
		!strings.HasSuffix(r.Range.Start, "T00:00:00Z") || !strings.HasSuffix(r.Range.End, "T23:59:59Z") {
		t.Fatalf("%+v", r)
	}
	p := r.Policies[0]
	if p.Policy.Type != "sts" || p.Policy.Domain != "to.test" || p.Policy.MX[0] != "*.mx.test" || p.Policy.Text[1] != "mode: enforce" {
		t.Errorf("policy %+v", p.Policy)
	}
	if p.Summary.Failure != 1 || p.Summary.Success < 1 || len(p.Failures) != 1 || p.Failures[0].Result != "certificate-not-trusted" || p.Failures[0].Host != "b.mx.test" {
		t.Errorf("counts %+v, failures %+v", p.Summary, p.Failures)
	}
	o := mailed[0]
	body, err := io.ReadAll(first(o.Reader(nil, mail.FullForm)))
	if err != nil {
		t.Fatal(err)
	}
	if !o.Demand().IsWaived() || o.Kind != mail.Reported || !strings.HasPrefix(string(body), "TLS-Required: No\r\n") { // RFC 8460 §5.3
		t.Errorf("the letter demands %v:\n%s", o.Demand(), body)
	}
	for _, line := range []string{"TLS-Report-Domain: to.test\r\n", "TLS-Report-Submitter: mail.ours.test\r\n", `report-type="tlsrpt"`, "Subject: Report Domain: to.test\r\n Submitter: mail.ours.test\r\n Report-ID: <"} {
		if !strings.Contains(string(body), line) {
			t.Errorf("no %q in\n%s", line, body)
		}
	}
	_, b64, _ := strings.Cut(string(body), "json.gz\"\r\n\r\n")
	b64, _, _ = strings.Cut(b64, "--tlsrpt")
	packed, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(b64, "\r\n", ""))
	if err != nil || unpack(t, packed).ID != r.ID {
		t.Errorf("the report in the letter: %v", err)
	}
	w.r.reportDays(t.Context())
	if len(mailed) != 1 {
		t.Error("the report was sent again")
	}
}

func first(r io.Reader, _ int64) io.Reader { return r }

func TestTLSReportsSayNothingOfThemselves(t *testing.T) { // RFC 8460 §5.3
	w := newWorld(t)
	w.host("a", "10", "10 clear")
	w.start()
	env := &mail.Envelope{ID: "r", From: bob, Demand: demandWords["waived"], Received: w.now}
	id := w.box.add(t, env.Answer(mail.Answer{Kind: mail.Reported, From: bob, To: carl, Text: []byte("Subject: report\r\n\r\n")}), "", w.now)
	if _, err := w.r.carry(t.Context(), id, &place{}); err != nil {
		t.Fatal(err)
	}
	if len(w.hosts["a"].Got()) != 1 {
		t.Errorf("the report did not arrive; log:\n%s", w.log)
	}
	if w.r.tally.flush(t.Context()); len(w.r.tally.days) != 0 {
		t.Error("the report was counted")
	}
	if keys, err := w.r.opt.Policies.Keys(t.Context(), tallyKey, "", 10); err != nil || len(keys) != 0 {
		t.Errorf("counts of it are kept: %v, %v", keys, err)
	}
}

func TestTLSReportIsTriedForADay(t *testing.T) { // RFC 8460 §5.5
	w := newWorld(t)
	w.host("a", "10", "10")
	w.net.Record(`_smtp._tls.to.test. TXT "v=TLSRPTv1; rua=https://reports.test/in"`)
	w.net.Page("reports.test", "/in", testnet.Page{Status: 503})
	w.send([]string{"usual"})
	kept := func() int {
		keys, err := w.r.opt.Policies.Keys(t.Context(), tallyKey, "", 10)
		if err != nil {
			t.Fatal(err)
		}
		return len(keys)
	}
	w.now = w.now.UTC().Truncate(24 * time.Hour).Add(30 * time.Hour)
	if w.r.reportDays(t.Context()); kept() != 1 {
		t.Fatal("a report that could not be sent is gone")
	}
	w.now = w.now.Add(24 * time.Hour)
	if w.r.reportDays(t.Context()); kept() != 0 {
		t.Error("a report that nobody takes is kept for ever")
	}
}

func TestWhereTLSReportsGo(t *testing.T) { // RFC 8460 §3
	for text, want := range map[string]string{
		"v=TLSRPTv1;rua=mailto:a@b.example":                               "mailto:a@b.example",
		"v=TLSRPTv1; rua=mailto:a@b.example, https://c.example/r ; x=y;":  "mailto:a@b.example https://c.example/r",
		"v=TLSRPTv1; rua=http://c.example/r,file:///etc/passwd,https:///": "",
		"v=TLSRPTv1; rua=mailto:a@b.example|v=TLSRPTv1; rua=mailto:c@d":   "",
		"v=TLSRPTv2; rua=mailto:a@b.example":                              "",
	} {
		var got []string
		for _, u := range parseTLSRPT(strings.Split(text, "|")) {
			got = append(got, u.String())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %v, want %s", text, got, want)
		}
	}
	if a, err := mailtoAddress(&url.URL{Scheme: "mailto", Opaque: "tls%2Breports@b.example"}); err != nil || a.Local != "tls+reports" {
		t.Errorf("%v, %v", a, err)
	}
}

// Reports are a courtesy; a policy that is remembered is what stops a downgrade.
func TestManyDomainsToReportToLeaveRoomForPolicies(t *testing.T) {
	w := newWorld(t)
	w.net.Policy("to.test", "1", testnet.Page{Body: enforceAll})
	w.start()
	for i := range maxRemembered {
		w.r.tally.add(fmt.Sprintf("d%d.test", i), policyText{Type: "no-policy-found"}, nil)
		if i%maxDomains == maxDomains-1 {
			w.r.tally.flush(t.Context())
		}
	}
	w.r.book.lookup(t.Context(), "to.test", Cached)
	if kept := w.r.book.kept(t.Context(), "to.test"); kept.Policy == nil {
		t.Errorf("the policy of to.test is not remembered: %v; log:\n%s", &kept, w.log)
	}
	if past, err := w.r.tally.policies.Keys(t.Context(), tallyKey, "", maxRemembered); err != nil || len(past) != maxKept {
		t.Errorf("%d domains are kept for their reports, %v, want %d", len(past), err, maxKept)
	}
}
