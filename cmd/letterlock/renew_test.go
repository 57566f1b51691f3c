package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"letterlock/internal/config"
	"letterlock/internal/serve"
)

func TestPrivateCertificateIsRenewedInAServerThatIsNeverStartedAnew(t *testing.T) {
	cfg := config.Default()
	cfg.Hostname, cfg.Data = "localhost", t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := &house{cfg: cfg, log: slog.New(slog.DiscardHandler)}
		if err := h.loadCertificates(); err != nil {
			t.Fatal(err)
		}
		first := h.certs.Expires()
		ctx, stop := context.WithCancel(t.Context())
		look, ended := time.NewTicker(time.Hour), make(chan error)
		defer look.Stop()
		go func() { ended <- h.renewDaily(ctx, look.C) }()

		time.Sleep(time.Until(first) - 40*24*time.Hour) // of the bubble's clock
		synctest.Wait()
		if got := h.certs.Expires(); !got.Equal(first) {
			t.Errorf("40 days before the end it was made anew: until %v", got)
		}
		time.Sleep(20 * 24 * time.Hour)
		synctest.Wait()
		if got := h.certs.Expires(); !got.After(first.AddDate(2, 0, 0)) {
			t.Errorf("20 days before the end it lasts until %v, as before", got)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// A machine without a clock of its own starts in 1970, and is told the time a minute
// later: what was made until then ended long ago, and cannot wait for tomorrow.
func TestPrivateCertificateIsLookedAtWhenTheClockIsSet(t *testing.T) {
	cfg := config.Default()
	cfg.Hostname, cfg.Data = "localhost", t.TempDir()
	h := &house{cfg: cfg, log: slog.New(slog.DiscardHandler)}
	if err := h.loadCertificates(); err != nil {
		t.Fatal(err)
	}
	cert := filepath.Join(privateTLS(cfg), "cert.pem")
	ctx, stop := context.WithCancel(t.Context())
	look, ended := make(chan time.Time), make(chan error)
	go func() { ended <- h.renewDaily(ctx, look) }()
	start := time.Now()
	for _, c := range []struct {
		what string
		to   time.Time
		want bool
	}{
		{"a minute later", start.Add(time.Minute), false},
		{"the clock is set to what it is", start.AddDate(56, 0, 0), true},
		{"a minute after that", start.AddDate(56, 0, 0).Add(time.Minute), false},
		{"it was set wrongly, and back", start.Add(time.Hour), true},
		{"a day later", start.Add(25 * time.Hour), true},
	} {
		if err := os.Remove(cert); err != nil { // whoever looks makes it anew
			t.Fatal(err)
		}
		look <- c.to
		look <- c.to // taken when all that came of the first is done
		_, err := os.Stat(cert)
		if got := err == nil; got != c.want {
			t.Errorf("%s: looked at is %v, want %v (%v)", c.what, got, c.want, err)
		}
		if _, _, err := certificateFiles(cfg); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A certificate that somebody else renews, or forgets to, is told of before the first
// letter bounces.
func TestACertificateThatEndsIsWarnedOfInTime(t *testing.T) {
	for life, want := range map[time.Duration]bool{10 * 24 * time.Hour: true, 60 * 24 * time.Hour: false} {
		var lines strings.Builder
		cfg := config.Default()
		var err error
		cfg.TLS.Cert, cfg.TLS.Key, err = serve.PrivateCA(t.TempDir(), []string{"localhost"}, time.Now().Add(life-820*24*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		h := &house{cfg: cfg, log: slog.New(slog.NewTextHandler(&lines, nil))}
		if err := h.loadCertificates(); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		look, ended := make(chan time.Time), make(chan error)
		go func() { ended <- h.renewDaily(ctx, look) }()
		look <- time.Now().Add(25 * time.Hour)
		look <- time.Now().Add(25 * time.Hour) // taken when all that came of the first is done
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if got := strings.Count(lines.String(), "the certificate ends soon"); got != 2 && want || got != 0 && !want {
			t.Errorf("it lasts %v: warned of %d times, want it to be %v, at the start and a day later:\n%s", life, got, want, &lines)
		}
	}
}
