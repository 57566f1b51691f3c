package syntax

func (d *Decoder) lsub() Args {
	l := &Lsub{}
	d.sp()
	l.Reference = d.pattern()
	d.sp()
	l.Pattern = d.pattern()
	return l
}

// listMailboxes reads RFC 9051 §9, list, with the patterns of RFC 5258 §6.
func (d *Decoder) listMailboxes() Args {
	l := &List{}
	d.sp()
	if d.peek() == '(' {
		l.Extended = true
		l.Select = d.listSelect()
		d.sp()
	}
	l.Reference = d.pattern()
	d.sp()
	if d.peek() == '(' {
		l.Extended = true
		d.list1(maxPatterns, func() { l.Patterns = append(l.Patterns, d.pattern()) })
	} else {
		l.Patterns = []string{d.pattern()}
	}
	if d.take(' ') {
		l.Extended = true
		if d.keyword() != "RETURN" {
			d.fail("expected RETURN")
		}
		d.sp()
		d.list(maxOptions, func() { d.listReturn(l) })
	}
	return l
}

// listSelect reads the selection options. RECURSIVEMATCH needs one that it can
// modify (RFC 5258 §3.1): SUBSCRIBED or SPECIAL-USE.
func (d *Decoder) listSelect() (s ListSelect) {
	d.list(maxOptions, func() {
		switch d.keyword() {
		case "SUBSCRIBED":
			s |= SelectSubscribed
		case "REMOTE":
			s |= SelectRemote
		case "RECURSIVEMATCH":
			s |= SelectRecursiveMatch
		case "SPECIAL-USE":
			s |= SelectSpecialUse
		default:
			d.fail("unknown selection option of LIST")
		}
	})
	if s&SelectRecursiveMatch != 0 && s&(SelectSubscribed|SelectSpecialUse) == 0 {
		d.fail("RECURSIVEMATCH needs another selection option")
	}
	return s
}

func (d *Decoder) listReturn(l *List) {
	switch d.keyword() {
	case "SUBSCRIBED":
		l.Return |= ReturnSubscribed
	case "CHILDREN":
		l.Return |= ReturnChildren
	case "SPECIAL-USE":
		l.Return |= ReturnSpecialUse
	case "STATUS": // RFC 5819 §2
		l.Return |= ReturnStatus
		d.sp()
		l.Status |= d.statusItems()
	default:
		d.fail("unknown return option of LIST")
	}
}

func (d *Decoder) status() Args {
	s := &Status{Mailbox: d.oneMailbox()}
	d.sp()
	s.Items = d.statusItems()
	return s
}

func (d *Decoder) statusItems() (items StatusItems) {
	d.list1(maxOptions, func() {
		name := d.keyword()
		for _, item := range statusNames {
			if item.name == name {
				items |= item.item
				return
			}
		}
		d.fail("unknown status item")
	})
	return items
}

// statusNames is in the order in which we answer.
var statusNames = []struct {
	item StatusItems
	name string
}{
	{StatusMessages, "MESSAGES"},
	{StatusRecent, "RECENT"},
	{StatusUIDNext, "UIDNEXT"},
	{StatusUIDValidity, "UIDVALIDITY"},
	{StatusUnseen, "UNSEEN"},
	{StatusDeleted, "DELETED"},
	{StatusSize, "SIZE"},
	{StatusAppendLimit, "APPENDLIMIT"},
	{StatusHighestModSeq, "HIGHESTMODSEQ"},
	{StatusMailboxID, "MAILBOXID"},
	{StatusDeletedStorage, "DELETED-STORAGE"},
}
