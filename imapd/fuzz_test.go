package imapd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"letterlock/internal/auth"
	"letterlock/internal/dialogue"
	"letterlock/internal/mail"
	"letterlock/internal/mime"
	"letterlock/internal/requiretls"
	"letterlock/internal/serve"
	"letterlock/storage"
)

const kept = "axolotl" // in every line of the letter that must not leave

// FuzzSession gives a whole session to a stranger who is logged in without TLS
// in a mailbox with a REQUIRETLS letter: nothing may panic or hang, and
// no octet of that letter may come out.
func FuzzSession(f *testing.F) {
	for _, seed := range []string{
		"a NOOP\r\nb LOGOUT\r\n",
		"a SELECT INBOX\r\nb FETCH 1:* (FLAGS BODY[])\r\nc UID FETCH 1:* (ENVELOPE BODYSTRUCTURE BINARY[1]<2.3>)\r\n",
		"a SELECT INBOX\r\nb SEARCH RETURN (SAVE) OR NOT TEXT x (FROM y SINCE 1-Jan-2020)\r\nc COPY $ Sent\r\nd MOVE 1 Trash\r\n",
		"a SELECT INBOX\r\nb STORE 1:* +FLAGS.SILENT (\\Deleted $RequireTLS)\r\nc EXPUNGE\r\nd UID EXPUNGE 1:*\r\ne CLOSE\r\n",
		"a APPEND INBOX (\\Seen) \"17-Jul-1996 02:44:25 -0700\" {5+}\r\na: b\n\r\nb APPEND x UTF8 (~{3+}\r\nabc)\r\n",
		"a LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (\"%\" \"a*\") RETURN (STATUS (MESSAGES SIZE))\r\nb LSUB \"\" %\r\n",
		"a CREATE &Jjo-/x\r\nb RENAME INBOX y\r\nc DELETE y\r\nd SUBSCRIBE z\r\n",
		"a ENABLE IMAP4rev2 UTF8=ACCEPT\r\nb SELECT INBOX\r\nc IDLE\r\nDONE\r\nd UID SEARCH TEXT {3+}\r\nabc\r\n",
		"a AUTHENTICATE PLAIN\r\n*\r\nb LOGIN {3+}\r\nabc {2}\r\n",
		"a FETCH {9999999+}\r\n\r\nx\r\n\x00\xff\n",
		"a SELECT INBOX (CONDSTORE)\r\nb SORT RETURN (ALL UPDATE (PREVIEW)) (REVERSE SUBJECT FROM) UTF-8 ALL\r\nc THREAD REFERENCES UTF-8 FUZZY TEXT x\r\nd STORE 1:* (UNCHANGEDSINCE 9) FLAGS (x)\r\n",
		"a ENABLE QRESYNC\r\nb SELECT INBOX (QRESYNC (1 1 1:9 (1:3 1:3)))\r\nc UID FETCH 1:* (THREADID EMAILID SAVEDATE PREVIEW (LAZY)) (CHANGEDSINCE 1 VANISHED)\r\n",
		"a APPEND INBOX CATENATE (URL \"/INBOX/;UID=2/;SECTION=TEXT/;PARTIAL=1.5\" TEXT {3+}\r\nabc)\r\nb SELECT INBOX\r\nc REPLACE 2 Sent {5+}\r\na: b\n\r\nd UID REPLACE * INBOX CATENATE (URL \";UID=2\")\r\n",
		"a ENABLE IMAP4rev2\r\nb CREATE \"Ma\u0308rz/\"\r\nc EXAMINE inbox\r\nd RENAME \"Ma\u0308rz\" \"A\u0308\"\r\ne APPEND \"A\u0308\" {5+}\r\na: b\n\r\nf DELETE \"A\u0308\"\r\ng SEARCH RETURN (SAVE UPDATE) CHARSET UTF-7 TEXT +AOk-\r\nh FETCH $ FLAGS (PARTIAL 1:9)\r\n",
		"a NOTIFY SET STATUS (SELECTED (MessageNew (BODY.PEEK[] ENVELOPE) MessageExpunge)) (PERSONAL (MessageNew MessageExpunge MailboxName))\r\nb SELECT INBOX\r\nc ESEARCH IN (PERSONAL) RETURN (PARTIAL 1:5) NOT SUBJECT x\r\nd UNAUTHENTICATE\r\n",
		"a SETMETADATA \"\" (/private/filters/values/x \"NOT TEXT x\")\r\nb SELECT INBOX\r\nc SEARCH FILTER x\r\nd GETMETADATA (DEPTH infinity MAXSIZE 9) \"\" (/private)\r\ne GETQUOTAROOT INBOX\r\nf SETQUOTA x (STORAGE 1)\r\n",
	} {
		f.Add([]byte(seed))
	}
	den := openDen(f)
	f.Fuzz(func(t *testing.T, input []byte) {
		said := den.converse(t, input)
		if bytes.Contains(bytes.ToLower(said), []byte(kept)) && !bytes.Contains(bytes.ToLower(input), []byte(kept)) {
			t.Errorf("content of the letter came out:\n%s", said)
		}
		if n := den.srv.Stats().Panics; n > 0 {
			t.Fatalf("a session panicked:\n%s", &den.log)
		}
	})
}

// den is a server whose visitors are logged in without being asked.
type den struct {
	srv *serve.Server
	log dialogue.Record
}

type noUsers struct{}

func (noUsers) Credentials(context.Context, string) (uint64, []byte, error) {
	return 0, nil, auth.ErrNoUser
}

func openDen(f *testing.F) *den {
	store, err := storage.Open(f.TempDir(), storage.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	p, err := store.AddPerson(f.Context(), mail.Address{Local: "ann", Domain: "example.org"}, nil)
	if err != nil {
		f.Fatal(err)
	}
	d := &den{}
	imap := New(Options{Store: store, Passwords: auth.NewChecker(noUsers{}, 1), MaxMessage: 64 << 10, MaxPerUser: 1000})
	d.srv, err = serve.Listen(serve.Options{
		Name: "imap", Endpoints: []serve.Endpoint{{Network: "tcp", Address: "127.0.0.1:0"}}, Log: slog.New(slog.NewTextHandler(&d.log, nil)),
		Handle: func(ctx context.Context, conn *serve.Conn) {
			s := newSession(imap, conn)
			defer s.end()
			if err := s.become(ctx, "ann@example.org", p.ID, conn.Reader()); err != nil {
				f.Errorf("log in: %v", err)
				return
			}
			s.ensureLetter(ctx, f)
			s.run(ctx)
		},
	})
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.srv.Run(ctx) }()
	f.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, store.Close()); err != nil {
			f.Error(err)
		}
	})
	return d
}

// ensureLetter puts the letter that must not leave into INBOX when the
// stranger before has renamed it away.
func (s *session) ensureLetter(ctx context.Context, f *testing.F) {
	box, err := s.account.Mailbox(ctx, inbox)
	if err != nil {
		f.Errorf("INBOX: %v", err)
		return
	}
	if box.Required > 0 {
		return
	}
	body := bytes.NewReader([]byte(strings.ReplaceAll("Subject: X\r\nFrom: X <X@X.example>\r\nContent-Type: text/plain; name=X\r\n\r\nX\r\n", "X", kept)))
	summary, err := mime.Summarize(body)
	if err == nil {
		_, _, err = s.account.Append(ctx, inbox, []storage.Letter{{Body: body, Summary: summary, Demand: requiretls.Required()}})
	}
	if err != nil {
		f.Errorf("letter: %v", err)
	}
}

// converse says all of input and hears all of the answer.
func (d *den) converse(t *testing.T, input []byte) []byte {
	conn, err := net.Dial("tcp", d.srv.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	go func() {
		if _, err := conn.Write(input); err == nil { // the server may have hung up
			_ = conn.(*net.TCPConn).CloseWrite()
		}
	}()
	said, err := io.ReadAll(conn)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatalf("the session hung after %q", said)
	}
	return said
}
