package imapd

import (
	"context"
	"errors"
	"slices"
	"strings"

	"letterlock/imapd/syntax"
	"letterlock/storage"

	"github.com/emersion/go-imap/v2"
)

var storeOps = map[syntax.StoreOp]storage.FlagOp{
	syntax.ReplaceFlags: storage.ReplaceFlags,
	syntax.AddFlags:     storage.AddFlags,
	syntax.RemoveFlags:  storage.RemoveFlags,
}

// store is STORE and UID STORE (RFC 9051 §6.4.6). What the gate withholds is
// not changed, and the answer names it.
func (s *session) store(ctx context.Context, a *syntax.Store) (answer, error) {
	if a.UnchangedSince != nil {
		s.beAware()
	}
	if s.box.readOnly {
		return answer{}, errReadOnly
	}
	flags, err := storable(a)
	if err != nil {
		return answer{}, err
	}
	set, err := s.indices(a.Set, a.UID)
	if err != nil {
		return answer{}, err
	}
	held := s.gate.withheld(s.box.view, set)
	set = without(set, held)
	var done stored
	if len(set) > 0 {
		if done, err = s.changeFlags(ctx, a, set, flags); err != nil {
			return answer{}, err
		}
	}
	return s.storeResult(a, done, held)
}

// stored is what a STORE did not reach.
type stored struct {
	modified []int // that changed after UNCHANGEDSINCE, as indices of the view
	gone     int   // expunged meanwhile
}

// storeResult ends a STORE. Of several codes the tagged answer has the gravest.
func (s *session) storeResult(a *syntax.Store, done stored, held []int) (answer, error) {
	var codes []answer
	if done.gone > 0 {
		codes = append(codes, answer{"EXPUNGEISSUED", counted(done.gone, "message is", "messages are") + " gone"})
	}
	if len(done.modified) > 0 { // RFC 7162 §3.1.3
		set := syntax.AppendNums(nil, s.numbersOf(done.modified, a.UID))
		codes = append(codes, answer{"MODIFIED " + string(set), "Conditional STORE failed for " + counted(len(done.modified), "message", "messages")})
	}
	if len(held) > 0 {
		s.logWithheld(len(held))
		set := syntax.AppendNums(nil, s.numbersOf(held, a.UID))
		s.tellCodes(codes)
		return answer{}, no("PRIVACYREQUIRED", "Not changed, they need an encrypted connection: "+string(set))
	}
	if len(codes) == 0 {
		return answer{}, nil
	}
	last := len(codes) - 1
	s.tellCodes(codes[:last])
	return codes[last], nil
}

// tellCodes tells codes for which the tagged answer has no room.
func (s *session) tellCodes(codes []answer) {
	for _, c := range codes {
		s.putString("* OK [" + c.code + "] " + c.text + "\r\n")
	}
}

// storable is the flags of a STORE that can be stored. A client that replaces
// flags sends back what it saw, the keyword of REQUIRETLS among it: there it is
// passed over, where it is named on its own it is refused.
func storable(a *syntax.Store) ([]string, error) {
	flags := a.Flags
	if a.Op == syntax.ReplaceFlags {
		flags = slices.DeleteFunc(slices.Clone(flags), func(f imap.Flag) bool {
			return strings.EqualFold(string(f), requireTLS)
		})
	}
	return settable(flags)
}

// changeFlags stores and tells. Without .SILENT every message of the set gets
// its FETCH; with it only those that somebody else changed too, and those whose
// change UNCHANGEDSINCE forbade.
func (s *session) changeFlags(ctx context.Context, a *syntax.Store, set []int, flags []string) (done stored, err error) {
	old := s.box.view
	late, at, err := s.storeUnlessChanged(ctx, a, set, flags)
	if err != nil {
		return done, err
	}
	there, err := s.look(ctx, sendExpunges)
	if err != nil {
		return done, err
	}
	if a.Silent && a.UnchangedSince == nil && !s.aware && len(s.box.followed) == 0 && ours(old, there, at) {
		s.announceKeywords(there)
		s.box.view = there
		return done, nil
	}
	now := storage.Keep(old, there)
	expect := s.expectation(now.Mailbox().Keywords, a.Op, flags)
	s.announceKeywords(now)
	known := make([]storage.Flags, 0, len(set))
	for _, e := range entries(old, set) {
		known = append(known, e.Flags)
	}
	for i, e := range entries(now, set) {
		was := known[0]
		known = known[1:]
		found := now == there // nothing was expunged
		if !found {
			_, found = there.Find(e.UID)
		}
		_, isLate := slices.BinarySearch(late, e.UID)
		switch {
		case !found:
			done.gone++
			continue
		case isLate:
			done.modified = append(done.modified, i)
			s.fetchFlags(i+1, e)
		case !a.Silent || e.Flags != expect(was):
			s.fetchFlags(i+1, e)
		case a.UnchangedSince != nil || s.aware && e.ModSeq != old.At(i).ModSeq:
			s.fetchModSeq(i+1, e)
		}
	}
	return done, s.announce(ctx, now, among(set))
}

// ours says whether a change that got the modseq at is all that lies between two
// views: then the client knows what it did.
func ours(old, now *storage.View, at storage.ModSeq) bool {
	before, after := old.Mailbox(), now.Mailbox()
	return after.UIDValidity == before.UIDValidity && now.HasAll(old) &&
		(after.Highest == before.Highest || after.Highest == before.Highest+1 && after.Highest == at)
}

// storeUnlessChanged stores, and answers the UIDs that UNCHANGEDSINCE forbade
// (RFC 7162 §3.1.3), and which modseq the others got last.
func (s *session) storeUnlessChanged(ctx context.Context, a *syntax.Store, set []int, flags []string) (late []storage.UID, at storage.ModSeq, err error) {
	uids := s.uidsOf(set)
	since := storage.ModSeq(0)
	var exist []storage.UID
	if a.UnchangedSince != nil {
		since = storage.ModSeq(*a.UnchangedSince)
	}
	if a.UnchangedSince != nil && since == 0 {
		if uids, exist, since, err = s.lacking(ctx, a.Op, uids, flags); err != nil || len(uids) == 0 {
			return exist, 0, err
		}
	}
	var done storage.Stored
	err = s.progressing(ctx, func(ctx context.Context) (err error) {
		done, err = s.account.StoreFlags(ctx, s.box.id, uids, storeOps[a.Op], flags, since)
		return err
	})
	if errors.Is(err, storage.ErrNotFound) {
		return nil, 0, errGone
	}
	late = append(done.Modified, exist...)
	slices.Sort(late)
	return late, done.ModSeq, keywordRefusal(err)
}

// lacking is what UNCHANGEDSINCE 0 leaves of uids: those where what is named
// does not exist yet, as keywords that are not set and nothing else (RFC 7162
// §3.1.3: that is how clients set $MDNSent once). It is true of them as long as
// they do not change after at.
func (s *session) lacking(ctx context.Context, op syntax.StoreOp, uids []storage.UID, flags []string) (lack, exist []storage.UID, at storage.ModSeq, err error) {
	now, err := s.look(ctx, sendExpunges)
	if err != nil {
		return nil, nil, 0, err
	}
	var named storage.Flags
	for _, f := range flags {
		bits, _ := flagBits(f, now.Mailbox().Keywords)
		named |= bits
	}
	everywhere := op == syntax.ReplaceFlags || named&systemBits != 0
	for _, uid := range uids {
		i, found := now.Find(uid)
		switch {
		case !found:
		case everywhere || now.At(i).Flags&named != 0:
			exist = append(exist, uid)
		default:
			lack = append(lack, uid)
		}
	}
	return lack, exist, now.Mailbox().Highest, nil
}

// systemBits is the system flags a client can change.
const systemBits = storage.Seen | storage.Answered | storage.Flagged | storage.Deleted | storage.Draft

// expectation is what a client that sent .SILENT believes the flags to be.
func (s *session) expectation(keywords []string, op syntax.StoreOp, flags []string) func(storage.Flags) storage.Flags {
	var named storage.Flags
	all := systemBits
	for i := range keywords {
		all |= storage.Keyword(i)
	}
	for _, f := range flags {
		bits, _ := flagBits(f, keywords)
		named |= bits
	}
	return func(before storage.Flags) storage.Flags {
		switch op {
		case syntax.AddFlags:
			return before | named
		case syntax.RemoveFlags:
			return before &^ named
		}
		return before&^all | named
	}
}

// flagBits is the bit of a flag; known is false for a keyword that the mailbox
// does not have. Flags are case-insensitive (RFC 9051 §9).
func flagBits(name string, keywords []string) (bits storage.Flags, known bool) {
	for _, f := range flagNames {
		if strings.EqualFold(f.name, name) {
			return f.bit, true
		}
	}
	for i, k := range keywords {
		if strings.EqualFold(k, name) {
			return storage.Keyword(i), true
		}
	}
	return 0, false
}
