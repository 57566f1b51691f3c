package deliver

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"time"

	"letterlock/internal/mail"
	"letterlock/sieve"
)

// Language says what is particular to this house in the language of its rules.
// Whoever compiles a script, to deliver by it, to store it or to try it, does so
// with the same Language: what was accepted then runs.
type Language struct {
	Hostname  string // environment "host"
	Domain    string // environment "domain"
	Version   string // environment "version"
	Delimiter string // as in [Addresses]; empty: there is no subaddress
	Filter    Filter // whose verdicts there are
}

// Config is the one configuration of the sorting rules: the whole language, and
// what is ours.
func (l Language) Config() sieve.Config {
	return sieve.Config{
		Extensions: append(l.grounded(), requireTLSExt),
		Zone:       time.Local, // RFC 5260 §4.1: MUST
		Delimiter:  l.Delimiter,
		Hostname:   l.Hostname,
		Domain:     l.Domain,
		Version:    l.Version,
	}
}

// NewEngine is the language at work.
func NewEngine(l Language) *sieve.Engine {
	e, err := sieve.New(l.Config())
	if err != nil {
		panic(fmt.Sprintf("deliver: the language contradicts itself: %v", err))
	}
	return e
}

// grounded is the standard language, where addresses have no detail without the
// test for it. The tests for a filter's verdicts are there without them, too: a
// script that has come from elsewhere runs, and its author is told.
func (l Language) grounded() []*sieve.Extension {
	words := slices.DeleteFunc(sieve.Standard(), func(x *sieve.Extension) bool {
		return x.Name == "subaddress" && l.Delimiter == ""
	})
	for i, x := range words {
		switch x.Name {
		case "spamtest", "spamtestplus":
			words[i] = remarked(x, len(l.Filter.Spam) == 0, "spamtest")
		case "virustest":
			words[i] = remarked(x, len(l.Filter.Virus) == 0, "virustest")
		}
	}
	return words
}

// remarked is an extension that, where its test is without a verdict, says so.
func remarked(x *sieve.Extension, without bool, test string) *sieve.Extension {
	if !without {
		return x
	}
	said := *x
	said.Remark = "`" + test + "` always reads \"0\", not tested: this server is not told what a filter found out"
	return &said
}

// markRequired is what :requiretls says about a redirect.
const markRequired = "requiretls"

// requireTLSExt asks REQUIRETLS for a forwarded copy (RFC 8689 §6: whoever
// forwards to an address known to be capable may). It only raises; nothing in
// the language lowers a demand.
var requireTLSExt = &sieve.Extension{
	Name: "vnd.letterlock.redirect-requiretls",
	Tags: []sieve.TagFor{{On: "redirect", Tag: sieve.Tag{
		Name: "requiretls",
		Apply: func(_ *sieve.Runtime, a sieve.Action, _ *sieve.TagValue) error {
			if r, ok := a.(*sieve.Redirect); ok {
				r.Mark(markRequired, "required")
			}
			return nil
		},
	}}},
}

// environment answers for the items that are ours (RFC 5183 §4.2): how the
// message came, and what its sender demanded. An item without a value does not
// match.
func environment(env *mail.Envelope) func(item string) (string, bool) {
	return func(item string) (string, bool) {
		switch {
		case item == "vnd.letterlock.requiretls" && env.Demand.IsRequired():
			return "required", true
		case item == "vnd.letterlock.requiretls" && env.Demand.IsWaived():
			return "waived", true
		case item == "vnd.letterlock.tls" && env.TLSVersion != 0:
			return strings.ReplaceAll(tls.VersionName(env.TLSVersion), " ", "v"), true // "TLSv1.3"
		}
		return "", false
	}
}
