package sieve

import (
	"math"
	"strconv"
)

// Verdict is what a checker in front of us found out. The zero value says that
// nobody checked.
type Verdict struct {
	Tested bool
	Score  float64 // for spam 0 (clear) to 1 (certain); for viruses 1 to 5 (RFC 5235 §3.3)
	Text   string  // the checker's own words, or empty
}

// Spam is what spamtest reads: 0 is not tested, 1 clear, and 10 certain alone
// (RFC 5235 §3.2.1).
func (v Verdict) Spam() string { return v.normalized(1 + 9*clamp(v.Score, 0, 1)) }

// Percent is what spamtest :percent reads: 0 is clear or not tested, and 100
// certain alone (RFC 5235 §3.2.2).
func (v Verdict) Percent() string { return v.normalized(100 * clamp(v.Score, 0, 1)) }

// Virus is what virustest reads: 0 is not tested, 1 clean, 5 certain
// (RFC 5235 §3.3).
func (v Verdict) Virus() string { return v.normalized(clamp(v.Score, 1, 5)) }

// normalized is a digit string with the checker's words behind it (RFC 5235
// §3.1). What is left over of a number is not enough for the next one: 99.5
// percent are not certain. 0.29 × 100 is 28.999999999999996 and means 29.
func (v Verdict) normalized(score float64) string {
	if !v.Tested {
		return "0"
	}
	s := strconv.Itoa(int(math.Floor(score + 1e-9)))
	if v.Text != "" {
		s += " " + v.Text
	}
	return s
}

func clamp(x, low, high float64) float64 {
	if math.IsNaN(x) {
		return low
	}
	return max(low, min(high, x))
}

// RFC 5235.
var (
	spamtestExt = Extension{
		Name: "spamtest",
		Tests: []Spec{{Name: "spamtest", Groups: MatchTags, Args: verdictArg, Test: func(c *Call) (Predicate, error) {
			value := Verdict.Spam
			if c.Has("percent") {
				value = Verdict.Percent
			}
			return compileVerdict(c, func(in *Input) Verdict { return in.Spam }, value)
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
			return compileVerdict(c, func(in *Input) Verdict { return in.Virus }, Verdict.Virus)
		}}},
	}
)

var verdictArg = []Param{{Name: "value", Kind: StringArg}}

func compileVerdict(c *Call, of func(*Input) Verdict, value func(Verdict) string) (Predicate, error) {
	m, err := c.Matcher([]String{c.String(0)})
	if err != nil {
		return nil, err
	}
	return func(rt *Runtime) (bool, error) {
		verdict := of(rt.input)
		if m.typ.Count { // RFC 5235 §3.1: whether it was tested at all
			n := 0
			if verdict.Tested {
				n = 1
			}
			return m.Number(rt, n)
		}
		v := Value{Text: value(verdict)}
		return m.Value(rt, &v)
	}, nil
}
