package mime

import (
	"bufio"
	"fmt"
	"io"
)

// Filter chooses fields of a header block by their names, for IMAP's
// HEADER.FIELDS and HEADER.FIELDS.NOT (RFC 9051 §6.4.5.1).
type Filter struct {
	names names
	drop  bool
}

// Keep is the filter that lets only the named fields through.
func Keep(names ...string) Filter { return Filter{names: namesOf(names)} }

// Drop is the filter that lets all but the named fields through, lines that are
// no fields included.
func Drop(names ...string) Filter { return Filter{names: namesOf(names), drop: true} }

// Copy writes the chosen fields of the header block that r starts with to w,
// octet for octet, with the empty line that ends it; it stops there or at the
// end of r. It holds a few KiB, however long a field is, and returns how many
// octets it wrote.
func (f Filter) Copy(w io.Writer, r io.Reader) (written int64, err error) {
	in := bufio.NewReaderSize(r, headerChunk)
	chosen, inLine := f.drop, false
	for {
		piece, err := in.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			err = nil
		}
		blank := !inLine && isBlank(piece)
		if !inLine && len(piece) > 0 && piece[0] != ' ' && piece[0] != '\t' {
			chosen = f.chooses(piece)
		}
		if chosen || blank {
			n, err := w.Write(piece)
			if written += int64(n); err != nil {
				return written, fmt.Errorf("write header: %w", err)
			}
		}
		if blank || err == io.EOF {
			return written, nil
		}
		if err != nil {
			return written, fmt.Errorf("read header: %w", err)
		}
		inLine = len(piece) > 0 && piece[len(piece)-1] != '\n'
	}
}

// Append appends what Copy would write of header to dst.
func (f Filter) Append(dst, header []byte) []byte {
	for at, end := 0, 0; at < len(header); at = end {
		end = fieldEnd(header, at)
		if isBlank(header[at:end]) {
			return append(dst, header[at:end]...)
		}
		if f.chooses(header[at:end]) {
			dst = append(dst, header[at:end]...)
		}
	}
	return dst
}

// chooses says whether the field that starts with line goes through.
func (f Filter) chooses(line []byte) bool {
	name, _ := fieldName(line)
	return f.names.have(name) != f.drop
}

// names are names of fields in lower case, found without making one anew.
type names struct {
	set     map[string]struct{}
	lengths uint64 // a bit for each length that one has: most fields of a letter are passed over by that
}

func namesOf(list []string) names {
	n := names{set: make(map[string]struct{}, len(list))}
	for _, name := range list {
		n.set[string(appendLower(nil, name))] = struct{}{}
		n.lengths |= 1 << (len(name) % 64)
	}
	return n
}

func (n names) have(name []byte) bool {
	if n.lengths>>(len(name)%64)&1 == 0 || len(name) == 0 {
		return false
	}
	_, there := n.set[string(appendLower(make([]byte, 0, 64), name))]
	return there
}

func appendLower[S string | []byte](dst []byte, s S) []byte {
	for i := range len(s) {
		dst = append(dst, lowerByte(s[i]))
	}
	return dst
}
