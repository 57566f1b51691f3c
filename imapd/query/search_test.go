package query_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"letterlock/imapd/query"
	"letterlock/imapd/syntax"
	"letterlock/internal/requiretls"
	"letterlock/storage"
)

var family = []letter{
	{text: `From: Ann Lee <ann@example.org>
To: Bob <bob@example.net>
Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?= aus Wien
Date: Sun, 1 Mar 2026 23:30:00 -0800
Message-ID: <one@example.org>
X-Odd: value =?iso-8859-1?Q?caf=E9?=

The Danube is blue.
`, flags: `\Seen $Work`},
	{text: `From: bob@example.net
To: ann@example.org
Cc: "Carol, of the office" <carol@example.com>
Subject: Re: invoice
Content-Type: text/plain; charset=koi8-r
Content-Transfer-Encoding: base64

6dfBzg==
`, flags: `\Flagged \Answered`, date: time.Date(2026, 2, 20, 23, 30, 0, 0, time.FixedZone("", 3600))},
	{text: `From: carol@example.com
Bcc: hidden@example.org
Subject: pictures
Content-Type: multipart/mixed; boundary=b

preamble
--b
Content-Type: text/html; name=page.html

<p>A <b>blue</b> picture
--b
Content-Type: image/png; name=danube.png

blue
--b--
`, flags: `\Draft`},
	{text: "Subject:\n\nno subject\n", flags: `\Deleted`},
}

// RFC 9051 §6.4.4 and RFC 3501 §6.4.4, every key.
func TestEverySearchKey(t *testing.T) {
	h := openHouse(t, family...)
	h.saved = []syntax.Range{{First: 2, Last: 2}, {First: 4, Last: 4}, {First: 99, Last: 99}}
	h.finds(map[string]string{
		"ALL": "1 2 3 4", "1:2": "1 2", "*": "4", "4:2": "2 3 4", "UID 3:*": "3 4", "UID 99:*": "4", "UID 7": "", "$": "2 4", "UID $": "2 4",
		"SEEN": "1", "UNSEEN": "2 3 4", "FLAGGED": "2", "UNFLAGGED": "1 3 4", "ANSWERED": "2", "UNANSWERED": "1 3 4",
		"DRAFT": "3", "UNDRAFT": "1 2 4", "DELETED": "4", "UNDELETED": "1 2 3", "KEYWORD $work": "1", "UNKEYWORD $Work": "2 3 4", "KEYWORD nobody": "",
		"RECENT": "", "OLD": "1 2 3 4", "NEW": "",
		"BEFORE 1-Mar-2026": "2", "ON 20-Feb-2026": "2", "SINCE 1-Mar-2026": "1 3 4", "ON 21-Feb-2026": "",
		"SENTON 1-Mar-2026": "1", "SENTBEFORE 1-Mar-2026": "", "SENTSINCE 1-Mar-2026": "1", "NOT SENTSINCE 1-Jan-1990": "2 3 4",
		"LARGER 250": "3", "SMALLER 30": "4", "LARGER 0 SMALLER 30": "4",
		"SUBJECT INVOICE": "2", "SUBJECT x": "", "SUBJECT \"\"": "1 2 3 4",
		"FROM ann": "1", "FROM \"Ann Lee <ann@example.org>\"": "1", "TO ann@": "2", "CC \"carol, OF\"": "2", "BCC hidden": "3", "BCC \"\"": "3", "FROM zeus": "",
		"HEADER Message-Id one@": "1", "HEADER X-Odd \"\"": "1", "HEADER Cc \"\"": "2", "HEADER X-None x": "",
		"BODY blue": "1 3", "TEXT danube": "1 3", "BODY danube": "1", "TEXT page.html": "3", "BODY \"<b>BLUE\"": "3", "BODY preamble": "", "TEXT wien": "1", "BODY wien": "",
		"TEXT \"\"": "1 2 3 4", "OR SEEN FLAGGED": "1 2", "NOT SEEN": "2 3 4", "NOT NOT SEEN": "1", "(SEEN TEXT blue)": "1", "OR (SEEN) (TEXT blue DRAFT)": "1 3", "NOT TEXT blue": "2 4",
		"KEYWORD $RequireTLS": "", "SAVEDATESUPPORTED": "1 2 3 4",
	})
}

// RFC 5255 §4.6, RFC 5051 §2: encodings and charsets are undone on both sides,
// and case does not count.
func TestTextsAreComparedWithoutTheirEncodings(t *testing.T) {
	h := openHouse(t, family...)
	for want, key := range map[string]syntax.Key{
		"1": syntax.Header{Field: "Subject", Value: "GRÜSSE"}, "1 ": syntax.Header{Field: "x-odd", Value: "CAFÉ"}, "2": syntax.Body{Value: "иВАН"}, " 1": syntax.Text{Value: "gru\u0308ße aus"},
	} {
		r, err := query.Search(t.Context(), h.mailbox(), key)
		if err != nil || numbers(r) != strings.TrimSpace(want) {
			t.Errorf("%v: got %s, %v; want %s", key, numbers(r), err, want)
		}
	}
}

// TestAddressesAreFoundAsTheyStandInTheHeader: RFC 9051 §6.4.4 has HEADER look
// into the text of the field, which the envelope has without quotes and comments;
// people paste addresses as they see them.
func TestAddressesAreFoundAsTheyStandInTheHeader(t *testing.T) {
	letters := []letter{
		{text: "From: \"Lee, Ann\" <ann@example.org>\nTo: undisclosed-recipients:;\nSubject: one\n\nHi\n"},
		{text: "From: Ann (at home) <ann@example.org>\nTo: \"a \\\"b\\\"\" <b@example.org>\nSubject: two (x)\n\nHi\n"},
	}
	for range 20 {
		letters = append(letters, letter{text: "From: Bob <bob@example.org>\nTo: Ann <ann@example.org>\nSubject: hello\n\nHi\n"})
	}
	h := openHouse(t, letters...)
	h.finds(map[string]string{
		`FROM "\"Lee, Ann\" <ann@"`: "1", `HEADER From "\"Lee, Ann\" <ann@"`: "1", `FROM "Lee, Ann <ann@"`: "1", `HEADER To "undisclosed-recipients:;"`: "1",
		`HEADER From "(at home)"`: "2", `TO "a \"b\" <b@"`: "2", `HEADER To "a \\\"b"`: "2", `SUBJECT "two (x"`: "2", `FROM "(no"`: "", `NOT FROM "(at" NOT FROM bob`: "1",
	})
}

// TestHeadersTooLongForAnEnvelopeAreSearched: of a letter to a whole town the
// envelope has some three thousand recipients, and of a still longer header not
// even the subject. Whoever comes later is found all the same.
func TestHeadersTooLongForAnEnvelopeAreSearched(t *testing.T) {
	town := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "someone.%d@example.org,\n ", i)
		}
		return "To: " + b.String() + "last@example.org\n"
	}
	letters := []letter{
		{text: town(5000) + "From: Mayor <mayor@example.org>\nSubject: to all\n\nHi\n"},
		{text: strings.Repeat(town(3000), 4) + "Subject: to many more\n\nHi\n"},
		{text: "To: last@example.org\nSubject: to one\n\nHi\n"},
	}
	for range 20 {
		letters = append(letters, letter{text: "To: first@example.org\nSubject: hello\n\nHi\n"})
	}
	h := openHouse(t, letters...)
	h.finds(map[string]string{
		"TO last@example.org": "1 2 3", "TO someone.4999@": "1", "TO someone.2999@": "1 2", "FROM mayor": "1", "SUBJECT \"many more\"": "2", "CC last": "",
		"NOT TO last NOT TO first": "", "OR TO someone.4999@ TO first@ SUBJECT all": "1", "FUZZY TO last": "1 2 3", "FUZZY SUBJECT many": "2", "NOT FUZZY TO last NOT TO first": "",
		"TO last HEADER subject to": "1 2 3", "BODY hi TO someone.4999@": "1",
	})
}

// RFC 5032 §2: to the second, and the edge is in both.
func TestWithinHasItsEdgeOnBothSides(t *testing.T) {
	h := openHouse(t, letter{text: "Subject: one\n\n", date: firstDate}, letter{text: "Subject: two\n\n", date: firstDate.Add(time.Minute)})
	h.now = firstDate.Add(time.Minute + 900*time.Millisecond)
	h.finds(map[string]string{"YOUNGER 60": "1 2", "YOUNGER 59": "2", "OLDER 60": "1", "OLDER 61": "", "OLDER 1": "1", "NOT YOUNGER 4294967295": ""})
}

// RFC 8514 §4.3.
func TestSaveDateKeys(t *testing.T) {
	h := openHouse(t, letter{text: "Subject: old\n\n", date: firstDate})
	day := time.Now().UTC()
	before, on, after := day.AddDate(0, 0, -2).Format("2-Jan-2006"), day.Format("2-Jan-2006"), day.AddDate(0, 0, 2).Format("2-Jan-2006")
	h.finds(map[string]string{
		"SAVEDSINCE " + before: "1", "SAVEDBEFORE " + before: "", "SAVEDBEFORE " + after: "1", "SAVEDSINCE " + after: "",
		"OR SAVEDON " + on + " SAVEDON " + day.AddDate(0, 0, 1).Format("2-Jan-2006"): "1",
	})
}

// RFC 7162 §3.1.5: the name of a metadata item is ignored where there is one
// modification sequence for all; the answer names the highest.
func TestModSeqKeyAndAnswer(t *testing.T) {
	h := openHouse(t, family...)
	h.flag(2, `\Seen`)
	m := h.mailbox()
	highest := m.View.At(1).ModSeq
	h.finds(map[string]string{
		fmt.Sprint("MODSEQ ", highest): "2", fmt.Sprint("MODSEQ ", highest+1): "", "MODSEQ 0": "1 2 3 4",
		fmt.Sprintf(`MODSEQ "/flags/\\draft" all %d`, highest): "2",
	})
	r, err := query.Search(t.Context(), m, h.keys("MODSEQ 1"))
	if err != nil || !r.ByModSeq || r.ModSeq() != highest {
		t.Errorf("got %+v, %v; want the highest to be %d", r, err, highest)
	}
	if r, err = query.Search(t.Context(), m, h.keys("ALL")); err != nil || r.ByModSeq {
		t.Errorf("got %+v, %v; want no modification sequence", r, err)
	}
}

// RFC 8474 §6.
func TestObjectIDKeys(t *testing.T) {
	h := openHouse(t, family...)
	rows, err := h.account.Rows(t.Context(), h.id, []storage.UID{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	h.finds(map[string]string{
		"EMAILID " + rows[1].EmailID.String(): "2", "THREADID " + rows[0].ThreadID.String(): "1", "EMAILID " + rows[0].ThreadID.String(): "",
		"OR EMAILID " + rows[0].EmailID.String() + " 2": "1 2",
	})
}

// RFC 7377 §2: numbers beyond the last message are no error of a search.
func TestNumbersThatNobodyHas(t *testing.T) {
	h := openHouse(t)
	h.finds(map[string]string{"1:*": "", "ALL": "", "UID 1:*": "", "1": "", "2:*": "", "*": "", "NOT 7": ""})
	h.deliver(family...)
	last := len(family)
	h.finds(map[string]string{
		fmt.Sprintf("%d:4294967295", last): fmt.Sprint(last), fmt.Sprintf("%d:*", last+5): fmt.Sprint(last), fmt.Sprintf("%d:%d", last+1, last+9): "",
		fmt.Sprintf("1 NOT %d", last+1): "1", "NOT 2:4294967295": "1",
	})
}

// RFC 5466 §3.1: filters stand for their keys, and for those of the filters they
// name; one that needs itself is as good as none.
func TestFilterKeys(t *testing.T) {
	h := openHouse(t, family...)
	h.filters = map[string]string{
		"blue": "TEXT blue", "two": "OR FILTER blue FLAGGED", "three": "NOT FILTER two", "four": "FILTER three 4",
		"loop": "OR SEEN FILTER again", "again": "FILTER LOOP", "wide": strings.Repeat("ALL ", 3000) + "FILTER wider", "wider": strings.Repeat("ALL ", 3000) + "ALL",
	}
	h.filters["LOOP"] = h.filters["loop"]
	h.finds(map[string]string{"FILTER blue": "1 3", "FILTER two": "1 2 3", "FILTER three": "4", "FILTER four": "4", "FILTER blue SEEN": "1"})
	for _, name := range []string{"none", "loop"} {
		_, err := query.Search(t.Context(), h.mailbox(), h.keys("OR SEEN FILTER "+name))
		var none *query.NoFilterError
		if !errors.As(err, &none) {
			t.Errorf("FILTER %s: %v, want NoFilterError", name, err)
		}
	}
	if _, err := query.Search(t.Context(), h.mailbox(), h.keys("FILTER wide")); !errors.Is(err, query.ErrNeedles) {
		t.Errorf("filters of 6,000 keys: %v, want %v", err, query.ErrNeedles)
	}
}

// RFC 6203 §3 and §4: words in any order, better matches score higher.
func TestFuzzyKeys(t *testing.T) {
	h := openHouse(t,
		letter{text: "Subject: about broken things\n\nIMAP breaks.\n"},
		letter{text: "Subject: IMAP break\n\nnothing\n"},
		letter{text: "Subject: break\n\nthe imap\n"},
		letter{text: "From: Müller <m@example.org>\nSubject: none\n\nunbreakable imap\n"},
	)
	h.finds(map[string]string{
		"FUZZY TEXT \"imap break\"": "1 2 3", "FUZZY SUBJECT \"break imap\"": "2", "FUZZY BODY imap": "1 3 4", "FUZZY FROM muller": "4", "FUZZY FROM uller": "",
		"FUZZY (TEXT imap SUBJECT break)": "2 3", "FUZZY HEADER subject none": "4", "FUZZY FLAGGED": "", "NOT FUZZY TEXT imap": "", "TEXT \"imap break\"": "1 2",
	})
	r, err := query.Search(t.Context(), h.mailbox(), h.keys("FUZZY TEXT \"imap break\""))
	if err != nil || len(r.Scores) != 3 {
		t.Fatalf("got %+v, %v; want three scores", r, err)
	}
	if s := r.Scores; s[1] != 100 || s[0] >= s[1] || s[2] >= s[1] || min(s[0], s[1], s[2]) < 1 {
		t.Errorf("scores are %v; want the second to be 100, and it to be the best", s)
	}
	if r, err := query.Search(t.Context(), h.mailbox(), h.keys("TEXT imap")); err != nil || r.Scores != nil {
		t.Errorf("without FUZZY: %v, %v; want no scores", r.Scores, err)
	}
}

// RFC 8689 §4.4: a key on the content of a withheld message is false, under NOT
// and OR, too; what everybody may know of it can be searched.
func TestKeysOnWithheldContentAreFalse(t *testing.T) {
	secret := "From: boss@example.org\nSubject: merger\nDate: Sun, 1 Mar 2026 10:00:00 +0000\nMessage-ID: <secret@example.org>\nX-Project: tulip\n\nWe buy them.\n"
	h := openHouse(t, letter{text: "Subject: lunch\n\nsoup\n"}, letter{text: secret, demand: requiretls.Required(), flags: `\Seen`})
	inTLS := map[string]string{
		"TEXT buy": "2", "BODY buy": "2", "SUBJECT merger": "2", "FROM boss": "2", "HEADER X-Project tulip": "2", "HEADER X-Project \"\"": "2", "HEADER Message-ID secret": "2",
		"SENTON 1-Mar-2026": "2", "NOT TEXT soup": "2", "FUZZY TEXT buy": "2", "NOT SENTSINCE 1-Jan-2000": "1", "TEXT \"\"": "1 2", "FROM \"\"": "2",
	}
	h.finds(inTLS)
	clear := h.as(inClear)
	clear.finds(map[string]string{
		"TEXT buy": "", "BODY buy": "", "SUBJECT merger": "", "FROM boss": "", "HEADER X-Project tulip": "", "HEADER X-Project \"\"": "", "HEADER Message-ID secret": "",
		"SENTON 1-Mar-2026": "", "NOT TEXT soup": "2", "NOT TEXT buy": "1 2", "FUZZY TEXT buy": "", "NOT SENTSINCE 1-Jan-2000": "1 2", "TEXT \"\"": "1", "FROM \"\"": "",
		"OR TEXT buy SEEN": "2", "NOT OR TEXT buy SUBJECT merger": "1 2", "NOT NOT SUBJECT merger": "",
		"KEYWORD $RequireTLS": "2", "LARGER 100": "2", "SINCE 1-Mar-2026": "1 2", "SEEN": "2", "UID 2": "2", "YOUNGER 99999999": "1 2",
	})
	rows, err := h.account.Rows(t.Context(), h.id, []storage.UID{2})
	if err != nil {
		t.Fatal(err)
	}
	h.finds(map[string]string{"THREADID " + rows[0].ThreadID.String(): "2"})
	clear.finds(map[string]string{"THREADID " + rows[0].ThreadID.String(): "", "EMAILID " + rows[0].EmailID.String(): "2"})
}

// A message that somebody else expunged is in the client's view, and not found.
func TestWhatWasExpungedIsNotFound(t *testing.T) {
	h := openHouse(t, family...)
	m := h.mailbox()
	h.expunge(3)
	for keys, gone := range map[string]int{"TEXT blue": 1, "SUBJECT pictures": 1, "LARGER 10": 1, "SEEN": 0} {
		r, err := query.Search(t.Context(), m, h.keys(keys))
		if err != nil || r.Gone != gone || strings.Contains(numbers(r), "3") {
			t.Errorf("SEARCH %s: got %s, %d gone, %v; want %d gone", keys, numbers(r), r.Gone, err, gone)
		}
	}
}

func TestSearchEndsWithItsContext(t *testing.T) {
	h := openHouse(t, family...)
	why := errors.New("the client left")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	for _, keys := range []string{"TEXT blue", "SUBJECT x", "LARGER 1"} {
		if _, err := query.Search(ctx, h.mailbox(), h.keys(keys)); !errors.Is(err, why) {
			t.Errorf("SEARCH %s: %v, want %v", keys, err, why)
		}
	}
}

func TestTooManyTextsAreRefused(t *testing.T) {
	h := openHouse(t, family...)
	var exact, same, fuzzy strings.Builder
	for i := range 257 {
		fmt.Fprintf(&exact, " NOT BODY a%d", i)
		same.WriteString(" NOT BODY same")
	}
	for i := range 17 {
		fmt.Fprintf(&fuzzy, " NOT FUZZY BODY a%d", i)
	}
	for _, keys := range []string{exact.String()[1:], fuzzy.String()[1:]} {
		if _, err := query.Search(t.Context(), h.mailbox(), h.keys(keys)); !errors.Is(err, query.ErrNeedles) {
			t.Errorf("got %v, want %v", err, query.ErrNeedles)
		}
	}
	h.finds(map[string]string{same.String()[1:]: "1 2 3 4"})
}

func TestProgressIsTold(t *testing.T) {
	var letters []letter
	for i := range 600 {
		letters = append(letters, letter{text: fmt.Sprintf("Subject: letter %d\n\nbody\n", i)})
	}
	h := openHouse(t, letters...)
	m := h.mailbox()
	var told []int
	m.Progress = func(done, total int) {
		if total != 600 {
			t.Errorf("of %d, want 600", total)
		}
		told = append(told, done)
	}
	if _, err := query.Search(t.Context(), m, h.keys("HEADER X-None x")); err != nil {
		t.Fatal(err)
	}
	if len(told) < 2 || told[len(told)-1] != 600 {
		t.Errorf("told %v, want the last to be 600", told)
	}
}
