package deflate

const (
	windowMin = 1 << 10
	windowMax = 32 << 10 // how far back a stream may point (RFC 1951 §2)
)

// window is the last 32 KiB that were said. It grows with what there is to
// remember: a client that has sent a few commands costs that much.
type window struct {
	buf     []byte // used as a ring once it is windowMax long
	at      int    // where the next octet goes
	wrapped bool   // all of buf is in use
}

// size is how far back one can point.
func (w *window) size() int {
	if w.wrapped {
		return len(w.buf)
	}
	return w.at
}

// room is the free part up to the end of the buffer, never empty.
func (w *window) room() []byte {
	if w.at == len(w.buf) {
		w.turn()
	}
	return w.buf[w.at:]
}

// turn makes room where the end of the buffer is reached.
func (w *window) turn() {
	if len(w.buf) == windowMax {
		w.at, w.wrapped = 0, true
		return
	}
	grown := make([]byte, max(windowMin, 2*len(w.buf)))
	copy(grown, w.buf)
	w.buf = grown
}

func (w *window) put(c byte) {
	w.room()[0] = c
	w.at++
}

func (w *window) write(p []byte) {
	for len(p) > 0 {
		k := copy(w.room(), p)
		w.at += k
		p = p[k:]
	}
}

// repeat fills p with what was said distance octets ago, at most size. What it
// says is a part of what it repeats where distance is shorter than p.
func (w *window) repeat(p []byte, distance int) {
	for len(p) > 0 {
		to := w.room()
		from := w.at - distance
		if from < 0 {
			from += len(w.buf)
		}
		k := min(len(p), len(to), len(w.buf)-from, distance)
		copy(to[:k], w.buf[from:])
		copy(p, to[:k])
		w.at += k
		p = p[k:]
		if k == distance {
			distance *= 2 // the same again: there are two of it now
		}
	}
}
