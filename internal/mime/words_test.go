package mime_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"letterlock/internal/mime"
)

func TestDecodeHeader(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "Hello, world", "Hello, world"},
		{"Q", "=?iso-8859-1?Q?Andr=E9?= Pirard", "André Pirard"},
		{"B", "=?utf-8?B?R3LDvMOfZQ==?=", "Grüße"},
		{"lower case", "=?UTF-8?b?R3LDvMOfZQ==?= =?utf-8?q?_x?=", "Grüße x"},
		{"RFC 2047 §8: alone", "(=?ISO-8859-1?Q?a?=)", "(a)"},
		{"RFC 2047 §8: and a word", "(=?ISO-8859-1?Q?a?= b)", "(a b)"},
		{"RFC 2047 §8: adjacent", "(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)", "(ab)"},
		{"RFC 2047 §8: two spaces", "(=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=)", "(ab)"},
		{"RFC 2047 §8: folded", "(=?ISO-8859-1?Q?a?=\r\n    =?ISO-8859-1?Q?b?=)", "(ab)"},
		{"RFC 2047 §8: a space in a word", "(=?ISO-8859-1?Q?a_b?=)", "(a b)"},
		{"RFC 2047 §8: a space between two", "(=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=)", "(a b)"},
		{"language (RFC 2231 §5)", "=?US-ASCII*EN?Q?Keith_Moore?=", "Keith Moore"},
		{"a character split between words", "=?utf-8?B?4pg=?= =?utf-8?B?gw==?=", "☃"},
		{"split between encodings", "=?utf-8?Q?=E2?= =?utf-8?B?mIM=?=", "☃"},
		{"no padding", "=?utf-8?B?4piD4g?= x", "☃â x"},
		{"base64 with spaces", "=?utf-8?B?4p iD?=", "☃"},
		{"Japanese", "=?ISO-2022-JP?B?GyRCMnE1RBsoQg==?=", "会議"},
		{"Chinese", "=?gb2312?B?u+HS6Q==?=", "会议"},
		{"Russian", "=?koi8-r?B?6dfBzg==?= =?windows-1251?Q?=CE=F2?=", "ИванОт"},
		{"Korean", "=?ks_c_5601-1987?B?yLjAxw==?=", "회의"},
		{"a charset nobody knows, in UTF-8", "=?x-unknown?Q?caf=C3=A9?=", "café"},
		{"a charset nobody knows", "=?x-unknown?Q?caf=E9?=", "café"},
		{"8-bit that is UTF-8", "Grüße", "Grüße"},
		{"8-bit that is not", "Gr\xfc\xdfe", "Grüße"},
		{"UTF-8 and a stray octet", "Grüße\xe9", "Grüßeé"},
		{"a word in quotes", `"=?utf-8?Q?Ann?="`, `"Ann"`},
		{"a word inside a word", "foo=?utf-8?Q?bar?=baz", "foobarbaz"},
		{"an unknown encoding", "=?utf-8?X?abc?=", "=?utf-8?X?abc?="},
		{"no end", "=?utf-8?Q?abc", "=?utf-8?Q?abc"},
		{"no charset", "=??Q?abc?=", "=??Q?abc?="},
		{"question marks alone", "what=?!", "what=?!"},
		{"bad escapes", "=?utf-8?Q?a=ZZb=4?=", "a=ZZb=4"},
		{"a question mark in it", "=?utf-8?Q?why??=", "why?"},
		{"line breaks smuggled in", "=?utf-8?Q?a=0D=0ABcc:_x@y?=", "a  Bcc: x@y"},
		{"folded", "one\r\n two\n\tthree", "one two\tthree"},
		{"an empty word", "=?utf-8?Q??=x", "x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := mime.DecodeHeader(c.in); got != c.want {
				t.Errorf("%q: got %q, want %q", c.in, got, c.want)
			}
		})
	}
}

func FuzzDecodeHeader(f *testing.F) {
	f.Add("=?ISO-2022-JP?B?GyRCMnE1RBsoQg==?= =?utf-8*en?q?=E2=98?=\r\n =?utf-8?b?gw==?= \xff")
	f.Add("=?utf-16?B?AAA=?= =?utf-7?Q?+AOk-?= =?hz-gb-2312?Q?~{<:Ky2;?=")
	f.Fuzz(func(t *testing.T, s string) {
		got := mime.DecodeHeader(s)
		if !utf8.ValidString(got) || strings.ContainsAny(got, "\r\n") {
			t.Errorf("%q became %q", s, got)
		}
		if len(got) > 6*len(s)+16 {
			t.Errorf("%d octets became %d", len(s), len(got))
		}
	})
}
