package segment

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"letterlock/internal/mail"
	"letterlock/storage/seal"
)

// keyFile makes a key file in a folder of its own.
func keyFile(t testing.TB) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "keys")
	if _, err := seal.NewKeyFile(name); err != nil {
		t.Fatal(err)
	}
	return name
}

func openKeys(t testing.TB, name string) *seal.Keys {
	t.Helper()
	keys, err := seal.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// secrets is what no file of a sealed log may show.
var secrets = []string{"Delivered-To: ann", "the wine is in the cellar", "ann-the-recipient", "bob-the-sender", "Folder/Of/Secrets", "$SecretKeyword", "secret summary", "secret more"}

func secretRecord() *Record {
	r := record(1, "Delivered-To: ann\r\n")
	r.Envelope.From = mail.Address{Local: "bob-the-sender", Domain: "example.org"}
	r.Summary = []byte("secret summary")
	rc := &r.Recipients[0]
	rc.Rcpt.Local, rc.More = "ann-the-recipient", []byte("secret more")
	rc.Copies[0].Name, rc.Copies[0].Keywords = "Folder/Of/Secrets", []string{"$SecretKeyword"}
	return r
}

func secretText(n int) string {
	const line = "the wine is in the cellar\r\n"
	return strings.Repeat(line, n/len(line)+1)[:n]
}

// showsNothing greps every file below dir.
func showsNothing(t *testing.T, dir string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		b, err := os.ReadFile(name)
		for _, s := range secrets {
			if bytes.Contains(b, []byte(s)) {
				t.Errorf("%s shows %q in clear", filepath.Base(name), s)
			}
		}
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("%d files, %v", files, err)
	}
}

func appendOne(t testing.TB, l *Log, r *Record, b mail.Body) *Record {
	t.Helper()
	if err := l.Append(context.Background(), Letter{r, b}); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSealedLogShowsNothingAndGivesEverythingBack(t *testing.T) {
	dir, keys := t.TempDir(), openKeys(t, keyFile(t))
	opt := Options{SegmentSize: 4 << 20, Keys: keys}
	l, _, _ := openLog(t, dir, opt)
	var want []*Record
	var texts []string
	for _, n := range []int{0, 1, 5000, BlockSize, BlockSize + 1, 200000, BigBody + 1, 2 << 20} {
		texts = append(texts, secretText(n))
		want = append(want, appendOne(t, l, secretRecord(), body(texts[len(texts)-1])))
	}
	packed := secretRecord()
	packed.Codec = Zstd
	texts = append(texts, secretText(150000))
	want = append(want, appendOne(t, l, packed, body(secretText(150000))))
	if packed.Size > 20000 {
		t.Errorf("a compressed and sealed record has %d octets", packed.Size)
	}
	showsNothing(t, dir)
	closeLog(t, l)

	l, got, damage := openLog(t, dir, opt)
	defer closeLog(t, l)
	if len(got) != len(want) || len(damage) > 0 {
		t.Fatalf("%d records, want %d, damage %v", len(got), len(want), damage)
	}
	for i, r := range got {
		if !reflect.DeepEqual(r, want[i]) {
			t.Errorf("got  %+v\nwant %+v", r, want[i])
		}
		if r.Key != keys.Current() {
			t.Errorf("record %d is sealed under %s", i, r.Key)
		}
		if text := readBack(t, l, r); text != texts[i] {
			t.Errorf("body %d came back as %d other octets", i, len(text))
		}
		readsAnywhere(t, l, r, texts[i])
	}
}

// readsAnywhere is BODY[]<partial>, and the prefix.
func readsAnywhere(t *testing.T, l *Log, r *Record, text string) {
	t.Helper()
	s, err := l.Open(r.At)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rc := &r.Recipients[0]
	p, err := s.Prefix(rc.PrefixAt, uint32(len(rc.Prefix)), Checksum(rc.Prefix))
	if err != nil || !bytes.Equal(p, rc.Prefix) {
		t.Errorf("prefix %q, %v", p, err)
	}
	for _, off := range []int{0, 1, BlockSize - 50, BlockSize, len(text) - 100} {
		b := make([]byte, 100)
		if off < 0 || off+100 > len(text) {
			continue
		}
		if _, err := s.ReadAt(b, int64(off)); err != nil || string(b) != text[off:off+100] {
			t.Errorf("%d octets, at %d: %v", len(text), off, err)
		}
	}
}

func TestSpoolIsSealedFromItsFirstOctet(t *testing.T) {
	dir := t.TempDir()
	l, _, _ := openLog(t, dir, Options{SegmentSize: 1 << 20, Keys: openKeys(t, keyFile(t))})
	defer closeLog(t, l)
	sp, err := l.Spool()
	if err != nil {
		t.Fatal(err)
	}
	text := secretText(2<<20 + 4711)
	for i := 0; i < len(text); i += 1000 {
		if _, err := io.WriteString(sp, text[i:min(i+1000, len(text))]); err != nil {
			t.Fatal(err)
		}
		if i%500000 == 0 {
			showsNothing(t, dir)
		}
		if i == 600000 { // a body is parsed before it is stored
			b := make([]byte, 70000)
			if _, err := sp.ReadAt(b, 530000); err != nil || string(b) != text[530000:600000] {
				t.Errorf("while it grows: %v", err)
			}
		}
	}
	if sp.Size() != int64(len(text)) {
		t.Errorf("size %d, want %d", sp.Size(), len(text))
	}
	b, err := io.ReadAll(io.NewSectionReader(sp, 0, sp.Size()))
	if err != nil || string(b) != text {
		t.Errorf("%d octets before it is taken, %v", len(b), err)
	}
	r := appendOne(t, l, secretRecord(), sp)
	if err := sp.Close(); err != nil {
		t.Fatal(err)
	}
	showsNothing(t, dir)
	if got := readBack(t, l, r); got != text {
		t.Errorf("%d other octets", len(got))
	}
}

func TestSealedLogWithoutItsKeyIsNeitherReadNorChanged(t *testing.T) {
	dir, keys := t.TempDir(), openKeys(t, keyFile(t))
	l, _, _ := openLog(t, dir, Options{SegmentSize: 1 << 20, Keys: keys})
	want := appendOne(t, l, secretRecord(), body(secretText(5000)))
	name := activeFile(t, l)
	closeLog(t, l)
	before, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for name, wrong := range map[string]*seal.Keys{"none": nil, "another": openKeys(t, keyFile(t))} {
		l, err := Open(dir, dir, Options{Keys: wrong})
		if err != nil {
			t.Fatal(err)
		}
		_, err = l.Replay(Mark{}, Mark{}, func([]*Record) error { return nil })
		if !errors.Is(err, seal.ErrNoKey) || errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), keys.Current().String()) {
			t.Errorf("%s: replay without the key: %v", name, err)
		}
		if s, err := l.Open(want.At); !errors.Is(err, seal.ErrNoKey) {
			t.Errorf("%s: opened %v, %v", name, s, err)
		}
		closeLog(t, l)
	}
	after, err := os.ReadFile(name)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the segment was changed, %v", err)
	}
	l, got, _ := openLog(t, dir, Options{Keys: keys})
	defer closeLog(t, l)
	if len(got) != 1 {
		t.Errorf("%d records with the key", len(got))
	}
}

func TestRotatedKeySealsWhatIsNewAndTheOldOneStillOpens(t *testing.T) {
	dir, file := t.TempDir(), keyFile(t)
	var want []*Record
	for range 3 {
		l, _, _ := openLog(t, dir, Options{SegmentSize: 1 << 20, Keys: openKeys(t, file)})
		want = append(want, appendOne(t, l, secretRecord(), body(secretText(5000))))
		closeLog(t, l)
		if _, err := seal.Rotate(file); err != nil {
			t.Fatal(err)
		}
	}
	l, got, _ := openLog(t, dir, Options{Keys: openKeys(t, file)})
	census, err := l.Census(context.Background())
	if err != nil || len(census) != 3 {
		t.Errorf("census %v, %v", census, err)
	}
	closeLog(t, l)
	for i, r := range got {
		if r.Key != want[i].Key || census[r.Key].Records != 1 || i > 0 && r.Key == got[i-1].Key {
			t.Errorf("record %d is sealed under %s, want %s", i, r.Key, want[i].Key)
		}
	}
	if err := seal.Retire(file, want[0].Key); err != nil {
		t.Fatal(err)
	}
	l, err = Open(dir, dir, Options{Keys: openKeys(t, file)})
	if err != nil {
		t.Fatal(err)
	}
	defer closeLog(t, l)
	if _, err := l.Replay(Mark{}, Mark{}, func([]*Record) error { return nil }); !errors.Is(err, seal.ErrNoKey) {
		t.Errorf("replay without a key that was retired too early: %v", err)
	}
}

// resum makes every sum of a small record right again, as one would who wants
// a change to go unnoticed.
func resum(b []byte) {
	le := binary.LittleEndian
	front := headerSize + seal.Overhead + seal.SecretSize + lockCRC
	meta, table := int(le.Uint32(b[48:])), int(le.Uint32(b[52:]))
	if front+meta+table > len(b) || table < 16 {
		return
	}
	stored := int(le.Uint32(b[front+meta+8:]))
	if at := front + meta + table; at+stored <= len(b) {
		le.PutUint32(b[front+meta+12:], Checksum(b[at:at+stored]))
	}
	le.PutUint32(b[64:], Checksum(b[front:front+meta]))
	le.PutUint32(b[68:], Checksum(b[front+meta:front+meta+table]))
	le.PutUint32(b[76:], Checksum(b[:76]))
	le.PutUint32(b[front-lockCRC:], Checksum(b[headerSize:front-lockCRC]))
}

// Whoever changes one octet of a sealed record, with or without making the
// sums right again, is found out before anything of it is handed out.
func TestEveryChangedOctetOfASealedRecordIsNoticed(t *testing.T) {
	dir, keys := t.TempDir(), openKeys(t, keyFile(t))
	l, _, _ := openLog(t, dir, Options{SegmentSize: 1 << 20, Keys: keys})
	defer closeLog(t, l)
	want := appendOne(t, l, secretRecord(), body(secretText(300)))
	name := activeFile(t, l)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	whole := make([]byte, want.Size)
	if _, err := f.ReadAt(whole, int64(want.At.Offset)); err != nil {
		t.Fatal(err)
	}
	h, err := readHeader(whole[:headerSize])
	if err != nil {
		t.Fatal(err)
	}
	end := int(h.frontSize()) + int(h.meta) + int(h.table) + int(h.body) // padding lies behind it
	for _, sums := range []string{"stale", "right"} {
		for i := range whole[:end] {
			b := bytes.Clone(whole)
			b[i] ^= 1 << (i % 8)
			if sums == "right" {
				resum(b)
			}
			if bytes.Equal(b, whole) {
				continue // it was a sum
			}
			if _, err := f.WriteAt(b, int64(want.At.Offset)); err != nil {
				t.Fatal(err)
			}
			if err := readAll(l, want); err == nil {
				t.Fatalf("octet %d of %d changed, sums %s: nobody noticed", i, end, sums)
			}
		}
	}
	if _, err := f.WriteAt(whole, int64(want.At.Offset)); err != nil {
		t.Fatal(err)
	}
	if err := readAll(l, want); err != nil {
		t.Errorf("put back: %v", err)
	}
}

// readAll reads everything of a record and compares it.
func readAll(l *Log, want *Record) error {
	s, err := l.Open(want.At)
	if err != nil {
		return err
	}
	defer s.Close()
	rc := &want.Recipients[0]
	if _, err := s.Prefix(rc.PrefixAt, uint32(len(rc.Prefix)), Checksum(rc.Prefix)); err != nil {
		return err
	}
	if _, err := io.ReadAll(io.NewSectionReader(s, 0, s.Size())); err != nil {
		return err
	}
	r, err := s.Record()
	if err != nil {
		return err
	}
	r.more, r.Size = want.more, want.Size
	if !reflect.DeepEqual(r, want) {
		return errors.New("it reads differently")
	}
	return nil
}

func TestSealedRecordIsNotReadInPlaceOfAnother(t *testing.T) {
	dir, keys := t.TempDir(), openKeys(t, keyFile(t))
	l, _, _ := openLog(t, dir, Options{SegmentSize: 1 << 20, Keys: keys})
	defer closeLog(t, l)
	a := appendOne(t, l, secretRecord(), body(secretText(300)))
	b := appendOne(t, l, secretRecord(), body(secretText(300)))
	octets := make([]byte, a.Size)
	f, err := os.OpenFile(activeFile(t, l), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.ReadAt(octets, int64(a.At.Offset)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(octets, int64(b.At.Offset)); err != nil {
		t.Fatal(err)
	}
	if s, err := l.Open(b.At); !errors.Is(err, ErrDamaged) || !errors.Is(err, seal.ErrDamaged) {
		t.Errorf("a record was opened in place of another: %v, %v", s, err)
	}
}

// A big body's blocks can be neither swapped nor cut off, nor is one file read
// for another.
func TestSealedBigBodyIsReadWholeOrNotAtAll(t *testing.T) {
	dir, keys := t.TempDir(), openKeys(t, keyFile(t))
	l, _, _ := openLog(t, dir, Options{SegmentSize: 1 << 20, Keys: keys})
	defer closeLog(t, l)
	a := appendOne(t, l, secretRecord(), body(secretText(BigBody+3*BlockSize)))
	b := appendOne(t, l, secretRecord(), body(secretText(BigBody+3*BlockSize)))
	whole, err := os.ReadFile(l.bigName(a.Big))
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(l.bigName(b.Big))
	if err != nil {
		t.Fatal(err)
	}
	const sealed = BlockSize + seal.Tag
	swapped := bytes.Clone(whole)
	copy(swapped, whole[sealed:2*sealed])
	copy(swapped[sealed:], whole[:sealed])
	for name, octets := range map[string][]byte{"swapped": swapped, "another's": other} {
		if err := os.WriteFile(l.bigName(a.Big), octets, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := l.Open(a.At)
		if err != nil {
			t.Fatal(err)
		}
		// The sums of the table made right again: the seal alone is left to notice.
		for i := range s.table.Blocks {
			s.table.Blocks[i].CRC = Checksum(octets[i*sealed : i*sealed+int(s.table.Blocks[i].Stored)])
		}
		if n, err := s.ReadAt(make([]byte, 100), 0); n != 0 || !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("%s: %d octets, %v", name, n, err)
		}
		last := len(s.table.Blocks) - 1
		s.table.Raw, s.table.Blocks = int64(last)*BlockSize, s.table.Blocks[:last]
		if n, err := s.ReadAt(make([]byte, 100), s.Size()-100); n != 0 || !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("%s and cut off: %d octets, %v", name, n, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// move does what a collector does with a record.
func move(t *testing.T, l *Log, r *Record) *Record {
	t.Helper()
	s, err := l.Open(r.At)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	next := &Record{Kind: Moved, Envelope: r.Envelope, Summary: r.Summary, Big: r.Big, Recipients: r.Recipients}
	if r.Big != 0 {
		next.Table = r.Table
	} else {
		next.Codec = Zstd
	}
	return appendOne(t, l, next, s)
}

func TestEncryptionTurnedOnSealsWhatIsNewAndWhatMoves(t *testing.T) {
	dir, file := t.TempDir(), keyFile(t)
	l, _, _ := openLog(t, dir, Options{SegmentSize: 4 << 20})
	texts := []string{secretText(3000), secretText(BigBody + 5000)}
	var clear []*Record
	for _, text := range texts {
		clear = append(clear, appendOne(t, l, secretRecord(), body(text)))
	}
	closeLog(t, l)

	l, got, _ := openLog(t, dir, Options{Keys: openKeys(t, file)})
	defer closeLog(t, l)
	if len(got) != 2 || got[0].Key != (seal.ID{}) {
		t.Fatalf("%d records", len(got))
	}
	census, err := l.Census(context.Background())
	if err != nil || census[seal.ID{}].Records != 2 || census[seal.ID{}].Octets < BigBody+8000 {
		t.Errorf("census %+v, %v: it has to say what lies in clear", census, err)
	}
	for i, r := range clear {
		moved := move(t, l, r)
		if moved.Key == (seal.ID{}) || readBack(t, l, moved) != texts[i] {
			t.Errorf("record %d moved to %+v", i, moved)
		}
		if r.Big != 0 {
			if moved.Big == r.Big {
				t.Error("a big body moved and stayed in clear")
			}
			if err := l.RemoveBig(r.Big); err != nil {
				t.Fatal(err)
			}
			again := move(t, l, moved)
			if again.Big != moved.Big || readBack(t, l, again) != texts[i] {
				t.Errorf("a sealed big body moved on to %+v", again)
			}
		}
	}
	census, err = l.Census(context.Background())
	if err != nil || census[clear[0].Key].Records != 2 || len(census) != 2 {
		t.Errorf("census %+v, %v", census, err)
	}
}

// A torn sealed record at the end is passed over as a clear one is, and a
// crash between a spool and its record leaves no big file behind.
func TestTornTailOfASealedLog(t *testing.T) {
	for name, where := range map[string]func(r *Record) int64{
		"header": func(r *Record) int64 { return int64(r.At.Offset) + 20 },
		"keys":   func(r *Record) int64 { return int64(r.At.Offset) + headerSize + 60 },
		"meta":   func(r *Record) int64 { return int64(r.At.Offset) + int64(maxFront) + 10 },
		"body":   func(r *Record) int64 { return int64(r.At.Offset) + r.Size - 80 },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			opt := Options{SegmentSize: 1 << 20, Keys: openKeys(t, keyFile(t))}
			l, _, _ := openLog(t, dir, opt)
			add(t, l, secretText(5000))
			torn := add(t, l, secretText(5000))
			file := activeFile(t, l)
			closeLog(t, l)
			patch(t, file, where(torn), func(b []byte) { b[0] ^= 1 })
			l, got, damage := openLog(t, dir, opt)
			if len(got) != 1 || len(damage) != 0 {
				t.Fatalf("%d records, damage %v", len(got), damage)
			}
			again := add(t, l, secretText(7000))
			closeLog(t, l)
			l, got, damage = openLog(t, dir, opt)
			defer closeLog(t, l)
			if len(got) != 2 || len(damage) != 0 || got[1].Size != again.Size {
				t.Errorf("%d records, damage %v", len(got), damage)
			}
		})
	}
}
