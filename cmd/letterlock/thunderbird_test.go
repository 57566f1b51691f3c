package main

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
)

// TestThunderbird is a day of ann's with Thunderbird: she opens her mailbox over
// TLS, reads, marks, files and deletes, is told of a new letter while she looks,
// goes, and comes back. The server is asked each time by another client. Like
// TestIMAPPeers it runs where LETTERLOCK_PEERS is set.
func TestThunderbird(t *testing.T) {
	if os.Getenv("LETTERLOCK_PEERS") == "" {
		t.Skip("skipped: LETTERLOCK_PEERS is not set")
	}
	program, err := exec.LookPath("thunderbird")
	if err != nil {
		t.Skip("skipped: thunderbird is not installed")
	}
	for _, taste := range []struct{ name, prefs, says string }{
		{"as it comes", ``, "UID fetch 1:* (FLAGS)\n"},
		{"with CONDSTORE", `user_pref("mail.server.default.use_condstore", true);`, "UID fetch 1:* (FLAGS) (CHANGEDSINCE "},
	} {
		t.Run(taste.name, func(t *testing.T) {
			d := newDay(t, program, taste.prefs)
			d.open()
			d.read()
			d.markAndFile()
			d.searchAndWrite()
			d.hear()
			d.comeBack()
			if said := d.said(); !strings.Contains(said, taste.says) {
				t.Errorf("coming back it does not ask %q:\n%s", taste.says, said)
			}
		})
	}
}

// refused is an answer that Thunderbird's user would be told in a window.
var refused = regexp.MustCompile(`^\w+< \d+ (NO|BAD) `)

// day is ann, her Thunderbird, and the server.
type day struct {
	*thunderbird
	t       *testing.T
	program string
	dir     string
	town    *town
	server  *stage   // asked by other clients
	inbox   []string // subjects
}

// quietPrefs keep Thunderbird from asking, from looking for the Internet, and
// from fetching when ann does nothing.
const quietPrefs = `user_pref("marionette.port", 0);
user_pref("app.update.enabled", false);
user_pref("app.donation.eoy.version.viewed", 999);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("mail.server.default.autosync_offline_stores", false);
user_pref("mail.provider.suppress_dialog_on_startup", true);
user_pref("mail.shell.checkDefaultClient", false);
user_pref("mailnews.start_page.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("toolkit.telemetry.enabled", false);
`

func newDay(t *testing.T, program, prefs string) *day {
	t.Helper()
	w := newTown(t, "ann")
	d := &day{t: t, program: program, dir: t.TempDir(), town: w, server: &stage{dir: w.dir, server: w.child}}
	for _, name := range []string{"profile", "home"} {
		if err := os.Mkdir(filepath.Join(d.dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(d.dir, "profile/user.js"), []byte(quietPrefs+prefs), 0o600); err != nil {
		t.Fatal(err)
	}
	d.fill()
	d.start()
	return d
}

func (d *day) start() {
	d.t.Helper()
	b, err := startThunderbird(d.program, d.dir)
	if errors.Is(err, errWontStart) {
		d.t.Skipf("skipped: %v", err)
	}
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(b.killAll)
	d.thunderbird = b
}

// leaveOff ends Thunderbird, and says which of its commands were refused.
func (d *day) leaveOff() {
	d.t.Helper()
	if err := d.quit(); err != nil {
		d.t.Fatal(err)
	}
	for line := range strings.Lines(d.said()) {
		if refused.MatchString(line) {
			d.t.Errorf("the server refused a command: %s\n%s", line, d.said())
		}
	}
}

// act is what ann does in Thunderbird.
func (d *day) act(answer any, name string, args ...any) {
	d.t.Helper()
	if err := d.does(answer, name, args...); err != nil {
		d.t.Fatal(err)
	}
}

// keeps waits until a search on the server finds so many, as comes in
// TestIMAPPeers.
func (d *day) keeps(box string, n int, criteria ...string) {
	d.t.Helper()
	if err := d.server.comes(nil, append([]string{box, strconv.Itoa(n)}, criteria...)); err != nil {
		d.t.Fatalf("%v\n%s", err, d.said())
	}
}

// elsewhere is what ann does with a letter in another program.
func (d *day) elsewhere(subject string, does ...string) {
	d.t.Helper()
	c, err := d.server.logIn("INBOX")
	if err != nil {
		d.t.Fatal(err)
	}
	defer c.Close()
	found, err := c.Search(&imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Subject", Value: subject}}}, nil).Wait()
	if err != nil || len(found.AllSeqNums()) == 0 {
		d.t.Fatalf("a search for %s finds %v, %v", subject, found, err)
	}
	number := strconv.FormatUint(uint64(found.AllSeqNums()[0]), 10)
	if err := d.server.another(nil, append([]string{"INBOX", does[0], number}, does[1:]...)); err != nil {
		d.t.Fatal(err)
	}
}

const perThread = 4

// contract has every octet in it.
func contract() []byte {
	all := make([]byte, 256*300)
	for i := range all {
		all[i] = byte(i)
	}
	return all
}

// fill delivers what lies in the inbox when ann comes: threads, a letter with
// an attachment, and one that its sender tagged REQUIRETLS.
func (d *day) fill() {
	mta := d.mta()
	defer mta.conn.Close()
	for n := range 200 {
		first := n - n%perThread
		subject, refers := fmt.Sprintf("plan %03d", first), ""
		for before := first; before < n; before++ {
			refers += fmt.Sprintf(" <%d@example.net>", before)
		}
		if refers != "" {
			subject, refers = "Re: "+subject, "References:"+refers+"\r\n"
		}
		d.send(mta, "", subject, fmt.Sprintf("Message-ID: <%d@example.net>\r\n%s\r\nThis is number %d.", n, refers, n))
	}
	d.send(mta, "", "the contract", "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=cut\r\n\r\n"+
		"--cut\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nBitte prüfen.\r\n"+
		"--cut\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename*=utf-8''Vertr%C3%A4ge.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n"+
		base64Lines(contract())+"--cut--")
	d.send(mta, " REQUIRETLS", "under seal", "\r\nFor your eyes.")
}

// mta opens an LMTP session inside TLS.
func (d *day) mta() *line {
	d.t.Helper()
	clear, err := d.town.mta()
	if err == nil {
		err = clear.ask("STARTTLS", "^220 ")
	}
	if err != nil {
		d.t.Fatal(err)
	}
	l, err := newLine(tls.Client(clear.conn, &tls.Config{RootCAs: d.town.trust, ServerName: "localhost"}))
	if err := errors.Join(err, l.ask("LHLO mx.example.net", "^250 ")); err != nil {
		d.t.Fatal(err)
	}
	return l
}

// send delivers a letter; rest is its header from there on and its text.
func (d *day) send(mta *line, params, subject, rest string) {
	d.t.Helper()
	d.inbox = append(d.inbox, subject)
	for _, step := range [][2]string{
		{"MAIL FROM:<bob@example.net>" + params, "^250 "},
		{"RCPT TO:<ann@example.org>", "^250 "},
		{"DATA", "^354 "},
		{fmt.Sprintf("From: %s\r\nTo: ann@example.org\r\nDate: %s\r\nSubject: %s\r\n%s\r\n.", bob, time.Now().Format(time.RFC1123Z), subject, rest), "^250 "},
	} {
		if err := mta.ask(step[0], step[1]); err != nil {
			d.t.Fatalf("after %q: %v", step[0], err)
		}
	}
}

func base64Lines(octets []byte) string {
	var b strings.Builder
	for line := range slices.Chunk([]byte(base64.StdEncoding.EncodeToString(octets)), 76) {
		b.Write(line)
		b.WriteString("\r\n")
	}
	return b.String()
}

// seen is a letter in Thunderbird's list.
type seen struct {
	Subject string `json:"subject"`
	From    string `json:"from"`
	Read    bool   `json:"read"`
	Starred bool   `json:"starred"`
	Tags    string `json:"tags"`
}

// bob is who writes to ann.
const bob = "Bob <bob@example.net>"

// open is the first look: the account is made, and the inbox and the folders are
// shown.
func (d *day) open() {
	text, err := os.ReadFile(filepath.Join(d.town.dir, "data/tls/ca.pem"))
	if err != nil {
		d.t.Fatal(err)
	}
	ca, _ := pem.Decode(text)
	_, port, err := net.SplitHostPort(d.town.imaps)
	if err != nil {
		d.t.Fatal(err)
	}
	d.act(nil, "meetServer", ca.Bytes, port, password)
	var list []seen
	d.act(&list, "open", "Inbox", len(d.inbox))
	var subjects []string
	for _, letter := range list {
		subjects = append(subjects, letter.Subject)
		if letter.Read || letter.From != bob {
			d.t.Errorf("in the list is %+v, want an unread one of Bob's", letter)
		}
	}
	if slices.Sort(subjects); !slices.Equal(subjects, slices.Sorted(slices.Values(d.inbox))) {
		d.t.Errorf("the list shows %q, want %q", subjects, d.inbox)
	}
	var folders []string
	d.act(&folders, "folders", 6)
	if want := []string{"INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"}; !slices.Equal(folders, want) {
		d.t.Errorf("the folders are %q, want %q", folders, want)
	}
	d.threads()
}

func (d *day) threads() {
	type thread struct {
		Subject string
		Letters int
	}
	var threads []thread
	want := []thread{{"the contract", 1}, {"under seal", 1}}
	for n := range 200 / perThread {
		want = append(want, thread{fmt.Sprintf("plan %03d", n*perThread), perThread})
	}
	d.act(&threads, "threads")
	bySubject := func(a, b thread) int { return strings.Compare(a.Subject, b.Subject) }
	slices.SortFunc(threads, bySubject)
	if slices.SortFunc(want, bySubject); !slices.Equal(threads, want) {
		d.t.Errorf("the threads are %v, want %v", threads, want)
	}
}

// read opens a letter with an attachment, and one that may be read because ann
// came over TLS (RFC 8689 §4.4); then she takes all of them along.
func (d *day) read() {
	type page struct {
		Text        string
		Attachments []struct {
			Name   string
			Octets []int
		}
	}
	var letter, sealed page
	d.act(&letter, "read", "the contract")
	if !strings.Contains(letter.Text, "Bitte prüfen.") || len(letter.Attachments) != 1 || letter.Attachments[0].Name != "Verträge.bin" {
		d.t.Fatalf("the contract reads %.1000q, want its text and one attachment", fmt.Sprint(letter))
	}
	var want []int
	for _, octet := range contract() {
		want = append(want, int(octet))
	}
	if got := letter.Attachments[0].Octets; !slices.Equal(got, want) {
		d.t.Errorf("the attachment has %d octets, want %d, each as it was sent", len(got), len(want))
	}
	d.keeps("INBOX", 1, "seen", "subject=the contract")

	d.act(&sealed, "read", "under seal")
	if !strings.Contains(sealed.Text, "For your eyes.") {
		d.t.Errorf("the sealed letter reads %q", sealed.Text)
	}
	d.act(nil, "sees", "under seal", seen{Subject: "under seal", From: bob, Read: true, Tags: "$requiretls"})
	d.keeps("INBOX", 2, "seen")
	d.act(nil, "takeAlong")
}

// leave takes letters from what the inbox should have.
func (d *day) leave(subjects ...string) {
	d.inbox = slices.DeleteFunc(d.inbox, func(subject string) bool { return slices.Contains(subjects, subject) })
}

// markAndFile does to letters what one does to letters.
func (d *day) markAndFile() {
	d.act(nil, "star", "plan 000")
	d.act(nil, "tag", "plan 004", "$label1")
	d.act(nil, "markUnread", "the contract")
	d.act(nil, "archive", "plan 008")
	d.act(nil, "bin", "plan 012")
	d.act(nil, "destroy", "plan 016")
	d.leave("plan 008", "plan 012", "plan 016")
	d.keeps("INBOX", len(d.inbox), "all")
	d.keeps("INBOX", 1, "flagged")
	d.keeps("INBOX", 1, "flagged", "subject=plan 000")
	d.keeps("INBOX", 1, "keyword=$label1")
	d.keeps("INBOX", 1, "keyword=$label1", "subject=plan 004")
	d.keeps("INBOX", 0, "seen", "subject=the contract")
	d.keeps("Archive", 1, "all")
	d.keeps("Archive", 1, "subject=plan 008")
	d.keeps("Trash", 1, "all")
	d.keeps("Trash", 1, "subject=plan 012")
}

// searchAndWrite asks the server for a word, and keeps a draft there.
func (d *day) searchAndWrite() {
	var found []string
	d.act(&found, "search", "number 44.")
	if want := []string{"plan 044"}; !slices.Equal(found, want) {
		d.t.Errorf("the search finds %q, want %q", found, want)
	}
	draft := filepath.Join(d.dir, "draft.eml")
	if err := os.WriteFile(draft, []byte("From: ann@example.org\r\nSubject: not yet\r\n\r\nDear Bob\r\n"), 0o600); err != nil {
		d.t.Fatal(err)
	}
	d.act(nil, "draft", draft)
	d.keeps("Drafts", 1, "draft", "seen", "subject=not yet")
}

// hear is what IDLE tells: a new letter, and what she does elsewhere. News that
// comes with the answer to another command, Thunderbird leaves for later.
func (d *day) hear() {
	d.act(nil, "listen")
	d.act(nil, "star", "plan 020")
	d.awaits("INBOX> uid store 21 ")
	d.awaits("INBOX> IDLE")
	mta := d.mta()
	defer mta.conn.Close()
	d.send(mta, "", "by the way", "\r\nIt rains.")
	var heard string
	if d.act(&heard, "heard"); heard != "by the way" {
		d.t.Errorf("Thunderbird tells of %q, want the new letter", heard)
	}
	d.awaits("INBOX> IDLE")
	d.elsewhere("by the way", "flag", string(imap.FlagFlagged))
	d.act(nil, "sees", "by the way", seen{Subject: "by the way", From: bob, Starred: true})
	d.awaits("INBOX> IDLE")
	d.elsewhere("plan 024", "move", "Junk")
	d.act(nil, "misses", "plan 024")
	d.leave("plan 024")
}

func (d *day) awaits(command string) {
	d.t.Helper()
	if _, err := d.await(command); err != nil {
		d.t.Fatal(err)
	}
}

// comeBack looks again after a pause, in which other programs were busy.
func (d *day) comeBack() {
	d.leaveOff()
	mta := d.mta()
	defer mta.conn.Close()
	d.send(mta, "", "while you were out", "\r\nI came by.")
	d.elsewhere("by the way", "unflag", string(imap.FlagFlagged))
	d.elsewhere("plan 028", "flag", string(imap.FlagSeen))
	d.elsewhere("plan 032", "delete")
	d.leave("plan 032")
	d.start()
	d.act(nil, "open", "Inbox", len(d.inbox))
	for _, letter := range []seen{
		{Subject: "while you were out", From: bob},
		{Subject: "by the way", From: bob},
		{Subject: "plan 028", From: bob, Read: true},
		{Subject: "plan 000", From: bob, Starred: true},
		{Subject: "plan 004", From: bob, Tags: "$label1"},
	} {
		d.act(nil, "sees", letter.Subject, letter)
	}
	d.act(nil, "misses", "plan 032")
	for _, other := range []string{"Archive", "Trash", "Drafts"} {
		d.act(nil, "open", other, 1)
	}
	d.leaveOff()
}
