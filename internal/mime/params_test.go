package mime_test

import (
	"testing"

	"letterlock/internal/mail"
	"letterlock/internal/mime"
)

func TestParametersAsPeopleWriteThem(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"token", `text/html; charset=utf-8`, `text/html; charset="utf-8"`},
		{"quoted", `text/html; charset="utf-8"`, `text/html; charset="utf-8"`},
		{"spaces around", `text / html ; charset = "utf-8" ;`, `text/html; charset="utf-8"`},
		{"comments", `text/plain; charset=us-ascii (Plain text)`, `text/plain; charset="us-ascii"`},
		{"comments all over", `(a)text(b)/(c)plain(d);(e)charset(f)=(g)utf-8(h);x=y`, `text/plain; charset="utf-8"; x="y"`},
		{"escapes", `a/b; name="a\"b\\c"`, `a/b; name="a\"b\\c"`},
		{"semicolons in quotes", `a/b; name="x;y=z"; c=d`, `a/b; name="x;y=z"; c="d"`},
		{"no closing quote", `a/b; name="x y`, `a/b; name="x y"`},
		{"spaces nobody quoted", `a/b; name=my file.pdf; c=d`, `a/b; name="my file.pdf"; c="d"`},
		{"brackets nobody quoted", `a/b; name=my file (1).pdf`, `a/b; name="my file (1).pdf"`},
		{"a missing semicolon", `text/plain charset=utf-8 format=flowed`, `text/plain; charset="utf-8"; format="flowed"`},
		{"a missing semicolon after quotes", `text/plain; charset="utf-8" format=flowed`, `text/plain; charset="utf-8"; format="flowed"`},
		{"no value", `a/b; x; y=; z=1`, `a/b; y=""; z="1"`},
		{"two semicolons", `a/b;; x=1;;;y=2;`, `a/b; x="1"; y="2"`},
		{"equals signs", `multipart/mixed; boundary=----=_Part_1=2`, `multipart/mixed; boundary="----=_Part_1=2"`},
		{"slashes and colons", `multipart/mixed; boundary=a/b:c`, `multipart/mixed; boundary="a/b:c"`},
		{"8-bit", "a/b; name=\"Z\xfcrich\"", "a/b; name=\"Z\\xfcrich\""},
		{"an empty quoted value", `a/b; name=""; c=d`, `a/b; name=""; c="d"`},
		{"duplicates and order", `a/b; b=1; a=2; b=3`, `a/b; b="1"; a="2"; b="3"`},
		{"no type", `; charset=utf-8`, `text/plain`},
		{"no subtype (RFC 2045 §5.2)", `text; charset=utf-8`, `text/plain`},
		{"nothing", ``, `text/plain`},
		{"rubbish", `"a/b"; c=d`, `text/plain`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := summarize(t, []byte("Content-Type: "+c.in+"\r\n\r\n")).Root
			if got := p.Type + "/" + p.Subtype + writtenParams(p.Params); got != c.want {
				t.Errorf("%s\n got %s\nwant %s", c.in, got, c.want)
			}
		})
	}
}

func params(pairs ...string) (list []mail.Param) {
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, mail.Param{Name: pairs[i], Value: pairs[i+1]})
	}
	return list
}

func TestParamPutsTogetherWhatRFC2231Splits(t *testing.T) {
	for _, c := range []struct {
		name   string
		params []mail.Param
		want   string
		ok     bool
	}{
		{"plain", params("x", "1", "Title", "2", "title", "3"), "2", true},
		{"none", params("x", "1", "titles", "2"), "", false},
		{"RFC 2231 §3", params("TITLE*0", "ftp://", "title*1", "cs.utk.edu"), "ftp://cs.utk.edu", true},
		{"RFC 2231 §4", params("title*", "us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A"), "This is ***fun***", true},
		{"RFC 2231 §4.1", params("title*0*", "us-ascii'en'This%20is%20even%20more%20", "title*1*", "%2A%2A%2Afun%2A%2A%2A%20", "title*2", "isn't it!"),
			"This is even more ***fun*** isn't it!", true},
		{"out of order", params("title*1", "b", "title*0", "a"), "ab", true},
		{"both forms", params("title", "Zurich", "title*", "utf-8''Z%C3%BCrich"), "Zürich", true},
		{"the extended form first", params("title*", "utf-8''Z%C3%BCrich", "title", "Zurich"), "Zürich", true},
		{"another charset", params("title*", "iso-8859-1''Z%FCrich"), "Zürich", true},
		{"a character split", params("title*0*", "utf-8''Z%C3", "title*1*", "%BCrich"), "Zürich", true},
		{"no charset", params("title*", "Z%C3%BCrich"), "Zürich", true},
		{"a gap", params("title*0", "a", "title*2", "c"), "a", true},
		{"the first is missing", params("title*1", "b"), "", false},
		{"encoded word", params("title", "=?utf-8?Q?Z=C3=BCrich?="), "Zürich", true},
		{"8-bit", params("title", "Z\xfcrich"), "Zürich", true},
		{"bad percent signs", params("title*", "utf-8''100%%4z%"), "100%%4z%", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, ok := mime.Param(c.params, "title"); got != c.want || ok != c.ok {
				t.Errorf("%v: got %q, %v, want %q, %v", c.params, got, ok, c.want, c.ok)
			}
		})
	}
}

func TestABoundaryInPiecesIsTaken(t *testing.T) {
	sum := summarize(t, []byte("Content-Type: multipart/mixed; boundary*0=ab; boundary*1=cd\r\n\r\n--abcd\r\n\r\nx\r\n--abcd--\r\n"))
	if p := sum.Root.Parts[0]; p.Size() != 1 {
		t.Errorf("got %+v, want one part of one octet", p)
	}
}
