package relay

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"letterlock/internal/mail"
	"letterlock/internal/reply"
	"letterlock/internal/requiretls"
	"letterlock/internal/testnet"
)

// These stories need Debian's unbound, knot and postfix, and root: make peers.
func needPeers(t *testing.T, programs ...string) {
	t.Helper()
	if os.Getenv("LETTERLOCK_PEERS") == "" {
		t.Skip("LETTERLOCK_PEERS is not set: make peers")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("%s is not installed: make peers installs it", p)
		}
	}
}

// freePort is a port of loopback that nobody listens at, for UDP and TCP.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// daemon runs a program that stays in the foreground until the test ends.
func daemon(t *testing.T, name string, args ...string) {
	t.Helper()
	var said bytes.Buffer
	c := exec.Command(name, args...)
	c.Stdout, c.Stderr = &said, &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(os.Interrupt)
		_ = c.Wait() // it was told to end
		if t.Failed() {
			t.Logf("%s said:\n%s", name, said.String())
		}
	})
}

func runProgram(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func write(t *testing.T, name, format string, args ...any) string {
	t.Helper()
	if err := os.WriteFile(name, fmt.Appendf(nil, format, args...), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// soon tries until something is so; what it waits for is another program.
func soon(t *testing.T, what string, so func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		err := so()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-time.After(100 * time.Millisecond): // no signal comes out of them
		}
	}
}

// realDNS is knot serving signed.test (which it signs), plain.test and
// bogus.test, and unbound validating them. zone is added to each zone file.
func realDNS(t *testing.T, zone string) *DNS {
	t.Helper()
	needPeers(t, "knotd", "keymgr", "unbound")
	dir, err := os.MkdirTemp("", "letterlock-dns")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	auth, resolver := freePort(t), freePort(t)
	conf := fmt.Sprintf("server:\n  rundir: %q\n  listen: 127.0.0.1@%s\n  user: root\ndatabase:\n  storage: %q\nlog:\n  - target: stderr\n    any: warning\npolicy:\n  - id: one\n    algorithm: ecdsap256sha256\n    single-type-signing: on\nzone:\n", dir, auth, dir)
	for _, name := range []string{"signed.test", "plain.test", "bogus.test"} {
		conf += fmt.Sprintf("  - domain: %s\n    storage: %q\n    file: %s.zone\n", name, dir, name)
		if name == "signed.test" {
			conf += "    dnssec-signing: on\n    dnssec-policy: one\n"
		}
		write(t, filepath.Join(dir, name+".zone"), "$ORIGIN %s.\n$TTL 60\n@ SOA ns hostmaster 1 3600 900 604800 60\n@ NS ns\nns A 127.0.0.1\n%s", name, zone)
	}
	knot := write(t, filepath.Join(dir, "knot.conf"), "%s", conf)
	daemon(t, "knotd", "-c", knot)
	var ds string
	soon(t, "knot signs", func() error {
		out, err := exec.Command("keymgr", "-c", knot, "signed.test", "ds").CombinedOutput()
		ds = strings.TrimSpace(string(out))
		if err == nil && ds == "" {
			err = errors.New("no key yet")
		}
		return err
	})
	anchors := ""
	for line := range strings.Lines(ds) {
		_, data, _ := strings.Cut(strings.TrimSpace(line), " DS ")
		anchors += fmt.Sprintf("  trust-anchor: \"signed.test. DS %s\"\n  trust-anchor: \"bogus.test. DS %s\"\n", data, data)
	}
	stubs := ""
	for _, name := range []string{"signed.test", "plain.test", "bogus.test"} {
		stubs += fmt.Sprintf("stub-zone:\n  name: %q\n  stub-addr: 127.0.0.1@%s\n", name, auth)
	}
	unbound := write(t, filepath.Join(dir, "unbound.conf"), `server:
  interface: 127.0.0.1
  port: %s
  do-daemonize: no
  use-syslog: no
  logfile: ""
  chroot: ""
  username: ""
  directory: %q
  pidfile: ""
  module-config: "validator iterator"
  do-not-query-localhost: no
  local-zone: "test." nodefault
%s%sremote-control:
  control-enable: no
`, resolver, dir, anchors, stubs)
	daemon(t, "unbound", "-d", "-c", unbound)
	d := &DNS{Server: "127.0.0.1:" + resolver, Timeout: 2 * time.Second}
	soon(t, "unbound answers", func() error {
		a, err := d.MX(t.Context(), "signed.test")
		if err == nil && (!a.Secure || len(a.Hosts) == 0) {
			err = fmt.Errorf("%+v", a)
		}
		return err
	})
	return d
}

func TestPeersUnboundValidatesWhatKnotSigned(t *testing.T) { // RFC 4035, RFC 7672 §2
	d := realDNS(t, "@ MX 10 mx\nmx A 192.0.2.10\nalias CNAME mx\n_25._tcp.mx TLSA 3 1 1 "+strings.Repeat("ab", 32)+"\n_mta-sts TXT \"v=STSv1; id=1;\"\n")
	for zone, secure := range map[string]bool{"signed.test": true, "plain.test": false} {
		mx, err := d.MX(t.Context(), zone)
		if err != nil || mx.Secure != secure || len(mx.Hosts) != 1 || mx.Hosts[0].Host != "mx."+zone {
			t.Errorf("MX %s: %+v, %v; want secure %v", zone, mx, err, secure)
		}
		a, err := d.Addrs(t.Context(), "alias."+zone)
		if err != nil || a.Secure != secure || a.AliasSecure != secure || a.Canonical != "mx."+zone || len(a.Addrs) != 1 {
			t.Errorf("addresses of alias.%s: %+v, %v; want secure %v", zone, a, err, secure)
		}
		tlsa, err := d.TLSA(t.Context(), "_25._tcp.mx."+zone)
		if err != nil || tlsa.Secure != secure || len(tlsa.Records) != 1 {
			t.Errorf("TLSA of %s: %+v, %v; want secure %v", zone, tlsa, err, secure)
		}
		none, err := d.TLSA(t.Context(), "_25._tcp.none."+zone)
		if err != nil || none.Secure != secure || !none.NotFound {
			t.Errorf("TLSA that is not there, in %s: %+v, %v; want its absence secure %v", zone, none, err, secure)
		}
		if texts, err := d.TXT(t.Context(), "_mta-sts."+zone); err != nil || len(texts) != 1 {
			t.Errorf("TXT of %s: %q, %v", zone, texts, err)
		}
	}
	if mx, err := d.MX(t.Context(), "bogus.test"); !errors.Is(err, ErrLookup) {
		t.Errorf("a bogus zone: %+v, %v; want %v", mx, err, ErrLookup)
	}
}

// realPostfix is a Postfix that takes mail for signed.test and plain.test, and
// from loopback for everybody, into maildirs.
func realPostfix(t *testing.T, cert *tls.Certificate) (addr, mailDir string) {
	t.Helper()
	needPeers(t, "postfix")
	dir, err := os.MkdirTemp("", "letterlock-postfix")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	etc, boxes, port := filepath.Join(dir, "etc"), filepath.Join(dir, "mail"), freePort(t)
	for _, d := range []string{etc, boxes, filepath.Join(dir, "queue"), filepath.Join(dir, "lib")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	chain := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	for _, raw := range cert.Certificate {
		chain += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))
	}
	write(t, filepath.Join(etc, "chain.pem"), "%s", chain)
	write(t, filepath.Join(etc, "main.cf"), `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/lib
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
myhostname = mx.signed.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
virtual_mailbox_domains = static:yes
virtual_mailbox_maps = static:all/
virtual_mailbox_base = %[1]s/mail
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_transport = virtual
smtpd_tls_security_level = may
smtpd_tls_chain_files = %[1]s/etc/chain.pem
smtpd_tls_received_header = yes
`, dir)
	write(t, filepath.Join(etc, "master.cf"), `127.0.0.1:%s inet n - n - - smtpd
cleanup  unix n - n - 0 cleanup
qmgr     unix n - n 300 1 qmgr
tlsmgr   unix - - n 1000? 1 tlsmgr
rewrite  unix - - n - - trivial-rewrite
bounce   unix - - n - 0 bounce
defer    unix - - n - 0 bounce
trace    unix - - n - 0 bounce
verify   unix - - n - 1 verify
flush    unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error    unix - - n - - error
retry    unix - - n - - error
virtual  unix - n n - - virtual
anvil    unix - - n - 1 anvil
postlog  unix-dgram n - n - 1 postlogd
`, port)
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chown(boxes, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	runProgram(t, "chown", "postfix", filepath.Join(dir, "lib"))
	runProgram(t, "postfix", "-c", etc, "start")
	t.Cleanup(func() {
		runProgram(t, "postfix", "-c", etc, "stop")
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("Postfix said:\n%s", log)
		}
	})
	addr = "127.0.0.1:" + port
	soon(t, "Postfix answers", func() error {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err
	})
	return addr, boxes
}

// inMaildir waits for n letters and returns them.
func inMaildir(t *testing.T, dir string, n int) (letters []string) {
	t.Helper()
	soon(t, "the letters are in the maildir", func() error {
		letters = nil
		err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || filepath.Base(filepath.Dir(name)) != "new" {
				return err
			}
			text, err := os.ReadFile(name)
			letters = append(letters, string(text))
			return err
		})
		if err == nil && len(letters) != n {
			err = fmt.Errorf("%d letters, want %d", len(letters), n)
		}
		return err
	})
	return letters
}

func TestPeersPostfixIsTheMX(t *testing.T) {
	needPeers(t, "postfix")
	cert, err := testnet.NewCA(t, "Nobody").Issue(testnet.Valid, "mx.signed.test") // DANE alone proves it
	if err != nil {
		t.Fatal(err)
	}
	at, boxes := realPostfix(t, cert)
	w := newWorld(t)
	w.opt.Resolver = realDNS(t, "@ MX 10 mx\nmx A 192.0.2.10\n_25._tcp.mx TLSA 3 1 1 "+testnet.TLSA311(cert.Leaf)+"\n")
	w.opt.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr != "192.0.2.10:25" {
			return nil, fmt.Errorf("%s is nowhere", addr)
		}
		var d net.Dialer
		return d.DialContext(ctx, network, at)
	}
	w.start()
	for domain, proof := range map[string]string{"signed.test": "dane", "plain.test": ""} {
		way := w.r.Route(t.Context(), domain, requiretls.Usual())
		if way.Err != nil || len(way.Hosts) != 1 || way.Hosts[0].Seen == nil || way.Hosts[0].Seen.Proof != proof || !strings.HasPrefix(way.Hosts[0].Seen.TLS, "TLS1.") {
			t.Errorf("the way to %s: %v", domain, way)
		}
		w.send([]string{"usual", "to=carl@" + domain})
	}
	id := w.send([]string{"required", "to=carl@signed.test"})
	if s, _ := w.box.fate(id); s.Fate != Failed { // Debian's does not know REQUIRETLS; one that does takes it
		t.Logf("this Postfix took a REQUIRETLS letter: %+v", s)
	}
	if way := w.r.Route(t.Context(), "bogus.test", requiretls.Waived()); !errors.Is(way.Err, dnsTrouble) {
		t.Errorf("the way to a bogus zone: %v", way)
	}
	for _, letter := range inMaildir(t, boxes, 2) {
		if !strings.Contains(letter, "(using TLSv1.") || !strings.Contains(letter, ".A body of two lines,\n") {
			t.Errorf("arrived:\n%s", letter)
		}
	}
}

func TestPeersPostfixIsTheSmarthost(t *testing.T) {
	needPeers(t, "postfix")
	w := newWorld(t)
	cert, err := w.net.CA.Issue(testnet.Valid, "mx.signed.test", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	at, boxes := realPostfix(t, cert)
	_, port, _ := net.SplitHostPort(at)
	w.opt.Dial = nil
	w.opt.Smarthost = &Smarthost{Host: "127.0.0.1", Port: port}
	w.start()
	w.send([]string{"usual", "to=dora@elsewhere.example", "envid=QQ1", "orcpt=dora@old.example"})
	w.send([]string{"waived", "to=dora@elsewhere.example"})
	w.send([]string{"required", "bounce", "to=dora@elsewhere.example"}) // redacted: Postfix would drop a tagged one
	if way := w.r.Route(t.Context(), "elsewhere.example", requiretls.Required()); way.Err != nil && !errors.Is(way.Err, reply.NoRequireTLS) {
		t.Errorf("the way of a required letter: %v", way)
	}
	redacted := 0
	for _, letter := range inMaildir(t, boxes, 3) {
		if !strings.Contains(letter, "(using TLSv1.") {
			t.Errorf("arrived without TLS:\n%s", letter)
		}
		if strings.Contains(letter, "travels without it") && !strings.Contains(letter, "secret") {
			redacted++
		}
	}
	if redacted != 1 {
		t.Errorf("%d redacted reports arrived", redacted)
	}
	w.opt.Roots = x509.NewCertPool() // nobody is trusted
	w.start()
	o := w.letter(requiretls.Usual(), mail.Address{Local: "dora", Domain: "elsewhere.example"})
	id := w.box.add(t, o, testBody, w.now)
	if _, err := w.r.carry(t.Context(), id, &place{}); err != nil {
		t.Fatal(err)
	}
	if s, _ := w.box.fate(id); s.Fate != Deferred || enhanced(s.History.Error) != "4.7.5" {
		t.Errorf("with an unproven certificate: %+v", s)
	}
}
