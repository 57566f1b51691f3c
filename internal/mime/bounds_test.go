package mime_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"letterlock/internal/mail"
	"letterlock/internal/mime"
)

// TestHostileMessagesMakeSmallSummaries sends messages made to make us keep as
// much as they can; checkSummary weighs what is kept.
func TestHostileMessagesMakeSmallSummaries(t *testing.T) {
	const many = 200_000
	part := "--b\r\nContent-Type: text/plain\r\n\r\nx\r\n"
	for name, letter := range map[string]string{
		"parts":         "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat(part, many),
		"empty parts":   "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n", many),
		"digest":        "Content-Type: multipart/digest; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nFrom: a\r\n\r\n", many),
		"multiparts":    "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\nContent-Type: multipart/x\r\n\r\n", many),
		"params":        "Content-Type: a/b" + strings.Repeat(";a=b", many) + "\r\n\r\n",
		"many params":   "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\nContent-Type: a/b"+strings.Repeat(";a=b", 999)+"\r\n\r\n", 500),
		"recipients":    "To: " + strings.Repeat("a,", many) + "\r\n\r\n",
		"groups":        "To: " + strings.Repeat("a:;", many) + "\r\n\r\n",
		"open groups":   "To: " + strings.Repeat("a:", many) + "\r\n\r\n",
		"many To":       strings.Repeat("To: a\r\n", many) + "\r\n",
		"references":    "References: " + strings.Repeat("<a>", many) + "\r\n\r\n",
		"languages":     "Content-Language: " + strings.Repeat("a,", many) + "\r\n\r\n",
		"long subject":  "Subject: " + strings.Repeat("a", 5<<20) + "\r\nFrom: a@b\r\n\r\n",
		"long lines":    strings.Repeat("Subject: "+strings.Repeat("a", 1<<17)+"\r\nX:\r\n "+strings.Repeat("b", 1<<17), 9),
		"folded":        "Subject:" + strings.Repeat(" a\r\n", many) + "\r\n",
		"brackets":      "From: " + strings.Repeat("<", many) + "\r\nReferences:" + strings.Repeat("<", many) + "\r\n\r\n",
		"quotes":        "From: " + strings.Repeat(`\"`, many) + "\r\n\r\n",
		"comments":      "From: " + strings.Repeat("(", many) + "\r\nDate: " + strings.Repeat("(", many) + "\r\n\r\n",
		"encoded words": "From: " + strings.Repeat("=?", many) + "\r\n\r\n",
		"messages":      strings.Repeat("Content-Type: message/rfc822\r\n\r\n", many),
		"nested":        nested(5000),
		"long boundary": "Content-Type: multipart/mixed; boundary=" + strings.Repeat("b", 100_000) + "\r\n\r\n--b\r\n",
		"dashes":        "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--\r\n", many),
	} {
		t.Run(name, func(t *testing.T) {
			checkSummary(t, summarize(t, []byte(letter)), []byte(letter))
		})
	}
}

// TestWhatFindsNoRoomIsNotedAsMissing: whoever looks for it knows that it may be
// in the header.
func TestWhatFindsNoRoomIsNotedAsMissing(t *testing.T) {
	for name, c := range map[string]struct {
		letter string
		short  bool
	}{
		"an ordinary letter":  {"To: a@b\r\nSubject: s\r\nReferences: <a@b>\r\n\r\n", false},
		"a thousand":          {"To: " + strings.Repeat("ann@example.org, ", 1000) + "\r\n\r\n", false},
		"five thousand":       {"To: " + strings.Repeat("ann@example.org, ", 5000) + "\r\n\r\n", true},
		"many references":     {"References: " + strings.Repeat("<a@b> ", 5000) + "\r\nSubject: s\r\n\r\n", false},
		"a long subject":      {"Subject: " + strings.Repeat("a", 300<<10) + "\r\n\r\n", true},
		"a subject that ends": {"To: " + strings.Repeat("a", 300<<10) + "\r\nSubject: s\r\n\r\n", true},
		"many fields":         {strings.Repeat("To: a@b\r\n", 600) + "Subject: s\r\n\r\n", true},
		"other fields":        {strings.Repeat("Received: from a by b\r\n", 600) + "X: " + strings.Repeat("a", 300<<10) + "\r\nSubject: s\r\n\r\n", false},
	} {
		if got := summarize(t, []byte(c.letter)).Has&mail.CutShort != 0; got != c.short {
			t.Errorf("%s: cut short is %v, want %v", name, got, c.short)
		}
	}
}

// TestRecipientsLeaveTheSenderHisRoom: however many there are, and wherever they
// stand.
func TestRecipientsLeaveTheSenderHisRoom(t *testing.T) {
	letter := []byte("To: " + strings.Repeat("ann@example.org, ", 5000) + "\r\nFrom: Mayor <mayor@example.org>\r\nReply-To: office@example.org\r\nReferences: <a@b> <c@d>\r\n\r\n")
	sum := summarize(t, letter)
	checkSummary(t, sum, letter)
	if len(sum.From) != 1 || sum.From[0].Mailbox != "mayor" || len(sum.ReplyTo) != 1 || len(sum.References) != 2 || len(sum.To) < 3000 {
		t.Errorf("got From %v, Reply-To %v, References %v and %d recipients; want one, one, two and thousands", sum.From, sum.ReplyTo, sum.References, len(sum.To))
	}
}

// nested is multiparts inside each other, each with a text before the next.
func nested(depth int) string {
	var b strings.Builder
	for i := range depth {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d-\r\n\r\n--b%d-\r\n\r\ntext\r\n--b%d-\r\n", i, i, i)
	}
	return b.String()
}

func TestBeyondTheDepthIsOneLeaf(t *testing.T) {
	letter := []byte(nested(40))
	sum := summarize(t, letter)
	checkSummary(t, sum, letter)
	depth := 0
	part := &sum.Root
	for ; part.Parts != nil; part = &part.Parts[len(part.Parts)-1] {
		depth++
	}
	if depth != 32 || part.Type != "application" || part.Subtype != "octet-stream" || part.End != int64(len(letter)) {
		t.Errorf("%d levels, then %s/%s to %d of %d; want 32 levels, then application/octet-stream to the end",
			depth, part.Type, part.Subtype, part.End, len(letter))
	}
}

func TestBeyondTheLastPartIsOneLeaf(t *testing.T) {
	letter := []byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", 9999) + "--b--\r\n")
	sum := summarize(t, letter)
	parts := sum.Root.Parts
	if len(parts) < 1000 || len(parts) >= 9999 {
		t.Fatalf("%d parts of 9999 are listed", len(parts))
	}
	if last := parts[len(parts)-1]; last.End != int64(len(letter)) {
		t.Errorf("the last listed part ends at %d of %d", last.End, len(letter))
	}
}

func TestALongListOfRecipientsStays(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("From: list@example.org\r\nTo: ")
	for i := range 2000 {
		fmt.Fprintf(&b, "Recipient Number %d <recipient-%d@example.org>,\r\n ", i, i)
	}
	b.WriteString("last@example.org\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n")
	sum := summarize(t, b.Bytes())
	if n := len(sum.To); n != 2001 || sum.To[n-1].Mailbox != "last" {
		t.Errorf("%d of 2001 recipients, the last is %+v", n, sum.To[n-1])
	}
	if len(sum.Root.Parts) != 1 {
		t.Errorf("the structure got lost: %+v", sum.Root)
	}
}

// TestSummariesDoNotHoldEachOther would fail if a summary shared memory with
// the scanner that the next message is read with.
func TestSummariesDoNotHoldEachOther(t *testing.T) {
	first := summarize(t, []byte("Subject: first\r\nFrom: a@b\r\n\r\nx"))
	summarize(t, []byte("Subject: other\r\nFrom: c@d\r\n\r\nx"))
	if first.Subject != "first" || first.From[0] != (mail.Addr{Mailbox: "a", Host: "b"}) {
		t.Errorf("the first summary has become %+v", first)
	}
}

func TestSummarizeAtOnceFromManyGoroutines(t *testing.T) {
	done := make(chan string)
	for i := range 8 {
		go func() {
			subject := strings.Repeat(string(rune('a'+i)), 100)
			letter := "Subject: " + subject + "\r\n\r\n" + strings.Repeat("text\r\n", 1000)
			for range 200 {
				sum, err := mime.Summarize(strings.NewReader(letter))
				if err != nil || sum.Subject != subject || sum.Root.Lines != 1000 {
					done <- fmt.Sprintf("%d: %v, %+v", i, err, sum)
					return
				}
			}
			done <- ""
		}()
	}
	for range 8 {
		if failure := <-done; failure != "" {
			t.Error(failure)
		}
	}
}
