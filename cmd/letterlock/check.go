package main

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"letterlock/internal/config"
)

var checkVerb = verb{
	name:  "check",
	args:  "[--config FILE] [--json]",
	short: "tell what would fail, and the lines your MTA needs",
	setup: func(f *flag.FlagSet) action {
		conf, asJSON := configFlag(f), jsonFlag(f)
		return func(ctx context.Context, c *call) error {
			if len(c.args) != 0 {
				return errArguments
			}
			return checkAll(ctx, c, *conf, *asJSON)
		}
	},
}

// report is what check found.
type report struct {
	OK       bool      `json:"ok"`
	Config   string    `json:"config"` // the file; empty: the built-in defaults
	Findings []finding `json:"findings"`
	MTA      []advice  `json:"mta,omitempty"`
}

// finding is one thing looked at.
type finding struct {
	What  string `json:"what"`
	State state  `json:"state"`
	Fact  string `json:"fact"`
	Hint  string `json:"hint,omitempty"`
}

// state says what a finding means for the server.
type state string

const (
	fine  state = "ok"
	worry state = "warn" // works now, and may not for long, or not for everybody
	fails state = "fail"
)

func (r *report) add(what string, s state, fact string, args ...any) *finding {
	r.Findings = append(r.Findings, finding{What: what, State: s, Fact: fmt.Sprintf(fact, args...)})
	if s == fails {
		r.OK = false
	}
	return &r.Findings[len(r.Findings)-1]
}

// fail notes an error with the hint it carries, or else the one given.
func (r *report) fail(what string, err error, hint string) {
	f := r.add(what, fails, "%v", err)
	f.Hint = hint
	if own := hintOf(err); own != "" {
		f.Hint = own
	}
}

func checkAll(ctx context.Context, c *call, conf string, asJSON bool) error {
	r := &report{OK: true}
	cfg, err := config.Load(conf)
	if err != nil {
		r.fail("config", err, "")
	} else {
		r.Config = cfg.File
		r.look(ctx, cfg)
	}
	if asJSON {
		err = printJSON(c.out, r)
	} else {
		err = r.print(c)
	}
	if err == nil && !r.OK {
		return errSaid
	}
	return err
}

// look goes through the house from the ground up.
func (r *report) look(ctx context.Context, cfg *config.Config) {
	if cfg.File == "" {
		r.add("config", fine, "built-in defaults: neither %s is there", strings.Join(config.Places, " nor "))
	} else {
		r.add("config", fine, "%s", cfg.File)
	}
	r.checkCertificate(cfg)
	r.checkKeys(cfg)
	running := r.checkData(ctx, cfg)
	r.checkListeners(cfg, running)
	r.checkProxies(cfg)
	r.checkReaders(cfg)
	r.checkRelay(ctx, cfg)
	r.MTA = mtaAdvice(cfg)
}

// checkReaders says whom the config lets in without TLS.
func (r *report) checkReaders(cfg *config.Config) {
	open := cfg.IMAP.CleartextAuth
	switch {
	case len(open.Networks) > 0:
		r.add("release", worry, "%v may log in without TLS: their passwords can be read on the way", open.Networks).
			Hint = "imap.cleartext_auth = \"never\" closes it"
	case cfg.IMAP.Release == config.ReleaseLocal:
		r.add("release", worry, "REQUIRETLS mail is shown to local sessions without TLS (RFC 8689 §4.4 wants TLS)").
			Hint = "imap.release = \"tls\" keeps it back"
	default:
		r.add("release", fine, "REQUIRETLS mail is shown over TLS alone")
	}
	for _, l := range cfg.IMAP.Listeners {
		if l.View == config.ViewClear {
			r.add("release", fine, "REQUIRETLS mail is hidden from whoever connects to %s, over TLS or not", l.Address)
		}
	}
}

func (r *report) print(c *call) error {
	var b strings.Builder
	for _, f := range r.Findings {
		lines := strings.Split(f.Fact, "\n")
		fmt.Fprintf(&b, "%-4s  %-12s %s\n", f.State, f.What, lines[0])
		for _, line := range lines[1:] {
			fmt.Fprintf(&b, "%-4s  %-12s %s\n", "", "", line)
		}
		if f.Hint != "" {
			fmt.Fprintf(&b, "%-4s  %-12s hint: %s\n", "", "", f.Hint)
		}
	}
	for _, a := range r.MTA {
		a.print(&b)
	}
	_, err := fmt.Fprint(c.out, b.String())
	return err
}
