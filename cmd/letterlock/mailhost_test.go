package main

import (
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"letterlock/internal/testnet"
)

// mailhost opens a mail host on loopback that the resolver knows by name, and
// whose certificate outside.pem proves. $MAILHOST is its port, $DNS the
// resolver. Further words are what it offers inside TLS.
func (s *stage) mailhost(ts *testscript.TestScript, args []string) error {
	n, name := s.outside, args[0]
	s.hosts[name] = n.Host(name, func(h *testnet.Host) { h.InTLS = append(testnet.Usual(), args[1:]...) })
	n.Record(name + ". 60 IN A 127.0.0.1")
	_, port, err := net.SplitHostPort(s.hosts[name].Listening())
	if err != nil {
		return err
	}
	ts.Setenv("MAILHOST", port)
	ts.Setenv("DNS", n.Resolver())
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: n.CA.Cert.Raw})
	return os.WriteFile(filepath.Join(s.dir, "outside.pem"), ca, 0o600)
}

// offers changes what a mail host offers inside TLS from now on.
func (s *stage) offers(_ *testscript.TestScript, args []string) error {
	s.hosts[args[0]].Change(func(h *testnet.Host) { h.InTLS = append(testnet.Usual(), args[1:]...) })
	return nil
}

// wants sets the login that a mail host wants inside TLS from now on.
func (s *stage) wants(_ *testscript.TestScript, args []string) error {
	s.hosts[args[0]].Change(func(h *testnet.Host) { h.User, h.Password = args[1], args[2] })
	return nil
}

// took looks for a letter that a mail host has taken, by its envelope and what is
// in it.
func (s *stage) took(ts *testscript.TestScript, args []string) error {
	want, err := regexp.Compile("^" + args[1] + "$")
	if err != nil {
		return err
	}
	var all []string
	for _, r := range s.hosts[args[0]].Got() {
		params := slices.DeleteFunc(slices.Clone(r.MailParams), func(p string) bool { return strings.HasPrefix(p, "SIZE=") || strings.HasPrefix(p, "BODY=") })
		letter := strings.Join(append([]string{r.From, r.To}, params...), " ") + "\n\n" + r.Data
		head, _, _ := strings.Cut(letter, "\n")
		if want.MatchString(head) && (len(args) < 3 || strings.Contains(letter, args[2])) {
			ts.Setenv("SENDER", strings.Trim(r.From, "<>"))
			return nil
		}
		all = append(all, letter)
	}
	return fmt.Errorf("no such letter among %q", all)
}

// fill writes a file again with $NAMES in it replaced.
func (s *stage) fill(ts *testscript.TestScript, args []string) error {
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	return os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600)
}
