package mime_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime/quotedprintable"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"letterlock/internal/mime"
)

func TestContentWithoutItsEncoding(t *testing.T) {
	for _, c := range []struct{ name, encoding, in, want string }{
		{"7bit", "7bit", "a=3D\r\n", "a=3D\r\n"},
		{"8bit", "8BIT", "a\xff\r\n", "a\xff\r\n"},
		{"binary", "binary", "\x00\r\n\xff", "\x00\r\n\xff"},
		{"none", "", "a", "a"},
		{"base64", "base64", "SGVsbG8sIHdvcmxkIQ==\r\n", "Hello, world!"},
		{"base64 in lines", "BASE64", "SGVs\r\nbG8s\r\n IHdv\tcmxkIQ==\r\n", "Hello, world!"},
		{"base64 without padding", "base64", "SGVsbG8", "Hello"},
		{"base64 cut", "base64", "SGVsbG8sI", "Hello,"},
		{"base64 with rubbish (RFC 2045 §6.8)", "base64", "SG*Vs!bG\x008=", "Hello"},
		{"base64 in two", "base64", "SGVsbG8=\r\nSGVsbG8=\r\n", "HelloHello"},
		{"base64 of nothing", "base64", "====", ""},
		{"quoted-printable", "quoted-printable", "Gr=C3=BC=C3=9Fe\r\n", "Grüße\r\n"},
		{"lower case digits", "Quoted-Printable", "=c3=bC", "ü"},
		{"soft line breaks", "quoted-printable", "one =\r\nline=\n.", "one line."},
		{"a soft line break with space after it", "quoted-printable", "one= \t\r\nline", "oneline"},
		{"a soft line break at the end", "quoted-printable", "one=", "one"},
		{"space at the end of lines (RFC 2045 §6.7 rule 3)", "quoted-printable", "one \t \r\n two\t\n three ", "one\r\n two\n three"},
		{"space that is meant", "quoted-printable", "one=20\r\n", "one \r\n"},
		{"rubbish after =", "quoted-printable", "a=b=ZZ=4", "a=b=ZZ=4"},
		{"two =", "quoted-printable", "a==\r\nb==3D", "a=b=="},
		{"8-bit in it", "quoted-printable", "Gr\xfc=DFe", "Gr\xfc\xdfe"},
		{"lines without CR", "quoted-printable", "a\n\nb\n", "a\n\nb\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, r := range map[string]io.Reader{"whole": strings.NewReader(c.in), "octet by octet": iotest.OneByteReader(strings.NewReader(c.in)), "with its end": iotest.DataErrReader(strings.NewReader(c.in))} {
				d, err := mime.Decoded(r, c.encoding)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(d); string(got) != c.want || err != nil {
					t.Errorf("%s: got %q, %v, want %q", name, got, err, c.want)
				}
			}
		})
	}
}

func TestUnknownEncoding(t *testing.T) {
	for _, encoding := range []string{"x-uuencode", "utf-8", "base 64"} {
		if _, err := mime.Decoded(strings.NewReader(""), encoding); !errors.Is(err, mime.ErrUnknownEncoding) {
			t.Errorf("%s: %v, want %v", encoding, err, mime.ErrUnknownEncoding)
		}
		if _, err := mime.Text(strings.NewReader(""), encoding, "utf-8"); !errors.Is(err, mime.ErrUnknownEncoding) {
			t.Errorf("text in %s: %v, want %v", encoding, err, mime.ErrUnknownEncoding)
		}
	}
}

func TestDecodersGiveTheReadersError(t *testing.T) {
	for _, encoding := range []string{"7bit", "base64", "quoted-printable"} {
		for _, charset := range []string{"utf-8", "iso-2022-jp"} {
			r, err := mime.Text(io.MultiReader(strings.NewReader("QUJD"), iotest.ErrReader(errDisk)), encoding, charset)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(r); !errors.Is(err, errDisk) {
				t.Errorf("%s, %s: got %v, want %v", encoding, charset, err, errDisk)
			}
			cut, err := mime.Text(io.MultiReader(strings.NewReader("QUJD"), iotest.ErrReader(io.ErrUnexpectedEOF)), encoding, charset)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(cut); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s, %s, cut: got %v, want %v", encoding, charset, err, io.ErrUnexpectedEOF)
			}
		}
	}
}

func TestTextInTheCharsetsOfTheWorld(t *testing.T) {
	for _, c := range []struct{ name, charset, in, want string }{
		{"UTF-8", "utf-8", "Grüße", "Grüße"},
		{"UTF-8 in quotes", `"UTF-8"`, "Grüße", "Grüße"},
		{"none", "", "Grüße", "Grüße"},
		{"US-ASCII that is not", "us-ascii", "Gr\xfc\xdfe", "Grüße"},
		{"UTF-8 that is not", "utf-8", "Gr\xfc\xdfe, Grüße", "Grüße, Grüße"},
		{"Latin 1", "ISO-8859-1", "Gr\xfc\xdfe", "Grüße"},
		{"Latin 1 as Windows writes it", "iso-8859-1", "\x93x\x94", "“x”"},
		{"Latin 9", "iso-8859-15", "\xa4", "€"},
		{"Windows", "windows-1252", "\x80", "€"},
		{"code page 437", "cp437", "\x81", "ü"},
		{"code page 850", "IBM850", "\x81", "ü"},
		{"Cyrillic", "koi8-r", "\xe9\xd7\xc1\xce", "Иван"},
		{"Ukrainian", "KOI8-U", "\xa6", "і"},
		{"Cyrillic of Windows", "cp1251", "\xce\xf2", "От"},
		{"Japanese", "ISO-2022-JP", "\x1b$B2q5D\x1b(B!", "会議!"},
		{"Japanese of Windows", "CP932", "\x89\xef\x8bc", "会議"},
		{"Japanese of Unix", "euc-jp", "\xb2\xf1\xb5\xc4", "会議"},
		{"Chinese", "gb2312", "\xbb\xe1\xd2\xe9", "会议"},
		{"Chinese, all of it", "gb18030", "\x90\x30\x81\x30", "\U00010000"},
		{"Chinese in seven bits", "hz-gb-2312", "~{;aRi~}", "会议"},
		{"Chinese of Taiwan", "big5", "\xb7|\xc4\xb3", "會議"},
		{"Korean", "ks_c_5601-1987", "\xc8\xb8\xc0\xc7", "회의"},
		{"UTF-16", "utf-16be", "\x00G\x00r\x00\xfc", "Grü"},
		{"UTF-16 with its mark", "UTF-16", "\xfe\xff\x00G\x00r\x00\xfc", "Grü"},
		{"UTF-16 with its mark, as Windows writes it", "utf-16", "\xff\xfeG\x00r\x00\xfc\x00", "Grü"},
		{"UTF-16 without one", "utf-16", "\x00G\x00r\x00\xfc", "Grü"}, // RFC 2781 §4.3
		{"UTF-7 (RFC 2152)", "UTF-7", "Hi +xUixVQ A+-B +2D3eAA +AOk-, +A-", "Hi 안녕 A+B 😀 é, "},
		{"UTF-7 that ends too early", "unicode-1-1-utf-7", "+2D3eAA-+2D0-x+2D0", "😀\ufffdx\ufffd"},
		{"UTF-7 that is not", "utf-7", "Gr\xfc\xdfe +\xfc", "Gr\ufffd\ufffde \ufffd"},
		{"Korean in seven bits (RFC 1557)", "iso-2022-kr", "\x1b$)C\x0e>H3g\x0f Kim\r\n\x0eGO\n\x0f x\x1b$", "안녕 Kim\r\n하\n x\x1b$"},
		{"Thai of Windows", "cp874", "\xca\xc7\xd1\xca\xb4\xd5", "สวัสดี"},
		{"code page 850 by its short name", "cp850", "\x82\xab", "é½"},
		{"one nobody knows", "x-klingon", "Gr\xfc\xdfe", "Grüße"},
		{"half a character at the end", "utf-8", "x\xc3", "xÃ"},
		{"half a character at the end of GBK", "gbk", "x\xbb", "x\ufffd"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, r := range map[string]io.Reader{"whole": strings.NewReader(c.in), "octet by octet": iotest.OneByteReader(strings.NewReader(c.in))} {
				text, err := mime.Text(r, "8bit", c.charset)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(text); string(got) != c.want || err != nil {
					t.Errorf("%s: got %q, %v, want %q", name, got, err, c.want)
				}
			}
			if got := mime.ConvertString(c.charset, c.in); got != c.want {
				t.Errorf("as a string: got %q, want %q", got, c.want)
			}
		})
	}
}

func TestKnownCharsets(t *testing.T) {
	for name, want := range map[string]bool{"utf-8": true, "US-ASCII": true, "iso-8859-1": true, "koi8-r": true, "iso-2022-kr": true, "x-klingon": false, "utf-7": true} {
		if got := mime.KnownCharset(name); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add([]byte("Gr=C3=BC =\r\n\xff\x1b$B2q\x1b(B"), "quoted-printable", "iso-2022-jp", 3)
	f.Add([]byte("SGVsb*G8=AB"), "base64", "utf-16", 1)
	f.Add([]byte("+2D3eAA-+2D0-x+-+A-\xfc"), "7bit", "utf-7", 3)
	f.Add([]byte("\x1b$)C\x0e>H3g\x0f Kim\n\x1b$"), "7bit", "iso-2022-kr", 4)
	f.Add([]byte("~{;aRi~}\xf0\x9f"), "8bit", "hz-gb-2312", 2)
	f.Fuzz(func(t *testing.T, content []byte, encoding, charset string, n int) {
		whole, err := mime.Text(bytes.NewReader(content), encoding, charset)
		if err != nil {
			return
		}
		got, err := io.ReadAll(whole)
		if err != nil || !utf8.Valid(got) {
			t.Errorf("%v, %q", err, got)
		}
		pieces, _ := mime.Text(&slow{bytes.NewReader(content), 1 + n&15}, encoding, charset)
		if again, err := io.ReadAll(pieces); err != nil || !bytes.Equal(again, got) {
			t.Errorf("in pieces %q, %v, whole %q", again, err, got)
		}
	})
}

type slow struct {
	*bytes.Reader
	most int
}

func (s *slow) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(len(p), s.most)]) }

// FuzzDecoded reads back what others encoded.
func FuzzDecoded(f *testing.F) {
	f.Add([]byte("Grüße \r\n= \t\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		encoded := strings.Join(chunks(base64.StdEncoding.EncodeToString(content), 76), "\r\n")
		checkDecoded(t, encoded, "base64", content)
		var quoted bytes.Buffer
		w := quotedprintable.NewWriter(&quoted)
		w.Binary = true
		if _, err := w.Write(content); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
		checkDecoded(t, quoted.String(), "quoted-printable", content)
	})
}

func checkDecoded(t *testing.T, encoded, encoding string, want []byte) {
	t.Helper()
	r, err := mime.Decoded(strings.NewReader(encoded), encoding)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s %q: got %q, %v, want %q", encoding, encoded, got, err, want)
	}
}

// TestLongContentInAnyPieces crosses the borders of the buffers in between.
func TestLongContentInAnyPieces(t *testing.T) {
	text := strings.Repeat("Grüße aus Köln \t. ", 3000) + strings.Repeat(" ", 5000) + "=\r\n" + strings.Repeat("é", 9000)
	for _, c := range []struct{ encoding, content, want string }{
		{"base64", base64.StdEncoding.EncodeToString([]byte(text)), text},
		{"8bit", text, text},
		{"quoted-printable", strings.ReplaceAll(text, "é", "=C3=A9="), ""},
	} {
		var results []string
		for _, r := range []io.Reader{strings.NewReader(c.content), iotest.HalfReader(strings.NewReader(c.content)), iotest.OneByteReader(strings.NewReader(c.content))} {
			d, err := mime.Text(r, c.encoding, "utf-8")
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(d)
			if err != nil || c.want != "" && string(got) != c.want {
				t.Errorf("%s: %v, %d octets, want %d", c.encoding, err, len(got), len(c.want))
			}
			results = append(results, string(got))
		}
		if results[0] != results[1] || results[0] != results[2] {
			t.Errorf("%s: %d, %d and %d octets from the same content", c.encoding, len(results[0]), len(results[1]), len(results[2]))
		}
	}
}
