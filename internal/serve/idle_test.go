package serve_test

import (
	"bufio"
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

// An idle session over TLS, read by package wire, is to cost less than 40 KiB.
// The clients are a process of their own, so that only our end is weighed.
func TestIdleConnectionsAreCheap(t *testing.T) {
	if address := os.Getenv("LETTERLOCK_TEST_CLIENTS_OF"); address != "" {
		holdConnections(t, address)
		return
	}
	resting := make(chan struct{}, idleConnections())
	h := open(t, serve.Options{Handle: func(ctx context.Context, c *serve.Conn) {
		in, out := wire.NewReader(c, time.Minute), wire.NewWriter(c, time.Minute)
		defer c.OnDraining(in.Interrupt)()
		if _, err := in.Line(4096); err != nil {
			return
		}
		out.WriteString("* OK\r\n")
		out.Flush()
		resting <- struct{}{}
		in.Await()
	}}, "tls:127.0.0.1:0")
	before := weight()
	clients := exec.Command(os.Args[0], "-test.run=^TestIdleConnectionsAreCheap$")
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
	if each > 40<<10 {
		t.Errorf("%d octets for each idle connection, want at most 40 KiB", each)
	}
}

func weight() int64 {
	runtime.GC()
	runtime.GC() // pools are emptied by the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// holdConnections connects and waits until its standard input is closed.
func holdConnections(t *testing.T, address string) {
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
		fmt.Fprint(c, "NOOP\r\n")
		if line, err := bufio.NewReader(c).ReadString('\n'); err != nil {
			t.Fatalf("%q, %v", line, err)
		}
	}
	bufio.NewReader(os.Stdin).ReadByte()
}
