package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"letterlock/internal/testnet"
)

// stage is what one script plays on.
type stage struct {
	dir     string
	server  *child
	lines   map[string]*line
	outside *testnet.Net
	hosts   map[string]*testnet.Host
}

type stageKey struct{}

func onStage(do func(*stage, *testscript.TestScript, []string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		err := do(ts.Value(stageKey{}).(*stage), ts, args)
		switch {
		case err != nil && !neg:
			ts.Fatalf("%v", err)
		case err == nil && neg:
			ts.Fatalf("went well, and should not")
		}
	}
}

func (s *stage) clear() {
	for _, l := range s.lines {
		l.conn.Close()
	}
	if s.server != nil {
		s.server.kill()
	}
}

func (s *stage) serve(ts *testscript.TestScript, args []string) (err error) {
	env := append(os.Environ(), "HOME="+s.dir, "NO_COLOR=1")
	if s.server, err = startServer(s.dir, env, args...); err != nil {
		return err
	}
	for name, value := range map[string]string{
		"LMTP": s.server.lmtp, "IMAP": s.server.imap, "IMAPS": s.server.imaps, "ADMIN": s.server.admin, "SIEVE": s.server.sieve,
		"PID": strconv.Itoa(s.server.cmd.Process.Pid),
	} {
		ts.Setenv(name, value)
	}
	return nil
}

func (s *stage) signal(_ *testscript.TestScript, args []string) error {
	name := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "KILL": syscall.SIGKILL}
	return s.server.signal(name[args[0]])
}

func (s *stage) logged(_ *testscript.TestScript, args []string) error {
	_, err := s.server.await(args[0])
	return err
}

func (s *stage) ended(_ *testscript.TestScript, args []string) error {
	got, err := s.server.end()
	if want := args[0]; err == nil && strconv.Itoa(got) != want {
		err = fmt.Errorf("exit code %d, want %s:\n%s", got, want, s.server.said())
	}
	return err
}

// line is a connection of a script.
type line struct {
	conn net.Conn
	r    *bufio.Reader
}

func newLine(conn net.Conn) (*line, error) {
	return &line{conn, bufio.NewReader(conn)}, conn.SetDeadline(time.Now().Add(patience))
}

func (s *stage) dial(_ *testscript.TestScript, args []string) error {
	conn, err := net.Dial("tcp", args[1])
	if err != nil {
		return err
	}
	s.lines[args[0]], err = newLine(conn)
	return err
}

func (s *stage) dialTLS(ts *testscript.TestScript, args []string) error {
	if err := s.dial(ts, args); err != nil {
		return err
	}
	return s.startTLS(ts, args[0])
}

// startTLS trusts the certificate the server shows where a file trust.pem lies
// in the script's folder, and the server's private CA otherwise.
func (s *stage) startTLS(ts *testscript.TestScript, name string) error {
	ca, err := os.ReadFile(filepath.Join(s.dir, "trust.pem"))
	if err != nil {
		ca, err = os.ReadFile(filepath.Join(s.dir, "data/tls/ca.pem"))
	}
	if err != nil {
		return err
	}
	trust := x509.NewCertPool()
	trust.AppendCertsFromPEM(ca)
	conn := tls.Client(s.lines[name].conn, &tls.Config{RootCAs: trust, ServerName: "localhost"})
	if err := conn.Handshake(); err != nil {
		return err
	}
	s.lines[name], err = newLine(conn)
	return err
}

func (s *stage) talk(ts *testscript.TestScript, args []string) error {
	for step := range strings.Lines(ts.ReadFile(args[1])) {
		step = strings.TrimRight(step, "\n")
		if err := s.step(ts, args[0], step); err != nil {
			return fmt.Errorf("at %q: %w\n%s", step, err, s.server.said())
		}
	}
	return nil
}

func (s *stage) step(ts *testscript.TestScript, name, step string) error {
	l := s.lines[name]
	kind, text, _ := strings.Cut(step, " ")
	switch kind {
	case "C:":
		_, err := io.WriteString(l.conn, os.Expand(text, ts.Getenv)+"\r\n")
		return err
	case "S:":
		return l.expect(text)
	case "TLS":
		return s.startTLS(ts, name)
	case "EOF":
		if rest, err := io.ReadAll(l.r); err != nil || len(rest) > 0 {
			return fmt.Errorf("read %q, %v, want the end", rest, err)
		}
		return nil
	}
	return fmt.Errorf("a dialogue has C:, S:, TLS and EOF")
}

// expect reads up to a line that fits, passing over those before it.
func (l *line) expect(pattern string) error {
	want, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	var passed []string
	for {
		got, err := l.r.ReadString('\n')
		passed = append(passed, got)
		if want.MatchString(strings.TrimRight(got, "\r\n")) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("no such line in %q: %w", passed, err)
		}
	}
}

func (s *stage) hangup(_ *testscript.TestScript, args []string) error {
	return s.lines[args[0]].conn.Close()
}

func (s *stage) get(_ *testscript.TestScript, args []string) error {
	resp, err := http.Get(args[0])
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && !strings.Contains(string(body), args[1]) {
		err = fmt.Errorf("GET %s: %s %s, want %s in it", args[0], resp.Status, body, args[1])
	}
	return err
}

// damage is what a disk does in the end.
func (s *stage) damage(ts *testscript.TestScript, args []string) error {
	names, err := filepath.Glob(ts.MkAbs(args[0]))
	if err != nil || len(names) != 1 {
		return fmt.Errorf("%s is %q, %v: want one file", args[0], names, err)
	}
	octets, err := os.ReadFile(names[0])
	if err != nil {
		return err
	}
	if len(args) == 1 {
		copy(octets, bytes.Repeat([]byte("ruin"), 8<<10))
		return os.WriteFile(names[0], octets, 0o600)
	}
	at := bytes.LastIndex(octets, []byte(args[1]))
	if at < 0 {
		return fmt.Errorf("%s is not in %s", args[1], names[0])
	}
	octets[at] ^= 1
	return os.WriteFile(names[0], octets, 0o600)
}

// certificate signs itself; a negative number of days makes one that is over.
func (s *stage) certificate(ts *testscript.TestScript, args []string) error {
	days, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: args[1]}, DNSNames: []string{args[1]},
		NotBefore: now.AddDate(0, 0, -100), NotAfter: now.AddDate(0, 0, days), IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, leaf, leaf, key.Public(), key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	dir := ts.MkAbs(args[0])
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: cert},
		"key.pem":  {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}
