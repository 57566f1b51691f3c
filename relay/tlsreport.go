package relay

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
)

// tlsReport is what a domain hears of a day (RFC 8460 §4.4).
type tlsReport struct {
	Organization string         `json:"organization-name"`
	Range        dateRange      `json:"date-range"`
	Contact      string         `json:"contact-info"`
	ID           string         `json:"report-id"`
	Policies     []*policyTally `json:"policies"`

	domain string
}

type dateRange struct {
	Start string `json:"start-datetime"`
	End   string `json:"end-datetime"`
}

const reportTries = 24 * time.Hour // RFC 8460 §5.5

// reportDays sends the reports of days that are over. One that cannot be sent
// is tried again for a day.
func (r *router) reportDays(ctx context.Context) {
	r.tally.flush(ctx)
	keys, err := r.tally.past(ctx)
	if err != nil {
		r.opt.Log.LogAttrs(ctx, slog.LevelWarn, "TLS reports cannot be read", slog.String("err", err.Error()))
		return
	}
	for _, key := range keys {
		if ctx.Err() != nil {
			return
		}
		err := r.reportDay(ctx, key)
		day, _, _ := strings.Cut(strings.TrimPrefix(key, tallyKey), "/")
		start, parseErr := time.Parse(dayFormat, day)
		if err != nil && parseErr == nil && r.opt.Now().Sub(start) < 24*time.Hour+reportTries {
			r.opt.Log.LogAttrs(ctx, slog.LevelInfo, "TLS report is tried again", slog.String("key", key), slog.String("err", err.Error()))
			continue
		}
		if err := r.opt.Policies.Put(ctx, key, nil); err != nil {
			r.opt.Log.LogAttrs(ctx, slog.LevelWarn, "TLS report cannot be removed", slog.String("key", key), slog.String("err", err.Error()))
		}
	}
}

// reportDay sends one report to every place that the domain names; one that
// takes it is enough.
func (r *router) reportDay(ctx context.Context, key string) error {
	dayText, domain, _ := strings.Cut(strings.TrimPrefix(key, tallyKey), "/")
	day, err := time.Parse(dayFormat, dayText)
	if err != nil {
		return nil // not ours to understand; it is removed
	}
	texts, err := r.opt.Resolver.TXT(ctx, "_smtp._tls."+domain)
	if err != nil {
		return err
	}
	places := parseTLSRPT(texts)
	counts, err := r.tally.load(ctx, key)
	if err != nil || len(places) == 0 {
		return err
	}
	report := r.compose(domain, day, counts)
	var errs []error
	for _, to := range places {
		if err := r.sendReport(ctx, report, to); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == len(places) {
		return errors.Join(errs...)
	}
	return nil
}

func (r *router) compose(domain string, day time.Time, counts *dayTally) *tlsReport {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	return &tlsReport{
		Organization: r.opt.Hostname,
		Range:        dateRange{day.Format(time.RFC3339), day.Add(24*time.Hour - time.Second).Format(time.RFC3339)},
		Contact:      r.opt.Postmaster.String(),
		ID:           hex.EncodeToString(id[:]) + "@" + r.opt.Hostname,
		Policies:     counts.Policies,
		domain:       domain,
	}
}

const maxReportPlaces = 5

// parseTLSRPT reads the rua of the TXT records at _smtp._tls (RFC 8460 §3).
func parseTLSRPT(texts []string) (places []*url.URL) {
	record, ok := oneRecord(texts, "v=TLSRPTv1")
	if !ok {
		return nil
	}
	for field := range strings.SplitSeq(record, ";") {
		key, value, _ := strings.Cut(strings.Trim(field, " \t"), "=")
		if key != "rua" {
			continue
		}
		for uri := range strings.SplitSeq(value, ",") {
			u, err := url.Parse(strings.TrimSpace(uri))
			if err == nil && (u.Scheme == "https" && u.Host != "" || u.Scheme == "mailto") && len(places) < maxReportPlaces {
				places = append(places, u)
			}
		}
	}
	return places
}

func (r *router) sendReport(ctx context.Context, report *tlsReport, to *url.URL) error {
	packed, err := report.packed()
	if err != nil {
		return err
	}
	if to.Scheme == "https" {
		return r.post(ctx, packed, to)
	}
	if r.opt.Submit == nil {
		return errors.New("reports by mail are not possible here")
	}
	addr, err := mailtoAddress(to)
	if err != nil {
		return err
	}
	return r.opt.Submit(ctx, report.letter(r.opt, addr, packed))
}

func mailtoAddress(u *url.URL) (mail.Address, error) {
	text, err := url.PathUnescape(u.Opaque)
	if err != nil {
		return mail.Address{}, err
	}
	a, err := mail.ParseAddress(text)
	if err == nil && a.Domain == "" {
		err = fmt.Errorf("%q is no address", text)
	}
	return a, err
}

// packed is the report as gzip (RFC 8460 §5.2).
func (t *tlsReport) packed() ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := json.NewEncoder(z).Encode(t); err != nil {
		return nil, err
	}
	err := z.Close()
	return b.Bytes(), err
}

// post delivers by HTTPS (RFC 8460 §5.4). Nothing is followed.
func (r *router) post(ctx context.Context, packed []byte, to *url.URL) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(packed))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/tlsrpt+gzip")
	client := r.book.httpClient()
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("post TLS report: HTTP status %d", resp.StatusCode)
	}
	return nil
}

// letter is the report as mail (RFC 8460 §5.3). It goes as "TLS-Required: No":
// what it reports must not stop it.
func (t *tlsReport) letter(opt Options, to mail.Address, packed []byte) *mail.Outbound {
	submitter := opt.Postmaster.Domain
	boundary := "tlsrpt-" + strings.ReplaceAll(t.ID, "@", "-")
	start, _ := time.Parse(time.RFC3339, t.Range.Start)
	end, _ := time.Parse(time.RFC3339, t.Range.End)
	var b bytes.Buffer
	for _, line := range []string{
		"From: " + t.Contact,
		"To: " + to.ALabels().String(),
		"Date: " + opt.Now().Format(time.RFC1123Z),
		"Message-ID: <" + t.ID + ">",
		"Subject: Report Domain: " + t.domain + "\r\n Submitter: " + submitter + "\r\n Report-ID: <" + t.ID + ">",
		"TLS-Report-Domain: " + t.domain,
		"TLS-Report-Submitter: " + submitter,
		"Auto-Submitted: auto-generated",
		"MIME-Version: 1.0",
		`Content-Type: multipart/report; report-type="tlsrpt";` + "\r\n boundary=\"" + boundary + `"`,
		"",
		"--" + boundary,
		"Content-Type: text/plain; charset=us-ascii",
		"",
		"This is an aggregate TLS report from " + submitter + " about " + t.domain + ".",
		"",
		"--" + boundary,
		"Content-Type: application/tlsrpt+gzip",
		"Content-Transfer-Encoding: base64",
		"Content-Disposition: attachment;\r\n filename=\"" + fmt.Sprintf("%s!%s!%d!%d.json.gz", submitter, t.domain, start.Unix(), end.Unix()) + `"`,
		"",
	} {
		b.WriteString(line + "\r\n")
	}
	for text := base64.StdEncoding.EncodeToString(packed); text != ""; {
		n := min(76, len(text))
		b.WriteString(text[:n] + "\r\n")
		text = text[n:]
	}
	b.WriteString("--" + boundary + "--\r\n")
	env := &mail.Envelope{ID: t.ID, From: opt.Postmaster, Demand: requiretls.Waived(), Received: opt.Now()}
	return env.Answer(mail.Answer{Kind: mail.Reported, From: opt.Postmaster, To: to, Text: b.Bytes()})
}
