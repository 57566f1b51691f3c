package sieve

// mboxMetadataExt and serverMetadataExt are RFC 5490 §3.3 to §4.2.
var (
	mboxMetadataExt = Extension{
		Name: "mboxmetadata",
		Tests: []Spec{
			{
				Name: "metadata", Groups: MatchTags, Test: compileMetadata,
				Args: []Param{{Name: "mailbox", Kind: StringArg}, {Name: "annotation", Kind: StringArg}, {Name: "keys", Kind: StringList}},
			},
			{
				Name: "metadataexists", Test: compileMetadataExists,
				Args: []Param{{Name: "mailbox", Kind: StringArg}, {Name: "annotations", Kind: StringList}},
			},
		},
	}
	serverMetadataExt = Extension{
		Name: "servermetadata",
		Tests: []Spec{
			{
				Name: "servermetadata", Groups: MatchTags, Test: compileMetadata,
				Args: []Param{{Name: "annotation", Kind: StringArg}, {Name: "keys", Kind: StringList}},
			},
			{
				Name: "servermetadataexists", Test: compileMetadataExists,
				Args: []Param{{Name: "annotations", Kind: StringList}},
			},
		},
	}
)

// annotated is the mailbox argument, where the test has one, and the index of
// the argument behind it.
func (c *Call) annotated() (mailbox *String, next int) {
	if c.Spec.Args[0].Name != "mailbox" {
		return nil, 0
	}
	s := c.String(0)
	return &s, 1
}

// metadata reads an annotation; mailbox nil is the server.
func (rt *Runtime) metadata(mailbox *String, entry String) (value string, found bool, err error) {
	name := ""
	if mailbox != nil {
		if name, err = mailbox.Eval(rt); err != nil || name == "" {
			return "", false, err
		}
	}
	key, err := entry.Eval(rt)
	if err != nil {
		return "", false, err
	}
	if err := rt.Spend(100); err != nil {
		return "", false, err
	}
	value, found, err = rt.Host().Metadata(rt.ctx, name, key)
	if err != nil {
		return "", false, unanswered(err)
	}
	return value, found, rt.Take(len(value))
}

func compileMetadata(c *Call) (Predicate, error) {
	mailbox, next := c.annotated()
	entry := c.String(next)
	m, err := c.Matcher(c.Strings(next + 1))
	if err != nil {
		return nil, err
	}
	return func(rt *Runtime) (bool, error) {
		value, found, err := rt.metadata(mailbox, entry)
		switch {
		case err != nil:
			return false, err
		case m.typ.Count && found:
			return m.Number(rt, 1)
		case m.typ.Count:
			return m.Number(rt, 0)
		case !found:
			return false, nil
		}
		v := Value{Text: value}
		return m.Value(rt, &v)
	}, nil
}

func compileMetadataExists(c *Call) (Predicate, error) {
	mailbox, next := c.annotated()
	entries := c.Strings(next)
	return func(rt *Runtime) (bool, error) {
		for _, entry := range entries {
			if _, found, err := rt.metadata(mailbox, entry); !found || err != nil {
				return false, err
			}
		}
		return true, nil
	}, nil
}
