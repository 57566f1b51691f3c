package imapd

import (
	"context"
	"slices"
	"time"

	"letterlock/imapd/query"
	"letterlock/imapd/syntax"
	"letterlock/storage"
)

const (
	// maxContexts is how many results one session can have kept up to date.
	maxContexts = 16
	// maxContextOctets is about how many octets all of them may take, searches and
	// results. One is always kept (RFC 5267 §4.3.1), if its search takes no more.
	maxContextOctets = 512 << 10
	// updateTime is how long all of them may take to follow what happened: the client
	// waits meanwhile, and nobody searches as much for fun.
	updateTime = 10 * time.Second
)

// followed is a search whose result is kept up to date until its mailbox is left
// or the client cancels it (RFC 5267 §4.3).
type followed struct {
	*query.Context
	tag   string
	uid   bool
	items []syntax.FetchItem // to fetch of what comes in (RFC 5465 §7)
}

var errTagReuse = bad("Tag reuse")

// freeTag refuses an UPDATE whose tag another one has (RFC 5267 §4.3).
func (s *session) freeTag(a *syntax.Search) error {
	used := func(f *followed) bool { return f.tag == s.tag }
	if a.Return&syntax.ReturnUpdate != 0 && s.box != nil && slices.ContainsFunc(s.box.followed, used) {
		return errTagReuse
	}
	return nil
}

// follow keeps a result up to date where UPDATE asks for it. by is nil for a
// search.
func (s *session) follow(ctx context.Context, a *syntax.Search, by []syntax.SortCriterion, r *query.Result) error {
	if a.Return&syntax.ReturnUpdate == 0 {
		return nil
	}
	if len(s.box.followed) >= maxContexts {
		s.noUpdate(s.tag)
		return nil
	}
	c, err := query.NewContext(s.asked(ctx), a.Keys, by, r)
	if err != nil {
		return queryRefusal(err)
	}
	if c.KeyOctets() > maxContextOctets {
		s.noUpdate(s.tag)
		return nil
	}
	s.box.followed = append(s.box.followed, &followed{c, s.tag, a.UID, a.Update})
	s.boundContexts()
	return nil
}

// boundContexts gives up the latest results where all together take too much.
func (s *session) boundContexts() {
	octets := 0
	for k, f := range s.box.followed {
		if octets += f.Octets(); k == 0 || octets <= maxContextOctets {
			continue
		}
		for _, late := range s.box.followed[k:] {
			s.noUpdate(late.tag)
		}
		s.box.followed = slices.Delete(s.box.followed, k, len(s.box.followed))
		return
	}
}

// noUpdate says that a result stays as it is (RFC 5267 §4.3.1), from now on or at
// all.
func (s *session) noUpdate(tag string) {
	b := append(s.scratch[:0], "* NO ["...)
	s.put(append(syntax.AppendNoUpdate(b, tag), "] Too much to be kept up to date\r\n"...))
}

// cancelUpdate is CANCELUPDATE (RFC 5267 §4.3.5).
func (s *session) cancelUpdate(a *syntax.CancelUpdate) (answer, error) {
	s.box.followed = slices.DeleteFunc(s.box.followed, func(f *followed) bool { return slices.Contains(a.Tags, f.tag) })
	return answer{}, nil
}

// arrivals is what came into a followed result: to be told after EXISTS.
type arrivals struct {
	*followed
	added []syntax.ContextChange
}

// leaving takes the followed results to a new view and tells what left them:
// before any EXPUNGE, as long as its numbers are right (RFC 5267 §4.3.4). A result
// that cannot follow is given up: its numbers would soon be wrong.
func (s *session) leaving(ctx context.Context, now *storage.View) (come []arrivals) {
	if len(s.box.followed) == 0 {
		return nil
	}
	ctx, stop := s.attend(ctx)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, updateTime)
	defer cancel()
	s.box.followed = slices.DeleteFunc(s.box.followed, func(f *followed) bool {
		m := s.asked(ctx)
		m.View, m.Keywords, m.Progress = now, nil, nil
		u, err := f.Update(ctx, m, query.NumberingOf(f.uid))
		if err != nil {
			s.log.Warn("search result not updated", "tag", f.tag, "err", err)
			s.noUpdate(f.tag)
			return true
		}
		s.contextChanges(f, u.Removed)
		if len(u.Added) > 0 {
			come = append(come, arrivals{f, u.Added})
		}
		return false
	})
	return come
}

// arrive tells what came into the followed results (RFC 5267 §4.3.3), and then of
// messages that are new to the mailbox, from index first on, what the client wants
// to know (RFC 5465 §5.2: no FETCH before an ADDTO, §7).
func (s *session) arrive(ctx context.Context, come []arrivals, first int) error {
	for _, a := range come {
		s.contextChanges(a.followed, a.added)
	}
	for _, a := range come {
		if len(a.items) == 0 {
			continue
		}
		for _, c := range a.added {
			set, err := s.indices(syntax.Set{Ranges: c.Set}, a.uid)
			if err != nil {
				return err
			}
			set = slices.DeleteFunc(set, func(i int) bool { return i < first })
			slices.Sort(set)
			if err := s.fetchUnasked(ctx, set, a.items); err != nil {
				return err
			}
		}
	}
	s.boundContexts()
	return nil
}

func (s *session) contextChanges(f *followed, changes []syntax.ContextChange) {
	if len(changes) == 0 {
		return
	}
	s.put(syntax.AppendESearch(s.scratch[:0], &syntax.ESearch{Tag: f.tag, UID: f.uid, Changes: changes}))
}

// fetchUnasked writes FETCH responses that no command asked for: what is
// withheld is left out as in any FETCH (RFC 8689 §4.4), nothing is marked \Seen,
// and whoever knows of mod-sequences is told them (RFC 7162 §3.2.4).
func (s *session) fetchUnasked(ctx context.Context, set []int, items []syntax.FetchItem) error {
	if s.aware && !hasKind(items, syntax.FetchModSeq) {
		items = slices.Concat(items, []syntax.FetchItem{{Kind: syntax.FetchModSeq}})
	}
	f := newFetching(s, &syntax.Fetch{UID: true, Items: items})
	f.needs &^= setsSeen
	for batch := range slices.Chunk(set, walkBatch) {
		if err := f.batch(ctx, batch); err != nil {
			return err
		}
	}
	if f.held > 0 {
		s.logWithheld(f.held)
	}
	return nil
}
