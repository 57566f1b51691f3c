package conformance_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"letterlock/imapd"
	"letterlock/internal/conformance"
	"letterlock/internal/serve"
)

// certificateFiles are a server's certificate, its key and the CA.
func certificateFiles(t *testing.T) (cert, key, ca string) {
	t.Helper()
	dir := t.TempDir()
	cert, key, err := serve.PrivateCA(dir, []string{"localhost", "127.0.0.1"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return cert, key, filepath.Join(dir, "ca.pem")
}

func run(t *testing.T, target conformance.Target) *conformance.Report {
	t.Helper()
	if target.Protocol == "" {
		target.Protocol = conformance.LMTP
	}
	report, err := conformance.Run(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			var b bytes.Buffer
			report.WriteTable(&b)
			t.Log(b.String())
		}
	})
	return report
}

// named lists the results that have a verdict.
func named(r *conformance.Report, v conformance.Verdict) (names []string) {
	for _, one := range r.Results {
		if one.Verdict == v {
			names = append(names, one.Name)
		}
	}
	return names
}

func want(t *testing.T, r *conformance.Report, v conformance.Verdict, names ...string) {
	t.Helper()
	if got := named(r, v); !slices.Equal(got, names) {
		t.Errorf("%s: %v, want %v", v, got, names)
	}
}

func TestOurServerKeepsEveryReceivingDuty(t *testing.T) {
	h := openHouse(t)
	report := run(t, h.target())
	want(t, report, conformance.Fail)
	want(t, report, conformance.NotOffered, "ret-full") // DSN is not listed
	want(t, report, conformance.Unseen)
	if got := h.connections(); got > conformance.MaxConnections {
		t.Errorf("%d connections, want at most %d", got, conformance.MaxConnections)
	}
}

// What is read is judged too: these are our own parts, joined wrongly.
func TestReadingIsJudgedByWhatIsShown(t *testing.T) {
	for name, one := range map[string]struct {
		change change
		fails  []string
	}{
		"passwords in clear":                {func(o *joints) { o.imap.Cleartext = imapd.Cleartext{Local: true} }, []string{"login-in-clear"}},
		"tagged mail shown in clear":        {showInClear, []string{"login-in-clear", "withheld-in-clear"}},
		"TLS-Required beats the option":     {func(o *joints) { o.judge = headerFirst }, []string{"option-wins"}},
		"every letter of a session tagged":  {func(o *joints) { o.judge = always }, []string{"tag-ends"}},
		"only the first recipient's tagged": {func(o *joints) { o.judge = firstAlone }, []string{"one-tag"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := openHouse(t, one.change)
			want(t, run(t, h.target()), conformance.Fail, one.fails...)
		})
	}
}

func TestTLSFromTheStartHasNothingToSayInClear(t *testing.T) {
	h := openHouse(t)
	target := h.target()
	target.Address, target.IMAP = h.implicit, ""
	report := run(t, target)
	want(t, report, conformance.Fail)
	want(t, report, conformance.Unseen, "not-listed-in-clear", "refused-in-clear", "tag-in-trace", "tag-ends", "option-wins",
		"one-tag", "injection", "fresh-session", "failed-handshake", "login-in-clear", "withheld-in-clear")
}

func TestUnixSocketIsAskedLikeAnyOther(t *testing.T) {
	h := openHouse(t)
	target := h.target()
	target.Address, target.ServerName = "unix:"+h.socket, "localhost"
	want(t, run(t, target), conformance.Fail)
}

func TestCertificateThatNamesAnotherHostIsThatRowsAffair(t *testing.T) {
	h := openHouse(t)
	target := h.target()
	target.ServerName, target.IMAP = "elsewhere.example", ""
	want(t, run(t, target), conformance.Fail, "certificate")
}

func TestPasswordIsKeptBackFromAnUnverifiedMailbox(t *testing.T) {
	h := openHouse(t)
	target := h.target()
	target.ServerName = "elsewhere.example"
	report := run(t, target)
	i := slices.IndexFunc(report.Results, func(r conformance.Result) bool { return r.Name == "tag-in-trace" })
	if got := report.Results[i]; got.Verdict != conformance.Unseen || !strings.Contains(got.Note, "kept back") {
		t.Errorf("%s, %q; want the password kept back", got.Verdict, got.Note)
	}
}

// Each fault is one that a server in use was seen to have, or could have.
func TestEachWrongServerFailsInItsRowAlone(t *testing.T) {
	for _, one := range []struct {
		fault fault
		fails []string
	}{
		{none, nil},
		{listsInClear, []string{"not-listed-in-clear"}},
		{takesInClear, []string{"refused-in-clear"}},
		{takesValue, []string{"value-refused"}},
		{takesRepeat, []string{"repeat-refused"}},
		{keywordWithArguments, []string{"keyword-is-bare"}},
		{upperCaseAlone, []string{"any-case"}},
		{shortLines, []string{"line-grows"}},
		{secondMailWins, []string{"second-mail"}},
		{resetKeepsRecipients, []string{"reset"}},
		{refusesHeader, []string{"header-taken", "header-ignored", "two-headers"}},
		{refusesTwoHeaders, []string{"two-headers"}},
		{refusesBounces, []string{"bounce-taken"}},
		{hangsUpOnOption, []string{"option-taken", "header-ignored", "recipients"}},
		{oldVersions, []string{"old-tls"}},
		{keepsStowaways, []string{"injection"}},
		{keepsTransaction, []string{"fresh-session"}},
		{clearAfterHandshake, []string{"failed-handshake"}},
	} {
		t.Run(string(one.fault), func(t *testing.T) {
			t.Parallel()
			s := openWrong(t, one.fault)
			want(t, run(t, s.target()), conformance.Fail, one.fails...)
		})
	}
}

func TestServerWithoutTheExtensionOffersNothingAndFailsNothing(t *testing.T) {
	s := openWrong(t, noExtension)
	report := run(t, s.target())
	want(t, report, conformance.Fail)
	if got := report.Results[0].Verdict; got != conformance.NotOffered {
		t.Errorf("listed-in-tls is %s, want not offered", got)
	}
	for _, name := range []string{"not-listed-in-clear", "refused-in-clear", "header-taken", "injection"} {
		if !slices.Contains(named(report, conformance.Pass), name) {
			t.Errorf("%s does not pass", name)
		}
	}
}

func TestSMTPIsGreetedWithEHLO(t *testing.T) {
	s := openWrong(t, speaksSMTP)
	target := s.target()
	target.Protocol = conformance.SMTP
	want(t, run(t, target), conformance.Fail)
}

func TestWhoCannotBeAskedIsAnError(t *testing.T) {
	h := openHouse(t)
	nobody := h.target()
	nobody.Recipients = []string{"nobody@example.org"}
	none := h.target()
	none.Recipients = nil
	odd := h.target()
	odd.Recipients = []string{"ann@example.org>\r\nRCPT TO:<bob@example.org"}
	gone := h.target()
	gone.Address = "unix:" + filepath.Join(t.TempDir(), "gone")
	for name, one := range map[string]struct {
		target conformance.Target
		says   string
	}{
		"recipient refused": {nobody, "nobody@example.org is answered 550"},
		"no recipient":      {none, "no recipient"},
		"two lines":         {odd, "is no address"},
		"nobody listens":    {gone, "gone"},
	} {
		one.target.Protocol = conformance.LMTP
		if _, err := conformance.Run(t.Context(), one.target); err == nil || !strings.Contains(err.Error(), one.says) {
			t.Errorf("%s: %v, want %q", name, err, one.says)
		}
	}
}

func TestReportIsReadByPeopleAndPrograms(t *testing.T) {
	s := openWrong(t, takesInClear)
	report := run(t, s.target())
	var table, raw bytes.Buffer
	if err := report.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"R5   RFC 8689 §2", "the option is refused outside TLS", "MAIL FROM:<ann@example.org> REQUIRETLS", " 1 fail, "} {
		if !strings.Contains(table.String(), part) {
			t.Errorf("the table lacks %q:\n%s", part, table.String())
		}
	}
	if err := report.WriteJSON(&raw); err != nil {
		t.Fatal(err)
	}
	var back struct {
		Results []struct{ Name, Verdict string }
	}
	if err := json.Unmarshal(raw.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if len(back.Results) != len(report.Results) {
		t.Fatalf("%d results in JSON, want %d", len(back.Results), len(report.Results))
	}
	for i, one := range back.Results {
		if one.Verdict != strings.ToLower(report.Results[i].Verdict.String()) {
			t.Errorf("%s is %q in JSON, want %s", one.Name, one.Verdict, report.Results[i].Verdict)
		}
	}
}

func TestPasswordIsInNoReport(t *testing.T) {
	h := openHouse(t)
	var raw bytes.Buffer
	if err := run(t, h.target()).WriteJSON(&raw); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(raw.String(), password) {
		t.Errorf("the report tells the password")
	}
}
