package imapd

import (
	"context"
	"errors"
	"strings"

	"letterlock/imapd/query"
	"letterlock/imapd/syntax"
	"letterlock/storage"
)

// multiSearch is ESEARCH (RFC 7377): a search in several mailboxes, each with
// an answer of its own where something was found, in UIDs.
func (s *session) multiSearch(ctx context.Context, a *syntax.MultiSearch) (answer, error) {
	if err := s.mayMultiSearch(a); err != nil {
		return answer{}, err
	}
	boxes, err := s.sources(ctx, a.In)
	if err != nil {
		return answer{}, err
	}
	gone, damaged := 0, 0
	for _, box := range boxes {
		r, err := s.searchIn(ctx, box, a)
		if errors.Is(err, storage.ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return answer{}, s.searchFailed(&a.Search, err)
		}
		gone, damaged = gone+r.Gone, damaged+r.Damaged
	}
	return s.searched(gone, damaged), nil
}

var errMultiNumbers = bad("Message numbers are of the selected mailbox alone")

// mayMultiSearch: RFC 7377 §2.2.
func (s *session) mayMultiSearch(a *syntax.MultiSearch) error {
	const ofSelected = syntax.ReturnSave | syntax.ReturnUpdate
	selected := false
	for _, f := range a.In {
		selected = selected || f.Kind == syntax.FilterSelected
	}
	switch {
	case s.box == nil && (selected || a.Return&ofSelected != 0):
		return bad("No mailbox selected")
	case !a.OnlySelected() && hasNumbers(a.Keys):
		return errMultiNumbers
	}
	return s.freeTag(&a.Search)
}

// searchIn searches one mailbox and writes its answer.
func (s *session) searchIn(ctx context.Context, box storage.Mailbox, a *syntax.MultiSearch) (*query.Result, error) {
	here := s.box != nil && s.box.id == box.ID
	var m *query.Mailbox
	if here {
		m = s.asked(ctx)
	} else {
		view, err := s.account.View(ctx, box.ID)
		if err != nil {
			return nil, err
		}
		m = s.askedOf(ctx, box.ID, view)
	}
	r, err := query.Search(ctx, m, a.Keys)
	if err != nil {
		return nil, err
	}
	e := &syntax.ESearch{Tag: s.tag, UID: true, Return: a.Return, Page: a.Partial}
	if here && a.Return&syntax.ReturnSave != 0 {
		s.box.saved = r.Saved(e)
	}
	if r.ByModSeq {
		s.beAware()
	}
	if len(r.Found) > 0 && a.Return&^syntax.ReturnExtended != syntax.ReturnSave {
		r.Answer(e)
		s.put(syntax.AppendESearchOf(s.scratch[:0], e, box.Name, box.UIDValidity, s.mode))
	}
	if here {
		return r, s.follow(ctx, &a.Search, nil, r)
	}
	return r, nil
}

// sources is the mailboxes that some filters name, each once, by name.
func (s *session) sources(ctx context.Context, filters []syntax.MailboxFilter) (named []storage.Mailbox, err error) {
	boxes, err := s.account.Mailboxes(ctx)
	if err != nil {
		return nil, err
	}
	for _, box := range boxes {
		for _, f := range filters {
			if s.filterNames(f, box) {
				named = append(named, box)
				break
			}
		}
	}
	return named, nil
}

// filterNames says whether a filter means a mailbox (RFC 5465 §6, RFC 7377
// §2.2). Scripts can file into any mailbox, so the inboxes are all of them (RFC
// 5465 §6.3).
func (s *session) filterNames(f syntax.MailboxFilter, box storage.Mailbox) bool {
	switch f.Kind {
	case syntax.FilterSelected, syntax.FilterSelectedDelayed:
		return s.box != nil && s.box.id == box.ID
	case syntax.FilterInboxes, syntax.FilterPersonal:
		return true
	case syntax.FilterSubscribed:
		return box.Subscribed
	}
	for _, name := range f.Mailboxes {
		below, isBelow := strings.CutPrefix(box.Name, name+string(delimiter))
		switch {
		case box.Name == name,
			f.Kind == syntax.FilterSubtree && isBelow,
			f.Kind == syntax.FilterSubtreeOne && isBelow && !strings.Contains(below, string(delimiter)):
			return true
		}
	}
	return false
}
