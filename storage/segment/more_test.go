package segment

import (
	"reflect"
	"testing"

	"letterlock/internal/mail"
)

// What a recipient brings along came later than the first records did: those
// that end before it are read as having none.
func TestRecordsWithAndWithoutMoreAreRead(t *testing.T) {
	record := func(more []byte) *Record {
		return &Record{Summary: []byte("s"), Recipients: []Recipient{
			{Account: 1, EmailID: 5, Rcpt: mail.Address{Local: "ann", Domain: "x"}, Prefix: []byte("A: b\r\n"), Copies: []Copy{{Name: "INBOX"}}},
			{Account: 2, EmailID: 6, Rcpt: mail.Address{Local: "bob", Domain: "x"}, Prefix: []byte("C: d\r\n"), Copies: []Copy{}, More: more},
		}}
	}
	read := func(b []byte) *Record {
		t.Helper()
		r := &Record{}
		if err := r.readMeta(b); err != nil {
			t.Fatal(err)
		}
		return r
	}
	plain, rich := record(nil), record([]byte("and more"))
	old, meta := plain.appendMeta(nil, headerSize), rich.appendMeta(nil, headerSize)
	if string(meta[:len(old)]) != string(old) {
		t.Error("what an older program reads is not where it was")
	}
	if got := read(old); !reflect.DeepEqual(got.Recipients, plain.Recipients) {
		t.Errorf("without: %+v\nwant %+v", got.Recipients, plain.Recipients)
	}
	got := read(meta)
	if len(got.Recipients[0].More) != 0 || string(got.Recipients[1].More) != "and more" || got.Recipients[1].PrefixAt != rich.Recipients[1].PrefixAt {
		t.Errorf("with: %+v", got.Recipients)
	}
	if err := (&Record{}).readMeta(meta[:len(meta)-1]); err == nil {
		t.Error("a record that was cut short was read")
	}
}
