package admin

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"letterlock/internal/requiretls"
)

// watch opens the listener for those who watch, until the test ends.
func watch(t *testing.T, metrics prometheus.Gatherer, healthy func() error) (base string) {
	t.Helper()
	web, err := ListenWeb([]string{"127.0.0.1:0"}, metrics, healthy, silent)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- web.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("web: %v", err)
		}
	})
	return "http://" + web.Addrs()[0].String()
}

func TestWatchersSeeWhatWaitsToLeave(t *testing.T) {
	of := newOffice(t, nil)
	of.forward(t, "e1", requiretls.Usual(), "one.example", "two.example", "three.example")
	if err := of.HandleQueue(t.Context(), QueueOrder{Selection{Domain: "two.example"}, QueueHold}, func(QueueRow) {}); err != nil {
		t.Fatal(err)
	}
	if _, err := of.PutScript(t.Context(), ScriptPut{Address: "ann", Name: "a", Text: []byte("keep;"), Activate: true}); err != nil {
		t.Fatal(err)
	}
	created := rows(t, of, Selection{})[0].Created
	now := created.Add(time.Hour)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- of.opt.Relay.Run(ctx) }()
	defer func() {
		stop()
		<-ended
	}()
	registry := prometheus.NewRegistry()
	registry.MustRegister(NewGauges(GaugeOptions{
		Store: of.opt.Store, Data: of.dir, Relay: of.opt.Relay, Now: func() time.Time { return now },
		Expires: func() time.Time { return time.Now().Add(49 * time.Hour) },
	}))
	var trouble error
	base := watch(t, registry, func() error { return trouble })

	_, metrics := fetch(t, base+"/metrics")
	for _, want := range []string{
		"letterlock_outbox_letters{state=\"held\"} 1\n", "letterlock_scripts 1\n", "letterlock_scripts_active 1\n",
		"letterlock_relay_in_flight ", "letterlock_relay_destinations_waiting ",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics lacks %q:\n%s", want, metrics)
		}
	}
	code, page := fetch(t, base+"/")
	for _, want := range []string{"Mail is taken and read.", "outbox_letters (held)", "<td class=\"v\">1</td>", "outbox_oldest_age_seconds", "(in 2 days)", "relay_in_flight"} {
		if code != 200 || !strings.Contains(page, want) {
			t.Errorf("the page (%d) lacks %q:\n%s", code, want, page)
		}
	}
	trouble = errors.New("the disk is full <of mail>")
	if _, page := fetch(t, base+"/"); !strings.Contains(page, `<p class="ill">the disk is full &lt;of mail&gt;</p>`) {
		t.Errorf("the page does not say what is wrong:\n%s", page)
	}
	if code, _ := fetch(t, base+"/other"); code != 404 {
		t.Errorf("/other is %d, want 404", code)
	}
}

func TestOldestLetterThatWaitsIsSeen(t *testing.T) {
	of := newOffice(t, nil)
	of.forward(t, "e1", requiretls.Usual(), "one.example")
	now := rows(t, of, Selection{})[0].Created.Add(time.Hour)
	registry := prometheus.NewRegistry()
	registry.MustRegister(NewGauges(GaugeOptions{Store: of.opt.Store, Data: of.dir, Now: func() time.Time { return now }}))
	base := watch(t, registry, func() error { return nil })
	_, metrics := fetch(t, base+"/metrics")
	if !strings.Contains(metrics, "letterlock_outbox_oldest_age_seconds 3600\n") || !strings.Contains(metrics, "letterlock_outbox_letters{state=\"queued\"} 1\n") {
		t.Errorf("/metrics:\n%s", metrics)
	}
	if _, page := fetch(t, base+"/"); !strings.Contains(page, "<td class=\"v\">1h0m0s</td>") {
		t.Errorf("the page:\n%s", page)
	}
}
