package syntax

import (
	"bufio"
	"net"
	"strings"
	"testing"

	"letterlock/internal/mail"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// serveOne greets a client and answers its first command with lines.
func serveOne(conn net.Conn, lines []byte) error {
	if _, err := conn.Write([]byte("* PREAUTH [CAPABILITY IMAP4rev1] ready\r\n")); err != nil {
		return err
	}
	command, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	tag, _, _ := strings.Cut(command, " ")
	_, err = conn.Write(append(lines, tag+" OK done\r\n"...))
	return err
}

// A client written by others reads what we write.
func TestAClientReadsOurStructures(t *testing.T) {
	inner := letter()
	inner.Subject = "8-bit \xc3\xa4 and \"quotes\""
	s := letter()
	s.Root.Parts = append(s.Root.Parts, mail.Part{Type: "message", Subtype: "rfc822", Encoding: "7bit", End: 900, Lines: 40, Message: inner},
		mail.Part{Type: "multipart", Subtype: "mixed"})
	line := append([]byte("* 1 FETCH (FLAGS "), AppendFlags(nil, []imap.Flag{imap.FlagSeen, "$Junk"})...)
	line = AppendEnvelope(append(line, " ENVELOPE "...), s, 0)
	line = AppendBodyStructure(append(line, " BODYSTRUCTURE "...), &s.Root, 0)
	line = append(line, ")\r\n"...)

	ours, theirs := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- serveOne(ours, line) }()
	c := imapclient.New(theirs, nil)
	defer c.Close()
	messages, err := c.Fetch(imap.SeqSetNum(1), &imap.FetchOptions{Flags: true, Envelope: true, BodyStructure: &imap.FetchItemBodyStructure{Extended: true}}).Collect()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d messages, %v", len(messages), err)
	}
	m := messages[0]
	if len(m.Flags) != 2 || m.Envelope.From[0].Addr() != "ann@example.org" || len(m.Envelope.To) != 2 || m.Envelope.Sender[0] != m.Envelope.From[0] {
		t.Errorf("%+v", m.Envelope)
	}
	var types []string
	m.BodyStructure.Walk(func(_ []int, part imap.BodyStructure) bool {
		types = append(types, part.MediaType())
		return true
	})
	if got := strings.Join(types, " "); got != "multipart/mixed multipart/alternative text/plain text/html application/pdf message/rfc822 multipart/mixed text/plain" {
		t.Errorf("structure %s", got)
	}
	forwarded := m.BodyStructure.(*imap.BodyStructureMultiPart).Children[2].(*imap.BodyStructureSinglePart).MessageRFC822
	if forwarded.Envelope.Subject != inner.Subject || forwarded.NumLines != 40 {
		t.Errorf("forwarded %+v", forwarded)
	}
}
