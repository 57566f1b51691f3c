package syntax

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestSortAndThread(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Args
	}{
		{`a UID SORT (REVERSE DATE displayfrom) "us-ascii" ALL UNSEEN`, &Sort{Search{UID: true, Keys: And{All{}, plainKeys["UNSEEN"]}}, []SortCriterion{{SortDate, true}, {Key: SortDisplayFrom}}}},
		{`a SORT RETURN (PARTIAL 10:1 COUNT) (RELEVANCY) UTF-8 FUZZY TEXT x`, &Sort{Search{Return: ReturnExtended | ReturnPartial | ReturnCount, // RFC 6203 §6
			Partial: Paging{10, 1, false}, Keys: And{Fuzzy{Text{"x"}}}}, []SortCriterion{{Key: SortRelevancy}}}},
		{`a SORT RETURN () (ARRIVAL CC FROM SIZE TO DISPLAYTO) UTF-8 ALL`, &Sort{Search{Return: ReturnExtended | ReturnAll, Keys: And{All{}}}, // RFC 5267 §3
			[]SortCriterion{{Key: SortArrival}, {Key: SortCc}, {Key: SortFrom}, {Key: SortSize}, {Key: SortTo}, {Key: SortDisplayTo}}}},
		{`a THREAD orderedsubject US-ASCII ALL`, &Thread{Algorithm: OrderedSubject, Keys: And{All{}}}},
		{`a UID THREAD REFERENCES UTF-8 1:5 DELETED`, &Thread{UID: true, Algorithm: References, Keys: And{Seqs{set(Range{1, 5})}, plainKeys["DELETED"]}}},
		{`a THREAD REFS UTF-8 TEXT x`, &Thread{Algorithm: Refs, Keys: And{Text{"x"}}}},
	} {
		got := one(t, 0, c.in).Args
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v\nwant %+v", c.in, got, c.want)
		}
	}
	// RFC 6855 §3 forbids the charset of SEARCH, not that of SORT, which must be there.
	if s := one(t, UTF8Accept, `a SORT (DATE) UTF-8 SUBJECT "ä"`).Args.(*Sort); !reflect.DeepEqual(s.Keys, And{Header{"SUBJECT", "ä"}}) {
		t.Errorf("%+v", s)
	}
}

func TestUpdateTakesItemsToFetch(t *testing.T) { // RFC 5465 §7
	for _, in := range []string{`RETURN (COUNT UPDATE (UID FLAGS)) FROM boss`, `RETURN (UPDATE(UID FLAGS) COUNT) FROM boss`} {
		s := one(t, 0, "a SEARCH "+in).Args.(*Search)
		if want := []FetchItem{{Kind: FetchUID}, {Kind: FetchFlags}}; !reflect.DeepEqual(s.Update, want) || s.Return != ReturnExtended|ReturnCount|ReturnUpdate {
			t.Errorf("%s: %+v", in, s)
		}
	}
}

func TestMultiSearch(t *testing.T) { // RFC 7377 §4 and its examples
	all := And{All{}}
	for _, c := range []struct {
		in   string
		want MultiSearch
	}{
		{`a ESEARCH ALL`, MultiSearch{Search{UID: true, Return: ReturnExtended | ReturnAll, Keys: all}, []MailboxFilter{{Kind: FilterSelected}}}},
		{`a ESEARCH IN (mailboxes "folder1" subtree "folder2") ALL`, MultiSearch{Search{UID: true, Return: ReturnExtended | ReturnAll, Keys: all},
			[]MailboxFilter{{FilterMailboxes, []string{"folder1"}}, {FilterSubtree, []string{"folder2"}}}}},
		{`a ESEARCH IN (selected subtree-one ("a" inbox) personal) RETURN (MIN COUNT) CHARSET UTF-8 ALL`, MultiSearch{Search{UID: true, Return: ReturnExtended | ReturnMin | ReturnCount, Keys: all},
			[]MailboxFilter{{Kind: FilterSelected}, {FilterSubtreeOne, []string{"a", "INBOX"}}, {Kind: FilterPersonal}}}},
		{`a ESEARCH IN (selected) RETURN (SAVE) ALL`, MultiSearch{Search{UID: true, Return: ReturnExtended | ReturnSave, Keys: all}, []MailboxFilter{{Kind: FilterSelected}}}},
	} {
		m := one(t, 0, c.in).Args.(*MultiSearch)
		if !reflect.DeepEqual(*m, c.want) {
			t.Errorf("%s: %+v\nwant %+v", c.in, *m, c.want)
		}
	}
}

func TestPagesOfAResult(t *testing.T) { // RFC 9394 §3.1
	for _, c := range []struct {
		p        Paging
		n        int
		from, to int
	}{
		{Paging{1, 100, false}, 1000, 0, 100},
		{Paging{901, 1100, false}, 1000, 900, 1000},
		{Paging{1001, 1100, false}, 1000, 1000, 1000},
		{Paging{1, 100, true}, 1000, 900, 1000},
		{Paging{1100, 901, true}, 1000, 0, 100},
		{Paging{1001, 1100, true}, 1000, 0, 0},
		{Paging{1, 4294967295, true}, 3, 0, 3},
		{Paging{1, 1, false}, 0, 0, 0},
		{Paging{}, 5, 0, 0},
	} {
		if from, to := c.p.Of(c.n); from != c.from || to != c.to {
			t.Errorf("%+v of %d: [%d, %d), want [%d, %d)", c.p, c.n, from, to, c.from, c.to)
		}
	}
}

func TestFiltersAreParsed(t *testing.T) { // RFC 5466 §3.2
	keys, err := ParseKeys(`OR FROM "ann" SUBJECT "bür" FILTER other`)
	if want := (And{Or{Header{"FROM", "ann"}, Header{"SUBJECT", "bür"}}, NamedFilter{"other"}}); err != nil || !reflect.DeepEqual(keys, want) {
		t.Errorf("%+v, %v; want %+v", keys, err, want)
	}
	for _, text := range []string{"", "BOGUS", "ALL ", "ALL)", "SUBJECT {3}", "SUBJECT {3+}", "(ALL", strings.Repeat("(", 600), "CHARSET UTF-8 ALL", "SUBJECT \"\xff\""} {
		if keys, err := ParseKeys(text); err == nil {
			t.Errorf("%.30q: %+v", text, keys)
		}
	}
}

func TestThreadResponses(t *testing.T) { // RFC 5256 §4
	leaf := func(n uint32) ThreadNode { return ThreadNode{Num: n} }
	for _, c := range []struct {
		threads []ThreadNode
		want    string
	}{
		{nil, "* THREAD\r\n"},
		{[]ThreadNode{leaf(2), {3, []ThreadNode{{6, []ThreadNode{{4, []ThreadNode{leaf(23)}}, {44, []ThreadNode{{7, []ThreadNode{leaf(96)}}}}}}}}}, "* THREAD (2)(3 6 (4 23)(44 7 96))\r\n"},
		{[]ThreadNode{{0, []ThreadNode{leaf(3), leaf(5)}}}, "* THREAD ((3)(5))\r\n"},
		{[]ThreadNode{{0, []ThreadNode{leaf(3)}}}, "* THREAD (3)\r\n"},
		{[]ThreadNode{{1, []ThreadNode{{0, []ThreadNode{leaf(3), leaf(5)}}, leaf(9)}}}, "* THREAD (1 ((3)(5))(9))\r\n"},
		{[]ThreadNode{{1, []ThreadNode{leaf(2), leaf(3)}}, leaf(4)}, "* THREAD (1 (2)(3))(4)\r\n"},
	} {
		if got := string(AppendThread(nil, c.threads)); got != c.want {
			t.Errorf("%+v: %q, want %q", c.threads, got, c.want)
		}
	}
}

// A thread as deep as a mailbox, forked at every step, is written all the same.
func TestDeepThread(t *testing.T) {
	node := ThreadNode{Num: 1}
	for n := uint32(2); n < 200000; n += 2 {
		node = ThreadNode{n, []ThreadNode{node, {Num: n + 1}}}
	}
	got := string(AppendThread(nil, []ThreadNode{node}))
	if strings.Count(got, "(") != strings.Count(got, ")") || !strings.Contains(got, "(4 (2 (1)(3))(5))") {
		t.Errorf("%.100q", got)
	}
}

func TestResultResponses(t *testing.T) {
	for _, c := range []struct{ got, want []byte }{
		{AppendESearch(nil, &ESearch{Tag: "A01", UID: true, Return: ReturnPartial | ReturnCount, Page: Paging{1, 100, true}, Partial: []Range{{5, 6}}, Count: 2}), // RFC 9394 §3.1
			[]byte("* ESEARCH (TAG \"A01\") UID PARTIAL (-1:-100 5:6) COUNT 2\r\n")},
		{AppendESearch(nil, &ESearch{Tag: "A04", UID: true, Return: ReturnPartial, Page: Paging{24000, 24500, false}}), []byte("* ESEARCH (TAG \"A04\") UID PARTIAL (24000:24500 NIL)\r\n")},
		{AppendESearch(nil, &ESearch{Tag: "C2", Return: ReturnAll | ReturnRelevancy, All: []Range{{5, 5}, {10, 10}, {1, 1}}, Relevancy: []uint8{99, 42, 4}}), // RFC 6203 §6
			[]byte("* ESEARCH (TAG \"C2\") ALL 5,10,1 RELEVANCY (99 42 4)\r\n")},
		{AppendESearch(nil, &ESearch{Tag: "B01", UID: true, Changes: []ContextChange{{AddTo, 0, []Range{{32768, 32769}}}, {RemoveFrom, 3, []Range{{9, 9}}}}}), // RFC 5267 §4.3
			[]byte("* ESEARCH (TAG \"B01\") UID ADDTO (0 32768:32769) REMOVEFROM (3 9)\r\n")},
		{AppendESearchOf(nil, &ESearch{Tag: "tag1", Return: ReturnAll, All: []Range{{4001, 4003}, {4005, 4005}}}, "b\u00fcr", 1, 0), // RFC 7377 §2.1
			[]byte("* ESEARCH (TAG \"tag1\" MAILBOX b&APw-r UIDVALIDITY 1) UID ALL 4001:4003,4005\r\n")},
		{AppendSearch(nil, []uint32{2, 5, 6}, 917162500), []byte("* SEARCH 2 5 6 (MODSEQ 917162500)\r\n")}, // RFC 7162 §3.1.6
		{AppendSearch(nil, []uint32{}, 917162500), []byte("* SEARCH\r\n")},
		{AppendSort(nil, []uint32{84, 2}, 0), []byte("* SORT 84 2\r\n")},
		{AppendNoUpdate(nil, "B02"), []byte(`NOUPDATE "B02"`)},
		{AppendVanished(nil, []Range{{405, 405}, {407, 410}}), []byte("* VANISHED 405,407:410\r\n")}, // RFC 7162 §3.2.10
		{AppendVanishedEarlier(nil, []Range{{41, 41}}), []byte("* VANISHED (EARLIER) 41\r\n")},
		{AppendModSeq(nil, 1<<63-1), []byte("MODSEQ (9223372036854775807)")},
		{AppendHighestModSeq(nil, 715194045007), []byte("HIGHESTMODSEQ 715194045007")},
		{AppendModified(nil, []uint32{7, 9}), []byte("MODIFIED 7,9")},
		{AppendQuota(nil, &Quota{"#user/alice", []QuotaResource{{"STORAGE", 54, 111}, {"MESSAGE", 42, 1000}}}, 0), []byte("* QUOTA \"#user/alice\" (STORAGE 54 111 MESSAGE 42 1000)\r\n")}, // RFC 9208 §4.1.3
		{AppendQuota(nil, &Quota{}, 0), []byte("* QUOTA \"\" ()\r\n")},
		{AppendQuotaRoot(nil, "INBOX", []string{"#user/alice", ""}, 0), []byte("* QUOTAROOT INBOX \"#user/alice\" \"\"\r\n")},
		{AppendBadEvent(nil, EventMessageNew|EventMessageExpunge|EventMailboxName), []byte("BADEVENT (MessageNew MessageExpunge MailboxName)")},
		{AppendInProgress(nil, "A001", 454, 1000), []byte(`INPROGRESS ("A001" 454 1000)`)},
		{AppendInProgress(nil, "A001", 175, 0), []byte(`INPROGRESS ("A001" 175 NIL)`)},
		{AppendStatus(nil, &StatusData{Mailbox: "x", Items: StatusDeletedStorage | StatusDeleted, Deleted: 4, DeletedSize: 8}, 0), []byte("* STATUS x (DELETED 4 DELETED-STORAGE 8)\r\n")},
	} {
		if string(c.got) != string(c.want) {
			t.Errorf("%q\nwant %q", c.got, c.want)
		}
	}
}

func TestMetadata(t *testing.T) { // RFC 5464 §4 and §5
	text, binary := "My own comment", "a\x00b"
	for _, c := range []struct {
		in   string
		want Args
	}{
		{`a GETMETADATA "" /shared/Comment`, &GetMetadata{Entries: []string{"/shared/comment"}, MaxSize: -1}},
		{`a GETMETADATA "inbox" (/shared/comment "/private/a b")`, &GetMetadata{Mailbox: "INBOX", Entries: []string{"/shared/comment", "/private/a b"}, MaxSize: -1}},
		{`a GETMETADATA INBOX (MAXSIZE 1024) (/shared/comment)`, &GetMetadata{Mailbox: "INBOX", Entries: []string{"/shared/comment"}, MaxSize: 1024}},
		{`a GETMETADATA (DEPTH infinity MAXSIZE 0) INBOX (/private/filters/values)`, &GetMetadata{Mailbox: "INBOX", Entries: []string{"/private/filters/values"}, Depth: DepthInfinity}},
		{`a GETMETADATA (DEPTH 1) x /a/b`, &GetMetadata{Mailbox: "x", Entries: []string{"/a/b"}, MaxSize: -1, Depth: DepthChildren}},
		{`a GETMETADATA INBOX /private/comment /shared/comment`, &GetMetadata{Mailbox: "INBOX", Entries: []string{"/private/comment", "/shared/comment"}, MaxSize: -1}},
		{`a SETMETADATA INBOX (/private/comment "My own comment" /shared/comment NIL)`, &SetMetadata{"INBOX", []MetadataEntry{{"/private/comment", &text}, {"/shared/comment", nil}}}},
		{"a SETMETADATA \"\" (/private/comment ~{3+}\r\na\x00b)", &SetMetadata{"", []MetadataEntry{{"/private/comment", &binary}}}},
	} {
		if got := one(t, 0, c.in).Args; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v\nwant %+v", c.in, got, c.want)
		}
	}
	got := AppendMetadataStart(nil, "INBOX", 0)
	got = AppendMetadataEntry(got, "/private/comment", []byte("My own comment"), 0)
	got = append(AppendMetadataEntry(append(got, ' '), "/private/b", []byte("a\x00b"), 0), ")\r\n"...)
	got = AppendMetadataNames(got, "", []string{"/shared/comment", "/private/a b"}, 0)
	want := "* METADATA INBOX (/private/comment \"My own comment\" /private/b ~{3}\r\na\x00b)\r\n* METADATA \"\" /shared/comment \"/private/a b\"\r\n"
	if string(got) != want {
		t.Errorf("%q\nwant %q", got, want)
	}
}

func TestNotify(t *testing.T) { // RFC 5465 §3, §6, §8
	both := EventMessageNew | EventMessageExpunge
	for _, c := range []struct {
		in   string
		want Notify
	}{
		{`a NOTIFY NONE`, Notify{}},
		{`a notify set status (selected (MessageNew (uid body.peek[header.fields (from)]) MessageExpunge)) (subtree Lists (messagenew MessageExpunge))`, Notify{Status: true, Groups: []EventGroup{
			{MailboxFilter{Kind: FilterSelected}, both, []FetchItem{{Kind: FetchUID}, {Kind: FetchBodySection, Peek: true, Section: Section{Text: HeaderFields, Fields: []string{"from"}}}}},
			{MailboxFilter{FilterSubtree, []string{"Lists"}}, both, nil}}}},
		{`a NOTIFY SET (selected MessageNew (uid) MessageExpunge)`, Notify{Groups: []EventGroup{{MailboxFilter{Kind: FilterSelected}, both, []FetchItem{{Kind: FetchUID}}}}}}, // the example of §3.1
		{`a NOTIFY SET (mailboxes (inbox "a b") (FlagChange MessageNew MessageExpunge MailboxName)) (personal (SubscriptionChange MailboxMetadataChange ServerMetadataChange))`, Notify{Groups: []EventGroup{
			{MailboxFilter{FilterMailboxes, []string{"INBOX", "a b"}}, both | EventFlagChange | EventMailboxName, nil},
			{MailboxFilter{Kind: FilterPersonal}, EventSubscriptionChange | EventMailboxMetadataChange | EventServerMetadataChange, nil}}}},
		{`a NOTIFY SET (selected-delayed NONE) (inboxes NONE) (subscribed (Bogus))`, Notify{Groups: []EventGroup{
			{MailboxFilter: MailboxFilter{Kind: FilterSelectedDelayed}}, {MailboxFilter: MailboxFilter{Kind: FilterInboxes}}, {MailboxFilter{Kind: FilterSubscribed}, EventUnknown, nil}}}},
	} {
		if got := one(t, 0, c.in).Args.(*Notify); !reflect.DeepEqual(*got, c.want) {
			t.Errorf("%s: %s\nwant %s", c.in, fmt.Sprintf("%+v", *got), fmt.Sprintf("%+v", c.want))
		}
	}
}
