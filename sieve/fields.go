package sieve

import "errors"

// Fields is a set of header fields that a call names: which names, and by the
// tags of index and mime, which occurrence and in which parts.
type Fields struct {
	names []headerName
	vars  []String // instead of names where one has variables
	index int      // :index; 0: all
	last  bool     // :last
	mime  bool     // :mime: of the part at hand
	child bool     // :anychild: and all below
}

// Fields reads the names in argument i and the tags about them.
func (c *Call) Fields(i int) (*Fields, error) {
	f := &Fields{last: c.Has("last"), mime: c.Has("mime"), child: c.Has("anychild")}
	if t := c.Tag("index"); t != nil {
		f.index = int(min(t.Number, 1<<31))
	}
	arg := c.args[i]
	if arg.Kind == StringArg {
		f.names = []headerName{newHeaderName(arg.Text)}
	} else {
		f.names = make([]headerName, len(arg.List))
		for j, l := range arg.List {
			f.names[j] = newHeaderName(l.Text)
		}
	}
	if c.comp.lexical.variables || c.comp.lexical.encoded {
		f.template(c.comp.strings(arg))
	}
	return f, nil
}

// template takes the names as they are with variables or encoded characters.
func (f *Fields) template(names []String) {
	for i, s := range names {
		text, ok := s.Const()
		if !ok {
			f.vars, f.names = names, nil
			return
		}
		f.names[i] = newHeaderName(text)
	}
}

// resolve is the names as they are now.
func (f *Fields) resolve(rt *Runtime) ([]headerName, error) {
	if f.vars == nil {
		return f.names, nil
	}
	names := make([]headerName, len(f.vars))
	for i, s := range f.vars {
		text, err := s.Eval(rt)
		if err != nil {
			return nil, err
		}
		names[i] = newHeaderName(text)
	}
	return names, nil
}

// walk goes through the fields, part by part and name by name.
type walk struct {
	rt    *Runtime
	f     *Fields
	names []headerName

	head  *entity
	part  *part   // that head is of; nil where nobody asked for parts
	parts []*part // still to come
	name  int
	field int
}

// walk starts; [walk.next] gives the fields.
func (f *Fields) walk(rt *Runtime) (w walk, err error) {
	w = walk{rt: rt, f: f}
	if w.names, err = f.resolve(rt); err != nil {
		return w, err
	}
	if !f.mime {
		w.head, err = rt.header()
		return w, errors.Join(err, w.enter())
	}
	here, err := rt.here()
	if err != nil {
		return w, err
	}
	if f.child {
		here.walk(func(p *part) (bool, error) {
			w.parts = append(w.parts, p)
			return true, nil
		})
		if err := rt.Take(16 * len(w.parts)); err != nil {
			return w, err
		}
	} else {
		w.parts = []*part{here}
	}
	return w, w.nextPart()
}

// nextPart goes on with the header of another part, or with none.
func (w *walk) nextPart() (err error) {
	w.head = nil
	if len(w.parts) == 0 {
		return nil
	}
	w.part, w.parts = w.parts[0], w.parts[1:]
	w.name, w.field = 0, 0
	if w.head, err = w.rt.partHeader(w.part); err != nil {
		return err
	}
	return w.enter()
}

// enter counts what looking through a header costs.
func (w *walk) enter() error {
	if w.head == nil {
		return nil
	}
	return w.rt.Spend(1 + len(w.names)*(1+len(w.head.fields)/16))
}

// next is the next field, or nil.
func (w *walk) next() (*field, error) {
	for w.head != nil {
		if w.f.index > 0 {
			if w.name == 0 {
				w.name = 1
				if fd := w.nth(); fd != nil {
					return fd, nil
				}
			}
		} else if fd := w.scan(); fd != nil {
			return fd, nil
		}
		if err := w.nextPart(); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (w *walk) scan() *field {
	for w.name < len(w.names) {
		n := w.names[w.name]
		for w.field < len(w.head.fields) {
			fd := &w.head.fields[w.field]
			w.field++
			if fd.named(n) {
				return fd
			}
		}
		w.name++
		w.field = 0
	}
	return nil
}

// nth is the field that :index and :last mean. With several names their fields
// are counted in the order of the names (RFC 5260 §6).
func (w *walk) nth() *field {
	var list []*field
	for _, n := range w.names {
		for i := range w.head.fields {
			if w.head.fields[i].named(n) {
				list = append(list, &w.head.fields[i])
			}
		}
	}
	i := w.f.index - 1
	if w.f.last {
		i = len(list) - w.f.index
	}
	if i < 0 || i >= len(list) {
		return nil
	}
	return list[i]
}

// all says whether there is a field of every name (RFC 5228 §5.5), in one part
// or, with :anychild, in any.
func (f *Fields) all(rt *Runtime) (bool, error) {
	names, err := f.resolve(rt)
	if err != nil {
		return false, err
	}
	for i := range names {
		one := Fields{names: names[i : i+1], mime: f.mime, child: f.child}
		w, err := one.walk(rt)
		if err != nil {
			return false, err
		}
		if fd, err := w.next(); fd == nil || err != nil {
			return false, err
		}
	}
	return true, nil
}
