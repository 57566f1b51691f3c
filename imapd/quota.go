package imapd

import (
	"context"
	"errors"
	"slices"

	"letterlock/imapd/syntax"
	"letterlock/internal/mail"
	"letterlock/storage"
)

// quotaUnit is the octets of one unit of STORAGE (RFC 9208 §5.1).
const quotaUnit = 1024

var (
	errNoRoot   = no("NONEXISTENT", "No such quota root")
	errNoPerm   = no("NOPERM", "The administrator sets the quota")
	errResource = no("CANNOT", "Limits can be set for STORAGE and MESSAGE, above 0")
)

// quotaRoot is the one quota root of an account: its address.
func (s *session) quotaRoot() string { return s.person.Address.String() }

// setsQuota says whether this session may set anybody's quota.
func (s *session) setsQuota() bool {
	may := s.srv.opt.QuotaAdmin
	return s.login != "" && may != nil && may(s.person.Address)
}

// getQuota is GETQUOTA (RFC 9208 §4.1.1).
func (s *session) getQuota(ctx context.Context, a *syntax.GetQuota) (answer, error) {
	account, err := s.ofRoot(ctx, a.Root)
	if err != nil {
		return answer{}, err
	}
	return answer{}, s.quota(ctx, a.Root, account)
}

// getQuotaRoot is GETQUOTAROOT (RFC 9208 §4.1.2): all mailboxes, those that do
// not exist among them, have the same root.
func (s *session) getQuotaRoot(ctx context.Context, a *syntax.GetQuotaRoot) (answer, error) {
	root := s.quotaRoot()
	s.put(syntax.AppendQuotaRoot(s.scratch[:0], a.Mailbox, []string{root}, s.mode))
	return answer{}, s.quota(ctx, root, s.account.Account)
}

// setQuota is SETQUOTA (RFC 9208 §4.1.3). A resource that is not named has no
// limit then.
func (s *session) setQuota(ctx context.Context, a *syntax.SetQuota) (answer, error) {
	if !s.setsQuota() {
		return answer{}, errNoPerm
	}
	account, err := s.ofRoot(ctx, a.Root)
	if err != nil {
		return answer{}, err
	}
	var limits storage.Usage
	for _, l := range a.Limits {
		switch {
		case l.Limit <= 0 || l.Limit > 1<<50:
			return answer{}, errResource
		case l.Resource == "STORAGE":
			limits.Bytes = uint64(l.Limit) * quotaUnit
		case l.Resource == "MESSAGE":
			limits.Messages = uint64(l.Limit)
		default:
			return answer{}, errResource
		}
	}
	if err := account.SetLimits(ctx, limits); err != nil {
		return answer{}, err
	}
	return answer{}, s.quota(ctx, a.Root, account)
}

// ofRoot is the account of a quota root: one's own, and for who may set quota
// anybody's.
func (s *session) ofRoot(ctx context.Context, root string) (*storage.Account, error) {
	if root == s.quotaRoot() {
		return s.account.Account, nil
	}
	addr, err := mail.ParseAddress(root)
	if err != nil || !s.setsQuota() {
		return nil, errNoRoot
	}
	person, err := s.srv.opt.Store.Person(ctx, addr.Fold())
	if errors.Is(err, storage.ErrNotFound) {
		err = errNoRoot
	}
	return s.srv.opt.Store.Account(person.ID), err
}

// quota writes the QUOTA response (RFC 9208 §4.2.1): what has no limit is not
// in it.
func (s *session) quota(ctx context.Context, root string, account *storage.Account) error {
	used, err := account.Usage(ctx)
	if err != nil {
		return err
	}
	limits, err := account.Limits(ctx)
	if err != nil {
		return err
	}
	boxes, err := account.Mailboxes(ctx)
	if err != nil {
		return err
	}
	units := func(octets uint64) int64 { return int64((octets + quotaUnit - 1) / quotaUnit) }
	all := []syntax.QuotaResource{
		{Name: "STORAGE", Usage: units(used.Bytes), Limit: int64(limits.Bytes / quotaUnit)},
		{Name: "MESSAGE", Usage: int64(used.Messages), Limit: int64(limits.Messages)},
		{Name: "MAILBOX", Usage: int64(len(boxes)), Limit: storage.MaxMailboxes},
	}
	all = slices.DeleteFunc(all, func(r syntax.QuotaResource) bool { return r.Limit == 0 })
	s.put(syntax.AppendQuota(s.scratch[:0], &syntax.Quota{Root: root, Resources: all}, s.mode))
	return nil
}

// deletedStorage is the octets of what is marked \Deleted in a mailbox: the
// status item DELETED-STORAGE (RFC 9208 §4.1.4).
func (s *session) deletedStorage(ctx context.Context, box storage.Mailbox) (octets int64, err error) {
	if box.Deleted == 0 {
		return 0, nil
	}
	view, err := s.account.View(ctx, box.ID)
	if err != nil {
		return 0, err
	}
	return s.account.octets(ctx, box.ID, view, func(f storage.Flags) bool { return f&storage.Deleted != 0 })
}
