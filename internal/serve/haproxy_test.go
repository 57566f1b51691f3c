package serve_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"letterlock/internal/dialogue"
	"letterlock/internal/serve"
)

// Real HAProxy, where Debian's haproxy is installed: what it says of its clients
// in each of the ways it is put before a mail server.
func TestBehindHAProxy(t *testing.T) {
	program, err := exec.LookPath("haproxy")
	if err != nil {
		t.Skip("haproxy is not installed: apt-get install haproxy")
	}
	h := openProxied(t, serve.Options{ALPN: []string{"imap"}, Proxies: serve.Proxies{Trusted: loopback}},
		"127.0.0.1:0", "tls:127.0.0.1:0", "unix:"+filepath.Join(t.TempDir(), "s"))
	plain, secure, socket := h.Addrs()[0].String(), h.Addrs()[1].String(), "unix@"+h.Addrs()[2].String()
	over := " ssl verify required ca-file " + filepath.Join(h.dir, "ca.pem") + " verifyhost mail.example.org"
	ways := []struct {
		name, server string
		ends, passes bool // who ends the client's TLS: the proxy, or we behind it
		want         string
	}{
		{"v1, the client in clear", plain + " send-proxy", false, false, "clear"},
		{"v2 with TLS facts, the client in clear", plain + " send-proxy-v2-ssl", false, false, "clear"},
		{"v2 with TLS facts and a checksum, TLS to the proxy", plain + " send-proxy-v2-ssl proxy-v2-options crc32c,unique-id", true, false, "proxied"},
		{"the same over a UNIX socket", socket + " send-proxy-v2-ssl-cn", true, false, "proxied"},
		{"v2 without TLS facts, TLS to the proxy", plain + " send-proxy-v2", true, false, "clear"},
		{"v1, TLS to the proxy", plain + " send-proxy", true, false, "clear"},
		{"TLS passed on, v2", secure + " send-proxy-v2", false, true, "tls"},
		{"TLS passed on, v1", secure + " send-proxy", false, true, "tls"},
		{"TLS on both sides", secure + " send-proxy-v2-ssl" + over, true, false, "proxied"},
		{"TLS on our side alone", secure + " send-proxy-v2-ssl" + over, false, false, "clear"},
	}
	pair := bundle(t, h.dir)
	var conf strings.Builder
	conf.WriteString("global\n  maxconn 100\ndefaults\n  mode tcp\n  timeout connect 10s\n  timeout client 30s\n  timeout server 30s\n")
	proxy := exec.Command(program, "-db", "-f", filepath.Join(h.dir, "haproxy.cfg"))
	var places []string
	for i, w := range ways {
		place, listener := listening(t)
		places, proxy.ExtraFiles = append(places, place), append(proxy.ExtraFiles, listener)
		bind := fmt.Sprintf("fd@%d", 3+i)
		if w.ends {
			bind += " ssl crt " + pair + " alpn imap"
		}
		fmt.Fprintf(&conf, "listen way%d\n  bind %s\n  server us %s\n", i, bind, w.server)
	}
	if err := os.WriteFile(filepath.Join(h.dir, "haproxy.cfg"), []byte(conf.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var said dialogue.Record
	proxy.Stderr = &said
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { proxy.Process.Kill(); proxy.Wait() })
	for i, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			g := visitFrom(t, "127.0.0.2", places[i])
			if w.ends || w.passes {
				tlsConf := h.trust(t)
				tlsConf.NextProtos = []string{"imap"}
				if err := g.startTLS(tlsConf); err != nil {
					t.Fatalf("%v\n%s%s", err, said.String(), h.log.String())
				}
			}
			g.says("hello 127.0.0.2 " + w.want)
			g.ask("still me", "still me")
		})
	}
}

// bundle is certificate and key in one file, as HAProxy wants them.
func bundle(t *testing.T, dir string) string {
	t.Helper()
	var both []byte
	for _, name := range []string{"cert.pem", "key.pem"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, text...)
	}
	file := filepath.Join(dir, "both.pem")
	if err := os.WriteFile(file, both, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// listening is a socket for the proxy to accept at, bound here so that its port
// is known and nobody waits for the proxy to come up.
func listening(t *testing.T) (address string, f *os.File) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if f, err = l.(*net.TCPListener).File(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return l.Addr().String(), f
}

// visitFrom connects from an address of its own.
func visitFrom(t *testing.T, from, to string) *guest {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := dialer.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return &guest{t, c, bufio.NewReader(c)}
}
