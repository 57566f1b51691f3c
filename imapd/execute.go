package imapd

import (
	"context"

	"letterlock/imapd/syntax"
)

// state is where a session stands (RFC 9051 §3).
type state uint8

const (
	anyState state = iota
	stranger       // not authenticated
	known          // authenticated, a mailbox selected or not
	selected
)

// needs is the state in which a command is valid.
func needs(args syntax.Args) state {
	switch args.(type) {
	case *syntax.Capability, *syntax.Noop, *syntax.Logout, *syntax.ID:
		return anyState
	case *syntax.StartTLS, *syntax.Authenticate, *syntax.Login:
		return stranger
	case *syntax.Check, *syntax.Close, *syntax.Unselect, *syntax.Expunge, *syntax.Search,
		*syntax.Fetch, *syntax.Store, *syntax.Copy, *syntax.Move,
		*syntax.Replace, *syntax.Sort, *syntax.Thread, *syntax.CancelUpdate:
		return selected
	}
	return known
}

// admit says whether the command may be given now.
func (s *session) admit(args syntax.Args) error {
	switch needs(args) {
	case stranger:
		if s.login != "" {
			return bad("Already logged in")
		}
	case known:
		if s.login == "" {
			return bad("Log in first")
		}
	case selected:
		if s.login == "" {
			return bad("Log in first")
		}
		if s.box == nil {
			return bad("No mailbox selected")
		}
	}
	return nil
}

// execute carries one command out.
func (s *session) execute(ctx context.Context, args syntax.Args) (answer, error) {
	if err := s.admit(args); err != nil {
		switch a := args.(type) {
		case *syntax.Append:
			return answer{}, refuseAppend(a, err)
		case *syntax.Replace:
			return answer{}, refuseAppend(a.Append, err)
		}
		return answer{}, err
	}
	switch a := args.(type) {
	case *syntax.Capability:
		s.putString("* CAPABILITY " + s.capabilities() + "\r\n")
		return answer{}, nil
	case *syntax.Noop, *syntax.Check:
		return answer{}, nil
	case *syntax.Logout:
		return answer{}, s.logout()
	case *syntax.ID:
		return s.identify(a)
	case *syntax.StartTLS:
		return answer{}, s.startTLS(ctx)
	case *syntax.Login:
		return s.logIn(ctx, a.User, a.Password)
	case *syntax.Authenticate:
		return s.authenticate(ctx, a)
	case *syntax.Enable:
		return s.enable(ctx, a)
	}
	carryOut := s.onMailboxes
	if needs(args) == selected {
		carryOut = s.onMessages
	}
	if readsMuch(args) {
		return s.attended(ctx, func(ctx context.Context) (answer, error) { return carryOut(ctx, args) })
	}
	return carryOut(ctx, args)
}

// readsMuch says whether a command may read for so long that it matters whether
// somebody still waits for it.
func readsMuch(args syntax.Args) bool {
	switch args.(type) {
	case *syntax.Fetch, *syntax.Search, *syntax.Sort, *syntax.Thread, *syntax.MultiSearch:
		return true
	}
	return false
}

// onMailboxes has the commands on mailboxes as a whole (RFC 9051 §6.3).
func (s *session) onMailboxes(ctx context.Context, args syntax.Args) (answer, error) {
	switch a := args.(type) {
	case *syntax.Select:
		return s.selectMailbox(ctx, a)
	case *syntax.Create:
		return s.create(ctx, a)
	case *syntax.Delete:
		return s.delete(ctx, a)
	case *syntax.Rename:
		return s.rename(ctx, a)
	case *syntax.Subscribe:
		s.own.subscribed = a.Mailbox
		return answer{}, s.account.Subscribe(ctx, a.Mailbox)
	case *syntax.Unsubscribe:
		s.own.unsubscribed = a.Mailbox
		return answer{}, s.account.Unsubscribe(ctx, a.Mailbox)
	case *syntax.List:
		return s.list(ctx, a)
	case *syntax.Lsub:
		return s.lsub(ctx, a)
	case *syntax.Namespace:
		s.putString("* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n") // RFC 2342 §5: one's own mailboxes, no others
		return answer{}, nil
	case *syntax.Status:
		return s.status(ctx, a)
	case *syntax.Append:
		return s.append(ctx, a)
	case *syntax.Idle:
		return s.idle(ctx)
	case *syntax.MultiSearch:
		return s.multiSearch(ctx, a)
	case *syntax.Notify:
		return s.notify(ctx, a)
	case *syntax.Compress:
		return answer{}, s.compress(a)
	case *syntax.Unauthenticate:
		return s.unauthenticate()
	case *syntax.GetQuota:
		return s.getQuota(ctx, a)
	case *syntax.GetQuotaRoot:
		return s.getQuotaRoot(ctx, a)
	case *syntax.SetQuota:
		return s.setQuota(ctx, a)
	case *syntax.GetMetadata:
		return s.getMetadata(ctx, a)
	case *syntax.SetMetadata:
		return s.setMetadata(ctx, a)
	}
	return answer{}, bad("Unknown command")
}

// onMessages has the commands on the selected mailbox (RFC 9051 §6.4).
func (s *session) onMessages(ctx context.Context, args syntax.Args) (answer, error) {
	switch a := args.(type) {
	case *syntax.Close:
		return s.close(ctx)
	case *syntax.Unselect:
		s.deselect()
		return answer{}, nil
	case *syntax.Expunge:
		return s.expunge(ctx, a)
	case *syntax.Search:
		return s.search(ctx, a)
	case *syntax.Sort:
		return s.sort(ctx, a)
	case *syntax.Thread:
		return s.thread(ctx, a)
	case *syntax.CancelUpdate:
		return s.cancelUpdate(a)
	case *syntax.Fetch:
		return s.fetch(ctx, a)
	case *syntax.Store:
		return s.store(ctx, a)
	case *syntax.Copy:
		return s.copy(ctx, a)
	case *syntax.Move:
		return s.move(ctx, a)
	case *syntax.Replace:
		return s.replace(ctx, a)
	}
	return answer{}, bad("Unknown command")
}
