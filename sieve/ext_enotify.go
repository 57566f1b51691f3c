package sieve

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// enotifyExt is RFC 5435.
var enotifyExt = Extension{
	Name: "enotify",
	Commands: []Spec{{
		Name: "notify", Args: []Param{{Name: "method", Kind: StringArg}}, Compile: compileNotify,
		Tags: []Tag{
			{Name: "from", Arg: StringArg},
			{Name: "importance", Arg: StringArg, Check: constTag(checkImportance)},
			{Name: "options", Arg: StringList},
			{Name: "message", Arg: StringArg},
		},
	}},
	Tests: []Spec{
		{Name: "valid_notify_method", Args: []Param{{Name: "methods", Kind: StringList}}, Test: compileValidMethod},
		{
			Name: "notify_method_capability", Groups: MatchTags, Test: compileMethodCapability,
			Args: []Param{{Name: "method", Kind: StringArg}, {Name: "capability", Kind: StringArg}, {Name: "keys", Kind: StringList}},
		},
	},
	Tags: []TagFor{{"set", encodeURL}, {"extracttext", encodeURL}},
}

// encodeURL is RFC 5435 §6.
var encodeURL = modifier("encodeurl", 15, func(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; isLetter(c) || isDigit(c) || c == '-' || c == '.' || c == '~' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
})

func checkImportance(s string) error {
	if s != "1" && s != "2" && s != "3" {
		return fmt.Errorf("%s is no importance; write \"1\", \"2\" or \"3\"", quote(s))
	}
	return nil
}

// checkOption is RFC 5435 §3.5.
func checkOption(s string) error {
	name, value, ok := strings.Cut(s, "=")
	for i := range len(name) {
		c := name[i]
		ok = ok && (c != '_' && isLetter(c) || isDigit(c) || i > 0 && (c == '.' || c == '-' || c == '_'))
	}
	if !ok || name == "" || strings.ContainsAny(value, "\r\n\x00") {
		return fmt.Errorf("%s is no option; write it as \"name=value\"", quote(s))
	}
	return nil
}

func compileNotify(c *Call) (Op, error) {
	var from, importance, message String
	var options []String
	for i := range c.tags {
		switch t := &c.tags[i]; t.Name {
		case "from":
			from = t.String
		case "importance":
			importance = t.String
		case "message":
			message = t.String
		case "options":
			options = t.Strings
		}
	}
	for _, o := range options {
		if s, ok := o.Const(); ok {
			if err := checkOption(s); err != nil {
				return nil, c.Fail(o.pos, "%v", err)
			}
		}
	}
	method := c.String(0)
	if err := checkMethod(c, method, from); err != nil {
		return nil, err
	}
	apply := c.Apply()
	return func(rt *Runtime) (Flow, error) {
		texts, err := evalAll(rt, []String{method, from, importance, message})
		if err != nil {
			return Stop, err
		}
		n := &Notify{Method: texts[0], From: texts[1], Importance: 2, Message: texts[3]}
		if n.Options, err = evalAll(rt, options); err != nil {
			return Stop, err
		}
		if err := rt.checkNotify(n, texts[2]); err != nil {
			return Stop, err
		}
		if apply != nil {
			if err := apply(rt, n); err != nil {
				return Stop, err
			}
		}
		if n.Fcc != nil && n.Mailto == nil {
			return Stop, errors.New("`:fcc` can only be used with a mailto notification (RFC 8580 §6)")
		}
		return Next, rt.Add(n)
	}, nil
}

// checkMethod says what can be known of a notification before there is a message.
func checkMethod(c *Call, method, from String) error {
	uri, ok := method.Const()
	if !ok {
		return nil
	}
	scheme, rest, err := cutScheme(uri)
	if err != nil {
		return c.Fail(method.pos, "%v", err)
	}
	if !strings.EqualFold(scheme, "mailto") {
		c.Remark(method.pos, "this breaks the script where nobody can be notified by %s; test that with `valid_notify_method`", quote(scheme+":"))
		return nil
	}
	if _, err := parseMailto(c.comp.engine, rest); err != nil {
		return c.Fail(method.pos, "%v", err)
	}
	if addr, ok := from.Const(); ok && addr != "" {
		if _, ok := ParseAddress(addr); !ok {
			return c.Fail(from.pos, "%s is not an address", quote(addr))
		}
	}
	return nil
}

// checkNotify completes a notification and says what is wrong with it.
func (rt *Runtime) checkNotify(n *Notify, importance string) (err error) {
	if importance != "" {
		if err := checkImportance(importance); err != nil {
			return err
		}
		n.Importance, _ = strconv.Atoi(importance)
	}
	for _, o := range n.Options {
		if err := checkOption(o); err != nil {
			return err
		}
	}
	if n.Mailto, err = rt.method(n.Method); err != nil || n.Mailto == nil {
		return err
	}
	if n.From != "" {
		if _, ok := ParseAddress(n.From); !ok {
			return fmt.Errorf("%s is not an address", quote(n.From))
		}
	}
	switch auto, err := rt.autoSubmitted(); {
	case err != nil:
		return err
	case auto: // RFC 5436 §2.7
		n.Skip = "the message was sent by a program: Auto-Submitted is not \"no\""
	case len(n.Mailto.Recipients()) == 0:
		n.Skip = "the method names nobody to notify"
	}
	return nil
}

// method checks a URI; m is nil where it is not mailto (RFC 5435 §3.2).
func (rt *Runtime) method(uri string) (m *Mailto, err error) {
	scheme, rest, err := cutScheme(uri)
	switch {
	case err != nil:
		return nil, err
	case strings.EqualFold(scheme, "mailto"):
		return parseMailto(rt.engine, rest)
	case !slices.ContainsFunc(rt.input.Notify, func(s string) bool { return strings.EqualFold(s, scheme) }):
		return nil, fmt.Errorf("nobody can be notified by %s here", quote(scheme+":"))
	case rest == "" || strings.ContainsAny(rest, " \"<>\\^`{|}\r\n"):
		return nil, fmt.Errorf("%s is not a valid URI", quote(uri))
	}
	return nil, nil
}

func cutScheme(uri string) (scheme, rest string, err error) {
	scheme, rest, ok := strings.Cut(uri, ":")
	if !ok || !validScheme(scheme) {
		err = fmt.Errorf("%s is not a URI such as \"mailto:ann@example.org\"", quote(uri))
	}
	return scheme, rest, err
}

func validScheme(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(isLetter(c) && c != '_') && (i == 0 || !isDigit(c) && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return s != ""
}

func compileValidMethod(c *Call) (Predicate, error) {
	uris := c.Strings(0)
	return func(rt *Runtime) (bool, error) {
		for _, s := range uris {
			uri, err := s.Eval(rt)
			if err != nil {
				return false, err
			}
			if err := rt.Scan(16 * len(uri)); err != nil {
				return false, err
			}
			if _, err := rt.method(uri); err != nil {
				return false, nil
			}
		}
		return true, nil
	}, nil
}

// compileMethodCapability is RFC 5435 §5, with "fcc" of RFC 8580 §6.1.
func compileMethodCapability(c *Call) (Predicate, error) {
	uri, name := c.String(0), c.String(1)
	m, err := c.Matcher(c.Strings(2))
	if err != nil {
		return nil, err
	}
	return func(rt *Runtime) (bool, error) {
		texts, err := evalAll(rt, []String{uri, name})
		if err != nil {
			return false, err
		}
		value, found := rt.methodCapability(texts[0], foldASCII(texts[1]))
		switch {
		case !found:
			return false, nil
		case m.typ.Count:
			return m.Number(rt, len(present(value)))
		}
		v := Value{Text: value}
		return m.Value(rt, &v)
	}, nil
}

func (rt *Runtime) methodCapability(uri, name string) (value string, found bool) {
	scheme, rest, _ := strings.Cut(uri, ":")
	mailto := strings.EqualFold(scheme, "mailto")
	if name == "fcc" && rest == "" { // the scheme is enough (RFC 8580 §6.1)
		uri = scheme + ":x"
		if mailto {
			uri = "mailto:x@example.org"
		}
	}
	if _, err := rt.method(uri); err != nil {
		return "", false
	}
	switch {
	case name == "online":
		return "maybe", true // RFC 5436 §2.2
	case name == "fcc" && mailto:
		return "yes", true
	case name == "fcc":
		return "no", true
	}
	return "", false
}
