package sieve

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"letterlock/internal/mime"
)

// respond decides whether a reply may be sent at all, and to which of the
// owner's addresses the message came. What it finds stands in v.Skip.
func (rt *Runtime) respond(v *Vacation, addresses []string) error {
	defer rt.wholeMessage()()
	own, before := rt.own(addresses), ownAddresses{}
	before.add(originalRecipient(rt.input.Envelope.ORcpt))
	sender := parsePath(v.To, "").Text
	switch {
	case sender == "":
		v.Skip = "the message has no sender to answer (RFC 3834 §2)"
		return nil
	case own.has(sender) || before.has(sender):
		v.Skip = "the sender is the owner"
		return nil
	case automatic(sender) || slices.ContainsFunc(rt.engine.config.NoReply, func(s string) bool { return sameAddressFold(s, sender) }):
		v.Skip = "the sender " + sender + " is not a person"
		return nil
	}
	skip, err := rt.unanswerable()
	if skip != "" || err != nil {
		v.Skip = skip
		return err
	}
	if v.Own, err = rt.addressedTo(own); v.Own == "" && err == nil {
		// The owner's own name is in the answer: this one is said by a stranger.
		if v.Own, err = rt.addressedTo(before); v.Own != "" {
			v.Own = cmp.Or(rt.input.Owner, v.Own)
		}
	}
	if v.Own == "" && err == nil {
		v.Skip = "no address of the owner is in To, Cc or Bcc (RFC 5230 §4.5)"
	}
	return err
}

// wholeMessage makes the message's own header the one that is read, up to the
// call of what it returns: a script included from foreverypart reads a part, but
// who sent what it answers stands in the header of the message.
func (rt *Runtime) wholeMessage() (back func()) {
	f, root := rt.frame, rt.frame.root
	f.root = nil
	return func() { f.root = root }
}

// ownAddresses are those that belong to the owner, in lower case.
type ownAddresses map[string]bool

func (o ownAddresses) has(addr string) bool { return o[foldASCII(addr)] }

func (rt *Runtime) own(more []string) ownAddresses {
	own := ownAddresses{}
	for _, s := range slices.Concat(rt.input.Own, more, []string{rt.input.Owner, rt.input.Envelope.To}) {
		own.add(s)
	}
	return own
}

func (o ownAddresses) add(list string) {
	for _, a := range mime.Addresses(list) {
		if a.Host != mime.MissingDomain {
			o[foldASCII(a.Mailbox+"@"+a.Host)] = true
		}
	}
}

// originalRecipient is the address in an ORCPT: what the message was sent to
// before an alias changed it.
func originalRecipient(orcpt string) string {
	kind, addr, _ := strings.Cut(orcpt, ";")
	if strings.EqualFold(kind, "rfc822") {
		return addr
	}
	return ""
}

func sameAddressFold(a, b string) bool { return foldASCII(a) == foldASCII(b) }

// automatic says whether an address is one that programs have (RFC 5230 §4.6,
// RFC 2142, RFC 3834 §2).
func automatic(addr string) bool {
	local, _, _ := strings.Cut(foldASCII(addr), "@")
	switch strings.NewReplacer("-", "", "_", "", ".", "").Replace(local) {
	case "mailerdaemon", "listserv", "majordomo", "noreply", "donotreply", "nepasrepondre", "bounce", "bounces", "listmaster":
		return true
	}
	return strings.HasPrefix(local, "owner-") || strings.HasSuffix(local, "-request") ||
		strings.HasSuffix(local, "-owner") || strings.HasSuffix(local, "-bounces") || strings.HasPrefix(local, "noreply-") || strings.HasPrefix(local, "no-reply-")
}

var listFields = []string{"List-Id", "List-Help", "List-Subscribe", "List-Unsubscribe", "List-Post", "List-Owner", "List-Archive"}

// unanswerable says what in the header forbids an answer (RFC 5230 §4.6).
func (rt *Runtime) unanswerable() (why string, err error) {
	for _, name := range listFields {
		if _, found, err := rt.first(name); found || err != nil {
			return "the message came through a mailing list: it has " + name, err
		}
	}
	if auto, err := rt.autoSubmitted(); auto || err != nil {
		return "the message was sent by a program: Auto-Submitted is not \"no\"", err
	}
	values, err := rt.Header("Precedence")
	for _, v := range values {
		if v = foldASCII(v); v == "bulk" || v == "junk" || v == "list" {
			return "the message has Precedence " + v, nil
		}
	}
	suppress, more := rt.Header("X-Auto-Response-Suppress")
	for _, v := range suppress {
		for word := range strings.SplitSeq(foldASCII(v), ",") {
			if word = trimSpace(word); word == "all" || word == "oof" || word == "autoreply" {
				return "the sender wants no automatic answers: X-Auto-Response-Suppress", nil
			}
		}
	}
	return "", errors.Join(err, more)
}

// autoSubmitted says whether a program sent the message (RFC 3834 §5).
func (rt *Runtime) autoSubmitted() (bool, error) {
	defer rt.wholeMessage()()
	values, err := rt.Header("Auto-Submitted")
	for _, v := range values {
		keyword, _, _ := strings.Cut(v, ";")
		if keyword, _, _ = strings.Cut(trimSpace(keyword), " "); !strings.EqualFold(keyword, "no") {
			return true, err
		}
	}
	return false, err
}

// addressedTo finds the owner's address among the recipients in the header.
func (rt *Runtime) addressedTo(own ownAddresses) (string, error) {
	h, err := rt.header()
	if err != nil {
		return "", err
	}
	for _, name := range []string{"To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc"} {
		n := newHeaderName(name)
		for i := range h.fields {
			if !h.fields[i].named(n) {
				continue
			}
			list, err := h.fields[i].addresses(rt)
			if err != nil {
				return "", err
			}
			for _, a := range list {
				if a.Valid && own.has(a.Local+"@"+a.Domain) {
					return a.Text, nil
				}
			}
		}
	}
	return "", nil
}
