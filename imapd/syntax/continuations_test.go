package syntax

import (
	"fmt"
	"strings"
	"testing"

	"letterlock/internal/mail"
)

// RFC 2231 §6: a server SHOULD decode parameter value continuations in BODY and
// BODYSTRUCTURE. A long name of an attachment comes in sections.
func TestRFC2231Section6JoinsContinuations(t *testing.T) {
	for _, c := range []struct {
		name     string
		in, want []string
	}{
		{"none", []string{"charset", "utf-8", "name*", "utf-8''a", "x*y", "1", "*0", "2", "z*01", "3"}, []string{"charset", "utf-8", "name*", "utf-8''a", "x*y", "1", "*0", "2", "z*01", "3"}},
		{"RFC 2231 §3", []string{"access-type", "URL", "URL*0", "ftp://", "URL*1", "cs.utk.edu/pub"}, []string{"access-type", "URL", "URL", "ftp://cs.utk.edu/pub"}},
		{"RFC 2231 §4.1", []string{"title*0*", "us-ascii'en'This%20is%20even%20more%20", "title*1*", "%2A%2A%2Afun%2A%2A%2A%20", "title*2", "isn't it!"},
			[]string{"title*", "us-ascii'en'This%20is%20even%20more%20%2A%2A%2Afun%2A%2A%2A%20isn%27t%20it!"}},
		{"a character split", []string{"filename*0*", "UTF-8''Z%C3", "filename*1*", "%BCrich.pdf"}, []string{"filename*", "UTF-8''Z%C3%BCrich.pdf"}},
		{"one section", []string{"filename*0*", "UTF-8''x"}, []string{"filename*", "UTF-8''x"}},
		{"out of order, in another case", []string{"Name*1", "b", "x", "1", "name*0", "a"}, []string{"x", "1", "name", "ab"}},
		{"ten and more", []string{"n*0", "0", "n*1", "1", "n*2", "2", "n*3", "3", "n*4", "4", "n*5", "5", "n*6", "6", "n*7", "7", "n*8", "8", "n*9", "9", "n*10", "a"}, []string{"n", "0123456789a"}},
		{"no charset in front", []string{"n*0", "a b", "n*1*", "%C3%A4"}, []string{"n*", "''a%20b%C3%A4"}},
		{"a gap", []string{"n*0", "a", "n*2", "c"}, []string{"n", "a", "n*2", "c"}},
		{"the first is missing", []string{"n*1", "b", "n*2", "c"}, []string{"n*1", "b", "n*2", "c"}},
		{"one twice", []string{"n*0", "a", "n*0", "b", "n*1", "c"}, []string{"n", "ac", "n*0", "b"}},
		{"two parameters", []string{"a*0", "1", "b*0", "2", "a*1", "3", "b*1*", "4"}, []string{"a", "13", "b*", "''24"}},
	} {
		part := mail.Part{Type: "image", Subtype: "png", Encoding: "7bit", Params: paramList(c.in), Disposition: "attachment", DispParams: paramList(c.in)}
		got, want := string(AppendBodyStructure(nil, &part, 0)), paramText(c.want)
		if want = fmt.Sprintf(`("image" "png" %s NIL NIL "7bit" 0 NIL ("attachment" %s) NIL NIL)`, want, want); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, want)
		}
	}
}

func paramList(pairs []string) (list []mail.Param) {
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, mail.Param{Name: pairs[i], Value: pairs[i+1]})
	}
	return list
}

func paramText(pairs []string) string { return `("` + strings.Join(pairs, `" "`) + `")` }
