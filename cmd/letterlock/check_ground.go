package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"letterlock/internal/admin"
	"letterlock/internal/config"
	"letterlock/internal/serve"
	"letterlock/storage"
)

// What a healthy ground has.
const (
	certWorry  = 14 * 24 * time.Hour // certificates of Let's Encrypt are renewed 30 days before the end
	spaceWorry = 2 << 30             // octets free
	spaceFails = 200 << 20
)

// checkCertificate looks at what TLS will be served with.
func (r *report) checkCertificate(cfg *config.Config) {
	if cfg.TLS.Cert == "" {
		r.checkPrivateCertificate(cfg)
		return
	}
	if _, err := serve.LoadCertificates(cfg.TLS.Cert, cfg.TLS.Key, nil); err != nil {
		r.fail("certificate", err, "without TLS the server does not start: an MTA defers, and bounces nothing")
		return
	}
	pair, err := tls.LoadX509KeyPair(cfg.TLS.Cert, cfg.TLS.Key)
	if err != nil {
		r.fail("certificate", err, "")
		return
	}
	r.checkLeaf(cfg, pair.Leaf)
}

// checkPrivateCertificate only tells what will be used: the start makes it
// where it is missing, ends soon or lacks a name.
func (r *report) checkPrivateCertificate(cfg *config.Config) {
	ca := filepath.Join(privateTLS(cfg), "ca.pem")
	if _, err := os.Stat(ca); errors.Is(err, fs.ErrNotExist) {
		r.add("certificate", fine, "none configured: the start makes a private CA and a certificate in %s", privateTLS(cfg))
		return
	}
	if err := serve.CheckPrivateCA(privateTLS(cfg), time.Now()); err != nil {
		r.fail("certificate", err, "")
		return
	}
	r.add("certificate", fine, "of our private CA: clients and MTAs trust %s", absolute(ca))
}

func (r *report) checkLeaf(cfg *config.Config, leaf *x509.Certificate) {
	file := cfg.TLS.Cert
	left := time.Until(leaf.NotAfter)
	days := int(left.Hours() / 24)
	if err := leaf.VerifyHostname(cfg.Hostname); err != nil {
		r.add("certificate", fails, "%s is not for %s: %v", file, cfg.Hostname, err).
			Hint = "MTAs that prove the name bounce REQUIRETLS mail (5.7.10); set hostname to a name of the certificate"
		return
	}
	if left < certWorry {
		r.add("certificate", worry, "%s ends in %d days, on %s", file, days, leaf.NotAfter.Format("2 January 2006")).
			Hint = "it is reread when replaced"
		return
	}
	r.add("certificate", fine, "%s is for %s, fits its key, and lasts %d days", file, cfg.Hostname, days)
}

// checkData looks at the data folder, and tells which server runs on it, if any.
func (r *report) checkData(ctx context.Context, cfg *config.Config) (running admin.Server) {
	info, err := os.Stat(cfg.Data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.checkNewData(cfg)
		return running
	case err != nil:
		r.fail("data", err, "the user letterlock runs as must own the folder")
		return running
	case !info.IsDir():
		r.add("data", fails, "%s is no folder", cfg.Data)
		return running
	case info.Mode().Perm()&0o077 != 0:
		r.add("data", fails, "%s is open to others (%v)", cfg.Data, info.Mode().Perm()).Hint = "chmod 700 " + cfg.Data
	}
	r.checkSpace(cfg.Data)
	return r.checkVault(ctx, cfg)
}

// checkNewData asks whether the folder could be made, with those above it.
func (r *report) checkNewData(cfg *config.Config) {
	parent := filepath.Dir(filepath.Clean(cfg.Data))
	for _, err := os.Stat(parent); errors.Is(err, fs.ErrNotExist) && parent != filepath.Dir(parent); _, err = os.Stat(parent) {
		parent = filepath.Dir(parent)
	}
	probe, err := os.MkdirTemp(parent, ".letterlock-check-")
	if err != nil {
		r.fail("data", fmt.Errorf("%s is not there and cannot be made: %w", cfg.Data, err), "make it and give it to the user letterlock runs as")
		return
	}
	if err := os.Remove(probe); err != nil {
		r.fail("data", err, "")
		return
	}
	r.add("data", fine, "%s is not there yet and will be made", cfg.Data)
	r.checkSpace(parent)
}

func (r *report) checkSpace(dir string) {
	free, err := admin.FreeBytes(dir)
	switch {
	case err != nil:
		r.fail("space", err, "")
	case free < spaceFails:
		r.add("space", fails, "%s free on the disk of %s", octets(free), dir).Hint = "mail is deferred when the disk is full; make room"
	case free < spaceWorry:
		r.add("space", worry, "%s free on the disk of %s", octets(free), dir).Hint = "mail is deferred when the disk is full"
	default:
		r.add("space", fine, "%s free on the disk of %s", octets(free), dir)
	}
}

// checkVault asks the server that runs, or opens the vault itself.
func (r *report) checkVault(ctx context.Context, cfg *config.Config) (running admin.Server) {
	ask, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	client := admin.Dial(cfg.Data)
	defer client.Close()
	running, err := client.Server(ask)
	if err == nil {
		r.add("vault", fine, "open in letterlock %s, pid %d", running.Version, running.PID)
		return running
	}
	if entries, err := os.ReadDir(cfg.Data); err == nil && len(entries) == 0 && checkOwner(cfg.Data) == nil {
		r.add("vault", fine, "%s is empty: the start makes the vault", cfg.Data)
		return running
	}
	store, err := openStore(cfg, slog.New(slog.DiscardHandler))
	if errors.Is(err, storage.ErrLocked) {
		r.fail("vault", err, "it does not answer at "+admin.SocketPath(cfg.Data)+": starting, stopping or stuck")
		return running
	}
	if err == nil {
		err = store.Close()
	}
	if err != nil {
		r.fail("vault", err, "")
		return running
	}
	r.add("vault", fine, "opens; no server runs on it")
	return running
}

// checkKeys looks at the keys that mail is encrypted with.
func (r *report) checkKeys(cfg *config.Config) {
	file := cfg.Storage.KeyFile
	if file == "" {
		r.add("keys", fine, "none: mail lies on the disk as it came (letterlock key new)")
		return
	}
	keys, err := openKeys(file)
	switch {
	case err != nil:
		r.fail("keys", err, "")
	case admin.Inside(cfg.Data, file):
		r.add("keys", worry, "%s lies in the data folder: whoever finds the mail finds the key", file).Hint = "move it, and name its new place with key_file in section [storage]"
	default:
		r.add("keys", fine, "mail is encrypted with key %s of %s", keys.Current(), file)
	}
}

// checkListeners asks whether each place is free, or bound by the server that runs.
func (r *report) checkListeners(cfg *config.Config, running admin.Server) {
	if err := admin.CheckSocketPath(cfg.Data); err != nil {
		r.fail("admin", err, "")
	}
	for _, l := range cfg.LMTP.Listeners {
		r.checkListener(cfg, "lmtp", l, running)
	}
	for _, l := range cfg.IMAP.Listeners {
		r.checkListener(cfg, "imap", l, running)
	}
	for _, l := range cfg.ManageSieve.Listeners {
		r.checkListener(cfg, "managesieve", l, running)
	}
	for _, a := range cfg.Admin.Listen {
		r.checkListener(cfg, "admin", config.Listener{Address: a}, running)
	}
}

func (r *report) checkListener(cfg *config.Config, what string, l config.Listener, running admin.Server) {
	e, err := endpoint(l)
	switch {
	case err != nil:
		r.fail(what, err, "")
	case isOurs(e, running.Listening[what]):
		r.open(what, l, e, "%s is ours")
	case e.Network == "unix":
		r.checkSocket(cfg, what, e)
	default:
		r.checkPort(what, l, e)
	}
}

// isOurs says whether an endpoint is one of those that the server that runs has
// bound. The system names these in its own way: 0.0.0.0 is [::], localhost an
// address.
func isOurs(e serve.Endpoint, bound []string) bool {
	if slices.Contains(bound, e.Address) {
		return true
	}
	want, err := net.ResolveTCPAddr("tcp", e.Address)
	if e.Network != "tcp" || err != nil {
		return false
	}
	return slices.ContainsFunc(bound, func(b string) bool {
		has, err := netip.ParseAddrPort(b)
		if err != nil || int(has.Port()) != want.Port {
			return false
		}
		everywhere := want.IP == nil || want.IP.IsUnspecified()
		addr, _ := netip.AddrFromSlice(want.IP)
		return everywhere && has.Addr().IsUnspecified() || addr.Unmap() == has.Addr().Unmap()
	})
}

func (r *report) checkPort(what string, l config.Listener, e serve.Endpoint) {
	if err := e.Check(); err != nil {
		r.fail(what, fmt.Errorf("%s: %w", l.Address, err), "letterlock must be able to read it")
		return
	}
	probe, err := net.Listen("tcp", e.Address)
	switch {
	case errors.Is(err, fs.ErrPermission):
		r.add(what, worry, "%s: %v", l.Address, err).Hint = "ports below 1024 need CAP_NET_BIND_SERVICE (AmbientCapabilities= in a systemd unit), which this command does not have"
		return
	case err != nil:
		r.fail(what, fmt.Errorf("%s: %w", l.Address, serve.Explain(err)), "")
		return
	}
	probe.Close()
	r.open(what, l, e, "%s is free")
}

// open says that all is well with a listener, unless it takes anybody's mail.
func (r *report) open(what string, l config.Listener, e serve.Endpoint, well string) {
	if host := hostOf(e.Address); what == "lmtp" && e.Network == "tcp" && !loopback(host) && len(l.Allow) == 0 && l.ClientCA == "" {
		r.add(what, worry, "%s takes mail from everybody who reaches it", l.Address).Hint = "[[lmtp.listener]] with allow = [networks] or client_ca lets your MTA alone in"
		return
	}
	r.add(what, fine, well, l.Address)
}

// checkProxies names the ways on which a password is there for all to read.
func (r *report) checkProxies(cfg *config.Config) {
	for _, l := range slices.Concat(cfg.IMAP.Listeners, cfg.ManageSieve.Listeners) {
		e, err := endpoint(l)
		if err != nil || !e.Proxy {
			continue
		}
		if hops := proxies(cfg).ClearHop(e); len(hops) > 0 {
			r.add("proxy", worry, "passwords may cross the network in clear from %v to %s", hops, l.Address).
				Hint = "listen at tls:… or a UNIX socket, or put the proxy on this machine"
			continue
		}
		r.add("proxy", fine, "PROXY headers are believed at %s from %v", l.Address, cfg.Proxy.Trusted)
	}
}

func (r *report) checkSocket(cfg *config.Config, what string, e serve.Endpoint) {
	dir := filepath.Dir(e.Address)
	if _, err := os.Stat(dir); err != nil && filepath.Clean(dir) != filepath.Clean(cfg.Data) {
		r.fail(what, err, "the folder of the socket must be there, writable for letterlock")
		return
	}
	if err := e.Check(); err != nil {
		r.fail(what, err, "letterlock must be able to read it")
		return
	}
	if filepath.Clean(dir) == filepath.Clean(cfg.Data) {
		r.add(what, fine, "%s can be made; there root and the folder's owner alone reach it", e)
		return
	}
	r.add(what, fine, "%s can be made", e)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
