package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"letterlock/imapd"
	"letterlock/internal/admin"
	"letterlock/internal/auth"
	"letterlock/internal/config"
	"letterlock/internal/deliver"
	"letterlock/internal/mail"
	"letterlock/internal/maillog"
	"letterlock/internal/mime"
	"letterlock/internal/search"
	"letterlock/internal/serve"
	"letterlock/lmtp"
	"letterlock/relay"
	"letterlock/sieve"
	"letterlock/storage"
	"letterlock/storage/kv"
	"letterlock/storage/kv/journal"
	"letterlock/storage/seal"
)

// house is every room, built and joined. serve and demo live in the same one.
type house struct {
	cfg   *config.Config
	log   *slog.Logger
	lines *admin.Ring // the last lines of fates
	fates *maillog.Log

	store   *storage.Store
	desk    *admin.Desk
	certs   *serve.Certificates
	logins  *auth.Checker
	imap    *serve.Server
	engine  *sieve.Engine // the language of the rules
	ruleLog *deliver.RuleLog
	rules   *serve.Server
	relay   *relay.Runner // nil: nothing leaves
	lmtp    *serve.Server
	socket  *admin.Socket
	web     *admin.Web

	draining atomic.Bool
}

// build opens the vault and binds every listener; nobody is served yet. On an
// error nothing stays open.
func build(cfg *config.Config, log *slog.Logger) (*house, error) {
	h := &house{cfg: cfg, log: log, lines: admin.NewRing(linesKept), engine: deliver.NewEngine(language(cfg))}
	h.fates = maillog.New(slog.New(h.lines.Handler(log.Handler())))
	for _, open := range []func() error{h.openVault, h.loadCertificates, h.checkLogins, h.openReading, h.openRules, h.openWayOut, h.openFront, h.openOffice} {
		if err := open(); err != nil {
			return nil, errors.Join(err, h.abandon())
		}
	}
	return h, nil
}

// linesKept is how many lines about mail trace can show.
const linesKept = 4096

// abandon closes what was opened and never ran.
func (h *house) abandon() error {
	var errs []error
	for _, s := range []*serve.Server{h.lmtp, h.rules, h.imap} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	if h.web != nil {
		errs = append(errs, h.web.Close())
	}
	if h.socket != nil {
		errs = append(errs, h.socket.Close())
	}
	if h.store != nil {
		errs = append(errs, h.store.Close())
	}
	return errors.Join(errs...)
}

func (h *house) openVault() (err error) {
	h.store, err = openStore(h.cfg, h.log)
	if errors.Is(err, storage.ErrLocked) && !served(h.cfg.Data) {
		h.log.Info("waiting for the data folder", "error", err, "at_most", verbEnds)
		for end := time.Now().Add(verbEnds); errors.Is(err, storage.ErrLocked) && time.Now().Before(end); {
			time.Sleep(verbEnds / 100)
			h.store, err = openStore(h.cfg, h.log)
		}
	}
	h.ruleLog = deliver.NewRuleLog(rulesLog{h.store})
	return err
}

// verbEnds is how long a start waits for a verb that has the store: while no server
// runs they open it themselves, and one that comes just when a server is started anew
// must not keep it down.
const verbEnds = 5 * time.Second

// served says whether a server answers on a data folder.
func served(data string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	client := admin.Dial(data)
	defer client.Close()
	_, err := client.Server(ctx)
	return err == nil
}

// openStore opens the vault of the data folder, for whoever gets there first.
func openStore(cfg *config.Config, log *slog.Logger) (*storage.Store, error) {
	if err := checkOwner(cfg.Data); err != nil {
		return nil, err
	}
	opt, err := storeOptions(cfg, log)
	if err != nil {
		return nil, err
	}
	store, err := storage.Open(cfg.Data, opt)
	switch {
	case errors.Is(err, storage.ErrLocked):
		err = withHint(err, "one process serves one data folder: stop the other one, or name another folder with data = … in the config")
	case errors.Is(err, storage.ErrForeign):
		err = withHint(err, foreignHint)
	case errors.Is(err, seal.ErrNoKey):
		err = withHint(err, "key_file in section [storage] names the file with the keys")
	case errors.Is(err, journal.ErrDamaged), errors.Is(err, kv.ErrDamaged):
		err = withHint(err, "no mail is lost: letterlock fsck --repair says what is, and goes on without it")
	case err != nil && halfRestored(cfg.Data):
		err = withHint(err, restoreAgain)
	}
	return store, err
}

const foreignHint = "nothing was touched: name another folder with data = … in the config"

// storeOptions are how whoever opens or mends the vault does it.
func storeOptions(cfg *config.Config, log *slog.Logger) (opt storage.Options, err error) {
	opt = storage.Options{Log: log, Summarize: mime.Summarize, Filter: search.AppendFilter}
	if cfg.Storage.KeyFile != "" {
		opt.Keys, err = openKeys(cfg.Storage.KeyFile)
	}
	return opt, err
}

// checkOwner refuses a data folder of somebody else's. To root it would open,
// and what root writes there its owner could not read any more.
func checkOwner(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return nil // not there yet, or for the vault to say
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) == os.Geteuid() {
		return nil
	}
	owner, me := userName(int(st.Uid)), userName(os.Geteuid())
	return withHint(fmt.Errorf("the data folder %s belongs to %s, and this process runs as %s", dir, owner, me),
		"run it as %s, or let it change hands: chown -R %s %s", owner, me, dir)
}

// userName is the name of a user as an admin knows it.
func userName(uid int) string {
	id := strconv.Itoa(uid)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "uid " + id
}

// loadCertificates reads the configured certificate, or makes one of our own. A
// certificate that cannot serve stops the start: without TLS there is no
// REQUIRETLS, and an MTA bounces what it could have kept.
func (h *house) loadCertificates() error {
	cert, key, err := certificateFiles(h.cfg)
	if err != nil {
		return err
	}
	h.certs, err = serve.LoadCertificates(cert, key, h.log)
	return err
}

// certificateFiles are the configured ones; with none configured they are made,
// and made anew before they end.
func certificateFiles(cfg *config.Config) (cert, key string, err error) {
	if cfg.TLS.Cert != "" {
		return cfg.TLS.Cert, cfg.TLS.Key, nil
	}
	return serve.PrivateCA(privateTLS(cfg), []string{cfg.Hostname}, time.Now())
}

// privateTLS is where our own CA and certificate lie.
func privateTLS(cfg *config.Config) string { return filepath.Join(cfg.Data, "tls") }

// renewDaily makes a new private certificate in time, for a server that is never
// started anew: when a day has passed by the clock on the wall, or that has gone back. A
// certificate that was made before the clock was right may be over, or not yet have
// begun. look ticks once a minute.
func (h *house) renewDaily(ctx context.Context, look <-chan time.Time) error {
	last := time.Now().Round(0) // without what the clock on the wall does not show
	h.warnOfEnd(last)
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-look:
			now = now.Round(0)
			if passed := now.Sub(last); passed >= 0 && passed < 24*time.Hour {
				continue
			}
			last = now
		}
		before := h.certs.Expires()
		if err := h.reload(); err != nil {
			h.log.Error("certificate not renewed, the old one stays", "expires", before, "error", err)
		} else if after := h.certs.Expires(); !after.Equal(before) {
			h.log.Info("certificate renewed", "expires", after)
		}
		h.warnOfEnd(last)
	}
}

// warnOfEnd says each day, in time, what nobody hears of before it is too late: with a
// certificate that is over, MTAs that prove it bounce REQUIRETLS mail and defer the rest.
func (h *house) warnOfEnd(now time.Time) {
	if ends := h.certs.Expires(); ends.Sub(now) < certWorry {
		h.log.Warn("the certificate ends soon and is not replaced: MTAs that prove it bounce REQUIRETLS mail then", "expires", ends)
	}
}

// reload reads the certificate again; a bad one leaves the old one in place.
func (h *house) reload() error {
	if _, _, err := certificateFiles(h.cfg); err != nil {
		return err
	}
	return h.certs.Reload()
}

// checkLogins makes the one check of passwords that all rooms share: whoever
// guesses at one is slow at the others.
func (h *house) checkLogins() (err error) {
	h.logins = auth.NewChecker(logins{h.store, addresses(h.cfg)}, 0)
	h.logins.Cache = &auth.Cache{}     // clients log in every few minutes: one hash serves many
	h.logins.Penalty = &auth.Penalty{} // whoever guesses waits, and nobody else
	h.logins.Secret, err = keptSecret(filepath.Join(h.cfg.Data, "login.secret"))
	return err
}

// openReading opens IMAP, the reading room.
func (h *house) openReading() (err error) {
	room := imapd.New(imapd.Options{
		Store:      h.store,
		Passwords:  h.logins,
		Hostname:   h.cfg.Hostname,
		Cleartext:  imapd.Cleartext(h.cfg.IMAP.CleartextAuth),
		Release:    releasePolicy[h.cfg.IMAP.Release],
		Insecure:   insecureWord[h.cfg.IMAP.OnInsecure],
		Hide:       hides(h.cfg.IMAP.Listeners),
		Notice:     noticeWord[h.cfg.IMAP.Notice],
		MaxMessage: h.cfg.LMTP.MaxSize,
		Log:        h.log,
		MailLog:    h.fates.Readers("imap"),

		NoUnauthenticate: !h.cfg.IMAP.Unauthenticate,
	})
	h.imap, err = h.listen(h.cfg.IMAP.Listeners, serve.Options{
		Name: "imap", ALPN: []string{"imap"}, Grace: imapGrace, TooMany: imapd.TooManyConnections, Handle: room.Handle, Proxies: proxies(h.cfg),
	})
	return err
}

// hides says at which endpoints mail is hidden. Where it is asked for at all, the
// other listeners withhold ([config.InsecureHide]).
func hides(configured []config.Listener) func(serve.Endpoint) bool {
	hiding := map[string]bool{}
	for _, l := range configured {
		if l.View == config.ViewClear {
			hiding[l.Address] = true
		}
	}
	return func(e serve.Endpoint) bool { return hiding[e.String()] }
}

// openFront opens LMTP, the front door, with the sorting room behind it.
func (h *house) openFront() (err error) {
	sorting := deliver.Options{
		Store: sorting{h.store, fullAnswer(h.cfg)}, Hostname: h.cfg.Hostname, Addresses: addresses(h.cfg),
		Rules: rules{h.store}, RuleLog: h.ruleLog, Filter: filter(h.cfg), Log: h.fates,
	}
	if err := h.leave(&sorting); err != nil {
		return err
	}
	room := lmtp.New(lmtp.Options{
		Hostname:         h.cfg.Hostname,
		Deliver:          deliver.New(sorting),
		DSN:              h.relay != nil, // who cannot send reports offers none
		Unanswered:       h.store.Unanswered,
		Spool:            spool(h.store),
		MaxSize:          h.cfg.LMTP.MaxSize,
		TLSRequired:      mime.TLSRequiredNo,
		TrustHeader:      trustHeader(h.cfg.LMTP.Listeners),
		RequireTLSHeader: mime.TrustedRequireTLS,
		Mail:             h.fates,
		Log:              h.log,
	})
	h.lmtp, err = h.listen(h.cfg.LMTP.Listeners, serve.Options{
		Name: "lmtp", Grace: lmtpGrace, TooMany: lmtp.TooMany(), Handle: room.Handle, MaxPerAddr: mtaConnections,
	})
	return err
}

// mtaConnections is how many one MTA may have: it brings the mail of everybody. Postfix
// has a hundred of each transport, if nobody says otherwise.
const mtaConnections = 2000

// listen binds the configured listeners of one protocol.
func (h *house) listen(configured []config.Listener, opt serve.Options) (*serve.Server, error) {
	for _, l := range configured {
		e, err := endpoint(l)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", opt.Name, err)
		}
		opt.Endpoints = append(opt.Endpoints, e)
		if hops := opt.Proxies.ClearHop(e); len(hops) > 0 {
			h.log.Warn("passwords may cross the network in clear on their way from a proxy", "server", opt.Name, "endpoint", e.String(), "from", hops)
		}
	}
	opt.TLS, opt.Log = h.certs, h.log
	readers, visitors := connections(openFiles(), memory())
	if opt.MaxConns = visitors; opt.Name == "imap" {
		opt.MaxConns = readers
	}
	return serve.Listen(opt)
}

// openOffice opens the admin socket and the listener for machines that watch.
func (h *house) openOffice() (err error) {
	h.fates.Registry().MustRegister(admin.NewGauges(admin.GaugeOptions{Store: h.store, Data: h.cfg.Data, Expires: h.certs.Expires, Relay: h.relay}))
	if h.web, err = admin.ListenWeb(h.cfg.Admin.Listen, h.fates.Registry(), h.healthy, h.log); err != nil {
		return err
	}
	opt := deskOptions(h.cfg, h.store)
	opt.Server, opt.Engine, opt.Relay, opt.RuleLog, opt.Ring = h.self, h.engine, h.relay, h.ruleLog, h.lines
	h.desk = admin.NewDesk(opt)
	h.socket, err = admin.ListenSocket(h.cfg.Data, h.desk, h.log)
	return err
}

// healthy is nil while mail is taken and read.
func (h *house) healthy() error {
	if h.draining.Load() {
		return errors.New("stopping")
	}
	if free, err := admin.FreeBytes(h.cfg.Data); err == nil && free < spaceNeeded {
		return fmt.Errorf("the disk of %s is full", h.cfg.Data)
	}
	if err := h.store.Trouble(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if _, err := there(h.ask(ctx)); err != nil {
		return fmt.Errorf("the vault does not answer: %w", err)
	}
	return nil
}

// spaceNeeded is how many octets must be free for mail to come in: one message
// of the biggest default size.
const spaceNeeded = 50_000_000

// ask makes the vault answer something.
func (h *house) ask(ctx context.Context) error {
	_, err := h.store.Person(ctx, mail.Address{Local: "postmaster", Domain: h.cfg.Address.Domain})
	return err
}

// self is who answers at the admin socket.
func (h *house) self(context.Context) admin.Server {
	return admin.Server{PID: os.Getpid(), Version: thisBinary().Version, Listening: h.listening()}
}

// listening is where each protocol is to be had.
func (h *house) listening() map[string][]string {
	return map[string][]string{
		"lmtp":        texts(h.lmtp.Addrs()),
		"imap":        texts(h.imap.Addrs()),
		"managesieve": texts(h.rules.Addrs()),
		"admin":       texts(h.web.Addrs()),
	}
}

func texts(addrs []net.Addr) []string {
	var all []string
	for _, a := range addrs {
		all = append(all, a.String())
	}
	return all
}
