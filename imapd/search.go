package imapd

import (
	"context"
	"errors"
	"fmt"

	"letterlock/imapd/query"
	"letterlock/imapd/syntax"
	"letterlock/storage"
)

// asked is the selected mailbox as this session sees it, to be searched.
func (s *session) asked(ctx context.Context) *query.Mailbox {
	m := s.askedOf(ctx, s.box.id, s.box.view)
	m.Keywords, m.Saved = s.box.keywords, s.box.saved
	if !s.rev2 {
		m.Recent = s.box.isRecent
	}
	return m
}

// askedOf is any mailbox of the account, to be searched.
func (s *session) askedOf(ctx context.Context, id storage.MailboxID, view *storage.View) *query.Mailbox {
	left := maxFilters
	return &query.Mailbox{
		Account: s.account.Account, ID: id, View: view, Gate: s.gate.judge,
		Filter:   func(name string) (syntax.And, error) { return s.namedFilter(ctx, name, &left) },
		Progress: s.progress(),
		Trouble: func(uid storage.UID, err error) {
			s.log.Error("message cannot be searched", "mailbox", id, "uid", uid, "err", err)
		},
		Cache: &s.srv.sorted,
	}
}

// search is SEARCH and UID SEARCH (RFC 9051 §6.4.4).
func (s *session) search(ctx context.Context, a *syntax.Search) (answer, error) {
	if err := s.freeTag(a); err != nil {
		return answer{}, err
	}
	r, err := query.Search(ctx, s.asked(ctx), a.Keys)
	if err != nil {
		return answer{}, s.searchFailed(a, err)
	}
	want := a.Return
	if want == 0 && s.rev2 {
		want = syntax.ReturnExtended | syntax.ReturnAll // RFC 9051 §6.4.4
	}
	s.results(a, want, r, syntax.AppendSearch)
	if err := s.follow(ctx, a, nil, r); err != nil {
		return answer{}, err
	}
	return s.searched(r.Gone, r.Damaged), nil
}

// sort is SORT and UID SORT (RFC 5256 §3, RFC 5267 §3).
func (s *session) sort(ctx context.Context, a *syntax.Sort) (answer, error) {
	if err := s.freeTag(&a.Search); err != nil {
		return answer{}, err
	}
	r, err := query.Sort(ctx, s.asked(ctx), a.Keys, a.By)
	if err != nil {
		return answer{}, s.searchFailed(&a.Search, err)
	}
	s.results(&a.Search, a.Return, r, syntax.AppendSort)
	if err := s.follow(ctx, &a.Search, a.By, r); err != nil {
		return answer{}, err
	}
	return s.searched(r.Gone, r.Damaged), nil
}

// thread is THREAD and UID THREAD (RFC 5256 §3).
func (s *session) thread(ctx context.Context, a *syntax.Thread) (answer, error) {
	t, err := query.Thread(ctx, s.asked(ctx), a)
	if err != nil {
		return answer{}, queryRefusal(err)
	}
	s.put(syntax.AppendThread(s.scratch[:0], t.Roots))
	return s.searched(t.Gone, t.Damaged), nil
}

// results writes what was found: ESEARCH where it was asked for, the SEARCH or
// SORT response otherwise. SAVE alone says nothing (RFC 5182 §2.1).
func (s *session) results(a *syntax.Search, want syntax.SearchReturn, r *query.Result, plain func([]byte, []uint32, uint64) []byte) {
	if r.ByModSeq {
		s.beAware() // RFC 7162 §3.1
	}
	e := &syntax.ESearch{Tag: s.tag, UID: a.UID, Return: want, Page: a.Partial}
	if want&syntax.ReturnSave != 0 {
		s.box.saved = r.Saved(e)
	}
	switch {
	case want == 0:
		modSeq := storage.ModSeq(0)
		if r.ByModSeq {
			modSeq = r.ModSeq()
		}
		s.put(plain(s.scratch[:0], r.Numbers(query.NumberingOf(a.UID)), uint64(modSeq)))
	case want&^syntax.ReturnExtended != syntax.ReturnSave:
		r.Answer(e)
		s.put(syntax.AppendESearch(s.scratch[:0], e))
	}
}

// searchFailed ends a search that was to save its result: a NO leaves it empty,
// a BAD as it is (RFC 9051 §6.4.4.1).
func (s *session) searchFailed(a *syntax.Search, err error) error {
	err = queryRefusal(err)
	if a.Return&syntax.ReturnSave != 0 && s.refuse(err).kind == "NO" {
		s.box.saved = nil
	}
	return err
}

// searched is the tagged answer of a search.
func (s *session) searched(gone, damaged int) answer {
	switch {
	case damaged > 0:
		return answer{"CORRUPTION", counted(damaged, "message", "messages") + " cannot be read"}
	case gone > 0:
		return answer{"EXPUNGEISSUED", s.verb + " completed"}
	}
	return answer{}
}

var (
	errSearchKey   = bad("Search key not offered")
	errRelevancy   = bad("RELEVANCY goes with FUZZY")
	errManyTexts   = no("LIMIT", "A search can look for up to 256 texts at once")
	errSearchTime  = no("LIMIT", "The search took longer than 5 minutes; search fewer messages")
	queryRefusals  = map[error]error{query.ErrKey: errSearchKey, query.ErrRelevancy: errRelevancy, query.ErrNeedles: errManyTexts, query.ErrTime: errSearchTime}
	errFilterThere = no("CANNOT", "The value of a filter is the keys of a SEARCH")
	errFilters     = no("LIMIT", fmt.Sprintf("The filters of a search may be %d KiB together", maxFilters>>10))
)

// queryRefusal says in IMAP what is wrong with a search.
func queryRefusal(err error) error {
	for known, says := range queryRefusals {
		if errors.Is(err, known) {
			return says
		}
	}
	var missing *query.NoFilterError
	if errors.As(err, &missing) { // RFC 5466 §3.1
		return no("UNDEFINED-FILTER "+missing.Name, "No such filter")
	}
	return err
}

// Where filters are kept (RFC 5466 §3.2), one's own before everybody's.
var filterEntries = []string{"/private/filters/values/", "/shared/filters/values/"}

// maxFilters is how many octets the filters of one search have together, each
// counted as often as it is named: a name costs the client little, and what it
// stands for may be a megabyte of keys.
const maxFilters = storage.MaxAnnotation

// namedFilter is the keys that a filter stands for (RFC 5466 §3.1). One that is
// no search is as if it were not there. left is what remains of maxFilters.
func (s *session) namedFilter(ctx context.Context, name string, left *int) (syntax.And, error) {
	for _, root := range filterEntries {
		list, err := s.annotations(ctx, 0, []string{root + name}, storage.DepthZero)
		if err != nil && !errors.Is(err, storage.ErrBadName) {
			return nil, err
		}
		if len(list) == 0 {
			continue
		}
		if *left -= len(list[0].Value); *left < 0 {
			return nil, errFilters
		}
		keys, err := syntax.ParseKeys(string(list[0].Value))
		if err != nil {
			return nil, storage.ErrNotFound
		}
		return keys, nil
	}
	return nil, storage.ErrNotFound
}
