package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options are what the command line says.
type options struct {
	server, dir     string
	rounds          int
	during, settle  time.Duration
	sizes, sessions []int
	letters, idle   int
	peer            house
	peerCommand     string
	parts           []string
	accounts        []int
}

// accountsMade is how many accounts the houses have, and perAccount how many
// sessions one of them may have for sure, where the usual limit is fifty: there
// is room for a crowd.
const (
	accountsMade = 125
	perAccount   = 40
)

var parts = []string{"disk", "lmtp", "growth", "imap", "cold", "idle"}

func main() {
	o, err := parseOptions(os.Args[1:])
	if err == nil {
		ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer restore()
		err = o.measure(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parseOptions(args []string) (o options, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.server, "server", "./letterlock", "the binary to measure")
	f.StringVar(&o.dir, "dir", "", "where the mail lies: the disk in question (default the folder for temporary files)")
	f.IntVar(&o.rounds, "rounds", 3, "how often everything is measured; medians are printed")
	f.DurationVar(&o.during, "during", 2*time.Second, "how long one cell of the LMTP table is loaded")
	f.DurationVar(&o.settle, "settle", 130*time.Second, "how long a crowd is left alone before its memory is measured: what logins took is given back within two minutes")
	f.IntVar(&o.letters, "letters", 10000, "letters in the mailbox of the IMAP table; 100000 are worth a look")
	f.IntVar(&o.idle, "idle", 500, "sessions in IDLE, up to 5000")
	sizes := f.String("sizes", "4096,65536,1048576", "octets of a letter")
	sessions := f.String("sessions", "1,8,32", "LMTP sessions")
	accounts := f.String("accounts", "50,1", "accounts delivered to")
	f.StringVar(&o.peerCommand, "peer", "", "command line of another house, in the foreground")
	f.StringVar(&o.peer.name, "peer-name", "peer", "what to call it")
	f.StringVar(&o.peer.mail, "peer-mail", "", "the folder of its mail, which is emptied")
	f.StringVar(&o.peer.lmtp, "peer-lmtp", "", "its address for LMTP")
	f.StringVar(&o.peer.imap, "peer-imap", "", "its address for IMAP, which takes logins in clear")
	f.StringVar(&o.peer.imaps, "peer-imaps", "", "its address for IMAP in TLS")
	f.StringVar(&o.peer.password, "peer-password", "pass", "the password of all its accounts, u0@bench.test and so on")
	f.Usage = func() {
		fmt.Fprintf(f.Output(), "usage: bench [flags] [%s]\n", strings.Join(parts, "] ["))
		f.PrintDefaults()
	}
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.parts = f.Args()
	if len(o.parts) == 0 {
		o.parts = parts
	}
	for _, p := range o.parts {
		if !slices.Contains(parts, p) {
			return o, fmt.Errorf("%s: there is %s", p, strings.Join(parts, ", "))
		}
	}
	if most := accountsMade * perAccount; o.idle < 1 || o.idle > most {
		return o, fmt.Errorf("-idle %d: 1 to %d", o.idle, most)
	}
	for _, list := range []struct {
		text string
		to   *[]int
	}{{*sizes, &o.sizes}, {*sessions, &o.sessions}, {*accounts, &o.accounts}} {
		if *list.to, err = numbers(list.text); err != nil {
			return o, err
		}
	}
	return o, nil
}

func numbers(list string) (all []int, err error) {
	for word := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(word)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is no number above 0", word)
		}
		all = append(all, n)
	}
	return all, nil
}

// measure starts the houses, measures, and clears up.
func (o *options) measure(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp(o.dir, "letterlock-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ours, err := openLetterlock(ctx, o.server, dir, accountsMade)
	if err != nil {
		return err
	}
	houses := []*house{ours}
	if o.peerCommand != "" {
		o.peer.command, o.peer.log = strings.Fields(o.peerCommand), filepath.Join(dir, "peer.log")
		if err := o.peer.start(ctx); err != nil {
			return errors.Join(err, ours.stop())
		}
		houses = append(houses, &o.peer)
	}
	defer func() {
		for _, h := range houses {
			err = errors.Join(err, h.stop())
		}
	}()
	b := &bench{options: o, dir: dir, houses: houses}
	for _, p := range o.parts {
		if err := b.part(ctx, p); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	return nil
}

// bench is the houses, and what to ask of them.
type bench struct {
	*options
	dir    string
	houses []*house
}

func (b *bench) names(before ...string) (names []string) {
	for _, h := range b.houses {
		names = append(names, h.name)
	}
	return append(names, before...)
}

func (b *bench) part(ctx context.Context, name string) error {
	var tables []*table
	var err error
	switch name {
	case "disk":
		tables, err = b.disk()
	case "lmtp":
		tables, err = b.lmtp(ctx)
	case "growth":
		tables, err = b.growth(ctx)
	case "imap":
		tables, err = b.imap(ctx, (*reading).read)
	case "cold":
		tables, err = b.imap(ctx, (*reading).readCold)
	case "idle":
		tables, err = b.idleSessions(ctx)
	}
	for _, t := range tables {
		t.print(os.Stdout)
	}
	return err
}

// disk measures the disk alone.
func (b *bench) disk() ([]*table, error) {
	t := newTable("The disk: append and fdatasync, one flush for all who wait, a second", more, "disk")
	for range b.rounds {
		for _, size := range b.sizes {
			for _, sessions := range b.sessions {
				l, err := measureDisk(b.dir, size, sessions, b.during)
				if err != nil {
					return nil, err
				}
				t.note(fmt.Sprintf("%s, %d writers", octets(size), sessions), "disk", figure{value: l.rate()})
			}
		}
	}
	return []*table{t}, nil
}

func octets(n int) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}

// lmtp measures durable deliveries, beside the disk at that very moment.
func (b *bench) lmtp(ctx context.Context) ([]*table, error) {
	rates := newTable("Durable deliveries over LMTP into so many accounts, a second; each ratio is letterlock to that", more, b.names("disk")...)
	waits := newTable("The same: ms from MAIL to the last answer", less, b.names()...)
	for range b.rounds {
		for _, size := range b.sizes {
			for _, accounts := range b.accounts {
				for _, sessions := range b.sessions {
					if err := b.cell(ctx, delivery{size: size, sessions: sessions, accounts: accounts, during: b.during}, rates, waits); err != nil {
						return nil, err
					}
				}
			}
		}
	}
	return []*table{rates, waits}, nil
}

func (b *bench) cell(ctx context.Context, d delivery, rates, waits *table) error {
	name := fmt.Sprintf("%s into %d, %d sessions", octets(d.size), d.accounts, d.sessions)
	disk, err := measureDisk(b.dir, d.size, d.sessions, d.during/2)
	if err != nil {
		return err
	}
	rates.note(name, "disk", figure{value: disk.rate()})
	for _, h := range b.houses {
		if err := h.wipe(ctx); err != nil {
			return err
		}
		if err := prepare(h, d); err != nil {
			return fmt.Errorf("%s: %w", h.name, err)
		}
		before := h.tree().cpu()
		l, err := deliver(h.lmtp, d)
		if err != nil {
			return fmt.Errorf("%s: %w", h.name, err)
		}
		cpu := (h.tree().cpu() - before) / time.Duration(len(l.waits))
		rates.note(name, h.name, figure{value: l.rate(), cpu: cpu})
		for _, p := range []int{50, 99} {
			waits.note(fmt.Sprintf("%s, p%d", name, p), h.name, figure{value: l.percentile(p).Seconds() * 1000})
		}
	}
	return nil
}

// prepare delivers one letter to every account, so that the first one, which
// makes its folders, is not in the figures.
func prepare(h *house, d delivery) error {
	_, err := deliver(h.lmtp, delivery{size: 4 << 10, sessions: 1, accounts: d.accounts, first: d.first, during: patience, most: d.accounts})
	return err
}

// growthSteps is how many batches go into one mailbox, growthStep how many
// letters are in each.
const (
	growthSteps = 5
	growthStep  = 2000
)

// growth delivers into one mailbox, to see whether it slows down as it grows.
func (b *bench) growth(ctx context.Context) ([]*table, error) {
	t := newTable(fmt.Sprintf("Deliveries into one mailbox as it grows, 8 sessions, 4 KiB, a second, by %d letters", growthStep), more, b.names()...)
	for range b.rounds {
		for _, h := range b.houses {
			if err := h.wipe(ctx); err != nil {
				return nil, err
			}
			for step := range growthSteps {
				before := h.tree().cpu()
				l, err := deliver(h.lmtp, delivery{size: 4 << 10, sessions: 8, accounts: 1, during: patience, most: growthStep})
				if err != nil {
					return nil, fmt.Errorf("%s: %w", h.name, err)
				}
				cpu := (h.tree().cpu() - before) / time.Duration(len(l.waits))
				t.note(fmt.Sprintf("letters %d to %d", step*growthStep+1, (step+1)*growthStep), h.name, figure{value: l.rate(), cpu: cpu})
			}
		}
	}
	return []*table{t}, nil
}

// imap goes through the rows with each house in turn, with an account of its
// own in every round.
func (b *bench) imap(ctx context.Context, read func(*reading, context.Context) error) ([]*table, error) {
	t := newTable(fmt.Sprintf("IMAP on a mailbox of %d letters, ms", b.letters), less, b.names()...)
	letters := corpus(b.letters)
	for round := range b.rounds {
		for _, h := range b.houses {
			if round == 0 {
				if err := h.wipe(ctx); err != nil {
					return nil, err
				}
			}
			if err := read(&reading{h: h, letters: letters, account: round, rows: t}, ctx); err != nil {
				return nil, err
			}
		}
	}
	return []*table{t}, nil
}

// idleSessions measures what those in IDLE wait and cost: many of them on small
// mailboxes, and some on a large one.
func (b *bench) idleSessions(ctx context.Context) ([]*table, error) {
	t := newTable("Sessions in IDLE: ms until they hear, KiB of each", less, b.names()...)
	inTLS := &tls.Config{InsecureSkipVerify: true} // whose certificate it is does not matter
	crowds := []crowd{
		{name: fmt.Sprintf("memory of one of %d, KiB", b.idle), sessions: b.idle, accounts: accountsMade},
		{name: fmt.Sprintf("memory of one of %d in TLS, KiB", b.idle), sessions: b.idle, accounts: accountsMade, secure: inTLS},
		{name: fmt.Sprintf("memory of one of %d on %d letters, KiB", perAccount, b.letters), sessions: perAccount, accounts: 1, letters: corpus(b.letters)},
	}
	for round := range b.rounds {
		for _, h := range b.houses {
			if err := h.wipe(ctx); err != nil {
				return nil, err
			}
			if err := wakes(h, 0, 20, t); err != nil {
				return nil, fmt.Errorf("%s: %w", h.name, err)
			}
			if round > 0 {
				continue // memory is the same every time
			}
			for _, w := range crowds {
				w.settle = b.settle
				if err := w.measure(ctx, h, t); err != nil {
					return nil, fmt.Errorf("%s: %w", h.name, err)
				}
			}
		}
	}
	return []*table{t}, nil
}
