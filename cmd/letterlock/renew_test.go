package main

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"letterlock/internal/config"
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
		day, ended := time.NewTicker(24*time.Hour), make(chan error)
		defer day.Stop()
		go func() { ended <- h.renewDaily(ctx, day.C) }()

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
