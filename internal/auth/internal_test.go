package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strings"
	"testing"
)

// The exchanges printed in RFC 5802 §5 and RFC 7677 §3, checked with nothing
// but the keys that we keep.
func TestSCRAMKeysAreThoseOfTheRFCs(t *testing.T) {
	for name, c := range map[string]struct {
		hash                        func() hash.Hash
		first, server, final, proof string
		salt, signature             string
	}{
		"SCRAM-SHA-1": {sha1.New,
			"n=user,r=fyko+d2lbbFgONRv9qkxdawL",
			"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
			"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j", "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
			"QSXCR+Q6sek8bf92", "rmF9pqV8S7suAoZWja4dJRkFsKQ="},
		"SCRAM-SHA-256": {sha256.New,
			"n=user,r=rOprNGfwEbeRWgbNEkqO",
			"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
			"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
			"W22ZaJ0SNY7soEsUEjb6gQ==", "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
	} {
		salt, _ := base64.StdEncoding.DecodeString(c.salt)
		proof, _ := base64.StdEncoding.DecodeString(c.proof)
		stored, server := deriveSCRAM(c.hash, "pencil", salt, 4096)
		message := strings.Join([]string{c.first, c.server, c.final}, ",")

		// RFC 5802 §3: ClientKey = ClientProof XOR ClientSignature, StoredKey = H(ClientKey)
		clientKey := make([]byte, len(proof))
		subtle.XORBytes(clientKey, proof, mac(c.hash, stored, message))
		h := c.hash()
		h.Write(clientKey)
		if !hmac.Equal(h.Sum(nil), stored) {
			t.Errorf("%s: the stored key does not prove the client of the RFC", name)
		}
		if got := base64.StdEncoding.EncodeToString(mac(c.hash, server, message)); got != c.signature {
			t.Errorf("%s: server signature %s, want %s", name, got, c.signature)
		}
	}
}

func TestStoredCredentialsAreInTheUsualForms(t *testing.T) {
	cheap(t)
	got, err := NewCredentials("pencil")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(got), "\n")
	want := []string{"letterlock credentials 1", "$argon2id$v=19$m=64,t=1,p=1$", "SCRAM-SHA-256$15000:", "SCRAM-SHA-1$15000:", ""}
	if len(lines) != len(want) {
		t.Fatalf("got %q", lines)
	}
	for i := range want {
		if !strings.HasPrefix(lines[i], want[i]) {
			t.Errorf("line %d is %q, want %q…", i, lines[i], want[i])
		}
	}
	// RFC 5803 §2: salt "$" StoredKey ":" ServerKey, all base64
	var salt, keys string
	if _, err := fmt.Sscanf(strings.ReplaceAll(lines[2], "$", " "), "SCRAM-SHA-256 15000:%s %s", &salt, &keys); err != nil {
		t.Fatalf("%q: %v", lines[2], err)
	}
	rawSalt, err := base64.StdEncoding.DecodeString(salt)
	if err != nil {
		t.Fatal(err)
	}
	stored, server := deriveSCRAM(sha256.New, "pencil", rawSalt, scramIterations)
	if want := base64.StdEncoding.EncodeToString(stored) + ":" + base64.StdEncoding.EncodeToString(server); keys != want {
		t.Errorf("keys %s, want %s", keys, want)
	}
	again, err := NewCredentials("pencil")
	if err != nil || string(again) == string(got) {
		t.Errorf("the same password twice gives the same credentials: no salt (%v)", err)
	}
}

func TestDefaultCostIsWhatOWASPAsks(t *testing.T) {
	if cost.memory < 19<<10 || cost.time < 2 || scramIterations < 4096 {
		t.Errorf("%+v and %d iterations: too cheap", cost, scramIterations)
	}
}

// cheap makes hashing fast for a test.
func cheap(t *testing.T) {
	save := cost
	cost = argonCost{memory: 64, time: 1, threads: 1}
	t.Cleanup(func() { cost = save })
}

func TestSpoiltCredentialsAreAnErrorAndNoLogin(t *testing.T) {
	cheap(t)
	good, err := NewCredentials("pencil")
	if err != nil {
		t.Fatal(err)
	}
	argon := strings.Split(string(good), "\n")[1]
	for name, stored := range map[string]string{
		"empty":           "",
		"another version": strings.Replace(string(good), "credentials 1", "credentials 9", 1),
		"no argon2id":     "letterlock credentials 1\nSCRAM-SHA-1$4096:\n",
		"cut key":         "letterlock credentials 1\n" + argon[:len(argon)-4] + "\n",
		"cut salt":        "letterlock credentials 1\n$argon2id$v=19$m=64,t=1,p=1$x\n",
		"no base64":       "letterlock credentials 1\n" + argon + "!\n",
		"no threads":      "letterlock credentials 1\n" + strings.Replace(argon, "p=1", "p=0", 1) + "\n",
		"no passes":       "letterlock credentials 1\n" + strings.Replace(argon, "t=1", "t=0", 1) + "\n",
		"a terabyte":      "letterlock credentials 1\n" + strings.Replace(argon, "m=64", "m=1073741824", 1) + "\n",
		"many passes":     "letterlock credentials 1\n" + strings.Replace(argon, "t=1", "t=4000000000", 1) + "\n",
	} {
		if ok, err := matches([]byte(stored), "pencil"); err == nil || ok {
			t.Errorf("%s: %t, %v; want an error", name, ok, err)
		}
	}
}

// ann is the one user there is; her password is "x".
type ann []byte

func (a ann) Credentials(context.Context, string) (uint64, []byte, error) { return 1, a, nil }

func TestAFloodOfLoginsIsTurnedAwayAndTheRestAreServed(t *testing.T) {
	cheap(t)
	credentials, err := NewCredentials("x")
	if err != nil {
		t.Fatal(err)
	}
	c := NewChecker(ann(credentials), 2)
	c.workers <- struct{}{} // both workers have something to do
	c.workers <- struct{}{}
	const queue, flood = 2 * queuePerWorker, 2*queuePerWorker + 100
	results := make(chan error, flood)
	for range flood {
		go func() {
			_, err := c.Password(context.Background(), "ann", "x")
			results <- err
		}()
	}
	for range flood - queue { // who comes when the queue is full hears so at once
		if err := <-results; !errors.Is(err, ErrBusy) {
			t.Errorf("got %v, want %v", err, ErrBusy)
		}
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	<-c.workers
	<-c.workers
	for range queue {
		if err := <-results; err != nil {
			t.Errorf("one who waited was turned away: %v", err)
		}
	}
	c.workers <- struct{}{}
	c.workers <- struct{}{}
	if _, err := c.Password(gone, "ann", "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("one who gave up: %v, want %v", err, context.Canceled)
	}
	if n := c.waiting.Load(); n != 0 {
		t.Errorf("%d are said to wait, and nobody does", n)
	}
}

func FuzzStored(f *testing.F) {
	f.Add([]byte("letterlock credentials 1\n$argon2id$v=19$m=64,t=1,p=1$AAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"))
	f.Fuzz(func(t *testing.T, stored []byte) {
		k, err := storedArgon(stored)
		if err == nil && (k.memory > 256<<10 || k.time > 64 || k.time == 0 || k.threads == 0 || len(k.hash) != keySize) {
			t.Errorf("%q passed as %+v", stored, k)
		}
	})
}
