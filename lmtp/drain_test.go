package lmtp_test

import (
	"context"
	"testing"

	"letterlock/internal/mail"
	"letterlock/internal/serve"
	"letterlock/lmtp"
)

// TestDrainingFinishesWhatHasBegun: a stopping server says 421 between two
// messages and at once to whoever rests, but takes the message it is reading.
func TestDrainingFinishesWhatHasBegun(t *testing.T) {
	d := openDoor(t)
	idle, named, inData, inBdat := d.dial(t, "tcp"), d.dial(t, "unix"), d.dial(t, "tls"), d.dial(t, "tcp")
	for _, cl := range []*client{idle, named, inData, inBdat} {
		cl.greet()
	}
	named.ask("MAIL FROM:<named@b.example>\r\nRCPT TO:<ann@example.org>\r\n", "250 *", "250 *")
	inData.ask("MAIL FROM:<data@b.example>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n", "250 *", "250 *", "354 *")
	inData.Send("half")
	inBdat.ask("MAIL FROM:<bdat@b.example>\r\nRCPT TO:<ann@example.org>\r\nBDAT 4\r\nhalf", "250 *", "250 *", "250 *")

	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		d.stop()
	}()
	for _, cl := range []*client{idle, named} {
		cl.expect("421 4.3.2 shutting down, try again later")
		cl.closed()
	}
	inData.ask(" and half\r\n.\r\n", "250 *", "421 4.3.2 *")
	inData.closed()
	inBdat.ask("NOOP\r\n", "250 *")
	inBdat.ask("BDAT 11 LAST\r\n and half\r\n", "250 *", "421 4.3.2 *")
	inBdat.closed()
	<-stopped
	for i, from := range []string{"data", "bdat"} {
		if l := d.box.taken()[i]; l.env.From.Local != from || l.body != "half and half\r\n" {
			t.Errorf("got %v, %q", l, l.body)
		}
	}
}

// patientBox delivers only when it is told to.
type patientBox struct {
	*letterbox
	begun, proceed chan struct{}
	ctxErr         error
}

func (b *patientBox) Deliver(ctx context.Context, env *mail.Envelope, body mail.Body, rcpts []mail.Address) []error {
	close(b.begun)
	<-b.proceed
	b.ctxErr = ctx.Err()
	return b.letterbox.Deliver(ctx, env, body, rcpts)
}

// TestDrainingWaitsForADelivery: what is being stored when the server stops is
// stored, and answered for.
func TestDrainingWaitsForADelivery(t *testing.T) {
	box := &patientBox{begun: make(chan struct{}), proceed: make(chan struct{})}
	d := openDoor(t, func(o *lmtp.Options, _ *serve.Options) {
		box.letterbox = o.Deliver.(*letterbox)
		o.Deliver = box
	})
	cl := d.dial(t, "unix")
	cl.greet()
	cl.ask(oneLetter, "250 *", "250 *", "354 *")
	idle := d.dial(t, "tcp")
	idle.expect("220 *")
	cl.Send("hi\r\n.\r\n")
	<-box.begun
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		d.stop()
	}()
	idle.expect("421 4.3.2 *") // the server is stopping
	close(box.proceed)
	cl.expect("250 2.0.0 <ann@example.org> *", "421 4.3.2 *")
	cl.closed()
	<-stopped
	if box.ctxErr != nil || len(d.box.taken()) != 1 {
		t.Errorf("context %v, letters %v", box.ctxErr, d.box.taken())
	}
}
