package admin

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"letterlock/internal/mail"
)

// TraceQuery asks what became of mail lately.
type TraceQuery struct {
	Address string `json:"address,omitempty"` // whose: as user, sender or recipient; empty: everybody's
	Message string `json:"message,omitempty"` // of one message alone: "id" of the lines
	Last    int    `json:"last,omitempty"`    // how many at most; 0: all that are kept
	Follow  bool   `json:"follow,omitempty"`  // goes on with what comes, until it is hung up
}

// TraceRecord is one line of the mail log.
type TraceRecord struct {
	Time  time.Time `json:"time"`
	Level string    `json:"level"`
	Event string    `json:"event"` // accepted, filed, dropped, sent, …; "missed": some were not kept long enough
	Facts []Fact    `json:"facts"` // in the order of the log
}

// Fact is one fact of a line.
type Fact struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// fact finds a value; empty where there is none.
func (r *TraceRecord) fact(key string) string {
	for _, f := range r.Facts {
		if f.Key == key {
			return f.Value
		}
	}
	return ""
}

// Trace implements [Operations].
func (d *Desk) Trace(ctx context.Context, in TraceQuery, told func(TraceRecord)) error {
	if d.opt.Ring == nil {
		return refuse("start the server, or search its log for what was", "what became of mail is remembered while the server runs, and none does")
	}
	about, err := d.concern(ctx, in)
	if err != nil {
		return err
	}
	records, next, moved := d.opt.Ring.since(0)
	var first []TraceRecord
	for _, r := range records {
		if about.concerns(&r) {
			first = append(first, r)
		}
	}
	if in.Last > 0 {
		first = first[max(0, len(first)-in.Last):]
	}
	for _, r := range first {
		told(r)
	}
	for in.Follow {
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
		at := next
		if records, next, moved = d.opt.Ring.since(at); uint64(len(records)) < next-at {
			told(missed(next - at - uint64(len(records))))
		}
		for _, r := range records {
			if about.concerns(&r) {
				told(r)
			}
		}
	}
	return nil
}

func missed(n uint64) TraceRecord {
	return TraceRecord{Time: time.Now(), Level: "WARN", Event: "missed", Facts: []Fact{{"records", strconv.FormatUint(n, 10)}}}
}

// concern picks the lines about one person: those that name him, and those
// about messages of which such a line was seen that name no other recipient.
type concern struct {
	message   string // where it is about one alone
	everybody bool
	desk      *Desk
	address   mail.Address
	account   string
	ids       map[string]bool
	order     []string // of ids: the oldest are forgotten
}

// maxConcern is how many messages a concern knows.
const maxConcern = 10_000

func (d *Desk) concern(ctx context.Context, in TraceQuery) (*concern, error) {
	if in.Address == "" {
		return &concern{message: in.Message, everybody: true}, nil
	}
	a, err := d.address(in.Address)
	if err != nil {
		return nil, err
	}
	c := &concern{message: in.Message, desk: d, address: a, ids: map[string]bool{}}
	if p, err := d.opt.Store.Person(ctx, a); err == nil {
		c.account = fmt.Sprint(uint64(p.ID))
	}
	return c, nil
}

func (c *concern) concerns(r *TraceRecord) bool {
	id := r.fact("id")
	if c.message != "" && id != c.message {
		return false
	}
	if c.everybody {
		return true
	}
	if c.names(r) {
		c.know(id)
		return true
	}
	leaves := r.fact("row") != ""
	return c.ids[id] && (leaves || r.fact("to") == "" && r.fact("account") == "")
}

// names says whether the line itself is about the person.
func (c *concern) names(r *TraceRecord) bool {
	if account := r.fact("account"); account != "" {
		return account == c.account
	}
	for _, key := range []string{"to", "from", "user"} {
		if value := r.fact(key); value != "" && c.same(value) {
			return true
		}
	}
	return false
}

// same says whether an address as the log has it, "<ann+x@example.org>" or the
// name of a login, is the person's.
func (c *concern) same(value string) bool {
	a, _, err := mail.ParsePath(value)
	if err != nil {
		a, err = mail.ParseAddress(value)
	}
	if err != nil {
		return false
	}
	a = c.desk.opt.Addresses.Normal(a)
	return a == c.address || c.desk.base(a) == c.address
}

func (c *concern) know(id string) {
	if id == "" || c.ids[id] {
		return
	}
	if len(c.order) == maxConcern {
		for _, old := range c.order[:maxConcern/2] {
			delete(c.ids, old)
		}
		c.order = slices.Clone(c.order[maxConcern/2:])
	}
	c.ids[id] = true
	c.order = append(c.order, id)
}
