package imapd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"letterlock/imapd/syntax"
	"letterlock/storage"

	"github.com/emersion/go-imap/v2"
)

var (
	errEntryName = no("CANNOT", "An entry is below /private or /shared and has at most 400 characters")
	errTooLong   = no(fmt.Sprintf("METADATA MAXSIZE %d", storage.MaxAnnotation), "The value is too long")
	errTooMany   = no("METADATA TOOMANY", "There are too many entries")
	errShared    = no("NOPERM", "The administrator sets what the server has for everybody")
)

// everybody is the account whose entries are the server's own, for all (RFC
// 5464 §6.2.1).
const everybody storage.AccountID = 0

// annotated is where entries of a mailbox name are kept, "" being the server.
// The private ones of the server are those of the account.
func (s *session) annotated(ctx context.Context, name string) (id storage.MailboxID, err error) {
	if name == "" {
		return 0, nil
	}
	box, err := s.account.Mailbox(ctx, name)
	return box.ID, err
}

var depths = map[syntax.Depth]storage.Depth{
	syntax.DepthSelf:     storage.DepthZero,
	syntax.DepthChildren: storage.DepthOne,
	syntax.DepthInfinity: storage.DepthInfinity,
}

// getMetadata is GETMETADATA (RFC 5464 §4.2). What is not there is not told.
func (s *session) getMetadata(ctx context.Context, a *syntax.GetMetadata) (answer, error) {
	id, err := s.annotated(ctx, a.Mailbox)
	if err != nil {
		return answer{}, err
	}
	list, err := s.annotations(ctx, id, a.Entries, depths[a.Depth])
	if err != nil {
		return answer{}, metadataRefusal(err)
	}
	longest := -1
	list = slices.DeleteFunc(list, func(n storage.Annotation) bool {
		long := a.MaxSize >= 0 && int64(len(n.Value)) > a.MaxSize
		if long {
			longest = max(longest, len(n.Value))
		}
		return long
	})
	if err := s.metadata(a.Mailbox, list); err != nil {
		return answer{}, err
	}
	if longest >= 0 {
		return answer{fmt.Sprintf("METADATA LONGENTRIES %d", longest), s.verb + " completed"}, nil
	}
	return answer{}, nil
}

// metadata is the METADATA response (RFC 5464 §4.4.1), written entry by entry: all of
// them may be a megabyte.
func (s *session) metadata(mailbox string, list []storage.Annotation) error {
	if len(list) == 0 {
		return nil
	}
	s.put(syntax.AppendMetadataStart(s.scratch[:0], mailbox, s.mode))
	for i, n := range list {
		b := s.scratch[:0]
		if i > 0 {
			b = append(b, ' ')
		}
		if s.put(syntax.AppendMetadataEntry(b, n.Name, n.Value, s.mode)); s.broken {
			return errCut
		}
	}
	s.putString(")\r\n")
	return nil
}

// annotations reads entries; of the server, what everybody sees comes from the
// store's own account.
func (s *session) annotations(ctx context.Context, id storage.MailboxID, names []string, depth storage.Depth) ([]storage.Annotation, error) {
	if id != 0 {
		return s.account.Annotations(ctx, id, names, depth)
	}
	var own, shared []string
	for _, name := range names {
		if isShared(name) {
			shared = append(shared, name)
		} else {
			own = append(own, name)
		}
	}
	var all []storage.Annotation
	for _, of := range []struct {
		account *storage.Account
		names   []string
	}{{s.account.Account, own}, {s.srv.opt.Store.Account(everybody), shared}} {
		if len(of.names) == 0 {
			continue
		}
		list, err := of.account.Annotations(ctx, 0, of.names, depth)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return all, nil
}

func isShared(entry string) bool { return entry == "/shared" || strings.HasPrefix(entry, "/shared/") }

// setMetadata is SETMETADATA (RFC 5464 §4.3): all entries or none.
func (s *session) setMetadata(ctx context.Context, a *syntax.SetMetadata) (answer, error) {
	id, err := s.annotated(ctx, a.Mailbox)
	if err != nil {
		return answer{}, err
	}
	var entries []storage.Annotation
	for _, e := range a.Entries {
		if id == 0 && isShared(e.Name) {
			return answer{}, errShared
		}
		n, err := annotation(id, e)
		if err != nil {
			return answer{}, err
		}
		entries = append(entries, n)
	}
	if err := s.account.Annotate(ctx, id, entries); err != nil {
		return answer{}, metadataRefusal(err)
	}
	if s.notified != nil {
		s.own.annotates(id, entries)
	}
	return answer{}, nil
}

// annotation is an entry as it is kept; nil takes it away.
func annotation(id storage.MailboxID, e syntax.MetadataEntry) (n storage.Annotation, err error) {
	n.Name = e.Name
	switch {
	case e.Value == nil:
	case id != 0 && e.Name == storage.UseEntry:
		n.Value, err = useValue(*e.Value)
	default:
		n.Value, err = append([]byte{}, *e.Value...), checkFilter(id, e)
	}
	return n, err
}

// useValue: what makes a special use is checked as CREATE does (RFC 6154 §4).
func useValue(value string) ([]byte, error) {
	var asked []imap.MailboxAttr
	for _, attr := range strings.Fields(value) {
		asked = append(asked, imap.MailboxAttr(attr))
	}
	use, err := specialUseOf(asked)
	if use == "" {
		return nil, err
	}
	return []byte(use), err
}

// checkFilter: what stands for a FILTER is the keys of a SEARCH (RFC 5466 §3.2).
func checkFilter(id storage.MailboxID, e syntax.MetadataEntry) error {
	if id != 0 || !strings.HasPrefix(e.Name, filterEntries[0]) {
		return nil
	}
	if _, err := syntax.ParseKeys(*e.Value); err != nil {
		return errFilterThere
	}
	return nil
}

// metadataRefusal says what the vault has against entries.
func metadataRefusal(err error) error {
	switch {
	case errors.Is(err, storage.ErrBadName):
		return errEntryName
	case errors.Is(err, storage.ErrAnnotationSize):
		return errTooLong
	case errors.Is(err, storage.ErrAnnotationCount):
		return errTooMany
	}
	return err
}
