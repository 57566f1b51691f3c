package storage

import (
	"context"
	"testing"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/requiretls"
	"letterlock/storage/kv"
)

// busy is an index whose next change waits, once it was told to.
type busy struct {
	kv.Engine
	wait chan chan struct{} // room for one: who says when to go on
	came chan struct{}
}

func (b *busy) Update(ctx context.Context, shard int, fn func(kv.Tx) error) error {
	select {
	case goOn := <-b.wait:
		b.came <- struct{}{}
		<-goOn
	default:
	}
	return b.Engine.Update(ctx, shard, fn)
}

// A letter that leaves is not for the next half a second's batch, be the queue ever
// so long when it comes.
func TestWhatLeavesIsHurriedWhileOthersAreApplied(t *testing.T) {
	b := &busy{wait: make(chan chan struct{}, 1), came: make(chan struct{})}
	s := openStore(t, t.TempDir(), Options{Shards: 1, wrap: func(e kv.Engine) kv.Engine { b.Engine = e; return b }})
	ann := addPerson(t, s, "ann")
	leave := func(subject string) {
		body, sum := letter(subject)
		env := &mail.Envelope{ID: subject, From: elsewhere("sender"), Demand: requiretls.Usual(), Received: time.Now()}
		plans := plansFor(inbox, ann.ID)
		plans[0].Outbound = []*mail.Outbound{env.Redirect(mail.Redirect{To: elsewhere("carl")})}
		if errs := s.Commit(t.Context(), env, body, sum, plans); errs[0] != nil {
			t.Fatal(errs[0])
		}
	}
	goOn := make(chan struct{})
	b.wait <- goOn
	leave("first")
	<-b.came
	leave("second")
	select {
	case <-s.shards[0].kick:
	case <-time.After(10 * time.Second):
		t.Error("nobody hurries the second letter")
	}
	close(goOn)
}
