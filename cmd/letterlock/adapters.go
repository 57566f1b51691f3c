package main

import (
	"context"
	"errors"
	"fmt"

	"letterlock/imapd"
	"letterlock/internal/auth"
	"letterlock/internal/config"
	"letterlock/internal/deliver"
	"letterlock/internal/mail"
	"letterlock/internal/reply"
	"letterlock/internal/requiretls"
	"letterlock/internal/serve"
	"letterlock/lmtp"
	"letterlock/storage"
)

// The seams: each room asks in its own words, the vault answers in its own.

// sorting is the vault as the sorting room asks for it.
type sorting struct {
	*storage.Store
	full *reply.Error // what a sender hears of a full mailbox
}

var _ deliver.Store = sorting{}

// fullAnswer is temporary by default: who is full today may have room tomorrow.
func fullAnswer(cfg *config.Config) *reply.Error {
	if cfg.Quota.Answer == config.QuotaReject {
		return reply.Perm(52, "2.2", reply.MailboxFull.Text)
	}
	return reply.MailboxFull
}

func (s sorting) Account(ctx context.Context, addr mail.Address) (uint64, bool, error) {
	p, err := s.Person(ctx, addr)
	found, err := there(err)
	return uint64(p.ID), found, err
}

func (s sorting) Alias(ctx context.Context, from mail.Address) ([]mail.Address, bool, error) {
	a, err := s.Store.Alias(ctx, from)
	found, err := there(err)
	return a.To, found, err
}

func (s sorting) Eldest(ctx context.Context) (uint64, bool, error) {
	p, err := s.Store.Eldest(ctx)
	found, err := there(err)
	return uint64(p.ID), found, err
}

// Room asks for as little as a letter can be.
func (s sorting) Room(ctx context.Context, id uint64) error {
	return s.heard(s.Store.Account(storage.AccountID(id)).CheckQuota(ctx, storage.Usage{Bytes: 1, Messages: 1}))
}

// heard says of a full mailbox what a sender may hear; the vault says it of
// itself.
func (s sorting) heard(err error) error {
	if errors.Is(err, storage.ErrOverQuota) {
		return s.full.Because(err)
	}
	return err
}

func (s sorting) Commit(ctx context.Context, env *mail.Envelope, body mail.Body, sum *mail.Summary, plans []mail.Delivery) []error {
	errs := s.Store.Commit(ctx, env, body, sum, plans)
	for i, err := range errs {
		errs[i] = s.heard(err)
	}
	return errs
}

// there tells "not found" from trouble.
func there(err error) (bool, error) {
	if errors.Is(err, storage.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// spool lends the vault's temp folder to the front door.
func spool(s *storage.Store) lmtp.Spool {
	return func() (lmtp.SpoolFile, error) { return s.Spool() }
}

// logins is the vault as whoever checks passwords asks for it.
type logins struct {
	store     *storage.Store
	addresses deliver.Addresses
}

var (
	_ auth.Users     = logins{}
	_ auth.Canonical = logins{}
)

// Credentials finds a login: an address, its domain left out where it is the
// configured one. What cannot be an address is nobody's login, and an account
// without credentials lets nobody in.
func (l logins) Credentials(ctx context.Context, login string) (uint64, []byte, error) {
	addr, err := mail.ParseAddress(login)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", auth.ErrNoUser, err)
	}
	p, err := l.store.Person(ctx, l.addresses.Normal(addr))
	switch {
	case errors.Is(err, storage.ErrNotFound), err == nil && len(p.Credentials) == 0:
		return 0, nil, auth.ErrNoUser
	case err != nil:
		return 0, nil, err
	}
	return uint64(p.ID), p.Credentials, nil
}

// Canonical is a login as its account is named: two spellings of one login get
// the same answers, whether somebody has it or not.
func (l logins) Canonical(login string) string {
	addr, err := mail.ParseAddress(login)
	if err != nil {
		return login
	}
	return l.addresses.Normal(addr).String()
}

// endpoint is a configured listener in the words of whoever listens.
func endpoint(l config.Listener) (serve.Endpoint, error) {
	e, err := serve.ParseEndpoint(l.Address)
	e.Allow, e.ClientCA, e.Proxy = l.Allow, l.ClientCA, l.Proxy
	return e, err
}

// proxies are the load balancers whose PROXY header is believed.
func proxies(cfg *config.Config) serve.Proxies {
	return serve.Proxies{Trusted: cfg.Proxy.Trusted, AssumeTLS: cfg.Proxy.AssumeTLS}
}

// trustHeader says on which endpoints Postfix' header counts as the tag.
func trustHeader(configured []config.Listener) func(serve.Endpoint) bool {
	trusted := map[string]bool{}
	for _, l := range configured {
		if l.TrustRequireTLSHeader {
			trusted[l.Address] = true
		}
	}
	return func(e serve.Endpoint) bool { return trusted[e.String()] }
}

var releasePolicy = map[string]requiretls.Policy{
	config.ReleaseTLS:   requiretls.PolicyTLS,
	config.ReleaseBound: requiretls.PolicyBound,
	config.ReleaseLocal: requiretls.PolicyLocal,
}

var insecureWord = map[string]imapd.Insecure{
	config.InsecureWithhold: imapd.InsecureWithhold,
	config.InsecureRefuse:   imapd.InsecureRefuse,
}

var noticeWord = map[string]imapd.Notice{
	config.NoticeCount:   imapd.NoticeCount,
	config.NoticeGeneric: imapd.NoticeGeneric,
	config.NoticeOff:     imapd.NoticeOff,
}
