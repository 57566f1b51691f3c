package managesieve

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"time"

	"letterlock/internal/auth"
	"letterlock/internal/maillog"
	"letterlock/sieve"
)

// Options of the server. Scripts, Logins and Language must be given; the zero
// value of all else is the documented default.
type Options struct {
	Scripts  Scripts
	Logins   *auth.Checker
	Language Language

	Notes      Notes // what an account's scripts could not do; nil: nothing is told
	Quota      Quota
	MaxPerUser int           // connections of one account; 0: 10
	Idle       time.Duration // silence that ends a session after login; 0: 30 minutes, the least RFC 5804 §1.2 allows
	LoginTime  time.Duration // how long a connection may stay without login; 0: 2 minutes
	Patience   time.Duration // how long a client may take to read 64 KiB; 0: 5 minutes

	// Certificate is the one that TLS shows now, which a client may bind its
	// login to (tls-server-end-point); nil: by tls-exporter and tls-unique alone.
	Certificate func() *x509.Certificate

	Version string           // of IMPLEMENTATION; "": none is told
	Log     *slog.Logger     // debug prose and our own bugs; nil: none
	MailLog *maillog.Readers // who logged in; nil: nobody is told
}

// Language is what scripts are written in. It must be the one that delivery
// runs: [Speak] makes it from delivery's engine.
type Language struct {
	Extensions []string // SIEVE: what require may name
	Redirects  int      // MAXREDIRECTS: of one run
	Notify     []string // NOTIFY: URI schemes; none where there is no enotify

	// Check reads a script without keeping it. Mistakes are a [sieve.Errors];
	// remarks come with a script that may be kept. Any other error is ours.
	Check func(ctx context.Context, name string, script []byte) (remarks []sieve.Diagnostic, err error)
}

// Speak is the language of an engine.
func Speak(e *sieve.Engine) Language {
	l := Language{Extensions: e.Capabilities(), Redirects: e.Config().Limits.Redirects}
	for _, name := range l.Extensions {
		if name == "enotify" {
			l.Notify = []string{"mailto"}
		}
	}
	l.Check = func(_ context.Context, name string, script []byte) ([]sieve.Diagnostic, error) {
		compiled, err := e.Compile(name, script)
		if err != nil {
			return nil, err
		}
		return compiled.Remarks(), nil
	}
	return l
}

const (
	defaultScripts    = 32
	defaultSize       = 1 << 20
	defaultTotal      = 4 << 20
	defaultMaxPerUser = 10
	defaultIdle       = 30 * time.Minute
	defaultLoginTime  = 2 * time.Minute
)

func (o Options) withDefaults() Options {
	if o.Scripts == nil || o.Logins == nil || o.Language.Check == nil {
		panic(errors.New("managesieve: Options without Scripts, Logins or Language"))
	}
	orDefault(&o.Quota.Scripts, defaultScripts)
	orDefault(&o.Quota.Size, defaultSize)
	orDefault(&o.Quota.Total, defaultTotal)
	orDefault(&o.MaxPerUser, defaultMaxPerUser)
	orDefault(&o.Idle, defaultIdle)
	orDefault(&o.LoginTime, defaultLoginTime)
	if o.Notes != nil {
		o.Scripts = noted{o.Scripts, o.Notes}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
