package search_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"letterlock/internal/mime"
	"letterlock/internal/search"
)

// encode is the filter of a message with these texts.
func encode(t testing.TB, texts ...string) []byte {
	t.Helper()
	var b search.FilterBuilder
	for _, text := range texts {
		if err := b.Text(strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	encoded, err := b.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

func filter(t testing.TB, texts ...string) search.Filter {
	t.Helper()
	f, err := search.OpenFilter(encode(t, texts...))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestWhatIsThereGetsThroughTheFilter(t *testing.T) {
	x := filter(t, "Your INVOICE from the Hauptstraße", "明日の会議 Mu\u0308ller", "broken \xff\xfe\xc3 text")
	for _, needle := range []string{"invoice", "strasse", "MÜLLER", "会議", "\xff\xfe", "inv", "", "zq"} {
		if !x.MayContain(search.NewFinder(needle)) {
			t.Errorf("%q is kept back", needle)
		}
	}
	for _, needle := range []string{"receipt", "Straßburg", "отпуск"} {
		if x.MayContain(search.NewFinder(needle)) {
			t.Errorf("%q gets through, which is not there", needle)
		}
	}
}

func TestAFilterOfNothingLetsShortStringsThroughAlone(t *testing.T) {
	x := filter(t)
	for needle, want := range map[string]bool{"": true, "a": true, "abc": true, "会": true, "abcd": false, "üb": false} { // 会 is three octets, u and its dots are
		if got := x.MayContain(search.NewFinder(needle)); got != want {
			t.Errorf("%q: %t, want %t", needle, got, want)
		}
	}
}

func TestTheFilterOfALetterIsThatOfItsPassages(t *testing.T) {
	r := bytes.NewReader([]byte(letter))
	sum, err := mime.Summarize(r)
	if err != nil {
		t.Fatal(err)
	}
	var b search.FilterBuilder
	if err := b.Passages(mime.Passages(sum, r, mime.ScopeText)); err != nil {
		t.Fatal(err)
	}
	encoded, err := b.Append([]byte("kept"))
	if err != nil || !bytes.HasPrefix(encoded, []byte("kept")) {
		t.Fatalf("%q, %v", encoded, err)
	}
	x, err := search.OpenFilter(encoded[len("kept"):])
	if err != nil {
		t.Fatal(err)
	}
	for _, needle := range []string{"grüße", "MÜNCHEN", "<b>hello", "report.pdf", "the inner one", "last words"} {
		if !x.MayContain(search.NewFinder(needle)) {
			t.Errorf("%q is kept back", needle)
		}
	}
	if x.MayContain(search.NewFinder("binary words")) {
		t.Error("what is not searched is in the filter")
	}
}

func TestAReadersErrorLeavesNoFilter(t *testing.T) {
	broken := errors.New("disk gone")
	var b search.FilterBuilder
	if err := b.Text(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if err := b.Text(strings.NewReader("the next text")); err != nil {
		t.Error(err)
	}
	if _, err := b.Append(nil); !errors.Is(err, broken) {
		t.Errorf("a filter of half a message: %v", err)
	}
	if _, err := b.Append(nil); err != nil {
		t.Errorf("the next message: %v", err)
	}
}

// texts of every kind that folding changes, and that it does not
var texts = rapid.SliceOfN(rapid.OneOf(
	rapid.StringN(0, 40, 200),
	rapid.SampledFrom([]string{"Grüße", "STRASSE", "straße", "ẞ", "o\ufb03ce", "ΟΔΟΣ", "οδος", "ｶｲｷﾞ", "カイギ", "会議", "\U00010400", "\xff", "\xc3", "\r\n", "ǅ", "İ", "ŉ", "e\u0301"}),
	rapid.StringMatching(`[a-cA-C ]{0,12}`),
), 0, 30)

func TestTheFilterNeverKeepsBackWhatIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := texts.Draw(t, "text")
		text := strings.Join(pieces, "")
		needle := strings.Join(texts.Draw(t, "needle"), "")
		if len(text) > 0 && rapid.Bool().Draw(t, "from the text") {
			from := rapid.IntRange(0, len(text)-1).Draw(t, "from")
			needle = text[from:rapid.IntRange(from, len(text)).Draw(t, "to")]
			needle = rapid.SampledFrom([]func(string) string{strings.ToUpper, strings.ToLower, strings.Clone}).Draw(t, "case")(needle)
		}
		neverKeepsBack(t, needle, text)
	})
}

// neverKeepsBack holds a filter, and the groups it can be in, against a Finder.
func neverKeepsBack(t interface {
	Errorf(string, ...any)
	Fatal(...any)
}, needle, text string) {
	f := search.NewFinder(needle)
	var b search.FilterBuilder
	errText := b.Text(iotest.HalfReader(strings.NewReader(text)))
	encoded, err := b.Append(nil)
	if err := errors.Join(errText, err); err != nil {
		t.Fatal(err)
	}
	x, err := search.OpenFilter(encoded)
	if err != nil {
		t.Fatal(err)
	}
	may := x.MayContain(f)
	if f.String(text) && !may {
		t.Errorf("%q is found in %q and kept back", needle, text)
	}
	all := []search.Filter{x, {}, x, x}
	g, err := search.OpenGroup(search.AppendGroup(nil, all))
	if err != nil {
		t.Fatal(err)
	}
	var want []int
	for i, x := range all {
		if x.MayContain(f) {
			want = append(want, i)
		}
	}
	if got := slices.Collect(g.Candidates(f).All()); !slices.Equal(got, want) {
		t.Errorf("%q in a group with %q: %v, want %v", needle, text, got, want)
	}
}

func FuzzFilter(f *testing.F) {
	f.Add("Grüße", "viele GRÜSSE", 3)
	f.Add("\xff\xc3", "\xc3\xff\xc3", 1)
	f.Add("ﬁ", "eﬃcient", 2)
	f.Add("abc", "ABCDEF", 1)
	f.Fuzz(func(t *testing.T, needle, text string, n int) {
		neverKeepsBack(t, needle, text)
		neverKeepsBack(t, needle, text+needle)
		from := min(len(text), n&0xff)
		neverKeepsBack(t, text[from:min(len(text), from+n>>8&0xf)], text)
		var b search.FilterBuilder
		if err := b.Text(&slow{strings.NewReader(text), 1 + n&7}); err != nil {
			t.Fatal(err)
		}
		if pieces, _ := b.Append(nil); !bytes.Equal(pieces, encode(t, text)) {
			t.Errorf("%q has another filter when read in pieces of %d", text, 1+n&7)
		}
	})
}

// letters are deterministic: words of a vocabulary by their rank, and header
// lines with the random octets of identifiers.
type letters struct {
	*rand.Rand
	words []string
}

func newLetters(vocabulary int) *letters {
	l := &letters{Rand: rand.New(rand.NewPCG(1, 2))}
	for range vocabulary {
		l.words = append(l.words, l.word(2+l.IntN(9)))
	}
	return l
}

// word has letters about as often as English has them.
func (l *letters) word(n int) string {
	const often = "eeeeeeeeeeeetttttttttaaaaaaaaooooooooiiiiiiinnnnnnnssssssrrrrrrhhhhhhllllddddccccuuummmffppggwwyybbvk"
	w := make([]byte, n)
	for i := range w {
		w[i] = often[l.IntN(len(often))]
	}
	return string(w)
}

func (l *letters) letter(octets int) string {
	var b strings.Builder
	for range 20 { // signature, identifiers, trace
		fmt.Fprintf(&b, "X-Trace: %x\n", l.Uint64())
	}
	for b.Len() < octets {
		b.WriteString(l.words[int(float64(len(l.words))*l.Float64()*l.Float64()*l.Float64())])
		b.WriteByte(' ')
	}
	return b.String()
}

// A typical letter is 4 KiB. Words of 5 to 9 letters are asked for that are nowhere,
// but look like those of the letters.
func TestFiltersAreSmallAndTelling(t *testing.T) {
	l := newLetters(20_000)
	const n = 256
	var filters []search.Filter
	var corpus []string
	octets := 0
	for range n {
		text := l.letter(4 << 10)
		encoded := encode(t, text)
		octets += len(encoded)
		x, err := search.OpenFilter(encoded)
		if err != nil {
			t.Fatal(err)
		}
		filters, corpus = append(filters, x), append(corpus, text)
	}
	encoded := search.AppendGroup(nil, filters)
	g, err := search.OpenGroup(encoded)
	if err != nil {
		t.Fatal(err)
	}
	asked, wrong := 0, 0
	for range 200 {
		needle := l.word(5 + l.IntN(5))
		f := search.NewFinder(needle)
		members := slices.Collect(g.Candidates(f).All())
		for i, x := range filters {
			may, found := x.MayContain(f), f.String(corpus[i])
			if found && !may || may != slices.Contains(members, i) {
				t.Fatalf("%q in letter %d: found %t, filter %t, group %v", needle, i, found, may, members)
			}
			if !found {
				asked++
				if may {
					wrong++
				}
			}
		}
	}
	rate := float64(wrong) / float64(asked)
	t.Logf("%d octets a letter, %d in a group of %d, %.3f%% wrong candidates", octets/n, len(encoded)/n, n, 100*rate)
	if octets/n > 1100 || len(encoded)/n > 1100 {
		t.Errorf("%d octets a filter, %d in a group, want at most 1100", octets/n, len(encoded)/n)
	}
	if rate > 0.06 {
		t.Errorf("%.2f%% wrong candidates, want at most 6%%", 100*rate)
	}
}

func TestTextWithoutEndNeedsNoMemoryWithoutEnd(t *testing.T) {
	random := make([]byte, 4<<20)
	rand.NewChaCha8([32]byte{}).Read(random)
	encoded := encode(t, string(random))
	if len(encoded) > 16 {
		t.Errorf("a filter that says nothing takes %d octets", len(encoded))
	}
	x, err := search.OpenFilter(encoded)
	if err != nil || !x.MayContain(search.NewFinder("anything")) {
		t.Errorf("%v, %v: it has to let everything through", x, err)
	}
	l := newLetters(50_000)
	if encoded := encode(t, l.letter(1<<20)); len(encoded) > 17<<10 {
		t.Errorf("a filter of 1 MiB takes %d octets", len(encoded))
	}
}

func TestADamagedFilterIsNeverBelieved(t *testing.T) {
	one := encode(t, "some text that is here")
	x, err := search.OpenFilter(one)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		encoded []byte
		open    func([]byte) error
	}{
		"filter": {one, func(b []byte) error {
			x, err := search.OpenFilter(b)
			if err != nil && !x.MayContain(search.NewFinder("anything")) {
				t.Error("a filter that cannot be read keeps something back")
			}
			return err
		}},
		"group": {search.AppendGroup(nil, []search.Filter{x, x}), func(b []byte) error { _, err := search.OpenGroup(b); return err }},
	} {
		for bit := range 8 * len(c.encoded) {
			damaged := bytes.Clone(c.encoded)
			damaged[bit/8] ^= 1 << (bit % 8)
			if err := c.open(damaged); !errors.Is(err, search.ErrDamaged) {
				t.Fatalf("%s, bit %d: %v, want %v", name, bit, err, search.ErrDamaged)
			}
		}
		for n := range c.encoded {
			if err := c.open(c.encoded[:n]); !errors.Is(err, search.ErrDamaged) {
				t.Fatalf("%s, %d octets of it: %v, want %v", name, n, err, search.ErrDamaged)
			}
		}
		for _, at := range []int{0, 1} { // encoding and folding
			old := bytes.Clone(c.encoded)
			old[at]++
			if err := c.open(sealed(old[:len(old)-crc32.Size])); !errors.Is(err, search.ErrStale) {
				t.Errorf("%s of another version: %v, want %v", name, err, search.ErrStale)
			}
		}
	}
}

func sealed(body []byte) []byte {
	return binary.LittleEndian.AppendUint32(bytes.Clone(body), crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

func FuzzOpenGroup(f *testing.F) {
	x := filter(f, "some text")
	for _, encoded := range [][]byte{
		encode(f, "some text"), encode(f), search.AppendGroup(nil, []search.Filter{x}), search.AppendGroup(nil, []search.Filter{x, {}, x}),
	} {
		f.Add(encoded[:len(encoded)-crc32.Size], "text")
	}
	f.Fuzz(func(t *testing.T, body []byte, needle string) {
		finder := search.NewFinder(needle)
		if x, err := search.OpenFilter(sealed(body)); err == nil {
			x.MayContain(finder)
		}
		g, err := search.OpenGroup(sealed(body))
		if err != nil {
			return
		}
		for i := range g.Candidates(finder).All() {
			if i >= g.Len() {
				t.Errorf("member %d of %d", i, g.Len())
			}
		}
	})
}

// Filters are kept for years. When this fails the same message has another
// filter than before: a string could be kept back that is there. The version in
// filter.go has to grow, and with it these octets.
func TestFiltersOfOtherVersionsAreToldApart(t *testing.T) {
	encoded := encode(t, "Grüße aus Köln", letter)
	const want = "version 4, order 10, checksum 25ac38ff"
	got := fmt.Sprintf("version %d, order %d, checksum %08x", encoded[0], encoded[2], crc32.ChecksumIEEE(encoded[3:len(encoded)-crc32.Size]))
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func BenchmarkBuildFilter(b *testing.B) {
	text := newLetters(20_000).letter(4 << 10)
	var builder search.FilterBuilder
	var encoded []byte
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		builder.Text(strings.NewReader(text))
		encoded, _ = builder.Append(encoded[:0])
	}
}

func BenchmarkOneFilter(b *testing.B) {
	encoded := encode(b, newLetters(20_000).letter(4<<10))
	f := search.NewFinder("needle in it")
	b.ReportAllocs()
	for b.Loop() {
		x, err := search.OpenFilter(encoded)
		if err != nil || x.MayContain(f) {
			b.Fatal(err)
		}
	}
}

func BenchmarkGroup256(b *testing.B) {
	l := newLetters(20_000)
	var filters []search.Filter
	for range search.MaxGroup {
		filters = append(filters, filter(b, l.letter(4<<10)))
	}
	encoded := search.AppendGroup(nil, filters)
	f := search.NewFinder("needle in it")
	b.Run("make", func(b *testing.B) {
		for b.Loop() {
			search.AppendGroup(encoded[:0:len(encoded)], filters)
		}
	})
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := search.OpenGroup(encoded); err != nil {
				b.Fatal(err)
			}
		}
	})
	g, err := search.OpenGroup(encoded)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("ask", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if g.Candidates(f) != (search.Members{}) {
				b.Fatal("found")
			}
		}
	})
}
