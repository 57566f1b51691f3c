package deliver

import (
	"context"
	"errors"
	"strings"

	"letterlock/internal/mail"
	"letterlock/internal/reply"
)

var errNotReturned = reply.NoSuchUser.Saying("this return address has expired, or was never made here")

// returned finds out whose a return path is that was made here; is false where
// it does not look like one.
func (s *Sorter) returned(addr mail.Address) (to mail.Address, is bool, err error) {
	if s.opt.Returned == nil || !rewritten(addr.Local) {
		return to, false, nil
	}
	if to, err = s.opt.Returned(addr); err != nil {
		return to, true, errNotReturned.Because(err)
	}
	return to, true, nil
}

// rewritten says whether a local part begins as the Sender Rewriting Scheme has
// it.
func rewritten(local string) bool {
	return len(local) > 5 && (strings.EqualFold(local[:4], "SRS0") || strings.EqualFold(local[:4], "SRS1")) && strings.ContainsRune("=+-", rune(local[4]))
}

// errNotABounce: only reports come to a return path.
var errNotABounce = reply.Perm(50, "7.1", "only reports about mail are taken here")

// sendBack sends a report on to whoever sent the message that it is about. It
// is nobody's here: the first account carries it.
func (l *letter) sendBack(ctx context.Context, rcpt, to mail.Address, err error) ([]*fate, error) {
	if err != nil {
		return nil, err
	}
	if !l.env.From.IsNull() {
		return nil, errNotABounce
	}
	if l.opt.Way == nil {
		return nil, errNotReturned
	}
	carrier, found, err := l.opt.Store.Eldest(ctx)
	if err == nil && !found {
		err = errors.New("there is no account to carry a report")
	}
	if err != nil {
		return nil, err
	}
	f := &fate{account: carrier, rcpt: rcpt, prefix: trace(l.env, l.opt.Hostname, rcpt)}
	f.out = append(f.out, l.env.Redirect(mail.Redirect{To: to, Prefix: ownReceived(f.prefix)}))
	return []*fate{f}, nil
}

// tellSender settles what the sender is told, who asked for it (RFC 3461): of
// each copy on its way in his own name by whoever takes it, of the first the
// whole where nothing else becomes of the message (§5.2.7.2, §5.2.7.3); and
// otherwise once, that it has arrived (§5.2.3).
func (l *letter) tellSender(rcpt mail.Address, fates []*fate) {
	asked, did := l.env.DSN[rcpt]
	if !did {
		return
	}
	var first *fate
	kept := false
	for _, f := range fates {
		if f.refusal != nil {
			continue
		}
		if first == nil {
			first = f
		}
		kept = kept || len(f.filed) > 0 || f.dropped != ""
	}
	told := false
	for _, f := range fates {
		for _, o := range f.out {
			if o.Kind != mail.Redirected || !l.leadsBack(o.From) || o.DSN != (mail.DSN{}) {
				continue
			}
			o.Ask(share(asked, kept || told))
			told = true
		}
	}
	if first == nil || l.opt.Reports == nil || told && !kept {
		return
	}
	if report := l.opt.Reports.Delivered(l.env, rcpt, l.body); report != nil {
		first.out = append(first.out, report)
	}
}

// leadsBack says whether what is sent to an address is sent to the sender: his
// own, or the return path that was made of it here. What he asked holds then: a
// report that he did not want would come back to him.
func (l *letter) leadsBack(from mail.Address) bool {
	if from == l.env.From {
		return true
	}
	to, is, err := l.returned(from)
	return is && err == nil && to == l.env.From
}

// share is what is asked of the next host: where somebody else tells of success,
// not that.
func share(asked mail.DSN, elsewhere bool) mail.DSN {
	if elsewhere && asked.Notify != 0 {
		if asked.Notify &^= mail.NotifySuccess; asked.Notify == 0 {
			asked.Notify = mail.NotifyNever
		}
	}
	return asked
}
