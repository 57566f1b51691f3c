package query_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"letterlock/imapd/query"
	"letterlock/imapd/syntax"
	"letterlock/internal/requiretls"
)

// thread is a THREAD of all: what the response says.
func (h *house) thread(how syntax.ThreadAlgorithm) string {
	h.Helper()
	threads, err := query.Thread(h.Context(), h.mailbox(), &syntax.Thread{Algorithm: how, Keys: syntax.And{syntax.All{}}})
	if err != nil {
		h.Fatal(err)
	}
	line := string(syntax.AppendThread(nil, threads.Roots))
	return strings.TrimSpace(strings.TrimPrefix(line, "* THREAD"))
}

// inThread is a letter by its subject, the hour it was sent at, its id and what
// it refers to.
func inThread(subject string, hour int, id string, refs ...string) letter {
	text := fmt.Sprintf("Subject: %s\nDate: %d Mar 2026 %02d:00:00 +0000\nMessage-ID: <%s@x>\n", subject, 1+hour/24, hour%24, id)
	if len(refs) > 0 {
		text += "References: <" + strings.Join(refs, "@x>\n <") + "@x>\n"
	}
	return letter{text: text + "\n"}
}

// RFC 5256 §3, the mailbox of A283 and A285: dates, subjects and references are
// made up so that they are what the examples show.
func TestThreadExamplesOfRFC5256(t *testing.T) {
	letters := make(map[int]letter)
	plain := func(n int) { letters[n] = inThread(fmt.Sprint("s", n), n, fmt.Sprint(n)) }
	for n := 166; n <= 208; n++ {
		plain(n)
	}
	set := func(n int, subject string, hour int, refs ...string) {
		letters[n] = inThread(subject, hour, fmt.Sprint(n), refs...)
	}
	// Hours are tenfold, so that there is room between them.
	for n := 166; n <= 208; n++ {
		set(n, fmt.Sprint("s", n), 10*(n-166))
	}
	set(172, "s172", 35)
	set(170, "s170", 40, "gone")
	set(179, "s179", 95, "gone")
	for _, n := range []int{174, 175, 176, 178} {
		set(n, "Re: picnic", 10*(n-166))
	}
	set(181, "Re: picnic", 125)
	set(180, "Re: picnic", 140)
	set(177, "Re: plans", 110)
	set(183, "Re: plans", 150)
	set(182, "Re: plans", 160)
	set(188, "Re: plans", 165)
	set(184, "Re: plans", 180, "188")
	set(185, "Re: plans", 190)
	set(186, "Re: plans", 200, "185")
	set(187, "Re: plans", 210)
	set(189, "Re: plans", 230, "188")
	set(194, "Re: tea", 280)
	set(195, "Re: tea", 290)
	set(196, "milk", 300, "195")
	set(197, "milk", 310)
	set(198, "Re: milk", 320)
	set(200, "sugar", 340)
	set(202, "Re: sugar", 360)
	set(205, "cake", 390)
	set(206, "pie", 400, "205")
	set(207, "Re: pie", 410, "205", "206")
	var all []letter
	for n := 166; n <= 208; n++ {
		all = append(all, letters[n])
	}
	h := openHouse(t, all...)
	for how, want := range map[syntax.ThreadAlgorithm]string{
		syntax.OrderedSubject: `(166)(167)(168)(169)(172)(170)(171)(173)(174 (175)(176)(178)(181)(180))(179)(177 (183)(182)(188)(184)(185)(186)(187)(189))(190)` +
			`(191)(192)(193)(194 195)(196 (197)(198))(199)(200 202)(201)(203)(204)(205)(206 207)(208)`,
		syntax.References: `(166)(167)(168)(169)(172)((170)(179))(171)(173)((174)(175)(176)(178)(181)(180))((177)(183)(182)(188 (184)(189))(185 186)(187))` +
			`(190)(191)(192)(193)((194)(195 196))(197 198)(199)(200 202)(201)(203)(204)(205 206 207)(208)`,
	} {
		threads, err := query.Thread(t.Context(), h.mailbox(), &syntax.Thread{Algorithm: how, Keys: syntax.And{syntax.All{}}})
		if err != nil {
			t.Fatal(err)
		}
		renumber(threads.Roots, 165)
		got := strings.TrimPrefix(strings.TrimSpace(string(syntax.AppendThread(nil, threads.Roots))), "* THREAD ")
		if got != want {
			t.Errorf("algorithm %d:\ngot  %s\nwant %s", how, got, want)
		}
	}
}

func renumber(nodes []syntax.ThreadNode, by uint32) {
	for i := range nodes {
		if nodes[i].Num != 0 {
			nodes[i].Num += by
		}
		renumber(nodes[i].Replies, by)
	}
}

func TestThreadOfNothing(t *testing.T) {
	h := openHouse(t)
	for _, how := range []syntax.ThreadAlgorithm{syntax.OrderedSubject, syntax.References, syntax.Refs} {
		if got := h.thread(how); got != "" {
			t.Errorf("got %s, want nothing", got)
		}
	}
}

// RFC 5256 §3, REFERENCES step by step.
func TestThreadReferences(t *testing.T) {
	for name, c := range map[string]struct {
		letters []letter
		want    string
	}{
		"answers":                      {[]letter{inThread("a", 1, "1"), inThread("b", 2, "2", "1"), inThread("c", 3, "3", "1", "2")}, "(1 2 3)"},
		"1.A: of truncated references": {[]letter{inThread("a", 1, "1"), inThread("b", 2, "2", "1"), inThread("c", 3, "3", "2")}, "(1 2 3)"},
		"1.A: a chain through the missing": {
			[]letter{inThread("a", 1, "1", "x", "y"), inThread("b", 2, "2", "x")}, "((1)(2))"},
		"1.A: two of one id":            {[]letter{inThread("a", 1, "1"), inThread("b", 2, "1"), inThread("c", 3, "3", "1")}, "(1 3)(2)"},
		"1.A: no loops":                 {[]letter{inThread("a", 1, "1", "2"), inThread("b", 2, "2", "1")}, "(2 1)"},
		"1.A: nobody answers himself":   {[]letter{inThread("a", 1, "1", "1")}, "(1)"},
		"1.A: quotes mean nothing":      {[]letter{inThread("a", 1, `"one"`), inThread("b", 2, "2", "one"), inThread("c", 3, "3", `"o\ne"`)}, "(1 (2)(3))"},
		"1.A: case does":                {[]letter{inThread("a", 1, "one"), inThread("b", 2, "2", "ONE")}, "(1)(2)"},
		"1.B: the last reference wins":  {[]letter{inThread("a", 1, "1"), inThread("b", 2, "2", "1", "3"), inThread("c", 3, "3", "9"), inThread("d", 4, "9")}, "(1)(4 3 2)"},
		"1.B: none parts from a parent": {[]letter{inThread("a", 1, "1"), inThread("b", 2, "2", "1", "3"), inThread("c", 3, "3")}, "(1)(3 2)"},
		"3: the missing in the middle":  {[]letter{inThread("a", 1, "1"), inThread("b", 2, "2", "1", "x", "y"), inThread("c", 3, "3", "1", "x")}, "(1 (2)(3))"},
		"3: the missing on top":         {[]letter{inThread("a", 1, "1", "x"), inThread("b", 2, "2", "x")}, "((1)(2))"},
		"3: one child of the missing":   {[]letter{inThread("a", 1, "1", "x", "y")}, "(1)"},
		"4: by date, not by number":     {[]letter{inThread("a", 5, "1"), inThread("b", 2, "2")}, "(2)(1)"},
		"4: by number where dates are one": {
			[]letter{inThread("a", 5, "1"), inThread("b", 5, "2"), inThread("c", 1, "3", "1"), inThread("d", 1, "4", "1")}, "(1 (3)(4))(2)"},
		"4: the missing by its first child": {[]letter{inThread("a", 9, "1", "x"), inThread("b", 2, "2", "x"), inThread("c", 3, "3")}, "((2)(1))(3)"},
		"5: a reply by its subject":         {[]letter{inThread("tea", 1, "1"), inThread("Re: TEA", 2, "2")}, "(1 2)"},
		"5: a reply before its original":    {[]letter{inThread("Re: tea", 1, "1"), inThread("tea", 2, "2")}, "(2 1)"},
		"5: two originals":                  {[]letter{inThread("tea", 1, "1"), inThread("tea", 2, "2"), inThread("Fwd: tea", 3, "3")}, "((1)(2)(3))"},
		"5: two replies":                    {[]letter{inThread("Re: tea", 1, "1"), inThread("tea (fwd)", 2, "2")}, "((1)(2))"},
		"5: the missing and a message": {
			[]letter{inThread("tea", 1, "1", "x"), inThread("b", 2, "2", "x"), inThread("tea", 3, "3")}, "((1)(2)(3))"},
		"5: twice the missing": {
			[]letter{inThread("tea", 1, "1", "x"), inThread("b", 2, "2", "x"), inThread("tea", 3, "3", "y"), inThread("c", 4, "4", "y")}, "((1)(2)(3)(4))"},
		"5: no subject joins nothing": {[]letter{inThread("", 1, "1"), inThread("Re:", 2, "2"), inThread("", 3, "3")}, "(1)(2)(3)"},
		"6: siblings by date":         {[]letter{inThread("a", 1, "1"), inThread("b", 9, "2", "1"), inThread("c", 3, "3", "1")}, "(1 (3)(2))"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := openHouse(t, c.letters...).thread(syntax.References); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// The references of In-Reply-To count where there are no others, the first of
// them.
func TestThreadInReplyTo(t *testing.T) {
	h := openHouse(t,
		inThread("a", 1, "1"),
		letter{text: "Subject: b\nDate: 1 Mar 2026 02:00:00 +0000\nIn-Reply-To: Your letter of Sunday <1@x> <9@x>\n\n"},
		letter{text: "Subject: c\nDate: 1 Mar 2026 03:00:00 +0000\nReferences: nothing to be read\nIn-Reply-To: <1@x>\n\n"},
	)
	if got := h.thread(syntax.References); got != "(1 (2)(3))" {
		t.Errorf("got %s, want (1 (2)(3))", got)
	}
}

// REFS: subjects join nothing, and the thread with the newest message is the
// last; inside, siblings are in the order of their dates.
func TestThreadRefs(t *testing.T) {
	h := openHouse(t,
		inThread("tea", 1, "1"), inThread("Re: tea", 9, "2", "1"), inThread("Re: tea", 4, "3", "1"), inThread("Re: tea", 5, "4"),
		inThread("x", 2, "5", "gone"), inThread("y", 7, "6", "gone"), inThread("z", 3, "7"))
	if got, want := h.thread(syntax.Refs), "(7)(4)((5)(6))(1 (3)(2))"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Messages without subject have one in common (RFC 5256 §3, ORDEREDSUBJECT).
func TestThreadOrderedSubject(t *testing.T) {
	h := openHouse(t, inThread("b", 5, "1"), inThread("Re: a", 9, "2"), inThread("a", 3, "3"), inThread("", 2, "4"), inThread("Re:", 8, "5"), inThread("[list] A", 4, "6"))
	if got, want := h.thread(syntax.OrderedSubject), "(4 5)(3 (6)(2))(1)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// RFC 8689 §4.4: which thread a withheld message belongs to is content.
func TestWithheldMessagesAreThreadsOfTheirOwn(t *testing.T) {
	secret := func(l letter) letter {
		l.demand = requiretls.Required()
		return l
	}
	h := openHouse(t, inThread("tea", 1, "1"), secret(inThread("Re: tea", 2, "2", "1")), inThread("Re: tea", 3, "3", "1", "2"), secret(inThread("Re: tea", 4, "4")), inThread("", 5, "5"), secret(inThread("", 6, "6")))
	for how, want := range map[syntax.ThreadAlgorithm]string{
		syntax.References: "(1 (2 3)(4))(5)(6)", syntax.Refs: "(1 2 3)(4)(5)(6)", syntax.OrderedSubject: "(1 (2)(3)(4))(5 6)",
	} {
		if got := h.thread(how); got != want {
			t.Errorf("over TLS: got %s, want %s", got, want)
		}
	}
	for how, want := range map[syntax.ThreadAlgorithm]string{
		syntax.References: "(1 3)(2)(4)(5)(6)", syntax.Refs: "(1 3)(2)(4)(5)(6)", syntax.OrderedSubject: "(1 3)(2)(4)(5)(6)",
	} {
		got := h.as(inClear).thread(how)
		if sortedThreads(got) != want {
			t.Errorf("in clear: got %s, want, in whatever order, %s", got, want)
		}
	}
}
func sortedThreads(s string) string {
	list := strings.SplitAfter(s, ")")
	slices.Sort(list)
	return strings.Join(list, "")
}
