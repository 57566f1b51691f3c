package deliver

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"strings"

	"letterlock/sieve"

	"golang.org/x/text/unicode/norm"
)

// host answers what a script of one account asks.
type host struct {
	letter  *letter
	rules   Rules
	account uint64
	boxes   []Mailbox
	asked   bool
}

var _ sieve.Host = (*host)(nil)

// Mailbox answers mailboxexists, specialuse_exists and mailboxidexists.
func (h *host) Mailbox(ctx context.Context, t sieve.Target) (bool, error) {
	if err := h.list(ctx); err != nil {
		return false, err
	}
	for i := range h.boxes {
		b := &h.boxes[i]
		if (t.ID == "" || t.ID == b.ID) && (t.Name == "" || sameBox(t.Name, b.Name)) && (t.Use == "" || strings.EqualFold(t.Use, b.Use)) {
			return true, nil
		}
	}
	return false, nil
}

// Metadata answers metadata and servermetadata (RFC 5490).
func (h *host) Metadata(ctx context.Context, mailbox, entry string) (string, bool, error) {
	return h.rules.Annotation(ctx, h.account, boxName(mailbox), entry)
}

// Seen answers duplicate.
func (h *host) Seen(ctx context.Context, t sieve.Track) (bool, error) {
	return h.letter.remembered(ctx, h.account, digest("duplicate", t.Handle, t.ID), h.letter.limits().DuplicateMax)
}

func (h *host) list(ctx context.Context) (err error) {
	if h.asked {
		return nil
	}
	h.boxes, err = h.rules.Mailboxes(ctx, h.account)
	h.asked = err == nil
	return err
}

// name is the mailbox that a target means: by its ID (RFC 9042 §4), then by its
// special use (RFC 8579 §4), then by name. The named one wins among several of
// one use.
func (h *host) name(ctx context.Context, t sieve.Target) (string, error) {
	if t.ID == "" && t.Use == "" {
		return boxName(t.Name), nil
	}
	if err := h.list(ctx); err != nil {
		return "", err
	}
	byUse := ""
	for i := range h.boxes {
		b := &h.boxes[i]
		switch {
		case t.ID != "" && b.ID == t.ID:
			return b.Name, nil
		case t.Use != "" && strings.EqualFold(b.Use, t.Use) && (byUse == "" || sameBox(b.Name, t.Name)):
			byUse = b.Name
		}
	}
	if byUse != "" {
		return byUse, nil
	}
	return boxName(t.Name), nil
}

const inbox = "INBOX"

// boxName is a mailbox's name as the store keeps it: composed, and INBOX, which is the
// same in any case (RFC 9051 §5.1), also where it is the first level.
func boxName(s string) string {
	s = norm.NFC.String(s)
	if first, _, _ := strings.Cut(s, "/"); strings.EqualFold(first, inbox) {
		return inbox + s[len(inbox):]
	}
	return s
}

func sameBox(a, b string) bool { return boxName(a) == boxName(b) }

// digest is the key of a memory: of its kind, and of what it is about.
func digest(kind string, parts ...string) [32]byte {
	h := sha256.New()
	for _, s := range append([]string{kind}, parts...) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	return [32]byte(h.Sum(nil))
}
