package sieve

import "errors"

// ihaveExt is RFC 5463.
var ihaveExt = Extension{
	Name:     "ihave",
	Tests:    []Spec{{Name: "ihave", Args: []Param{{Name: "capabilities", Kind: StringList, Const: true}}, Test: compileIhave}},
	Commands: []Spec{{Name: "error", Args: []Param{{Name: "message", Kind: StringArg}}, Compile: compileError}},
}

// compileIhave answers at compile time what is there; at run time it puts it in
// effect until the script ends (RFC 5463 §4).
func compileIhave(c *Call) (Predicate, error) {
	var wanted set
	have := true
	for _, s := range c.Strings(0) {
		x, ok := c.comp.engine.exts[s.text]
		if !ok || s.text == "" || x.Lexical && !c.comp.required.has(x.index) {
			have = false
			continue
		}
		wanted.union(x.implied)
	}
	return func(rt *Runtime) (bool, error) {
		if have {
			rt.frame.enabled.union(wanted)
		}
		return have, nil
	}, nil
}

func compileError(c *Call) (Op, error) {
	message := c.String(0)
	return func(rt *Runtime) (Flow, error) {
		text, err := message.Eval(rt)
		if err != nil {
			return Stop, err
		}
		return Stop, errors.New(cutText(text, 1000))
	}, nil
}
