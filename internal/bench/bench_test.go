package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"hash/fnv"
	"net/mail"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Figures of two days can be compared only if the letters were the same.
func TestCorpusIsTheSameEveryTime(t *testing.T) {
	sum := func() uint64 {
		h := fnv.New64a()
		for _, l := range corpus(300) {
			h.Write(l.text)
			h.Write([]byte(l.flags + l.date.String()))
		}
		return h.Sum64()
	}
	if a, b := sum(), sum(); a != b {
		t.Fatalf("two corpora of one seed have the sums %x and %x", a, b)
	}
}

func TestCorpusIsMailAsItComes(t *testing.T) {
	letters := corpus(2000)
	var sizes []int
	charsets := make(map[string]bool)
	rare, common, subjects := 0, 0, 0
	for i, l := range letters {
		m, err := mail.ReadMessage(bytes.NewReader(l.text))
		if err != nil {
			t.Fatalf("letter %d: %v\n%s", i, err, l.text)
		}
		if m.Header.Get("Content-Type") == "" || m.Header.Get("Message-ID") == "" {
			t.Fatalf("letter %d has the header %v", i, m.Header)
		}
		if strings.Contains(strings.ReplaceAll(string(l.text), "\r\n", ""), "\n") {
			t.Fatalf("letter %d has a bare LF", i)
		}
		for _, tg := range tongues {
			if bytes.Contains(l.text, []byte("charset="+tg.charset+"\r\n")) {
				charsets[tg.charset] = true
			}
		}
		sizes = append(sizes, len(l.text))
		rare += bytes.Count(l.text, []byte(rareWord))
		subjects += bytes.Count(l.text, []byte(rareSubject))
		if bytes.Contains(l.text, []byte(commonWord)) {
			common++
		}
	}
	slices.Sort(sizes)
	if m := sizes[len(sizes)/2]; m < 3500 || m > 4700 {
		t.Errorf("the median letter has %d octets, want about 4096", m)
	}
	if len(charsets) != 9 {
		t.Errorf("the charsets are %v, want nine", charsets)
	}
	if rare == 0 || rare > rareLetters {
		t.Errorf("%d letters have the rare word where anybody can read it, want at most %d and some", rare, rareLetters)
	}
	if common < len(letters)/5 || subjects == 0 {
		t.Errorf("%d letters have the common word, %d the rare subject", common, subjects)
	}
}

// A corpus of any size is of about a year, so that a search by date finds half.
func TestCorpusSpansAYear(t *testing.T) {
	if got := between(10000); got != 53*time.Minute {
		t.Errorf("of 10,000 letters one comes every %v, want 53m", got)
	}
	for _, n := range []int{10001, 100000} {
		if span := time.Duration(n) * between(n); span < 360*24*time.Hour || span > 370*24*time.Hour {
			t.Errorf("%d letters span %v, want a year", n, span)
		}
	}
}

func TestLetterOfSizeHasIt(t *testing.T) {
	for _, size := range []int{4 << 10, 64 << 10, 1 << 20} {
		text := letterOfSize(size)
		if len(text) < size*95/100 || len(text) > size*105/100 {
			t.Errorf("a letter of %d octets has %d", size, len(text))
		}
		if bytes.Contains(text, []byte("\n.")) {
			t.Errorf("a letter of %d octets has a line that starts with a dot", size)
		}
	}
}

func TestLiteralAtEnd(t *testing.T) {
	for line, want := range map[string]int64{
		"* 1 FETCH (BODY[] {310}\r\n": 310,
		"* 1 FETCH (FLAGS ())\r\n":    -1,
		"* OK {5} is no literal\r\n":  -1,
		"* OK }\r\n":                  -1,
	} {
		n, ok := literalAtEnd([]byte(line))
		if !ok {
			n = -1
		}
		if n != want {
			t.Errorf("%q: got %d, want %d", line, n, want)
		}
	}
}

func TestTableShowsMediansAndRatios(t *testing.T) {
	for _, c := range []struct {
		better direction
		want   string
	}{{less, "2.00"}, {more, "0.50"}} {
		table := newTable("T", c.better, "ours", "theirs")
		for _, v := range []float64{7, 5, 900} {
			table.note("row", "ours", figure{value: v, cpu: time.Millisecond})
			table.note("row", "theirs", figure{value: 2 * v})
		}
		var out strings.Builder
		table.print(&out)
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if got, want := strings.Join(strings.Fields(lines[len(lines)-1]), " "), "row 7.00 1.00 14.0 - "+c.want; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestEveryPartMeasuresTheRealServer goes through everything on a small scale,
// so that no row rots.
func TestEveryPartMeasuresTheRealServer(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: builds and starts the server")
	}
	binary := filepath.Join(t.TempDir(), "letterlock")
	if out, err := exec.Command("go", "build", "-o", binary, "letterlock/cmd/letterlock").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ctx := t.Context()
	dir := t.TempDir()
	h, err := openLetterlock(ctx, binary, dir, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := h.stop(); err != nil {
			t.Error(err)
		}
	}()
	b := &bench{dir: dir, houses: []*house{h}, options: &options{
		rounds: 1, during: 20 * time.Millisecond, sizes: []int{4 << 10}, sessions: []int{2}, accounts: []int{2}, letters: 16,
	}}
	for name, part := range map[string]func(context.Context) ([]*table, error){
		"lmtp": b.lmtp,
		"imap": func(ctx context.Context) ([]*table, error) { return b.imap(ctx, (*reading).read) },
	} {
		tables, err := part(ctx)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, table := range tables {
			for _, row := range table.order {
				if f, ok := table.get(row, "letterlock"); !ok || f.value <= 0 {
					t.Errorf("%s, %s: %v", table.title, row, f)
				}
			}
		}
	}
	rows := newTable("", less, h.name)
	if err := wakes(h, 1, 3, rows); err != nil {
		t.Error(err)
	}
	w := crowd{name: "crowd", sessions: 3, accounts: 2, secure: &tls.Config{InsecureSkipVerify: true}, letters: corpus(3)}
	if err := w.measure(ctx, h, rows); err != nil {
		t.Error(err)
	}
	if h.tree().memory() == 0 || h.tree().cpu() == 0 {
		t.Errorf("the server uses %d octets and %v of CPU time", h.tree().memory(), h.tree().cpu())
	}
}
