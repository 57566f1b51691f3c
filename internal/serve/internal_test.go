package serve

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestChangedCertificateFilesAreSeenByAHandshake(t *testing.T) {
	dir := t.TempDir()
	cert, key, err := PrivateCA(dir, []string{"old.example.org"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	c, err := LoadCertificates(cert, key, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	shows := func(name, when string, want bool) {
		t.Helper()
		now = now.Add(lookEvery)
		c.look(now)
		shown, err := c.Config().GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := shown.Leaf.VerifyHostname(name) == nil; got != want {
			t.Errorf("%s: certificate for %s shown: %t, want %t", when, name, got, want)
		}
	}
	shows("new.example.org", "at first", false)
	if _, _, err := PrivateCA(dir, []string{"new.example.org"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	shows("new.example.org", "replaced", true)
	if err := os.WriteFile(cert, []byte("oops"), 0o600); err != nil {
		t.Fatal(err)
	}
	shows("new.example.org", "broken", true)
	shows("new.example.org", "still broken", true)
	if n := strings.Count(log.String(), "the old one stays"); n != 1 {
		t.Errorf("a broken file was complained of %d times, want once:\n%s", n, log.String())
	}
}

// A crowd that has come in leaves no garbage behind; connections that come and go
// cost nobody a collection.
func TestMemoryIsGivenBackWhenACrowdHasCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		freed := 0
		l := lull{free: func() { freed++ }}
		defer l.end()
		collections := 0
		come := func(from, to, want, wantCollections int, what string) {
			t.Helper()
			for open := from; open <= to; open++ {
				if l.disturb(open) {
					collections++
				}
				time.Sleep(lullTime / 2) // the bubble's clock
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			if freed != want || collections != wantCollections {
				t.Errorf("%s: memory was given back %d times, want %d; %d collections, want %d",
					what, freed, want, collections, wantCollections)
			}
		}
		come(1, crowdSize-1, 0, 0, "nearly a crowd")
		come(crowdSize, crowdSize, 1, 0, "a crowd")
		for range 3 * crowdSteps {
			come(crowdSize, crowdSize, 1, 0, "one goes, one comes")
		}
		come(crowdSize+1, crowdSize+2*crowdSteps, 2, 2, "a bigger crowd, steadily")
		come(1, crowdSize, 2, 2, "another day")
		come(crowdSize+1, crowdSize+2, 3, 2, "and its crowd")
	})
}

func TestOneAddressHasALimitOfItsOwn(t *testing.T) {
	c := crowd{max: 100, maxPerAddr: 2, perAddr: make(map[netip.Addr]int)}
	enter := func(addr string, want bool) {
		t.Helper()
		if why := c.enter(netip.MustParseAddr(addr)); (why == "") != want {
			t.Errorf("%s: %q, want entry %t", addr, why, want)
		}
	}
	enter("192.0.2.1", true)
	enter("192.0.2.1", true)
	enter("192.0.2.1", false)
	enter("192.0.2.2", true)
	enter("2001:db8::1", true)
	enter("2001:db8::2", true)
	enter("2001:db8::3", false) // the same /64
	enter("2001:db8:0:1::1", true)
	for range 10 {
		enter("127.0.0.1", true) // a proxy or an MTA on this machine
	}
	c.leave(netip.MustParseAddr("192.0.2.1"))
	enter("192.0.2.1", true)
	for range 10 {
		if why := c.enter(netip.Addr{}); why != "" { // UNIX socket
			t.Error(why)
		}
	}
}

// Exim says goodbye in TLS and waits for ours, up to two seconds a letter.
func TestPartAnswersAGoodbyeInTLS(t *testing.T) {
	defer func(usual time.Duration) { partTime = usual }(partTime)
	partTime = 2 * time.Minute // longer than the peer waits
	cert, key, err := PrivateCA(t.TempDir(), []string{"mail.example.org"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	certs, err := LoadCertificates(cert, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	parted := make(chan error, 1)
	go func() {
		raw, err := ln.Accept()
		if err != nil {
			parted <- err
			return
		}
		defer raw.Close()
		c := &Conn{Conn: raw, tls: certs.Config()}
		if err = c.StartTLS(t.Context()); err == nil {
			err = c.Part()
		}
		parted <- err
	}()
	raw, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(20 * time.Second))
	peer := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
	if err := errors.Join(peer.Handshake(), peer.CloseWrite()); err != nil {
		t.Fatal(err)
	}
	if _, err := peer.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("read: %v, want the server's goodbye", err)
	}
	raw.Close()
	if err := <-parted; err != nil {
		t.Errorf("it did not part in peace: %v", err)
	}
}
