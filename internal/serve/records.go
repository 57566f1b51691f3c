package serve

// records is the connection below TLS. It hands out no octet beyond the end of a
// record (RFC 8446 §5.1): so TLS holds nothing that it was not asked for, and
// whoever waits for the connection does not miss it.
type records struct {
	*inlet
	of *Conn

	header [recordHeader]byte
	have   int // octets of the header that were handed out
	left   int // octets of the record behind it that were not
}

const recordHeader = 5 // its last two octets are the length of what follows

// Read reads a record's header, or what follows it.
func (r *records) Read(p []byte) (n int, err error) {
	if r.left > 0 {
		n, err = r.inlet.Read(p[:min(len(p), r.left)])
		r.left -= n
		return n, err
	}
	if err := r.await(); err != nil { // more than the header at once
		return 0, err
	}
	n, err = r.inlet.Read(p[:min(len(p), recordHeader-r.have)])
	r.have += copy(r.header[r.have:], p[:n])
	if r.have == recordHeader {
		r.have, r.left = 0, int(r.header[3])<<8|int(r.header[4])
	}
	return n, err
}
