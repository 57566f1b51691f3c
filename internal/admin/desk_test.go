package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"letterlock/internal/deliver"
	"letterlock/internal/mail"
	"letterlock/storage"
)

var silent = slog.New(slog.DiscardHandler)

// folder is a data folder of the test's own.
func folder(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "data")
}

// openStore opens a vault in a folder of the test's own.
func openStore(t *testing.T, dir string) *storage.Store {
	t.Helper()
	s, err := storage.Open(dir, storage.Options{Log: silent})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func newDesk(t *testing.T, dir string) *Desk {
	t.Helper()
	return NewDesk(Options{
		Store:     openStore(t, dir),
		Data:      dir,
		Addresses: deliver.Addresses{Domain: "example.org", Delimiter: "+", Fold: true},
		Server:    func(context.Context) Server { return Server{PID: os.Getpid(), Version: "test"} },
	})
}

// listen answers at the admin socket of dir until the test ends.
func listen(t *testing.T, dir string, desk Operations) {
	t.Helper()
	s, err := ListenSocket(dir, desk, silent)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("socket: %v", err)
		}
	})
}

// Whoever carries the operations out, they answer alike.
func TestOperationsAnswerAlikeOverTheSocket(t *testing.T) {
	direct := newDesk(t, folder(t))
	dir := folder(t)
	listen(t, dir, newDesk(t, dir))
	over := Dial(dir)
	defer over.Close()

	play := func(o Operations) (said []string) {
		ctx := t.Context()
		note := func(v any, err error) {
			hint := ""
			if r := (*Refusal)(nil); errors.As(err, &r) {
				hint = r.Hint()
			}
			said = append(said, fmt.Sprintf("%v | %v | %s", v, err, hint))
		}
		address := func(u User, err error) { note(u.Address, err) }
		address(o.AddUser(ctx, Login{Address: "Ann", Credentials: []byte("x")}))
		address(o.AddUser(ctx, Login{Address: "ann@example.org"}))
		address(o.AddUser(ctx, Login{Address: "ann+x@example.org"}))
		address(o.SetPassword(ctx, Login{Address: "ann", Credentials: []byte("y")}))
		address(o.SetPassword(ctx, Login{Address: "bob"}))
		note(o.AddAlias(ctx, Alias{From: "info", To: []string{"ann", "ann+info"}}))
		note(o.AddAlias(ctx, Alias{From: "@example.com", To: []string{"info"}}))
		note(o.AddAlias(ctx, Alias{From: "ann", To: []string{"info"}}))
		note(o.AddAlias(ctx, Alias{From: "x", To: []string{"nobody@example.net"}}))
		note(o.AddAlias(ctx, Alias{From: "@", To: []string{"ann"}}))
		note(o.Aliases(ctx))
		address(o.AddUser(ctx, Login{Address: "info"}))
		address(o.RemoveUser(ctx, "ann"))
		note(o.RemoveAlias(ctx, Alias{From: "info", To: []string{"ann"}}))
		note(o.RemoveAlias(ctx, Alias{From: "info"}))
		note(o.RemoveAlias(ctx, Alias{From: "@example.com"}))
		note(o.RemoveAlias(ctx, Alias{From: "info"}))
		note(o.RemoveAlias(ctx, Alias{From: "info"}))
		address(o.RemoveUser(ctx, "ann"))
		users, err := o.Users(ctx)
		note(len(users), err)
		return said
	}
	got, want := play(over), play(direct)
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("over the socket:\n%s\ndirectly:\n%s", g, w)
	}
	refused := 0
	for _, line := range want {
		if !strings.Contains(line, "<nil>") {
			refused++
			if strings.HasSuffix(line, "| ") {
				t.Errorf("a refusal without a way out: %s", line)
			}
		}
	}
	if refused != 10 {
		t.Errorf("%d refusals, want 10:\n%s", refused, strings.Join(want, "\n"))
	}
}

func TestUsersAndAliasesOfAnInternationalizedDomainAnswerToBothSpellings(t *testing.T) {
	d, ctx := newDesk(t, folder(t)), t.Context()
	u, err := d.AddUser(ctx, Login{Address: "ann@bücher.example"})
	if err != nil || u.Address != "ann@xn--bcher-kva.example" {
		t.Errorf("made %q, %v", u.Address, err)
	}
	if _, err := d.AddUser(ctx, Login{Address: "ann@xn--bcher-kva.example"}); err == nil {
		t.Error("she was made a second time in the other spelling")
	}
	old := storage.Alias{From: spelt("@bücher.example"), To: []mail.Address{spelt("ann@bücher.example")}} // of an earlier version
	if err := d.opt.Store.SetAlias(ctx, old); err != nil {
		t.Fatal(err)
	}
	if _, err := d.AddAlias(ctx, Alias{From: "@xn--bcher-kva.example", To: []string{"ann+all@bücher.example"}}); err != nil {
		t.Error(err)
	}
	if all, err := d.Aliases(ctx); err != nil || len(all) != 1 || len(all[0].To) != 2 {
		t.Errorf("the aliases are %v, %v; want one with two targets", all, err)
	}
	if _, err := d.RemoveAlias(ctx, Alias{From: "@bücher.example"}); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"ben@bücher.example", "cleo@bücher.example"} { // of an earlier version
		if _, err := d.opt.Store.AddPerson(ctx, spelt(name), nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.SetPassword(ctx, Login{Address: "ben@bücher.example", Credentials: []byte("new")}); err != nil {
		t.Error(err)
	}
	if p, err := d.opt.Store.Person(ctx, spelt("ben@xn--bcher-kva.example")); err != nil || string(p.Credentials) != "new" {
		t.Errorf("his credentials are %q, %v", p.Credentials, err)
	}
	for _, name := range []string{"ann@bücher.example", "ben@bücher.example", "cleo@xn--bcher-kva.example"} {
		if _, err := d.RemoveUser(ctx, name); err != nil {
			t.Error(err)
		}
	}
	if all, err := d.Users(ctx); err != nil || len(all) > 0 {
		t.Errorf("left are %v, %v", all, err)
	}
}

func TestNoTargetIsLostToAnotherAddedAtTheSameTime(t *testing.T) {
	d, ctx := newDesk(t, folder(t)), t.Context()
	const people = 20
	for i := range people {
		if _, err := d.AddUser(ctx, Login{Address: fmt.Sprintf("p%d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	var adding sync.WaitGroup
	for i := range people {
		adding.Go(func() {
			if _, err := d.AddAlias(ctx, Alias{From: "team", To: []string{fmt.Sprintf("p%d", i)}}); err != nil {
				t.Error(err)
			}
		})
	}
	adding.Wait()
	if all, err := d.Aliases(ctx); err != nil || len(all) != 1 || len(all[0].To) != people {
		t.Errorf("the aliases are %v, %v; want one with %d targets", all, err, people)
	}
}

// spelt is one in the test's own words, as it is kept; "@domain" is a catch-all.
func spelt(s string) mail.Address {
	local, domain, _ := strings.Cut(s, "@")
	return mail.Address{Local: local, Domain: domain}
}

func TestAdminSocketIsItsOwnersAlone(t *testing.T) {
	dir := folder(t)
	listen(t, dir, newDesk(t, dir))
	info, err := os.Stat(SocketPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("mode %v, want 0600", got)
	}
}

func TestSocketLeftBehindIsReplaced(t *testing.T) {
	dir := folder(t)
	desk := newDesk(t, dir)
	if err := os.WriteFile(SocketPath(dir), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	listen(t, dir, desk)
	c := Dial(dir)
	defer c.Close()
	if who, err := c.Server(t.Context()); err != nil || who.PID != os.Getpid() {
		t.Errorf("the socket answers %+v, %v; want pid %d", who, err, os.Getpid())
	}
}

func TestSocketPathTooLongIsSaidWithAWayOut(t *testing.T) {
	dir := t.TempDir() + "/" + strings.Repeat("deep", 30)
	_, err := ListenSocket(dir, nil, silent)
	var r *Refusal
	if !errors.As(err, &r) || r.Hint() == "" || !strings.Contains(err.Error(), "octets long") {
		t.Errorf("refusal %v, want the path's length and a hint", err)
	}
}

// A server that is just starting holds the lock before it answers.
func TestReachRidesOutAServerThatStarts(t *testing.T) {
	dir := folder(t)
	desk := newDesk(t, dir)
	tries := 0
	o, done, err := Reach(t.Context(), dir, func() (*Desk, func() error, error) {
		if tries++; tries == 2 {
			listen(t, dir, desk)
		}
		return nil, nil, fmt.Errorf("open: %w", storage.ErrLocked)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if _, ok := o.(*Client); !ok || tries != 2 {
		t.Errorf("reached %T after %d tries, want the server after 2", o, tries)
	}
}

// A server that is just stopping lets go of the lock after it stopped answering.
func TestReachRidesOutAServerThatStops(t *testing.T) {
	dir := folder(t)
	desk := newDesk(t, dir)
	tries := 0
	o, _, err := Reach(t.Context(), dir, func() (*Desk, func() error, error) {
		if tries++; tries < 3 {
			return nil, nil, storage.ErrLocked
		}
		return desk, func() error { return nil }, nil
	})
	if err != nil || o != Operations(desk) {
		t.Errorf("reached %T, %v; want the desk of our own", o, err)
	}
}

func TestReachNamesWhoeverHoldsTheFolderAndIsSilent(t *testing.T) {
	dir := folder(t)
	openStore(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := Reach(ctx, dir, func() (*Desk, func() error, error) {
		_, err := storage.Open(dir, storage.Options{Log: silent})
		return nil, nil, err
	})
	var r *Refusal
	if !errors.As(err, &r) || r.Hint() == "" {
		t.Fatalf("error %v, want a refusal with a hint", err)
	}
	if pid := fmt.Sprint(os.Getpid()); !strings.Contains(err.Error(), pid) {
		t.Errorf("error %q does not name pid %s", err, pid)
	}
}

func TestUnknownOperationNamesTheVersions(t *testing.T) {
	dir := folder(t)
	listen(t, dir, newDesk(t, dir))
	c := Dial(dir)
	defer c.Close()
	_, err := operation[nothing, nothing]{"/v9/future", nil}.call(t.Context(), c, nothing{})
	var r *Refusal
	if !errors.As(err, &r) || !strings.Contains(r.Hint(), "another version") {
		t.Errorf("error %v, want a hint at the versions", err)
	}
}

// What an older server does not know it may not leave out silently.
func TestUnknownArgumentIsRefusedAndNothingDone(t *testing.T) {
	dir := folder(t)
	desk := newDesk(t, dir)
	addAnn(t, desk)
	listen(t, dir, desk)
	c := Dial(dir)
	defer c.Close()
	in := map[string]any{"address": "ann", "to": "bob@example.net", "only_on_sundays": true}
	_, err := operation[map[string]any, Managed]{addForward.path, nil}.call(t.Context(), c, in)
	if r, ok := errors.AsType[*Refusal](err); !ok || !strings.Contains(r.Hint(), "another version") || !strings.Contains(r.Text, "only_on_sundays") {
		t.Errorf("error %v, want the argument and a hint at the versions", err)
	}
	if m, err := c.Managed(t.Context(), "ann"); err != nil || len(m.Forwards) > 0 {
		t.Errorf("done is %+v, %v; want nothing", m, err)
	}
}

func TestHealthSaysWhenItStops(t *testing.T) {
	registry := prometheus.NewRegistry()
	dir := folder(t)
	clock := time.Unix(1000, 0)
	store := openStore(t, dir)
	registry.MustRegister(NewGauges(GaugeOptions{Store: store, Data: dir, Now: func() time.Time { return clock }}))
	var trouble error
	web, err := ListenWeb([]string{"127.0.0.1:0"}, registry, func() error { return trouble }, silent)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- web.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("web: %v", err)
		}
	}()

	base := "http://" + web.Addrs()[0].String()
	if code, body := fetch(t, base+"/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("/healthz is %d %q, want 200 ok", code, body)
	}
	if _, body := fetch(t, base+"/metrics"); !strings.Contains(body, "letterlock_users 0\n") {
		t.Errorf("/metrics has no users:\n%s", body)
	}
	// The people are counted once a minute, however often somebody looks.
	if _, err := NewDesk(Options{Store: store}).AddUser(t.Context(), Login{Address: "ann@example.org"}); err != nil {
		t.Fatal(err)
	}
	if _, body := fetch(t, base+"/metrics"); !strings.Contains(body, "letterlock_users 0\n") {
		t.Errorf("the people were counted again at once:\n%s", body)
	}
	clock = clock.Add(countEvery)
	if _, body := fetch(t, base+"/metrics"); !strings.Contains(body, "letterlock_users 1\n") {
		t.Errorf("the people were not counted again after %v:\n%s", countEvery, body)
	}
	trouble = errors.New("stopping")
	if code, body := fetch(t, base+"/healthz"); code != 503 || body != "stopping\n" {
		t.Errorf("/healthz is %d %q, want 503 stopping", code, body)
	}
}

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// The mail of one that sends to it would be refused from then on, and nobody would
// know why; as with a user.
func TestAnAliasThatOthersSendToIsNotRemoved(t *testing.T) {
	d, ctx := newDesk(t, folder(t)), t.Context()
	if _, err := d.AddUser(ctx, Login{Address: "ann@example.org"}); err != nil {
		t.Fatal(err)
	}
	add := func(from string, to ...string) {
		t.Helper()
		if _, err := d.AddAlias(ctx, Alias{From: from, To: to}); err != nil {
			t.Fatal(err)
		}
	}
	add("info@example.org", "ann@example.org")
	add("team@example.org", "info+team@example.org")
	for _, named := range [][]string{nil, {"ann@example.org"}} {
		_, err := d.RemoveAlias(ctx, Alias{From: "info@example.org", To: named})
		var r *Refusal
		if !errors.As(err, &r) || r.Text != "info@example.org is still the target of team@example.org" || r.Way != "first: letterlock alias remove team@example.org info+team@example.org" {
			t.Errorf("removed to the last target (%v): %v", named, err)
		}
	}
	add("info@example.org", "ann+info@example.org")
	if _, err := d.RemoveAlias(ctx, Alias{From: "info@example.org", To: []string{"ann@example.org"}}); err != nil {
		t.Errorf("one of two targets: %v", err)
	}
	add("info@example.org", "team@example.org") // round and round
	if _, err := d.RemoveAlias(ctx, Alias{From: "info@example.org", To: []string{"ann+info@example.org"}}); err != nil {
		t.Errorf("one of two targets: %v", err)
	}
	for _, name := range []string{"team@example.org", "info@example.org"} {
		if _, err := d.RemoveAlias(ctx, Alias{From: name}); err != nil {
			t.Errorf("one that leads to nobody: %v", err)
		}
	}
}
