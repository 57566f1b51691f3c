package mime

import (
	"bufio"
	"fmt"
	"io"
)

// Filter chooses fields of a header block by their names, for IMAP's
// HEADER.FIELDS and HEADER.FIELDS.NOT (RFC 9051 §6.4.5.1).
type Filter struct {
	names map[string]bool // lower case
	drop  bool
}

// Keep is the filter that lets only the named fields through.
func Keep(names ...string) Filter { return Filter{names: nameSet(names)} }

// Drop is the filter that lets all but the named fields through, lines that are
// no fields included.
func Drop(names ...string) Filter { return Filter{names: nameSet(names), drop: true} }

func nameSet(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[string(appendLower(nil, name))] = true
	}
	return set
}

// Copy writes the chosen fields of the header block that r starts with to w,
// octet for octet, with the empty line that ends it; it stops there or at the
// end of r. It holds a few KiB, however long a field is, and returns how many
// octets it wrote.
func (f Filter) Copy(w io.Writer, r io.Reader) (written int64, err error) {
	in := bufio.NewReaderSize(r, headerChunk)
	chosen, inLine := f.drop, false
	for {
		slice, err := in.ReadSlice('\n')
		piece := string(slice)
		if err == bufio.ErrBufferFull {
			err = nil
		}
		blank := !inLine && isBlank(piece)
		if !inLine && len(piece) > 0 && piece[0] != ' ' && piece[0] != '\t' {
			chosen = f.chooses(piece)
		}
		if chosen || blank {
			n, err := w.Write(slice)
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
	block := string(header)
	for at := 0; at < len(block); {
		end := fieldEnd(block, at)
		blank := isBlank(block[at:end])
		if blank || f.chooses(block[at:end]) {
			dst = append(dst, block[at:end]...)
		}
		if blank {
			break
		}
		at = end
	}
	return dst
}

// chooses says whether the field that starts with line goes through.
func (f Filter) chooses(line string) bool {
	name, _, ok := cutField(line)
	return (ok && f.names[string(appendLower(make([]byte, 0, 64), name))]) != f.drop
}

func appendLower(dst []byte, s string) []byte {
	for i := range len(s) {
		dst = append(dst, lowerByte(s[i]))
	}
	return dst
}
