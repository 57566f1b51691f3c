package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"letterlock/internal/config"
	"letterlock/internal/deliver"
	"letterlock/internal/mail"
	"letterlock/internal/serve"
	"letterlock/sieve/managesieve"
	"letterlock/storage"
)

// rules is the vault as whoever sorts mail by people's scripts asks for it.
type rules struct{ store *storage.Store }

var _ deliver.Rules = rules{}

// Turn is another number after an account's scripts have changed.
func (r rules) Turn(account uint64) uint64 { return r.store.ScriptTurn(storage.AccountID(account)) }

// Active is the script that sorts an account's mail.
func (r rules) Active(ctx context.Context, account uint64, known deliver.Known) (deliver.Script, bool, error) {
	return read(r.store.Account(storage.AccountID(account)).ActiveScript(ctx, versions(known)))
}

// Script is one by name.
func (r rules) Script(ctx context.Context, account uint64, name string, known deliver.Known) (deliver.Script, bool, error) {
	return read(r.store.Account(storage.AccountID(account)).Script(ctx, name, versions(known)))
}

func versions(known deliver.Known) func(storage.ScriptVersion) bool {
	return func(v storage.ScriptVersion) bool { return known(v) }
}

func read(s storage.Script, text []byte, err error) (deliver.Script, bool, error) {
	found, err := there(err)
	return deliver.Script{Name: s.Name, Version: s.Version, Text: text}, found, err
}

// Owner is the address of an account.
func (r rules) Owner(ctx context.Context, account uint64) (mail.Address, error) {
	p, err := r.store.PersonByID(ctx, storage.AccountID(account))
	return p.Address, err
}

// Mailboxes are all of an account's.
func (r rules) Mailboxes(ctx context.Context, account uint64) ([]deliver.Mailbox, error) {
	boxes, err := r.store.Account(storage.AccountID(account)).Mailboxes(ctx)
	all := make([]deliver.Mailbox, len(boxes))
	for i, b := range boxes {
		all[i] = deliver.Mailbox{Name: b.Name, Use: b.SpecialUse, ID: b.ObjectID.String()}
	}
	return all, err
}

// Lands is the mailbox that a copy is filed in.
func (r rules) Lands(ctx context.Context, account uint64, c mail.Copy) (string, error) {
	return r.store.Account(storage.AccountID(account)).Lands(ctx, c)
}

// Remembered says until when something is remembered for an account.
func (r rules) Remembered(ctx context.Context, account uint64, key [32]byte) (time.Time, bool, error) {
	return r.store.Account(storage.AccountID(account)).Remembered(ctx, key)
}

// Annotation reads an entry of a mailbox, or without one of the account; a
// shared one of the account may be everybody's (RFC 5464, RFC 5490 §4).
func (r rules) Annotation(ctx context.Context, account uint64, mailbox, name string) (value string, found bool, err error) {
	a := r.store.Account(storage.AccountID(account))
	if mailbox == "" {
		value, found, err = annotation(ctx, a, 0, name)
		if err != nil || found || !strings.HasPrefix(name, "/shared/") {
			return value, found, err
		}
		return annotation(ctx, r.store.Account(0), 0, name)
	}
	box, err := a.Mailbox(ctx, mailbox)
	if found, err := there(err); !found {
		return "", false, err
	}
	return annotation(ctx, a, box.ID, name)
}

// annotation reads one entry. A name that none can have is that of none.
func annotation(ctx context.Context, a *storage.Account, box storage.MailboxID, name string) (string, bool, error) {
	list, err := a.Annotations(ctx, box, []string{name}, storage.DepthZero)
	if errors.Is(err, storage.ErrBadName) || errors.Is(err, storage.ErrNotFound) {
		return "", false, nil
	}
	if err != nil || len(list) == 0 {
		return "", false, err
	}
	return string(list[0].Value), true, nil
}

// rulesLog keeps what people's rules could not do beside their mail.
type rulesLog struct{ store *storage.Store }

var _ deliver.Keeper = rulesLog{}

const rulesLogEntry = "/private/vendor/letterlock/rules-log"

func (r rulesLog) Text(ctx context.Context, account uint64) (string, error) {
	text, _, err := annotation(ctx, r.store.Account(storage.AccountID(account)), 0, rulesLogEntry)
	return text, err
}

func (r rulesLog) SetText(ctx context.Context, account uint64, text string) error {
	entry := storage.Annotation{Name: rulesLogEntry}
	if text != "" {
		entry.Value = []byte(text)
	}
	return r.store.Account(storage.AccountID(account)).Annotate(ctx, 0, []storage.Annotation{entry})
}

// scripts is the vault as the rule desk asks for it.
type scripts struct{ store *storage.Store }

var _ managesieve.Scripts = scripts{}

func (s scripts) of(account uint64) *storage.Account {
	return s.store.Account(storage.AccountID(account))
}

// List tells of all scripts of an account.
func (s scripts) List(ctx context.Context, account uint64) ([]managesieve.Script, error) {
	list, err := s.of(account).Scripts(ctx)
	return listed(list), err
}

func listed(list []storage.Script) []managesieve.Script {
	all := make([]managesieve.Script, len(list))
	for i, l := range list {
		all[i] = managesieve.Script{Name: l.Name, Size: l.Size, Active: l.Active}
	}
	return all
}

// Get reads one.
func (s scripts) Get(ctx context.Context, account uint64, name string) ([]byte, error) {
	_, text, err := s.of(account).Script(ctx, name, nil)
	return text, desk(err)
}

// Put makes a script or replaces it, within the quota.
func (s scripts) Put(ctx context.Context, account uint64, name string, script []byte, quota managesieve.Quota) error {
	return desk(s.of(account).PutScript(ctx, name, script, func(list []storage.Script) error {
		return quota.Allows(listed(list), name, int64(len(script)))
	}))
}

// Activate makes a script the active one, and with an empty name none.
func (s scripts) Activate(ctx context.Context, account uint64, name string) error {
	return desk(s.of(account).ActivateScript(ctx, name))
}

// Delete removes one that is not active.
func (s scripts) Delete(ctx context.Context, account uint64, name string) error {
	return desk(s.of(account).DeleteScript(ctx, name))
}

// Rename gives one another name.
func (s scripts) Rename(ctx context.Context, account uint64, from, to string) error {
	return desk(s.of(account).RenameScript(ctx, from, to))
}

// desk says what the vault says in the rule desk's words.
func desk(err error) error {
	for ours, theirs := range map[error]error{
		storage.ErrNotFound: managesieve.ErrNotFound,
		storage.ErrExists:   managesieve.ErrExists,
		storage.ErrActive:   managesieve.ErrActive,
		storage.ErrLimit:    managesieve.ErrTooMany,
	} {
		if errors.Is(err, ours) {
			return fmt.Errorf("%w: %w", theirs, err)
		}
	}
	return err
}

// language is the one that delivery sorts by: what the rule desk accepts runs.
func language(cfg *config.Config) deliver.Language {
	return deliver.Language{
		Hostname: cfg.Hostname, Domain: cfg.Address.Domain, Version: thisBinary().Version, Delimiter: cfg.Address.Delimiter, Filter: filter(cfg),
	}
}

// filter is the one in front of us.
func filter(cfg *config.Config) deliver.Filter {
	c := &cfg.Sieve
	return deliver.Filter{Spam: filterFields(c.SpamHeader), SpamMax: c.SpamMax, Virus: filterFields(c.VirusHeader), VirusWords: c.VirusWords}
}

func filterFields(named []config.HeaderField) (fields []deliver.FilterField) {
	for _, f := range named {
		fields = append(fields, deliver.FilterField{Name: f.Name, Pattern: f.Regexp()})
	}
	return fields
}

// openRules opens ManageSieve, the rule desk.
func (h *house) openRules() (err error) {
	room := managesieve.New(managesieve.Options{
		Scripts:     scripts{h.store},
		Logins:      h.logins,
		Notes:       h.ruleLog,
		Language:    managesieve.Speak(h.engine),
		Certificate: h.certs.Leaf,
		Version:     thisBinary().Version,
		Log:         h.log,
		MailLog:     h.fates.Readers("managesieve"),
	})
	h.rules, err = h.listen(h.cfg.ManageSieve.Listeners, serve.Options{
		Name: "managesieve", Grace: rulesGrace, TooMany: managesieve.TooManyConnections, Handle: room.Handle, Proxies: proxies(h.cfg),
	})
	return err
}
