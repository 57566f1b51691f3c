package deliver

import (
	"bytes"
	"io"

	"letterlock/internal/mail"
)

// joined is a message that starts with octets of its own and goes on with
// another's.
type joined struct {
	head []byte
	rest *io.SectionReader
}

var _ mail.Body = (*joined)(nil)

// join puts head in front of body from octet skip on.
func join(head []byte, body mail.Body, skip int64) *joined {
	return &joined{head, io.NewSectionReader(body, skip, max(0, body.Size()-skip))}
}

func (j *joined) Size() int64 { return int64(len(j.head)) + j.rest.Size() }

func (j *joined) ReadAt(p []byte, off int64) (n int, err error) {
	if off < int64(len(j.head)) {
		n, err = bytes.NewReader(j.head).ReadAt(p, off)
		if err != io.EOF || n == len(p) {
			return n, err
		}
	}
	m, err := j.rest.ReadAt(p[n:], off+int64(n)-int64(len(j.head)))
	return n + m, err
}

// edit is a message as editheader left it (RFC 5293), without the recipient's
// own prefix: the same for all whose rules did the same. The zero edit is the
// message as it came.
type edit struct {
	header string // with its empty line
	skip   int64  // octets of the message that it stands for
}

func (e edit) body(of mail.Body) mail.Body {
	if e == (edit{}) {
		return of
	}
	return join([]byte(e.header), of, e.skip)
}

// edited takes the recipient's prefix, which no script can change, out of a
// header that a script changed. ok is false where it is not found.
func edited(header []byte, skip int64, prefix []byte) (e edit, ok bool) {
	rest := header
	for field := range fieldsOf(prefix) {
		i := bytes.Index(rest, field)
		for i > 0 && rest[i-1] != '\n' {
			next := bytes.Index(rest[i+1:], field)
			if next < 0 {
				return edit{}, false
			}
			i += 1 + next
		}
		if i < 0 {
			return edit{}, false
		}
		rest = append(rest[:i:i], rest[i+len(field):]...)
	}
	return edit{string(rest), skip - int64(len(prefix))}, true
}

// fieldsOf walks header fields, continuation lines with them.
func fieldsOf(block []byte) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		start := 0
		for i := range block {
			if block[i] == '\n' && (i+1 == len(block) || block[i+1] != ' ' && block[i+1] != '\t') {
				if !yield(block[start : i+1]) {
					return
				}
				start = i + 1
			}
		}
	}
}
