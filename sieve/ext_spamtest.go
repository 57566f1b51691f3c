package sieve

import (
	"math"
	"strconv"
)

// RFC 5235.
var (
	spamtestExt = Extension{
		Name: "spamtest",
		Tests: []Spec{{Name: "spamtest", Groups: MatchTags, Args: verdictArg, Test: func(c *Call) (Predicate, error) {
			value := spamScore
			if c.Has("percent") {
				value = spamPercent
			}
			return compileVerdict(c, func(rt *Runtime) (*Verdict, string) { return &rt.input.Spam, value(&rt.input.Spam) })
		}}},
	}
	spamtestplusExt = Extension{
		Name:    "spamtestplus",
		Implies: []string{"spamtest"},
		Tags:    []TagFor{{"spamtest", Tag{Name: "percent"}}},
	}
	virustestExt = Extension{
		Name: "virustest",
		Tests: []Spec{{Name: "virustest", Groups: MatchTags, Args: verdictArg, Test: func(c *Call) (Predicate, error) {
			return compileVerdict(c, func(rt *Runtime) (*Verdict, string) { return &rt.input.Virus, virusScore(&rt.input.Virus) })
		}}},
	}
)

var verdictArg = []Param{{Name: "value", Kind: StringArg}}

// spamScore is 0 for not tested, 1 to 10 otherwise (RFC 5235 §3.2.1).
func spamScore(v *Verdict) string {
	return scale(v, 1+9*clamp(v.Score, 0, 1))
}

// spamPercent is 0 to 100 (RFC 5235 §3.2.2).
func spamPercent(v *Verdict) string { return scale(v, 100*clamp(v.Score, 0, 1)) }

// virusScore is 0 to 5 (RFC 5235 §3.3).
func virusScore(v *Verdict) string { return scale(v, clamp(v.Score, 1, 5)) }

func clamp(x, low, high float64) float64 {
	if math.IsNaN(x) {
		return low
	}
	return max(low, min(high, x))
}

func scale(v *Verdict, score float64) string {
	if !v.Tested {
		return "0"
	}
	s := strconv.Itoa(int(math.Round(score)))
	if v.Text != "" {
		s += " " + v.Text
	}
	return s
}

func compileVerdict(c *Call, read func(*Runtime) (*Verdict, string)) (Predicate, error) {
	m, err := c.Matcher([]String{c.String(0)})
	if err != nil {
		return nil, err
	}
	return func(rt *Runtime) (bool, error) {
		verdict, text := read(rt)
		if m.typ.Count { // RFC 5235 §3.1: whether it was tested at all
			n := 0
			if verdict.Tested {
				n = 1
			}
			return m.Number(rt, n)
		}
		v := Value{Text: text}
		return m.Value(rt, &v)
	}, nil
}
