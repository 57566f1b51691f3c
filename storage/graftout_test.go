package storage

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage/seal"
)

// A row of the outbox that rots is due after the repair when it was, says what it said,
// and ends with its time: be it that the checkpoint has it as it once was, or that the
// log alone knows of it.
func TestRottenRowOfTheOutboxLeavesOnce(t *testing.T) {
	for _, checkpoint := range []string{"older", "none"} {
		for name, keys := range map[string]*seal.Keys{"clear": nil, "sealed": first(newKeys(t))} {
			for _, rotten := range []byte{keyOut, keyOutText, keyDue} {
				t.Run(checkpoint+" "+name+" "+string(rotten), func(t *testing.T) { rottenRow(t, checkpoint, Options{Shards: 1, Keys: keys}, rotten) })
			}
		}
	}
}

func rottenRow(t *testing.T, checkpoint string, opt Options, rotten byte) {
	ctx, dir := context.Background(), t.TempDir()
	s, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	ann := addPerson(t, s, "ann").ID
	send(t, s, ann, "news", requiretls.Required(), []mail.Copy{{Mailbox: inbox}}, "carl", "dora")
	equal(t, "to leave", waiting(t, s), "carl", "dora")
	if checkpoint == "older" {
		if err := s.Checkpoint(ctx); err != nil {
			t.Fatal(err)
		}
	}
	due := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	for q := range s.Outbox(ctx) {
		end := OutSettlement{End: Stays, Due: due, History: History{Tries: 3, Error: "451 later"}}
		if q.To.Local == "dora" {
			end = OutSettlement{End: Ended}
		}
		if err := s.SettleOut(ctx, q.ID, end); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "to leave", waiting(t, s), "carl")
	rotValues(t, s, 0, key(systemAccount, keyOut))
	if rotten != keyOut && (checkpoint != "none" || rotten == keyDue) { // of two texts one tells the row
		rotValues(t, s, 0, key(systemAccount, rotten))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var said []string
	if err := Repair(ctx, dir, opt, func(line string) { said = append(said, line) }); err != nil {
		t.Fatalf("%v after %q", err, said)
	}
	s = openStore(t, dir, opt)
	rows, _, err := s.DueOut(ctx, due, 10, func(OutRow) bool { return false })
	if err != nil || len(rows) != 1 || rows[0].Domain != "carl.test" || !rows[0].Due.Equal(due) {
		t.Fatalf("due are %v, %v; said %q", rows, err, said)
	}
	l, err := s.OpenOut(ctx, rows[0].ID)
	if err != nil {
		t.Fatalf("%v; said %q", err, said)
	}
	l.Close()
	if !l.Demand().IsRequired() || l.To != elsewhere("carl") || !strings.Contains(string(l.Prefix), "by us for carl") {
		t.Errorf("%v leaves for %v with %q", l.Demand(), l.To, l.Prefix)
	}
	if err := s.SettleOut(ctx, rows[0].ID, OutSettlement{End: Ended}); err != nil {
		t.Fatal(err)
	}
	if rows, _, err := s.DueOut(ctx, due, 10, func(OutRow) bool { return false }); err != nil || len(rows) > 0 {
		t.Errorf("due are %v still, %v", rows, err)
	}
	if got := findings(t, s); len(got) > 0 {
		t.Errorf("%q", got)
	}
}

// What nobody knows any more is said, and is not due for ever.
func TestRowThatIsLostIsNotDueForEver(t *testing.T) {
	ctx, dir, opt := context.Background(), t.TempDir(), Options{Shards: 1}
	s, err := Open(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	env := &mail.Envelope{From: elsewhere("sender"), Demand: requiretls.Usual()}
	if err := s.Submit(ctx, env.Answer(mail.Answer{Kind: mail.Answered, To: elsewhere("carl"), Text: []byte("Subject: away\r\n\r\n")})); err != nil {
		t.Fatal(err)
	}
	rotValues(t, s, 0, key(systemAccount, keyOut))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var said []string
	if err := Repair(ctx, dir, opt, func(line string) { said = append(said, line) }); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(said, func(line string) bool { return strings.HasPrefix(line, "outbox, row 64: it is lost") }) {
		t.Errorf("said %q", said)
	}
	s = openStore(t, dir, opt)
	if rows, _, err := s.DueOut(ctx, time.Now().Add(time.Hour), 10, func(OutRow) bool { return false }); err != nil || len(rows) > 0 {
		t.Errorf("due are %v, %v", rows, err)
	}
}
