package query_test

import (
	"fmt"
	"strings"
	"testing"

	"letterlock/imapd/query"
	"letterlock/imapd/syntax"
)

// answers is the ESEARCH response to a search or a sort of four letters, of which
// 4, 2 and 3 are found, or 2, 3, 4.
func answers(t *testing.T, h *house, uid bool, by string, want syntax.SearchReturn, page syntax.Paging, keys string) (line string, saved string) {
	t.Helper()
	var r *query.Result
	var err error
	if by == "" {
		r, err = query.Search(t.Context(), h.mailbox(), h.keys(keys))
	} else {
		r, err = query.Sort(t.Context(), h.mailbox(), h.keys(keys), sortedBy(by))
	}
	if err != nil {
		t.Fatal(err)
	}
	e := &syntax.ESearch{Tag: "t", UID: uid, Return: want | syntax.ReturnExtended, Page: page}
	r.Answer(e)
	line = strings.TrimSpace(strings.TrimPrefix(string(syntax.AppendESearch(nil, e)), `* ESEARCH (TAG "t")`))
	return line, string(syntax.AppendSet(nil, r.Saved(e)))
}

// RFC 9051 §7.3.4 and table 4, RFC 5267 §3.1 and §4.4, RFC 9394 §3.1 and table 1.
func TestAnswersAndWhatIsSaved(t *testing.T) {
	h := openHouse(t,
		letter{text: "Subject: gone\n\n"}, letter{text: "Subject: gone\n\n"}, // so that UIDs are not numbers
		letter{text: "Subject: x\n\n", flags: `\Seen`}, letter{text: "Subject: b\n\n"}, letter{text: "Subject: c\n\n"}, letter{text: "Subject: a\n\n"})
	h.expunge(1, 2)
	const (
		lowest  = syntax.ReturnMin
		highest = syntax.ReturnMax
		all     = syntax.ReturnAll
		count   = syntax.ReturnCount
		partial = syntax.ReturnPartial
	)
	none, first, last, beyond := syntax.Paging{}, syntax.Paging{First: 1, Last: 2}, syntax.Paging{First: 1, Last: 2, FromEnd: true}, syntax.Paging{First: 4, Last: 9}
	for _, c := range []struct {
		by          string
		uid         bool
		want        syntax.SearchReturn
		page        syntax.Paging
		line, saved string
	}{
		{"", false, all, none, "ALL 2:4", "4:6"},
		{"", true, all | lowest | highest | count, none, "UID MIN 4 MAX 6 ALL 4:6 COUNT 3", "4:6"},
		{"", false, lowest, none, "MIN 2", "4"},
		{"", false, highest, none, "MAX 4", "6"},
		{"", false, lowest | highest, none, "MIN 2 MAX 4", "4,6"},
		{"", false, lowest | count, none, "MIN 2 COUNT 3", "4:6"},
		{"", false, 0, none, "", "4:6"},
		{"", false, partial, first, "PARTIAL (1:2 2:3)", "4:5"},
		{"", true, partial, last, "UID PARTIAL (-1:-2 5:6)", "5:6"},
		{"", false, partial, beyond, "PARTIAL (4:9 NIL)", ""},
		{"", false, partial | highest, first, "MAX 4 PARTIAL (1:2 2:3)", "4:6"},
		{"", false, partial | lowest | highest, beyond, "MIN 2 MAX 4 PARTIAL (4:9 NIL)", "4,6"},
		{"", false, partial | count, first, "PARTIAL (1:2 2:3) COUNT 3", "4:6"},
		{"SUBJECT", false, all, none, "ALL 4,2:3", "4:6"},
		{"SUBJECT", true, lowest | highest | count, none, "UID MIN 6 MAX 5 COUNT 3", "4:6"},
		{"SUBJECT", false, lowest, none, "MIN 4", "6"},
		{"REVERSE SUBJECT", false, all, none, "ALL 3,2,4", "4:6"}, // RFC 5267 §3.2: no range counts down
		{"SUBJECT", false, partial, first, "PARTIAL (1:2 4,2)", "4,6"},
		{"SUBJECT", false, partial, last, "PARTIAL (-1:-2 2:3)", "4:5"},
	} {
		line, saved := answers(t, h, c.uid, c.by, c.want, c.page, "UNSEEN")
		if line != c.line || saved != c.saved {
			t.Errorf("%s %b %v: got %s, saved %s; want %s, saved %s", c.by, c.want, c.page, line, saved, c.line, c.saved)
		}
	}
	if line, saved := answers(t, h, false, "", all|lowest|highest|count, none, "FLAGGED"); line != "COUNT 0" || saved != "" {
		t.Errorf("nothing found: got %s, saved %s", line, saved)
	}
}

// RFC 4731 §3.2: the highest modification sequence of what the answer names.
func TestAnswersToModSeqKeys(t *testing.T) {
	h := openHouse(t, letter{text: "Subject: a\n\n"}, letter{text: "Subject: b\n\n"}, letter{text: "Subject: c\n\n"})
	h.flag(2, `\Seen`)
	v := h.mailbox().View
	for want, of := range map[syntax.SearchReturn]int{syntax.ReturnAll: 1, syntax.ReturnMin: 0, syntax.ReturnMax: 2, syntax.ReturnMin | syntax.ReturnMax: 2, syntax.ReturnCount | syntax.ReturnMin: 1} {
		line, _ := answers(t, h, false, "", want, syntax.Paging{}, "MODSEQ 1")
		if end := fmt.Sprintf(" MODSEQ %d", v.At(of).ModSeq); !strings.HasSuffix(line, end) {
			t.Errorf("%b: got %s, want it to end with%s", want, line, end)
		}
	}
	if line, _ := answers(t, h, false, "", syntax.ReturnAll, syntax.Paging{}, "MODSEQ 999999"); line != "" {
		t.Errorf("nothing found: got %s", line)
	}
}

// RFC 6203 §4 and §6: scores stand beside what is listed.
func TestAnswersWithRelevancy(t *testing.T) {
	h := openHouse(t, letter{text: "Subject: x\n\ntea\n"}, letter{text: "Subject: tea\n\n"}, letter{text: "Subject: x\n\nteapot\n"})
	const relevancy = syntax.ReturnRelevancy
	for _, c := range []struct {
		by   string
		want syntax.SearchReturn
		page syntax.Paging
		line string
	}{
		{"", syntax.ReturnAll | relevancy, syntax.Paging{}, "ALL 1:3 RELEVANCY (70 100 28)"},
		{"RELEVANCY", syntax.ReturnAll | relevancy, syntax.Paging{}, "ALL 2,1,3 RELEVANCY (100 70 28)"},
		{"RELEVANCY", syntax.ReturnPartial | relevancy, syntax.Paging{First: 1, Last: 2}, "PARTIAL (1:2 2,1) RELEVANCY (100 70)"},
	} {
		if line, _ := answers(t, h, false, c.by, c.want, c.page, "FUZZY TEXT tea"); line != c.line {
			t.Errorf("got %s, want %s", line, c.line)
		}
	}
}
