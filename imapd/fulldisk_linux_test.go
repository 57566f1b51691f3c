package imapd_test

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

// TestReadingGoesOnWhileTheVaultTakesNoChanges: the disk takes not one octet
// more. Every write of the process fails then, so it has one of its own.
func TestReadingGoesOnWhileTheVaultTakesNoChanges(t *testing.T) {
	const alone, wentOn = "LETTERLOCK_TEST_FULL_DISK", "reading went on"
	if os.Getenv(alone) == "" {
		t.Parallel()
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=1m")
		again.Env = append(os.Environ(), alone+"=1", "TMPDIR="+t.TempDir())
		if out, err := again.CombinedOutput(); err != nil || !strings.Contains(string(out), wentOn) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	h := openHouse(t)
	h.deliver(letter{mailbox: "INBOX", text: openLetter})
	text, _ := bigBinary(2 << 20)
	h.deliver(letter{mailbox: "INBOX", text: text})
	h.deliver(letter{mailbox: "Archive", text: openLetter})
	c := h.loggedIn("c", "tls")
	c.ok("SELECT INBOX")
	h.deliver(letter{mailbox: "INBOX", text: openLetter})
	signal.Ignore(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 0, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.ok("FETCH 1 (FLAGS BODY[])"), "\n"); !strings.Contains(got, "an open letter") || strings.Contains(got, `\Seen`) || !strings.Contains(got, "* 3 EXISTS") {
		t.Errorf("got %s, want the letter, not \\Seen, and to be told of new mail", got)
	}
	if got := strings.Join(c.ok("FETCH 2 (BINARY.PEEK[1]<9.3> BINARY.PEEK[1]<24.3>)"), "\n"); strings.Count(got, "{3}") != 2 {
		t.Errorf("got %s, want two pieces", got)
	}
	if got := c.ok("SEARCH TEXT open")[0]; got != "* SEARCH 1 3" {
		t.Errorf("got %s, want * SEARCH 1 3", got)
	}
	later := h.loggedIn("l", "tls") // to whom nobody has shown the letter: it is \Recent
	if got := strings.Join(later.ok("SELECT Archive"), "\n"); !strings.Contains(got, "* 1 EXISTS") {
		t.Errorf("got %s, want a letter", got)
	}
	later.ok("FETCH 1 BODY.PEEK[]")
	inAFile := "A: b\r\n\r\n" + strings.Repeat("a long line\r\n", 100000)
	for _, change := range []string{`STORE 1 +FLAGS (\Flagged)`, "COPY 1 Archive", "CREATE Elsewhere", "APPEND INBOX {12+}\r\nA: b\r\n\r\nhi\r\n",
		fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(inAFile), inAFile)} {
		lines := c.do(change)
		if last := lines[len(lines)-1]; !strings.HasPrefix(last, "NO [UNAVAILABLE]") {
			t.Errorf("%.40q: got %s, want NO [UNAVAILABLE]", change, last)
		}
	}
	if t.Failed() {
		return
	}
	fmt.Println(wentOn) // and leave: a store that cannot write cannot close either
	os.Exit(0)
}
