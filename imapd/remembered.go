package imapd

import (
	"strings"
	"sync"

	"letterlock/imapd/syntax"
	"letterlock/internal/requiretls"
	"letterlock/storage"
)

// answers remembers what was answered of messages, for the next session that asks
// the same: a client asks each letter of a mailbox for its structure, or for some
// fields of its header, and so does the next client of the same person. A message
// never changes, nor is its UID used again. What is asked for once costs nothing:
// answers are kept from the second time on that a mailbox is asked for an item.
type answers struct {
	mu         sync.Mutex // guards all below
	questions  map[question]uint64
	last       uint64 // of the numbers of questions; none is given twice
	young, old map[asked]remembered
	octets     int // of the young
}

// Each of the two generations has maxRemembered octets at most: 24 MiB in all, and
// 1 MiB of questions. An answer of more than maxAnswer is made anew each time.
const (
	maxRemembered   = 12 << 20
	maxAnswer       = 4 << 10
	besidesAnAnswer = 120 // octets that an answer costs beside its text
	maxQuestions    = 1024
	maxQuestion     = 1 << 10
)

// question is what a mailbox was asked for.
type question struct {
	account storage.AccountID
	mailbox storage.MailboxID
	form    string // the item, and the mode of the session
	held    bool   // by a session that is not given everything: what the vault let through for such a one
}

// asked is a question by its number, of one message.
type asked struct {
	question uint64
	uid      storage.UID
}

// remembered is an item as it was answered. Whoever gets it needs a release for
// its demand (RFC 8689 §4.4).
type remembered struct {
	demand requiretls.Demand
	size   int64 // of the message
	text   string
}

// number is that of a question which was asked before, 0 of another one.
func (a *answers) number(q question) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := a.questions[q]; n != 0 {
		return n
	}
	if a.questions == nil || len(a.questions) >= maxQuestions {
		a.questions = make(map[question]uint64)
	}
	a.last++
	a.questions[q] = a.last
	return 0
}

func (a *answers) get(q asked) (r remembered, found bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r, found = a.young[q]; found {
		return r, true
	}
	if r, found = a.old[q]; found {
		a.keep(q, r)
	}
	return r, found
}

func (a *answers) put(q asked, r remembered) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keep(q, r)
}

// keep puts an answer among the young; when they are enough, those that nobody
// asked for since the last time are forgotten. mu is held.
func (a *answers) keep(q asked, r remembered) {
	if a.octets += len(r.text) + besidesAnAnswer; a.young == nil || a.octets > maxRemembered {
		a.young, a.old = make(map[asked]remembered), a.young
		a.octets = len(r.text) + besidesAnAnswer
	}
	a.young[q] = r
}

// question is the number of what is asked for, where answers are remembered: one
// item shows content, and is short and quickly said; the others need no look into
// the vault. 0 is all else, and what nobody has asked for before.
func (f *fetching) question() uint64 {
	form := ""
	for i := range f.items {
		switch item := &f.items[i]; item.Kind {
		case syntax.FetchUID, syntax.FetchFlags, syntax.FetchModSeq, syntax.FetchRFC822Size:
			continue
		default:
			if form != "" || !mayBeRemembered(item) || len(item.name) > maxQuestion {
				return 0
			}
			form = string(rune(f.s.mode)) + string(item.name)
		}
	}
	if form == "" {
		return 0
	}
	return f.s.srv.answers.number(question{f.s.id, f.s.box.id, form, f.s.gate.withholdsAny()})
}

func mayBeRemembered(item *fetchItem) bool {
	switch item.Kind {
	case syntax.FetchBody, syntax.FetchBodyStructure:
		return true
	case syntax.FetchBodySection:
		return item.Peek && item.Partial == nil && len(item.Section.Part) == 0 && item.Section.Text == syntax.HeaderFields
	}
	return false
}

// remember keeps the item that was written last, where it is one to be kept.
func (f *fetching) remember(m *fetched, item *fetchItem, written []byte) {
	if f.asks == 0 || needsOf(item.FetchItem)&needRelease == 0 || len(written) > maxAnswer {
		return
	}
	text := strings.TrimPrefix(string(written), " ")
	f.s.srv.answers.put(asked{f.asks, m.entry.UID}, remembered{m.row.Demand, m.row.Size, text})
}

// recall is what is remembered of a message, if this session may have it. Where
// it may not, the vault says so.
func (f *fetching) recall(e storage.Entry) (r remembered, found bool) {
	if r, found = f.s.srv.answers.get(asked{f.asks, e.UID}); !found {
		return r, false
	}
	demand := requiretls.Agree(r.demand, e.Flags.Demand())
	release, err := f.s.gate.judge(demand)
	return r, err == nil && release.Covers(demand)
}

// repeatAll answers for the first messages of a set with what is remembered, and
// answers from where on nothing is.
func (f *fetching) repeatAll(set []int) ([]int, error) {
	if f.asks == 0 {
		return set, nil
	}
	for k, i := range set {
		e := f.s.box.view.At(i)
		r, found := f.recall(e)
		if !found {
			return set[k:], nil
		}
		if err := f.repeat(i, e, r); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// unknown is those of the first messages of a set of which nothing is remembered.
func (f *fetching) unknown(set []int) []int {
	if f.asks == 0 {
		return set
	}
	for k, i := range set {
		if _, found := f.recall(f.s.box.view.At(i)); found {
			return set[:k]
		}
	}
	return set
}

// repeat answers for a message with what is remembered.
func (f *fetching) repeat(i int, e storage.Entry, r remembered) error {
	m := &f.message
	*m = fetched{i: i, entry: e, plain: m.plain[:0], headerText: m.headerText[:0]}
	m.row.Size = r.size
	l := &f.line
	l.begin(i + 1)
	for k := range f.items {
		item := &f.items[k]
		if needsOf(item.FetchItem)&needRelease != 0 {
			l.next()
			l.b = append(l.b, r.text...)
		} else if err := f.item(l, m, item); err != nil {
			return err
		}
	}
	l.end()
	if f.s.broken {
		return errCut
	}
	return nil
}
