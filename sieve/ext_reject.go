package sieve

// rejectExt and erejectExt are RFC 5429. Which of the two it was is kept: a
// reject must not silently become an ereject (§2.3).
var (
	rejectExt = Extension{
		Name:     "reject",
		Commands: []Spec{{Name: "reject", Args: reasonArg, Compile: func(c *Call) (Op, error) { return compileReject(c, Reject{}) }}},
	}
	erejectExt = Extension{
		Name:     "ereject",
		Commands: []Spec{{Name: "ereject", Args: reasonArg, Compile: func(c *Call) (Op, error) { return compileReject(c, Reject{Protocol: true}) }}},
	}
)

var reasonArg = []Param{{Name: "reason", Kind: StringArg}}

func compileReject(c *Call, how Reject) (Op, error) {
	reason := c.String(0)
	apply := c.Apply()
	return func(rt *Runtime) (Flow, error) {
		text, err := reason.Eval(rt)
		if err != nil {
			return Stop, err
		}
		r := how
		r.Reason = text
		if apply != nil {
			if err := apply(rt, &r); err != nil {
				return Stop, err
			}
		}
		rt.CancelKeep()
		return Next, rt.Add(&r)
	}, nil
}
