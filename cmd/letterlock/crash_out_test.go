package main

import (
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"letterlock/internal/testnet"
)

// What was acknowledged leaves, whenever the server is killed, and at most once
// more for each time it is.
func TestKilledWhileLettersLeaveLosesNone(t *testing.T) {
	const rounds, letters = 4, 12
	internet := testnet.New(t)
	host := internet.Host("out.example.net", nil)
	internet.Record("out.example.net. 60 IN A 127.0.0.1")
	w := newTownWith(t, testConfig+relayThrough(t, internet, host), "ann")
	forward := exec.Command("letterlock", "forward", "add", "ann", "ann@elsewhere.example")
	forward.Dir = w.dir
	if out, err := forward.CombinedOutput(); err != nil {
		t.Fatalf("forward add: %v\n%s", err, out)
	}
	var acknowledged []string
	for round := range rounds {
		mta, err := w.mta()
		if err != nil {
			t.Fatal(err)
		}
		for n := range letters {
			subject := fmt.Sprintf("letter-%d-%d.", round, n)
			if err := mta.post("ann", subject); err != nil {
				t.Fatal(err)
			}
			acknowledged = append(acknowledged, subject)
		}
		w.crash()
	}
	for {
		missing := 0
		for subject, n := range leftAs(host, acknowledged) {
			if n == 0 {
				missing++
			}
			if n > 1+rounds {
				t.Errorf("%s left %d times, want %d at most", subject, n, 1+rounds)
			}
		}
		if missing == 0 {
			return
		}
		if _, err := w.await(`"msg":"sent"`); err != nil {
			t.Fatalf("%d letters that were acknowledged have not left: %v", missing, err)
		}
	}
}

// relayThrough is the config of a smarthost.
func relayThrough(t *testing.T, internet *testnet.Net, host *testnet.Host) string {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: internet.CA.Cert.Raw})
	if err := os.WriteFile(ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(host.Listening())
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("[relay]\nmode = \"smarthost\"\nsmarthost = %q\nca = %q\nresolver = %q\n", net.JoinHostPort(host.Name, port), ca, internet.Resolver())
}

// leftAs counts how often a host has taken each letter.
func leftAs(host *testnet.Host, subjects []string) map[string]int {
	counted := map[string]int{}
	for _, s := range subjects {
		counted[s] = 0
	}
	for _, r := range host.Got() {
		for _, s := range subjects {
			if strings.Contains(r.Data, "Subject: "+s+"\r\n") {
				counted[s]++
			}
		}
	}
	return counted
}
