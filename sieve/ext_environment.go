package sieve

// environmentExt is RFC 5183.
var environmentExt = Extension{
	Name: "environment",
	Tests: []Spec{{
		Name: "environment", Groups: MatchTags, Test: compileEnvironment,
		Args: []Param{{Name: "item", Kind: StringArg}, {Name: "keys", Kind: StringList}},
	}},
}

// environment is an item of RFC 5183 §4.1, or one that the caller knows.
func (rt *Runtime) environment(item string) (string, bool) {
	c := &rt.engine.config
	switch item {
	case "domain":
		return c.Domain, c.Domain != ""
	case "host":
		return c.Hostname, c.Hostname != ""
	case "location":
		return "MDA", true
	case "name":
		return c.Product, true
	case "phase":
		return "during", true
	case "remote-host":
		return rt.input.Envelope.Remote, true
	case "remote-ip":
		return rt.input.Envelope.RemoteIP, rt.input.Envelope.RemoteIP != ""
	case "version":
		return c.Version, c.Version != ""
	}
	if rt.input.Environment != nil {
		return rt.input.Environment(item)
	}
	return "", false
}

func compileEnvironment(c *Call) (Predicate, error) {
	item := c.String(0)
	m, err := c.Matcher(c.Strings(1))
	if err != nil {
		return nil, err
	}
	return func(rt *Runtime) (bool, error) {
		name, err := item.Eval(rt)
		if err != nil {
			return false, err
		}
		value, found := rt.environment(foldASCII(name))
		switch {
		case !found:
			return false, nil // unknown items never match (RFC 5183 §4)
		case m.typ.Count:
			return m.Number(rt, len(present(value)))
		}
		v := Value{Text: value}
		return m.Value(rt, &v)
	}, nil
}
