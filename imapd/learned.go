package imapd

import (
	"context"
	"errors"
	"slices"

	"letterlock/imapd/syntax"
	"letterlock/storage"
)

// learned is how everything stood when it was told last, as far as it is watched.
type learned struct {
	turn    storage.Turn
	known   map[storage.MailboxID]storage.Mailbox
	names   []string                                // subscribed
	entries map[storage.MailboxID]map[string]uint64 // digests of metadata, by name, where it is watched; 0: the server's
	octets  int                                     // about what entries take
}

// Of the metadata that a session watches, it remembers maxWatched octets at most;
// an entry costs besidesAnEntry and its name.
const (
	maxWatched     = 256 << 10
	besidesAnEntry = 48
)

// learn notes how everything stands: [errOverflow].
func (s *session) learn(ctx context.Context, n *notified) error {
	m, err := s.account.Moved(ctx, 0)
	if err != nil {
		return err
	}
	n.learned = learned{turn: m.Turn, known: make(map[storage.MailboxID]storage.Mailbox), entries: make(map[storage.MailboxID]map[string]uint64)}
	if n.names, err = s.account.Subscriptions(ctx); err != nil {
		return err
	}
	if n.wants(syntax.EventServerMetadataChange) {
		if err := s.learnEntries(ctx, n, 0); err != nil {
			return err
		}
	}
	for _, box := range m.Mailboxes {
		if err := s.learnMailbox(ctx, n, box); err != nil {
			return err
		}
	}
	return nil
}

// learnMailbox notes how a mailbox stands, as far as it is watched.
func (s *session) learnMailbox(ctx context.Context, n *notified, box storage.Mailbox) error {
	box, err := s.watched(ctx, n, box)
	if errors.Is(err, storage.ErrNotFound) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return err
	}
	n.know(box)
	if s.eventsOf(n, box)&syntax.EventMailboxMetadataChange == 0 {
		return nil
	}
	return s.learnEntries(ctx, n, box.ID)
}

// watched is a mailbox with its counters, where they are watched.
func (s *session) watched(ctx context.Context, n *notified, box storage.Mailbox) (storage.Mailbox, error) {
	if s.eventsOf(n, box)&syntax.MessageEvents == 0 {
		return box, nil
	}
	return s.account.counted(ctx, box)
}

// know notes a mailbox.
func (l *learned) know(box storage.Mailbox) {
	box.Keywords = nil // nobody asks for them
	l.known[box.ID] = box
}

// called is what is known of the mailbox of a name.
func (l *learned) called(name string) storage.Mailbox {
	for _, box := range l.known {
		if box.Name == name {
			return box
		}
	}
	return storage.Mailbox{}
}

// subscribe notes what is subscribed now: a filter may mean other mailboxes then
// (RFC 5465 §6.4), and of those that it means newly it is noted how they stand.
func (s *session) subscribe(ctx context.Context, n *notified, names []string) error {
	for _, box := range n.known {
		subscribed := slices.Contains(names, box.Name)
		if subscribed == box.Subscribed {
			continue
		}
		before := s.eventsOf(n, box)
		box.Subscribed = subscribed
		n.known[box.ID] = box
		if s.eventsOf(n, box)&^before == 0 {
			continue
		}
		if err := s.learnMailbox(ctx, n, box); err != nil {
			return err
		}
	}
	return nil
}

// learnEntries notes the metadata of a mailbox, 0 being the server.
func (s *session) learnEntries(ctx context.Context, n *notified, id storage.MailboxID) error {
	sums, err := s.entriesOf(ctx, id)
	if err != nil {
		return err
	}
	return n.knowEntries(id, sums)
}

// knowEntries notes metadata: [errOverflow].
func (l *learned) knowEntries(id storage.MailboxID, sums map[string]uint64) error {
	l.forgetEntries(id)
	if len(sums) == 0 {
		return nil
	}
	for name := range sums {
		l.octets += len(name) + besidesAnEntry
	}
	if l.entries[id] = sums; l.octets > maxWatched {
		return errOverflow
	}
	return nil
}

func (l *learned) forgetEntries(id storage.MailboxID) {
	for name := range l.entries[id] {
		l.octets -= len(name) + besidesAnEntry
	}
	delete(l.entries, id)
}

// entriesOf is a digest of each entry.
func (s *session) entriesOf(ctx context.Context, id storage.MailboxID) (map[string]uint64, error) {
	list, err := s.account.Annotations(ctx, id, nil, storage.DepthInfinity)
	if err != nil {
		return nil, err
	}
	sums := make(map[string]uint64, len(list))
	for _, e := range list {
		sums[e.Name] = digest(e.Value)
	}
	return sums, nil
}
