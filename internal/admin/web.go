package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"letterlock/internal/serve"
)

// Web is the listener for those who watch: /metrics and /healthz for machines,
// and a page with the same numbers for people. It shows no content and no names,
// and changes nothing.
type Web struct {
	listeners []net.Listener
	handler   http.Handler
	log       *slog.Logger
}

// ListenWeb binds every address ("HOST:PORT") or none. healthy answers nil
// while mail is taken and read; metrics is what /metrics shows.
func ListenWeb(addrs []string, metrics prometheus.Gatherer, healthy func() error, log *slog.Logger) (*Web, error) {
	w := &Web{handler: pages(metrics, healthy), log: log}
	for _, addr := range addrs {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("admin listener: %w", serve.Explain(err)), w.Close())
		}
		w.listeners = append(w.listeners, netutil.LimitListener(l, maxWatchers))
	}
	return w, nil
}

// Addrs are the addresses bound.
func (w *Web) Addrs() []net.Addr {
	var all []net.Addr
	for _, l := range w.listeners {
		all = append(all, l.Addr())
	}
	return all
}

// Run answers until ctx ends; without listeners it waits for that alone. A
// listener that breaks is told of then: mail goes on without it.
func (w *Web) Run(ctx context.Context) error {
	ended := make(chan error, len(w.listeners))
	for _, l := range w.listeners {
		go func() { ended <- runHTTP(ctx, httpServer(w.handler, w.log), l) }()
	}
	<-ctx.Done()
	var err error
	for range w.listeners {
		err = errors.Join(err, <-ended)
	}
	return err
}

// Close closes the listeners. Run does it by itself; Close is for one that
// never ran.
func (w *Web) Close() error {
	var err error
	for _, l := range w.listeners {
		err = errors.Join(err, l.Close())
	}
	return err
}

// maxWatchers bounds the connections of one admin listener.
const maxWatchers = 64

func pages(metrics prometheus.Gatherer, healthy func() error) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.Handle("GET /{$}", statusPage(metrics, healthy))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		if err := healthy(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	return mux
}
