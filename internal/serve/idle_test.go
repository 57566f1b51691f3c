package serve_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"letterlock/internal/serve"
	"letterlock/internal/wire"
)

// idleConnections is how many; LETTERLOCK_TEST_CONNECTIONS=5000 is the long form.
func idleConnections() int {
	if n, err := strconv.Atoi(os.Getenv("LETTERLOCK_TEST_CONNECTIONS")); err == nil {
		return n
	}
	return 100
}

// An idle session over TLS, read by package wire, is to cost less than 24 KiB.
// The clients are a process of their own, so that only our end is weighed.
func TestIdleConnectionsAreCheap(t *testing.T) {
	weigh(t, 24<<10, func(*serve.Conn, *wire.Reader) error { return nil }, "")
}

// One that is compressed, with 4 KiB of commands behind it, costs less than 40 KiB.
func TestIdleCompressedConnectionsAreCheap(t *testing.T) {
	var commands bytes.Buffer
	w, err := flate.NewWriter(&commands, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		fmt.Fprintf(w, "a%d UID FETCH %d:* (FLAGS UID MODSEQ)\r\n", i, i*i*i)
	}
	w.Flush()
	weigh(t, 40<<10, func(c *serve.Conn, in *wire.Reader) error {
		if err := c.Compress(in.Take()); err != nil {
			return err
		}
		for range 100 {
			if _, err := in.Line(4096); err != nil {
				return err
			}
		}
		return nil
	}, commands.String())
}

// weigh weighs connections whose clients have said a line and then more, which
// begin understands. Each may cost most octets.
func weigh(t *testing.T, most int64, begin func(*serve.Conn, *wire.Reader) error, more string) {
	if address := os.Getenv("LETTERLOCK_TEST_CLIENTS_OF"); address != "" {
		holdConnections(t, address, more)
		return
	}
	resting := make(chan struct{}, idleConnections())
	h := open(t, serve.Options{Handle: func(ctx context.Context, c *serve.Conn) {
		in, out := wire.NewReader(c, time.Minute), wire.NewWriter(c, time.Minute)
		defer c.OnDraining(in.Interrupt)()
		if _, err := in.Line(4096); err != nil {
			return
		}
		if err := begin(c, in); err != nil {
			t.Error(err)
		}
		out.WriteString("* OK\r\n")
		out.Flush()
		resting <- struct{}{}
		in.Await()
	}}, "tls:127.0.0.1:0")
	before := weight()
	clients := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	clients.Env = append(os.Environ(), "LETTERLOCK_TEST_CLIENTS_OF="+h.Addrs()[0].String(), "LETTERLOCK_TEST_CA="+filepath.Join(h.dir, "ca.pem"))
	hold, err := clients.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	clients.Stderr = os.Stderr
	if err := clients.Start(); err != nil {
		t.Fatal(err)
	}
	defer clients.Wait()
	defer hold.Close()
	for range idleConnections() {
		select {
		case <-resting:
		case <-time.After(30 * time.Second):
			t.Fatal("the clients did not come")
		}
	}
	each := (weight() - before) / int64(idleConnections())
	t.Logf("%d octets for each idle connection", each)
	if each > most {
		t.Errorf("%d octets for each idle connection, want at most %d", each, most)
	}
}

func weight() int64 {
	runtime.GC()
	runtime.GC() // pools are emptied by the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// holdConnections connects, says more, and waits until its standard input is
// closed.
func holdConnections(t *testing.T, address, more string) {
	pem, err := os.ReadFile(os.Getenv("LETTERLOCK_TEST_CA"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	for range idleConnections() {
		raw, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		c := tls.Client(raw, &tls.Config{RootCAs: pool, ServerName: "localhost"})
		fmt.Fprint(c, "NOOP\r\n"+more)
		if n, err := c.Read(make([]byte, 99)); err != nil {
			t.Fatal(n, err)
		}
	}
	bufio.NewReader(os.Stdin).ReadByte()
}
