package imapd_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"letterlock/internal/requiretls"
)

// bigBinary is a letter of one base64 part, and what it holds.
func bigBinary(n int) (text string, holds []byte) {
	for i := 0; len(holds) < n; i++ {
		holds = fmt.Appendf(holds, "octets %08d;", i)
	}
	var b strings.Builder
	b.WriteString("Subject: binary\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	coded := base64.StdEncoding.EncodeToString(holds)
	for len(coded) > 76 {
		b.WriteString(coded[:76] + "\r\n")
		coded = coded[76:]
	}
	return b.String() + coded + "\r\n", holds
}

// TestManyPiecesOfAPartAreDecodedOnce: were it decoded for each, the answer
// would be NO [LIMIT].
func TestManyPiecesOfAPartAreDecodedOnce(t *testing.T) {
	t.Parallel()
	h := openHouse(t)
	text, holds := bigBinary(4 << 20)
	h.deliver(letter{mailbox: "INBOX", text: text})
	c := h.loggedIn("c", "tls")
	c.ok("EXAMINE INBOX")
	var items []string
	for i := range 200 {
		items = append(items, fmt.Sprintf("BINARY.PEEK[1]<%d.2>", 3_000_000+i))
	}
	c.send("b FETCH 1 (" + strings.Join(items, " ") + ")\r\n")
	for i := range items {
		if line, want := c.line(), fmt.Sprintf("BINARY[1]<%d> {2}", 3_000_000+i); !strings.HasSuffix(line, want) {
			t.Fatalf("got %s, want %s", line, want)
		}
		got := make([]byte, 2)
		if _, err := io.ReadFull(c.r, got); err != nil || !bytes.Equal(got, holds[3_000_000+i:][:2]) {
			t.Fatalf("piece %d: got %q, %v, want %q", i, got, err, holds[3_000_000+i:][:2])
		}
	}
	if line := c.line(); line != ")" {
		t.Errorf("got %s, want )", line)
	}
	if line := c.line(); line != "b OK FETCH completed" {
		t.Errorf("got %s", line)
	}
}

// TestFetchThatReadsAndReadsIsEnded: a header of megabytes, filtered again and
// again. The session goes on.
func TestFetchThatReadsAndReadsIsEnded(t *testing.T) {
	t.Parallel()
	h := openHouse(t)
	h.deliver(letter{mailbox: "INBOX", text: "Subject: long\r\n" + strings.Repeat("X-Long: "+strings.Repeat("x", 70)+"\r\n", 60_000) + "\r\nHi\r\n"})
	h.deliver(letter{mailbox: "INBOX", text: openLetter})
	c := h.loggedIn("c", "tls")
	c.ok("EXAMINE INBOX")
	items := strings.TrimSpace(strings.Repeat("BODY.PEEK[HEADER.FIELDS (Subject)] ", 200))
	lines := c.do("FETCH 1:2 (" + items + ")")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "NO [LIMIT] ") {
		t.Errorf("got %s, want NO [LIMIT]", last)
	}
	if n := strings.Count(strings.Join(lines, "\n"), "Subject: open"); n != 200 {
		t.Errorf("the other letter was answered %d times, want 200", n)
	}
	if n := strings.Count(strings.Join(lines, "\n"), "Subject: long"); n == 0 || n == 200 {
		t.Errorf("the long header was sent %d times of 200", n)
	}
	c.ok("FETCH 1 BODY.PEEK[HEADER.FIELDS (Subject)]")
}

// TestFetchHoldsOneItemOfALineAndNotAll: what one message says of itself may be as
// long as a summary, and can be asked for 256 times in a line. While the client
// reads slowly the server holds what it is about to send, no more.
func TestFetchHoldsOneItemOfALineAndNotAll(t *testing.T) {
	for item, text := range map[string]string{
		"ENVELOPE":      "From: " + strings.Repeat(strings.Repeat("a", 60)+"@b, ", 4000) + "\r\n\r\nHi\r\n",
		"BODYSTRUCTURE": "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", 5000),
	} {
		t.Run(item, func(t *testing.T) {
			h := openHouse(t)
			h.deliver(letter{mailbox: "INBOX", text: text})
			c := h.loggedIn("c", "tls")
			c.ok("EXAMINE INBOX")
			before := held()
			c.send("f FETCH 1 (" + strings.TrimSpace(strings.Repeat(item+" ", 256)) + ")\r\n")
			if _, err := io.ReadFull(c.r, make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			if now := held(); now > before+24<<20 {
				t.Errorf("the server holds %d KiB for the line, want no more than some items", (now-before)>>10)
			}
			c.conn.Close()
		})
	}
}

// TestMultiAppendHoldsNoMoreThanItMay: a message of a few KiB may have a thousand
// parts, and what is known of them takes forty times as much; a thousand such
// messages make one APPEND.
func TestMultiAppendHoldsNoMoreThanItMay(t *testing.T) {
	t.Parallel()
	h := openHouse(t)
	c := h.loggedIn("c", "tls")
	parts := "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\n", 1000)
	multiAppend := func(letters int) (lines []string) {
		command := "APPEND INBOX"
		for range letters {
			command += fmt.Sprintf(" {%d+}\r\n%s", len(parts), parts)
		}
		return c.do(command)
	}
	if got, want := multiAppend(200), "NO [LIMIT] Too much in one APPEND; append fewer messages at once"; got[0] != want {
		t.Errorf("got %q, want %s", got, want)
	}
	if got := multiAppend(10); !strings.HasPrefix(got[0], "OK [APPENDUID ") {
		t.Errorf("ten of them: got %q, want OK", got)
	}
}

// held is the octets of memory that are in use.
func held() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestSearchForTooManyTextsIsRefused: with the limit in the answer.
func TestSearchForTooManyTextsIsRefused(t *testing.T) {
	t.Parallel()
	h := openHouse(t)
	h.deliver(letter{mailbox: "INBOX", text: openLetter})
	c := h.loggedIn("c", "tls")
	c.ok("EXAMINE INBOX")
	var keys strings.Builder
	for i := range 257 {
		fmt.Fprintf(&keys, " NOT BODY a%d", i)
	}
	if got, want := c.do("SEARCH" + keys.String())[0], "NO [LIMIT] A search can look for up to 256 texts at once"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := c.ok("SEARCH" + strings.Repeat(" NOT BODY same", 1000))[0]; got != "* SEARCH 1" {
		t.Errorf("got %s, want * SEARCH 1", got)
	}
}

// evenUIDs is a search key that is long for what it says.
func evenUIDs(n int) string {
	b := []byte("UID 2")
	for i := 2; i <= n; i++ {
		b = fmt.Appendf(b, ",%d", 2*i)
	}
	return string(b)
}

// TestFiltersOfOneSearchAreBounded: a filter is written once, and could be named
// two thousand times.
func TestFiltersOfOneSearchAreBounded(t *testing.T) {
	t.Parallel()
	h := openHouse(t)
	h.deliver(letter{mailbox: "INBOX", text: openLetter})
	c := h.loggedIn("c", "tls")
	c.ok("EXAMINE INBOX")
	key := "NOT " + evenUIDs(7000)
	c.ok(fmt.Sprintf("SETMETADATA \"\" (/private/filters/values/even {%d+}\r\n%s)", len(key), key))
	if got := c.ok("SEARCH FILTER even")[0]; got != "* SEARCH 1" {
		t.Errorf("got %s, want * SEARCH 1", got)
	}
	const want = "NO [LIMIT] The filters of a search may be 64 KiB together"
	for _, search := range []string{"SEARCH FILTER even FILTER even", "SEARCH RETURN (UPDATE) OR FILTER even FILTER even", "ESEARCH IN (personal) FILTER even FILTER even"} {
		if lines := c.do(search); lines[len(lines)-1] != want {
			t.Errorf("%s: got %q, want %s", search, lines, want)
		}
	}
	c.ok("SEARCH FILTER even")
}

// TestContextsAreBoundedByWhatTheirSearchesTake: not by their number alone (RFC
// 5267 §4.3.1).
func TestContextsAreBoundedByWhatTheirSearchesTake(t *testing.T) {
	t.Parallel()
	h := openHouse(t)
	h.deliver(letter{mailbox: "INBOX", text: openLetter})
	c := h.loggedIn("c", "tls")
	c.ok("EXAMINE INBOX")
	c.ok("SEARCH RETURN (UPDATE) ALL")
	refused := 0
	for range 15 {
		lines := c.ok("SEARCH RETURN (UPDATE) NOT " + evenUIDs(8000))
		if strings.Contains(strings.Join(lines, "\n"), "* NO [NOUPDATE ") {
			refused++
		}
	}
	if refused != 7 {
		t.Errorf("%d of 15 searches of 64 KB were not kept up to date, want 7", refused)
	}
	if lines := c.ok("SEARCH RETURN (UPDATE) SEEN"); strings.Contains(strings.Join(lines, "\n"), "NOUPDATE") {
		t.Errorf("a small one beside them: got %q", lines)
	}
}

// TestTooManyMessagesInOneAppendAreNotCalledKeywords: what the vault takes at once
// has an end, and the client has to hear which one it met.
func TestTooManyMessagesInOneAppendAreNotCalledKeywords(t *testing.T) {
	t.Parallel()
	h := openHouse(t)
	c := h.loggedIn("c", "tls")
	lines := c.do("APPEND INBOX" + strings.Repeat(" (work) {12+}\r\nA: b\r\n\r\nhi\r\n", 990))
	if got, want := lines[0], "NO [LIMIT] Too much in one APPEND; append fewer messages at once"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if lines = c.ok("STATUS INBOX (MESSAGES)"); lines[0] != "* STATUS INBOX (MESSAGES 0)" {
		t.Errorf("got %s, want no message", lines[0])
	}
}

// TestDamagedMessageIsNamedAndTheOthersServed: nothing of it is sent, nothing
// that was promised is left out, and the session goes on.
func TestDamagedMessageIsNamedAndTheOthersServed(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"small": 400, "big": 200 << 10} {
		t.Run(name, func(t *testing.T) {
			h := openHouse(t)
			h.deliver(letter{mailbox: "INBOX", text: openLetter})
			const trace = "Grevyzebra"
			h.deliver(letter{mailbox: "INBOX", text: "Subject: damaged\r\n\r\n" + strings.Repeat("-", size) + "\r\n" + trace + "\r\n", demand: requiretls.Usual()})
			h.deliver(letter{mailbox: "INBOX", text: openLetter})
			damage(t, h.dir, trace)
			c := h.loggedIn("c", "tls")
			c.ok("EXAMINE INBOX")
			for _, items := range []string{"BODY.PEEK[]", "(UID BODY.PEEK[TEXT])", "(FLAGS BODY.PEEK[1])", "BINARY.PEEK[1]", "(BODY.PEEK[HEADER] BINARY.PEEK[1] BINARY.SIZE[1] BINARY.PEEK[1])"} {
				lines := c.do("FETCH 1:3 " + items)
				said := strings.Join(lines, "\n")
				if last := lines[len(lines)-1]; last != "NO [CORRUPTION] 1 message cannot be read" {
					t.Errorf("FETCH %s: got %s", items, last)
				}
				if n := strings.Count(said, "an open letter"); n < 2 {
					t.Errorf("FETCH %s: the others came %d times: %s", items, n, said)
				}
				if strings.Contains(said, trace) {
					t.Errorf("FETCH %s: sent damaged octets", items)
				}
			}
			if lines := c.do("SEARCH TEXT open"); lines[0] != "* SEARCH 1 3" || !strings.Contains(lines[1], "[CORRUPTION]") {
				t.Errorf("SEARCH: got %q", lines)
			}
		})
	}
}

// damage changes an octet of the stored message that has trace in it.
func damage(t *testing.T, dir, trace string) {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		octets, err := os.ReadFile(path)
		if i := bytes.Index(octets, []byte(trace)); err == nil && i >= 0 {
			found = true
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteAt([]byte{octets[i+3] ^ 1}, int64(i+3))
			return err
		}
		return err
	})
	if err != nil || !found {
		t.Fatalf("damage the message: found is %v, %v", found, err)
	}
}

// crowdAt is twenty sessions at a mailbox of n letters, a power of two, beside the
// one that has filled it.
func crowdAt(t *testing.T, n int) (c *client, crowd []*client) {
	t.Helper()
	h := openHouse(t)
	h.deliver(letter{mailbox: "INBOX", text: openLetter})
	c = h.loggedIn("c", "tls")
	c.ok("SELECT INBOX")
	for there := 1; there < n; there *= 2 {
		c.ok("COPY 1:* INBOX")
	}
	for i := range 20 {
		one := h.loggedIn(fmt.Sprint("c", i), "tls")
		one.ok("SELECT INBOX")
		crowd = append(crowd, one)
	}
	return c, crowd
}

// TestSavedResultIsSmall: each session may save one (RFC 5182), of a mailbox however
// great.
func TestSavedResultIsSmall(t *testing.T) {
	_, clients := crowdAt(t, 1<<17)
	before := held()
	for _, c := range clients {
		c.ok("SEARCH RETURN (SAVE) ALL")
	}
	if now := held(); now > before+4<<20 {
		t.Errorf("%d saved results take %d KiB", len(clients), (now-before)>>10)
	}
	if got, want := clients[0].ok("SEARCH RETURN (COUNT) $")[0], " COUNT 131072"; !strings.HasSuffix(got, want) {
		t.Errorf("got %s, want …%s", got, want)
	}
}

// TestFetchOfManyHoldsFew: while its client reads slowly a FETCH holds little,
// however many messages it is about.
func TestFetchOfManyHoldsFew(t *testing.T) {
	c, clients := crowdAt(t, 1<<18)
	c.ok("UID FETCH 1:* (FLAGS INTERNALDATE)") // what all share is in memory then
	before := held()
	for _, c := range clients {
		c.send("f UID FETCH 1:* (FLAGS INTERNALDATE)\r\n")
		if _, err := io.ReadFull(c.r, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if now := held(); now > before+uint64(len(clients))<<21 {
		t.Errorf("%d sessions hold %d KiB", len(clients), (now-before)>>10)
	}
}
