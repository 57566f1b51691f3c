package reply_test

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"letterlock/internal/reply"
)

func TestLineSaysClassOnce(t *testing.T) {
	for _, c := range []struct {
		err  *reply.Error
		want string
	}{
		{reply.NoSuchUser, "550 5.1.1 no such user here"},
		{reply.NeedsTLS, "523 5.7.10 REQUIRETLS needs TLS, use STARTTLS"},
		{reply.DiskFull, "452 4.3.1 the mail system is full, try again later"},
		{reply.Perm(54, "", "no enhanced code"), "554 no enhanced code"},
		{reply.Perm(50, "1.1", "two\r\n250 lines"), "550 5.1.1 two  250 lines"},
	} {
		if got := c.err.Line(); got != c.want {
			t.Errorf("Line() = %q, want %q", got, c.want)
		}
	}
}

// RFC 5321 §4.2.1: each line of a reply has the codes, and all but the last a hyphen.
func TestTextOfSeveralLinesIsAReplyOfSeveral(t *testing.T) {
	for text, want := range map[string][]string{
		"no tea":                        {"550 5.7.1 no tea"},
		"no tea\r\nnor coffee":          {"550-5.7.1 no tea", "550 5.7.1 nor coffee"},
		"no\n\n\rtea":                   {"550-5.7.1 no", "550-5.7.1 ", "550 5.7.1  tea"},
		strings.Repeat("a\n", 40) + "b": append(slices.Repeat([]string{"550-5.7.1 a"}, 31), "550 5.7.1 "+strings.Repeat("a ", 9)+"b"),
	} {
		if got := reply.Perm(50, "7.1", text).Lines(); !slices.Equal(got, want) {
			t.Errorf("%q reads %q, want %q", text, got, want)
		}
	}
	if got, want := reply.Perm(54, "", "no\ncode").Lines(), []string{"554-no", "554 code"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestOurOwnBugsNeverBounceMail(t *testing.T) {
	got := reply.From(fmt.Errorf("open /var/lib/secret: %w", fs.ErrPermission))
	if got.Class != reply.Temporary {
		t.Errorf("class %d, want temporary", got.Class)
	}
	if want := "451 4.3.0 local error, try again later"; got.Line() != want {
		t.Errorf("the stranger reads %q, want %q", got.Line(), want)
	}
	if !errors.Is(got, fs.ErrPermission) {
		t.Error("the log lost the cause")
	}
	if reply.From(nil) != nil {
		t.Error("no error became an error")
	}
}

func TestCauseKeepsIdentity(t *testing.T) {
	cause := errors.New("ann has 10 GB")
	err := fmt.Errorf("deliver to ann: %w", reply.MailboxFull.Because(cause))
	if !errors.Is(err, reply.MailboxFull) || !errors.Is(err, cause) {
		t.Errorf("%v lost its refusal or its cause", err)
	}
	if errors.Is(err, reply.DiskFull) {
		t.Errorf("%v passes for another refusal", err)
	}
	if got := reply.From(err).Line(); got != reply.MailboxFull.Line() {
		t.Errorf("the stranger reads %q, want %q", got, reply.MailboxFull.Line())
	}
}
