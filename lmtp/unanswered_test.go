package lmtp_test

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"letterlock/internal/mail"
	"letterlock/internal/serve"
	"letterlock/lmtp"
)

// unheard is told of answers that nobody may have heard.
func unheard(to *[]string) setting {
	return func(o *lmtp.Options, _ *serve.Options) {
		o.Unanswered = func(_ context.Context, env *mail.Envelope, body mail.Body, rcpts []mail.Address) error {
			octets, err := io.ReadAll(io.NewSectionReader(body, 0, body.Size()))
			for _, r := range rcpts {
				*to = append(*to, env.From.Path()+" "+r.Path()+" "+string(octets))
			}
			slices.Sort(*to)
			return err
		}
	}
}

const (
	twoRecipients = "MAIL FROM:<alice@sender.example>\r\nRCPT TO:<ann@example.org>\r\nRCPT TO:<ben@example.org>\r\nRCPT TO:<late-full@example.org>\r\n"
	tea           = "Subject: tea\r\n\r\nAt five?\r\n"
)

// offer sends the letter, and in the same packet what is behind its last dot.
func (c *client) offer(behind string) {
	c.t.Helper()
	c.greet()
	c.ask(twoRecipients+"DATA\r\n", "250 *", "250 *", "250 *", "250 *", "354 *")
	c.Send(tea + ".\r\n" + behind)
}

// glance leaves all but one octet of what comes where it is.
func (c *client) glance() {
	c.t.Helper()
	if _, err := c.Raw.Read(make([]byte, 1)); err != nil {
		c.t.Fatal(err)
	}
}

// endSaying ends the client's side alone.
func (c *client) endSaying() {
	c.t.Helper()
	if err := c.Raw.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		c.t.Fatal(err)
	}
}

// TestAnswersNobodyHeardAreTold: RFC 1047. What was sent together with the last dot
// (RFC 2920 §3.1), as Postfix sends QUIT, does not show that they were heard.
func TestAnswersNobodyHeardAreTold(t *testing.T) {
	toBoth := []string{"<alice@sender.example> <ann@example.org> " + tea, "<alice@sender.example> <ben@example.org> " + tea}
	answers := []string{"250 *", "250 *", "452 4.2.2 *"}
	for name, story := range map[string]struct {
		behind string // the last dot
		leave  func(c *client)
		want   []string
	}{
		"cut before the answer":  {"", func(c *client) { c.cut() }, toBoth},
		"cut behind the answer":  {"", func(c *client) { c.expect(answers...); c.cut() }, toBoth},
		"QUIT":                   {"", func(c *client) { c.expect(answers...); c.ask("QUIT\r\n", "221 *"); c.cut() }, nil},
		"QUIT without listening": {"", func(c *client) { c.Send("QUIT\r\n"); c.cut() }, toBoth},
		"cut in the next one":    {"", func(c *client) { c.expect(answers...); c.ask("MAIL FROM:<>\r\n", "250 *"); c.cut() }, nil},

		"QUIT with the dot, cut":                      {"QUIT\r\n", func(c *client) { c.cut() }, toBoth},
		"QUIT with the dot, dies with answers unread": {"QUIT\r\n", func(c *client) { c.glance(); c.cut() }, toBoth},
		"QUIT with the dot, never listens":            {"QUIT\r\n", func(c *client) { c.d.gone.Wait() }, toBoth},
		"QUIT with the dot, listens":                  {"QUIT\r\n", func(c *client) { c.expect(append(answers, "221 *")...); c.cut() }, nil},
		"QUIT with the dot, listens to the very end":  {"QUIT\r\n", func(c *client) { c.expect(append(answers, "221 *")...); c.closed(); c.d.gone.Wait() }, nil},
		"QUIT with the dot, listens with its side ended": {"QUIT\r\n", func(c *client) {
			c.endSaying()
			c.expect(append(answers, "221 *")...)
			c.closed()
			c.d.gone.Wait()
		}, nil},
		"QUIT with the dot, says goodbye": {"QUIT\r\n", func(c *client) {
			c.expect(append(answers, "221 *")...)
			c.Conn.Close()
			c.cut()
		}, nil},

		"MAIL with the dot, cut":            {"MAIL FROM:<>\r\n", func(c *client) { c.cut() }, toBoth},
		"MAIL with the dot, listens, cut":   {"MAIL FROM:<>\r\n", func(c *client) { c.expect(append(answers, "250 *")...); c.cut() }, toBoth},
		"MAIL with the dot, goes on":        {"MAIL FROM:<>\r\n", func(c *client) { c.expect(append(answers, "250 *")...); c.ask("NOOP\r\n", "250 *"); c.cut() }, nil},
		"broken QUIT with the dot, listens": {"QUIT now\r\n", func(c *client) { c.expect(append(answers, "501 *")...); c.ask("QUIT\r\n", "221 *"); c.cut() }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, network := range []string{"tcp", "unix", "tls"} {
				t.Run(network, func(t *testing.T) {
					t.Parallel()
					var told []string
					d := openDoor(t, unheard(&told))
					c := d.dial(t, network)
					c.offer(story.behind)
					story.leave(c)
					if !slices.Equal(told, story.want) {
						t.Errorf("told of %q, want %q", told, story.want)
					}
				})
			}
		})
	}
}

// TestWhoEndsItsSideIsSeenToListenOnAUNIXSocket: there it is known what was read.
func TestWhoEndsItsSideIsSeenToListenOnAUNIXSocket(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	var told []string
	d := openDoor(t, unheard(&told))
	c := d.dial(t, "unix")
	c.offer("QUIT\r\n")
	c.endSaying()
	c.glance()
	c.cut()
	if len(told) != 2 {
		t.Errorf("told of %q, want both recipients", told)
	}
}

// TestOneLetterBehindTheOther: what a client sends ahead is told of if nobody
// listens, all of it.
func TestOneLetterBehindTheOther(t *testing.T) {
	chunk := func(from, to string) string {
		return "MAIL FROM:<" + from + "@b.example>\r\nRCPT TO:<" + to + "@example.org>\r\nBDAT 8 LAST\r\nletter\r\n"
	}
	const one, two, three = "<one@b.example> <ann@example.org> letter\r\n", "<two@b.example> <ben@example.org> letter\r\n", "<three@b.example> <ann@example.org> at five?\r\n"
	for name, story := range map[string]struct {
		leave func(c *client)
		want  []string
	}{
		"cut": {func(c *client) { c.glance(); c.cut() }, []string{one, two}},
		"dies in the third": {func(c *client) {
			c.expect("250 *", "250 *", "250 *", "250 *", "250 *", "250 *", "250 *", "250 *", "354 *")
			c.Send("at fi")
			c.cut()
		}, []string{one, two}},
		"dies behind the third": {func(c *client) {
			c.expect("250 *", "250 *", "250 *", "250 *", "250 *", "250 *", "250 *", "250 *", "354 *")
			c.Send("at five?\r\n.\r\nQUIT\r\n")
			c.glance()
			c.cut()
		}, []string{three}},
		"listens": {func(c *client) {
			c.expect("250 *", "250 *", "250 *", "250 *", "250 *", "250 *", "250 *", "250 *", "354 *")
			c.ask("at five?\r\n.\r\nQUIT\r\n", "250 *", "221 *")
			c.cut()
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var told []string
			d := openDoor(t, unheard(&told))
			c := d.dial(t, "tcp")
			c.greet()
			c.Send(chunk("one", "ann") + chunk("two", "ben") + "MAIL FROM:<three@b.example>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n")
			story.leave(c)
			if !slices.Equal(told, story.want) {
				t.Errorf("told of %q, want %q", told, story.want)
			}
		})
	}
}

// TestLettersSentAheadAreKeptWithinBounds: the first of too many are forgotten.
func TestLettersSentAheadAreKeptWithinBounds(t *testing.T) {
	var told []string
	d := openDoor(t, unheard(&told))
	c := d.dial(t, "unix")
	c.greet()
	var letters strings.Builder
	for i := range 20 {
		fmt.Fprintf(&letters, "MAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nBDAT 4 LAST\r\n%02d\r\n", i)
	}
	c.Send(letters.String())
	c.glance()
	c.cut()
	var want []string
	for i := 12; i < 20; i++ {
		want = append(want, fmt.Sprintf("<> <ann@example.org> %02d\r\n", i))
	}
	if !slices.Equal(told, want) {
		t.Errorf("told of %q, want %q", told, want)
	}
}

// TestDrainingLetsAPeerLeaveInPeace: who is on the way out when the server stops
// has heard no less.
func TestDrainingLetsAPeerLeaveInPeace(t *testing.T) {
	var told []string
	d := openDoor(t, unheard(&told))
	c, idle := d.dial(t, "tcp"), d.dial(t, "tcp")
	idle.expect("220 *")
	c.offer("QUIT\r\n")
	c.expect("250 *", "250 *", "452 4.2.2 *", "221 *")
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		d.stop()
	}()
	idle.expect("421 *")
	idle.closed()
	c.cut()
	<-stopped
	if len(told) != 0 {
		t.Errorf("told of %q, want nothing", told)
	}
}

func TestABigBodyWhoseAnswerWasNotHeardIsReadAgain(t *testing.T) {
	var told []string
	d := openDoor(t, unheard(&told))
	c := d.dial(t, "unix")
	c.greet()
	body := strings.Repeat("a long letter\r\n", 200_000)
	c.ask("MAIL FROM:<>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n", "250 *", "250 *", "354 *")
	c.Send(body + ".\r\n")
	c.cut()
	if want := "<> <ann@example.org> " + body; len(told) != 1 || !strings.HasSuffix(told[0], want) {
		t.Errorf("told of %d letters, %d octets; want one of %d", len(told), len(strings.Join(told, "")), len(want))
	}
}
