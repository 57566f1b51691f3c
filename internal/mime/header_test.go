package mime_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"

	"letterlock/internal/mime"
)

const block = "Received: by a\r\n\tvia b\r\nSubject: =?utf-8?Q?caf=C3=A9?=\r\n  au lait \r\nno field\r\n and its rest\r\nX-Empty:\r\nreceived : by c\r\nLast: \tone\r\n\r\nBody: no\r\n"

func TestHeaderAsItStands(t *testing.T) {
	h, err := mime.ReadHeader(strings.NewReader(block), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(h.Bytes()), strings.TrimSuffix(block, "Body: no\r\n"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	var got []string
	for f := range h.Fields() {
		got = append(got, fmt.Sprintf("%d-%d %s:%q", f.Offset, f.End, f.Name, f.Value))
		if raw := block[f.Offset:f.End]; !strings.HasPrefix(raw, f.Name) || !strings.HasSuffix(raw, f.Value+"\r\n") {
			t.Errorf("%s is at %q", f.Name, raw)
		}
	}
	want := []string{`0-24 Received:" by a\r\n\tvia b"`, `24-68 Subject:" =?utf-8?Q?caf=C3=A9?=\r\n  au lait "`,
		`93-103 X-Empty:""`, `103-120 received:" by c"`, `120-132 Last:" \tone"`}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if v, ok := h.Get("SUBJECT"); v != "=?utf-8?Q?caf=C3=A9?=  au lait" || !ok {
		t.Errorf("subject %q, %v", v, ok)
	}
	if v, ok := h.Text("Subject"); v != "café  au lait" || !ok {
		t.Errorf("subject %q, %v", v, ok)
	}
	if v, ok := h.Get("x-empty"); v != "" || !ok || !h.Has("X-Empty") {
		t.Errorf("empty field: %q, %v", v, ok)
	}
	if v, ok := h.Get("Body"); ok {
		t.Errorf("found a field in the body: %q", v)
	}
	values := []string{}
	for v := range h.Values("Received") {
		values = append(values, v)
	}
	if fmt.Sprintf("%q", values) != `["by a\tvia b" "by c"]` {
		t.Errorf("received %q", values)
	}
}

func TestAHeaderBeyondTheLimit(t *testing.T) {
	long := "Subject: x\r\nFrom: a@b\r\nX: " + strings.Repeat("y", 1000) + "\r\n\r\n"
	h, err := mime.ReadHeader(strings.NewReader(long), 100)
	if !errors.Is(err, mime.ErrHeaderTooLong) || string(h.Bytes()) != "Subject: x\r\nFrom: a@b\r\n" {
		t.Errorf("%v, %q", err, h.Bytes())
	}
	for _, limit := range []int64{int64(len(long)), int64(len(long)) + 1, 1 << 40} {
		if h, err := mime.ReadHeader(strings.NewReader(long+"body"), limit); err != nil || string(h.Bytes()) != long {
			t.Errorf("limit %d: %v, %d octets of %d", limit, err, len(h.Bytes()), len(long))
		}
	}
	if h, err := mime.ReadHeader(strings.NewReader(long), int64(len(long))-1); !errors.Is(err, mime.ErrHeaderTooLong) || !h.Has("From") {
		t.Errorf("one octet too long: %v, %q", err, h.Bytes())
	}
}

func TestReadHeaderGivesTheReadersError(t *testing.T) {
	h, err := mime.ReadHeader(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader(block))), 1000)
	if !errors.Is(err, iotest.ErrTimeout) || h == nil {
		t.Errorf("got %v", err)
	}
}

// RFC 9051 §6.4.5.1: matching is ASCII case-insensitive and otherwise exact, and
// the blank line is included where there is one.
func TestHeaderFieldsAreChosenOctetForOctet(t *testing.T) {
	for _, c := range []struct {
		name   string
		filter mime.Filter
		block  string
		want   string
	}{
		{"keep", mime.Keep("RECEIVED", "Last"), block, "Received: by a\r\n\tvia b\r\nreceived : by c\r\nLast: \tone\r\n\r\n"},
		{"keep what is not there", mime.Keep("To"), block, "\r\n"},
		{"keep half a name", mime.Keep("Recei"), block, "\r\n"},
		{"drop", mime.Drop("received", "subject"), block, "no field\r\n and its rest\r\nX-Empty:\r\nLast: \tone\r\n\r\n"},
		{"drop nothing", mime.Drop(), block, strings.TrimSuffix(block, "Body: no\r\n")},
		{"no blank line", mime.Keep("a"), "A: 1\r\nB: 2\r\n", "A: 1\r\n"},
		{"no line break at the end", mime.Keep("b"), "A: 1\r\nB: 2", "B: 2"},
		{"bare LF", mime.Keep("b"), "A: 1\nB: 2\n 3\n\nb: 4\n", "B: 2\n 3\n\n"},
		{"a long field", mime.Keep("b"), "A: " + strings.Repeat("a", 9000) + "\r\nB: " + strings.Repeat("b", 9000) + "\r\n c\r\n\r\n", "B: " + strings.Repeat("b", 9000) + "\r\n c\r\n\r\n"},
		{"a colon in the second line", mime.Keep("a"), "A\r\n : 1\r\nB: 2\r\n\r\n", "\r\n"},
		{"a body that starts with a space", mime.Drop(), "A: 1\r\n\r\n body\r\n", "A: 1\r\n\r\n"},
		{"nothing", mime.Keep("a"), "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got bytes.Buffer
			n, err := c.filter.Copy(&got, strings.NewReader(c.block))
			if err != nil || got.String() != c.want || n != int64(got.Len()) {
				t.Errorf("copied %d, %v\n got %q\nwant %q", n, err, got.String(), c.want)
			}
			if got := c.filter.Append([]byte("x"), []byte(c.block)); string(got) != "x"+c.want {
				t.Errorf("appended\n got %q\nwant %q", got, "x"+c.want)
			}
		})
	}
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte(block), "Received")
	f.Add([]byte("\n a"), "")
	f.Add([]byte("a: b\n\r\n\r\nc"), "a")
	f.Fuzz(func(t *testing.T, b []byte, name string) {
		h, err := mime.ReadHeader(bytes.NewReader(b), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		slow, err := mime.ReadHeader(iotest.OneByteReader(bytes.NewReader(b)), 1<<20)
		if err != nil || !bytes.Equal(slow.Bytes(), h.Bytes()) || !bytes.HasPrefix(b, h.Bytes()) {
			t.Errorf("octet by octet: %v, %q, want %q", err, slow.Bytes(), h.Bytes())
		}
		at := int64(0)
		for f := range h.Fields() {
			if f.Offset < at || f.End <= f.Offset || f.End > int64(len(b)) || f.Name == "" {
				t.Errorf("bad field %+v after %d", f, at)
			}
			at = f.End
		}
		if sum := summarize(t, b); sum.Root.Body != int64(len(h.Bytes())) {
			t.Errorf("the header has %d octets, the summary says %d", len(h.Bytes()), sum.Root.Body)
		}
		checkFilters(t, b, name)
		mime.TLSRequiredNo(b)
		if _, err := mime.ReadHeader(bytes.NewReader(b), int64(len(b)/2)); err != nil && !errors.Is(err, mime.ErrHeaderTooLong) {
			t.Error(err)
		}
	})
}

// checkFilters sees that what is kept and what is dropped make the whole.
func checkFilters(t *testing.T, b []byte, name string) {
	var lengths []int
	for _, filter := range []mime.Filter{mime.Keep(name), mime.Drop(name), mime.Drop()} {
		var copied bytes.Buffer
		if _, err := filter.Copy(&copied, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
		if appended := filter.Append(nil, b); !bytes.Equal(appended, copied.Bytes()) {
			t.Errorf("copied %q, appended %q", copied.Bytes(), appended)
		}
		lengths = append(lengths, copied.Len())
	}
	if blank := len(mime.Keep().Append(nil, b)); lengths[0]+lengths[1]-blank != lengths[2] {
		t.Errorf("kept %d, dropped to %d, of %d with %d of an empty line", lengths[0], lengths[1], lengths[2], blank)
	}
}
