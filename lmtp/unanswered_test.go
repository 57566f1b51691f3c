package lmtp_test

import (
	"context"
	"io"
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

func (c *client) offer() {
	c.t.Helper()
	c.greet()
	c.ask(twoRecipients+"DATA\r\n", "250 *", "250 *", "250 *", "250 *", "354 *")
	c.Send(tea + ".\r\n")
}

// TestAnswersNobodyHeardAreTold: RFC 1047.
func TestAnswersNobodyHeardAreTold(t *testing.T) {
	want := []string{"<alice@sender.example> <ann@example.org> " + tea, "<alice@sender.example> <ben@example.org> " + tea}
	answers := []string{"250 *", "250 *", "452 4.2.2 *"}
	for name, end := range map[string]struct {
		leave func(c *client)
		want  []string
	}{
		"cut before the answer":  {func(c *client) { c.cut() }, want},
		"cut behind the answer":  {func(c *client) { c.expect(answers...); c.cut() }, want},
		"QUIT":                   {func(c *client) { c.expect(answers...); c.ask("QUIT\r\n", "221 *"); c.cut() }, nil},
		"QUIT without listening": {func(c *client) { c.Send("QUIT\r\n"); c.cut() }, nil},
		"cut in the next one":    {func(c *client) { c.expect(answers...); c.ask("MAIL FROM:<>\r\n", "250 *"); c.cut() }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var told []string
			d := openDoor(t, unheard(&told))
			c := d.dial(t, "tcp")
			c.offer()
			end.leave(c)
			if !slices.Equal(told, end.want) {
				t.Errorf("told of %q, want %q", told, end.want)
			}
		})
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
