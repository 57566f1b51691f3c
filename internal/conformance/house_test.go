package conformance_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"letterlock/imapd"
	"letterlock/internal/auth"
	"letterlock/internal/conformance"
	"letterlock/internal/deliver"
	"letterlock/internal/dialogue"
	"letterlock/internal/mail"
	"letterlock/internal/mime"
	"letterlock/internal/requiretls"
	"letterlock/internal/serve"
	"letterlock/lmtp"
	"letterlock/storage"
)

const password = "correct horse battery staple"

// credentials are made once: they cost what a password hash costs.
var credentials = sync.OnceValues(func() ([]byte, error) { return auth.NewCredentials(password) })

// house is our server, whole: LMTP in, a vault, IMAP out. ann and bob live
// there; ann's mail also comes as ann+other.
type house struct {
	lmtp, implicit, socket string
	imap, ca               string
	front                  *serve.Server
}

type vault struct{ *storage.Store }

func (v vault) Account(ctx context.Context, addr mail.Address) (uint64, bool, error) {
	p, err := v.Person(ctx, addr)
	return uint64(p.ID), err == nil, ours(err)
}

func (v vault) Alias(ctx context.Context, from mail.Address) ([]mail.Address, bool, error) {
	a, err := v.Store.Alias(ctx, from)
	return a.To, err == nil, ours(err)
}

func (v vault) Eldest(ctx context.Context) (uint64, bool, error) {
	p, err := v.Store.Eldest(ctx)
	return uint64(p.ID), err == nil, ours(err)
}

func (v vault) Room(context.Context, uint64) error { return nil }

// ours are the vault's errors but that something is not there.
func ours(err error) error {
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	return err
}

// joints are where the parts meet; a test may join them wrongly.
type joints struct {
	imap  imapd.Options
	judge func(env *mail.Envelope, message string, rcpt int) requiretls.Demand // nil: the envelope's own
}

type change func(*joints)

func showInClear(o *joints) {
	o.imap.Cleartext, o.imap.Release = imapd.Cleartext{Local: true}, requiretls.PolicyLocal
}

func headerFirst(env *mail.Envelope, message string, _ int) requiretls.Demand {
	if strings.Contains(message, "TLS-Required: No") {
		return requiretls.Waived()
	}
	return env.Demand
}

func always(*mail.Envelope, string, int) requiretls.Demand { return requiretls.Required() }

func firstAlone(env *mail.Envelope, _ string, rcpt int) requiretls.Demand {
	if rcpt > 0 {
		return requiretls.Usual()
	}
	return env.Demand
}

// misjudging hands each recipient's copy over under a demand of its own.
type misjudging struct {
	lmtp.Deliverer
	judge func(*mail.Envelope, string, int) requiretls.Demand
}

func (m misjudging) Deliver(ctx context.Context, env *mail.Envelope, body mail.Body, rcpts []mail.Address) (errs []error) {
	text := make([]byte, body.Size())
	if _, err := body.ReadAt(text, 0); err != nil && !errors.Is(err, io.EOF) {
		return slices.Repeat([]error{err}, len(rcpts))
	}
	for i, rcpt := range rcpts {
		own := *env
		own.ID += strconv.Itoa(i)
		own.Demand = m.judge(env, string(text), i)
		errs = append(errs, m.Deliverer.Deliver(ctx, &own, body, []mail.Address{rcpt})...)
	}
	return errs
}

func openHouse(t *testing.T, changes ...change) *house {
	t.Helper()
	store, err := storage.Open(filepath.Join(t.TempDir(), "store"), storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	keys, err := credentials()
	if err != nil {
		t.Fatal(err)
	}
	for _, who := range []string{"ann", "bob"} {
		if _, err := store.AddPerson(t.Context(), mail.Address{Local: who, Domain: "example.org"}, keys); err != nil {
			t.Fatal(err)
		}
	}
	sockets, err := os.MkdirTemp("", "conf") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(sockets) })
	cert, key, ca := certificateFiles(t)
	h := &house{ca: ca, socket: filepath.Join(sockets, "s")}
	certs, err := serve.LoadCertificates(cert, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := joints{imap: imapd.Options{Store: store, Passwords: auth.NewChecker(dialogue.Users{Store: store}, 2), Hostname: "localhost"}}
	for _, c := range changes {
		c(&o)
	}
	var office lmtp.Deliverer = deliver.New(deliver.Options{
		Store: vault{store}, Hostname: "localhost",
		Addresses: deliver.Addresses{Domain: "example.org", Delimiter: "+", Fold: true},
	})
	if o.judge != nil {
		office = misjudging{office, o.judge}
	}
	door := lmtp.New(lmtp.Options{Hostname: "localhost", TLSRequired: mime.TLSRequiredNo, Deliver: office})
	loopback := serve.Endpoint{Network: "tcp", Address: "127.0.0.1:0"}
	h.front = listen(t, serve.Options{Name: "lmtp", TLS: certs, Handle: door.Handle, Endpoints: []serve.Endpoint{
		loopback, {Network: "tcp", Address: "127.0.0.1:0", ImplicitTLS: true}, {Network: "unix", Address: h.socket},
	}})
	h.lmtp, h.implicit = h.front.Addrs()[0].String(), "tls:"+h.front.Addrs()[1].String()
	room := imapd.New(o.imap)
	h.imap = listen(t, serve.Options{Name: "imap", TLS: certs, Handle: room.Handle, Endpoints: []serve.Endpoint{loopback}}).Addrs()[0].String()
	return h
}

// listen serves until the test ends.
func listen(t *testing.T, opt serve.Options) *serve.Server {
	t.Helper()
	s, err := serve.Listen(opt)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

func (h *house) target() conformance.Target {
	return conformance.Target{
		Address: h.lmtp, CAFile: h.ca, Recipients: []string{"ann@example.org", "ann+other@example.org", "bob@example.org"},
		IMAP: h.imap, User: "ann@example.org", Password: password,
	}
}

func (h *house) connections() int { return int(h.front.Stats().Accepted) }
