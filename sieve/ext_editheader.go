package sieve

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// editheaderExt is RFC 5293.
var editheaderExt = Extension{
	Name: "editheader",
	Commands: []Spec{
		{
			Name: "addheader", Tags: []Tag{{Name: "last"}}, Compile: compileAddheader,
			Args: []Param{{Name: "name of the field", Kind: StringArg}, {Name: "value", Kind: StringArg}},
		},
		{
			Name: "deleteheader", Groups: MatchTags, Tags: []Tag{indexTag, lastTag}, Compile: compileDeleteheader,
			Args: []Param{{Name: "name of the field", Kind: StringArg}, {Name: "patterns", Kind: StringList, Optional: true}},
		},
	},
}

// alwaysProtected are fields that a script can neither remove nor add: trace of
// the way here (RFC 5293 §6, RFC 5321 §4.4), and what was demanded of it
// (RFC 8689 §4.1).
var alwaysProtected = []string{"Received", "Auto-Submitted", "Return-Path", "Delivered-To", "TLS-Required", "Require-TLS-ESMTP"}

// Protected says whether editheader leaves a field alone.
func (e *Engine) Protected(field string) bool { return e.protected[foldASCII(field)] }

func fieldName(s string) error {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == ':' {
			return fmt.Errorf("%s cannot be the name of a header field", quote(s))
		}
	}
	if s == "" || len(s) > 200 {
		return fmt.Errorf("%s cannot be the name of a header field", quote(s))
	}
	return nil
}

// checkFieldName checks a constant name at compile time; an attempt at a
// protected field is ignored when it comes (RFC 5293 §6), but worth a remark.
func checkFieldName(c *Call) (String, error) {
	s := c.String(0)
	if name, ok := s.Const(); ok {
		if err := fieldName(name); err != nil {
			return s, c.Fail(s.pos, "%v", err)
		}
		if c.comp.engine.Protected(name) {
			c.Remark(s.pos, "the field %s is protected: this command will have no effect", quote(name))
		}
	}
	return s, nil
}

func compileAddheader(c *Call) (Op, error) {
	name, err := checkFieldName(c)
	if err != nil {
		return nil, err
	}
	value, last := c.String(1), c.Has("last")
	return func(rt *Runtime) (Flow, error) {
		n, err := name.Eval(rt)
		if err == nil {
			err = fieldName(n)
		}
		if err != nil {
			return Stop, err
		}
		v, err := value.Eval(rt)
		if err != nil || rt.engine.Protected(n) {
			return Next, err
		}
		return Next, rt.addField(n, v, last)
	}, nil
}

// addField adds a field to the header that tests and actions see from here on.
func (rt *Runtime) addField(name, value string, last bool) error {
	limits := &rt.engine.config.Limits
	if rt.added++; rt.added > limits.HeadersNew {
		return limited(limits.HeadersNew, "added header fields")
	}
	if len(value) > limits.HeaderValue {
		return limited(limits.HeaderValue, "octets in an added header field")
	}
	h, err := rt.editable()
	if err != nil {
		return err
	}
	raw := foldField(name, value)
	f := field{hash: hashName(name), name: name, raw: raw}
	at := 0
	if last {
		at = len(h.fields)
	}
	h.fields = slices.Insert(h.fields, at, f)
	return rt.edit(len(name) + len(raw))
}

var errTooLong = fmt.Errorf("the header is too long to be changed: it has more than %d octets or %d fields", maxHeader, maxFields)

// editable is the message's own header, whatever part the script is at. One that
// was not read whole is left alone: what was not read would be lost.
func (rt *Runtime) editable() (*entity, error) {
	if !rt.head.read {
		if err := rt.readHeader(&rt.head, 0, rt.msg.Size()); err != nil {
			return nil, err
		}
	}
	if rt.head.cut {
		return nil, errTooLong
	}
	return &rt.head, nil
}

func (rt *Runtime) edit(octets int) error {
	rt.edited, rt.latest = true, nil
	if err := rt.Scan(16 * len(rt.head.fields)); err != nil {
		return err
	}
	return rt.Take(octets)
}

const lineLimit = 78

// foldField makes the raw value of a field: encoded if it is not ASCII
// (RFC 2047), folded at spaces, no line ends but those of folding.
func foldField(name, value string) string {
	value = oneLine(value)
	if !ascii(value) {
		value = encodeWords(value)
	}
	var b strings.Builder
	width := len(name) + 1
	for _, word := range strings.Split(value, " ") {
		if width+1+len(word) > lineLimit && word != "" && b.Len() > 0 {
			b.WriteString("\r\n")
			width = 0
		}
		b.WriteByte(' ')
		b.WriteString(word)
		width += 1 + len(word)
	}
	return b.String()
}

// encodeWords encodes a whole value as encoded words of UTF-8, each short
// enough for RFC 2047 §2.
func encodeWords(s string) string {
	const most = 39 // octets of text: 52 of base64, 64 with what is around
	s = strings.ToValidUTF8(s, "\uFFFD")
	var words []string
	for s != "" {
		n := 0
		for n < len(s) {
			_, size := utf8.DecodeRuneInString(s[n:])
			if n+size > most {
				break
			}
			n += size
		}
		words = append(words, "=?utf-8?B?"+base64.StdEncoding.EncodeToString([]byte(s[:n]))+"?=")
		s = s[n:]
	}
	return strings.Join(words, " ")
}

func compileDeleteheader(c *Call) (Op, error) {
	name, err := checkFieldName(c)
	if err != nil {
		return nil, err
	}
	d := deletion{last: c.Has("last")}
	if t := c.Tag("index"); t != nil {
		d.index = int(min(t.Number, 1<<31))
	}
	if c.Given(1) {
		if d.match, err = c.Matcher(c.Strings(1)); err != nil {
			return nil, err
		}
	}
	return func(rt *Runtime) (Flow, error) {
		n, err := name.Eval(rt)
		if err == nil {
			err = fieldName(n)
		}
		if err != nil || rt.engine.Protected(n) {
			return Next, err
		}
		return Next, d.run(rt, newHeaderName(n))
	}, nil
}

// deletion is which fields of a name go.
type deletion struct {
	index int
	last  bool
	match *Matcher // nil: all
}

func (d *deletion) run(rt *Runtime, name headerName) error {
	h, err := rt.editable()
	if err != nil {
		return err
	}
	total := 0
	for i := range h.fields {
		if h.fields[i].named(name) {
			total++
		}
	}
	which := d.index // counted before matching (RFC 5293 §5)
	if d.last {
		which = total - d.index + 1
	}
	kept := make([]field, 0, len(h.fields))
	n := 0
	for i := range h.fields {
		f := &h.fields[i]
		if f.named(name) {
			n++
			if d.index == 0 || n == which {
				gone, err := d.matches(rt, f)
				if err != nil {
					return err
				}
				if gone {
					continue
				}
			}
		}
		kept = append(kept, *f)
	}
	if len(kept) == len(h.fields) {
		return rt.Scan(16 * len(kept))
	}
	h.fields = kept
	return rt.edit(96 * len(kept))
}

func (d *deletion) matches(rt *Runtime, f *field) (bool, error) {
	if d.match == nil {
		return true, nil
	}
	v, err := f.text(rt)
	if err != nil {
		return false, err
	}
	if d.match.typ.Count {
		return d.match.Number(rt, 1)
	}
	return d.match.Value(rt, v)
}

// rewrite is the header as it is now; nil where nothing was changed. Lines that
// are no fields are in it as they came: they may be all there is of the message.
func (rt *Runtime) rewrite() *Rewrite {
	if !rt.edited {
		return nil
	}
	if rt.latest == nil {
		var b strings.Builder
		for i := range rt.head.fields {
			f := &rt.head.fields[i]
			if f.name != "" {
				b.WriteString(f.name)
				b.WriteByte(':')
			}
			b.WriteString(strings.TrimRight(f.raw, "\r\n"))
			b.WriteString("\r\n")
		}
		b.WriteString("\r\n")
		rt.memory += b.Len()
		rt.latest = &Rewrite{Header: []byte(b.String()), Skip: rt.head.end}
	}
	return rt.latest
}
